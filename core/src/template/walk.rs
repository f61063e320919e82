//! How much an expression may go through, and how deep.
//!
//! A value is counted before an operation goes through it ([`super::guard`] says which do).
//! What is counted adds up over one rendering, so that no loop multiplies it.

use std::cell::Cell;

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};

use super::data::Node;

/// The most parts that one rendering goes through: the words of a thousand pages with all that
/// is known of them, and less than a second of work.
const MOST_PARTS: u64 = 10_000_000;

/// As many bytes of a text count as a part.
const BYTES: usize = 64;

/// The most lists and maps within each other, a few less than what reads JSON again takes.
pub(super) const DEEPEST: usize = 120;

thread_local! {
    /// The parts that are left to what is rendered on this thread, which is one at a time.
    static LEFT: Cell<u64> = const { Cell::new(MOST_PARTS) };
}

/// Begins a rendering.
pub(super) fn begin() {
    LEFT.set(MOST_PARTS);
}

/// The filter: the value as it is, if it is not too much.
pub(super) fn bounded(value: Value) -> Result<Value, Error> {
    count(&value, 0)?;
    Ok(value)
}

fn fault(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

fn take(parts: usize) -> Result<(), Error> {
    let left = LEFT.get().checked_sub(parts as u64).ok_or_else(|| {
        fault(format!("it goes through more than {} million values", MOST_PARTS / 1_000_000))
    })?;
    LEFT.set(left);
    Ok(())
}

/// Says that a value is too deep to be worked with.
pub(super) fn too_deep() -> String {
    format!("a value has more than {DEEPEST} lists and maps within each other")
}

fn count(value: &Value, depth: usize) -> Result<(), Error> {
    if depth > DEEPEST {
        return Err(fault(too_deep()));
    }
    if let Some(node) = value.downcast_object_ref::<Node>() {
        return count_json(node.json());
    }
    take(1 + value.as_str().map_or(0, str::len) / BYTES)?;
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            // What cannot be gone through is not gone through by the operation either.
            let Ok(items) = value.try_iter() else { return Ok(()) };
            for item in items {
                count(&item, depth + 1)?;
            }
        }
        ValueKind::Map => {
            let Ok(keys) = value.try_iter() else { return Ok(()) };
            for key in keys {
                count(&key, depth + 1)?;
                if let Ok(item) = value.get_item(&key) {
                    count(&item, depth + 1)?;
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// JSON is as deep as what it was read from.
fn count_json(value: &serde_json::Value) -> Result<(), Error> {
    use serde_json::Value;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => take(1),
        Value::String(text) => take(1 + text.len() / BYTES),
        Value::Array(items) => {
            take(1)?;
            items.iter().try_for_each(count_json)
        }
        Value::Object(map) => {
            take(1 + map.len())?;
            map.values().try_for_each(count_json)
        }
    }
}
