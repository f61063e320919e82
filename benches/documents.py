"""Reading documents beside the programs that people use for it."""

import collections
import json
import shutil
import subprocess

from kernel import ROOT, folder, run
from measure import Row, absent, process, turns

SAMPLES = ROOT / "workflows" / "samples"
CASES = ROOT.parent / "shared" / "cases"

PAGES = """name: pages
inputs:
  file: { type: file }
steps:
  - id: pages
    uses: document.pages
    cache: false
    with: { file: "{{ inputs.file }}", dpi: 150 }
outputs: { pages: "{{ steps.pages.output.pages }}" }
"""

def poppler(file):
    """Words with their boxes, and pages as pictures, by poppler."""
    place = folder()
    words = process(["pdftotext", "-bbox", file, place / "words.html"]).seconds
    pixels = process(["pdftoppm", "-r", "150", "-png", file, place / "page"]).seconds
    shutil.rmtree(place)
    return words + pixels


def words_beside(flow, file):
    """Recall and precision of our words against those of pdftotext, position aside."""
    place = folder()
    (place / "w.yaml").write_text(PAGES)
    command = [flow, "run", "w.yaml", "--json", "--input", f"file={file}"]
    ran = subprocess.run(command, cwd=place, capture_output=True, text=True, check=True)
    said = subprocess.run(["pdftotext", file, "-"], capture_output=True, text=True, check=True)
    shutil.rmtree(place)
    pages = json.loads(ran.stdout)["outputs"]["pages"]
    ours = collections.Counter(word["text"] for page in pages for word in page["words"])
    theirs = collections.Counter(said.stdout.split())
    shared = sum((ours & theirs).values())
    return shared / max(1, sum(theirs.values())), shared / max(1, sum(ours.values()))


def pdf(flow):
    files = sorted(SAMPLES.glob("*.pdf")) + sorted((CASES / "invoices").rglob("*.pdf"))
    rows = []
    for file in files:
        what = f"{file.name}: words and pixels at 150 dpi, kept; pdftotext and pdftoppm"
        if not (shutil.which("pdftotext") and shutil.which("pdftoppm")):
            rows.append(absent(what, "poppler-utils is not there"))
            continue
        ours = lambda: run(flow, PAGES, "--input", f"file={file}")[0].seconds
        mine, theirs = turns(5, ours, lambda: poppler(file))
        rows.append(Row(what, f"{mine:.3f} s", f"{theirs:.3f} s", mine / theirs))
        recall, precision = words_beside(flow, file)
        rows.append(Row(
            f"{file.name}: words of pdftotext that we have, of ours that it has",
            f"{recall:.3f}, {precision:.3f}", ""))
    return rows
