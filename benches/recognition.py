"""Reading pages beside the programs that people use for it: seconds, and what is read.

A page costs what a program needs for it once its networks are loaded: a process that reads
the page PAGES times takes so much longer than one that reads it once, start to exit of both.
Processor seconds (user and system, of all threads) are measured beside those of the clock:
they say what a page costs where other programs take the cores meanwhile. What is read comes
from the same processes. Nothing is kept between them.
"""

import collections
import dataclasses
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time
import unicodedata

from documents import CASES
from kernel import folder
from peers import CACHE, PYTHON

ROUNDS, PAGES = 2, 3
LIBRARY = CACHE.parent / "onnxruntime-1.32.0"
COLUMNS = ["rten", "ONNX Runtime", "rapidocr", "tesseract"]

WORKFLOW = """name: read
inputs:
  image: { type: file }
steps:
  - id: read
    for_each: PAGES
    uses: document.ocr
    cache: false
    with: { image: "{{ inputs.image }}" }
outputs: { text: "{{ steps.read.output[0].text }}" }
"""

RAPIDOCR = """
import sys
from rapidocr import RapidOCR
engine = RapidOCR()
for _ in range(int(sys.argv[2])):
    read = engine(sys.argv[1])
print("\\n".join(read.txts))
"""


@dataclasses.dataclass
class Took:
    """Seconds of the clock from start to exit, and of the processor."""

    clock: float
    processor: float

    def beyond(self, other, pages):
        """What each of so many pages took beyond another process."""
        return Took((self.clock - other.clock) / pages, (self.processor - other.processor) / pages)


def timed(command, **more):
    """What a program took, and what it printed; one that fails ends all."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        begin = time.perf_counter()
        child = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=out, stderr=err, **more)
        _, status, used = os.wait4(child.pid, 0)
        took = Took(time.perf_counter() - begin, used.ru_utime + used.ru_stime)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            err.seek(0)
            said = err.read().decode()[-2000:]
            raise SystemExit(f"{command[0]}: exit {child.returncode}\n{said}")
        out.seek(0)
        return took, out.read().decode()


def by_flow(flow, image, pages, library=None):
    place = folder()
    (place / "w.yaml").write_text(WORKFLOW.replace("PAGES", str(pages)))
    given = {name: value for name, value in os.environ.items() if name != "FLOW_ONNXRUNTIME"}
    if library:
        given["FLOW_ONNXRUNTIME"] = str(library)
    command = [flow, "run", "w.yaml", "--json", "--input", f"image={image}"]
    took, said = timed(command, cwd=place, env=given)
    shutil.rmtree(place)
    return took, json.loads(said)["outputs"]["text"]


def by_rapidocr(image, pages):
    return timed([PYTHON, "-c", RAPIDOCR, image, pages])


def by_tesseract(image, pages):
    place = folder()
    (place / "list.txt").write_text(f"{image}\n" * pages)
    took, said = timed(["tesseract", place / "list.txt", "stdout", "-l", "eng+jpn"])
    shutil.rmtree(place)
    return took, said.split("\f")[0]


def readers(flow):
    """Those that are there, by name; what is missing for the others."""
    found, missing = {"rten": lambda image, pages: by_flow(flow, image, pages)}, []
    library = next(iter(sorted(LIBRARY.glob("libonnxruntime.*"))), None)
    if library is None:
        missing.append("ONNX Runtime: run scripts/fetch-onnxruntime")
    else:
        named = {**os.environ, "FLOW_ONNXRUNTIME": str(library)}
        doctor = subprocess.run(
            [flow, "doctor", "--json"], env=named, capture_output=True, text=True, check=False)
        engine = next(f for f in json.loads(doctor.stdout) if f["name"] == "ocr engine")
        if engine["found"]:
            found["ONNX Runtime"] = lambda image, pages: by_flow(flow, image, pages, library)
        else:
            missing.append(f"ONNX Runtime: {engine['what']}")
    if PYTHON.exists() and list(PYTHON.parent.parent.rglob("rapidocr/__init__.py")):
        found["rapidocr"] = by_rapidocr
    else:
        missing.append("rapidocr: run scripts/fetch-bench-peers")
    if shutil.which("tesseract"):
        found["tesseract"] = by_tesseract
    else:
        missing.append("tesseract: it is not installed")
    return found, missing


def measured(image, found):
    """For each reader what the first page took, what further ones took, and the text."""
    firsts, furthers = ({name: [] for name in found} for _ in range(2))
    texts = {}
    for _ in range(ROUNDS):
        for name, reader in found.items():
            one, texts[name] = reader(image, 1)
            several, _ = reader(image, PAGES)
            firsts[name].append(one)
            furthers[name].append(several.beyond(one, PAGES - 1))
    return firsts, furthers, texts


def medians(taken, kind):
    """The median of the rounds, of the clock or the processor."""
    return {name: statistics.median(getattr(t, kind) for t in took) for name, took in taken.items()}


def letters(text):
    """A text without spaces, in which wide and narrow forms of a letter are the same."""
    return "".join(unicodedata.normalize("NFKC", text).split())


def distance(a, b):
    """How many characters must be put in, left out or replaced to make one the other."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def words(text):
    return collections.Counter(unicodedata.normalize("NFKC", text).split())


