//! Chooses a value for each field and writes down the evidence.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::documents::layout::Page;

use super::amount::Decimal;
use super::arithmetic::{self, Candidate, Chosen, Sums};
use super::labels::{ConceptId, Kind, Labels};
use super::party;
use super::reading::{Place, Reading};
use super::schema::{Field, Form};
use super::table::{self, Table, TableRow};
use super::values::{self, Found, id};
use super::{Evidence, Extraction};

/// A candidate below this score is not given.
const FLOOR: f32 = 0.3;

/// Extracts all fields of a schema from pages.
pub(super) fn solve(pages: &[Page], fields: &[Field]) -> Extraction {
    let all = fields.iter().chain(fields.iter().flat_map(|f| &f.columns));
    let labels = Labels::new(all.flat_map(|f| f.labels.iter().map(|l| (l.clone(), f.concept))));
    let own: Vec<ConceptId> = fields
        .iter()
        .flat_map(|f| &f.columns)
        .filter(|c| c.role.is_none())
        .map(|c| c.concept)
        .collect();
    let reading = Reading::new(pages, &labels, &own);
    let table = table::find(&reading, &own);
    let mut solver = Solver {
        reading: &reading,
        table: &table,
        parties: None,
        sums: None,
        out: Extraction::default(),
    };
    for field in fields {
        solver.field(field);
    }
    let mut out = solver.out;
    out.warnings.extend(arithmetic::inconsistencies(&out.fields, fields));
    out
}

struct Solver<'a> {
    reading: &'a Reading,
    table: &'a Table,
    parties: Option<(Option<party::Candidate>, Option<party::Candidate>)>,
    sums: Option<Chosen>,
    out: Extraction,
}

/// A value ready to be given.
struct Given {
    value: Value,
    evidence: Evidence,
}

