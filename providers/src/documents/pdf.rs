//! PDF documents: pixels from one reader, words from another.
//!
//! hayro draws, with the standard fonts built in, so that a page looks the same on every
//! machine and its cached results stay valid. It also says how many pages there are and
//! how large: words are placed into its page, as shown. docling reads the words; where it
//! cannot read a file that hayro draws, the page has no words and is read like a scan.
//!
//! docling parses objects on the threads of rayon's pool, whose stack is not chosen here;
//! its parser bounds nesting itself, which a test with 100,000 levels holds it to.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use docling_pdf::pdfium_backend::TextCell;
use docling_pdf::textparse::PageTextParser;
use hayro::hayro_interpret::InterpreterSettings;
use hayro::hayro_syntax::page::{Page as PdfPage, Rotation};
use hayro::hayro_syntax::{DecryptionError, LoadPdfError, Pdf as PdfFile, PdfData};
use hayro::vello_cpu::color::palette::css::WHITE;
use hayro::{PixmapSettings, RenderCache, RenderSettings};
use image::RgbImage;

use super::error::Fault;
use super::fonts;
use super::guard::fenced;
use super::layout::{Page, Rect, Word};
use super::open::{Limits, Rendered};
use super::reading::in_reading_order;
use super::unpacked;

const MEDIA: &str = "application/pdf";
const POINTS_PER_INCH: f32 = 72.0;

/// The longest side that can be drawn, in pixels.
const MAX_SIDE: u64 = u16::MAX as u64;

/// The renderer drops the fraction of a pixel; without this, 1650 pixels that come out as
/// 1649.9999 would be one too few.
const NUDGE: f64 = 1.0 + 1e-5;

/// An opened PDF.
pub(crate) struct Pdf {
    file: Arc<File>,
    pages: u32,
}

struct File {
    pdf: PdfFile,
    bytes: Arc<[u8]>,
    /// The reader of words, opened when the first page is read.
    text: OnceLock<Option<Mutex<PageTextParser>>>,
}

impl Pdf {
    /// Reads the structure of the file, and judges how much it would unpack to.
    pub(crate) fn open(bytes: Arc<[u8]>, limits: &Limits) -> Result<Self, Fault> {
        let max = limits.max_pages;
        fenced("opening the PDF", limits.max_time, move || {
            unpacked::check_streams(&bytes)?;
            let pdf = PdfFile::new(PdfData::from(Arc::new(bytes.clone()))).map_err(refusal)?;
            fonts::check_widths(&pdf)?;
            let pages = pdf.pages().len();
            if pages == 0 {
                return Err(Fault::damaged(MEDIA, "it has no page"));
            }
            match u32::try_from(pages) {
                Ok(pages) if pages <= max => {
                    Ok(Self { file: Arc::new(File { pdf, bytes, text: OnceLock::new() }), pages })
                }
                _ => Err(Fault::TooManyPages { pages: pages as u64, max }),
            }
        })
    }

    pub(crate) fn page_count(&self) -> u32 {
        self.pages
    }

    /// Reads the words of a page.
    pub(crate) fn page(&self, number: u32, limits: &Limits) -> Result<Page, Fault> {
        let own = limits.clone();
        self.on_page("reading the text", number, limits, move |file, page| {
            let (width, height) = page.render_dimensions();
            let words = file.words(number, page, &own);
            let (words, text) = in_reading_order(words);
            Ok(Page { number, width, height, text, words })
        })
    }

    /// How large a page is, in points.
    pub(crate) fn size(&self, number: u32, limits: &Limits) -> Result<(f32, f32), Fault> {
        let doing = "reading the size of the page";
        self.on_page(doing, number, limits, |_, page| Ok(page.render_dimensions()))
    }

    /// Draws a page.
    pub(crate) fn render(&self, number: u32, dpi: f32, limits: &Limits) -> Result<Rendered, Fault> {
        let max = limits.max_pixels;
        self.on_page("drawing the page", number, limits, move |_, page| {
            let scale = scale(page, number, dpi, max)?;
            Ok(Rendered { image: draw(page, scale * NUDGE), dpi: scale as f32 * POINTS_PER_INCH })
        })
    }

    /// Works on a page behind a fence, once its content is known to be of a sane size.
    fn on_page<T: Send + 'static>(
        &self,
        doing: &'static str,
        number: u32,
        limits: &Limits,
        work: impl FnOnce(&File, &PdfPage<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let file = Arc::clone(&self.file);
        let max = limits.max_pixels;
        fenced(doing, limits.max_time, move || {
            let page = &file.pdf.pages()[number as usize - 1];
            let (width, height) = page.render_dimensions();
            if ![width, height].iter().all(|side| side.is_finite() && *side > 0.0) {
                let detail = format!("page {number} has {width}x{height} points");
                return Err(Fault::damaged(MEDIA, detail));
            }
            unpacked::check_page(page, number, max)?;
            work(&file, page)
        })
    }
}

