"""The folder of a soak: workflows, one shared store, the books of the program, and flow in it."""

import contextlib
import json
import os
import pathlib
import shutil
import sqlite3
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent

# The longest that any one command is waited for: far above what any takes, so that one that
# hangs is told from one that is slow on a machine that others keep busy.
PATIENCE = 900


class World:
    """Paths, and commands that run there with nothing of the user's own settings."""

    def __init__(self, flow, folder):
        self.flow = pathlib.Path(flow).resolve()
        self.folder = pathlib.Path(folder).resolve()
        self.store = self.folder / ".flow"
        self.ledger = self.folder / "ledger"
        self.out = self.folder / "out"
        self.temporary = self.folder / "tmp"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("FLOW_")},
            "TMPDIR": str(self.temporary), "TZ": "UTC", "RUST_BACKTRACE": "1",
        }
        if models := models_of_recognition():
            self.environment["FLOW_OCR_MODELS"] = str(models)

    def make(self):
        """Fills a new folder."""
        shutil.copytree(ROOT / "soak" / "workflows", self.folder)
        for sample in ("invoice.pdf", "scan.png"):
            shutil.copy(ROOT / "workflows" / "samples" / sample, self.folder)
        for folder in (self.ledger, self.out, self.temporary):
            folder.mkdir()
        return self

    def start(self, *arguments, environment=None, stdout=subprocess.PIPE, stderr=subprocess.PIPE):
        """Starts flow at the head of a process group of its own."""
        return subprocess.Popen(
            [self.flow, *map(str, arguments)], cwd=self.folder, stdin=subprocess.DEVNULL,
            stdout=stdout, stderr=stderr, text=True, start_new_session=True,
            env={**self.environment, **(environment or {})},
        )

    def run(self, *arguments):
        """Runs flow to its end: exit code, stdout, stderr."""
        child = self.start(*arguments)
        try:
            stdout, stderr = child.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
            stdout, stderr = child.communicate()
            return None, stdout, stderr
        return child.returncode, stdout, stderr

    def data(self, *arguments):
        """What a command prints as JSON; none where it prints none."""
        _, stdout, _ = self.run(*arguments, "--json")
        with contextlib.suppress(ValueError):
            return json.loads(stdout)
        return None

    @contextlib.contextmanager
    def database(self):
        """The database, for reading: one state of it however long it is read."""
        database = sqlite3.connect(f"file:{self.store / 'flow.db'}?mode=ro", uri=True, timeout=60)
        try:
            database.execute("BEGIN")
            yield database
        finally:
            database.close()

    def run_of(self, tag):
        """The id of the run with this tag; none where it died before it was kept."""
        if not (self.store / "flow.db").exists():
            return None
        with self.database() as database:
            try:
                row = database.execute(
                    "SELECT id FROM runs WHERE json_extract(inputs, '$.tag') = ?", [tag]
                ).fetchone()
            except sqlite3.OperationalError:  # It died before there were tables.
                return None
        return row and row[0]

    def status(self, run):
        """How a run stands in the store."""
        with self.database() as database:
            return database.execute("SELECT status FROM runs WHERE id = ?", [run]).fetchone()[0]


def models_of_recognition():
    """The folder of the models that scans need; none where this machine has none."""
    cache = os.environ.get("FLOW_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "flow")
    folder = pathlib.Path(os.environ.get("FLOW_OCR_MODELS") or f"{cache}/models/pp-ocrv6-small")
    return folder if folder.is_dir() else None
