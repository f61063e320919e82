"""Reading documents beside the programs that people use for it."""

import pathlib
import shutil

from kernel import ROOT, folder, run
from measure import Row, absent, process, turns
from peers import PYTHON

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

READ = """name: read
inputs:
  image: { type: file }
steps:
  - id: read
    uses: document.ocr
    cache: false
    with: { image: "{{ inputs.image }}" }
"""

RAPIDOCR = "import sys; from rapidocr import RapidOCR; assert RapidOCR()(sys.argv[1]).txts"


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


def ocr(flow):
    images = [p for p in sorted(CASES.rglob("*")) if p.suffix in (".png", ".jpg", ".jpeg")]
    if not images:
        return [absent("recognition of a page", "the shared cases are not beside the checkout")]
    rows = []
    for image in images:
        ours = lambda: run(flow, READ, "--input", f"image={image}")[0].seconds
        others = [
            ("rapidocr", PYTHON.exists() and list(PYTHON.parent.parent.rglob("rapidocr/__init__.py")),
             lambda: process([PYTHON, "-c", RAPIDOCR, image]).seconds),
            ("tesseract", shutil.which("tesseract"),
             lambda: process(["tesseract", image, "stdout", "-l", "eng+jpn"]).seconds),
        ]
        for name, there, peer in others:
            what = f"{image.name}: read, start and loading included; {name}"
            if not there:
                rows.append(absent(what, f"{name} is not there"))
                continue
            mine, theirs = turns(3, ours, peer)
            rows.append(Row(what, f"{mine:.2f} s", f"{theirs:.2f} s", mine / theirs, ("<=", 1)))
    return rows
