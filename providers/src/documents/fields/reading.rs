//! A document as its lines, with every label, date and amount on them found once.
//!
//! Everything behind this module asks a [`Reading`] and never looks at words again. Numbers
//! and dates are found with what the whole document says of its decimal separator, its
//! languages and the order of its dates.

use std::collections::HashMap;
use std::ops::Range;

use crate::documents::layout::{Page, Rect};

use super::Evidence;
use super::amount::{self, Amount, Style};
use super::date::{self, Order, Written};
use super::labels::{ConceptId, Dictionary, Labels, Match, Meaning};
use super::lines::{self, Line};
use super::text::{has_digit, is_cjk, letters};

/// A label on a line.
#[derive(Clone, Debug)]
pub(super) struct Hit {
    /// Its words, with the punctuation behind them.
    pub(super) range: Range<usize>,
    pub(super) meanings: Vec<Meaning>,
    /// How surely it is a label here, 0 to 1.
    pub(super) quality: f32,
}

impl Hit {
    pub(super) fn means(&self, concept: ConceptId) -> bool {
        self.meanings.iter().any(|m| m.concept == concept)
    }

    pub(super) fn means_any(&self, names: &[&str]) -> bool {
        let known = Dictionary::get();
        self.meanings
            .iter()
            .filter_map(|m| known.by_id(m.concept))
            .any(|c| names.contains(&c.name.as_str()))
    }
}

/// A typed value on a line.
#[derive(Clone, Debug)]
pub(super) struct Spot<T> {
    pub(super) range: Range<usize>,
    pub(super) value: T,
}

/// A line and what is on it.
pub(super) struct Row {
    pub(super) line: Line,
    /// Labels of fields.
    pub(super) hits: Vec<Hit>,
    /// Labels of table columns.
    pub(super) columns: Vec<Hit>,
    pub(super) dates: Vec<Spot<Written>>,
    pub(super) amounts: Vec<Spot<Amount>>,
}

/// A place in a document.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) row: usize,
    pub(super) range: Range<usize>,
}

/// Where a label's value may stand, and how much the position speaks for it.
#[derive(Clone, Debug)]
pub(super) struct Region {
    pub(super) place: Place,
    pub(super) weight: f32,
    pub(super) below: bool,
}

/// A read document.
pub(super) struct Reading {
    pub(super) rows: Vec<Row>,
    /// How often each language's labels occur.
    pub(super) languages: HashMap<&'static str, usize>,
    pub(super) order: Order,
    /// The order of day and month is proven by a date.
    pub(super) order_proven: bool,
}

impl Reading {
    /// Finds lines, labels and typed values on all pages.
    pub(super) fn new(pages: &[Page], labels: &Labels, own_columns: &[ConceptId]) -> Self {
        let lines: Vec<Line> = pages.iter().flat_map(|p| lines::lines(p, labels)).collect();
        let style = Style::learn(lines.iter().flat_map(|l| &l.tokens).map(|t| t.text.as_str()));
        let mut finder = Finder { labels, own_columns, seen: HashMap::new() };
        let rows: Vec<Row> = lines
            .into_iter()
            .map(|line| {
                let hits = finder.hits(&line, false);
                let columns = finder.hits(&line, true);
                let dates = dates(&line);
                let amounts = amounts(&line, &dates, style);
                Row { line, hits, columns, dates, amounts }
            })
            .collect();
        let languages = languages(&rows);
        let proven = proven_order(&rows);
        let order = proven.unwrap_or_else(|| usual_order(&rows, &languages));
        Self { rows, languages, order, order_proven: proven.is_some() }
    }

    pub(super) fn text(&self, place: &Place) -> String {
        self.rows[place.row].line.text(place.range.clone())
    }

    pub(super) fn rect(&self, place: &Place) -> Rect {
        self.rows[place.row].line.rect_of(place.range.clone())
    }

