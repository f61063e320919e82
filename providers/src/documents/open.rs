//! Opening a document of any kind, and reading it page by page.

use std::sync::Arc;
use std::time::Duration;

use image::RgbImage;

use super::error::{DocumentError, Fault};
use super::layout::Page;
use super::office;
use super::pdf::Pdf;
use super::raster::{Raster, format_of};
use super::sniff::{media_of_name, sniff};

/// A document that was opened: a PDF, an image, or text of some kind.
///
/// Every call is synchronous and may take as long as [`Limits::max_time`]; call it where
/// blocking is allowed.
pub struct OpenDocument {
    name: String,
    limits: Limits,
    media: &'static str,
    body: Body,
}

enum Body {
    Pdf(Pdf),
    Raster(Raster),
    /// Markdown, page by page; one page or more.
    Text(Vec<String>),
}

/// How much of the machine one document may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Pixels of a page or an image: 100 million, which is A1 at 300 dpi twice over and
    /// 400 MB while it is drawn.
    pub max_pixels: u64,
    /// Pages of a document: 10,000.
    pub max_pages: u32,
    /// Bytes of a file: 256 MiB.
    pub max_bytes: u64,
    /// Time of one call, 60 seconds. A reader that overran is left behind, not stopped.
    pub max_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_pixels: 100_000_000,
            max_pages: 10_000,
            max_bytes: 256 << 20,
            max_time: Duration::from_mins(1),
        }
    }
}

/// The pixels of a page.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// The page, as it is shown.
    pub image: RgbImage,
    /// Its dots per inch; 72 for an image that names none, so that a pixel is a point.
    pub dpi: f32,
}

impl OpenDocument {
    /// Opens a document from its bytes; `name` is for messages, and tells text formats
    /// apart that the bytes do not.
    pub fn open(
        name: &str,
        bytes: impl Into<Arc<[u8]>>,
        limits: &Limits,
    ) -> Result<Self, DocumentError> {
        let bytes = bytes.into();
        let (media, body) = judge(name, &bytes, limits)
            .and_then(|media| Ok((media, Body::open(bytes, media, limits)?)))
            .map_err(|fault| fault.of(name))?;
        Ok(Self { name: name.to_owned(), limits: limits.clone(), media, body })
    }

    /// Media type of the document.
    pub fn media(&self) -> &'static str {
        self.media
    }

    /// Number of pages, 1 or more.
    pub fn page_count(&self) -> u32 {
        match &self.body {
            Body::Pdf(pdf) => pdf.page_count(),
            Body::Raster(raster) => raster.page_count(),
            Body::Text(pages) => pages.len() as u32,
        }
    }

    /// Reads a page: its size, its text, and its words, of which a scan has none.
    ///
    /// A page of a text document has no size, and its text is Markdown.
    pub fn page(&self, number: u32) -> Result<Page, DocumentError> {
        self.on_page(number, || match &self.body {
            Body::Pdf(pdf) => pdf.page(number, &self.limits),
            Body::Raster(raster) => raster.page(number, &self.limits),
            Body::Text(pages) => {
                Ok(Page { number, text: pages[number as usize - 1].clone(), ..Page::default() })
            }
        })
    }

    /// How large a page is, in points; `None` for a document that has no size.
    pub(crate) fn page_size(&self, number: u32) -> Result<Option<(f32, f32)>, DocumentError> {
        self.on_page(number, || match &self.body {
            Body::Pdf(pdf) => pdf.size(number, &self.limits).map(Some),
            Body::Raster(raster) => {
                raster.page(number, &self.limits).map(|page| Some((page.width, page.height)))
            }
            Body::Text(_) => Ok(None),
        })
    }

    /// Draws a page at a resolution; an image comes as it is, at its own.
    ///
    /// `None` for a document that has no pixels.
    pub fn render(&self, number: u32, dpi: f32) -> Result<Option<Rendered>, DocumentError> {
        self.on_page(number, || {
            if !(1.0..=2400.0).contains(&dpi) {
                return Err(Fault::Dpi { dpi });
            }
            match &self.body {
                Body::Pdf(pdf) => pdf.render(number, dpi, &self.limits).map(Some),
                Body::Raster(raster) => raster.render(number, &self.limits).map(Some),
                Body::Text(_) => Ok(None),
            }
        })
    }

    fn on_page<T>(
        &self,
        page: u32,
        work: impl FnOnce() -> Result<T, Fault>,
    ) -> Result<T, DocumentError> {
        let pages = self.page_count();
        if (1..=pages).contains(&page) { work() } else { Err(Fault::NoSuchPage { page, pages }) }
            .map_err(|fault| fault.of(&self.name))
    }
}

impl Body {
    fn open(bytes: Arc<[u8]>, media: &'static str, limits: &Limits) -> Result<Self, Fault> {
        if media == "application/pdf" {
            Pdf::open(bytes, limits).map(Self::Pdf)
        } else if format_of(media).is_some() {
            Raster::open(bytes, media, limits).map(Self::Raster)
        } else {
            office::read(bytes, media, limits).map(Self::Text)
        }
    }
}

/// Finds out what the bytes are, and whether they are what the name says.
fn judge(name: &str, bytes: &[u8], limits: &Limits) -> Result<&'static str, Fault> {
    if bytes.is_empty() {
        return Err(Fault::Empty);
    }
    if bytes.len() as u64 > limits.max_bytes {
        return Err(Fault::TooLarge { bytes: bytes.len() as u64, max: limits.max_bytes });
    }
    let named = media_of_name(name);
    match (named, sniff(bytes)) {
        // Text formats look alike, and there the name knows better.
        (Some(named), Some(found)) if is_text(named) && is_text(found) => Ok(named),
        // An error page or a note under the name of a binary format.
        (Some(named), Some(found)) if !is_text(named) && is_text(found) => {
            Err(Fault::Mismatch { named, found })
        }
        // Office programs keep what they encrypt in a container of the old kind.
        (_, Some("application/x-ole-storage")) if is_encrypted_package(bytes) => {
            Err(Fault::Encrypted)
        }
        (_, Some(found)) => Ok(found),
        // Text in an old encoding has no sign of its own.
        (Some(named), None) if is_text(named) && !bytes.contains(&0) => Ok(named),
        (_, None) => Err(Fault::unknown(bytes)),
    }
}

fn is_encrypted_package(bytes: &[u8]) -> bool {
    const STREAM: &[u8] = b"E\0n\0c\0r\0y\0p\0t\0e\0d\0P\0a\0c\0k\0a\0g\0e\0";
    memchr::memmem::find(bytes, STREAM).is_some()
}

fn is_text(media: &str) -> bool {
    media.starts_with("text/")
        || matches!(media, "message/rfc822" | "application/json" | "application/xml")
}
