//! The types of values, as far as schemas tell.
//!
//! A type is a JSON Schema; `true` is the type of what nobody knows. Following a reference
//! into a type either finds the type of the part, or knows that there is none.

use serde_json::{Value, json};

use super::super::suggest::closest;
use super::super::workflow::{InputType, Workflow};
use crate::template::Segment;

/// A part that a type has not.
pub(super) struct NoSuchPart {
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

/// The type of a value that nobody knows.
pub(super) fn unknown() -> Value {
    Value::Bool(true)
}

/// The type of an artifact.
pub(super) fn artifact() -> Value {
    json!({
        "type": "object",
        "properties": {
            "$artifact": { "type": "string" },
            "media_type": { "type": "string" },
            "name": { "type": "string" },
            "size": { "type": "integer" },
            "width": { "type": "integer" },
            "height": { "type": "integer" },
            "dpi": { "type": "number" },
            "page": { "type": "integer" },
        },
        "additionalProperties": false,
    })
}

/// The type of an input's value.
pub(super) fn of_input(kind: &InputType) -> Value {
    match kind {
        InputType::String { .. } => json!({ "type": "string" }),
        InputType::Integer => json!({ "type": "integer" }),
        InputType::Number => json!({ "type": "number" }),
        InputType::Boolean => json!({ "type": "boolean" }),
        InputType::File { .. } => artifact(),
        InputType::Files { .. } => json!({ "type": "array", "items": artifact() }),
        InputType::Array => json!({ "type": "array" }),
        InputType::Json { schema } => schema.clone(),
    }
}

/// The type of a list of such values.
pub(super) fn list_of(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

/// The type of a list's elements.
pub(super) fn item_of(list: &Value) -> Value {
    match kind_of(list) {
        Some("integer" | "number") => json!({ "type": "integer" }),
        _ => list.get("items").cloned().unwrap_or_else(unknown),
    }
}

/// The type of what a sub-workflow yields: names are known, values are not.
pub(super) fn of_outputs(workflow: &Workflow) -> Value {
    let names = workflow
        .outputs
        .iter()
        .map(|(name, _)| (name.clone(), unknown()));
    json!({
        "type": "object",
        "properties": names.collect::<serde_json::Map<_, _>>(),
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
        Value::Array(items) => match items.first() {
            Some(first)
                if items
                    .iter()
                    .all(|item| of_literal(item) == of_literal(first)) =>
            {
                list_of(of_literal(first))
            }
            Some(_) | None => json!({ "type": "array" }),
        },
        Value::Object(map) => {
            let parts = map
                .iter()
                .map(|(key, value)| (key.clone(), of_literal(value)));
            json!({
                "type": "object",
                "properties": parts.collect::<serde_json::Map<_, _>>(),
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
            let mut kinds = kinds
                .iter()
                .filter_map(Value::as_str)
                .filter(|kind| *kind != "null");
            kinds.next().filter(|_| kinds.next().is_none())
        }
        _ => None,
    }
}

/// Follows parts into a type. `so_far` is how the whole is written, for messages.
pub(super) fn follow(schema: &Value, so_far: &str, parts: &[Segment]) -> Result<Value, NoSuchPart> {
    let Some((part, rest)) = parts.split_first() else {
        return Ok(schema.clone());
    };
    match (kind_of(schema), part) {
        (Some("object"), Segment::Key(key)) => {
            let properties = schema["properties"].as_object();
            match properties.and_then(|properties| properties.get(key)) {
                Some(property) => follow(property, &format!("{so_far}.{key}"), rest),
                None if schema["additionalProperties"] == false => {
                    let names = || {
                        properties
                            .into_iter()
                            .flat_map(|p| p.keys().map(String::as_str))
                    };
                    let hint = match closest(key, names()) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!("it has: {}", names().collect::<Vec<_>>().join(", ")),
                    };
                    let message = format!("`{so_far}` has no `{key}`");
                    Err(NoSuchPart {
                        message,
                        hint: Some(hint),
                    })
                }
                None => Ok(unknown()),
            }
        }
        (Some("array"), Segment::Index(index)) => {
            follow(&item_of(schema), &format!("{so_far}[{index}]"), rest)
        }
        (Some("array"), Segment::Key(key)) => Err(NoSuchPart {
            message: format!("`{so_far}` is a list, and has no `{key}`"),
            hint: Some(format!(
                "go over it by `for_each`, or take one: `{so_far}[0].{key}`"
            )),
        }),
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
            Err(NoSuchPart {
                message,
                hint: None,
            })
        }
        _ => Ok(unknown()),
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
