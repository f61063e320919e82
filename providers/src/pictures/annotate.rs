//! Boxes and labels on a picture.
//!
//! Labels are drawn with a font of 8 by 8 dots that knows Latin, Greek and hiragana; a letter that
//! it does not know is drawn as an empty box, so that nothing is shown as something else.

use font8x8::{BASIC_FONTS, GREEK_FONTS, HIRAGANA_FONTS, LATIN_FONTS, UnicodeFonts as _};
use image::{Rgb, RgbImage};

use super::{Area, Picture, Window};

/// The most letters of a label that are drawn.
const LONGEST: usize = 60;

/// What a letter looks like that the font does not know.
const UNKNOWN: [u8; 8] = [0x00, 0x7e, 0x42, 0x42, 0x42, 0x42, 0x7e, 0x00];

/// A box to draw.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mark {
    pub(crate) area: Area,
    pub(crate) label: Option<String>,
    pub(crate) colour: [u8; 3],
}

/// Draws boxes, the later over the earlier, with their labels above them where there is room.
/// What lies outside the picture is left out.
pub(crate) fn annotate(picture: &mut Picture, marks: &[Mark]) {
    // As thick on a large scan as on a thumbnail, when both are shown at one size.
    let (width, height) = picture.pixels.dimensions();
    let dot = (width.max(height) / 900).clamp(1, 12);
    for mark in marks {
        let Some(window) = picture.window(&mark.area) else { continue };
        frame(&mut picture.pixels, &window, 2 * dot, mark.colour);
        if let Some(label) = &mark.label {
            self::label(&mut picture.pixels, &window, label, dot, mark.colour);
        }
    }
}

fn frame(pixels: &mut RgbImage, window: &Window, thick: u32, colour: [u8; 3]) {
    let Window { x, y, width, height } = *window;
    let thick = thick.min(width).min(height);
    fill(pixels, (x, y, width, thick), colour);
    fill(pixels, (x, y + height - thick, width, thick), colour);
    fill(pixels, (x, y, thick, height), colour);
    fill(pixels, (x + width - thick, y, thick, height), colour);
}

fn label(pixels: &mut RgbImage, window: &Window, text: &str, dot: u32, colour: [u8; 3]) {
    let letters: Vec<_> = text.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    if letters.is_empty() {
        return;
    }
    let side = 8 * dot;
    let (wide, high) = (letters.len() as u32 * side + 2 * dot, side + 2 * dot);
    let x = window.x.min(pixels.width().saturating_sub(wide));
    let y = window.y.checked_sub(high).unwrap_or(window.y);
    fill(pixels, (x, y, wide, high), colour);
    let dark = colour.iter().map(|c| u32::from(*c)).sum::<u32>() < 3 * 140;
    let ink = if dark { [255; 3] } else { [0; 3] };
    for (at, letter) in (0_u32..).zip(letters) {
        for (row, bits) in (0_u32..).zip(glyph(letter)) {
            for column in (0..8).filter(|column| bits >> column & 1 == 1) {
                let place = (x + dot + at * side + column * dot, y + dot + row * dot, dot, dot);
                fill(pixels, place, ink);
            }
        }
    }
}

fn glyph(letter: char) -> [u8; 8] {
    let known = BASIC_FONTS.get(letter).or_else(|| LATIN_FONTS.get(letter));
    let known = known.or_else(|| GREEK_FONTS.get(letter));
    known.or_else(|| HIRAGANA_FONTS.get(letter)).unwrap_or(UNKNOWN)
}

/// Fills a rectangle as far as it lies in the picture.
fn fill(pixels: &mut RgbImage, (x, y, width, height): (u32, u32, u32, u32), colour: [u8; 3]) {
    let (right, bottom) = pixels.dimensions();
    for y in y.min(bottom)..y.saturating_add(height).min(bottom) {
        for x in x.min(right)..x.saturating_add(width).min(right) {
            pixels.put_pixel(x, y, Rgb(colour));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED: [u8; 3] = [200, 0, 0];

    fn marked(label: Option<&str>, [x0, y0, x1, y1]: [f64; 4]) -> RgbImage {
        let pixels = RgbImage::from_pixel(200, 100, Rgb([255; 3]));
        let mut picture = Picture { pixels, dpi: 72.0 };
        let area = Area { x0, y0, x1, y1 };
        annotate(&mut picture, &[Mark { area, label: label.map(str::to_owned), colour: RED }]);
        picture.pixels
    }

    #[test]
    fn a_frame_stands_around_its_box_and_leaves_the_rest() {
        let pixels = marked(None, [20.0, 40.0, 60.0, 80.0]);
        for (x, y) in [(20, 40), (59, 40), (20, 79), (59, 79), (21, 60)] {
            assert_eq!(pixels.get_pixel(x, y).0, RED, "{x} {y}");
        }
        for (x, y) in [(19, 40), (60, 40), (40, 60), (20, 80)] {
            assert_eq!(pixels.get_pixel(x, y).0, [255; 3], "{x} {y}");
        }
    }

    #[test]
    fn a_label_stands_above_its_box_and_unknown_letters_are_boxes() {
        let pixels = marked(Some("I"), [20.0, 40.0, 60.0, 80.0]);
        let ink = (20..30).flat_map(|x| (30..40).map(move |y| (x, y)));
        assert!(ink.clone().any(|(x, y)| pixels.get_pixel(x, y).0 == [255; 3]), "white on red");
        assert!(ink.into_iter().any(|(x, y)| pixels.get_pixel(x, y).0 == RED));
        assert_eq!(glyph('請'), UNKNOWN);
        assert_ne!(glyph('あ'), UNKNOWN);
        assert_ne!(glyph('é'), UNKNOWN);
    }

    #[test]
    fn what_lies_outside_is_left_out() {
        for area in
            [[-50.0, -50.0, 1e9, 1e9], [190.0, 95.0, 900.0, 900.0], [500.0, 0.0, 600.0, 9.0]]
        {
            assert_eq!(marked(Some(&"long label ".repeat(90)), area).dimensions(), (200, 100));
        }
    }
}
