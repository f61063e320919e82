"""Reading documents beside the programs that people use for it."""

import pathlib
import shutil

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
"""

def poppler(file):
    """Words with their boxes, and pages as pictures, by poppler."""
    place = folder()
    words = process(["pdftotext", "-bbox", file, place / "words.html"]).seconds
    pixels = process(["pdftoppm", "-r", "150", "-png", file, place / "page"]).seconds
    shutil.rmtree(place)
    return words + pixels


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
    return rows