def truth_of(image):
    """What stands on the page and how a text is judged by it; none where nobody knows."""
    known = image.with_suffix(".txt")
    if known.is_file():
        wanted = letters(known.read_text())
        judge = lambda text: 1 - distance(letters(text), wanted) / len(wanted)
        return f"characters right, of {len(wanted)}", judge
    pdf = image.with_suffix(".pdf")
    if pdf.is_file() and shutil.which("pdftotext"):
        _, printed = timed(["pdftotext", "-layout", "-l", "1", pdf, "-"])
        wanted = list(words(printed).elements())

        def judge(text):
            read = letters(text)
            return sum(letters(word) in read for word in wanted) / len(wanted)
        return f"words of its PDF that were read, of {len(wanted)}", judge
    return None


def same_lines(text, other):
    """How many lines of a text stand in another, spaces aside."""
    mine, theirs = (collections.Counter(map(letters, t.splitlines())) for t in (text, other))
    return sum((mine & theirs).values()), sum(theirs.values())


def verdict(values, best):
    """Ratios of ours beside rapidocr, and whether one of them is as good as the target."""
    if "rapidocr" not in values:
        return ["", "", ""]
    shown, met = [], False
    for name in COLUMNS[:2]:
        ratio = values[name] / values["rapidocr"] if name in values else None
        shown.append("" if ratio is None else f"{ratio:.2f}")
        met |= ratio is not None and best(ratio)
    return [*shown, "met" if met else "**missed**"]


def ocr(flow):
    images = [p for p in sorted(CASES.rglob("*")) if p.suffix in (".png", ".jpg", ".jpeg")]
    if not images:
        return "not measured: the shared cases are not beside the checkout"
    found, missing = readers(flow)
    heads = ["page", "", *COLUMNS, "rten / rapidocr", "ONNX Runtime / rapidocr", ""]
    lines = ["| " + " | ".join(heads) + " |", "|---|---|" + "--:|" * 6 + "---|"]

    def row(page, what, shown, judged):
        cells = [page, what, *(shown.get(name, "") for name in COLUMNS), *judged]
        lines.append("| " + " | ".join(cells) + " |")

    for image in images:
        firsts, furthers, texts = measured(image, found)
        page = image.name
        for what, taken, kind in [
            ("seconds, networks loaded", furthers, "clock"),
            ("processor seconds, networks loaded", furthers, "processor"),
            ("seconds, with start and loading", firsts, "clock"),
        ]:
            taken = medians(taken, kind)
            row(page, what, {name: f"{value:.2f}" for name, value in taken.items()},
                verdict(taken, lambda ratio: ratio <= 1))
            page = ""
        if truth := truth_of(image):
            right = {name: truth[1](text) for name, text in texts.items()}
            row("", truth[0], {name: f"{share:.4f}" for name, share in right.items()},
                verdict(right, lambda ratio: ratio >= 1))
        if "rapidocr" in texts:
            shared = {name: same_lines(texts[name], texts["rapidocr"]) for name in texts}
            row("", "lines as rapidocr reads them",
                {name: f"{same} of {all_}" for name, (same, all_) in shared.items()}, ["", "", ""])
    return "\n".join([*lines, *(f"\nNot measured: {what}." for what in missing)])
