//! What is wrong with a value that does not fit its schema: all of it, within bounds.

use std::fmt::Write;

use jsonschema::Validator;
use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

/// The most faults that are named.
const MOST: usize = 20;

/// The most letters of a value, a place or a fault that are shown.
const LONGEST: usize = 80;

/// The most letters of what a fault says, a list of what is allowed among it.
const LONGEST_FAULT: usize = 400;

/// Says what does not fit. Long values are shortened; where there are many faults, the rest is
/// counted.
pub(super) fn described(value: &Value, validator: &Validator) -> String {
    let mut faults = Vec::new();
    let mut more = 0;
    for error in validator.iter_errors(value) {
        if faults.len() == MOST {
            more += 1;
            continue;
        }
        let place = shortened(&error.instance_path().to_string(), LONGEST);
        let why = error.masked_with(shown(error.instance())).to_string();
        let why = shortened(&why, LONGEST_FAULT);
        faults.push(if place.is_empty() { why } else { format!("at `{place}`: {why}") });
    }
    let mut text = "the answer does not fit the schema".to_owned();
    match faults.as_slice() {
        [] => {}
        [fault] if fault.starts_with("at ") => _ = write!(text, " {fault}"),
        [fault] => _ = write!(text, ": {fault}"),
        faults => _ = write!(text, " ({} faults): {}", faults.len() + more, faults.join("; ")),
    }
    if more > 0 {
        _ = write!(text, "; and {more} more");
    }
    text
}

/// A value as JSON, as far as it is short.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(items) if items.len() > 3 => format!("the list of {} items", items.len()),
        Value::Object(map) if map.len() > 3 => format!("the object of {} keys", map.len()),
        value => shortened(&value.to_string(), LONGEST),
    }
}

fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The value without each null that the schema does not want where it stands. A service that
/// requires every property is told that one that may be missing may be null. A null that must
/// be something stays, so that what is said of it is true.
pub(super) fn without_nulls(value: &Value, validator: &Validator) -> Value {
    let mut bare = value.clone();
    let places = validator.iter_errors(value).map(|error| error.instance_path().to_string());
    for place in places {
        let Some((above, name)) = place.rsplit_once('/') else { continue };
        let name = name.replace("~1", "/").replace("~0", "~");
        if let Some(Value::Object(fields)) = bare.pointer_mut(above)
            && fields.get(&name) == Some(&Value::Null)
        {
            fields.shift_remove(&name);
        }
    }
    let missing = validator.iter_errors(&bare).filter_map(|error| match error.kind() {
        ValidationErrorKind::Required { property } => {
            Some((error.instance_path().to_string(), property.as_str()?.to_owned()))
        }
        _ => None,
    });
    for (place, name) in missing.collect::<Vec<_>>() {
        let was_null = value.pointer(&place).and_then(|above| above.get(&name));
        if was_null == Some(&Value::Null)
            && let Some(Value::Object(fields)) = bare.pointer_mut(&place)
        {
            fields.insert(name, Value::Null);
        }
    }
    bare
}
