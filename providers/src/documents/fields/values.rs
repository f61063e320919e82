//! Candidates for one field: what stands beside its labels and has its type.

use super::amount::{Amount, Decimal};
use super::arithmetic::Candidate;
use super::date::Written;
use super::labels::{ConceptId, Dictionary};
use super::reading::{Hit, Place, Reading, Region, Spot};
use super::table::Table;
use super::text::{has_digit, letters};

/// A value with the place it was read from and how sure it is.
#[derive(Clone, Debug)]
pub(super) struct Found<T> {
    pub(super) value: T,
    pub(super) place: Place,
    pub(super) score: f32,
}

/// How much a label counts, given what table it stands in.
fn label_weight(row: usize, hit: &Hit, table: &Table) -> f32 {
    let inside = if table.headers.contains(&row) || table.lines.contains(&row) { 0.3 } else { 1.0 };
    hit.quality * inside
}

fn inside<'a, T>(
    spots: &'a [Spot<T>],
    region: &'a Region,
) -> impl DoubleEndedIterator<Item = &'a Spot<T>> {
    let range = region.place.range.clone();
    spots.iter().filter(move |s| s.range.start >= range.start && s.range.end <= range.end)
}

/// Amounts beside the labels of a concept, best first.
pub(super) fn amounts(reading: &Reading, concept: ConceptId, table: &Table) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = Vec::new();
    for (row, hit) in reading.labelled(concept) {
        let label = label_weight(row, hit, table);
        for region in reading.regions(row, hit) {
            let rows = &reading.rows[region.place.row];
            let money =
                inside(&rows.amounts, &region).filter(|s| !s.value.percent && is_amount(&s.value));
            for (step, spot) in money.rev().take(4).enumerate() {
                let words = between(region.place.range.start, spot.range.start, |i| {
                    rows.line.tokens[i].folded.len() > 2
                        && !rows.amounts.iter().any(|a| a.range.contains(&i))
                });
                let far = 0.04 * words as f32 + 0.1 * step as f32;
                let score = 0.92 * label * region.weight * spot.value.plausibility() - far;
                let place = Place { row: region.place.row, range: spot.range.clone() };
                found.push(Candidate { value: spot.value.value, score, place, parts: Vec::new() });
            }
        }
    }
    sorted(found)
}

/// A bare number with many digits is an identifier, not an amount.
fn is_amount(amount: &Amount) -> bool {
    let bare = amount.decimals == 0 && !amount.grouped && amount.currency.is_none();
    !bare || amount.value.abs() < Decimal::from_f64(10_000_000.0)
}

fn between(start: usize, end: usize, counts: impl Fn(usize) -> bool) -> usize {
    (start..end).filter(|i| counts(*i)).count().min(8)
}

/// Sorts best first and keeps one candidate a place; a sum of parts is one of its own.
pub(super) fn sorted(mut found: Vec<Candidate>) -> Vec<Candidate> {
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Candidate> = Vec::new();
    for candidate in found {
        if kept.len() < 64
            && !kept.iter().any(|k| k.place == candidate.place && k.parts == candidate.parts)
        {
            kept.push(candidate);
        }
    }
    kept
}

/// Dates beside the labels of a concept, best first.
pub(super) fn dates(reading: &Reading, concept: ConceptId, table: &Table) -> Vec<Found<Written>> {
    let mut found: Vec<Found<Written>> = Vec::new();
    for (row, hit) in reading.labelled(concept) {
        let label = label_weight(row, hit, table).max(hit.quality * 0.6);
        for region in reading.regions(row, hit) {
            let rows = &reading.rows[region.place.row];
            for (step, spot) in inside(&rows.dates, &region).take(2).enumerate() {
                let words = between(region.place.range.start, spot.range.start, |i| {
                    rows.line.tokens[i].folded.len() > 1
                });
                let far = 0.1 * words as f32 + 0.15 * step as f32;
                let early = 0.02 / (1.0 + row as f32);
                let doubt =
                    if spot.value.is_ambiguous() && !reading.order_proven { 0.85 } else { 1.0 };
                let place = Place { row: region.place.row, range: spot.range.clone() };
                let score = (0.94 * label * region.weight - far) * doubt + early;
                found.push(Found { value: spot.value, place, score });
            }
        }
    }
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    found
}

