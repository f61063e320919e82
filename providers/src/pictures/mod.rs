//! Pictures as steps change them: decoded, cut, made smaller, drawn on.
//!
//! # What holds
//! - A box is in points, and means the same place before and after: a picture that is made
//!   smaller has a smaller resolution, not a smaller page.
//! - The size of a picture is judged before anything of that size is allocated, and no result is
//!   larger than what may be decoded.
//! - Transparent parts lie on white paper. No I/O, no clock beyond the decoder's own.

mod annotate;
mod grid;

use image::{RgbImage, imageops};

use crate::documents::{DocumentError, Limits, decode_upright};

pub(crate) use annotate::{Mark, annotate};
pub(crate) use grid::{Window, windows};

/// Pixels an inch at which a pixel is a point.
const POINTS_PER_INCH: f64 = 72.0;

/// A decoded picture and its scale.
pub(crate) struct Picture {
    pub(crate) pixels: RgbImage,
    /// Pixels an inch; 72 where nobody knows, so that a pixel is a point.
    pub(crate) dpi: f64,
}

/// A rectangle in points, from the top left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Area {
    pub(crate) x0: f64,
    pub(crate) y0: f64,
    pub(crate) x1: f64,
    pub(crate) y1: f64,
}

impl Picture {
    /// Decodes a picture, upright. `known` is its resolution, where that is known from elsewhere.
    pub(crate) fn decode(
        name: &str,
        bytes: &[u8],
        known: Option<f32>,
    ) -> Result<Self, DocumentError> {
        let (pixels, named) = decode_upright(name, bytes, &Limits::default())?;
        let dpi = known.filter(|dpi| *dpi > 0.0).or(named).map_or(POINTS_PER_INCH, f64::from);
        Ok(Self { pixels, dpi })
    }

    /// Pixels of a point.
    fn scale(&self) -> f64 {
        self.dpi / POINTS_PER_INCH
    }

    /// All of it.
    pub(crate) fn area(&self) -> Area {
        let (width, height) = self.pixels.dimensions();
        self.area_of(&Window { x: 0, y: 0, width, height })
    }

    /// The area that a window of pixels shows.
    pub(crate) fn area_of(&self, window: &Window) -> Area {
        let points = |pixels: u32| f64::from(pixels) / self.scale();
        Area {
            x0: points(window.x),
            y0: points(window.y),
            x1: points(window.x + window.width),
            y1: points(window.y + window.height),
        }
    }

    /// The pixels that an area covers, those it touches included; none where it covers none.
    pub(crate) fn window(&self, area: &Area) -> Option<Window> {
        let (width, height) = self.pixels.dimensions();
        let span = |from: f64, to: f64, most: u32| {
            // What is written with three digits is no new pixel.
            let from = (from * self.scale() + 0.01).floor().clamp(0.0, f64::from(most)) as u32;
            let to = (to * self.scale() - 0.01).ceil().clamp(0.0, f64::from(most)) as u32;
            (to > from).then(|| (from, to - from))
        };
        let (x, width) = span(area.x0, area.x1, width)?;
        let (y, height) = span(area.y0, area.y1, height)?;
        Some(Window { x, y, width, height })
    }

    /// A part of it.
    pub(crate) fn cut(&self, window: &Window) -> Self {
        let Window { x, y, width, height } = *window;
        let pixels = imageops::crop_imm(&self.pixels, x, y, width, height).to_image();
        Self { pixels, dpi: self.dpi }
    }

    /// As many pixels wide and high, its page as large as before.
    pub(crate) fn resized(self, width: u32, height: u32) -> Self {
        let (before, _) = self.pixels.dimensions();
        let dpi = self.dpi * f64::from(width) / f64::from(before);
        let smaller = width <= before;
        let pixels = match (width, height) == self.pixels.dimensions() {
            true => self.pixels,
            // It averages in whole numbers, and needs no second picture of floats.
            false if smaller => imageops::thumbnail(&self.pixels, width, height),
            false => {
                imageops::resize(&self.pixels, width, height, imageops::FilterType::CatmullRom)
            }
        };
        Self { pixels, dpi }
    }
}

impl Area {
    /// The area as `[x0, y0, x1, y1]`, to a thousandth of a point.
    pub(crate) fn to_json(self) -> serde_json::Value {
        let round = |value: f64| (value * 1000.0).round() / 1000.0;
        [self.x0, self.y0, self.x1, self.y1].map(round).to_vec().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: u32, height: u32, dpi: f64) -> Picture {
        Picture { pixels: RgbImage::new(width, height), dpi }
    }

    #[test]
    fn a_box_is_in_points_whatever_the_resolution() {
        let area = Area { x0: 72.0, y0: 36.0, x1: 144.0, y1: 72.0 };
        let window = picture(600, 600, 144.0).window(&area).unwrap();
        assert_eq!(window, Window { x: 144, y: 72, width: 144, height: 72 });
        let window = picture(300, 300, 72.0).window(&area).unwrap();
        assert_eq!(window, Window { x: 72, y: 36, width: 72, height: 36 });
    }

    #[test]
    fn a_window_ends_where_the_picture_does() {
        let picture = picture(100, 50, 72.0);
        let over = Area { x0: -5.0, y0: 40.5, x1: 1e9, y1: 1e300 };
        assert_eq!(picture.window(&over), Some(Window { x: 0, y: 40, width: 100, height: 10 }));
        for [x0, y0, x1, y1] in
            [[100.0, 0.0, 200.0, 10.0], [10.0, 0.0, 5.0, 10.0], [f64::NAN, 0.0, f64::NAN, 1.0]]
        {
            assert_eq!(picture.window(&Area { x0, y0, x1, y1 }), None);
        }
    }

    #[test]
    fn a_smaller_picture_shows_the_same_page() {
        let before = picture(600, 300, 150.0);
        let page = before.area();
        let after = before.resized(200, 100);
        assert!((after.dpi - 50.0).abs() < 1e-9);
        assert_eq!(after.area(), page);
    }
}
