"""The same workflows by others: Dagu and Luigi.

Their steps do as little as each of them allows: Dagu's unit is a command, so that its steps
run `true`; Luigi's tasks set a flag in memory and keep nothing. Ours are `value.set`, each
with its rows durable in the store.
"""

import os
import pathlib
import shutil

from kernel import chained, fanned, folder, run
from measure import Row, absent, process, turns

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "flow" / "bench"
DAGU = CACHE / "package" / "bin" / "dagu"
PYTHON = CACHE / "venv" / "bin" / "python"
CHAIN, FAN = 100, 200

LUIGI = """
import luigi, sys
done = set()
class Task(luigi.Task):
    at = luigi.IntParameter()
    def requires(self):
        if KIND == "chain":
            return [Task(self.at - 1)] if self.at else []
        return [Task(at) for at in range(COUNT)] if self.at == COUNT else []
    def complete(self): return self.at in done
    def run(self): done.add(self.at)
KIND, COUNT = sys.argv[1], int(sys.argv[2])
last = COUNT - 1 if KIND == "chain" else COUNT
assert luigi.build([Task(last)], local_scheduler=True, log_level="ERROR")
assert len(done) == last + 1
"""


def dagu(kind, count):
    """Runs a chain or a fan by Dagu, with a home of its own."""
    place = folder()
    after = lambda at: f"\n    depends: [s{at - 1}]" if kind == "chain" and at else ""
    steps = "".join(f'  - name: s{at}\n    command: "true"{after(at)}\n' for at in range(count))
    (place / "w.yaml").write_text(f"type: graph\nsteps:\n{steps}")
    try:
        home = {"DAGU_HOME": str(place / "home"), "HOME": str(place)}
        return process([DAGU, "start", "w.yaml"], cwd=place, env=home).seconds
    finally:
        shutil.rmtree(place, ignore_errors=True)


def luigi(kind, count):
    return process([PYTHON, "-c", LUIGI, kind, count]).seconds


def rows(flow):
    found = []
    for kind, count, text in [("chain", CHAIN, chained(CHAIN)), ("fan", FAN, fanned(FAN))]:
        ours = lambda text=text: run(flow, text)[0].seconds
        for name, peer, there, bound in [
            ("Dagu", dagu, DAGU, (">=", 10)), ("Luigi", luigi, PYTHON, (">=", 1)),
        ]:
            what = f"{kind} of {count} steps beside {name}; times as fast"
            if not there.exists():
                found.append(absent(what, f"{name} is not there, run scripts/fetch-bench-peers"))
                continue
            mine, theirs = turns(5, ours, lambda: peer(kind, count))
            found.append(Row(what, f"{mine:.3f} s", f"{theirs:.3f} s", theirs / mine, bound))
    return found