impl Solver<'_> {
    fn field(&mut self, field: &Field) {
        if field.form == Form::Rows {
            return self.rows(field);
        }
        let given = self.find(field).filter(|g| allowed(field, &g.value));
        let value = if let Some(given) = given {
            self.out.evidence.insert(field.name.clone(), given.evidence);
            given.value
        } else {
            self.out.missing.push(field.name.clone());
            Value::Null
        };
        self.out.fields.insert(field.name.clone(), value);
    }

    fn find(&mut self, field: &Field) -> Option<Given> {
        let by_role = match field.role {
            Some(role @ ("subtotal" | "tax" | "total")) => return self.sum(field, role),
            Some("currency") => return self.currency(field),
            Some(role @ ("vendor" | "buyer")) => return self.party(role == "vendor"),
            Some("address") => self.address(),
            _ => None,
        };
        by_role.or_else(|| self.by_kind(field)).or_else(|| self.by_pattern(field))
    }

    fn by_kind(&mut self, field: &Field) -> Option<Given> {
        let (reading, table) = (self.reading, self.table);
        match field.kind {
            Kind::Amount | Kind::Number => {
                let found = values::amounts(reading, field.concept, table).into_iter().next()?;
                (found.score >= FLOOR).then(|| self.amount(field, &found))
            }
            Kind::Date => self.date(field),
            Kind::Identifier => {
                let fits =
                    |f: &Found<String>| field.pattern.as_ref().is_none_or(|p| p.is_match(&f.value));
                let found = values::identifiers(reading, field.concept, table);
                let found: Vec<_> = found.into_iter().filter(fits).collect();
                self.one(field, &found)
            }
            Kind::Currency => self.currency(field),
            Kind::Party | Kind::Address | Kind::Text | Kind::Table => self.text(field),
            Kind::Boolean => self.boolean(field),
        }
    }

    /// The best of the candidates, unless another one contradicts it with equal right.
    fn one(&mut self, field: &Field, found: &[Found<String>]) -> Option<Given> {
        let best = found.first().filter(|f| f.score >= FLOOR)?;
        let rival = found[1..].iter().find(|f| {
            f.value != best.value
                && (best.score - f.score).abs() < 0.004
                && f.place.row.abs_diff(best.place.row) < 3
        });
        if let Some(rival) = rival {
            let warning = format!(
                "`{}` could be {} or {}, so it is left out",
                field.name, best.value, rival.value
            );
            self.out.warnings.push(warning);
            return None;
        }
        let value = shaped(field, &best.value)?;
        Some(Given { value, evidence: self.reading.evidence(&best.place, best.score) })
    }

    fn text(&mut self, field: &Field) -> Option<Given> {
        let mut found = values::texts(self.reading, field.concept, self.table);
        if !field.choices.is_empty() {
            for f in &mut found {
                f.value = choice(field, &f.value)?;
            }
        }
        found.retain(|f| field.pattern.as_ref().is_none_or(|p| p.is_match(&f.value)));
        self.one(field, &found)
    }

    fn boolean(&self, field: &Field) -> Option<Given> {
        const YES: [&str; 14] = [
            "yes", "true", "ja", "oui", "si", "sim", "tak", "ano", "x", "☒", "☑", "✓", "はい", "是",
        ];
        const NO: [&str; 11] =
            ["no", "false", "nein", "non", "nee", "nao", "nie", "ne", "☐", "いいえ", "否"];
        let found = values::texts(self.reading, field.concept, self.table).into_iter().next()?;
        let word = found.value.to_lowercase();
        let word = word.split_whitespace().next()?;
        let value = if YES.contains(&word) {
            true
        } else if NO.contains(&word) {
            false
        } else {
            return None;
        };
        Some(Given {
            value: value.into(),
            evidence: self.reading.evidence(&found.place, found.score),
        })
    }

    fn date(&mut self, field: &Field) -> Option<Given> {
        let mut found = values::dates(self.reading, field.concept, self.table);
        found.retain(|f| f.score >= FLOOR);
        if found.is_empty() && field.role == Some("invoice_date") {
            found.extend(values::unclaimed_date(self.reading));
        }
        let order = self.reading.order;
        let found: Vec<_> = found
            .into_iter()
            .map(|f| Found {
                value: f.value.resolve(order).to_string(),
                place: f.place,
                score: f.score,
            })
            .collect();
        self.one(field, &found)
    }

    fn currency(&self, field: &Field) -> Option<Given> {
        let (code, place, score) = super::currency::find(self.reading, field.concept)?;
        Some(Given { value: code.into(), evidence: self.reading.evidence(&place, score) })
    }

    fn party(&mut self, vendor: bool) -> Option<Given> {
        let reading = self.reading;
        let (sold, bought) = self.parties(reading);
        let found = if vendor { sold.clone() } else { bought.clone() }?;
        let evidence = reading.evidence(&found.place, found.score);
        Some(Given { value: found.name.into(), evidence })
    }

    fn parties(
        &mut self,
        reading: &Reading,
    ) -> &(Option<party::Candidate>, Option<party::Candidate>) {
        self.parties.get_or_insert_with(|| party::find(reading, id("vendor"), id("buyer")))
    }

    fn address(&mut self) -> Option<Given> {
        let reading = self.reading;
        let vendor = self.parties(reading).0.clone()?;
        let found = values::address_under(reading, &vendor.place)?;
        let evidence =
            Evidence { text: found.value.clone(), ..reading.evidence(&found.place, found.score) };
        Some(Given { value: found.value.into(), evidence })
    }

    /// A field that only a pattern describes: the one word of the document that fits.
    fn by_pattern(&self, field: &Field) -> Option<Given> {
        let pattern = field.pattern.as_ref()?;
        let mut fits = self.reading.rows.iter().enumerate().flat_map(|(row, r)| {
            let tokens = r.line.tokens.iter().enumerate();
            tokens
                .filter(|(_, t)| pattern.is_match(&t.text))
                .map(move |(i, _)| Place { row, range: i..i + 1 })
        });
        let place = fits.next()?;
        let text = self.reading.text(&place);
        let alone = fits.all(|p| self.reading.text(&p) == text);
        let value = if alone {
            shaped(field, &text)?
        } else {
            return None;
        };
        Some(Given { value, evidence: self.reading.evidence(&place, 0.5) })
    }

    fn sum(&mut self, field: &Field, role: &str) -> Option<Given> {
        let (reading, table) = (self.reading, self.table);
        let chosen = self.sums.get_or_insert_with(|| arithmetic::choose(&sums(reading, table)));
        let found = match role {
            "subtotal" => chosen.subtotal.clone(),
            "tax" => chosen.tax.clone(),
            _ => chosen.total.clone(),
        };
        found.map(|f| self.amount(field, &f))
    }

    fn amount(&self, field: &Field, found: &Candidate) -> Given {
        let mut evidence = self.reading.evidence(&found.place, found.score);
        for part in &found.parts {
            evidence.text = format!("{} + {}", evidence.text, self.reading.text(part));
            evidence.rect = evidence.rect.union(&self.reading.rect(part));
        }
        Given { value: number(field.form, found.value), evidence }
    }

    fn rows(&mut self, field: &Field) {
        let mut rows = Vec::new();
        for (index, row) in self.table.rows.iter().enumerate() {
            let mut object = Map::new();
            let mut evidence = Vec::new();
            for column in &field.columns {
                let given = self.cell(column, row);
                if let Some(given) = &given {
                    evidence.push((
                        format!("{}.{index}.{}", field.name, column.name),
                        given.evidence.clone(),
                    ));
                }
                object.insert(column.name.clone(), given.map_or(Value::Null, |g| g.value));
            }
            self.out.evidence.extend(evidence);
            rows.push(Value::Object(object));
        }
        let value = if rows.is_empty() {
            self.out.missing.push(field.name.clone());
            Value::Null
        } else {
            Value::Array(rows)
        };
        self.out.fields.insert(field.name.clone(), value);
    }

    fn cell(&self, column: &Field, row: &TableRow) -> Option<Given> {
        let words = |places: &[Place]| {
            let text = places.iter().map(|p| self.reading.text(p)).collect::<Vec<_>>().join(" ");
            let first = places.first()?;
            let rect = places.iter().map(|p| self.reading.rect(p)).reduce(|a, b| a.union(&b))?;
            let evidence =
                Evidence { rect, text: text.clone(), ..self.reading.evidence(first, 0.85) };
            Some(Given { value: shaped(column, &text)?, evidence })
        };
        if let Some(places) = row.texts.get(&column.concept) {
            return words(places);
        }
        let amounts = row.amounts.get(&column.concept)?;
        let (amount, place) = match (column.role, multiplied(row)) {
            (Some("amount"), Some(product)) => {
                amounts.iter().find(|(a, _)| a.value.about(product, 0.011)).or(amounts.last())?
            }
            _ => amounts.last()?,
        };
        let agrees = multiplied(row)
            .is_some_and(|p| row.last(id("amount")).is_some_and(|a| a.about(p, 0.011)));
        let score = if agrees { 0.95 } else { 0.85 } * amount.plausibility().max(0.9);
        Some(Given {
            value: number(column.form, amount.value),
            evidence: self.reading.evidence(place, score),
        })
    }
}