/// The one date that no label of another date claims.
pub(super) fn unclaimed_date(reading: &Reading) -> Option<Found<Written>> {
    const OTHERS: [&str; 5] =
        ["due_date", "delivery_date", "order_date", "period", "payment_terms"];
    let mut claimed: Vec<Place> = Vec::new();
    for (index, row) in reading.rows.iter().enumerate() {
        for hit in row.hits.iter().filter(|h| h.quality > 0.5 && h.means_any(&OTHERS)) {
            claimed.extend(reading.regions(index, hit).into_iter().map(|r| r.place));
        }
    }
    let free = reading.rows.iter().enumerate().flat_map(|(row, r)| {
        r.dates.iter().map(move |d| (Place { row, range: d.range.clone() }, d.value))
    });
    let mut free = free.filter(|(p, _)| {
        !claimed
            .iter()
            .any(|c| c.row == p.row && c.range.start < p.range.end && p.range.start < c.range.end)
    });
    let (place, value) = free.next()?;
    let alone = free.all(|(_, other)| other.resolve(reading.order) == value.resolve(reading.order));
    let near_top = place.row < 12;
    (alone || near_top).then_some(Found { value, place, score: if alone { 0.55 } else { 0.4 } })
}

/// Numbers and codes beside the labels of a concept, best first.
pub(super) fn identifiers(
    reading: &Reading,
    concept: ConceptId,
    table: &Table,
) -> Vec<Found<String>> {
    let mut found: Vec<Found<String>> = Vec::new();
    for (row, hit) in reading.labelled(concept) {
        let label = label_weight(row, hit, table);
        let bare = reading.rows[row].line.tokens[hit.range.clone()]
            .iter()
            .filter(|t| !t.folded.is_empty())
            .count()
            == 1
            && is_title(&reading.rows[row].line.text(hit.range.clone()));
        for region in reading.regions(row, hit) {
            let Some((value, place, marked)) = identifier(reading, &region.place, bare) else {
                continue;
            };
            let sure = match (bare, marked) {
                (false, _) => 0.95,
                (true, true) => 0.85,
                (true, false) => 0.62,
            };
            let early = 0.02 / (1.0 + row as f32);
            found.push(Found { value, place, score: sure * label * region.weight + early });
        }
    }
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    found
}

/// A title of the document, which need not name a number.
fn is_title(label: &str) -> bool {
    const TITLES: [&str; 16] = [
        "invoice",
        "facture",
        "factura",
        "fattura",
        "factuur",
        "rechnung",
        "faktura",
        "fatura",
        "creditnote",
        "avoir",
        "gutschrift",
        "creditnota",
        "taxinvoice",
        "creditmemo",
        "order",
        "kreditfaktura",
    ];
    TITLES.contains(&super::text::fold(label).as_str())
}

