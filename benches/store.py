"""A large store: 100,000 small runs and one of 1,000,000 instances with as many lines of log."""

import os
import shutil
import sqlite3
import threading
import time

from kernel import folder
from measure import Row, process, turns

ITEMS = 1_000_000
RUNS = 100_000
LARGE = f"""name: large
steps:
  - id: fan
    for_each: {ITEMS}
    uses: value.set
    with: {{ value: "{{{{ item }}}}" }}
  - id: fails
    needs: [fan]
    uses: file.write
    with: {{ path: large.yaml/x, content: x }}
"""
SMALL = "name: small\nsteps: [{ id: a, uses: value.set, with: { value: 1 } }]\n"
# Ids are of 26 letters and digits, here by their number.
MANY = f"""
CREATE TEMP TABLE n AS WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {RUNS}) SELECT n FROM n;
INSERT INTO runs (id, workflow, definition, status, inputs, outputs, error, cost, cost_uncertain, started, ended)
SELECT printf('01%024d', n), workflow, definition, status, inputs, outputs, error, cost, cost_uncertain,
    started - n * 60000, ended - n * 60000 FROM n, runs WHERE workflow = 'small';
INSERT INTO steps (run, path, parent, step, ordinal, status, hash, output, meta, attempts, cached, started, ended)
SELECT r.key, path, parent, step, ordinal, s.status, hash, output, meta, attempts, cached, s.started, s.ended
FROM n JOIN runs r ON r.id = printf('01%024d', n), steps s WHERE s.run = :small;
INSERT INTO events (run, seq, at, path, kind, body)
SELECT r.key, seq, at, path, kind, body FROM n JOIN runs r ON r.id = printf('01%024d', n), events e WHERE e.run = :small;
"""
LINES = f"""
INSERT INTO logs (run, at, path, attempt, line)
WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {ITEMS})
SELECT :large, n, 'fan[' || n || ']', 1, 'a line that a step wrote about its work' FROM n;
"""


def build(flow, place):
    """Makes the store; its bytes a step, and the ids of a small run and the large one."""
    (place / "large.yaml").write_text(LARGE)
    (place / "small.yaml").write_text(SMALL)
    file = place / ".flow" / "flow.db"
    process([flow, "run", "large.yaml"], cwd=place, code=1)
    process([flow, "runs"], cwd=place)
    bytes_a_step = file.stat().st_size / ITEMS
    process([flow, "run", "small.yaml"], cwd=place)
    database = sqlite3.connect(file, isolation_level=None)
    keys = dict(database.execute("SELECT workflow, key FROM runs"))
    database.execute("BEGIN")
    for statement in filter(str.strip, (MANY + LINES).split(";")):
        database.execute(statement, {name: keys[name] for name in keys if f":{name}" in statement})
    database.execute("COMMIT")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    ids = dict(database.execute("SELECT workflow, max(id) FROM runs GROUP BY workflow"))
    database.close()
    return bytes_a_step, ids["small"], ids["large"], file


class Writer(threading.Thread):
    """Writes again and again as a run that goes on would, and keeps the longest it took."""

    def __init__(self, file):
        super().__init__()
        self.file, self.longest, self.over = file, 0.0, threading.Event()

    def run(self):
        database = sqlite3.connect(self.file, isolation_level=None, timeout=60)
        while not self.over.wait(0.02):
            begin = time.perf_counter()
            database.execute("BEGIN IMMEDIATE")
            database.execute("UPDATE runs SET cost = cost WHERE key = 1")
            database.execute("COMMIT")
            self.longest = max(self.longest, time.perf_counter() - begin)
        database.close()


def beside(file, what):
    """Does something while somebody writes; what it took, and the longest that he waited."""
    writer = Writer(file)
    writer.start()
    try:
        seconds = what().seconds
    finally:
        writer.over.set()
        writer.join()
    return seconds, writer.longest


def rows(flow):
    place = folder()
    try:
        return measured(flow, place)
    finally:
        shutil.rmtree(place)


def measured(flow, place):
    bytes_a_step, small, large, file = build(flow, place)
    size = file.stat().st_size
    do = lambda *words, code=0: process([flow, *words], cwd=place, code=code)
    lines = [Row(
        f"the store: {RUNS:,} runs, {ITEMS:,} instances, {ITEMS:,} lines of log",
        f"{size / 2**20:.0f} MiB; {bytes_a_step:.0f} bytes a step", "")]
    asked = [
        ("flow runs", ["runs"], 0),
        ("flow runs --status failed", ["runs", "--status", "failed"], 0),
        ("flow show, a small run", ["show", small], 0),
        ("flow show, the large run", ["show", large], 0),
        ("flow logs, the last 1,000 lines", ["logs", large], 0),
        ("flow logs --step, of the large run", ["logs", large, "--step", "fan[500000]"], 0),
        ("flow logs --events, the last 1,000", ["logs", large, "--events"], 0),
        ("flow logs --events --json, the last 1,000", ["logs", large, "--events", "--json"], 0),
        ("flow resume of the large run", ["resume", large], 1),
    ]
    took = turns(5, *[lambda words=words, code=code: do(*words, code=code).seconds
                      for _, words, code in asked])
    for (what, _, _), seconds in zip(asked, took):
        lines.append(Row(f"`{what}`; units of 100 ms", f"{seconds * 1000:.1f} ms", "100 ms",
                         seconds / 0.1, ("<=", 1)))
    every = do("logs", large, "--all")
    lines.append(Row(f"`flow logs --all`, {ITEMS:,} lines", f"{every.seconds:.2f} s, {every.mebibytes:.0f} MiB", ""))
    prune = lambda status: do("prune", "--older-than", "0s", "--status", status)
    for what, status in [(f"the run of {ITEMS:,}", "failed"), (f"{RUNS:,} small runs", "succeeded")]:
        seconds, longest = beside(file, lambda status=status: prune(status))
        lines.append(Row(f"`flow prune` of {what}; the longest that a writer beside it waited, in units of 1 s",
                         f"{seconds:.2f} s", f"{longest * 1000:.0f} ms", longest, ("<=", 1)))
    database = sqlite3.connect(file)
    left = database.execute("SELECT count(*) FROM runs").fetchone()[0]
    database.close()
    vacuum = do("prune", "--older-than", "0s", "--vacuum")
    lines.append(Row(f"`--vacuum` after that, {left} runs left",
                     f"{vacuum.seconds:.2f} s, {os.path.getsize(file) / 2**20:.1f} MiB", ""))
    return lines
