//! Finds the values that a JSON Schema asks for among the words of a document, without a model.
//!
//! # From words to evidence
//! ```text
//! words ── lines ──► lines, cells          lines.rs   geometry; cuts `合計1,377,200`
//!            └ labels ► hits               labels.rs  dictionary + the schema's own labels
//!            └ date, amount ► spots        reading.rs typed values, found once
//! schema ── schema ──► fields              schema.rs  kind, concept, labels of a property
//! fields × hits ──► regions ──► candidates values.rs, party.rs, table.rs, currency.rs
//! candidates ── arithmetic ──► values      arithmetic.rs, solve.rs
//! ```
//! A label leads to two regions: what stands to its right up to the next label, and what
//! stands below it in its column. What has the right type there is a candidate; its score is
//! the product of how surely the label is one, where the value stands and how much it looks
//! like its type. Among amounts, sums that add up decide. The score, lowered by the words'
//! own confidence, is the confidence in the evidence.
//!
//! # What a schema can say
//! Plain JSON Schema of an object: `type`, `format: date`, `enum`, `pattern`, `title`, and
//! for rows of a table an array of objects. Two keywords of ours:
//! - `x-labels: [..]`: more labels, in any language.
//! - `x-kind`: a kind (`amount`, `number`, `date`, `currency`, `party`, `address`,
//!   `identifier`, `text`, `boolean`, `table`) or a concept of the dictionary
//!   (`invoice_number`, `vendor`, `order_number`, `due_date`, `iban`, …; see `labels.json`).
//!
//! A property whose name or title the dictionary knows needs neither. Any other is looked
//! for by its own name: `policy_number` finds `Policy number: 4711`.
//!
//! # What holds
//! - Dates are ISO 8601, currencies ISO 4217, amounts numbers; negative where written so.
//! - Each value that is not null has evidence. Evidence in a table is keyed
//!   `lines.0.amount`: property, row from 0, column.
//! - What is not found is null and in `missing`. Nothing is computed that was not read, but
//!   for one sum: a tax given by rates is their total, and its evidence shows the parts.
//! - Two equal candidates that contradict each other yield null and a warning: a wrong
//!   total is worse than none.
//! - No rule is for one sender. No I/O, no clock, no randomness.

mod amount;
mod arithmetic;
mod currency;
mod date;
mod ground;
mod labels;
mod lines;
mod party;
mod reading;
mod same;
mod schema;
mod solve;
mod table;
mod text;
mod values;

#[cfg(test)]
mod tests;

use serde::Serialize;
use serde_json::{Map, Value};
use thiserror::Error;

use super::layout::{Page, Rect, thousandth};

pub use ground::{Grounding, ground};
pub(crate) use same::same_value;

/// Reads the fields that a schema asks for from read pages.
///
/// A document without words yields nulls. Errors are faults of the schema only.
pub fn extract(pages: &[Page], schema: &Value) -> Result<Extraction, FieldsError> {
    let fields = schema::fields(schema)?;
    Ok(solve::solve(pages, &fields))
}

/// Says in plain words what in the fields of a document does not add up.
///
/// Compares subtotal, tax and total, the lines with their sum, and the two dates; the schema
/// tells which field is which. Null fields are passed over.
pub fn inconsistencies(
    fields: &Map<String, Value>,
    schema: &Value,
) -> Result<Vec<String>, FieldsError> {
    Ok(arithmetic::inconsistencies(fields, &schema::fields(schema)?))
}

/// Values with the places they were read from.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Extraction {
    /// One entry a property of the schema, null where nothing was found.
    pub fields: Map<String, Value>,
    /// Where each value stands; in a table the key is `PROPERTY.ROW.COLUMN`.
    pub evidence: std::collections::BTreeMap<String, Evidence>,
    /// Properties that are null.
    pub missing: Vec<String>,
    /// What does not add up, and why a value was refused.
    pub warnings: Vec<String>,
}

/// The place of a value on a page.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evidence {
    /// Ordinal of the page, from 1.
    pub page: u32,
    /// Where the words stand, in points.
    #[serde(rename = "box")]
    pub rect: Rect,
    /// The words, in normal form.
    pub text: String,
    /// How sure the value is, 0 to 1.
    #[serde(serialize_with = "thousandth")]
    pub confidence: f32,
}

/// What can be wrong with a schema for extraction.
#[derive(Debug, Error)]
pub enum FieldsError {
    /// It describes no object.
    #[error("the schema has no `properties`, so there is nothing to look for")]
    NoProperties,
    /// A property is described by something else than an object.
    #[error("property `{name}` of the schema is not an object")]
    NotASchema {
        /// The property.
        name: String,
    },
    /// A property asks for an unknown kind.
    #[error("property `{name}` has the unknown x-kind `{kind}`")]
    UnknownKind {
        /// The property.
        name: String,
        /// What it asked for.
        kind: String,
    },
    /// A pattern cannot be read.
    #[error("property `{name}` has a pattern that cannot be read: `{pattern}`")]
    Pattern {
        /// The property.
        name: String,
        /// The pattern.
        pattern: String,
        /// Why.
        source: Box<regex::Error>,
    },
}
