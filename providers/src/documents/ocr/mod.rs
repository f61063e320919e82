//! Recognition of text on images: PP-OCR's two networks, run by `rten` or ONNX Runtime.
//!
//! ```text
//!   image ─ detect ─▶ quads ─ crop, batch by width ─ recognise ─▶ characters with steps
//!                                                                   │
//!              lines and words in reading order, boxes in points ◀─ layout
//! ```
//!
//! One network says for each pixel whether it belongs to text; what hangs together becomes
//! a quad. The other reads a quad's pixels as a sequence of characters, and the step at
//! which it reads a character tells where the character stands. Lines that neither is sure
//! of are left out. Text that runs up or down is read; upside-down pages are not turned.

mod detect;
mod geometry;
mod layout;
mod models;
mod recognise;
mod runtime;

use image::{DynamicImage, RgbImage};

use super::{Line, Word};
use detect::Detector;
use recognise::Recogniser;

pub use models::{OcrError, OcrModels};
pub use runtime::OcrRuntime;

/// The longest side that is looked at, in pixels; larger images are scaled down.
const LONGEST_SIDE: u32 = 4000;

/// The shortest side on which anything can be read.
const SHORTEST_SIDE: u32 = 4;

/// What was read on an image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OcrPage {
    /// The lines, one a row of the page.
    pub text: String,
    /// Lines in reading order.
    pub lines: Vec<Line>,
    /// Words in reading order.
    pub words: Vec<Word>,
}

/// The networks, loaded once and shared.
pub struct OcrEngine {
    detector: Detector,
    recogniser: Recogniser,
}

impl OcrEngine {
    /// Loads the networks. `threads` is how many threads a page may use.
    pub fn load(
        models: &OcrModels,
        runtime: &OcrRuntime,
        threads: usize,
    ) -> Result<Self, OcrError> {
        let networks = runtime.load(models, threads.max(1))?;
        let detector = Detector::new(networks.detector);
        let recogniser = Recogniser::new(networks.readers, &networks.characters);
        Ok(Self { detector, recogniser })
    }

    /// Reads an image. Boxes are in points where `dpi` is known, else in pixels.
    ///
    /// `cancelled` is asked between the steps of the work. Memory is bounded by a scaled
    /// copy of the image.
    pub fn read(
        &self,
        image: &DynamicImage,
        dpi: Option<f32>,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<OcrPage, OcrError> {
        let (pixels, scale) = bounded(image);
        if pixels.width().min(pixels.height()) < SHORTEST_SIDE {
            return Ok(OcrPage::default());
        }
        let stop = || {
            if cancelled() { Err(OcrError::Cancelled) } else { Ok(()) }
        };
        stop()?;
        let quads = self.detector.detect(&pixels)?;
        let lines = self.recogniser.read(&pixels, &quads, &stop)?;
        let points = 72.0 / dpi.unwrap_or(72.0) / scale;
        Ok(layout::page(&lines, points))
    }
}

/// The image as pixels, not larger than what is looked at, and by how much it was scaled.
fn bounded(image: &DynamicImage) -> (RgbImage, f32) {
    let longest = image.width().max(image.height());
    if longest <= LONGEST_SIDE {
        return (image.to_rgb8(), 1.0);
    }
    let scale = LONGEST_SIDE as f32 / longest as f32;
    let smaller = image.resize(LONGEST_SIDE, LONGEST_SIDE, image::imageops::FilterType::Triangle);
    (smaller.to_rgb8(), scale)
}
