//! Lines and cells by geometry: which words stand beside each other, and which belong together.
//!
//! A line is a chain of words, left to right, each overlapping the one before in height, so
//! that a slightly turned scan still chains. A cell is a run of a line without a gap wider
//! than a letter's height. Words that hold a label and its value at once (`合計1,377,200`,
//! `Date:28/11/2022`) are cut here, their boxes in proportion.

use std::ops::Range;

use crate::documents::layout::{Page, Rect};

use super::labels::Labels;
use super::text::{fold, is_cjk, normalise};

/// A word or part of one, in normal form.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) folded: String,
    pub(super) rect: Rect,
    pub(super) confidence: f32,
    /// It follows the token before within one word, so no space is written between them.
    glued: bool,
}

/// Words beside each other on one page.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Ordinal of the page, from 1.
    pub(super) page: u32,
    pub(super) tokens: Vec<Token>,
    pub(super) cells: Vec<Range<usize>>,
    pub(super) rect: Rect,
}

impl Line {
    /// The text of some tokens, joined as they are written.
    pub(super) fn text(&self, range: Range<usize>) -> String {
        let mut out = String::new();
        for token in &self.tokens[range] {
            let unspaced = out.ends_with(is_cjk) && token.text.starts_with(is_cjk);
            if !out.is_empty() && !token.glued && !unspaced {
                out.push(' ');
            }
            out.push_str(&token.text);
        }
        out
    }

    /// The smallest rectangle around some tokens; that of the line for none.
    pub(super) fn rect_of(&self, range: Range<usize>) -> Rect {
        let mut rects = self.tokens[range].iter().map(|t| t.rect);
        let first = rects.next().unwrap_or(self.rect);
        rects.fold(first, |all, r| all.union(&r))
    }

    /// Lowest confidence among some tokens.
    pub(super) fn confidence(&self, range: Range<usize>) -> f32 {
        self.tokens[range].iter().map(|t| t.confidence).fold(1.0, f32::min)
    }

    /// The cell that holds a token.
    pub(super) fn cell_of(&self, token: usize) -> Range<usize> {
        self.cells.iter().find(|c| c.contains(&token)).cloned().unwrap_or(token..token + 1)
    }

    /// Space between a token and the one before it, in heights of a letter.
    pub(super) fn gap_before(&self, token: usize) -> f32 {
        if token == 0 {
            return f32::INFINITY;
        }
        gap(&self.tokens[token - 1], &self.tokens[token])
    }
}

fn gap(left: &Token, right: &Token) -> f32 {
    let height = f32::midpoint(left.rect.height(), right.rect.height()).max(1.0);
    (right.rect.x0 - left.rect.x1) / height
}

/// A gap from here on, in heights, parts cells.
const CELL_GAP: f32 = 0.8;

/// Groups the words of a page into lines, top to bottom.
pub(super) fn lines(page: &Page, labels: &Labels) -> Vec<Line> {
    let mut tokens: Vec<Token> = page.words.iter().flat_map(|w| split(w, labels)).collect();
    tokens.sort_by(|a, b| a.rect.x0.total_cmp(&b.rect.x0));
    let mut rows: Vec<Vec<Token>> = Vec::new();
    for token in tokens {
        let best = rows
            .iter_mut()
            .filter_map(|row| {
                let last = row.last()?;
                let overlap = overlap(&last.rect, &token.rect);
                (overlap > 0.5 && gap(last, &token) > -1.5).then_some((overlap, row))
            })
            .max_by(|a, b| a.0.total_cmp(&b.0));
        match best {
            Some((_, row)) => row.push(token),
            None => rows.push(vec![token]),
        }
    }
    let mut lines: Vec<Line> = rows.into_iter().filter_map(|row| line(page.number, row)).collect();
    lines.sort_by(|a, b| middle(&a.rect).total_cmp(&middle(&b.rect)));
    lines
}

fn middle(rect: &Rect) -> f32 {
    f32::midpoint(rect.y0, rect.y1)
}

/// Shared height as a share of the lower one; none where the other is far taller.
fn overlap(a: &Rect, b: &Rect) -> f32 {
    let shared = a.y1.min(b.y1) - a.y0.max(b.y0);
    let (low, high) = (a.height().min(b.height()).max(0.1), a.height().max(b.height()));
    if high > 3.5 * low { 0.0 } else { shared / low }
}

fn line(page: u32, tokens: Vec<Token>) -> Option<Line> {
    let first = tokens.first()?.rect;
    let rect = tokens.iter().fold(first, |all, t| all.union(&t.rect));
    let mut cells = Vec::new();
    let mut start = 0;
    for at in 1..tokens.len() {
        if gap(&tokens[at - 1], &tokens[at]) > CELL_GAP {
            cells.push(start..at);
            start = at;
        }
    }
    cells.push(start..tokens.len());
    Some(Line { page, tokens, cells, rect })
}

