//! What stands there: the pixels of a quad, read as a sequence of characters.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use image::RgbImage;

use super::OcrError;
use super::geometry::{Point, Quad};
use super::runtime::{Network, Pixels, Scores};

/// The height lines are given to the network in, in pixels.
const HEIGHT: usize = 48;

/// The widest line the network is given, in pixels.
const WIDEST: usize = 3200;

/// The narrowest batch the network is given, in pixels.
const NARROWEST: usize = 160;

/// The most lines the network is given at once.
const BATCH: usize = 4;

/// How much taller than wide a quad must be to hold text that runs up or down.
const TALL: f32 = 1.5;

/// How much taller than wide a quad must be to hold no single character.
const VERY_TALL: f32 = 3.0;

/// The mean confidence from which a line was read.
const SURE: f32 = 0.5;

/// A line that was read.
#[derive(Clone, Debug)]
pub(super) struct ReadLine {
    pub(super) quad: Quad,
    pub(super) characters: Vec<Character>,
    pub(super) confidence: f32,
}

/// A character, and where in its line it was read: from 0 at the start to 1 at the end.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Character {
    pub(super) text: String,
    pub(super) at: f32,
    /// Half the width of a step of the network.
    pub(super) half: f32,
    pub(super) confidence: f32,
}

/// Reads lines.
pub(super) struct Recogniser {
    /// One for each batch that may be read at once.
    workers: Vec<Box<dyn Network>>,
    /// What each class stands for; the first stands for nothing.
    classes: Vec<String>,
}

impl Recogniser {
    /// Takes the networks that read side by side, and the characters they know, one a line.
    pub(super) fn new(workers: Vec<Box<dyn Network>>, characters: &str) -> Self {
        let mut classes = vec![String::new()];
        classes.extend(characters.lines().map(str::to_owned));
        classes.push(" ".to_owned());
        Self { workers, classes }
    }

    /// Reads the quads of an image; what it is not sure of is left out.
    pub(super) fn read(
        &self,
        image: &RgbImage,
        quads: &[Quad],
        stop: &(dyn Fn() -> Result<(), OcrError> + Sync),
    ) -> Result<Vec<ReadLine>, OcrError> {
        let directed = |(at, quad)| directions(quad).into_iter().map(move |quad| (at, quad));
        let mut quads: Vec<(usize, Quad)> = quads.iter().enumerate().flat_map(directed).collect();
        // The widest first, so that no worker begins a long batch when the others are done.
        quads.sort_by_key(|(_, quad)| Reverse(line_width(quad)));
        let read = self.read_batches(image, &quads, stop)?;
        // Of several directions the one that is read with the most confidence is right.
        let mut lines: BTreeMap<usize, ReadLine> = BTreeMap::new();
        for ((at, _), line) in quads.iter().zip(read) {
            let sure = |line: &ReadLine| line.confidence >= SURE && !line.characters.is_empty();
            let better = |known: &ReadLine| line.confidence > known.confidence;
            if sure(&line) && lines.get(at).is_none_or(better) {
                lines.insert(*at, line);
            }
        }
        Ok(lines.into_values().collect())
    }

    /// Reads batches side by side; the lines come in the order of their quads.
    fn read_batches(
        &self,
        image: &RgbImage,
        quads: &[(usize, Quad)],
        stop: &(dyn Fn() -> Result<(), OcrError> + Sync),
    ) -> Result<Vec<ReadLine>, OcrError> {
        let batches: Vec<&[(usize, Quad)]> = quads.chunks(BATCH).collect();
        let next = AtomicUsize::new(0);
        let work = |network: &dyn Network| -> Result<Vec<_>, OcrError> {
            let mut read = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(batch) = batches.get(number) else {
                    return Ok(read);
                };
                stop()?;
                read.push((number, self.read_batch(image, batch, network)?));
            }
        };
        let outcomes: Vec<_> = thread::scope(|scope| {
            let workers = self.workers.iter().take(batches.len());
            let started: Vec<_> =
                workers.map(|network| scope.spawn(move || work(&**network))).collect();
            let end = |worker: thread::ScopedJoinHandle<'_, _>| {
                worker.join().unwrap_or_else(|_| Err(crashed()))
            };
            started.into_iter().map(end).collect()
        });
        let mut read: Vec<(usize, Vec<ReadLine>)> = Vec::with_capacity(batches.len());
        for outcome in outcomes {
            read.extend(outcome?);
        }
        read.sort_by_key(|(number, _)| *number);
        Ok(read.into_iter().flat_map(|(_, lines)| lines).collect())
    }

    fn read_batch(
        &self,
        image: &RgbImage,
        quads: &[(usize, Quad)],
        network: &dyn Network,
    ) -> Result<Vec<ReadLine>, OcrError> {
        let widest = quads.iter().map(|(_, quad)| line_width(quad)).max().unwrap_or(0);
        let width = widest.max(NARROWEST);
        let mut pixels = vec![0.0; quads.len() * 3 * HEIGHT * width];
        for ((_, quad), planes) in quads.iter().zip(pixels.chunks_mut(3 * HEIGHT * width)) {
            crop(image, quad, planes, width);
        }
        let shape = [quads.len(), 3, HEIGHT, width];
        let failed = |error: String| OcrError::Run(format!("reading lines: {error}"));
        let Scores { shape, data } = network.run(Pixels { shape, data: pixels }).map_err(failed)?;
        let [_, steps, classes] = shape[..] else {
            return Err(failed(format!("scores of the shape {shape:?}")));
        };
        let lines = quads.iter().zip(data.chunks(steps * classes)).map(|((_, quad), scores)| {
            // The line fills only its share of the batch's width.
            let share = line_width(quad) as f32 / width as f32;
            let characters = decode(scores, classes, share, &self.classes);
            let sum: f32 = characters.iter().map(|character| character.confidence).sum();
            let confidence = sum / characters.len().max(1) as f32;
            ReadLine { quad: *quad, characters, confidence }
        });
        Ok(lines.collect())
    }
}

