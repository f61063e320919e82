//! Where the values of an answer stand on the pages it was read from.
//!
//! Every text and number of the answer is looked for among the words of the pages, in all the
//! ways in which it may be written: widths, accents, case, spaces and line breaks do not matter,
//! nor does the form of a number (`1.234,50 €` is 1234.5) or of a date (`24 Nov 2026`,
//! `2026年11月24日` is 2026-11-24). What is found has a page and a box; what is not stands
//! nowhere on the pages.
//!
//! # What holds
//! - Finding is no proof: a value can stand on the page and be the wrong one. Not finding is
//!   one: it was worked out, translated or made up, or the reader misread the page.
//! - Not looked for: booleans, nulls, what a schema lists under `enum` or `const`, and what it
//!   says is no reading of the page (`x-grounded: false`), such as a summary.
//! - Values of a row are looked for near each other, so that `10.00` in two rows is found twice.
//! - No I/O, no clock, no randomness; work is bounded by the values and the words.

mod find;
mod leaves;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::Evidence;
use crate::documents::layout::{Page, Rect};
use find::{Hit, Search};
use leaves::{Leaf, leaves};

/// The most values of an answer that are looked for.
const MOST: usize = 5_000;

/// Where values stand.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Grounding {
    /// Where each value that was found stands, by its place in the answer (`lines.0.amount`).
    pub values: BTreeMap<String, Evidence>,
    /// Places of values that are nowhere on the pages.
    pub ungrounded: Vec<String>,
}

/// Looks for the values of an answer on pages with words.
pub fn ground(pages: &[Page], answer: &Value, schema: &Value) -> Grounding {
    let search = Search::new(pages);
    let leaves = leaves(answer, schema, MOST);
    let mut found: Vec<(Leaf<'_>, Vec<Hit>)> = Vec::with_capacity(leaves.len());
    for leaf in leaves {
        let hits = search.hits(leaf.value, leaf.is_date);
        found.push((leaf, hits));
    }
    let mut grounding = Grounding::default();
    let mut taken: Vec<(u32, Rect)> = Vec::new();
    let mut at = 0;
    while at < found.len() {
        let row = &found[at].0.row;
        let length = found[at..].iter().take_while(|(leaf, _)| leaf.row == *row).count();
        let group = &found[at..at + length];
        let anchor = row.as_ref().and_then(|_| anchor(group, &taken));
        if let Some(anchor) = &anchor {
            taken.push((anchor.page, anchor.rect));
        }
        for (leaf, hits) in group {
            match nearest(hits, anchor.as_ref()) {
                Some(hit) => drop(grounding.values.insert(leaf.path.clone(), hit.evidence())),
                None => grounding.ungrounded.push(leaf.path.clone()),
            }
        }
        at += length;
    }
    grounding
}

/// The place of the value of a row that has the fewest: the others are looked for beside it.
/// Of places that are as good, one that no row before has taken.
fn anchor(group: &[(Leaf<'_>, Vec<Hit>)], taken: &[(u32, Rect)]) -> Option<Hit> {
    let (_, hits) = group.iter().filter(|(_, hits)| !hits.is_empty()).min_by_key(|f| f.1.len())?;
    let free = |hit: &&Hit| !taken.contains(&(hit.page, hit.rect));
    hits.iter().find(free).or_else(|| hits.first()).cloned()
}

/// The best of the places of a value; in a row, the one nearest to its anchor.
fn nearest<'h>(hits: &'h [Hit], anchor: Option<&Hit>) -> Option<&'h Hit> {
    let Some(anchor) = anchor else { return hits.first() };
    let middle = |hit: &Hit| f32::midpoint(hit.rect.y0, hit.rect.y1);
    let away = |hit: &&Hit| {
        let pages = hit.page.abs_diff(anchor.page) as f32 * 100_000.0;
        pages + (middle(hit) - middle(anchor)).abs()
    };
    hits.iter().min_by(|a, b| away(a).total_cmp(&away(b)))
}
