//! The resolution an image says it has, and writing it into a PNG.

use std::ops::RangeInclusive;

use image::RgbImage;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

use super::tiff::Tiff;

/// What a scanner writes. Programs that know no resolution write 1 or 72 or nothing at
/// all, and a few write nonsense.
const PLAUSIBLE: RangeInclusive<f32> = 30.0..=2400.0;

const METRES_PER_INCH: f32 = 0.0254;

/// Dots per inch that the file of an image names, where it is a plausible number.
pub(crate) fn dpi(bytes: &[u8]) -> Option<f32> {
    let dpi = match bytes {
        [0x89, b'P', b'N', b'G', ..] => png_dpi(bytes),
        [0xff, 0xd8, ..] => jpeg_dpi(bytes),
        _ => Tiff::new(bytes).and_then(|tiff| tiff.dpi(None)),
    };
    dpi.and_then(plausible)
}

/// The resolution, where a scanner could have made it.
pub(crate) fn plausible(dpi: f32) -> Option<f32> {
    PLAUSIBLE.contains(&dpi).then_some(dpi)
}

/// Writes an image as PNG, with its resolution where there is one.
pub fn encode_png(image: &RgbImage, dpi: Option<f32>) -> Vec<u8> {
    let mut png = Vec::new();
    PngEncoder::new(&mut png)
        .write_image(image.as_raw(), image.width(), image.height(), ExtendedColorType::Rgb8)
        .expect("an RgbImage has the bytes its size asks for, and memory takes them");
    if let Some(dpi) = dpi {
        // The header has a fixed size, and the chunk may stand anywhere before the data.
        const AFTER_HEADER: usize = 8 + 12 + 13;
        png.splice(AFTER_HEADER..AFTER_HEADER, physical_size(dpi));
    }
    png
}

/// The chunk `pHYs` for a resolution.
fn physical_size(dpi: f32) -> Vec<u8> {
    const METRE: u8 = 1;
    let per_metre = ((dpi / METRES_PER_INCH).round() as u32).to_be_bytes();
    let body = [b"pHYs".as_slice(), &per_metre, &per_metre, &[METRE]].concat();
    let mut sum = flate2::Crc::new();
    sum.update(&body);
    [&9_u32.to_be_bytes(), body.as_slice(), &sum.sum().to_be_bytes()].concat()
}

fn png_dpi(bytes: &[u8]) -> Option<f32> {
    let mut at = 8;
    loop {
        let size = u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize;
        let kind = bytes.get(at + 4..at + 8)?;
        let data = bytes.get(at + 8..)?;
        match kind {
            b"pHYs" => {
                let per_metre = u32::from_be_bytes(data.get(..4)?.try_into().ok()?);
                let metre = *data.get(8)? == 1;
                return metre.then_some(per_metre as f32 * METRES_PER_INCH);
            }
            b"IDAT" => return None,
            _ => at = at.checked_add(size)?.checked_add(12)?,
        }
    }
}

/// From the JFIF header, else from the camera's data.
fn jpeg_dpi(bytes: &[u8]) -> Option<f32> {
    let mut at = 2;
    let mut exif = None;
    while let [0xff, marker, high, low, ..] = *bytes.get(at..)? {
        let size = usize::from(u16::from_be_bytes([high, low]));
        let data = bytes.get(at + 4..(at + 2).checked_add(size)?)?;
        match (marker, data) {
            (0xe0, [b'J', b'F', b'I', b'F', 0, _, _, unit, high, low, ..]) => {
                let density = f32::from(u16::from_be_bytes([*high, *low]));
                match unit {
                    1 => return Some(density),
                    2 => return Some(density * 2.54),
                    _ => {}
                }
            }
            (0xe1, [b'E', b'x', b'i', b'f', 0, 0, tiff @ ..]) => exif = Tiff::new(tiff),
            // The picture itself begins.
            (0xda, _) => break,
            _ => {}
        }
        at += 2 + size;
    }
    exif?.dpi(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_png_carries_its_resolution_there_and_back() {
        let image = RgbImage::new(3, 2);
        for wanted in [72.0_f32, 150.0, 300.0] {
            let png = encode_png(&image, Some(wanted));
            let found = dpi(&png).expect("a resolution");
            assert!((found - wanted).abs() < 0.02, "{wanted}: {found}");
            let read = image::load_from_memory(&png).expect("a valid PNG");
            assert_eq!((read.width(), read.height()), (3, 2));
        }
        assert_eq!(dpi(&encode_png(&image, None)), None);
    }

    #[test]
    fn implausible_resolutions_count_as_unknown() {
        let image = RgbImage::new(1, 1);
        for wanted in [1.0, 29.0, 2500.0] {
            assert_eq!(dpi(&encode_png(&image, Some(wanted))), None, "{wanted}");
        }
        assert_eq!(plausible(f32::NAN), None);
    }

    #[test]
    fn a_jpeg_names_its_resolution_per_inch_or_centimetre() {
        let jpeg = |unit: u8, density: u8| {
            let start = [0xff, 0xd8, 0xff, 0xe0, 0, 16];
            let jfif = [b'J', b'F', b'I', b'F', 0, 1, 1, unit, 0, density, 0, density, 0, 0];
            dpi(&[start.as_slice(), &jfif, &[0xff, 0xda, 0, 2]].concat())
        };
        assert_eq!(jpeg(1, 200), Some(200.0));
        assert_eq!(jpeg(2, 100), Some(254.0));
        assert_eq!(jpeg(0, 100), None);
    }

    #[test]
    fn a_cut_header_names_no_resolution() {
        let png = encode_png(&RgbImage::new(1, 1), Some(300.0));
        for end in 0..50.min(png.len()) {
            let _ = dpi(&png[..end]);
        }
        assert_eq!(dpi(&[0xff, 0xd8, 0xff, 0xe0, 0, 0]), None);
        assert_eq!(dpi(&[0xff, 0xd8, 0xff, 0xe0, 0xff, 0xff]), None);
    }
}
