//! Finding one value among the words of pages, however it is written there.

use serde_json::Value;

use super::super::amount::{self, Decimal, Style};
use super::super::date;
use super::super::labels::Labels;
use super::super::reading::{Place, Reading};
use super::super::text::{fold, is_cjk, normalise};
use super::super::{Evidence, currency, values};
use crate::documents::layout::{Page, Rect};

/// The most places of a value that are kept.
const MOST: usize = 64;

/// A place where a value stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Hit {
    pub(super) page: u32,
    pub(super) rect: Rect,
    text: String,
    /// How surely the words are the value, their own confidence included.
    sure: f32,
}

impl Hit {
    pub(super) fn evidence(&self) -> Evidence {
        let confidence = self.sure.clamp(0.0, 0.99);
        Evidence { page: self.page, rect: self.rect, text: self.text.clone(), confidence }
    }
}

/// Pages, made ready for being searched.
pub(super) struct Search {
    reading: Reading,
    runs: Vec<Run>,
}

impl Search {
    pub(super) fn new(pages: &[Page]) -> Self {
        let reading = Reading::new(pages, &Labels::new([]), &[]);
        // Reading order keeps a column together, lines keep a row together.
        let mut runs: Vec<Run> = pages.iter().map(Run::of_words).collect();
        runs.extend(pages.iter().map(|page| Run::of_lines(&reading, page.number)));
        Self { reading, runs }
    }

    /// The places where a value stands, the surest first.
    pub(super) fn hits(&self, value: &Value, is_date: bool) -> Vec<Hit> {
        let mut hits = match value {
            Value::String(text) => self.text(text, is_date),
            Value::Number(number) => self.number(number.as_f64().unwrap_or(f64::NAN)),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => Vec::new(),
        };
        hits.sort_by(|a, b| b.sure.total_cmp(&a.sure));
        let mut kept: Vec<Hit> = Vec::new();
        for hit in hits {
            if kept.len() < MOST && !kept.iter().any(|k| same_place(k, &hit)) {
                kept.push(hit);
            }
        }
        kept
    }

    fn text(&self, text: &str, is_date: bool) -> Vec<Hit> {
        if let Some(date) = iso_date(text) {
            let hits = self.date(date);
            if is_date || !hits.is_empty() {
                return hits;
            }
        }
        let mut hits: Vec<Hit> = self.runs.iter().flat_map(|run| run.find(text)).collect();
        if hits.is_empty() {
            hits = self.in_parts(text);
        }
        if hits.is_empty() && text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase()) {
            hits.extend(self.currency(text));
        }
        if hits.is_empty()
            && let Some(written) = amount::parse(&normalise(text), Style::default())
        {
            hits = self.number(written.value.to_f64());
        }
        hits
    }

    /// A text of several parts, such as an address, each of which stands somewhere on one page.
    fn in_parts(&self, text: &str) -> Vec<Hit> {
        let parts: Vec<_> = text.split([',', ';', '\n', '、', '，']).map(str::trim).collect();
        let parts: Vec<_> = parts.into_iter().filter(|part| !fold(part).is_empty()).collect();
        if parts.len() < 2 {
            return Vec::new();
        }
        let whole = |run: &Run| {
            let mut hits = parts.iter().map(|part| run.find(part).into_iter().next());
            let first = hits.next()??;
            hits.try_fold(first, |all, hit| Some(all.and(&hit?)))
        };
        self.runs.iter().filter_map(whole).map(|hit| hit.less_sure(0.8)).collect()
    }

    /// A currency that the page shows by a mark.
    fn currency(&self, code: &str) -> Option<Hit> {
        let (found, place, score) = currency::find(&self.reading, values::id("currency"))?;
        (found == code).then(|| self.hit(&place, score))
    }

    fn date(&self, wanted: jiff::civil::Date) -> Vec<Hit> {
        let order = self.reading.order;
        let mut hits = Vec::new();
        for (row, place) in self.reading.rows.iter().enumerate() {
            for spot in &place.dates {
                let [one, other] = [date::Order::DayFirst, date::Order::MonthFirst]
                    .map(|order| spot.value.resolve(order));
                if one != wanted && other != wanted {
                    continue;
                }
                let usual = spot.value.resolve(order) == wanted;
                let place = Place { row, range: spot.range.clone() };
                hits.push(self.hit(&place, if usual { 0.97 } else { 0.7 }));
            }
        }
        hits
    }

    fn number(&self, wanted: f64) -> Vec<Hit> {
        if !wanted.is_finite() || wanted.abs() > 1e12 {
            return Vec::new();
        }
        let wanted = Decimal::from_f64(wanted);
        let mut hits = Vec::new();
        for (row, place) in self.reading.rows.iter().enumerate() {
            for spot in &place.amounts {
                if let Some(sure) = is_number(spot.value.value, wanted) {
                    let place = Place { row, range: spot.range.clone() };
                    hits.push(self.hit(&place, sure));
                }
            }
            for (at, token) in place.line.tokens.iter().enumerate() {
                let amount = place.amounts.iter().find(|spot| spot.range.contains(&at));
                // A part of a number is none; a whole one may be read with the other separator.
                if amount.is_some_and(|spot| spot.range.len() > 1) {
                    continue;
                }
                let doubt = if amount.is_some() { 0.75 } else { 0.9 };
                let found = numbers_in(&token.text).filter_map(|n| is_number(n, wanted));
                if let Some(sure) = found.max_by(f32::total_cmp) {
                    let place = Place { row, range: at..at + 1 };
                    hits.push(self.hit(&place, sure * doubt));
                }
            }
        }
        hits
    }

    fn hit(&self, place: &Place, score: f32) -> Hit {
        let Evidence { page, rect, text, confidence } = self.reading.evidence(place, score);
        Hit { page, rect, text, sure: confidence }
    }
}