impl TableRow {
    fn last(&self, concept: ConceptId) -> Option<Decimal> {
        self.amounts.get(&concept)?.last().map(|(a, _)| a.value)
    }
}

fn multiplied(row: &TableRow) -> Option<Decimal> {
    Some(row.last(id("quantity"))?.times(row.last(id("unit_price"))?))
}

/// Candidates for the three sums of an invoice.
fn sums(reading: &Reading, table: &Table) -> Sums {
    let amounts = |name| values::amounts(reading, id(name), table);
    let subtotal = amounts("subtotal");
    let mut tax = amounts("tax");
    tax.extend(by_rates(&tax));
    let mut total = amounts("total");
    let paid = amounts("paid").first().is_some_and(|p| p.score > 0.5);
    for mut due in amounts("balance_due") {
        due.score *= if paid && due.value.is_zero() { 0.3 } else { 0.82 };
        total.push(due);
    }
    let largest = total.iter().map(|c| c.value.abs().to_f64()).fold(1e-6, f64::max);
    let last = reading.rows.len().max(1) as f32;
    for candidate in &mut total {
        candidate.score += 0.05 * (candidate.value.abs().to_f64() / largest) as f32;
        candidate.score += 0.04 * candidate.place.row as f32 / last;
    }
    let between = ["shipping", "discount"].into_iter().flat_map(amounts).filter(|c| c.score > 0.5);
    let between = between.map(|c| c.value).collect();
    Sums {
        subtotal: values::sorted(subtotal),
        tax: values::sorted(tax),
        total: values::sorted(total),
        between,
    }
}

/// The sum of a tax that is given by rates, one line each.
fn by_rates(tax: &[Candidate]) -> Option<Candidate> {
    let mut rows: BTreeMap<usize, &Candidate> = BTreeMap::new();
    for candidate in tax.iter().filter(|c| c.score > 0.5) {
        rows.entry(candidate.place.row).or_insert(candidate);
    }
    let parts: Vec<&Candidate> = rows.into_values().take(6).collect();
    let (first, rest) = parts.split_first()?;
    let value = rest.iter().fold(first.value, |sum, c| sum.plus(c.value));
    let score = parts.iter().map(|c| c.score).fold(1.0, f32::min) - 0.12;
    let places = rest.iter().map(|c| c.place.clone()).collect();
    (!rest.is_empty()).then(|| Candidate {
        value,
        score,
        place: first.place.clone(),
        parts: places,
    })
}

fn number(form: Form, value: Decimal) -> Value {
    match form {
        Form::Text => value.to_json().to_string().into(),
        Form::Number | Form::Integer | Form::Boolean | Form::Rows => value.to_json(),
    }
}

/// Text in the JSON type that a field wants.
fn shaped(field: &Field, text: &str) -> Option<Value> {
    match field.form {
        Form::Text => Some(text.into()),
        Form::Number | Form::Integer => text.parse::<i64>().ok().map(Value::from),
        Form::Boolean | Form::Rows => None,
    }
}

fn choice(field: &Field, text: &str) -> Option<String> {
    let folded = super::text::fold(text);
    let mut choices = field.choices.iter().filter_map(Value::as_str);
    choices.find(|c| folded.starts_with(&super::text::fold(c))).map(str::to_owned)
}

/// True where a value is one that the schema lists, fits its pattern and its type.
fn allowed(field: &Field, value: &Value) -> bool {
    let listed = field.choices.is_empty() || field.choices.contains(value);
    let fits = match (&field.pattern, value) {
        (Some(pattern), Value::String(text)) => pattern.is_match(text),
        _ => true,
    };
    listed && fits && (field.form != Form::Integer || value.is_i64())
}
