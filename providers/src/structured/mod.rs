//! Answers that are data: from the text a model wrote to a value that fits a schema, or to
//! everything that is wrong with it.
//!
//! ```text
//! text ─► as it is, or mended ─► the one value ─► without nulls that ─► fits? ─► the value
//!         (never its meaning)    in it            nobody asked for       └────► what is wrong
//! ```
//!
//! Whatever a service promised of its schema mode, nothing leaves here that does not validate.
//! `format` counts as well, and the draft is the one that `$schema` names, 2020-12 without.
//! Where it does not fit, [`once_more`] writes the question that follows; whether it is asked
//! is the engine's to say.

mod again;
mod mend;
mod violations;

use flow_core::error::{ErrorClass, Failure};
use jsonschema::Validator;
use serde_json::Value;

pub(crate) use again::once_more;
use mend::{Mended, values_in};
use violations::{described, without_nulls};

/// Data that fits, and how it had to be mended for that.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Structured {
    /// The value.
    pub(crate) value: Value,
    /// What was put right, in words; empty where the text was fine.
    pub(crate) mended: Vec<&'static str>,
}

/// Reads an answer as data that fits a schema.
pub(crate) fn structured(text: &str, schema: &Value) -> Result<Structured, Failure> {
    let validator = jsonschema::options()
        .should_validate_formats(true)
        .build(schema)
        .map_err(|error| Failure::input(format!("`schema` is not a JSON Schema: {error}")))?;
    match serde_json::from_str(text.trim()) {
        Ok(value) => fitting(value, text, &validator),
        Err(error) => found_in(text, &validator, &error),
    }
}

fn invalid(why: impl Into<String>) -> Failure {
    Failure::new(ErrorClass::InvalidOutput, why)
}

/// A value that was written as it should be.
fn fitting(value: Value, text: &str, validator: &Validator) -> Result<Structured, Failure> {
    match held(value, validator) {
        Ok(value) => Ok(Structured { value, mended: Vec::new() }),
        Err(value) => match within_a_text(&value, validator) {
            Some(value) => Ok(Structured { value, mended: vec!["taken out of a JSON text"] }),
            // A lone text or number may stand for an answer that is wrapped in something.
            None if value.is_string() => found_in(text, validator, &described(&value, validator)),
            None => Err(invalid(described(&value, validator))),
        },
    }
}

/// The value that stands somewhere in a text, if it is the only one that can be meant.
fn found_in(
    text: &str,
    validator: &Validator,
    why_not: &dyn std::fmt::Display,
) -> Result<Structured, Failure> {
    let found = values_in(text);
    let one = match found.len() {
        0 => return Err(invalid(not_json(why_not))),
        1 => Some(&found[0]),
        _ => None,
    };
    let mut fits = found.iter().filter_map(|mended| {
        let value = held(mended.value.clone(), validator).ok()?;
        Some(Structured { value, mended: mended.fixes.clone() })
    });
    match (fits.next(), fits.next(), one) {
        (Some(fits), None, _) => Ok(fits),
        (_, _, Some(Mended { value, .. })) => Err(invalid(described(value, validator))),
        (_, _, None) => {
            Err(invalid(format!("the answer holds {} JSON values instead of one", found.len())))
        }
    }
}

fn not_json(why: &dyn std::fmt::Display) -> String {
    let why = why.to_string();
    if why.starts_with("the answer") { why } else { format!("the answer is not JSON: {why}") }
}

/// The value, if it fits; without nulls that stand for nothing, if that makes it fit.
fn held(value: Value, validator: &Validator) -> Result<Value, Value> {
    if validator.is_valid(&value) {
        return Ok(value);
    }
    let bare = without_nulls(&value, validator);
    if validator.is_valid(&bare) { Ok(bare) } else { Err(bare) }
}

/// The value that a JSON text holds, if that fits.
fn within_a_text(value: &Value, validator: &Validator) -> Option<Value> {
    let inner: Value = serde_json::from_str(value.as_str()?).ok()?;
    held(inner, validator).ok()
}

#[cfg(test)]
mod tests;
