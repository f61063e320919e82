"""The kernel beside what the disk and SQLite allow."""

import os
import pathlib
import shutil
import sqlite3
import tempfile
import time

from measure import Row, process, turns

ROOT = pathlib.Path(__file__).resolve().parent.parent
STEPS = 1000
TWO_CORES = "0,1"


def folder():
    """A new folder on the disk of the checkout: the system's own may be memory."""
    place = ROOT / "target" / "bench"
    place.mkdir(parents=True, exist_ok=True)
    return pathlib.Path(tempfile.mkdtemp(dir=place))


def chained(steps):
    """A workflow of steps in a row, each of which takes what the one before it yields."""
    lines = ["name: chain", "steps:"]
    for at in range(steps):
        value = "1" if at == 0 else f'"{{{{ steps.s{at - 1}.output }}}}"'
        lines += [f"  - id: s{at}", "    uses: value.set", f"    with: {{ value: {value} }}"]
    return "\n".join([*lines, "outputs:", f'  last: "{{{{ steps.s{steps - 1}.output }}}}"', ""])


def fanned(items):
    """A workflow of one loop over so many items, or over a file of them."""
    inputs = "inputs:\n  items: { type: file }\n" if items is None else ""
    over = '"{{ inputs.items }}"' if items is None else items
    return (
        f"name: fan\n{inputs}steps:\n  - id: fan\n    for_each: {over}\n    uses: value.set\n"
        '    with: { value: "{{ item }}" }\n'
    )


def run(flow, text, *arguments, cores=None):
    """Runs a workflow with a store of its own; what it took and the bytes of the store."""
    place = folder()
    try:
        (place / "w.yaml").write_text(text)
        ran = process([flow, "run", "w.yaml", "--json", *arguments], cwd=place, cores=cores)
        return ran, (place / ".flow" / "flow.db").stat().st_size
    finally:
        shutil.rmtree(place)


def bare_sqlite(steps=STEPS):
    """The rows of a chain by SQLite alone, from opening to closing: same tables, same settings,
    a commit a step."""
    place = folder()
    begin = time.perf_counter()
    database = sqlite3.connect(place / "bare.db", isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    for migration in sorted((ROOT / "core" / "migrations").glob("*.sql")):
        database.executescript(migration.read_text())
    for at in range(steps):
        path = f"s{at}"
        database.execute("BEGIN IMMEDIATE")
        database.execute(
            "INSERT INTO steps (run, path, step, ordinal, status, hash, output, meta, attempts,"
            " cached, started, ended) VALUES (1, ?, ?, -1, 'succeeded', ?, '1', ?, 1, 0, ?, ?)",
            (path, path, os.urandom(32), '{"attempts":1,"cached":false}', at, at),
        )
        database.execute(
            "INSERT INTO attempts (run, path, number, status, latency_ms, started, ended)"
            " VALUES (1, ?, 1, 'succeeded', 0, ?, ?)", (path, at, at),
        )
        body = '{"event":"succeeded","attempt":1,"hash":"%s","origin":"ran"}' % ("0" * 64)
        database.execute(
            "INSERT INTO events VALUES (1, ?, ?, ?, 'step_succeeded', ?)", (at, at, path, body)
        )
        database.execute("COMMIT")
    database.close()
    seconds = time.perf_counter() - begin
    shutil.rmtree(place)
    return seconds


def bare_disk():
    """As many appends to a file, each made durable."""
    place = folder()
    file = os.open(place / "log", os.O_CREAT | os.O_WRONLY)
    begin = time.perf_counter()
    for _ in range(STEPS):
        os.write(file, b"x" * 4096)
        os.fdatasync(file)
    seconds = time.perf_counter() - begin
    os.close(file)
    shutil.rmtree(place)
    return seconds


def chain(flow):
    text, longer = chained(STEPS), chained(2 * STEPS)
    ours, ours_longer, sqlite, sqlite_longer, disk = turns(
        9,
        lambda: run(flow, text)[0].seconds,
        lambda: run(flow, longer)[0].seconds,
        bare_sqlite,
        lambda: bare_sqlite(2 * STEPS),
        bare_disk,
    )
    more, sqlite_more = ours_longer - ours, sqlite_longer - sqlite
    shown = f"{ours:.3f} s"
    return [
        Row(f"chain of {STEPS} steps, start to exit; bare SQLite, same rows and commits",
            shown, f"{sqlite:.3f} s", ours / sqlite, ("<=", 1.3)),
        Row(f"{STEPS} steps more; the same", f"{more:.3f} s", f"{sqlite_more:.3f} s",
            more / sqlite_more),
        Row(f"the same; {STEPS} appends with `fdatasync`", shown, f"{disk:.3f} s", ours / disk),
    ]


def fanout(flow):
    rows, seconds = [], {}
    for items, count in [(10_000, 5), (100_000, 3), (1_000_000, 1)]:
        text = fanned(items)
        took = [run(flow, text, cores=TWO_CORES) for _ in range(count)]
        took.sort(key=lambda ran: ran[0].seconds)
        ran, size = took[count // 2]
        seconds[items] = ran.seconds
        rows.append(Row(
            f"{items:,} steps at once, two cores; steps a second in thousands",
            f"{ran.seconds:.2f} s, {ran.mebibytes:.0f} MiB, {size / items:.0f} bytes a step",
            "", items / ran.seconds / 1000, (">=", 20)))
    rows.append(Row("ten times as many steps (1,000,000 beside 100,000)",
                    f"{seconds[1_000_000]:.2f} s", f"{seconds[100_000]:.2f} s",
                    seconds[1_000_000] / seconds[100_000], ("<=", 12)))
    lines = folder() / "items.jsonl"
    lines.write_text("".join(f'{{"n": {n}}}\n' for n in range(1_000_000)))
    ran, _ = run(flow, fanned(None), "--input", f"items={lines}", cores=TWO_CORES)
    shutil.rmtree(lines.parent)
    rows.append(Row("1,000,000 items of a file of JSON lines, two cores; memory in units of 300 MiB",
                    f"{ran.seconds:.2f} s, {ran.mebibytes:.0f} MiB", "300 MiB",
                    ran.mebibytes / 300, ("<=", 1)))
    return rows


def start(flow):
    one = "name: one\nsteps:\n  - id: a\n    uses: value.set\n    with: { value: 1 }\n"
    place = folder()
    (place / "k.yaml").write_text(chained(1000))
    (place / "100k.yaml").write_text(chained(100_000))
    check = lambda file: process([flow, "check", file], cwd=place)
    [run_one] = turns(15, lambda: run(flow, one)[0].seconds)
    [thousand] = turns(15, lambda: check("k.yaml").seconds)
    large = check("100k.yaml")
    shutil.rmtree(place)
    return [
        Row("`flow run` of one step with a new store, start to exit; units of 20 ms",
            f"{run_one * 1000:.1f} ms", "20 ms", run_one / 0.020, ("<=", 1)),
        Row("`flow check` of 1,000 steps; units of 50 ms",
            f"{thousand * 1000:.1f} ms", "50 ms", thousand / 0.050, ("<=", 1)),
        Row("`flow check` of 100,000 steps",
            f"{large.seconds:.2f} s, {large.mebibytes:.0f} MiB", ""),
    ]
