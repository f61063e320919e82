//! The types of values, as far as schemas tell.
//!
//! A type is a JSON Schema; `true` is the type of what nobody knows. Following a reference
//! into a type either finds the type of the part, or knows that there is none.

use serde_json::{Map, Value, json};

use super::super::workflow::{InputType, Workflow};
use crate::artifact;
use crate::template::Segment;

/// A part that a type has not.
pub(super) struct NoSuchPart<'t> {
    pub(super) message: String,
    pub(super) hint: Option<String>,
    /// The key that is not there, and those that are.
    pub(super) known: Option<(&'t str, &'t Map<String, Value>)>,
}

/// The most values a type may have that is put together here, or that many steps share.
pub(super) const LARGEST: usize = 2_000;

static UNKNOWN: Value = Value::Bool(true);

/// The type of a value that nobody knows.
pub(super) fn unknown() -> Value {
    UNKNOWN.clone()
}

/// How many values a type is made of.
pub(super) fn size(schema: &Value) -> usize {
    1 + match schema {
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(map) => map.values().map(size).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// The type, where it is not too large to be handed on from step to step.
pub(super) fn bounded(schema: &Value) -> Value {
    if size(schema) > LARGEST {
        return unknown();
    }
    schema.clone()
}

/// Whether a type is that of a file.
pub(super) fn is_file(kind: &Value) -> bool {
    kind["properties"].get("$artifact").is_some()
}

/// The type of an input's value.
pub(super) fn of_input(kind: &InputType) -> Value {
    match kind {
        InputType::String { .. } => json!({ "type": "string" }),
        InputType::Integer => json!({ "type": "integer" }),
        InputType::Number => json!({ "type": "number" }),
        InputType::Boolean => json!({ "type": "boolean" }),
        InputType::File { .. } => artifact::schema(),
        InputType::Files { .. } => json!({ "type": "array", "items": artifact::schema() }),
        InputType::Array => json!({ "type": "array" }),
        InputType::Json { schema } => schema.clone(),
    }
}

/// The type of a list of such values.
pub(super) fn list_of(items: &Value) -> Value {
    json!({ "type": "array", "items": items })
}

/// The type of a list's elements.
pub(super) fn item_of(list: &Value) -> Value {
    match kind_of(list) {
        Some("integer" | "number") => json!({ "type": "integer" }),
        _ => items(list).clone(),
    }
}

fn items(list: &Value) -> &Value {
    list.get("items").unwrap_or(&UNKNOWN)
}

/// The type of what a sub-workflow yields: names are known, values are not.
pub(super) fn of_outputs(workflow: &Workflow) -> Value {
    let names = workflow.outputs.iter().map(|(name, _)| (name.clone(), unknown()));
    json!({
        "type": "object",
        "properties": names.collect::<Map<_, _>>(),
        "additionalProperties": false,
    })
}

/// The type of a literal: as exact as the value.
pub(super) fn of_literal(value: &Value) -> Value {
    match value {
        Value::Null => json!({ "type": "null" }),
        Value::Bool(_) => json!({ "type": "boolean" }),
        Value::Number(number) if number.is_f64() => json!({ "type": "number" }),
        Value::Number(_) => json!({ "type": "integer" }),
        Value::String(_) => json!({ "type": "string" }),
        Value::Array(items) => {
            let mut kinds = items.iter().map(of_literal);
            match kinds.next() {
                Some(first) if kinds.all(|kind| kind == first) => list_of(&first),
                Some(_) | None => json!({ "type": "array" }),
            }
        }
        Value::Object(map) => {
            let parts = map.iter().map(|(key, value)| (key.clone(), of_literal(value)));
            json!({
                "type": "object",
                "properties": parts.collect::<Map<_, _>>(),
                "additionalProperties": false,
            })
        }
    }
}

/// The one type that a schema names, null aside.
pub(super) fn kind_of(schema: &Value) -> Option<&str> {
    match schema.get("type")? {
        Value::String(kind) => Some(kind),
        Value::Array(kinds) => {
            let mut kinds = kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null");
            kinds.next().filter(|_| kinds.next().is_none())
        }
        _ => None,
    }
}

/// Follows parts into a type. `so_far` is how the whole is written, for messages.
pub(super) fn follow<'t>(
    schema: &'t Value,
    so_far: &str,
    parts: &'t [Segment],
) -> Result<&'t Value, NoSuchPart<'t>> {
    let Some((part, rest)) = parts.split_first() else {
        return Ok(schema);
    };
    let absent = |message, hint| NoSuchPart { message, hint, known: None };
    match (kind_of(schema), part) {
        (Some("object"), Segment::Key(key)) => {
            let properties = schema["properties"].as_object();
            match properties.and_then(|properties| properties.get(key)) {
                Some(property) => follow(property, &format!("{so_far}.{key}"), rest),
                None if schema["additionalProperties"] == false => Err(NoSuchPart {
                    message: format!("`{so_far}` has no `{key}`"),
                    hint: None,
                    known: properties.map(|properties| (key.as_str(), properties)),
                }),
                None => Ok(&UNKNOWN),
            }
        }
        (Some("array"), Segment::Index(index)) => {
            follow(items(schema), &format!("{so_far}[{index}]"), rest)
        }
        (Some("array"), Segment::Key(key)) => Err(absent(
            format!("`{so_far}` is a list, and has no `{key}`"),
            Some(format!("go over it by `for_each`, or take one: `{so_far}[0].{key}`")),
        )),
        (Some(kind @ ("string" | "number" | "integer" | "boolean" | "null")), part) => {
            let what = match kind {
                "string" => "text",
                "number" => "a number",
                "integer" => "a whole number",
                "boolean" => "a boolean",
                _ => "null",
            };
            let part = match part {
                Segment::Key(key) => format!("`{key}`"),
                Segment::Index(index) => format!("[{index}]"),
            };
            let message = format!("`{so_far}` is {what}, and has no {part}");
            Err(absent(message, None))
        }
        _ => Ok(&UNKNOWN),
    }
}

/// Whether a value of one type can be one of another; true where nobody knows.
pub(super) fn may_be(given: &Value, wanted: &Value) -> bool {
    let (Some(given), Some(wanted_kind)) = (kind_of(given), kind_of(wanted)) else {
        return true;
    };
    let file = wanted["x-file"] == true;
    given == wanted_kind
        || (given == "integer" && wanted_kind == "number")
        || (given == "number" && wanted_kind == "integer")
        || (file && matches!(given, "object" | "string" | "array"))
}

/// A type as people call it.
pub(super) fn article(kind: &str) -> &str {
    match kind {
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "`true` or `false`",
        "array" => "a list",
        "object" => "a map",
        other => other,
    }
}
