"""Running things side by side: seconds, memory, ratios."""

import dataclasses
import os
import statistics
import subprocess
import tempfile
import time


@dataclasses.dataclass
class Ran:
    """What a process took: seconds from start to exit, and the most memory it held."""

    seconds: float
    mebibytes: float


def process(command, cwd=None, cores=None, env=None, code=0):
    """Runs a program to its end; one that ends with another code ends the measuring."""
    words = [str(word) for word in command]
    if cores:
        words = ["taskset", "-c", cores, *words]
    # What is said goes to a file: a pipe would wake its reader for every line.
    with open(os.devnull, "r+b") as nothing, tempfile.TemporaryFile() as told:
        begin = time.perf_counter()
        child = subprocess.Popen(
            words, cwd=cwd, stdin=nothing, stdout=nothing, stderr=told,
            env={**os.environ, **(env or {})},
        )
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - begin
        child.returncode = os.waitstatus_to_exitcode(status)
        told.seek(0)
        said = told.read()
    if child.returncode != code:
        raise SystemExit(f"{' '.join(words)}: exit {child.returncode}\n{said.decode()[-2000:]}")
    return Ran(seconds, usage.ru_maxrss / 1024)


def turns(count, *things):
    """Measures things in turns; for each the median of its seconds."""
    taken = [[] for _ in things]
    for _ in range(count):
        for thing, kept in zip(things, taken):
            kept.append(thing())
    return [statistics.median(kept) for kept in taken]


@dataclasses.dataclass
class Row:
    """A line of the table. `bound` is the target of the ratio: ("<=", 1.3) or (">=", 10)."""

    what: str
    ours: str
    beside: str
    ratio: float | None = None
    bound: tuple | None = None

    def cells(self):
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        if self.bound is None or self.ratio is None:
            return [self.what, self.ours, self.beside, ratio, "", ""]
        sign, limit = self.bound
        met = self.ratio <= limit if sign == "<=" else self.ratio >= limit
        target = f"{'≤' if sign == '<=' else '≥'} {limit}"
        return [self.what, self.ours, self.beside, ratio, target, "met" if met else "**missed**"]


def absent(what, why):
    """The row of a peer that is not there."""
    return Row(what, "", f"not measured: {why}")
