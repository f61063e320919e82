//! Images as documents: one page an image, a page each of a TIFF.
//!
//! An image is never scaled: its pixels are what was scanned. Where it names a
//! resolution its page has a size in points, else a pixel is a point. The size is read
//! and judged before anything of that size is allocated.

use std::fs::File;
use std::io::{BufReader, Cursor};
use std::path::Path;
use std::sync::Arc;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, RgbImage};

use super::error::{DocumentError, Fault};
use super::guard::fenced;
use super::jpeg;
use super::layout::Page;
use super::open::{Limits, Rendered};
use super::resolution::{dpi, plausible};
use super::sniff::sniff;
use super::tiff::{Directory, Tiff};

/// Dots per inch at which a pixel is a point.
const POINTS_PER_INCH: f32 = 72.0;

/// An opened image.
pub(crate) struct Raster {
    bytes: Arc<[u8]>,
    media: &'static str,
    /// The pages of a TIFF; one `None` for any other image.
    pages: Vec<Option<Directory>>,
}

/// Decodes an image upright, as its camera held it, with the resolution it names.
///
/// Fails where the bytes are no image, are damaged, or hold more pixels than allowed. Of
/// several pages or frames it is the first.
pub fn decode_image(
    name: &str,
    bytes: &[u8],
    limits: &Limits,
) -> Result<(DynamicImage, Option<f32>), DocumentError> {
    let image = OpenImage::open(name, bytes.into(), limits)?;
    image.on_page(1)
}

/// Decodes an image upright as [`decode_image`] does, on white paper where it is transparent.
pub(crate) fn decode_upright(
    name: &str,
    bytes: &[u8],
    limits: &Limits,
) -> Result<(RgbImage, Option<f32>), DocumentError> {
    let (image, dpi) = decode_image(name, bytes, limits)?;
    Ok((on_white(image), dpi))
}

/// An image of one page or several that was opened, for who wants its pixels as they are.
pub(crate) struct OpenImage {
    name: String,
    limits: Limits,
    raster: Raster,
}

impl OpenImage {
    /// Opens an image from its bytes; `name` is for messages.
    pub(crate) fn open(
        name: &str,
        bytes: Arc<[u8]>,
        limits: &Limits,
    ) -> Result<Self, DocumentError> {
        let fault = match sniff(&bytes) {
            _ if bytes.is_empty() => Fault::Empty,
            Some(media) if format_of(media).is_some() => {
                let raster = Raster::open(bytes, media, limits).map_err(|e| e.of(name))?;
                return Ok(Self { name: name.to_owned(), limits: limits.clone(), raster });
            }
            Some(media) => Fault::NotAnImage { media },
            None => Fault::unknown(&bytes),
        };
        Err(fault.of(name))
    }

    /// Number of pages, 1 or more.
    pub(crate) fn page_count(&self) -> u32 {
        self.raster.page_count()
    }

    /// The pixels of a page, upright.
    pub(crate) fn page(&self, number: u32) -> Result<DynamicImage, DocumentError> {
        Ok(self.on_page(number)?.0)
    }

    fn on_page(&self, number: u32) -> Result<(DynamicImage, Option<f32>), DocumentError> {
        self.raster.decode(number, &self.limits).map_err(|fault| fault.of(&self.name))
    }
}

/// Reads how large an image of the disk is from its head: width and height in pixels as they
/// lie in the file.
///
/// `None` where the file may be sound and is of a kind that is not read here. Fails where it
/// cannot be an image of its type.
pub(crate) fn image_size(
    name: &str,
    path: &Path,
    media: &str,
    limits: &Limits,
) -> Result<Option<(u32, u32)>, DocumentError> {
    let Some((media, format)) = known(media) else { return Ok(None) };
    let path = path.to_path_buf();
    let size = fenced("reading the size of the image", limits.max_time, move || {
        let unreadable = |error: std::io::Error| damage(media, &ImageError::IoError(error));
        let mut file = BufReader::new(File::open(path).map_err(unreadable)?);
        if format == ImageFormat::Jpeg {
            // Its decoder would read the whole file.
            let size = jpeg::size(&mut file).map_err(unreadable)?;
            return size.map(Some).ok_or_else(|| Fault::damaged(media, "it has no picture"));
        }
        match ImageReader::with_format(file, format).into_dimensions() {
            Ok((0, _) | (_, 0)) => Err(Fault::damaged(media, "it has no pixels")),
            Ok(size) => Ok(Some(size)),
            Err(ImageError::Unsupported(_)) => Ok(None),
            Err(error) => Err(damage(media, &error)),
        }
    });
    size.map_err(|fault| fault.of(name))
}

/// The images that can be decoded: media type and format.
const FORMATS: &[(&str, ImageFormat)] = &[
    ("image/png", ImageFormat::Png),
    ("image/jpeg", ImageFormat::Jpeg),
    ("image/tiff", ImageFormat::Tiff),
    ("image/webp", ImageFormat::WebP),
    ("image/gif", ImageFormat::Gif),
    ("image/bmp", ImageFormat::Bmp),
];

