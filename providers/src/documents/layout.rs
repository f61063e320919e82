//! The vocabulary of a read page: words and lines with their boxes.
//!
//! Coordinates are points (1/72 inch) from the top left corner of the page as it is
//! shown, rotation applied. Where an image has no known resolution a pixel is a point.

use serde::{Deserialize, Serialize};

/// A page as its readers see it: its size and the words on it in reading order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// Ordinal of the page in its document, from 1.
    pub number: u32,
    /// Width in points.
    pub width: f32,
    /// Height in points.
    pub height: f32,
    /// Text of the page, one line of the page a line.
    #[serde(default)]
    pub text: String,
    /// Words in reading order.
    #[serde(default)]
    pub words: Vec<Word>,
}

/// A run of characters without a space between them, and where it stands.
///
/// Scripts that write no spaces (Japanese, Chinese) yield a whole phrase as one word.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Word {
    /// The characters.
    pub text: String,
    /// Where they stand.
    #[serde(rename = "box")]
    pub rect: Rect,
    /// How sure the reader is, 0 to 1; 1 for a PDF's own text.
    #[serde(serialize_with = "thousandth")]
    pub confidence: f32,
}

/// A line of words that belong together, and where it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// The words of the line, joined as they are written.
    pub text: String,
    /// Where the line stands.
    #[serde(rename = "box")]
    pub rect: Rect,
    /// Mean confidence of its characters, 0 to 1.
    #[serde(serialize_with = "thousandth")]
    pub confidence: f32,
}

/// A rectangle in points, serialised as `[x0, y0, x1, y1]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "[f32; 4]", into = "[f64; 4]")]
pub struct Rect {
    /// Left edge.
    pub x0: f32,
    /// Top edge.
    pub y0: f32,
    /// Right edge.
    pub x1: f32,
    /// Bottom edge.
    pub y1: f32,
}

impl Rect {
    /// Builds a rectangle from its edges.
    pub fn new(x0: f32, y0: f32, x1: f32, y1: f32) -> Self {
        Self { x0, y0, x1, y1 }
    }

    /// Width in points.
    pub fn width(&self) -> f32 {
        self.x1 - self.x0
    }

    /// Height in points.
    pub fn height(&self) -> f32 {
        self.y1 - self.y0
    }

    /// The smallest rectangle that holds both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self {
            x0: self.x0.min(other.x0),
            y0: self.y0.min(other.y0),
            x1: self.x1.max(other.x1),
            y1: self.y1.max(other.y1),
        }
    }
}

impl From<[f32; 4]> for Rect {
    fn from([x0, y0, x1, y1]: [f32; 4]) -> Self {
        Self { x0, y0, x1, y1 }
    }
}

/// Written to a hundredth of a point: finer than any reader sees.
impl From<Rect> for [f64; 4] {
    fn from(r: Rect) -> Self {
        [r.x0, r.y0, r.x1, r.y1].map(|edge| (f64::from(edge) * 100.0).round() / 100.0)
    }
}

/// Writes a confidence to a thousandth.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(crate) fn thousandth<S: serde::Serializer>(
    confidence: &f32,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((f64::from(*confidence) * 1000.0).round() / 1000.0)
}