impl Hit {
    fn and(self, other: &Self) -> Self {
        let text = format!("{} {}", self.text, other.text);
        let rect = self.rect.union(&other.rect);
        Self { rect, text, sure: self.sure.min(other.sure), ..self }
    }

    fn less_sure(self, by: f32) -> Self {
        Self { sure: self.sure * by, ..self }
    }
}

fn same_place(a: &Hit, b: &Hit) -> bool {
    let near = |a: f32, b: f32| (a - b).abs() < 1.0;
    a.page == b.page
        && near(a.rect.x0, b.rect.x0)
        && near(a.rect.y0, b.rect.y0)
        && near(a.rect.x1, b.rect.x1)
        && near(a.rect.y1, b.rect.y1)
}

/// How surely a number on the page is the one that is looked for: a discount is printed without
/// its sign as often as with it.
fn is_number(printed: Decimal, wanted: Decimal) -> Option<f32> {
    if printed.about(wanted, 0.0) {
        return Some(0.97);
    }
    printed.abs().about(wanted.abs(), 0.0).then_some(0.75)
}

fn iso_date(text: &str) -> Option<jiff::civil::Date> {
    let plain = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    plain.then(|| text.parse().ok()).flatten()
}

/// Every number that a word may be read as.
fn numbers_in(word: &str) -> impl Iterator<Item = Decimal> {
    let in_number = |c: char| c.is_ascii_digit() || ".,'".contains(c);
    let mut found = Vec::new();
    let mut rest = word;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let end = rest[start..].find(|c| !in_number(c)).map_or(rest.len(), |end| start + end);
        let (digits, behind) = (rest[start..end].trim_end_matches(['.', ',', '\'']), &rest[end..]);
        let factor = match behind.chars().next() {
            Some('千') => 1e3,
            Some('万' | '萬') => 1e4,
            Some('億') => 1e8,
            Some('百') if behind.starts_with("百万") => 1e6,
            _ => 1.0,
        };
        for decimal in [None, Some('.'), Some(',')] {
            if let Some(amount) = amount::parse(digits, Style { decimal }) {
                found.push(amount.value);
                if factor > 1.0 {
                    found.push(Decimal::from_f64(amount.value.to_f64() * factor));
                }
            }
        }
        rest = &rest[end.max(start + 1)..];
    }
    found.into_iter()
}

/// The words of a page in some order, as one text of letters and digits.
struct Run {
    page: u32,
    text: String,
    words: Vec<RunWord>,
}

/// A word, and where its letters begin in the run's text.
struct RunWord {
    start: usize,
    end: usize,
    plain: String,
    rect: Rect,
    confidence: f32,
}

