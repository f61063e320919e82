//! A JSON Schema as Gemini takes it.
//!
//! It takes JSON Schema as it is (`responseJsonSchema`) and reads part of it. What it would
//! misread is put in words that it knows: a constant is a choice of one, and a reference stands
//! alone. What it passes over is checked afterwards, as every answer is.

use serde_json::{Map, Value, json};

/// The schema as it is sent.
pub(super) fn sent(schema: &Value) -> Value {
    match schema {
        Value::Object(all) => {
            if let Some(reference) = all.get("$ref") {
                let mut alone = Map::from_iter([("$ref".to_owned(), reference.clone())]);
                // Only what begins with a dollar may stand beside a reference.
                let definitions = all.get("$defs").map(each);
                alone.extend(definitions.map(|defs| ("$defs".to_owned(), defs)));
                return Value::Object(alone);
            }
            let fields = all.iter().filter(|(key, _)| *key != "$schema");
            Value::Object(fields.map(|(key, value)| field(key, value)).collect())
        }
        other => other.clone(),
    }
}

/// What a model without a schema mode is told of the schema.
pub(super) fn in_words(schema: &Value) -> String {
    format!("Answer with JSON and nothing else. It must fit this JSON Schema:\n{schema}")
}

fn field(key: &str, value: &Value) -> (String, Value) {
    match key {
        "const" => ("enum".to_owned(), json!([value])),
        "properties" | "$defs" | "definitions" | "patternProperties" => {
            (key.to_owned(), each(value))
        }
        "items" | "additionalProperties" | "not" => (key.to_owned(), sent(value)),
        "anyOf" | "oneOf" | "allOf" | "prefixItems" => {
            let all = value.as_array().map(|all| all.iter().map(sent).collect());
            (key.to_owned(), all.unwrap_or_else(|| value.clone()))
        }
        _ => (key.to_owned(), value.clone()),
    }
}

fn each(schemas: &Value) -> Value {
    match schemas {
        Value::Object(all) => {
            Value::Object(all.iter().map(|(name, schema)| (name.clone(), sent(schema))).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_is_a_choice_of_one_and_a_reference_stands_alone() {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "const": { "const": "invoice" },
                "part": { "$ref": "#/$defs/part", "description": "x" },
                "more": { "type": "array", "items": { "anyOf": [{ "const": 1 }, { "type": "null" }] } },
            },
            "required": ["const"],
            "additionalProperties": false,
            "$defs": { "part": { "type": "string", "maxLength": 4 } },
        });
        let expected = json!({
            "type": "object",
            "properties": {
                "const": { "enum": ["invoice"] },
                "part": { "$ref": "#/$defs/part" },
                "more": { "type": "array", "items": { "anyOf": [{ "enum": [1] }, { "type": "null" }] } },
            },
            "required": ["const"],
            "additionalProperties": false,
            "$defs": { "part": { "type": "string", "maxLength": 4 } },
        });
        assert_eq!(sent(&schema), expected);
    }
}