    /// Evidence for a value read here; its confidence cannot exceed that of the words.
    pub(super) fn evidence(&self, place: &Place, score: f32) -> Evidence {
        let line = &self.rows[place.row].line;
        let words = line.confidence(place.range.clone());
        Evidence {
            page: line.page,
            rect: self.rect(place),
            text: self.text(place),
            confidence: (score * (0.5 + 0.5 * words)).clamp(0.0, 0.99),
        }
    }

    /// Where the value of a label may stand: to its right, and below it.
    pub(super) fn regions(&self, row: usize, hit: &Hit) -> Vec<Region> {
        let here = &self.rows[row];
        let next = here.hits.iter().find(|h| h.range.start >= hit.range.end && h.quality > 0.55);
        let end = next.map_or(here.line.tokens.len(), |h| h.range.start);
        let mut regions = Vec::new();
        let mut right_is_taken = false;
        if hit.range.end < end {
            let place = Place { row, range: hit.range.end..end };
            right_is_taken = here.line.gap_before(hit.range.end) < 4.0;
            regions.push(Region { place, weight: 1.0, below: false });
        }
        let weight = if right_is_taken { 0.55 } else { 0.85 };
        for (step, place) in self.below(row, &hit.range).into_iter().enumerate() {
            regions.push(Region { place, weight: weight - 0.1 * step as f32, below: true });
        }
        regions
    }

    /// The next lines of the column under some words, down to the next label or a wide gap.
    pub(super) fn below(&self, row: usize, range: &Range<usize>) -> Vec<Place> {
        let here = &self.rows[row].line;
        let label = here.rect_of(range.clone());
        let height = label.height().clamp(4.0, 40.0);
        let mut found = Vec::new();
        let mut bottom = label.y1;
        for (index, under) in self.rows.iter().enumerate().skip(row + 1) {
            if under.line.page != here.page
                || under.line.rect.y0 > bottom + 2.5 * height
                || found.len() == 3
            {
                break;
            }
            if under.line.rect.y1 < label.y1 + 0.3 * height {
                continue;
            }
            let Some(place) = self.under(index, &label, height) else {
                continue;
            };
            let stops = under.hits.iter().any(|h| {
                h.quality > 0.6
                    && h.range.start < place.range.end
                    && place.range.start < h.range.end
            });
            if stops {
                break;
            }
            bottom = self.rect(&place).y1;
            found.push(place);
        }
        found
    }

    /// The cell of a row that stands under a label.
    fn under(&self, row: usize, label: &Rect, height: f32) -> Option<Place> {
        let line = &self.rows[row].line;
        let cells = line.cells.iter().filter_map(|cell| {
            let r = line.rect_of(cell.clone());
            let shared = r.x1.min(label.x1) - r.x0.max(label.x0);
            let aligned = (r.x0 - label.x0).abs() < height || (r.x1 - label.x1).abs() < height;
            (shared > 0.0 || aligned).then_some((shared, cell))
        });
        let (_, cell) = cells.max_by(|a, b| a.0.total_cmp(&b.0))?;
        Some(Place { row, range: cell.clone() })
    }

    /// Every label for a concept with the row that it stands on.
    pub(super) fn labelled(&self, concept: ConceptId) -> impl Iterator<Item = (usize, &Hit)> {
        self.rows
            .iter()
            .enumerate()
            .flat_map(|(i, row)| row.hits.iter().map(move |h| (i, h)))
            .filter(move |(_, h)| h.means(concept))
    }

    /// How often this language's labels occur.
    pub(super) fn language(&self, code: &str) -> usize {
        self.languages.get(code).copied().unwrap_or(0)
    }
}

struct Finder<'a> {
    labels: &'a Labels,
    own_columns: &'a [ConceptId],
    /// Fuzzy look-ups are dear, and the same words come again and again.
    seen: HashMap<String, Option<Match>>,
}

const MOST_WORDS: usize = 7;

