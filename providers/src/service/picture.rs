//! Makes an image, or the pages of a file, such as a model takes them.
//!
//! Whatever blocks is here: files are read by the guarded readers of
//! [`documents`](crate::documents), scaled and encoded. PNG loses nothing and is what comes
//! out, but for a photograph that was a JPEG, and where only a JPEG is small enough.

use std::fmt;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use flow_core::error::{ErrorClass, Failure};
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, GenericImageView, ImageFormat, Rgb, RgbImage};

use super::fitting::unreadable;
use super::scale::{in_bytes, scaled};
use crate::catalog::ImageLimits;
use crate::documents::{Limits, OpenDocument, OpenImage, PageSelection};

/// Qualities of JPEG that are tried until the file is small enough.
const QUALITIES: [u8; 2] = [90, 80];

/// The shortest side to which an image is scaled so that its file becomes small enough.
const SMALLEST: u32 = 64;

/// The dots an inch of pages that are drawn: small print is still legible.
const DPI: f32 = 150.0;

/// The longest side of a page that is drawn, in pixels; models look no closer.
const PAGE_SIDE: f32 = 3000.0;

/// Points an inch.
const POINTS: f32 = 72.0;

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size(pub(super) u32, pub(super) u32);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x {}", self.0, self.1)
    }
}

/// An image that was made for a model.
#[derive(Debug)]
pub(super) struct Picture {
    /// The file.
    pub(super) bytes: Vec<u8>,
    /// How large it was.
    pub(super) from: Size,
    /// How large it is.
    pub(super) to: Size,
}

/// A file whose pages can be made pictures.
pub(super) enum Pages {
    /// An image, as often as not of one page.
    Image { image: OpenImage, photograph: bool },
    /// A document whose pages are drawn.
    Drawn(OpenDocument),
}

impl Pages {
    /// Opens a file by what it is.
    pub(super) fn open(name: &str, path: &Path, media_type: &str) -> Result<Self, Failure> {
        let bytes = std::fs::read(path).map_err(|error| unreadable(name, &error))?;
        let bytes = Arc::from(bytes);
        Ok(match media_type.starts_with("image/") {
            true => Self::Image {
                image: OpenImage::open(name, bytes, &Limits::default())?,
                photograph: media_type == "image/jpeg",
            },
            false => Self::Drawn(OpenDocument::open(name, bytes, &Limits::default())?),
        })
    }

    /// Number of pages, 1 or more.
    pub(super) fn count(&self) -> u32 {
        match self {
            Self::Image { image, .. } => image.page_count(),
            Self::Drawn(document) => document.page_count(),
        }
    }

    /// A page in the form a model takes: upright, with its proportions.
    pub(super) fn picture(
        &self,
        name: &str,
        number: u32,
        limits: &ImageLimits,
    ) -> Result<Picture, Failure> {
        match self {
            Self::Image { image, photograph } => {
                made(name, image.page(number)?, *photograph, limits)
            }
            Self::Drawn(document) => {
                let (width, height) = document.page_size(number)?.unwrap_or_default();
                let longest = width.max(height).max(1.0);
                let side = limits.side.map_or(PAGE_SIDE, |side| PAGE_SIDE.min(side as f32));
                // A page that is drawn a pixel too large is scaled.
                let dpi = DPI.min(side * POINTS / longest).max(1.0);
                let drawn = document.render(number, dpi)?;
                let drawn = drawn.ok_or_else(|| {
                    Failure::input(format!("`{name}` has no pages that can be drawn"))
                })?;
                made(name, drawn.image.into(), false, limits)
            }
        }
    }
}

/// The pages of a document that are meant.
pub(super) fn selected(
    name: &str,
    selection: Option<&PageSelection>,
    count: u32,
) -> Result<Vec<u32>, Failure> {
    let all = PageSelection::default();
    selection
        .unwrap_or(&all)
        .select(count)
        .map_err(|error| Failure::input(format!("`{name}`: `pages`: {error}")))
}

fn made(
    name: &str,
    image: DynamicImage,
    photograph: bool,
    limits: &ImageLimits,
) -> Result<Picture, Failure> {
    let (width, height) = image.dimensions();
    let from = Size(width, height);
    let most = limits.bytes.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    let png = !photograph && limits.types.takes("image/png");
    let mut image = scaled(image, limits.fitted((width, height)));
    loop {
        let (width, height) = image.dimensions();
        if let Some(bytes) = encoded(name, &image, png, most)? {
            return Ok(Picture { bytes, from, to: Size(width, height) });
        }
        if width.min(height) < SMALLEST {
            let message = format!("`{name}` cannot be made smaller than {most} bytes");
            return Err(Failure::new(ErrorClass::TooLarge, message));
        }
        image = scaled(image, (width * 3 / 4, height * 3 / 4));
    }
}

/// The image as a file of at most so many bytes, if there is one.
fn encoded(
    name: &str,
    image: &DynamicImage,
    png: bool,
    most: usize,
) -> Result<Option<Vec<u8>>, Failure> {
    let failed = |why: image::ImageError| Failure::internal(format!("`{name}`: {why}"));
    if png {
        let mut file = Cursor::new(Vec::new());
        image.write_to(&mut file, ImageFormat::Png).map_err(failed)?;
        if file.get_ref().len() <= most {
            return Ok(Some(file.into_inner()));
        }
    }
    let opaque = on_white(image);
    let image = opaque.as_ref().unwrap_or(image);
    for quality in QUALITIES {
        let mut jpeg = Vec::new();
        let encoder = JpegEncoder::new_with_quality(&mut jpeg, quality);
        image.write_with_encoder(encoder).map_err(failed)?;
        if jpeg.len() <= most {
            return Ok(Some(jpeg));
        }
    }
    Ok(None)
}

/// The image on white, where it is transparent: JPEG is not.
fn on_white(image: &DynamicImage) -> Option<DynamicImage> {
    if !image.color().has_alpha() {
        return None;
    }
    let source = in_bytes(image.clone()).into_rgba8();
    let white = RgbImage::from_fn(source.width(), source.height(), |x, y| {
        let [red, green, blue, alpha] = source.get_pixel(x, y).0.map(u16::from);
        let over =
            |part: u16| u8::try_from((part * alpha + 255 * (255 - alpha)) / 255).unwrap_or(u8::MAX);
        Rgb([over(red), over(green), over(blue)])
    });
    Some(white.into())
}
