//! How an answer is held to a JSON Schema.
//!
//! Models that have it take the schema itself (`output_config.format`), which knows only part
//! of JSON Schema: objects are closed, alternatives are `anyOf`, and what it does not know
//! goes into the description, where the model may heed it, spelled as Anthropic's own library
//! spells it. A schema that would come out as another one (free keys, recursion, several
//! `allOf`) and every schema of an older model become the input of a tool that must be called.
//! The answer is checked against the schema as it was written in either case, elsewhere.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// The tool whose input is the answer.
const ANSWER: &str = "answer";
/// The tool whose input holds the answer as `value`: a tool's input is an object.
const ANSWER_VALUE: &str = "answer_value";

/// How an answer is held to a schema.
#[derive(Debug, PartialEq)]
pub(super) enum Held {
    /// By the model's own schema mode.
    Format(Value),
    /// As the input of a tool of this name.
    Tool(&'static str, Value),
}

/// The way for this schema; `native` says whether the model has a schema mode.
pub(super) fn held(schema: &Value, native: bool) -> Held {
    let rewritten = if native && !is_recursive(schema) { rewrite(schema) } else { None };
    match rewritten {
        Some(schema) => Held::Format(schema),
        None => tool(schema),
    }
}

/// The answer of a tool that was called: its input, or the value in it.
pub(super) fn answer_of(tool: &str, mut input: Value) -> Value {
    match tool {
        ANSWER_VALUE if input.get("value").is_some() => input["value"].take(),
        _ => input,
    }
}

fn tool(schema: &Value) -> Held {
    let mut schema = schema.clone();
    let mut definitions = Map::new();
    if let Value::Object(schema) = &mut schema {
        schema.shift_remove("$schema");
        if schema.get("type") == Some(&json!("object")) {
            return Held::Tool(ANSWER, Value::Object(schema.clone()));
        }
        // References count from the root, so that definitions stay there.
        for key in ["$defs", "definitions"] {
            definitions.extend(schema.shift_remove(key).map(|defs| (key.to_owned(), defs)));
        }
    }
    let mut input = json!({
        "type": "object", "properties": { "value": schema }, "required": ["value"],
    });
    input.as_object_mut().expect("it was made one").append(&mut definitions);
    Held::Tool(ANSWER_VALUE, input)
}

/// The formats of strings that are known.
const FORMATS: &[&str] =
    &["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"];

/// The schema as it is taken; none where it would come out as another one.
fn rewrite(schema: &Value) -> Option<Value> {
    let mut rest = schema.as_object()?.clone();
    let mut out = Map::new();
    rest.shift_remove("$schema");
    for key in ["$defs", "definitions"] {
        if let Some(definitions) = rest.shift_remove(key) {
            out.insert(key.to_owned(), each(&definitions)?);
        }
    }
    if let Some(reference) = rest.shift_remove("$ref") {
        out.insert("$ref".to_owned(), reference);
        return Some(Value::Object(out));
    }
    if rest.contains_key("patternProperties") {
        return None;
    }
    let literal = literals(&mut rest, &mut out);
    let alternatives = alternatives(&mut rest, &mut out)?;
    let kinds = kinds(&mut rest);
    if !literal && !alternatives {
        out.insert("type".to_owned(), kinds.clone()?);
    }
    for key in ["description", "title"] {
        out.extend(rest.shift_remove(key).map(|text| (key.to_owned(), text)));
    }
    if !literal && !alternatives {
        let kinds = kinds.as_ref();
        let is = |kind: &str| {
            kinds.is_some_and(|kinds| {
                kinds == kind || kinds.as_array().is_some_and(|all| all.contains(&json!(kind)))
            })
        };
        if is("object") {
            object(&mut rest, &mut out)?;
        }
        if is("array") {
            array(&mut rest, &mut out)?;
        }
        if is("string")
            && rest
                .get("format")
                .and_then(Value::as_str)
                .is_some_and(|format| FORMATS.contains(&format))
        {
            out.extend(rest.shift_remove("format").map(|format| ("format".to_owned(), format)));
        }
    }
    describe(&rest, &mut out);
    Some(Value::Object(out))
}

fn each(schemas: &Value) -> Option<Value> {
    let schemas = schemas.as_object()?.iter();
    let schemas: Option<Map<_, _>> =
        schemas.map(|(name, schema)| Some((name.clone(), rewrite(schema)?))).collect();
    schemas.map(Value::Object)
}

/// Moves `enum` and `const` where their values are plain; whether there was one.
fn literals(rest: &mut Map<String, Value>, out: &mut Map<String, Value>) -> bool {
    let plain = |value: &Value| !value.is_array() && !value.is_object();
    if rest
        .get("enum")
        .and_then(Value::as_array)
        .is_some_and(|all| !all.is_empty() && all.iter().all(plain))
    {
        out.extend(rest.shift_remove("enum").map(|all| ("enum".to_owned(), all)));
    }
    if rest.get("const").is_some_and(plain) {
        out.extend(rest.shift_remove("const").map(|value| ("const".to_owned(), value)));
    }
    out.contains_key("enum") || out.contains_key("const")
}

/// Moves alternatives; whether there were some. Several `allOf` cannot be closed each.
fn alternatives(rest: &mut Map<String, Value>, out: &mut Map<String, Value>) -> Option<bool> {
    for (from, to) in [("anyOf", "anyOf"), ("oneOf", "anyOf"), ("allOf", "allOf")] {
        let Some(Value::Array(all)) = rest.shift_remove(from) else { continue };
        // Beside properties of its own, an alternative is a condition and not a shape.
        if rest.contains_key("properties") || (from == "allOf" && all.len() > 1) {
            return None;
        }
        let all: Option<Vec<_>> = all.iter().map(rewrite).collect();
        out.insert(to.to_owned(), Value::Array(all?));
        return Some(true);
    }
    Some(false)
}

/// The type, or the one that the other keywords tell of.
fn kinds(rest: &mut Map<String, Value>) -> Option<Value> {
    rest.shift_remove("type").or_else(|| {
        let told = [("properties", "object"), ("items", "array")];
        told.iter().find(|(key, _)| rest.contains_key(*key)).map(|(_, kind)| json!(kind))
    })
}

/// Closes an object. One whose keys are free would be closed to all of them.
fn object(rest: &mut Map<String, Value>, out: &mut Map<String, Value>) -> Option<()> {
    let more = rest.shift_remove("additionalProperties");
    if more.is_some_and(|more| more.is_object()) {
        return None;
    }
    let properties = rest.shift_remove("properties")?;
    out.insert("properties".to_owned(), each(&properties)?);
    out.insert("additionalProperties".to_owned(), Value::Bool(false));
    out.extend(rest.shift_remove("required").map(|names| ("required".to_owned(), names)));
    Some(())
}

fn array(rest: &mut Map<String, Value>, out: &mut Map<String, Value>) -> Option<()> {
    if let Some(items) = rest.shift_remove("items") {
        out.insert("items".to_owned(), rewrite(&items)?);
    }
    if matches!(rest.get("minItems").and_then(Value::as_u64), Some(0 | 1)) {
        out.extend(rest.shift_remove("minItems").map(|least| ("minItems".to_owned(), least)));
    }
    Some(())
}

/// Puts what is left into the description.
fn describe(rest: &Map<String, Value>, out: &mut Map<String, Value>) {
    if rest.is_empty() {
        return;
    }
    let all: Vec<_> =
        rest.iter().map(|(key, value)| format!("{key}: {}", spelled(value))).collect();
    let all = format!("{{{}}}", all.join(", "));
    let text = match out.get("description").and_then(Value::as_str) {
        Some(text) => format!("{text}\n\n{all}"),
        None => all,
    };
    out.insert("description".to_owned(), Value::String(text));
}

/// A value as Python prints it, which is how Anthropic's library describes it.
fn spelled(value: &Value) -> String {
    let inner = |value: &Value| match value {
        Value::String(text) => format!("'{text}'"),
        other => spelled(other),
    };
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(all) => {
            format!("[{}]", all.iter().map(inner).collect::<Vec<_>>().join(", "))
        }
        Value::Object(all) => {
            let all = all.iter().map(|(key, value)| format!("'{key}': {}", inner(value)));
            format!("{{{}}}", all.collect::<Vec<_>>().join(", "))
        }
    }
}

