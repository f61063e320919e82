//! Sums: which candidates for subtotal, tax and total belong together, and what does not
//! add up.
//!
//! Subtotal + tax = total is the strongest evidence that a document gives. It chooses among
//! candidates that labels alone leave open, and raises confidence in those that agree.

use serde_json::{Map, Value};

use super::amount::Decimal;
use super::reading::Place;
use super::schema::Field;

/// An amount that may be a field's value.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) value: Decimal,
    pub(super) score: f32,
    pub(super) place: Place,
    /// The other lines of a tax that is given by rates; their sum is the value.
    pub(super) parts: Vec<Place>,
}

/// Candidates for the three sums, best first.
#[derive(Default)]
pub(super) struct Sums {
    pub(super) subtotal: Vec<Candidate>,
    pub(super) tax: Vec<Candidate>,
    pub(super) total: Vec<Candidate>,
    /// Shipping, discounts: what may stand between.
    pub(super) between: Vec<Decimal>,
}

/// The chosen candidates, each with its final score.
#[derive(Default)]
pub(super) struct Chosen {
    pub(super) subtotal: Option<Candidate>,
    pub(super) tax: Option<Candidate>,
    pub(super) total: Option<Candidate>,
}

/// Candidates considered for each sum.
const WIDTH: usize = 8;
/// Below this a candidate is no better than nothing.
const FLOOR: f32 = 0.35;
const AGREEMENT: f32 = 0.7;

/// Chooses the combination that labels and sums together speak for most.
pub(super) fn choose(sums: &Sums) -> Chosen {
    let options = |list: &[Candidate]| -> Vec<Option<Candidate>> {
        let good = list.iter().filter(|c| c.score >= FLOOR).take(WIDTH).cloned().map(Some);
        good.chain([None]).collect()
    };
    let mut best = (f32::NEG_INFINITY, Chosen::default());
    for total in options(&sums.total) {
        for subtotal in options(&sums.subtotal) {
            for tax in options(&sums.tax) {
                let (score, agree) =
                    weigh(subtotal.as_ref(), tax.as_ref(), total.as_ref(), &sums.between);
                if score > best.0 {
                    let raise = |c: Option<Candidate>| c.map(|c| raised(c, agree));
                    let chosen = Chosen {
                        subtotal: raise(subtotal.clone()),
                        tax: raise(tax),
                        total: raise(total.clone()),
                    };
                    best = (score, chosen);
                }
            }
        }
    }
    best.1
}

fn raised(mut candidate: Candidate, agree: bool) -> Candidate {
    if agree {
        candidate.score = 1.0 - (1.0 - candidate.score.min(1.0)) * 0.35;
    }
    candidate
}

fn weigh(
    subtotal: Option<&Candidate>,
    tax: Option<&Candidate>,
    total: Option<&Candidate>,
    between: &[Decimal],
) -> (f32, bool) {
    let score = |c: Option<&Candidate>| c.map_or(0.3, |c| c.score);
    let mut sum = score(subtotal) + score(tax) + 1.5 * score(total);
    let distinct = [subtotal, tax, total].into_iter().flatten().collect::<Vec<_>>();
    for (i, a) in distinct.iter().enumerate() {
        if distinct[i + 1..].iter().any(|b| a.place == b.place) {
            return (f32::NEG_INFINITY, false);
        }
    }
    let Some(total) = total else {
        return (sum, false);
    };
    let Some(subtotal) = subtotal else {
        if tax.is_some_and(|t| t.value.abs() > total.value.abs()) {
            sum -= 0.6;
        }
        return (sum, false);
    };
    let expected = tax.map_or(subtotal.value, |t| subtotal.value.plus(t.value));
    if tax.is_some() && adds_up(expected, total.value, between) {
        return (sum + AGREEMENT, !total.value.is_zero());
    }
    let included = tax.is_some() && subtotal.value.about(total.value, 0.011);
    if included || (tax.is_none() && subtotal.value.abs() <= total.value.abs()) {
        return (sum, false);
    }
    (sum - if tax.is_some() { 0.5 } else { 0.4 }, false)
}

/// True where the sum is the total, with or without shipping and discounts.
fn adds_up(sum: Decimal, total: Decimal, between: &[Decimal]) -> bool {
    let tolerance = 0.011;
    if sum.about(total, tolerance) {
        return true;
    }
    let signed = |d: &Decimal| [*d, Decimal::default().minus(*d)];
    let steps: Vec<Decimal> = between.iter().take(4).flat_map(signed).collect();
    steps.iter().enumerate().any(|(i, a)| {
        let one = sum.plus(*a);
        one.about(total, tolerance)
            || steps[i..].iter().any(|b| one.plus(*b).about(total, tolerance))
    })
}

/// What in the fields of a document does not add up, in plain words.
///
/// Compares subtotal + tax with the total, the sum of the lines with the subtotal or the
/// total, and the due date with the date. Silent about what is null.
pub(super) fn inconsistencies(fields: &Map<String, Value>, schema: &[Field]) -> Vec<String> {
    let named = |role: &str| schema.iter().find(|f| f.role == Some(role)).map(|f| f.name.as_str());
    let number = |role: &str| named(role).and_then(|n| fields.get(n)).and_then(as_number);
    let (subtotal, tax, total) = (number("subtotal"), number("tax"), number("total"));
    let mut warnings = Vec::new();
    if let (Some(s), Some(x), Some(t)) = (subtotal, tax, total)
        && (s + x - t).abs() > 0.015
        && (s - t).abs() > 0.015
    {
        warnings
            .push(format!("subtotal {s:.2} + tax {x:.2} = {:.2}, but the total is {t:.2}", s + x));
    }
    if let Some((sum, rows)) = line_sum(fields, schema) {
        let against = [("subtotal", subtotal), ("total", total)];
        let known: Vec<_> = against.iter().filter_map(|(n, v)| v.map(|v| (*n, v))).collect();
        let slack = 0.011 * rows as f64;
        if !known.is_empty() && known.iter().all(|(_, v)| (sum - v).abs() > slack) {
            let (name, value) = known[0];
            warnings
                .push(format!("the {rows} lines sum to {sum:.2}, but the {name} is {value:.2}"));
        }
    }
    let date = |role: &str| named(role).and_then(|n| fields.get(n)).and_then(Value::as_str);
    if let (Some(issued), Some(due)) = (date("invoice_date"), date("due_date"))
        && due < issued
    {
        warnings.push(format!("the due date {due} is before the date {issued}"));
    }
    warnings
}

fn as_number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

fn line_sum(fields: &Map<String, Value>, schema: &[Field]) -> Option<(f64, usize)> {
    let table = schema.iter().find(|f| !f.columns.is_empty())?;
    let amount = table.columns.iter().find(|c| c.role == Some("amount"))?;
    let rows = fields.get(&table.name)?.as_array()?;
    let amounts: Option<Vec<f64>> =
        rows.iter().map(|r| r.get(&amount.name).and_then(as_number)).collect();
    let amounts = amounts.filter(|a| !a.is_empty())?;
    Some((amounts.iter().sum(), amounts.len()))
}
