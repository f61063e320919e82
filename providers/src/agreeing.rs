//! Whether two models agree: what of an answer is open, and which values are the same.
//!
//! A field is settled by the page itself where every value of it stands there, and is surely read.
//! All else is open: what stands nowhere, what is hard to read, what is null, and what nobody can
//! look for, such as a choice or a summary. Values are the same whatever form they are written
//! in; where a form leaves two readings, they are not.

use flow_core::agreement::{Agreement, Doubt};
use flow_core::error::Failure;
use serde_json::{Map, Value, json};

use crate::documents::same_value;
use crate::generate::Generate;

/// The confidence from which on a value that stands on the page is sure.
const SURE: f64 = 0.8;

/// Keywords of a schema that hold for some of its properties as well as for all.
const KEPT: &[&str] =
    &["type", "additionalProperties", "$defs", "definitions", "$schema", "description", "title"];

impl Agreement for Generate {
    fn doubts(
        &self,
        input: &Value,
        answer: &Value,
        known: Option<&Value>,
        on: &[String],
    ) -> Result<Vec<Doubt>, Failure> {
        let Some(properties) = input["schema"]["properties"].as_object() else {
            return Err(Failure::input("`agree` needs a `schema` of the answer with `properties`"));
        };
        if let Some(field) = on.iter().find(|field| !properties.contains_key(*field)) {
            let names: Vec<_> = properties.keys().map(String::as_str).collect();
            return Err(Failure::input(format!("`agree`: the answer has no field `{field}`"))
                .with_hint(format!("its fields are: {}", names.join(", "))));
        }
        let grounding = known.map(|known| &known["grounding"]).filter(|places| !places.is_null());
        let doubt = |field: &String| {
            let why = why_open(field, &answer[field.as_str()], grounding)?;
            Some(Doubt { field: field.clone(), why })
        };
        Ok(on.iter().filter_map(doubt).collect())
    }

    fn narrowed(&self, input: &Value, fields: &[String]) -> Value {
        let mut narrowed = input.clone();
        narrowed["schema"] = only(&input["schema"], fields);
        let names: Vec<_> = fields.iter().map(|field| format!("`{field}`")).collect();
        let told = format!("Of what is asked, answer nothing but {}.", names.join(", "));
        let system =
            input["system"].as_str().map(|system| format!("{}\n\n{told}", system.trim_end()));
        narrowed["system"] = system.unwrap_or(told).into();
        narrowed
    }

    fn same(&self, one: &Value, other: &Value) -> bool {
        same_value(one, other)
    }

    fn corrected(&self, mut known: Value, fields: &[String]) -> Value {
        let of_field = |path: &str| fields.iter().any(|field| is_within(path, field));
        if let Some(Value::Object(values)) = known.pointer_mut("/grounding/values") {
            values.retain(|path, _| !of_field(path));
        }
        if let Some(Value::Array(paths)) = known.pointer_mut("/grounding/ungrounded") {
            paths.retain(|path| !path.as_str().is_some_and(of_field));
        }
        known
    }
}

/// Why a field is open; none where the page settles it.
fn why_open(field: &str, value: &Value, grounding: Option<&Value>) -> Option<&'static str> {
    if value.is_null() {
        return Some("null");
    }
    let Some(grounding) = grounding else { return Some("no pages") };
    let mut nowhere = grounding["ungrounded"].as_array().into_iter().flatten();
    if nowhere.any(|path| path.as_str().is_some_and(|path| is_within(path, field))) {
        return Some("ungrounded");
    }
    let places = grounding["values"].as_object().into_iter().flatten();
    let sure = places
        .filter(|(path, _)| is_within(path, field))
        .map(|(_, place)| place["confidence"].as_f64().unwrap_or(0.0))
        .reduce(f64::min);
    match sure {
        Some(sure) if sure >= SURE => None,
        Some(_) => Some("unsure"),
        None => Some("not looked for"),
    }
}

/// Whether a place in an answer, such as `lines.0.amount`, is that of a field or within it.
fn is_within(path: &str, field: &str) -> bool {
    path.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// A schema for some of its properties alone.
fn only(schema: &Value, fields: &[String]) -> Value {
    let mut narrow: Map<String, Value> = Map::new();
    for (key, value) in schema.as_object().into_iter().flatten() {
        if KEPT.contains(&key.as_str()) {
            narrow.insert(key.clone(), value.clone());
        }
    }
    let properties: Map<_, _> = fields
        .iter()
        .filter_map(|field| Some((field.clone(), schema["properties"].get(field)?.clone())))
        .collect();
    narrow.insert("properties".into(), properties.into());
    narrow.insert("required".into(), json!(fields));
    Value::Object(narrow)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grounding(confidence: f64) -> Value {
        json!({
            "values": { "total": { "confidence": confidence }, "totals": { "confidence": 0.1 } },
            "ungrounded": ["lines.1.amount"],
        })
    }

    #[test]
    fn a_field_is_open_until_the_page_settles_it() {
        let (sure, unsure) = (grounding(0.97), grounding(0.7));
        for (field, value, places, why) in [
            ("total", json!(5), Some(&sure), None),
            ("total", json!(5), Some(&unsure), Some("unsure")),
            ("total", json!(null), Some(&sure), Some("null")),
            ("total", json!(5), None, Some("no pages")),
            ("lines", json!([{}, {}]), Some(&sure), Some("ungrounded")),
            ("kind", json!("invoice"), Some(&sure), Some("not looked for")),
        ] {
            assert_eq!(why_open(field, &value, places), why, "{field} {value}");
        }
    }

    #[test]
    fn a_narrowed_schema_says_nothing_of_the_other_fields() {
        let schema = json!({
            "type": "object",
            "properties": { "total": { "$ref": "#/$defs/money" }, "date": {}, "note": {} },
            "required": ["total", "date"],
            "allOf": [{ "required": ["note"] }],
            "minProperties": 3,
            "additionalProperties": false,
            "$defs": { "money": { "type": "number" } },
        });
        let expected = json!({
            "type": "object",
            "properties": { "total": { "$ref": "#/$defs/money" } },
            "required": ["total"],
            "additionalProperties": false,
            "$defs": { "money": { "type": "number" } },
        });
        assert_eq!(only(&schema, &["total".into()]), expected);
    }
}
