"""The last judgement, and the table of what was done and found."""

import os

import checks
import watch


def finish(world, tally, watched, given):
    """Judges the store as a whole, and prints what the soak came to."""
    deaths = sum(count for (fate,), count in tally.of("lives").items() if fate != "nothing")
    # A process that dies between a file and its row leaves the file: what was at work.
    tally.check(checks.at_end(world, orphans_allowed=deaths * 2 * (os.cpu_count() or 1)))
    lines = [*played(tally), *kept(world), *lived(watched)]
    for name, text in lines:
        print(f"{name:38} {text}")
    found = ", ".join(f"{count} {name}" for (name,), count in tally.of("violations").items())
    verdict = f"VIOLATIONS: {found}" if found else "nothing found"
    print(f"{'seed ' + str(given.seed):38} {verdict}")


def played(tally):
    """What was done to how many runs."""
    for first in ("runs", "lives", "looks"):
        counts = {name: count for (name,), count in tally.of(first).items()}
        yield first, f"{sum(counts.values())}: " + ", ".join(f"{n} {c}" for n, c in counts.items())
    yield "left where they stood for a while", tally.counts["left where it stood", ""]
    yield "times that all was judged", tally.counts["checks", ""]


def kept(world):
    """What the store holds."""
    with world.database() as database:
        ask = lambda sql: database.execute(sql).fetchall()
        yield "runs in the store", ", ".join(
            f"{count} {status}" for status, count in
            ask("SELECT status, count(*) FROM runs GROUP BY 1 ORDER BY 1"))
        yield "attempts", ", ".join(
            f"{count} {status}" for status, count in
            ask("SELECT status, count(*) FROM attempts GROUP BY 1 ORDER BY 1"))
        rows, texts = checks.rows_of(database), checks.texts_of(database)
        [(files, of_files)] = ask("SELECT count(*), sum(size) FROM artifacts")
        there = sum(1 for path in (world.store / "artifacts").rglob("*") if path.is_file())
    size = watch.size_of(world.store / "flow.db")
    calls = sum(sum(checks.lines(book).values()) for book in world.ledger.iterdir())
    yield "calls in the books of the program", f"{calls}"
    yield "database", f"{size / 1e6:.1f} MB, {rows} rows with {texts / 1e6:.1f} MB of text," \
                      f" {(size - texts) / rows:.0f} bytes a row besides"
    yield "artifacts", f"{files} with {(of_files or 0) / 1e6:.1f} MB, {there - files} without a row"


def lived(watched):
    """What the long-lived processes held."""
    yield "most locks, largest log", f"{watched.locks}, {watched.wal / 1e6:.1f} MB"
    for name in watched.processes:
        samples, warm = watched.of(name)
        if len(warm) < 2:
            continue
        items = warm[-1].items - warm[0].items
        handles = sorted(sample.handles for sample in samples)
        yield f"`{name}`: seconds, items", f"{samples[-1].seconds - samples[0].seconds:.0f}, {items}"
        yield f"`{name}`: handles", f"{handles[0]} to {handles[-1]}, median {handles[len(handles) // 2]}"
        grown = watch.growth(warm)
        yield f"`{name}`: memory", f"{warm[0].resident_kib / 1024:.1f} MiB warm," \
            f" {warm[-1].resident_kib / 1024:.1f} MiB at the end, most" \
            f" {warm[-1].most_kib / 1024:.1f} MiB; grew by {grown} KiB," \
            f" {grown * 1024 / max(1, items):.0f} bytes an item"
