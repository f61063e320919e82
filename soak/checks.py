"""What must hold of a store, its folder and the books of the program, at any time or at the end.

Each check yields the violations that it found, as (name, text). None of it asks flow: the
rows are read with SQLite, and what events make of a row is said here a second time, in its
own words, so that a fault of flow is not a fault of its judge.
"""

import collections
import fcntl
import hashlib
import json
import re
import sqlite3

OPEN = {"running", "retrying", "waiting"}
BECOMES = {
    "step_opened": "running", "attempt_sent": "running", "attempt_lost": "running",
    "attempt_failed": "retrying", "step_asked": "waiting", "step_succeeded": "succeeded",
    "step_failed": "failed", "step_skipped": "skipped", "step_blocked": "blocked",
    "step_cancelled": "cancelled", "step_reopened": "running",
}
RUN_BECOMES = {
    "run_started": "running", "run_resumed": "running", "run_waiting": "waiting",
    "run_interrupted": "interrupted",
}
PRICE = 10_000  # What a call costs, in micro-USD; the workflows say the same.


def of_run(world, database, run):
    """What must hold of a run that nobody drives now."""
    key, status, cost = database.execute(
        "SELECT key, status, cost FROM runs WHERE id = ?", [run]).fetchone()
    yield from journal(database, run, key, status)
    attempts = attempts_of(database, key)
    yield from settled(database, run, key, status)
    yield from money(database, run, key, cost)
    yield from books(world, database, run, key, attempts)


def journal(database, run, key, status):
    """Events are numbered without a gap, and the rows are their fold."""
    events = database.execute(
        "SELECT seq, path, kind, body FROM events WHERE run = ? ORDER BY seq", [key])
    folded, state = {}, None
    for expected, (seq, path, kind, body) in enumerate(events, 1):
        if seq != expected:
            yield "events", f"{run}: event {expected} is missing, {seq} is there"
            return
        body = json.loads(body)
        if path is None:
            state = RUN_BECOMES.get(kind) or body["status"]
        else:
            yield from (("events", f"{run}: {why}") for why in step(folded, path, kind, body))
    if state != status:
        yield "fold", f"{run}: the run is {status}, its events say {state}"
    rows = database.execute("SELECT path, status, attempts FROM steps WHERE run = ?", [key])
    rows = {path: (stands, attempts) for path, stands, attempts in rows}
    for path in rows.keys() | folded.keys():
        if rows.get(path) != folded.get(path):
            yield "fold", f"{run}: {path} is {rows.get(path)}, its events say {folded.get(path)}"


def step(folded, path, kind, body):
    """Takes one event of a step in; yields why it cannot stand there."""
    before, attempts = folded.get(path, ("running", 0))
    attempt = body.get("attempt", 0)
    if kind != "step_reopened" and before not in OPEN:
        yield f"{path} was {before}, and then came {kind}"
    if kind == "attempt_sent" and attempt != attempts + 1:
        yield f"{path}: attempt {attempt} was sent after {attempts}"
    attempts = 0 if kind == "step_opened" else max(attempts, attempt)
    folded[path] = (BECOMES[kind], attempts)


def attempts_of(database, key):
    """The statuses of the attempts of each path."""
    found = collections.defaultdict(list)
    for path, status in database.execute(
            "SELECT path, status FROM attempts WHERE run = ? ORDER BY path, number", [key]):
        found[path].append(status)
    return found


def settled(database, run, key, status):
    """Nothing is in flight in a run that ended, nothing open in one that came to its end."""
    # What holds other steps, and what asked, stays as it was in a run that was cancelled: it
    # goes on from there when it is resumed.
    if status in ("succeeded", "failed"):
        for path, stands in database.execute(
                "SELECT path, status FROM steps WHERE run = ?"
                " AND status IN ('running', 'retrying', 'waiting')", [key]):
            yield "settled", f"{run} is {status}, and {path} is {stands}"
    if status in ("succeeded", "failed", "cancelled"):
        for path, number in database.execute(
                "SELECT path, number FROM attempts WHERE run = ? AND status = 'sent'", [key]):
            yield "in flight", f"{run} is {status}, and attempt {number} of {path} is in flight"
    for path, count in database.execute(
            "SELECT path, count(*) FROM events WHERE run = ? AND kind = 'step_succeeded'"
            " GROUP BY path HAVING count(*) > 1", [key]):
        yield "once", f"{run}: {path} succeeded {count} times"


def money(database, run, key, cost):
    """The cost of a run is that of its attempts; what may have been paid counts as paid."""
    total, odd = database.execute(
        "SELECT coalesce(sum(coalesce(cost, reserved)), 0), coalesce(sum(cost <> ?), 0)"
        " FROM attempts WHERE run = ? AND status <> 'sent'", [PRICE, key]).fetchone()
    if odd or total != cost:
        yield "money", f"{run}: cost is {cost}, that of its attempts {total}"


def books(world, database, run, key, attempts):
    """No call and no added line without an attempt of its own, and none is missing."""
    paid = {path for path, in database.execute(
        "SELECT DISTINCT path FROM attempts WHERE run = ? AND provider IS NOT NULL", [key])}
    called = lines(world.ledger / run)
    tag, = database.execute(
        "SELECT json_extract(inputs, '$.tag') FROM runs WHERE key = ?", [key]).fetchone()
    noted = lines(world.out / tag / "notes")
    for path, count in (called + noted).items():
        if count > len(attempts[path]):
            yield "paid twice", f"{run}: {path} acted {count} times in {attempts[path]}"
    for path in paid:
        if called[path] < sum(status in ("succeeded", "failed") for status in attempts[path]):
            yield "not paid", f"{run}: {path} was called {called[path]} times in {attempts[path]}"
    writes = database.execute(
        "SELECT path FROM steps WHERE run = ? AND status = 'succeeded'"
        " AND step IN ('note', 'noted') AND attempts > 0", [key])
    if noted:
        for path, in writes:
            if noted[path] == 0:
                yield "not written", f"{run}: {path} succeeded, and its line is not there"