impl Finder<'_> {
    fn hits(&mut self, line: &Line, column: bool) -> Vec<Hit> {
        let mut hits = Vec::new();
        let mut at = 0;
        while at < line.tokens.len() {
            let hit = self.hit(line, at, column);
            at = hit.as_ref().map_or(at + 1, |h: &Hit| h.range.end);
            hits.extend(hit);
        }
        hits
    }

    fn hit(&mut self, line: &Line, at: usize, column: bool) -> Option<Hit> {
        if line.tokens[at].folded.is_empty() {
            return None;
        }
        let mut phrases: Vec<(usize, String)> = Vec::new();
        let mut phrase = String::new();
        for (taken, token) in line.tokens[at..].iter().take(MOST_WORDS).enumerate() {
            let apart = taken > 0 && line.gap_before(at + taken) > 1.2;
            if apart || phrase.len() + token.folded.len() > 4 * self.labels.longest() {
                break;
            }
            phrase.push_str(&token.folded);
            phrases.push((at + taken + 1, phrase.clone()));
        }
        let starts_cell = at == 0
            || line.gap_before(at) > 0.8
            || line.tokens[at - 1].text.ends_with([':', '|', ')', '/', '(']);
        let exact = phrases.iter().rev().find_map(|(end, p)| Some((*end, self.known(p, column)?)));
        let found = exact.or_else(|| {
            let mut fuzzy = phrases.iter().rev().filter(|_| starts_cell);
            fuzzy.find_map(|(end, p)| Some((*end, self.near(p, column)?)))
        });
        let (end, found) = found?;
        let quality = found.quality * setting(line, at, end, starts_cell);
        let punctuation =
            line.tokens[end..].iter().take_while(|t| t.folded.is_empty() && letters(&t.text) == 0);
        let signs =
            punctuation.take_while(|t| t.text.chars().all(|c| ":.*()-=|".contains(c))).count();
        Some(Hit { range: at..end + signs, meanings: found.meanings, quality })
    }

    fn known(&self, phrase: &str, column: bool) -> Option<Match> {
        self.only(self.labels.exact(phrase)?, column)
    }

    fn near(&mut self, phrase: &str, column: bool) -> Option<Match> {
        if has_digit(phrase) && phrase.chars().filter(char::is_ascii_digit).count() > 1 {
            return None;
        }
        if !self.seen.contains_key(phrase) {
            self.seen.insert(phrase.to_owned(), self.labels.fuzzy(phrase));
        }
        self.only(self.seen.get(phrase)?.clone()?, column)
    }

    /// The meanings of columns, or all others.
    fn only(&self, found: Match, column: bool) -> Option<Match> {
        let is_column = |id: ConceptId| {
            Dictionary::get().by_id(id).map_or(self.own_columns.contains(&id), |c| c.column)
        };
        let meanings: Vec<Meaning> =
            found.meanings.into_iter().filter(|m| is_column(m.concept) == column).collect();
        (!meanings.is_empty()).then_some(Match { meanings, ..found })
    }
}

/// How much the surroundings of a phrase speak for a label rather than for prose.
fn setting(line: &Line, at: usize, end: usize, starts_cell: bool) -> f32 {
    let colon = line.tokens[end - 1].text.ends_with([':', '#'])
        || line.tokens.get(end).is_some_and(|t| t.text.starts_with([':', '#']));
    let cell_ends = end == line.tokens.len() || line.gap_before(end) > 0.8;
    let next = line.tokens.get(end).map_or("", |t| t.text.as_str());
    let value_follows = has_digit(next) || next.starts_with(['$', '€', '£', '¥', '(', '#']);
    let glued = line.tokens[at..end].iter().any(|t| t.text.ends_with(is_cjk));
    match (starts_cell, colon, cell_ends, value_follows) {
        (true, true, _, _) => 1.0,
        (true, false, true, _) => 0.95,
        (true, false, false, true) => 0.92,
        (true, false, false, false) => {
            if glued {
                0.9
            } else {
                0.52
            }
        }
        (false, true, _, _) => 0.8,
        (false, false, _, true) => 0.6,
        (false, false, _, false) => 0.35,
    }
}

