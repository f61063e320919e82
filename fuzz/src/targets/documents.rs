//! Documents of every kind: each is read within its limits, or refused in words.
//!
//! The parsers are others', and behind a fence a panic of theirs is an error of the document.
//! A panic of flow's own code behind the same fence is none, and counts here.

use std::panic::{PanicHookInfo, set_hook, take_hook};
use std::path::Path;
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use flow_providers::documents::{
    DocumentError, Fault, Limits, OpenDocument, PARSER_THREAD, Page, Rendered, decode_image,
    encode_png, sniff,
};

#[path = "../../../providers/tests/support/office.rs"]
mod office_files;
#[path = "../../../providers/tests/support/pdf.rs"]
mod pdf_files;

/// As many pages of a document are looked at.
const PAGES: u32 = 3;

/// Panics of flow's own code on the threads of parsers, until a target sees them.
static OWN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Makes panics on the threads of parsers silent, but for those of flow's own code, which
/// fail the target that caused them. To be called before any target; once is enough.
pub fn own_panics_count() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            if std::thread::current().name() == Some(PARSER_THREAD) {
                note(panic);
            } else {
                before(panic);
            }
        }));
    });
}

fn note(panic: &PanicHookInfo<'_>) {
    // What the workspace holds is compiled by its path from there, all else by a whole one.
    if panic.location().is_some_and(|at| Path::new(at.file()).is_relative()) {
        OWN.lock().unwrap_or_else(PoisonError::into_inner).push(panic.to_string());
    }
}

fn limits() -> Limits {
    Limits {
        max_pixels: 1 << 21,
        max_pages: 100,
        max_bytes: 4 << 20,
        // As in the program: what takes longer hangs, on any machine.
        max_time: Duration::from_mins(1),
    }
}

/// The bytes are a PDF, or else what is drawn on the page of one.
pub(super) fn pdf(bytes: &[u8]) {
    if sniff(bytes) == Some("application/pdf") {
        return document("a.pdf", bytes.to_vec());
    }
    let commands = String::from_utf8_lossy(bytes);
    document("a.pdf", pdf_files::page("/MediaBox [0 0 200 100]", &commands));
}

/// The bytes are an image of any format.
pub(super) fn image(bytes: &[u8]) {
    document("a", bytes.to_vec());
    match decode_image("a", bytes, &limits()) {
        Ok((image, dpi)) => {
            assert!(dpi.is_none_or(f32::is_normal), "{dpi:?}");
            let image = image.into_rgb8();
            let png = encode_png(&image, dpi);
            let (again, _) = decode_image("a", &png, &limits()).expect("a PNG of our own");
            assert_eq!(again.into_rgb8(), image);
        }
        Err(error) => told(&error),
    }
    nothing_of_ours_panicked();
}

/// The first byte says under which name the others are a file, or of which package they are
/// the part that matters.
pub(super) fn office(bytes: &[u8]) {
    const NAMES: [&str; 10] =
        ["a.docx", "a.pptx", "a.xlsx", "a.epub", "a.html", "a.eml", "a.csv", "a.md", "a.json", "a"];
    let [first, rest @ ..] = bytes else { return };
    match first {
        b'w' => document("a.docx", office_files::docx(rest)),
        b's' => document("a.pptx", package("ppt/presentation.xml", "ppt/slides/slide1.xml", rest)),
        b'x' => document("a.xlsx", package("xl/workbook.xml", "xl/worksheets/sheet1.xml", rest)),
        other => document(NAMES[usize::from(*other) % NAMES.len()], rest.to_vec()),
    }
}

/// A package whose main part names one other by the usual relation, and that other.
fn package(main: &str, part: &str, bytes: &[u8]) -> Vec<u8> {
    let (folder, file) = main.split_once('/').unwrap_or_default();
    let target = part.strip_prefix(folder).unwrap_or(part).trim_start_matches('/');
    let kind = if folder == "xl" { "worksheet" } else { "slide" };
    let schema = "http://schemas.openxmlformats.org";
    let relation = |kind: &str, target: &str| {
        format!(
            r#"<Relationships xmlns="{schema}/package/2006/relationships"><Relationship Id="rId1" Type="{schema}/officeDocument/2006/relationships/{kind}" Target="{target}"/></Relationships>"#
        )
    };
    let listed = match kind {
        "slide" => format!(
            r#"<p:presentation xmlns:p="{schema}/presentationml/2006/main" xmlns:r="{schema}/officeDocument/2006/relationships"><p:sldIdLst><p:sldId id="256" r:id="rId1"/></p:sldIdLst></p:presentation>"#
        ),
        _ => format!(
            r#"<workbook xmlns="{schema}/spreadsheetml/2006/main" xmlns:r="{schema}/officeDocument/2006/relationships"><sheets><sheet name="S" sheetId="1" r:id="rId1"/></sheets></workbook>"#
        ),
    };
    office_files::package(&[
        ("_rels/.rels", relation("officeDocument", main).as_bytes()),
        (main, listed.as_bytes()),
        (&format!("{folder}/_rels/{file}.rels"), relation(kind, target).as_bytes()),
        (part, bytes),
    ])
}

/// Opens a document, and reads and draws its first pages.
fn document(name: &str, bytes: Vec<u8>) {
    let limits = limits();
    match OpenDocument::open(name, bytes, &limits) {
        Ok(document) => {
            let count = document.page_count();
            assert!((1..=limits.max_pages).contains(&count), "{count} pages");
            for number in 1..=count.min(PAGES) {
                let page = document.page(number);
                page.map_or_else(|error| told(&error), |page| readable(&page, number));
                let drawn = document.render(number, 72.0);
                drawn.map_or_else(|error| told(&error), |drawn| visible(drawn.as_ref(), &limits));
            }
        }
        Err(error) => told(&error),
    }
    nothing_of_ours_panicked();
}

fn readable(page: &Page, number: u32) {
    assert_eq!(page.number, number);
    assert!(page.width.is_finite() && page.height.is_finite(), "{page:?}");
    for word in &page.words {
        let (r, text) = (word.rect, &word.text);
        assert!(!text.trim().is_empty(), "{word:?}");
        assert!(0.0 <= r.x0 && r.x0 <= r.x1 && r.x1 <= page.width, "{word:?}");
        assert!(0.0 <= r.y0 && r.y0 <= r.y1 && r.y1 <= page.height, "{word:?}");
    }
    assert!(serde_json::to_string(page).is_ok(), "it is written as JSON");
}

fn visible(drawn: Option<&Rendered>, limits: &Limits) {
    let Some(Rendered { image, dpi }) = drawn else { return };
    let pixels = u64::from(image.width()) * u64::from(image.height());
    // What is drawn is rounded up to whole pixels on both sides.
    let edge = u64::from(image.width()) + u64::from(image.height());
    assert!(pixels > 0 && pixels <= limits.max_pixels + edge, "{pixels} pixels");
    assert!(dpi.is_normal() && *dpi > 0.0, "{dpi} dpi");
}

/// Asserts that an error has words and advice, and that no reader hangs.
fn told(error: &DocumentError) {
    assert!(error.to_string().len() > error.file.len() + 2, "{error:?}");
    assert!(!error.hint().is_empty(), "{error:?}");
    assert!(!matches!(error.fault, Fault::TimedOut { .. }), "{error}");
}

fn nothing_of_ours_panicked() {
    let panics = std::mem::take(&mut *OWN.lock().unwrap_or_else(PoisonError::into_inner));
    assert!(panics.is_empty(), "behind the fence: {}", panics.join("\n"));
}