/// Cuts a word where a label ends and its value begins.
fn split(word: &crate::documents::layout::Word, labels: &Labels) -> Vec<Token> {
    let text: String = normalise(&word.text);
    let r = word.rect;
    if text.is_empty() || ![r.x0, r.y0, r.x1, r.y1].iter().all(|v| v.is_finite()) {
        return Vec::new();
    }
    let mut parts: Vec<(String, bool)> = Vec::new();
    for spaced in text.split(' ').filter(|p| !p.is_empty()) {
        let mut rest = spaced;
        let mut glued = false;
        while let Some(at) = cut(rest, labels) {
            parts.push((rest[..at].to_owned(), glued));
            rest = &rest[at..];
            glued = true;
        }
        parts.push((rest.to_owned(), glued));
    }
    let total: usize = parts.iter().map(|(p, glued)| p.chars().count() + usize::from(!glued)).sum();
    let unit = r.width() / total.saturating_sub(1).max(1) as f32;
    let mut at = 0;
    let confidence =
        if word.confidence.is_finite() { word.confidence.clamp(0.0, 1.0) } else { 0.0 };
    let mut tokens = Vec::with_capacity(parts.len());
    for (text, glued) in parts {
        at += usize::from(!glued && at > 0);
        let length = text.chars().count();
        let rect =
            Rect::new(r.x0 + unit * at as f32, r.y0, r.x0 + unit * (at + length) as f32, r.y1);
        at += length;
        tokens.push(Token { folded: fold(&text), text, rect, confidence, glued });
    }
    tokens
}

/// Where to cut a word in two, if anywhere.
fn cut(word: &str, labels: &Labels) -> Option<usize> {
    if word.len() < 3 || word.len() > 400 {
        return None;
    }
    // Recognition often glues the colon to the value: `Date :28/11/2022`.
    if word.starts_with(':') {
        return Some(1);
    }
    let colon = word.char_indices().find(|(at, c)| {
        let before = word[..*at].chars().next_back();
        let after = word[at + c.len_utf8()..].chars().next();
        *c == ':'
            && before.is_some()
            && after.is_some_and(|a| a != '/')
            && !(before.is_some_and(|b| b.is_ascii_digit())
                && after.is_some_and(|a| a.is_ascii_digit()))
    });
    if let Some((at, _)) = colon {
        return Some(at + 1);
    }
    let boundary = |left: char, right: char| {
        is_cjk(left) || (left.is_alphabetic() && (right.is_ascii_digit() || "$€£¥".contains(right)))
    };
    let mixed =
        word.chars().any(|c| c.is_ascii_digit() || "$€£¥".contains(c)) || word.chars().any(is_cjk);
    if !mixed || !word.starts_with(char::is_alphabetic) {
        return None;
    }
    let end = labels.prefix(word, boundary)?;
    let folded = fold(word);
    (end < word.len() && labels.exact(&folded).is_none()).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::{Labels, lines};
    use crate::documents::layout::{Page, Rect, Word};

    fn page(words: &[(&str, f32, f32)]) -> Page {
        let word = |(text, x, y): &(&str, f32, f32)| Word {
            text: (*text).to_owned(),
            rect: Rect::new(*x, *y, *x + 6.0 * text.chars().count() as f32, *y + 10.0),
            confidence: 1.0,
        };
        Page {
            number: 1,
            width: 600.0,
            height: 800.0,
            text: String::new(),
            words: words.iter().map(word).collect(),
        }
    }

    #[test]
    fn words_chain_into_lines_and_gaps_part_cells() {
        let page = page(&[
            ("Total", 10.0, 100.0),
            ("due:", 43.0, 101.0),
            ("12.00", 300.0, 103.0),
            ("Thanks", 10.0, 120.0),
        ]);
        let lines = lines(&page, &Labels::new([]));
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].text(0..3), "Total due: 12.00");
        assert_eq!(lines[0].cells, vec![0..2, 2..3]);
    }

    #[test]
    fn a_colon_that_leads_a_value_is_cut_off() {
        let lines =
            lines(&page(&[("Date", 10.0, 30.0), (":28/11/2022", 36.0, 30.0)]), &Labels::new([]));
        let texts: Vec<_> = lines[0].tokens.iter().map(|token| token.text.as_str()).collect();
        assert_eq!(texts, ["Date", ":", "28/11/2022"]);
    }

    #[test]
    fn a_word_with_label_and_value_is_cut() {
        for (word, parts) in [
            ("請求番号：INV-2024-00317", vec!["請求番号:", "INV-2024-00317"]),
            ("合計1,377,200", vec!["合計", "1,377,200"]),
            ("Date:28/11/2022", vec!["Date:", "28/11/2022"]),
            ("https://a.example/x", vec!["https://a.example/x"]),
            ("14:30", vec!["14:30"]),
        ] {
            let page = page(&[(word, 10.0, 10.0)]);
            let lines = lines(&page, &Labels::new([]));
            let texts: Vec<_> = lines[0].tokens.iter().map(|t| t.text.as_str()).collect();
            assert_eq!(texts, parts, "{word}");
        }
    }
}