impl File {
    /// The reader of words, opened once and within the limits.
    ///
    /// A text layer that cannot be read is no reason to refuse a page that can be seen.
    fn text(&self, limits: &Limits) -> Option<&Mutex<PageTextParser>> {
        let open = || {
            if !fonts::maps_are_sane(&self.pdf) {
                tracing::warn!("the words of this PDF are not read: a font has too many glyphs");
                return None;
            }
            let bytes = Arc::clone(&self.bytes);
            // Less than the page has, which is left time to say that it has no words.
            let doing = "opening the text layer";
            let opened = fenced(doing, limits.max_time / 2, move || {
                Ok(PageTextParser::open(&bytes).map(Mutex::new))
            });
            opened.unwrap_or_else(|fault| {
                tracing::warn!(%fault, "the words of this PDF are not read");
                None
            })
        };
        self.text.get_or_init(open).as_ref()
    }

    /// The words of a page as shown; none where there is no text layer that can be read.
    fn words(&self, number: u32, page: &PdfPage<'_>, limits: &Limits) -> Vec<Word> {
        let Some(text) = self.text(limits) else {
            return Vec::new();
        };
        // A page that crashed the reader leaves only caches behind, which stay usable.
        let mut text = text.lock().unwrap_or_else(PoisonError::into_inner);
        // Two readers that disagree on the pages would give one page another's words.
        if text.page_count() != self.pdf.pages().len() {
            tracing::warn!("the words of this PDF are not read: its pages are not clear");
            return Vec::new();
        }
        let cells = text.cells(number as usize - 1).words;
        if is_garbage(&cells) {
            return Vec::new();
        }
        cells.iter().filter_map(|cell| word(cell, page)).collect()
    }
}

/// Places a word of the page as it is written onto the page as it is shown.
fn word(cell: &TextCell, page: &PdfPage<'_>) -> Option<Word> {
    let text = cell.text.trim();
    if text.is_empty() {
        return None;
    }
    let (width, height) = page.base_dimensions();
    let (x0, y0) = (cell.l.min(cell.r), cell.t.min(cell.b));
    let (x1, y1) = (cell.l.max(cell.r), cell.t.max(cell.b));
    let [x0, y0, x1, y1] = match page.rotation() {
        Rotation::None => [x0, y0, x1, y1],
        Rotation::Horizontal => [height - y1, x0, height - y0, x1],
        Rotation::Flipped => [width - x1, height - y1, width - x0, height - y0],
        Rotation::FlippedHorizontal => [y0, width - x1, y1, width - x0],
    };
    let (width, height) = page.render_dimensions();
    let rect = Rect::new(
        x0.clamp(0.0, width),
        y0.clamp(0.0, height),
        x1.clamp(0.0, width),
        y1.clamp(0.0, height),
    );
    (rect.width() > 0.0 && rect.height() > 0.0).then(|| Word {
        text: text.to_owned(),
        rect,
        confidence: 1.0,
    })
}

/// Whether most characters are stand-ins for glyphs whose meaning is not known: a font
/// without a map to characters, whose words are better read from the pixels.
fn is_garbage(cells: &[TextCell]) -> bool {
    let unmapped = |c: &char| {
        matches!(c, '\u{fffd}' | '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..) || c.is_control()
    };
    let characters = cells.iter().flat_map(|cell| cell.text.chars());
    let (mut all, mut bad) = (0_usize, 0_usize);
    for character in characters.filter(|c| !c.is_whitespace()) {
        all += 1;
        bad += usize::from(unmapped(&character));
    }
    bad * 2 > all
}

/// Pixels a point for a resolution; more for a page that would have no pixel at all.
fn scale(page: &PdfPage<'_>, number: u32, dpi: f32, max: u64) -> Result<f64, Fault> {
    let (width, height) = page.render_dimensions();
    let scale = f64::from(dpi / POINTS_PER_INCH).max(1.0 / f64::from(width.min(height)));
    let [across, down] = [width, height].map(|side| (f64::from(side) * scale) as u64);
    let pixels = across.saturating_mul(down);
    if pixels > max {
        return Err(Fault::PageTooLarge { page: number, width, height, dpi, pixels, max });
    }
    let side = across.max(down);
    if side > MAX_SIDE {
        return Err(Fault::PageTooLong { page: number, width, height, dpi, side, max: MAX_SIDE });
    }
    Ok(scale)
}

fn draw(page: &PdfPage<'_>, scale: f64) -> RgbImage {
    let scale = scale as f32;
    let pixels = hayro::render(
        page,
        &RenderCache::new(),
        &InterpreterSettings::default(),
        &RenderSettings::default(),
        &PixmapSettings { x_scale: scale, y_scale: scale, bg_color: WHITE },
    );
    // On white paper every pixel is opaque, so that alpha says nothing.
    let rgb = pixels.data_as_u8_slice().chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
    RgbImage::from_raw(pixels.width().into(), pixels.height().into(), rgb)
        .expect("four bytes a pixel became three")
}

fn refusal(error: LoadPdfError) -> Fault {
    match error {
        LoadPdfError::Decryption(DecryptionError::PasswordProtected) => Fault::Encrypted,
        LoadPdfError::Decryption(DecryptionError::UnsupportedAlgorithm) => {
            Fault::damaged(MEDIA, "it is encrypted by an unknown method")
        }
        LoadPdfError::Decryption(
            DecryptionError::MissingIDEntry | DecryptionError::InvalidEncryption,
        ) => Fault::damaged(MEDIA, "its encryption is broken"),
        LoadPdfError::Invalid => Fault::damaged(MEDIA, "its structure cannot be read"),
    }
}
