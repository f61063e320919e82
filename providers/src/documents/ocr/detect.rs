//! Where text stands: a network's map of probabilities, turned into quads.

use std::collections::BTreeMap;

use image::RgbImage;
use image::imageops::{self, FilterType};

use super::OcrError;
use super::geometry::{Point, Quad, smallest_around};
use super::runtime::{Network, Pixels};

/// The shorter side the network is given at least, in pixels.
const SHORTEST: f32 = 736.0;

/// The longer side the network is given at most, in pixels: more takes time and memory, and
/// finds no more lines on a page at 300 dpi.
const LONGEST: f32 = 1440.0;

/// The network wants sides of a multiple of this.
const GRID: f32 = 32.0;

/// The probability from which a pixel belongs to text.
const PIXEL: f32 = 0.3;

/// The mean probability from which an area is text.
const AREA: f32 = 0.5;

/// How far a quad is grown: the network marks the core of a line only.
const GROWTH: f32 = 1.6;

/// The shortest side of an area, in pixels of the map.
const SMALLEST: f32 = 3.0;

/// The most areas that are looked at.
const MOST: usize = 3000;

/// Finds text.
pub(super) struct Detector {
    network: Box<dyn Network>,
}

impl Detector {
    pub(super) fn new(network: Box<dyn Network>) -> Self {
        Self { network }
    }

    /// The quads of an image in which text stands, in pixels of the image.
    pub(super) fn detect(&self, image: &RgbImage) -> Result<Vec<Quad>, OcrError> {
        let (width, height) = network_size(image.width(), image.height());
        let resized;
        let seen = if (width, height) == image.dimensions() {
            image
        } else {
            resized = imageops::resize(image, width, height, FilterType::Triangle);
            &resized
        };
        let scores = self
            .network
            .run(normalised(seen))
            .map_err(|error| OcrError::Run(format!("looking for text: {error}")))?;
        let [width, height] = [width, height].map(|side| side as usize);
        if scores.data.len() != width * height {
            let found = format!("a map of {:?} for {width}x{height} pixels", scores.shape);
            return Err(OcrError::Run(format!("looking for text: {found}")));
        }
        let map = Map { width, height, pixels: scores.data };
        let (x, y) = (image.width() as f32 / width as f32, image.height() as f32 / height as f32);
        Ok(map.quads().into_iter().map(|quad| quad.scaled(x, y)).collect())
    }
}

/// The size an image is given to the network in.
fn network_size(width: u32, height: u32) -> (u32, u32) {
    let (width, height) = (width as f32, height as f32);
    let enlarged = (SHORTEST / width.min(height)).max(1.0);
    let scale = enlarged.min(LONGEST / width.max(height));
    let side = |length: f32| ((length * scale / GRID).round().max(1.0) * GRID) as u32;
    (side(width), side(height))
}

/// Pixels as the network wants them: planes of red, green and blue from -1 to 1.
fn normalised(image: &RgbImage) -> Pixels {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let mut planes = vec![0.0; 3 * width * height];
    for (at, pixel) in image.pixels().enumerate() {
        // The network was trained on blue, green, red.
        for (plane, value) in pixel.0.iter().rev().enumerate() {
            planes[plane * width * height + at] = f32::from(*value) / 127.5 - 1.0;
        }
    }
    Pixels { shape: [1, 3, height, width], data: planes }
}

/// For each pixel the probability that it belongs to text.
struct Map {
    width: usize,
    height: usize,
    pixels: Vec<f32>,
}

impl Map {
    fn quads(&self) -> Vec<Quad> {
        self.areas().iter().filter_map(|outline| self.quad(outline)).collect()
    }

    fn quad(&self, outline: &[Point]) -> Option<Quad> {
        let core = smallest_around(outline)?;
        if core.width().min(core.height()) < SMALLEST || self.mean_within(&core) < AREA {
            return None;
        }
        let (width, height) = (core.width(), core.height());
        let grown = core.grown(width * height * GROWTH / (2.0 * (width + height)));
        (grown.width().min(grown.height()) >= SMALLEST + 2.0).then_some(grown)
    }