/// Whether a definition leads back to itself, or a reference out of the schema.
fn is_recursive(schema: &Value) -> bool {
    fn leads_back(root: &Value, at: &Value, seen: &mut BTreeSet<String>) -> bool {
        match at {
            Value::Object(all) => {
                if let Some(Value::String(reference)) = all.get("$ref") {
                    let place = reference.strip_prefix('#').filter(|place| !place.is_empty());
                    let Some(target) = place.and_then(|place| root.pointer(place)) else {
                        return true;
                    };
                    if !seen.insert(reference.clone()) {
                        return true;
                    }
                    let found = leads_back(root, target, seen);
                    seen.remove(reference);
                    return found;
                }
                // Definitions count where they are referred to.
                let all = all.iter().filter(|(key, _)| *key != "$defs" && *key != "definitions");
                all.into_iter().any(|(_, value)| leads_back(root, value, seen))
            }
            Value::Array(all) => all.iter().any(|value| leads_back(root, value, seen)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        }
    }
    leads_back(schema, schema, &mut BTreeSet::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_schema_mode_does_not_know_goes_into_the_description() {
        for (written, sent) in [
            (
                json!({ "type": "integer", "minimum": 1, "maximum": 10, "description": "A number" }),
                json!({ "type": "integer", "description": "A number\n\n{minimum: 1, maximum: 10}" }),
            ),
            (
                json!({ "oneOf": [{ "type": "string", "maxLength": 4 }, { "type": "null" }], "default": null }),
                json!({
                    "anyOf": [{ "type": "string", "description": "{maxLength: 4}" }, { "type": "null" }],
                    "description": "{default: None}",
                }),
            ),
            (
                json!({ "type": ["string", "null"], "format": "date", "examples": ["a", true] }),
                json!({ "type": ["string", "null"], "format": "date", "description": "{examples: ['a', True]}" }),
            ),
            (json!({ "type": "string", "enum": ["a", null] }), json!({ "enum": ["a", null] })),
            (
                json!({
                    "$schema": "https://json-schema.org/draft/2020-12/schema",
                    "properties": {
                        "b": { "$ref": "#/$defs/part", "description": "x" },
                        "a": { "type": "array", "items": { "$ref": "#/$defs/part" }, "minItems": 1, "maxItems": 9 },
                    },
                    "required": ["b"],
                    "$defs": { "part": { "type": "string", "format": "phone" } },
                }),
                json!({
                    "type": "object",
                    "properties": {
                        "b": { "$ref": "#/$defs/part" },
                        "a": {
                            "type": "array", "items": { "$ref": "#/$defs/part" }, "minItems": 1,
                            "description": "{maxItems: 9}",
                        },
                    },
                    "additionalProperties": false,
                    "required": ["b"],
                    "$defs": { "part": { "type": "string", "description": "{format: phone}" } },
                }),
            ),
        ] {
            assert_eq!(held(&written, true), Held::Format(sent));
        }
    }

    #[test]
    fn properties_keep_their_order() {
        let names = ["z", "a", "m", "b"];
        let properties: Map<_, _> =
            names.iter().map(|name| ((*name).to_owned(), json!({ "type": "string" }))).collect();
        let Held::Format(sent) = held(&json!({ "type": "object", "properties": properties }), true)
        else {
            panic!("it can be said")
        };
        assert!(sent["properties"].as_object().unwrap().keys().eq(names));
    }

    #[test]
    fn what_would_come_out_as_another_schema_is_a_tools_input() {
        for schema in [
            json!({ "type": "object" }),
            json!({ "type": "object", "additionalProperties": { "type": "number" } }),
            json!({ "type": "object", "properties": { "a": {} } }),
            json!({ "type": "object", "properties": { "a": { "$ref": "#" } } }),
            json!({
                "type": "object",
                "properties": { "a": { "$ref": "#/$defs/node" } },
                "$defs": { "node": { "type": "array", "items": { "$ref": "#/$defs/node" } } },
            }),
            json!({
                "type": "object", "properties": { "a": { "type": "string" } },
                "anyOf": [{ "required": ["a"] }, { "maxProperties": 0 }],
            }),
        ] {
            assert_eq!(held(&schema, true), Held::Tool("answer", schema));
        }
    }

    #[test]
    fn a_model_without_schema_mode_calls_a_tool_and_what_is_no_object_stands_in_one() {
        let object = json!({ "type": "object", "properties": { "a": { "type": "string" } } });
        assert_eq!(held(&object, false), Held::Tool("answer", object.clone()));
        assert_eq!(answer_of("answer", json!({ "value": 1 })), json!({ "value": 1 }));

        let list = json!({
            "type": "array", "items": { "$ref": "#/$defs/n" }, "$defs": { "n": { "type": "number" } },
        });
        let input = json!({
            "type": "object",
            "properties": { "value": { "type": "array", "items": { "$ref": "#/$defs/n" } } },
            "required": ["value"],
            "$defs": { "n": { "type": "number" } },
        });
        assert_eq!(held(&list, false), Held::Tool("answer_value", input));
        assert_eq!(answer_of("answer_value", json!({ "value": [1] })), json!([1]));
        assert_eq!(answer_of("answer_value", json!({ "other": 1 })), json!({ "other": 1 }));
    }
}
