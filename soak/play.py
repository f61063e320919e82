"""One run from its beginning to its end, through whatever befalls it.

A run lives as often as it is killed: it is started, something happens to it at a time that
nobody chose, what it left is judged, and it is resumed. What befalls it follows from the
seed; when exactly it is hit, from the machine.
"""

import collections
import json
import os
import signal
import subprocess
import threading
import time

import checks
from world import PATIENCE

# What is played: workflow, inputs, answers, weight.
GAMES = [
    ("chain", {}, [], 10), ("fan", {"n": 4}, [], 6), ("fan", {"n": 20}, [], 6),
    ("nested", {}, [], 10), ("within", {}, [], 10), ("retry", {}, [], 10), ("fails", {}, [], 5),
    ("approve", {}, [True, True], 5), ("approve", {}, [True, False], 4),
    ("approve", {}, [False, True], 4), ("files", {"n": 10}, [], 5), ("files", {"n": 40}, [], 5),
    ("pages", {}, [], 6), ("cached", {}, [], 4), ("scan", {}, [], 0.3),
]

# What befalls a life, and how often. A `group` takes the programs that were called with it.
FATES = {
    "nothing": 20, "kill": 18, "kill group": 14, "interrupt": 8, "interrupt twice": 6,
    "terminate": 4, "cancel": 6, "second resume": 5, "die after an event": 9,
    "die before a commit": 10,
}

# A run is left alone from then on, so that it comes to its end.
LIVES = 9

# A run that lives so often and has not ended will not end.
MOST_LIVES = 40

# So many violations of a kind are printed.
SHOWN = 10

ENDED = ("succeeded", "failed")
ABORTED, KILLED = -signal.SIGABRT, -signal.SIGKILL
DONE = {0, 1, 3}
EXITS = {
    "nothing": DONE, "second resume": DONE, "cancel": DONE, "kill": DONE | {KILLED},
    "kill group": DONE | {KILLED}, "die after an event": DONE | {ABORTED},
    "die before a commit": DONE | {ABORTED},
    # A signal may come before it is listened to.
    "interrupt": DONE | {130, -signal.SIGINT}, "terminate": DONE | {130, -signal.SIGTERM},
    "interrupt twice": DONE | {130, -signal.SIGINT},
}


class Tally:
    """Counts what happened and keeps what must not have; any thread may use it."""

    def __init__(self, say):
        self.lock = threading.Lock()
        self.counts = collections.Counter()
        self.say = say

    def count(self, *name, by=1):
        with self.lock:
            self.counts[name] += by

    def of(self, first):
        return {name[1:]: count for name, count in sorted(self.counts.items()) if name[0] == first}

    def check(self, found, where=""):
        """Takes violations in; true where there are none."""
        found = list(found)
        with self.lock:
            self.counts["checks", ""] += 1
            for name, text in found:
                self.counts["violations", name] += 1
                # One fault may show in thousands of rows; the folder holds them all.
                if self.counts["violations", name] <= SHOWN:
                    self.say(f"VIOLATION {name}: {text}{where}")
        return not found

    def fault(self, name, text):
        self.check([(name, text)])


class References:
    """What each workflow yields when nobody disturbs it, in a store of its own."""

    def __init__(self, world):
        self.world, self.known = world, {}

    def measure(self, game):
        workflow, inputs, answers, _ = game
        tag = f"undisturbed-{len(self.known)}"
        begun = time.monotonic()
        self.world.run(*command(workflow, inputs, tag))
        seconds = time.monotonic() - begun
        run = self.world.run_of(tag)
        for answer in answers:
            self.world.run("approve", run, *([] if answer else ["--reject"]))
            self.world.run("resume", run)
        with self.world.database() as database:
            events, = database.execute(
                "SELECT count(*) FROM events e JOIN runs r ON r.key = e.run WHERE r.id = ?", [run]
            ).fetchone()
            self.known[name_of(game)] = (result(database, run), seconds, events)

    def __getitem__(self, game):
        return self.known[name_of(game)]


def name_of(game):
    workflow, inputs, answers, _ = game
    return json.dumps([workflow, inputs, answers])


def command(workflow, inputs, tag):
    given = {"tag": tag, **inputs}
    return ["run", f"{workflow}.yaml", "--json",
            *(word for name, value in given.items() for word in ("--input", f"{name}={value}"))]


def result(database, run):
    """How a run ended: status, outputs, error."""
    status, outputs, error = database.execute(
        "SELECT status, outputs, error FROM runs WHERE id = ?", [run]).fetchone()
    return status, outputs and json.loads(outputs), error