    /// The areas that hang together, each as the ends of its rows.
    fn areas(&self) -> Vec<Vec<Point>> {
        let mut marked = self.marked();
        let mut areas = Vec::new();
        for start in 0..marked.len() {
            if areas.len() == MOST {
                break;
            }
            if marked[start] {
                areas.push(self.take_area(&mut marked, start));
            }
        }
        areas
    }

    /// The pixels of text, each with its neighbours to the right and below, so that strokes
    /// which all but touch hang together.
    fn marked(&self) -> Vec<bool> {
        let mut marked = vec![false; self.pixels.len()];
        for (at, _) in self.pixels.iter().enumerate().filter(|(_, p)| **p > PIXEL) {
            let (x, y) = (at % self.width, at / self.width);
            for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                if x + dx < self.width && y + dy < self.height {
                    marked[at + dy * self.width + dx] = true;
                }
            }
        }
        marked
    }

    /// Takes the area around a pixel out of the marked ones.
    fn take_area(&self, marked: &mut [bool], start: usize) -> Vec<Point> {
        let mut rows: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
        let mut open = vec![start];
        marked[start] = false;
        while let Some(at) = open.pop() {
            let (x, y) = (at % self.width, at / self.width);
            let row = rows.entry(y).or_insert((x, x));
            *row = (row.0.min(x), row.1.max(x));
            for ny in y.saturating_sub(1)..=(y + 1).min(self.height - 1) {
                for nx in x.saturating_sub(1)..=(x + 1).min(self.width - 1) {
                    let neighbour = ny * self.width + nx;
                    if std::mem::take(&mut marked[neighbour]) {
                        open.push(neighbour);
                    }
                }
            }
        }
        let ends = |(y, (left, right)): (&usize, &(usize, usize))| {
            [Point::new(*left as f32, *y as f32), Point::new(*right as f32, *y as f32)]
        };
        rows.iter().flat_map(ends).collect()
    }

    /// The mean probability within a quad.
    fn mean_within(&self, quad: &Quad) -> f32 {
        let columns = (quad.width().ceil() as usize).clamp(1, 400);
        let rows = (quad.height().ceil() as usize).clamp(1, 100);
        let [tl, tr, br, bl] = quad.0;
        let mut sum = 0.0;
        for row in 0..rows {
            let down = (row as f32 + 0.5) / rows as f32;
            let (left, right) = (tl.towards(bl, down), tr.towards(br, down));
            for column in 0..columns {
                let p = left.towards(right, (column as f32 + 0.5) / columns as f32);
                let x = (p.x.round().max(0.0) as usize).min(self.width - 1);
                let y = (p.y.round().max(0.0) as usize).min(self.height - 1);
                sum += self.pixels[y * self.width + x];
            }
        }
        sum / (rows * columns) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_together_is_one_quad_and_noise_is_none() {
        let (width, height) = (64, 32);
        let mut pixels = vec![0.0; width * height];
        for y in 8..14 {
            for x in (4..30).chain(40..60) {
                pixels[y * width + x] = 0.9;
            }
        }
        pixels[25 * width + 3] = 0.9;
        let quads = Map { width, height, pixels }.quads();
        assert_eq!(quads.len(), 2, "{quads:?}");
        let [x0, y0, x1, y1] = quads[0].part(0.0, 1.0);
        assert!(x0 < 4.0 && x1 > 29.0 && x1 < 40.0 && y0 < 8.0 && y1 > 13.0, "{quads:?}");
    }

    #[test]
    fn the_network_is_given_sides_it_can_take() {
        for (width, height) in [(1, 1), (50, 4000), (1240, 1754), (10_000, 10_000)] {
            let (w, h) = network_size(width, height);
            assert!(w % 32 == 0 && h % 32 == 0 && w > 0 && h > 0, "{width}x{height}: {w}x{h}");
            assert!(w <= 2016 && h <= 2016, "{width}x{height}: {w}x{h}");
        }
    }
}
