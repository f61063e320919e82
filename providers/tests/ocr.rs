//! Recognition with the real networks: what is read, where it stands, and what is said of
//! networks that are not what they should be.
//!
//! The networks are looked for in `FLOW_OCR_MODELS`, then where `make models` puts them;
//! without them the tests say so and pass. What computes them is `rten`, or ONNX Runtime where
//! the tests were built with the feature `ort` and `FLOW_ONNXRUNTIME` names its library.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use flow_providers::documents::{
    Limits, OcrEngine, OcrError, OcrModels, OcrPage, OcrRuntime, decode_image,
};
use image::{DynamicImage, RgbImage, imageops};

const DETECTOR: &str = "PP-OCRv6_det_small.onnx";
const RECOGNISER: &str = "PP-OCRv6_rec_small.onnx";

/// Share of the Japanese page's characters that were right when this was written, less 0.01.
const JAPANESE: f64 = 0.98;

const FETCH: &str =
    "`make models` fetches it; or put the files of the `rapidocr` 3.10.0 wheel there";

/// The folder of the networks, where there is one.
fn folder() -> Option<PathBuf> {
    let named = std::env::var_os("FLOW_OCR_MODELS").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let folder = named.or(home.map(|home| home.join(".cache/flow/models/pp-ocrv6-small")))?;
    let found = [DETECTOR, RECOGNISER].iter().all(|name| folder.join(name).is_file());
    if !found {
        skip(&format!("no networks in `{}`", folder.display()));
    }
    found.then_some(folder)
}

#[expect(clippy::print_stderr, reason = "a test that was skipped says so")]
fn skip(why: &str) {
    eprintln!("skipped: {why}");
}

/// What computes the networks in these tests.
fn runtime() -> OcrRuntime {
    match std::env::var_os("FLOW_ONNXRUNTIME") {
        Some(library) if cfg!(feature = "ort") => {
            OcrRuntime::OnnxRuntime { library: library.into() }
        }
        _ => OcrRuntime::Rten,
    }
}

/// The engine, loaded once for all tests.
fn engine() -> Option<&'static OcrEngine> {
    static ENGINE: OnceLock<Option<OcrEngine>> = OnceLock::new();
    let load = || {
        let models = OcrModels::in_folder(folder()?);
        Some(OcrEngine::load(&models, &runtime(), 2).expect("the networks load"))
    };
    ENGINE.get_or_init(load).as_ref()
}

/// A file of the cases that are shared with other projects, where they are.
fn case(name: &str) -> Option<PathBuf> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/cases/");
    let path = Path::new(root).join(name);
    if !path.is_file() {
        skip(&format!("no case `{name}`"));
        return None;
    }
    Some(path)
}

fn picture(name: &str) -> Option<(DynamicImage, Option<f32>)> {
    let bytes = fs::read(case(name)?).expect("it is there");
    Some(decode_image(name, &bytes, &Limits::default()).expect("it is an image"))
}

fn read(engine: &OcrEngine, image: &DynamicImage, dpi: Option<f32>) -> OcrPage {
    engine.read(image, dpi, &|| false).expect("it is read")
}

