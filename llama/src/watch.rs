//! Sees when a model does nothing but repeat itself, the commonest failure of small ones.
//!
//! What ends an answer early is a unit of text that was written over and over without anything
//! between, up to now. Prose says nothing twelve times on purpose; a table may have a hundred
//! equal rows, and an array five hundred zeros, so units that look like data are given far
//! more room. What merely goes on is not seen here: a bound on tokens ends that.

/// The longest unit that is looked for, in tokens.
const LONGEST: usize = 192;

/// Tokens between two looks.
const STRIDE: usize = 16;

/// How often a unit of prose is written at least, and over how many tokens.
const PROSE: (usize, usize) = (6, 96);

/// The same of a unit of data.
const DATA: (usize, usize) = (48, 1536);

/// The most letters of a unit that a message shows.
const SHOWN: usize = 60;

/// Watches the tokens of one answer.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    tokens: Vec<i32>,
    /// Where the text of each token begins.
    starts: Vec<usize>,
    text: String,
}

/// A unit that is written over and over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Repetition {
    /// The unit, shortened.
    pub(crate) unit: String,
    /// How often it stands there without anything between.
    pub(crate) times: usize,
}

impl Watch {
    /// Takes the next token and its text, and says whether nothing new comes any more.
    pub(crate) fn take(&mut self, token: i32, text: &str) -> Option<Repetition> {
        self.tokens.push(token);
        self.starts.push(self.text.len());
        self.text.push_str(text);
        if !self.tokens.len().is_multiple_of(STRIDE) {
            return None;
        }
        (1..=LONGEST.min(self.tokens.len() / PROSE.0)).find_map(|period| self.repeated(period))
    }

    /// Whether the last tokens repeat with this period often enough.
    fn repeated(&self, period: usize) -> Option<Repetition> {
        let tokens = &self.tokens;
        let pairs = tokens.iter().rev().zip(tokens.iter().rev().skip(period));
        let same = pairs.take_while(|(later, earlier)| later == earlier).count();
        let (span, times) = (same + period, same / period + 1);
        let enough = |(least, over): (usize, usize)| times >= least && span >= over;
        if !enough(PROSE) {
            return None;
        }
        let unit = &self.text[self.starts[tokens.len() - period]..];
        if is_data(unit) && !enough(DATA) {
            return None;
        }
        Some(Repetition { unit: shortened(unit), times })
    }
}

/// Whether a unit looks like a row, a cell or an element, and not like prose.
fn is_data(unit: &str) -> bool {
    let is_row = unit.contains('\n') && unit.contains([',', ';']);
    let has_marks = unit.contains(['|', '\t', '"', '[', ']', '{', '}', '<', '>']);
    let has_words = unit.split(|c: char| !c.is_alphabetic()).any(|word| word.chars().count() > 1);
    // Scripts without spaces have words of one letter.
    let has_words = has_words || unit.chars().any(|c| c.is_alphabetic() && !c.is_ascii());
    is_row || has_marks || !has_words
}

/// A unit as a message shows it.
fn shortened(unit: &str) -> String {
    let line = unit.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= SHOWN {
        return line;
    }
    line.chars().take(SHOWN - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Watches a text whose tokens are its words; equal words are equal tokens.
    fn watched(text: &str) -> Option<(usize, Repetition)> {
        let mut watch = Watch::default();
        let mut known = std::collections::HashMap::new();
        for (at, word) in text.split_inclusive([' ', '\n']).enumerate() {
            let next = known.len() as i32;
            let token = *known.entry(word).or_insert(next);
            if let Some(found) = watch.take(token, word) {
                return Some((at + 1, found));
            }
        }
        None
    }

    #[test]
    fn a_sentence_that_comes_again_and_again_is_seen_and_shown_shortened() {
        let sentence = "The image shows a man who stands in front of a very large building. ";
        let (at, found) = watched(&sentence.repeat(100)).expect("it is seen");
        assert_eq!(found.unit, "large building. The image shows a man who stands in front o…");
        assert!(found.times >= 6 && at < 120, "{found:?} after {at} words");
    }

    #[test]
    fn a_lone_word_that_goes_on_is_seen() {
        let (at, found) = watched(&"no ".repeat(1000)).expect("it is seen");
        assert_eq!((at, found), (96, Repetition { unit: "no".into(), times: 96 }));
    }

    #[test]
    fn a_loop_is_seen_after_a_beginning_that_was_fine() {
        let text = format!("{}{}", "one two three four five six seven. ", "the same. ".repeat(200));
        assert_eq!(watched(&text).expect("it is seen").1.unit, "same. the");
    }

    #[test]
    fn equal_rows_of_a_table_and_equal_elements_of_an_array_are_no_loop() {
        let rows = "| 2026-01-31 | 0.00 | 0.00 |\n".repeat(100);
        assert_eq!(watched(&rows), None);
        assert_eq!(watched(&format!("[{}0]", "0, ".repeat(1000))), None);
        assert_eq!(watched(&format!("[{}]", "\"unknown\", ".repeat(500))), None);
        assert_eq!(
            watched(&format!("[{}]", "{ \"name\": \"n/a\", \"sum\": 0 }, ".repeat(100))),
            None
        );
        assert_eq!(watched(&"n/a,n/a,not given\n".repeat(300)), None);
        assert_eq!(watched(&"- - - - - - - - ".repeat(60)), None);
    }

    #[test]
    fn rows_without_an_end_are_seen_after_far_longer() {
        let (at, found) = watched(&"| 0 | 0 |\n".repeat(2000)).expect("it is seen");
        assert!(at >= DATA.1, "{at}: {found:?}");
        let (at, _) = watched(&format!("[{}", "0, ".repeat(9000))).expect("it is seen");
        assert!(at >= DATA.1, "{at}");
    }

    #[test]
    fn text_in_a_script_without_spaces_counts_as_prose() {
        let mut watch = Watch::default();
        let seen =
            "これはペンです。".chars().cycle().take(400).enumerate().find_map(|(at, letter)| {
                watch.take(letter as i32, &letter.to_string()).map(|found| (at, found))
            });
        assert_eq!(seen.expect("it is seen").1.unit.chars().count(), 8);
    }

    proptest! {
        /// Whatever is said, it is a repetition only if the text ends with it that often.
        #[test]
        fn what_is_called_a_repetition_is_one(tokens in prop::collection::vec(0..3_i32, 0..2000)) {
            let mut watch = Watch::default();
            for (at, token) in tokens.iter().enumerate() {
                let text = ["one ", "two ", "three "][*token as usize];
                if let Some(found) = watch.take(*token, text) {
                    let all: String = tokens[..=at]
                        .iter()
                        .map(|token| ["one ", "two ", "three "][*token as usize])
                        .collect();
                    prop_assert!(found.times >= PROSE.0);
                    let twice = format!("{0} {0}", found.unit);
                    let is_there = found.unit.ends_with('…') || all.contains(&twice);
                    prop_assert!(is_there, "{:?}", found);
                    break;
                }
            }
        }
    }
}
