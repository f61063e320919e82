//! From lines that were read to a page: reading order, words, boxes in points.

use super::super::{Line, Rect, Word};
use super::OcrPage;
use super::recognise::{Character, ReadLine};

/// The gap, in heights of the line, from which two characters are of two words though no
/// space was read between them.
const WIDE_GAP: f32 = 1.5;

/// The share of the lower of two lines that must overlap for them to share a row.
const SAME_ROW: f32 = 0.5;

/// A page from its lines. `points` is how many points a pixel is.
pub(super) fn page(lines: &[ReadLine], points: f32) -> OcrPage {
    let mut lines: Vec<(Line, Vec<Word>)> = lines
        .iter()
        .map(|line| read(line, points))
        .filter(|(line, _)| !line.text.is_empty())
        .collect();
    lines.sort_by(|(a, _), (b, _)| a.rect.y0.total_cmp(&b.rect.y0));
    let mut page = OcrPage::default();
    for mut row in rows(lines) {
        row.sort_by(|(a, _), (b, _)| a.rect.x0.total_cmp(&b.rect.x0));
        let text: Vec<&str> = row.iter().map(|(line, _)| line.text.as_str()).collect();
        if !page.text.is_empty() {
            page.text.push('\n');
        }
        page.text.push_str(&text.join(" "));
        for (line, words) in row {
            page.lines.push(line);
            page.words.extend(words);
        }
    }
    page
}

/// Lines that stand beside each other, from the top down.
fn rows(lines: Vec<(Line, Vec<Word>)>) -> Vec<Vec<(Line, Vec<Word>)>> {
    let mut rows: Vec<Vec<(Line, Vec<Word>)>> = Vec::new();
    for line in lines {
        let beside = |row: &Vec<(Line, Vec<Word>)>| {
            row.iter().any(|(other, _)| overlap(&other.rect, &line.0.rect) >= SAME_ROW)
        };
        // Only the last rows can still reach down to this line.
        match rows.iter_mut().rev().take(3).find(|row| beside(row)) {
            Some(row) => row.push(line),
            None => rows.push(vec![line]),
        }
    }
    rows
}

/// The share of the lower line's height over which two lines stand beside each other.
fn overlap(a: &Rect, b: &Rect) -> f32 {
    let shared = a.y1.min(b.y1) - a.y0.max(b.y0);
    shared / a.height().min(b.height()).max(f32::EPSILON)
}

fn read(line: &ReadLine, points: f32) -> (Line, Vec<Word>) {
    let height = line.quad.height() / line.quad.width().max(1.0);
    let mut words: Vec<Vec<&Character>> = vec![Vec::new()];
    for character in &line.characters {
        let current = words.last().and_then(|word| word.last());
        let far = current.is_some_and(|last| character.at - last.at > WIDE_GAP * height);
        let space = character.text.trim().is_empty();
        if (space || far) && current.is_some() {
            words.push(Vec::new());
        }
        if !space && let Some(word) = words.last_mut() {
            word.push(character);
        }
    }
    words.retain(|word| !word.is_empty());
    let words: Vec<Word> = words.iter().map(|word| word_of(line, word, points)).collect();
    let text = words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
    let rect = rect_of(line.quad.part(0.0, 1.0), points);
    (Line { text, rect, confidence: line.confidence }, words)
}

fn word_of(line: &ReadLine, characters: &[&Character], points: f32) -> Word {
    let text = characters.iter().map(|character| character.text.as_str()).collect();
    let (first, last) = (characters[0], characters[characters.len() - 1]);
    // A character is about as wide as the way to its neighbour.
    let pitch = (last.at - first.at) / (characters.len().max(2) - 1) as f32;
    let half = (pitch / 2.0).max(first.half);
    let (from, to) = ((first.at - half).max(0.0), (last.at + half).min(1.0));
    let sum: f32 = characters.iter().map(|character| character.confidence).sum();
    let confidence = sum / characters.len() as f32;
    Word { text, rect: rect_of(line.quad.part(from, to), points), confidence }
}

fn rect_of([x0, y0, x1, y1]: [f32; 4], points: f32) -> Rect {
    let at = |value: f32| (value.max(0.0) * points * 100.0).round() / 100.0;
    Rect::new(at(x0), at(y0), at(x1), at(y1))
}

#[cfg(test)]
mod tests {
    use super::super::geometry::{Point, Quad};
    use super::*;

    fn line(text: &str, x: f32, y: f32, width: f32) -> ReadLine {
        let corners = [(x, y), (x + width, y), (x + width, y + 10.0), (x, y + 10.0)];
        let steps = text.chars().count() as f32;
        let characters = text.chars().enumerate().map(|(at, c)| Character {
            text: c.to_string(),
            at: (at as f32 + 0.5) / steps,
            half: 0.5 / steps,
            confidence: 0.9,
        });
        ReadLine {
            quad: Quad(corners.map(|(x, y)| Point::new(x, y))),
            characters: characters.collect(),
            confidence: 0.9,
        }
    }

    #[test]
    fn rows_are_read_from_the_left_and_the_page_from_the_top() {
        let lines = vec![
            line("total", 0.0, 40.0, 50.0),
            line("right", 100.0, 2.0, 50.0),
            line("left", 0.0, 0.0, 40.0),
        ];
        let page = page(&lines, 1.0);
        assert_eq!(page.text, "left right\ntotal");
    }

    #[test]
    fn a_space_ends_a_word_and_boxes_follow() {
        let page = page(&[line("ab cd", 10.0, 0.0, 50.0)], 0.5);
        let texts: Vec<_> = page.words.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(texts, ["ab", "cd"]);
        assert_eq!(page.words[1].rect, Rect::new(20.0, 0.0, 30.0, 5.0));
        assert_eq!(page.lines[0].rect, Rect::new(5.0, 0.0, 30.0, 5.0));
    }
}