def lines(path):
    """How often each line stands in a file; nothing where there is none."""
    try:
        return collections.Counter(path.read_text().splitlines())
    except FileNotFoundError:
        return collections.Counter()


def done(database, run):
    """What is done in a run: it must never change again."""
    return {row[0]: row[1:] for row in database.execute(
        "SELECT s.path, s.attempts, s.started, s.ended, s.hash FROM steps s"
        " JOIN runs r ON r.key = s.run WHERE r.id = ? AND s.status = 'succeeded'", [run])}


def shown(path):
    """What people see of a path: places instead of keys. Keys here say their place."""
    return re.sub(r"\[([^]]*)\]", lambda key: f"[{place(key[1])}]", path)


def place(key):
    """The place of a key: 0, 1, … of a count, a, b, … of a list, or a1, a2, … of one within."""
    if key.isdigit():
        return int(key) + 1
    return int(key[1:]) if key[1:] else ord(key) - ord("a") + 1


def whole(database):
    """SQLite finds nothing wrong."""
    try:
        for line, in database.execute("PRAGMA integrity_check"):
            if line != "ok":
                yield "integrity", line
    except sqlite3.DatabaseError as error:
        yield "integrity", str(error)
    for table, row, other, _ in database.execute("PRAGMA foreign_key_check"):
        yield "foreign keys", f"row {row} of {table} points to nothing in {other}"


def ended(database):
    """Every run came to an end."""
    for run, status in database.execute(
            "SELECT id, status FROM runs WHERE status NOT IN ('succeeded', 'failed', 'cancelled')"):
        yield "ended", f"{run} is {status}"


def locks(world):
    """No lock is left, and none is held."""
    for path in sorted((world.store / "locks").iterdir()):
        if path.name != "open.lock":
            yield "lock left", path.name
        with open(path) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield "lock held", f"{path.name}: {file.read().strip()}"


def artifacts(world, database, orphans_allowed):
    """Each file is what its name says, each row has its file, and few files have no row."""
    rows = {hash.hex(): size for hash, size in database.execute("SELECT hash, size FROM artifacts")}
    orphans = 0
    for path in (world.store / "artifacts").rglob("*"):
        if path.is_dir():
            continue
        name = path.parent.name + path.name
        bytes_of = path.read_bytes()
        if hashlib.sha256(bytes_of).hexdigest() != name:
            yield "artifact", f"{path.relative_to(world.store)} is not what its name says"
        elif name not in rows:
            orphans += 1
        elif rows.pop(name) != len(bytes_of):
            yield "artifact", f"{name} has another size than its row"
    for name in rows:
        yield "artifact", f"{name} has a row and no file"
    if orphans > orphans_allowed:
        yield "orphans", f"{orphans} files without a row, more than {orphans_allowed}"


def leftovers(world):
    """No temporary file is left, and nothing lies in the store that has no place there."""
    known = {"flow.db", "flow.db-wal", "flow.db-shm", "artifacts", "locks"}
    for path in world.store.iterdir():
        if path.name not in known:
            yield "left over", str(path.relative_to(world.folder))
    for path in (world.store / "artifacts").glob(".*"):
        yield "left over", str(path.relative_to(world.folder))
    for folder in (world.out, world.temporary):
        for path in folder.rglob("*"):
            if folder == world.temporary or path.name.startswith("."):
                yield "left over", str(path.relative_to(world.folder))


def size(world, database):
    """The database is as large as its rows explain."""
    pages, page, free = (database.execute(f"PRAGMA {name}").fetchone()[0]
                         for name in ("page_count", "page_size", "freelist_count"))
    # Empty tables and indexes have pages too.
    explained = 400_000 + BYTES_OF_ROW * rows_of(database) + texts_of(database)
    if pages * page > explained:
        yield "size", f"the database has {pages * page} bytes, its rows explain {explained}"
    if free * 10 > pages + 1000:
        yield "size", f"{free} of {pages} pages are free"


# What a row costs besides its texts, in all tables and indexes, with what pages leave empty.
BYTES_OF_ROW = 400


def rows_of(database):
    """How many rows there are."""
    tables = ("runs", "steps", "attempts", "events", "approvals", "cache", "logs", "artifacts")
    return sum(database.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables)


def texts_of(database):
    """The bytes of what rows hold: values, events, definitions."""
    columns = {
        "runs": ("inputs", "outputs", "error"), "steps": ("path", "output", "meta", "error"),
        "attempts": ("path", "error", "raw"), "events": ("path", "body"), "logs": ("line",),
        "cache": ("output", "meta"), "approvals": ("show",), "definitions": ("bundle",),
    }
    return sum(
        database.execute(
            f"SELECT coalesce(sum({' + '.join(f'coalesce(length({c}), 0)' for c in names)}), 0)"
            f" FROM {table}").fetchone()[0]
        for table, names in columns.items())


def at_end(world, orphans_allowed):
    """What must hold when every run has ended and no flow is there."""
    with world.database() as database:
        yield from whole(database)
        yield from ended(database)
        for run, in database.execute("SELECT id FROM runs").fetchall():
            yield from of_run(world, database, run)
        yield from artifacts(world, database, orphans_allowed)
        yield from size(world, database)
    yield from locks(world)
    yield from leftovers(world)
