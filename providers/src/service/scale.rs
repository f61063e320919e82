//! Makes an image smaller, a row at a time.
//!
//! A pixel of the small image is the weighted mean of those around its place in the large one
//! (Catmull-Rom, as wide as the image shrinks), so that thin strokes become pale and do not
//! break off. Only one row is held in numbers larger than bytes: for an image of 60 million
//! pixels the usual way, a whole image of them, would take a gigabyte.
//!
//! ```text
//! rows of the source ──▶ one row, as wide as the source ──▶ one row of the result
//!        weighted by height                     weighted by width
//! ```

use image::{DynamicImage, GrayAlphaImage, GrayImage, ImageBuffer, RgbImage, RgbaImage};

/// The image in a smaller size; one that is not smaller comes back as it is. Eight bits a
/// channel are kept of more.
pub(super) fn scaled(image: DynamicImage, (width, height): (u32, u32)) -> DynamicImage {
    let image = in_bytes(image);
    if width >= image.width() && height >= image.height() {
        return image;
    }
    let size = (width.clamp(1, image.width()), height.clamp(1, image.height()));
    match image {
        DynamicImage::ImageLuma8(from) => DynamicImage::from(of::<_, 1>(&from, size)),
        DynamicImage::ImageLumaA8(from) => DynamicImage::from(of::<_, 2>(&from, size)),
        DynamicImage::ImageRgba8(from) => DynamicImage::from(of::<_, 4>(&from, size)),
        other => DynamicImage::from(of::<_, 3>(&other.into_rgb8(), size)),
    }
}

/// The image with a byte a channel.
pub(super) fn in_bytes(image: DynamicImage) -> DynamicImage {
    match image {
        DynamicImage::ImageLuma8(_)
        | DynamicImage::ImageLumaA8(_)
        | DynamicImage::ImageRgb8(_)
        | DynamicImage::ImageRgba8(_) => image,
        DynamicImage::ImageLuma16(_) => GrayImage::from(image.into_luma8()).into(),
        DynamicImage::ImageLumaA16(_) => GrayAlphaImage::from(image.into_luma_alpha8()).into(),
        other if other.color().has_alpha() => RgbaImage::from(other.into_rgba8()).into(),
        other => RgbImage::from(other.into_rgb8()).into(),
    }
}

fn of<P, const CHANNELS: usize>(
    from: &ImageBuffer<P, Vec<u8>>,
    (width, height): (u32, u32),
) -> ImageBuffer<P, Vec<u8>>
where
    P: image::Pixel<Subpixel = u8>,
{
    let across = taps(from.width(), width);
    let row_length = from.width() as usize * CHANNELS;
    let mut row = vec![0.0_f32; row_length];
    let mut bytes = Vec::with_capacity(width as usize * height as usize * CHANNELS);
    for down in taps(from.height(), height) {
        row.fill(0.0);
        let rows = from.as_raw().chunks_exact(row_length).skip(down.first);
        for (weight, source) in down.weights.iter().zip(rows) {
            for (sum, byte) in row.iter_mut().zip(source) {
                *sum += weight * f32::from(*byte);
            }
        }
        for tap in &across {
            let mut sums = [0.0_f32; CHANNELS];
            let pixels = row.chunks_exact(CHANNELS).skip(tap.first);
            for (weight, pixel) in tap.weights.iter().zip(pixels) {
                for (sum, value) in sums.iter_mut().zip(pixel) {
                    *sum += weight * value;
                }
            }
            // A float is cut at the ends of the byte.
            bytes.extend(sums.map(|sum| sum.round() as u8));
        }
    }
    ImageBuffer::from_raw(width, height, bytes).expect("a byte for each channel was written")
}

/// Which pixels of a side make one of the smaller side, and how much each counts.
struct Tap {
    first: usize,
    weights: Vec<f32>,
}

fn taps(from: u32, to: u32) -> Vec<Tap> {
    let ratio = f64::from(from) / f64::from(to);
    (0..to)
        .map(|at| {
            let middle = (f64::from(at) + 0.5) * ratio;
            let first = (middle - 2.0 * ratio).floor().max(0.0) as u32;
            let last = ((middle + 2.0 * ratio).ceil() as u32).min(from);
            let weight = |pixel: u32| catmull_rom((f64::from(pixel) + 0.5 - middle) / ratio);
            let sum: f64 = (first..last).map(weight).sum();
            let weights = (first..last).map(|pixel| (weight(pixel) / sum) as f32).collect();
            Tap { first: first as usize, weights }
        })
        .collect()
}

fn catmull_rom(distance: f64) -> f64 {
    let x = distance.abs();
    match x {
        x if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        x if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use image::imageops::FilterType;
    use image::{GenericImageView, Rgb};

    use super::*;

    fn gradient(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            Rgb([(x * 255 / width) as u8, (y * 255 / height) as u8, ((x ^ y) & 0xff) as u8])
        })
    }

    #[test]
    fn it_is_what_the_usual_way_makes_of_the_image() {
        let image = DynamicImage::from(gradient(400, 300));
        for size in [(200, 150), (399, 299), (37, 28), (1, 1), (400, 10)] {
            let ours = scaled(image.clone(), size).into_rgb8();
            let theirs = image.resize_exact(size.0, size.1, FilterType::CatmullRom).into_rgb8();
            assert_eq!(ours.dimensions(), size);
            let furthest = ours.iter().zip(theirs.iter()).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(furthest <= Some(3), "{size:?}: {furthest:?}");
        }
    }

    #[test]
    fn an_image_keeps_its_channels_and_its_size_where_it_is_small() {
        let grey = scaled(GrayImage::new(10, 10).into(), (5, 5));
        assert_eq!((grey.color(), grey.dimensions()), (image::ColorType::L8, (5, 5)));
        let deep = DynamicImage::new_rgba16(10, 10);
        let clear = scaled(deep, (20, 20));
        assert_eq!((clear.color(), clear.dimensions()), (image::ColorType::Rgba8, (10, 10)));
        let both = scaled(DynamicImage::new_luma_a16(4, 4), (2, 2));
        assert_eq!((both.color(), both.dimensions()), (image::ColorType::La8, (2, 2)));
    }
}