fn dates(line: &Line) -> Vec<Spot<Written>> {
    let mut spots = Vec::new();
    let mut at = 0;
    while at < line.tokens.len() {
        let found = date::may_begin(&line.tokens[at].text)
            .then(|| {
                let longest = (line.tokens.len() - at).min(8);
                (1..=longest).rev().find_map(|n| {
                    let text = line.text(at..at + n);
                    let value = date::parse(&text)?;
                    Some(Spot { range: at..at + n, value })
                })
            })
            .flatten();
        at = found.as_ref().map_or(at + 1, |s| s.range.end);
        spots.extend(found);
    }
    spots
}

fn amounts(line: &Line, dates: &[Spot<Written>], style: Style) -> Vec<Spot<Amount>> {
    let mut spots = Vec::new();
    let mut at = 0;
    while at < line.tokens.len() {
        let found = if dates.iter().any(|d| d.range.contains(&at)) {
            None
        } else {
            amount_at(line, at, style)
        };
        at = found.as_ref().map_or(at + 1, |s: &Spot<Amount>| s.range.end);
        spots.extend(found);
    }
    spots
}

/// The widest space within a number, in heights: that of a typewriter, and less than parts cells.
const WORD_GAP: f32 = 0.7;

fn amount_at(line: &Line, at: usize, style: Style) -> Option<Spot<Amount>> {
    let first = &line.tokens[at].text;
    let may_begin = has_digit(first) || first.chars().count() <= 4;
    if !may_begin {
        return None;
    }
    let mut tight = 1;
    while tight < 5 && at + tight < line.tokens.len() && line.gap_before(at + tight) < WORD_GAP {
        tight += 1;
    }
    (1..=tight).rev().find_map(|n| {
        let value = amount::parse(&line.text(at..at + n), style)?;
        Some(Spot { range: at..at + n, value })
    })
}

fn languages(rows: &[Row]) -> HashMap<&'static str, usize> {
    let mut counts = HashMap::new();
    for hit in rows.iter().flat_map(|r| &r.hits).filter(|h| h.quality > 0.6) {
        let mut languages: Vec<_> = hit.meanings.iter().filter_map(|m| m.language).collect();
        languages.sort_unstable();
        languages.dedup();
        for language in languages {
            *counts.entry(language).or_default() += 1;
        }
    }
    counts
}

fn proven_order(rows: &[Row]) -> Option<Order> {
    let mut votes = [0_usize; 2];
    for order in rows.iter().flat_map(|r| &r.dates).filter_map(|d| d.value.proves()) {
        votes[usize::from(order == Order::MonthFirst)] += 1;
    }
    match votes[0].cmp(&votes[1]) {
        std::cmp::Ordering::Greater => Some(Order::DayFirst),
        std::cmp::Ordering::Less => Some(Order::MonthFirst),
        std::cmp::Ordering::Equal => None,
    }
}

/// Month first only where the text is English and the money American.
fn usual_order(rows: &[Row], languages: &HashMap<&'static str, usize>) -> Order {
    let english = languages.get("en").copied().unwrap_or(0);
    let others = languages.iter().filter(|(l, _)| **l != "en").map(|(_, n)| *n).max().unwrap_or(0);
    let tokens = || rows.iter().flat_map(|r| &r.line.tokens);
    let dollars = tokens().any(|t| t.text.contains('$') || t.folded == "usd");
    let elsewhere = tokens().any(|t| {
        matches!(
            t.folded.as_str(),
            "gst"
                | "abn"
                | "gstin"
                | "aud"
                | "nzd"
                | "sgd"
                | "vat"
                | "gbp"
                | "eur"
                | "australia"
                | "zealand"
        ) || t.text.contains(['€', '£', '₹'])
    });
    if english > 0 && english >= others && dollars && !elsewhere {
        Order::MonthFirst
    } else {
        Order::DayFirst
    }
}
