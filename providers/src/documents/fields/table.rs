//! Rows of a table under a header of column labels.
//!
//! A header is a line with at least two column labels, one of them a price or an amount, and
//! no amounts itself. Its words are the columns; what stands below goes to the column that it
//! overlaps. A line with an amount begins a row, a line with text alone continues the row
//! above it, and a label of a sum (`Subtotal`, `Tax`, `Total`) ends the table. A header that
//! comes again on a later page continues it.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::documents::layout::Rect;

use super::amount::Amount;
use super::labels::{ConceptId, Dictionary};
use super::reading::{Hit, Place, Reading, Row, Spot};

/// A table: its rows and the lines that it covers.
#[derive(Default)]
pub(super) struct Table {
    pub(super) rows: Vec<TableRow>,
    /// Lines of headers.
    pub(super) headers: Vec<usize>,
    /// All lines of rows.
    pub(super) lines: Vec<usize>,
}

/// A row: values by the concept of their column.
#[derive(Default)]
pub(super) struct TableRow {
    pub(super) amounts: BTreeMap<ConceptId, Vec<(Amount, Place)>>,
    pub(super) texts: BTreeMap<ConceptId, Vec<Place>>,
}

struct Column {
    concept: Option<ConceptId>,
    numeric: bool,
    rect: Rect,
}

struct Ids {
    description: ConceptId,
    amount: ConceptId,
    unit_price: ConceptId,
    quantity: ConceptId,
}

impl Ids {
    fn get() -> Self {
        let id = |name| Dictionary::get().concept(name).expect("a concept of the dictionary").id;
        Self {
            description: id("description"),
            amount: id("amount"),
            unit_price: id("unit_price"),
            quantity: id("quantity"),
        }
    }
}

/// Finds the table of a document.
pub(super) fn find(reading: &Reading, own_columns: &[ConceptId]) -> Table {
    let ids = Ids::get();
    let mut parts: Vec<(Vec<ConceptId>, Table)> = Vec::new();
    let mut at = 0;
    while at < reading.rows.len() {
        let Some(columns) = header(&reading.rows[at], &ids, own_columns) else {
            at += 1;
            continue;
        };
        let mut concepts: Vec<ConceptId> = columns.iter().filter_map(|c| c.concept).collect();
        concepts.sort();
        let table = body(reading, at, &columns, &ids, own_columns);
        at = table.lines.last().map_or(at, |last| *last) + 1;
        match parts.iter_mut().find(|(c, _)| *c == concepts) {
            Some((_, whole)) => {
                whole.rows.extend(table.rows);
                whole.headers.extend(table.headers);
                whole.lines.extend(table.lines);
            }
            None => parts.push((concepts, table)),
        }
    }
    let best = parts
        .into_iter()
        .max_by_key(|(concepts, t)| (t.rows.len().min(3), concepts.len(), t.rows.len()));
    best.map(|(_, table)| table).unwrap_or_default()
}

fn header(row: &Row, ids: &Ids, own: &[ConceptId]) -> Option<Vec<Column>> {
    let labels: Vec<&Hit> = row.columns.iter().filter(|h| h.quality > 0.3).collect();
    let has = |id| labels.iter().any(|h| h.means(id));
    let own_count = labels.iter().filter(|h| own.iter().any(|id| h.means(*id))).count();
    let invoice_like = labels.len() >= 2
        && (has(ids.amount) || has(ids.unit_price))
        && (has(ids.description) || has(ids.quantity) || (has(ids.amount) && has(ids.unit_price)));
    let covered: usize = labels.iter().map(|h| h.range.len()).sum();
    let mostly_labels = covered * 2 >= row.line.tokens.len();
    if (!invoice_like && own_count < 2) || !row.amounts.is_empty() || !mostly_labels {
        return None;
    }
    let mut columns = Vec::new();
    let mut at = 0;
    for hit in &labels {
        anonymous(row, at..hit.range.start, &mut columns);
        let concept = concept(hit, ids, own, &columns);
        let numeric = concept.is_some_and(|c| is_numeric(c, ids));
        columns.push(Column { concept, numeric, rect: row.line.rect_of(hit.range.clone()) });
        at = hit.range.end;
    }
    anonymous(row, at..row.line.tokens.len(), &mut columns);
    Some(columns)
}