fn characters(text: &str) -> Vec<char> {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

/// How many characters must be put in, left out or replaced to make one text the other.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

#[test]
fn a_japanese_page_is_read_to_the_character() {
    let (Some(engine), Some((image, dpi)), Some(truth)) =
        (engine(), picture("japanese/jp.png"), case("japanese/jp.txt"))
    else {
        return;
    };
    let truth = characters(&fs::read_to_string(truth).expect("it is text"));
    let found = characters(&read(engine, &image, dpi).text);
    let right = 1.0 - distance(&found, &truth) as f64 / truth.len() as f64;
    assert!(right >= JAPANESE, "{right}");
}

#[test]
fn invoices_say_what_is_printed_on_them() {
    let Some(engine) = engine() else { return };
    for (name, strings) in [
        (
            "AmazonWebServices",
            &["42183017", "August 3 , 2014", "$4.11", "Amazon Web Services, Inc."] as &[_],
        ),
        (
            "FlipkartInvoice",
            &["BLR_WFLD20151000982590", "20-10-2015", "OD304175096047380001", "319.00"],
        ),
        (
            "SammyMaystoneLinesTest",
            &["Parts: 2 x shop supplies", "Parts: 1 x cap_a", "Balance Due:", "$127.50"],
        ),
    ] {
        let Some((image, dpi)) = picture(&format!("invoices/{name}.png")) else {
            continue;
        };
        let page = read(engine, &image, dpi);
        let text: String = characters(&page.text).into_iter().collect();
        for string in strings {
            let wanted: String = characters(string).into_iter().collect();
            assert!(text.contains(&wanted), "{name} lacks `{string}`:\n{}", page.text);
        }
    }
}

/// The lines' boxes hold nearly all ink of the page, and every word stands on some.
#[test]
fn boxes_lie_on_ink_within_the_page() {
    let Some(engine) = engine() else { return };
    for name in ["AmazonWebServices", "SammyMaystoneLinesTest"] {
        let Some((image, dpi)) = picture(&format!("invoices/{name}.png")) else {
            continue;
        };
        let grey = image.to_luma8();
        let points = 72.0 / dpi.expect("a scan says its resolution");
        let (width, height) = (grey.width() as f32 * points, grey.height() as f32 * points);
        let page = read(engine, &image, dpi);
        assert!(page.words.len() >= page.lines.len());
        for word in &page.words {
            let [x0, y0, x1, y1] = [word.rect.x0, word.rect.y0, word.rect.x1, word.rect.y1];
            assert!(
                0.0 <= x0 && x0 < x1 && x1 <= width && 0.0 <= y0 && y0 < y1 && y1 <= height,
                "{name}: {word:?} leaves the page of {width}x{height}"
            );
            let [left, top, right, bottom] = [x0, y0, x1, y1].map(|at| (at / points) as u32);
            let lit = imageops::crop_imm(&grey, left, top, right - left, bottom - top).to_image();
            let (darkest, palest) = lit
                .pixels()
                .fold((255, 0), |(dark, pale), pixel| (pixel.0[0].min(dark), pixel.0[0].max(pale)));
            assert!(palest - darkest > 60, "{name}: {word:?} stands on nothing");
        }
    }
}

#[test]
fn what_has_no_text_is_an_empty_page() {
    let Some(engine) = engine() else { return };
    for (width, height) in [(800, 600), (1, 1), (3, 5000), (5000, 3), (40, 40)] {
        for shade in [255, 0] {
            let image = RgbImage::from_pixel(width, height, image::Rgb([shade; 3]));
            let page = read(engine, &image.into(), None);
            assert_eq!(page, OcrPage::default(), "{width}x{height} of {shade}");
        }
    }
}

#[test]
fn a_line_that_runs_up_or_down_is_read() {
    let (Some(engine), Some((image, _))) =
        (engine(), picture("invoices/SammyMaystoneLinesTest.png"))
    else {
        return;
    };
    let page = read(engine, &image, None);
    let line =
        page.lines.iter().max_by_key(|line| line.text.chars().count()).expect("a page of lines");
    let rect = line.rect;
    let (left, top) = (rect.x0 as u32 - 8, rect.y0 as u32 - 8);
    let (width, height) = (rect.width() as u32 + 16, rect.height() as u32 + 16);
    let strip = image.crop_imm(left, top, width, height);
    let side = width + 200;
    let upright = read(engine, &strip, None);
    for strip in [strip.rotate90(), strip.rotate270()] {
        let mut paper = RgbImage::from_pixel(side, side, image::Rgb([255; 3]));
        imageops::overlay(&mut paper, &strip.to_rgb8(), 100, 100);
        let turned = read(engine, &paper.into(), None);
        assert_eq!(characters(&turned.text), characters(&upright.text));
        let rect = turned.lines[0].rect;
        assert!(rect.height() > rect.width(), "{rect:?}");
    }
}

#[test]
fn the_same_page_is_read_the_same_on_any_number_of_threads() {
    let (Some(engine), Some(folder), Some((image, dpi))) =
        (engine(), folder(), picture("invoices/FlipkartInvoice.png"))
    else {
        return;
    };
    let alone = OcrEngine::load(&OcrModels::in_folder(folder), &runtime(), 0).expect("one thread");
    assert_eq!(read(&alone, &image, dpi).text, read(engine, &image, dpi).text);
}

#[test]
fn reading_ends_when_it_is_stopped() {
    let (Some(engine), Some((image, dpi))) = (engine(), picture("invoices/FlipkartInvoice.png"))
    else {
        return;
    };
    for asked_before in [0, 1, 3] {
        let asked = AtomicUsize::new(0);
        let stop = || asked.fetch_add(1, Ordering::Relaxed) >= asked_before;
        let error = engine.read(&image, dpi, &stop).expect_err("it was stopped");
        assert!(matches!(error, OcrError::Cancelled));
        assert_eq!(error.to_string(), "recognition was stopped");
        assert_eq!(error.hint(), None);
    }
}

/// What is said when the networks of this folder are checked, and when they are loaded.
fn complaint(folder: &Path) -> (String, Option<&'static str>) {
    let models = OcrModels::in_folder(folder);
    let checked = models.verify().expect_err("something is wrong");
    let loaded = OcrEngine::load(&models, &runtime(), 1).err().expect("it does not load");
    assert_eq!(loaded.to_string(), checked.to_string());
    (checked.to_string(), checked.hint())
}

#[test]
fn a_network_that_is_missing_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(DETECTOR);
    let message = format!("the OCR model `{}` is missing", file.display());
    assert_eq!(complaint(folder.path()), (message, Some(FETCH)));
}

#[test]
fn a_network_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(DETECTOR);
    fs::create_dir(&file).expect("a folder in place of a file");
    let (message, hint) = complaint(folder.path());
    let expected = format!("cannot read the OCR model `{}`: ", file.display());
    assert!(message.starts_with(&expected), "{message}");
    assert_eq!(hint, None);
}

#[test]
fn a_network_that_is_damaged_is_named() {
    let Some(models) = folder() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    for name in [DETECTOR, RECOGNISER] {
        fs::copy(models.join(name), folder.path().join(name)).expect("it is copied");
    }
    OcrModels::in_folder(folder.path()).verify().expect("they are whole");

    for name in [RECOGNISER, DETECTOR] {
        let file = folder.path().join(name);
        let whole = fs::read(&file).expect("it is there");
        let half = &whole[..whole.len() / 2];
        fs::write(&file, half).expect("it is cut");
        let message = format!(
            "the OCR model `{}` is damaged: it has {} bytes instead of {}",
            file.display(),
            half.len(),
            whole.len()
        );
        assert_eq!(complaint(folder.path()), (message, Some(FETCH)));

        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        fs::write(&file, &flipped).expect("a bit is flipped");
        let (message, hint) = complaint(folder.path());
        let start = format!("the OCR model `{}` is damaged: its SHA-256 is ", file.display());
        assert!(message.starts_with(&start), "{message}");
        assert!(message.contains(" instead of "), "{message}");
        assert_eq!(hint, Some(FETCH));
        fs::write(&file, &whole).expect("it is whole again");
    }
}