/// The number or code at the start of a region, and whether a sign announced it.
fn identifier(reading: &Reading, region: &Place, bare: bool) -> Option<(String, Place, bool)> {
    const SIGNS: [&str; 14] = [
        "#", "no", "n", "nr", "num", "number", "numero", "id", "o", "c", "cislo", "br", "nummer",
        "ref",
    ];
    let row = &reading.rows[region.row];
    let mut at = region.range.start;
    let mut marked = false;
    while at < region.range.end {
        let token = &row.line.tokens[at];
        let sign = SIGNS.contains(&token.folded.as_str());
        if !sign && !token.folded.is_empty() {
            break;
        }
        marked |= sign;
        at += 1;
    }
    let start = at;
    let mut end = at;
    while end < region.range.end
        && (end == start || row.line.gap_before(end) < 0.8)
        && end - start < 3
    {
        let text = &row.line.tokens[end].text;
        let joins = end > start && (has_digit(text) || matches!(text.as_str(), "/" | "-"));
        let prefix = end == start
            && !has_digit(text)
            && text.len() <= 6
            && text.chars().all(|c| c.is_ascii_uppercase() || "-/.#".contains(c));
        let open = end > start && row.line.tokens[end - 1].text.ends_with(['/', '-']);
        if end == start
            || open
            || (joins && start_is_prefix(&row.line.tokens[start].text))
            || matches!(text.as_str(), "/" | "-")
        {
            end += 1;
            if has_digit(text)
                && !text.ends_with(['/', '-'])
                && !next_joins(row, end, region.range.end)
            {
                break;
            }
            if !has_digit(text) && !prefix && end - start == 1 {
                return None;
            }
        } else {
            break;
        }
    }
    let value = row.line.text(start..end);
    let value = value
        .trim_start_matches(['#', ':', '('])
        .trim_end_matches([',', '.', ';', ':', ')', '('])
        .trim();
    let range = start..end;
    let dated = row.dates.iter().any(|d| d.range.start <= start && d.range.end > start);
    let money = row.amounts.iter().any(|a| {
        a.range.contains(&start)
            && (a.value.currency.is_some_and(|_| !letters_lead(value))
                || a.value.decimals == 2
                || a.value.percent)
    });
    let ok = has_digit(value)
        && value.len() <= 40
        && !value.contains(['@', '%'])
        && !money
        && (!dated || (marked && !bare));
    ok.then(|| (value.to_owned(), Place { row: region.row, range }, marked))
}

fn start_is_prefix(text: &str) -> bool {
    !has_digit(text)
}

fn letters_lead(text: &str) -> bool {
    text.starts_with(char::is_alphabetic)
}

fn next_joins(row: &super::reading::Row, at: usize, end: usize) -> bool {
    at < end
        && row.line.gap_before(at) < 0.8
        && matches!(row.line.tokens[at].text.as_str(), "/" | "-")
}

/// Words beside the labels of a concept, best first.
pub(super) fn texts(reading: &Reading, concept: ConceptId, table: &Table) -> Vec<Found<String>> {
    let mut found = Vec::new();
    for (row, hit) in reading.labelled(concept).filter(|(_, h)| h.quality > 0.7) {
        let label = label_weight(row, hit, table);
        for region in reading.regions(row, hit) {
            let line = &reading.rows[region.place.row].line;
            let start = region.place.range.start;
            let end = line.cell_of(start).end.min(region.place.range.end).max(start + 1);
            let place = Place { row: region.place.row, range: start..end };
            let value = reading.text(&place);
            if letters(&value) + usize::from(has_digit(&value)) > 0 {
                found.push(Found { value, place, score: 0.88 * label * region.weight });
            }
        }
    }
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    found
}

/// The address below a party's name: lines of its column down to one that is no address.
pub(super) fn address_under(reading: &Reading, name: &Place) -> Option<Found<String>> {
    let stop = |row: usize, place: &Place| {
        let names = ["phone", "tax_id", "email", "iban", "invoice_number", "invoice_date", "title"];
        reading.rows[row]
            .hits
            .iter()
            .any(|h| place.range.contains(&h.range.start) && h.means_any(&names))
            || reading.text(place).contains(['@', '='])
    };
    let mut places: Vec<Place> = Vec::new();
    let mut from = name.clone();
    while places.len() < 5 {
        let Some(next) = reading.below(from.row, &from.range).into_iter().next() else {
            break;
        };
        if stop(next.row, &next) || !reading.rows[next.row].dates.is_empty() {
            break;
        }
        from = next.clone();
        places.push(next);
    }
    let first = places.first()?.clone();
    let text = places.iter().map(|p| reading.text(p)).collect::<Vec<_>>().join(", ");
    let text = text.replace(",,", ",");
    has_digit(&text).then_some(Found { value: text, place: first, score: 0.55 })
}

/// A concept of the dictionary by name.
pub(super) fn id(name: &str) -> ConceptId {
    Dictionary::get().concept(name).expect("a concept of the dictionary").id
}
