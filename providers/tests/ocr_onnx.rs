//! Recognition by ONNX Runtime beside recognition by `rten`, on the same real pages.
//!
//! The library is looked for in `FLOW_ONNXRUNTIME`, then where `scripts/fetch-onnxruntime`
//! puts it; without it, the networks or the cases the tests say so and pass. What is said of a
//! library that cannot be used is tested with the program itself.

#![cfg(feature = "ort")]

use std::fs;
use std::path::{Path, PathBuf};

use flow_providers::documents::{
    Limits, OcrEngine, OcrModels, OcrPage, OcrRuntime, Rect, decode_image,
};

#[expect(clippy::print_stderr, reason = "a test that was skipped says so")]
fn skip(why: &str) {
    eprintln!("skipped: {why}");
}

/// A file of the user's cache, or what a variable names.
fn cached(variable: &str, within: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let path = named.or(home.map(|home| home.join(".cache/flow").join(within)))?;
    if !path.exists() {
        skip(&format!("no `{}`", path.display()));
        return None;
    }
    Some(path)
}

/// The same networks, computed by the one and the other.
fn engines() -> Option<(OcrEngine, OcrEngine)> {
    let models = cached("FLOW_OCR_MODELS", "models/pp-ocrv6-small")?;
    let library = cached("FLOW_ONNXRUNTIME", "onnxruntime-1.32.0/libonnxruntime.so")?;
    let load = |runtime: OcrRuntime| {
        let models = OcrModels::in_folder(&models);
        OcrEngine::load(&models, &runtime, 2).expect("the networks load")
    };
    Some((load(OcrRuntime::Rten), load(OcrRuntime::OnnxRuntime { library })))
}

fn read(engine: &OcrEngine, file: &Path) -> OcrPage {
    let bytes = fs::read(file).expect("it is there");
    let (image, dpi) = decode_image("page", &bytes, &Limits::default()).expect("it is an image");
    engine.read(&image, dpi, &|| false).expect("it is read")
}

#[test]
fn both_runtimes_read_the_same_lines_in_the_same_places() {
    let Some((rten, onnx)) = engines() else { return };
    let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/cases/");
    for name in ["japanese/jp.png", "invoices/SammyMaystoneLinesTest.png"] {
        let file = Path::new(cases).join(name);
        if !file.is_file() {
            skip(&format!("no case `{name}`"));
            continue;
        }
        let (by_rten, by_onnx) = (read(&rten, &file), read(&onnx, &file));
        assert_eq!(by_rten.text, by_onnx.text, "{name}");
        for (one, other) in by_rten.lines.iter().zip(&by_onnx.lines) {
            let corners = |rect: Rect| [rect.x0, rect.y0, rect.x1, rect.y1];
            let apart = corners(one.rect).into_iter().zip(corners(other.rect));
            let apart = apart.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart < 1.0, "{name}: {one:?} and {other:?}");
        }
    }
}

#[test]
fn a_process_loads_one_library_and_says_so_of_another() {
    let Some((_, _onnx)) = engines() else { return };
    let library = cached("FLOW_ONNXRUNTIME", "onnxruntime-1.32.0/libonnxruntime.so");
    let library = library.expect("it was loaded");
    let folder = tempfile::tempdir().expect("a folder");
    let other = folder.path().join("libonnxruntime.so");
    fs::write(&other, "no library").expect("it is written");
    let loaded = OcrRuntime::OnnxRuntime { library: library.clone() };
    assert_eq!(
        loaded.verify().expect("it is loaded"),
        format!("ONNX Runtime, `{}`", library.display())
    );
    let error = OcrRuntime::OnnxRuntime { library: other.clone() }.verify().expect_err("another");
    assert_eq!(
        error.to_string(),
        format!(
            "cannot use the library of ONNX Runtime `{}`: this process has loaded `{}`",
            other.display(),
            library.display()
        )
    );
}
