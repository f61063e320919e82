"""What goes on beside the runs that are killed: two that live throughout, and one who looks."""

import json
import signal
import subprocess
import time

import checks
import watch

# A loop that comes to no end by itself.
ENDLESS = 100_000_000


class LongLived:
    """Two processes with a loop each, from the beginning of the soak to its end."""

    def __init__(self, world, tally, begun):
        self.world, self.tally = world, tally
        self.watch = watch.Watch(world, begun, time.monotonic)
        self.children = {}

    def start(self):
        for name in ("long", "deep"):
            said = open(self.world.folder / f"{name}.stderr", "w")
            child = self.world.start(
                "run", f"{name}.yaml", "--input", f"tag={name}", "--input", f"n={ENDLESS}",
                stdout=subprocess.DEVNULL, stderr=said)
            said.close()
            run = self.wait_for(name)
            self.children[name] = (child, run)
            self.watch.add(name, child.pid, lambda run=run: self.calls(run))
        self.watch.start()

    def wait_for(self, tag):
        for _ in range(600):
            if run := self.world.run_of(tag):
                return run
            time.sleep(0.1)
        raise RuntimeError(f"{tag} did not start")

    def calls(self, run):
        """How many calls a run made: a measure of how far it has come."""
        try:
            with open(self.world.ledger / run, "rb") as book:
                return sum(block.count(b"\n") for block in iter(lambda: book.read(1 << 16), b""))
        except FileNotFoundError:
            return 0

    def kill(self):
        """Leaves nothing behind when the soak itself is stopped."""
        self.watch.stop()
        for child, _ in self.children.values():
            child.kill()

    def stop(self):
        """Interrupts them, which they obey, and cancels what they leave."""
        self.watch.stop()
        for name, (child, run) in self.children.items():
            if child.poll() is not None:
                said = (self.world.folder / f"{name}.stderr").read_text()[-1000:]
                self.tally.fault("long-lived", f"{name} ended with {child.returncode}: {said}")
            child.send_signal(signal.SIGINT)
            code = child.wait(60)
            with self.world.database() as database:
                self.tally.check(checks.of_run(self.world, database, run))
            cancelled, _, stderr = self.world.run("cancel", run)
            if (code, cancelled) != (130, 0):
                self.tally.fault("long-lived", f"{name}: {code}, {cancelled}: {stderr}")
            self.tally.check(watch.bounded(name, *self.watch.of(name)))
        if self.watch.wal > watch.WAL_BYTES:
            self.tally.fault("wal", f"{self.watch.wal} bytes, more than {watch.WAL_BYTES}")


class Looker:
    """Asks about runs while they go on; each command must answer."""

    def __init__(self, world, tally, random, end):
        self.world, self.tally, self.random, self.end = world, tally, random, end

    def look_on(self):
        looked = 0
        while not self.end.wait(0.3):
            self.look()
            looked += 1
            if looked % 100 == 0:
                with self.world.database() as database:
                    self.tally.check(checks.whole(database))

    def look(self):
        runs = self.ask("runs", "--limit", "30") or []
        if not runs:
            return
        run = self.random.choice(runs)["run"]
        command = self.random.choice([
            ("show", run), ("logs", run), ("logs", run, "--events"), ("plan", "--resume", run),
            ("runs", "--status", "succeeded"), ("runs", "--workflow", "chain")])
        # A plan goes through all items of a loop, and these loops have no end.
        if command[0] != "plan" or not self.is_endless(run):
            self.ask(*command)

    def is_endless(self, run):
        with self.world.database() as database:
            (name,), = database.execute("SELECT workflow FROM runs WHERE id = ?", [run])
        return name in ("long", "deep")

    def ask(self, *words):
        """What a command answers; that it does not is a violation."""
        self.tally.count("looks", words[0])
        code, stdout, stderr = self.world.run(*words, "--json")
        try:
            answer = json.loads(stdout)
        except ValueError:
            answer = None
        if code != 0 or answer is None:
            self.tally.fault("look", f"{words}: exit {code}: {stderr[-500:]} {stdout[-200:]}")
        return answer
