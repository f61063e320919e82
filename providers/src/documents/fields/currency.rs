//! The currency of a document: a vote of the marks at its amounts, codes and names.
//!
//! `$`, `¥` and `kr` belong to several currencies. What else the page shows decides: a code
//! or country for dollars, script and words for yen and yuan, language for crowns.

use std::collections::BTreeMap;

use super::amount::currency_mark;
use super::labels::ConceptId;
use super::reading::{Place, Reading};

/// A currency code with the place that shows it best and how sure it is.
pub(super) fn find(reading: &Reading, concept: ConceptId) -> Option<(String, Place, f32)> {
    let mut votes: BTreeMap<&'static str, (f32, Place)> = BTreeMap::new();
    let mut vote = |mark: &'static str, weight: f32, place: Place| {
        let entry = votes.entry(mark).or_insert((0.0, place));
        entry.0 += weight;
    };
    for (index, row) in reading.rows.iter().enumerate() {
        for spot in &row.amounts {
            if let Some(mark) = spot.value.currency {
                vote(mark, 1.0, Place { row: index, range: spot.range.clone() });
            }
        }
        for (at, token) in row.line.tokens.iter().enumerate() {
            let taken = row.amounts.iter().any(|s| s.range.contains(&at));
            if !taken && let Some((mark, weight)) = loose_mark(row, at, &token.text) {
                vote(mark, weight, Place { row: index, range: at..at + 1 });
            }
        }
    }
    for (index, hit) in reading.labelled(concept).filter(|(_, h)| h.quality > 0.5) {
        for region in reading.regions(index, hit) {
            for at in region.place.range.clone() {
                if let Some(mark) =
                    currency_mark(&reading.rows[region.place.row].line.tokens[at].folded)
                {
                    vote(mark, 5.0, Place { row: region.place.row, range: at..at + 1 });
                }
            }
        }
    }
    winner(reading, &votes)
}

/// A currency's name or mark that stands apart from any amount.
fn loose_mark(row: &super::reading::Row, at: usize, text: &str) -> Option<(&'static str, f32)> {
    let bare = text.trim_matches(|c: char| "().,:;[]/*".contains(c));
    let mark = currency_mark(bare)?;
    let upper = bare.len() == 3 && bare.chars().all(|c| c.is_ascii_uppercase());
    let symbol = !bare.chars().any(|c| c.is_ascii_alphanumeric());
    let beside = row.amounts.iter().any(|s| s.range.end == at || s.range.start == at + 1);
    match (upper, symbol, beside) {
        (true, _, true) | (_, true, true) => Some((mark, 1.0)),
        (true, _, false) => Some((mark, 0.8)),
        (_, true, false) => Some((mark, 0.5)),
        (false, false, true) => Some((mark, 0.6)),
        (false, false, false) => (bare.chars().count() > 3 || bare == "Rs").then_some((mark, 0.4)),
    }
}

fn winner(
    reading: &Reading,
    votes: &BTreeMap<&'static str, (f32, Place)>,
) -> Option<(String, Place, f32)> {
    let mut sums: BTreeMap<&'static str, (f32, Place)> = BTreeMap::new();
    for (mark, (weight, place)) in votes {
        let code = settle(reading, mark, votes);
        let entry = sums.entry(code).or_insert((0.0, place.clone()));
        entry.0 += weight;
    }
    let total: f32 = sums.values().map(|(w, _)| w).sum();
    let (code, (weight, place)) = sums.into_iter().max_by(|a, b| a.1.0.total_cmp(&b.1.0))?;
    let share = weight / total;
    let enough = (0.6 + 0.1 * weight).min(0.97);
    (share > 0.5).then(|| (code.to_owned(), place, share.sqrt() * enough))
}

/// The code that a mark of several currencies stands for here.
fn settle(
    reading: &Reading,
    mark: &'static str,
    votes: &BTreeMap<&'static str, (f32, Place)>,
) -> &'static str {
    let shows = |words: &[&str]| {
        reading.rows.iter().flat_map(|r| &r.line.tokens).any(|t| words.contains(&t.folded.as_str()))
    };
    let voted = |codes: &[&'static str]| codes.iter().copied().find(|c| votes.contains_key(c));
    match mark {
        "?$" => {
            let coded = voted(&["CAD", "AUD", "NZD", "SGD", "HKD", "MXN", "USD", "TWD"]);
            coded.unwrap_or_else(|| match () {
                () if shows(&["canada", "hst", "qst", "pst"]) => "CAD",
                () if shows(&["abn", "australia", "acn"]) => "AUD",
                () if shows(&["zealand", "nzbn"]) => "NZD",
                () if shows(&["singapore", "uen"]) => "SGD",
                () => "USD",
            })
        }
        "?¥" => {
            let chinese = voted(&["CNY"]).is_some()
                || reading.language("zh") > reading.language("ja")
                || shows(&["china"]);
            if chinese { "CNY" } else { "JPY" }
        }
        "?kr" => voted(&["SEK", "DKK", "NOK"]).unwrap_or_else(|| {
            let (sv, da, no) =
                (reading.language("sv"), reading.language("da"), reading.language("no"));
            if shows(&["mva"]) || (no > sv && no > da) {
                "NOK"
            } else if da > sv || shows(&["cvr"]) {
                "DKK"
            } else {
                "SEK"
            }
        }),
        code => code,
    }
}