fn is_numeric(concept: ConceptId, ids: &Ids) -> bool {
    let rate = Dictionary::get().by_id(concept).is_some_and(|c| c.name == "tax_rate");
    concept == ids.amount || concept == ids.unit_price || concept == ids.quantity || rate
}

/// A label that names several columns is the one that the header does not have yet.
fn concept(hit: &Hit, ids: &Ids, own: &[ConceptId], columns: &[Column]) -> Option<ConceptId> {
    let mut meanings: Vec<ConceptId> = hit.meanings.iter().map(|m| m.concept).collect();
    meanings.sort_by_key(|c| (!own.contains(c), *c != ids.amount, *c));
    meanings.dedup();
    let fresh = meanings.iter().find(|c| !columns.iter().any(|k| k.concept == Some(**c)));
    fresh.or(meanings.first()).copied()
}

/// Words of a header that are no label still make columns.
fn anonymous(row: &Row, range: Range<usize>, columns: &mut Vec<Column>) {
    let mut start = range.start;
    for at in range.clone() {
        let last = at + 1 == range.end || row.line.gap_before(at + 1) > 0.8;
        if last {
            let rect = row.line.rect_of(start..at + 1);
            columns.push(Column { concept: None, numeric: true, rect });
            start = at + 1;
        }
    }
}

fn body(
    reading: &Reading,
    header_row: usize,
    columns: &[Column],
    ids: &Ids,
    own: &[ConceptId],
) -> Table {
    let mut table = Table { headers: vec![header_row], ..Table::default() };
    let page = reading.rows[header_row].line.page;
    let key = columns
        .iter()
        .find(|c| c.concept == Some(ids.amount))
        .or_else(|| columns.iter().find(|c| c.concept == Some(ids.unit_price)))
        .and_then(|c| c.concept);
    let mut pending: Vec<(ConceptId, Place)> = Vec::new();
    let mut bottom = reading.rows[header_row].line.rect.y1;
    for (index, row) in reading.rows.iter().enumerate().skip(header_row + 1) {
        let height = row.line.rect.height().clamp(4.0, 30.0);
        let gap = row.line.rect.y0 - bottom;
        let ended = row.line.page != page || gap > 8.0 * height || is_sum(row);
        if ended || header(row, ids, own).is_some() {
            break;
        }
        let (amounts, texts) = assign(index, row, columns, ids);
        let begins = key.map_or(!amounts.is_empty() || !texts.is_empty(), |k| {
            amounts.iter().any(|(c, _)| *c == k)
        });
        if begins {
            let mut item = TableRow::default();
            for (concept, place) in pending.drain(..).chain(texts) {
                item.texts.entry(concept).or_default().push(place);
            }
            for (concept, spot) in amounts {
                let place = Place { row: index, range: spot.range };
                item.amounts.entry(concept).or_default().push((spot.value, place));
            }
            table.rows.push(item);
        } else if table.rows.is_empty() {
            pending.extend(texts);
        } else if gap < 2.0 * height {
            let Some(item) = table.rows.last_mut() else {
                break;
            };
            for (concept, place) in texts {
                item.texts.entry(concept).or_default().push(place);
            }
        } else {
            continue;
        }
        bottom = row.line.rect.y1;
        table.lines.push(index);
    }
    table
}