fn known(media: &str) -> Option<(&'static str, ImageFormat)> {
    FORMATS.iter().copied().find(|(known, _)| *known == media)
}

/// The format that decodes a media type, where it is an image that can be decoded.
pub(crate) fn format_of(media: &str) -> Option<ImageFormat> {
    known(media).map(|(_, format)| format)
}

impl Raster {
    /// Reads how many pages there are and how large the first is.
    pub(crate) fn open(
        bytes: Arc<[u8]>,
        media: &'static str,
        limits: &Limits,
    ) -> Result<Self, Fault> {
        let pages = match Tiff::new(&bytes) {
            Some(tiff) => {
                let found = tiff.pages(limits.max_pages as usize + 1);
                if found.len() > limits.max_pages as usize {
                    return Err(Fault::PagesUnending { max: limits.max_pages });
                }
                found.into_iter().map(Some).collect()
            }
            None => vec![None],
        };
        if pages.is_empty() {
            return Err(Fault::damaged(media, "it has no page"));
        }
        let raster = Self { bytes, media, pages };
        raster.page(1, limits)?;
        Ok(raster)
    }

    pub(crate) fn page_count(&self) -> u32 {
        self.pages.len() as u32
    }

    /// The page's size, which an image has instead of words.
    pub(crate) fn page(&self, number: u32, limits: &Limits) -> Result<Page, Fault> {
        let dpi = self.dpi(number).unwrap_or(POINTS_PER_INCH);
        let (width, height) = self.fenced(number, limits, |mut decoder| {
            let (width, height) = decoder.dimensions();
            let sideways = matches!(
                decoder.orientation().unwrap_or(Orientation::NoTransforms),
                Orientation::Rotate90
                    | Orientation::Rotate270
                    | Orientation::Rotate90FlipH
                    | Orientation::Rotate270FlipH
            );
            Ok(if sideways { (height, width) } else { (width, height) })
        })?;
        Ok(Page {
            number,
            width: width as f32 * POINTS_PER_INCH / dpi,
            height: height as f32 * POINTS_PER_INCH / dpi,
            ..Page::default()
        })
    }

    pub(crate) fn render(&self, number: u32, limits: &Limits) -> Result<Rendered, Fault> {
        let (image, dpi) = self.decode(number, limits)?;
        Ok(Rendered { image: on_white(image), dpi: dpi.unwrap_or(POINTS_PER_INCH) })
    }

    fn decode(&self, number: u32, limits: &Limits) -> Result<(DynamicImage, Option<f32>), Fault> {
        let media = self.media;
        let image = self.fenced(number, limits, move |mut decoder| {
            let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
            let mut image = DynamicImage::from_decoder(decoder).map_err(|e| damage(media, &e))?;
            image.apply_orientation(orientation);
            Ok(image)
        })?;
        Ok((image, self.dpi(number)))
    }

    fn dpi(&self, number: u32) -> Option<f32> {
        match self.pages[number as usize - 1] {
            Some(directory) => Tiff::new(&self.bytes)?.dpi(Some(directory)).and_then(plausible),
            None => dpi(&self.bytes),
        }
    }

    /// Opens the decoder of a page behind a fence, and judges the size it finds.
    fn fenced<T: Send + 'static>(
        &self,
        number: u32,
        limits: &Limits,
        work: impl FnOnce(Box<dyn ImageDecoder>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let bytes = match (self.pages[number as usize - 1], Tiff::new(&self.bytes)) {
            (Some(page), Some(tiff)) if number > 1 => tiff.starting_at(page).into(),
            _ => self.bytes.clone(),
        };
        let media = self.media;
        let format = format_of(media).expect("only images are opened here");
        let max = limits.max_pixels;
        fenced("decoding the image", limits.max_time, move || {
            let decoder = ImageReader::with_format(Cursor::new(bytes), format)
                .into_decoder()
                .map_err(|e| damage(media, &e))?;
            let (width, height) = decoder.dimensions();
            if u64::from(width) * u64::from(height) > max {
                return Err(Fault::ImageTooLarge {
                    width: width.into(),
                    height: height.into(),
                    max,
                });
            }
            work(Box::new(decoder))
        })
    }
}

/// The decoder's own message without the format in front, which the fault names already.
fn damage(media: &'static str, error: &ImageError) -> Fault {
    let detail = match error {
        ImageError::Decoding(e) => {
            std::error::Error::source(e).map_or_else(|| e.to_string(), ToString::to_string)
        }
        ImageError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            "it ends too early".to_owned()
        }
        other => other.to_string(),
    };
    Fault::damaged(media, detail.trim_end_matches('.'))
}

/// Lays the image on white paper where it is transparent.
fn on_white(image: DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.into_rgb8();
    }
    let image = image.into_rgba8();
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let [r, g, b, a] = image.get_pixel(x, y).0.map(u16::from);
        image::Rgb([r, g, b].map(|c| ((c * a + 255 * (255 - a)) / 255) as u8))
    })
}