fn crashed() -> OcrError {
    OcrError::Run("reading lines: the reader crashed".to_owned())
}

/// The directions in which a quad may be read.
fn directions(quad: &Quad) -> Vec<Quad> {
    let slope = quad.height() / quad.width().max(1.0);
    if slope <= TALL {
        return vec![*quad];
    }
    let mut directions = vec![quad.downwards(), quad.upwards()];
    if slope < VERY_TALL {
        directions.push(*quad);
    }
    directions
}

/// The width a quad has at the height the network wants.
fn line_width(quad: &Quad) -> usize {
    let width = HEIGHT as f32 * quad.width() / quad.height().max(1.0);
    (width.ceil() as usize).clamp(1, WIDEST)
}

/// Writes the pixels of a quad into planes of blue, green and red.
fn crop(image: &RgbImage, quad: &Quad, planes: &mut [f32], stride: usize) {
    let width = line_width(quad);
    let [tl, tr, br, bl] = quad.0;
    // Where several pixels of the image fall into one, each has its say.
    let density = (quad.height() / HEIGHT as f32).ceil().clamp(1.0, 4.0) as usize;
    for row in 0..HEIGHT {
        for column in 0..width {
            let mut sum = [0.0; 3];
            for sample in 0..density * density {
                let (sx, sy) = (sample % density, sample / density);
                let inside =
                    |at: usize, part: usize| at as f32 + (part as f32 + 0.5) / density as f32;
                let (u, v) = (inside(column, sx) / width as f32, inside(row, sy) / HEIGHT as f32);
                let at = tl.towards(tr, u).towards(bl.towards(br, u), v);
                let value = sampled(image, at);
                for (sum, value) in sum.iter_mut().zip(value) {
                    *sum += value;
                }
            }
            for (plane, value) in sum.iter().rev().enumerate() {
                let value = value / (density * density) as f32;
                planes[(plane * HEIGHT + row) * stride + column] = value / 127.5 - 1.0;
            }
        }
    }
}

/// The colour at a point, between the four pixels around it.
fn sampled(image: &RgbImage, at: Point) -> [f32; 3] {
    let limit = |value: f32, side: u32| (value - 0.5).clamp(0.0, side as f32 - 1.0);
    let (x, y) = (limit(at.x, image.width()), limit(at.y, image.height()));
    let (x0, y0) = (x as u32, y as u32);
    let (x1, y1) = ((x0 + 1).min(image.width() - 1), (y0 + 1).min(image.height() - 1));
    let (fx, fy) = (x - x0 as f32, y - y0 as f32);
    let corners = [
        (image.get_pixel(x0, y0), (1.0 - fx) * (1.0 - fy)),
        (image.get_pixel(x1, y0), fx * (1.0 - fy)),
        (image.get_pixel(x0, y1), (1.0 - fx) * fy),
        (image.get_pixel(x1, y1), fx * fy),
    ];
    std::array::from_fn(|c| corners.iter().map(|(pixel, w)| f32::from(pixel.0[c]) * w).sum())
}

/// The class of the highest score, and the score.
fn best_of(scores: &[f32]) -> (usize, f32) {
    let higher = |best: (usize, f32), (class, score): (usize, &f32)| {
        if *score > best.1 { (class, *score) } else { best }
    };
    scores.iter().enumerate().fold((0, 0.0), higher)
}

/// Reads the best class of each step; repeats and the class for nothing fall away.
fn decode(scores: &[f32], classes: usize, share: f32, names: &[String]) -> Vec<Character> {
    let steps = scores.len() / classes.max(1);
    let half = 0.5 / steps as f32 / share;
    let mut characters: Vec<Character> = Vec::new();
    let mut before = 0;
    for (step, scores) in scores.chunks(classes).enumerate() {
        let (class, score) = best_of(scores);
        if class != 0
            && class != before
            && let Some(name) = names.get(class)
        {
            let at = ((step as f32 + 0.5) / steps as f32 / share).min(1.0);
            characters.push(Character { text: name.clone(), at, half, confidence: score });
        }
        before = class;
    }
    characters
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        ["", "a", "b", " "].map(str::to_owned).to_vec()
    }

    /// Scores in which these classes win, one a step.
    fn scores(winners: &[usize]) -> Vec<f32> {
        winners
            .iter()
            .flat_map(|winner| (0..4).map(move |c| if c == *winner { 0.9 } else { 0.03 }))
            .collect()
    }

    #[test]
    fn repeats_are_one_character_unless_something_is_between() {
        let text = |winners: &[usize]| -> String {
            decode(&scores(winners), 4, 1.0, &names()).iter().map(|c| c.text.as_str()).collect()
        };
        assert_eq!(text(&[1, 1, 0, 1, 2, 2]), "aab");
        assert_eq!(text(&[0, 0, 0]), "");
        assert_eq!(text(&[1, 3, 2]), "a b");
    }

    #[test]
    fn a_character_stands_where_its_step_is() {
        let read = decode(&scores(&[0, 1, 0, 0, 2, 0, 0, 0]), 4, 0.75, &names());
        assert!((read[0].at - 1.5 / 8.0 / 0.75).abs() < 1e-6);
        assert!((read[1].at - 4.5 / 8.0 / 0.75).abs() < 1e-6);
    }
}
