//! Words into lines, lines into text.
//!
//! Words stand in a PDF in the order they were drawn, which need not be the order they
//! are read. Here a line is what stands at one height, from the left edge to the right:
//! that keeps a label beside its value. Columns of prose are interleaved by it.

use super::layout::{Rect, Word};

/// Share of the taller word's height that two words on a line have in common.
const SAME_LINE: f32 = 0.4;

/// Puts words into reading order, and writes them down, a line a line.
pub(crate) fn in_reading_order(mut words: Vec<Word>) -> (Vec<Word>, String) {
    let middle = |rect: &Rect| f32::midpoint(rect.y0, rect.y1);
    words.sort_by(|a, b| middle(&a.rect).total_cmp(&middle(&b.rect)));
    let mut lines: Vec<Vec<Word>> = Vec::new();
    for word in words {
        match lines.last_mut() {
            Some(line) if line.last().is_some_and(|last| beside(&last.rect, &word.rect)) => {
                line.push(word);
            }
            _ => lines.push(vec![word]),
        }
    }
    let mut text = String::new();
    for line in &mut lines {
        line.sort_by(|a, b| a.rect.x0.total_cmp(&b.rect.x0));
        for (i, word) in line.iter().enumerate() {
            if i > 0 {
                text.push(' ');
            }
            text.push_str(&word.text);
        }
        text.push('\n');
    }
    (lines.into_iter().flatten().collect(), text)
}

fn beside(a: &Rect, b: &Rect) -> bool {
    let common = a.y1.min(b.y1) - a.y0.max(b.y0);
    common >= SAME_LINE * a.height().max(b.height())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str, x: f32, y: f32, height: f32) -> Word {
        Word { text: text.to_owned(), rect: Rect::new(x, y, x + 20.0, y + height), confidence: 1.0 }
    }

    #[test]
    fn a_label_is_read_before_the_value_beside_it() {
        let (words, text) = in_reading_order(vec![
            word("42.00", 400.0, 101.0, 10.0),
            word("2026", 80.0, 80.0, 10.0),
            word("Total", 50.0, 100.0, 10.0),
            word("May", 50.0, 80.5, 10.0),
        ]);
        assert_eq!(text, "May 2026\nTotal 42.00\n");
        assert_eq!(words[0].text, "May");
        assert_eq!(words[3].text, "42.00");
    }

    #[test]
    fn a_tall_title_does_not_swallow_the_small_lines_beside_it() {
        let (_, text) = in_reading_order(vec![
            word("INVOICE", 50.0, 50.0, 40.0),
            word("Street", 400.0, 52.0, 9.0),
            word("City", 400.0, 64.0, 9.0),
        ]);
        assert_eq!(text, "Street\nCity\nINVOICE\n");
    }

    #[test]
    fn a_page_without_words_has_no_text() {
        assert_eq!(in_reading_order(Vec::new()), (Vec::new(), String::new()));
    }
}
