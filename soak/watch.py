"""What processes that live long hold, and how large the store's log grows: a sample a second."""

import csv
import dataclasses
import os
import pathlib
import threading

# Warm-up: what a process takes until all of its code has run and its pools are full.
WARM = 0.2

# What a loop keeps of each item that is done, in memory and for good (its key), and what an
# allocator takes and gives back besides.
BYTES_AN_ITEM, SLACK_KIB = 256, 8 << 10

HANDLES = 64
WAL_BYTES = 64 << 20


@dataclasses.dataclass
class Sample:
    """What one process held at a time."""

    seconds: float
    name: str
    handles: int
    resident_kib: int
    most_kib: int
    items: int


class Watch:
    """Looks every second until it is stopped."""

    def __init__(self, world, begun, clock):
        self.world, self.begun, self.clock = world, begun, clock
        self.processes, self.samples = {}, []
        self.wal = self.locks = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.look_on)

    def add(self, name, pid, items):
        """Watches a process; `items()` is how far its work has come."""
        self.processes[name] = (pid, items)

    def start(self):
        self.thread.start()

    def stop(self):
        self.over.set()
        self.thread.join()

    def look_on(self):
        file = open(self.world.folder / "samples.csv", "w", newline="")
        with file:
            table = csv.writer(file)
            table.writerow([field.name for field in dataclasses.fields(Sample)] + ["wal", "locks"])
            while not self.over.wait(1):
                self.look(table)
                file.flush()

    def look(self, table):
        wal = size_of(self.world.store / "flow.db-wal")
        locks = len(os.listdir(self.world.store / "locks")) - 1
        self.wal, self.locks = max(self.wal, wal), max(self.locks, locks)
        for name, (pid, items) in list(self.processes.items()):
            if sample := self.sample(name, pid, items):
                self.samples.append(sample)
                table.writerow([*dataclasses.astuple(sample), wal, locks])

    def sample(self, name, pid, items):
        try:
            handles = len(os.listdir(f"/proc/{pid}/fd"))
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        fields = dict(line.split(":", 1) for line in status.splitlines())
        if "VmRSS" not in fields:
            return None
        kib = [int(fields[field].split()[0]) for field in ("VmRSS", "VmHWM")]
        return Sample(round(self.clock() - self.begun, 1), name, handles, *kib, items())

    def of(self, name):
        """The samples of a process: all, and those after its warm-up."""
        mine = [sample for sample in self.samples if sample.name == name]
        return mine, mine[int(len(mine) * WARM):]


def bounded(name, samples, warm):
    """Handles and memory of a process stay within their bounds."""
    if len(warm) < 2:
        yield "watch", f"{name} was seen {len(samples)} times only"
        return
    if (most := max(sample.handles for sample in samples)) > HANDLES:
        yield "handles", f"{name} held {most} handles, more than {HANDLES}"
    # Calls come and go with their pipes; a leak, be it a slow one, moves the middle.
    early, late = ends(warm, "handles")
    if late > early + 8:
        yield "handles", f"{name} held {early} handles at first and {late} later"
    items = warm[-1].items - warm[0].items
    allowed = SLACK_KIB + items * BYTES_AN_ITEM // 1024
    grown = growth(warm)
    if grown > allowed:
        yield "memory", f"{name} grew by {grown:.0f} KiB in {items} items, more than {allowed}"
    if warm[-1].items == samples[0].items:
        yield "watch", f"{name} did nothing while it was watched"


def growth(warm):
    """By how many KiB a process grew."""
    first, last = ends(warm, "resident_kib")
    return last - first


def ends(warm, field):
    """The medians of the first and the last tenth."""
    tenth = max(1, len(warm) // 10)
    parts = (sorted(getattr(s, field) for s in part) for part in (warm[:tenth], warm[-tenth:]))
    return [part[len(part) // 2] for part in parts]


def size_of(path):
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