class Play:
    """A run, and what is known of it."""

    def __init__(self, world, tally, references, random, tag, end):
        self.world, self.tally, self.random, self.tag, self.end = world, tally, random, tag, end
        self.game = random.choices(GAMES, [game[3] for game in references.offered])[0]
        self.expected, self.seconds, self.events = references[self.game]
        self.run, self.done, self.life = None, {}, 0
        tally.count("runs", self.game[0])

    def to_the_end(self):
        """Plays until the run has ended as it should; leaves some where they died."""
        while not self.live(*self.next_words()):
            if self.run and self.random.random() < 0.03 and not self.end.is_set():
                self.tally.count("left where it stood", "")
                return False
        # One that has ended is taken up again: what failed is tried again, nothing else.
        if self.random.random() < 0.1 and not self.end.is_set():
            while not self.live(*self.next_words()):
                pass
        return True

    def next_words(self):
        workflow, inputs, answers, _ = self.game
        if self.run is None:
            return command(workflow, inputs, self.tag)
        if self.world.status(self.run) == "waiting":
            self.answer(answers)
        return ["resume", self.run, "--json"]

    def answer(self, answers):
        """Answers what is asked now. Approvals are asked one after the other."""
        with self.world.database() as database:
            asked = database.execute(
                "SELECT a.path FROM approvals a JOIN runs r ON r.key = a.run"
                " WHERE r.id = ? AND a.approved IS NULL", [self.run]).fetchall()
        for path, in asked:
            no = not answers[("first", "second").index(path)]
            code, _, stderr = self.world.run(
                "approve", self.run, "--step", path, *(["--reject"] if no else []))
            if code != 0:
                self.tally.fault("approve", f"{self.run}: exit {code}: {stderr[-500:]}")

    def live(self, *words):
        """Runs flow once, lets something befall it and judges; true when the run has ended."""
        self.life += 1
        if self.life > MOST_LIVES:
            raise RuntimeError(f"{self.tag} ({self.game[0]}) does not end, however often it lives")
        fate = self.random.choices(list(FATES), list(FATES.values()))[0]
        if self.life > LIVES or self.end.is_set():
            fate = "nothing"
        self.tally.count("lives", fate)
        code, stderr = self.befall(fate, words)
        self.tally.check(self.exit_of(fate, code, stderr))
        self.run = self.run or self.world.run_of(self.tag)
        if self.run is None:
            return False
        with self.world.database() as database:
            where = f" ({self.game[0]}, after {fate})"
            self.tally.check(self.judge(database, stderr), where)
            self.tally.check(self.outcome(database), where)
            return result(database, self.run)[0] in ENDED

    def befall(self, fate, words):
        """Starts flow, lets fate have its way; exit code and stderr."""
        environment = {}
        if fate == "die after an event":
            environment["FLOW_TEST_KILL_AFTER"] = str(self.random.randint(1, self.events))
        if fate == "die before a commit":
            environment["FLOW_TEST_KILL_AT_TIME"] = str(self.random.randint(1, 2 * self.events))
        child = self.world.start(*words, environment=environment, stdout=subprocess.DEVNULL)
        moment = self.random.uniform(0, 1.1 * self.seconds)
        hand = threading.Thread(target=self.strike, args=(fate, child, moment))
        hand.start()
        try:
            _, stderr = child.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            _, stderr = child.communicate()
            self.tally.fault("hangs", f"{self.tag}: {words} after {fate}: {stderr[-1000:]}")
        hand.join()
        return child.returncode, stderr

    def strike(self, fate, child, moment):
        """What befalls a process from outside, some time after its start."""
        if fate in ("nothing", "die after an event", "die before a commit"):
            return
        try:
            child.wait(moment)
            return
        except subprocess.TimeoutExpired:
            pass
        if fate in ("cancel", "second resume"):
            return self.meddle(fate)
        try:
            match fate:
                case "kill": child.kill()
                case "kill group": os.killpg(child.pid, signal.SIGKILL)
                case "terminate": child.terminate()
                case "interrupt" | "interrupt twice": child.send_signal(signal.SIGINT)
            if fate == "interrupt twice":
                time.sleep(self.random.uniform(0, 0.02))
                child.send_signal(signal.SIGINT)
        except ProcessLookupError:
            pass

    def meddle(self, fate):
        """Another process wants something of the run while it is driven."""
        run = self.run or self.world.run_of(self.tag)
        if run is None:
            return
        if fate == "cancel":
            code, _, stderr = self.world.run("cancel", run)
            known = code == 0 or " already" in stderr
        else:
            code, _, stderr = self.world.run("resume", run, "--json")
            known = code in DONE and (code != 1 or "is driven by" in stderr
                                      or "error: step" in stderr or "was cancelled" in stderr)
        if not known:
            self.tally.fault(fate, f"{run}: exit {code}: {stderr[-1000:]}")

    def exit_of(self, fate, code, stderr):
        """A process ends as it should for what befell it."""
        if code not in EXITS[fate]:
            yield "exit", f"{self.tag} ({self.game[0]}) after {fate}: {code}: {stderr[-1500:]}"
        if "panicked" in stderr or "internal error" in stderr:
            yield "panic", f"{self.tag}: {stderr[-3000:]}"
        # Whoever resumes alone finds no owner; of two that want the run, the other may be first.
        if "is driven by" in stderr and fate not in ("second resume", "cancel"):
            yield "locked out", f"{self.tag} after {fate}: {stderr[-500:]}"
        if "database is locked" in stderr:
            yield "locked out", f"{self.tag}: {stderr[-500:]}"

    def outcome(self, database):
        """A run that has ended has ended as it does when nobody disturbs it."""
        found = result(database, self.run)
        if found[0] in ENDED and found != self.expected:
            yield "outputs", f"{self.run}: {found}, undisturbed {self.expected}"

    def judge(self, database, stderr):
        """What must hold of the run after each life."""
        yield from checks.of_run(self.world, database, self.run)
        now = checks.done(database, self.run)
        for path, row in self.done.items():
            if now.get(path) != row:
                yield "done again", f"{self.run}: {path} was {row}, is {now.get(path)}"
        self.done = now
        known = {checks.shown(path) for path in now}
        for line in stderr.splitlines():
            if line.startswith("✓ ") and line.split()[1] not in known:
                yield "told too early", f"{self.run}: `{line}`, and its row does not say so"