/// True for a line of the block of sums below a table.
fn is_sum(row: &Row) -> bool {
    const SUMS: [&str; 8] = [
        "subtotal",
        "total",
        "tax",
        "balance_due",
        "paid",
        "discount",
        "shipping",
        "previous_balance",
    ];
    let Some(hit) = row.hits.first() else {
        return false;
    };
    let money = row.amounts.iter().filter(|a| !a.value.percent).count();
    let first_cell = hit.range.start == 0;
    let rest = hit.range.end..row.line.cell_of(hit.range.start).end.max(hit.range.end);
    let spots = |i: usize| row.amounts.iter().any(|a| a.range.contains(&i));
    let wordy = rest.into_iter().any(|i| {
        !spots(i) && row.line.tokens[i].folded.chars().filter(|c| c.is_alphabetic()).count() > 3
    });
    let item = money > 2 && hit.means_any(&["discount", "shipping", "paid"]);
    first_cell && money > 0 && hit.quality > 0.55 && hit.means_any(&SUMS) && !wordy && !item
}

type Cells = (Vec<(ConceptId, Spot<Amount>)>, Vec<(ConceptId, Place)>);

/// Gives each amount and each run of words of a line to a column.
fn assign(index: usize, row: &Row, columns: &[Column], ids: &Ids) -> Cells {
    let mut amounts = Vec::new();
    let mut texts: Vec<(ConceptId, Place)> = Vec::new();
    let mut at = 0;
    while at < row.line.tokens.len() {
        let spot = row.amounts.iter().find(|s| s.range.start == at);
        if let Some(spot) = spot {
            let rect = row.line.rect_of(spot.range.clone());
            let alone = row.line.gap_before(at) > 0.8 || at == 0;
            if let Some(column) = numeric_column(&rect, columns, row.line.rect.height(), alone) {
                amounts.extend(column.concept.map(|c| (c, spot.clone())));
                at = spot.range.end;
                continue;
            }
        }
        let end = run_end(row, at, columns);
        let rect = row.line.rect_of(at..end);
        let concept = text_column(&rect, columns, ids);
        texts.extend(concept.map(|c| (c, Place { row: index, range: at..end })));
        at = end;
    }
    (amounts, texts)
}

fn run_end(row: &Row, start: usize, columns: &[Column]) -> usize {
    let cell = row.line.cell_of(start);
    let numeric = |i: usize| {
        row.amounts.iter().any(|s| {
            s.range.start == i
                && numeric_column(
                    &row.line.rect_of(s.range.clone()),
                    columns,
                    row.line.rect.height(),
                    false,
                )
                .is_some()
        })
    };
    (start + 1..cell.end).find(|i| numeric(*i)).unwrap_or(cell.end)
}

fn distance(a: &Rect, b: &Rect) -> f32 {
    (a.x0 - b.x1).max(b.x0 - a.x1)
}

/// The column of a number: the nearest one, where that holds numbers and is near.
fn numeric_column<'a>(
    rect: &Rect,
    columns: &'a [Column],
    height: f32,
    alone: bool,
) -> Option<&'a Column> {
    let aligned = |c: &Column| (rect.x1 - c.rect.x1).abs().min((rect.x0 - c.rect.x0).abs());
    let nearest = columns.iter().min_by(|a, b| {
        let key = |c: &Column| (distance(rect, &c.rect).max(0.0), aligned(c));
        let (ka, kb) = (key(a), key(b));
        ka.0.total_cmp(&kb.0).then(ka.1.total_cmp(&kb.1))
    })?;
    let reach = if alone { 4.0 * height } else { 0.5 * height };
    (nearest.numeric && distance(rect, &nearest.rect) < reach).then_some(nearest)
}

/// The column of words: the description where they touch it or touch nothing.
fn text_column(rect: &Rect, columns: &[Column], ids: &Ids) -> Option<ConceptId> {
    let overlapping = |c: &&Column| distance(rect, &c.rect) < 0.0;
    let mut touching = columns.iter().filter(overlapping);
    if touching.clone().any(|c| c.concept == Some(ids.description)) {
        return Some(ids.description);
    }
    match touching.next() {
        Some(column) if column.concept.is_some_and(|c| !is_numeric(c, ids)) => column.concept,
        Some(column) if rect.width() < 2.5 * column.rect.width().max(20.0) => None,
        _ => Some(ids.description),
    }
}
