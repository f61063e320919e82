//! From files to the images that a model sees, each prepared once for several questions.

use std::collections::VecDeque;
use std::path::Path;
use std::rc::Rc;

use flow_core::error::Failure;
use image::{DynamicImage, ImageDecoder, ImageReader, Limits, Rgb, RgbImage};
use llama_cpp_2::mtmd::{
    MtmdBitmap, MtmdContext, MtmdInputChunks, MtmdInputText, mtmd_default_marker,
};

/// Images that are kept prepared.
const KEPT: usize = 4;

/// The most bytes of pixels of one image.
const MOST_PIXELS: u64 = 1 << 30;

/// An image as the model takes it: with what stands before and after it in a prompt.
pub(super) struct Prepared {
    pub(super) hash: Rc<str>,
    pub(super) chunks: MtmdInputChunks,
    /// Cells that it takes.
    pub(super) tokens: u32,
    /// How far it moves what follows.
    pub(super) positions: u32,
}

/// The images that were prepared last.
#[derive(Default)]
pub(super) struct Images(VecDeque<Rc<Prepared>>);

impl Images {
    /// The image in a file whose content has this hash.
    pub(super) fn prepared(
        &mut self,
        eyes: &MtmdContext,
        name: &str,
        path: &Path,
        hash: &str,
    ) -> Result<Rc<Prepared>, Failure> {
        if let Some(at) = self.0.iter().position(|kept| &*kept.hash == hash) {
            let kept = self.0.remove(at).expect("it was found there");
            self.0.push_back(Rc::clone(&kept));
            return Ok(kept);
        }
        let pixels = pixels(path).map_err(|why| {
            Failure::input(format!("image `{name}` cannot be decoded: {why}"))
                .with_hint("open it in a viewer and save it anew, as PNG or JPEG")
        })?;
        let refused =
            |why: String| Failure::input(format!("image `{name}` cannot be looked at: {why}"));
        let (width, height) = pixels.dimensions();
        let bitmap = MtmdBitmap::from_image_data(width, height, pixels.as_raw())
            .map_err(|error| refused(error.to_string()))?;
        drop(pixels);
        let text = MtmdInputText {
            text: mtmd_default_marker().to_owned(),
            add_special: false,
            parse_special: true,
        };
        let chunks = eyes.tokenize(text, &[&bitmap]).map_err(|error| refused(error.to_string()))?;
        let prepared = Rc::new(Prepared {
            hash: hash.into(),
            tokens: chunks.total_tokens() as u32,
            positions: chunks.total_positions() as u32,
            chunks,
        });
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(Rc::clone(&prepared));
        Ok(prepared)
    }
}

/// The pixels of a file the way round that it is shown; what can be seen through is white.
fn pixels(path: &Path) -> Result<RgbImage, image::ImageError> {
    let mut reader = ImageReader::open(path)?.with_guessed_format()?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(MOST_PIXELS);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let orientation = decoder.orientation()?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    if !image.color().has_alpha() {
        return Ok(image.into_rgb8());
    }
    let image = image.into_rgba8();
    let (width, height) = image.dimensions();
    Ok(RgbImage::from_fn(width, height, |x, y| {
        let [red, green, blue, alpha] = image.get_pixel(x, y).0.map(u16::from);
        let over_white = |part: u16| ((part * alpha + 255 * (255 - alpha) + 127) / 255) as u8;
        Rgb([red, green, blue].map(over_white))
    }))
}