impl Run {
    fn of_words(page: &Page) -> Self {
        let words = page.words.iter().map(|word| (word.text.as_str(), word.rect, word.confidence));
        Self::new(page.number, words)
    }

    fn of_lines(reading: &Reading, page: u32) -> Self {
        let lines = reading.rows.iter().map(|row| &row.line).filter(|line| line.page == page);
        let tokens = lines.flat_map(|line| &line.tokens);
        Self::new(page, tokens.map(|token| (token.text.as_str(), token.rect, token.confidence)))
    }

    fn new<'w>(page: u32, given: impl Iterator<Item = (&'w str, Rect, f32)>) -> Self {
        let (mut text, mut words) = (String::new(), Vec::new());
        for (word, rect, confidence) in given {
            let start = text.len();
            text.push_str(&fold(word));
            let (end, plain) = (text.len(), normalise(word));
            let confidence = if confidence.is_finite() { confidence.clamp(0.0, 1.0) } else { 0.0 };
            words.push(RunWord { start, end, plain, rect, confidence });
        }
        Self { page, text, words }
    }

    /// The places of a text, where its ends are the ends of words, or might be.
    fn find(&self, wanted: &str) -> Vec<Hit> {
        let folded = fold(wanted);
        let short = folded.chars().count() < 3 && !folded.chars().any(is_cjk);
        if short {
            return self.find_word(wanted);
        }
        let mut hits = Vec::new();
        for (start, _) in self.text.match_indices(&folded).take(MOST) {
            let end = start + folded.len();
            if self.is_edge(start) && self.is_edge(end) {
                hits.extend(self.hit(start, end));
            }
        }
        hits
    }

    /// A word of a letter or two, or of signs, which must stand by itself.
    fn find_word(&self, wanted: &str) -> Vec<Hit> {
        let bare = |text: &str| {
            let text = normalise(text).to_lowercase();
            let trimmed = text.trim_matches(|c: char| "()[]{}.,:;\"'*".contains(c));
            if trimmed.is_empty() { text.clone() } else { trimmed.to_owned() }
        };
        let wanted = bare(wanted);
        let same = self.words.iter().filter(|word| bare(&word.plain) == wanted);
        same.take(MOST)
            .map(|word| Hit {
                page: self.page,
                rect: word.rect,
                text: word.plain.clone(),
                sure: 0.9 * (0.5 + 0.5 * word.confidence),
            })
            .collect()
    }

    /// Whether something may begin or end here: between words, in a script that parts none, and
    /// between letters and digits.
    fn is_edge(&self, at: usize) -> bool {
        let word = self.words.partition_point(|word| word.end <= at);
        let between = self.words.get(word).is_none_or(|word| word.start >= at);
        let (Some(before), Some(behind)) =
            (self.text[..at].chars().next_back(), self.text[at..].chars().next())
        else {
            return true;
        };
        between
            || is_cjk(before)
            || is_cjk(behind)
            || before.is_ascii_digit() != behind.is_ascii_digit()
    }

    fn hit(&self, start: usize, end: usize) -> Option<Hit> {
        let first = self.words.partition_point(|word| word.end <= start);
        let words = self.words[first..].iter().take_while(|word| word.start < end);
        let words: Vec<_> = words.filter(|word| word.end > word.start).collect();
        let rects = words.iter().map(|word| word.part(start, end));
        let rect = rects.reduce(|all, rect| all.union(&rect))?;
        let sure = words.iter().map(|word| word.confidence).fold(1.0, f32::min);
        let text = words.iter().map(|word| word.plain.as_str()).collect::<Vec<_>>().join(" ");
        Some(Hit { page: self.page, rect, text, sure: 0.98 * (0.5 + 0.5 * sure) })
    }
}

impl RunWord {
    /// The box of what lies between two places of the run's text, in proportion to its letters.
    fn part(&self, start: usize, end: usize) -> Rect {
        let length = (self.end - self.start).max(1) as f32;
        let share = |at: usize| at.saturating_sub(self.start).min(self.end - self.start) as f32;
        let (from, to) = (share(start) / length, share(end) / length);
        let at = |share: f32| self.rect.x0 + self.rect.width() * share;
        Rect::new(at(from), self.rect.y0, at(to), self.rect.y1)
    }
}
