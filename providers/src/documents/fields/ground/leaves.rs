//! The values of an answer that were read from somewhere, by what its schema says.

use serde_json::Value;

/// The most levels that a schema's references are followed.
const DEEPEST: usize = 32;

/// A text or a number in an answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Leaf<'a> {
    /// Its place, e.g. `lines.0.amount`.
    pub(super) path: String,
    /// The row of a list that it is part of, if it is.
    pub(super) row: Option<String>,
    pub(super) value: &'a Value,
    /// Whether the schema says that it is a date.
    pub(super) is_date: bool,
}

/// The values to look for, at most so many, in the order of the answer.
pub(super) fn leaves<'a>(answer: &'a Value, schema: &Value, most: usize) -> Vec<Leaf<'a>> {
    let mut walk = Walk { root: schema, most, found: Vec::new() };
    walk.value(answer, &[schema], String::new(), None);
    walk.found
}

struct Walk<'s, 'a> {
    root: &'s Value,
    most: usize,
    found: Vec<Leaf<'a>>,
}

impl<'s, 'a> Walk<'s, 'a> {
    /// `schemas` are those that speak of the value.
    fn value(&mut self, value: &'a Value, schemas: &[&'s Value], path: String, row: Option<&str>) {
        let mut all = Vec::new();
        for schema in schemas {
            self.meant(schema, 0, &mut all);
        }
        if all.iter().any(|schema| schema["x-grounded"] == false) || self.found.len() >= self.most {
            return;
        }
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::String(text) if text.trim().is_empty() => {}
            Value::String(_) | Value::Number(_) => {
                let listed =
                    |schema: &&Value| schema.get("enum").is_some() || schema.get("const").is_some();
                if !all.iter().any(listed) {
                    let is_date = all.iter().any(|schema| schema["format"] == "date");
                    let row = row.map(str::to_owned);
                    self.found.push(Leaf { path, row, value, is_date });
                }
            }
            Value::Array(items) => {
                let of_items: Vec<_> =
                    all.iter().filter_map(|schema| schema.get("items")).collect();
                for (at, item) in items.iter().enumerate() {
                    let path = joined(&path, &at.to_string());
                    let row = path.clone();
                    self.value(item, &of_items, path, Some(&row));
                }
            }
            Value::Object(fields) => {
                for (name, field) in fields {
                    let of_field: Vec<_> = all
                        .iter()
                        .filter_map(|schema| {
                            let own = schema.get("properties").and_then(|own| own.get(name));
                            own.or_else(|| schema.get("additionalProperties"))
                        })
                        .collect();
                    self.value(field, &of_field, joined(&path, name), row);
                }
            }
        }
    }

    /// A schema and all that it refers to or is put together from.
    fn meant(&self, schema: &'s Value, depth: usize, into: &mut Vec<&'s Value>) {
        if depth > DEEPEST || into.iter().any(|known| std::ptr::eq(*known, schema)) {
            return;
        }
        into.push(schema);
        let reference = schema.get("$ref").and_then(Value::as_str);
        let place = reference.and_then(|place| place.strip_prefix('#'));
        if let Some(meant) = place.and_then(|place| self.root.pointer(place)) {
            self.meant(meant, depth + 1, into);
        }
        for key in ["anyOf", "oneOf", "allOf"] {
            for part in schema.get(key).and_then(Value::as_array).into_iter().flatten() {
                self.meant(part, depth + 1, into);
            }
        }
    }
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_read_is_looked_for_and_what_was_chosen_or_composed_is_not() {
        let schema = json!({
            "type": "object",
            "properties": {
                "kind": { "enum": ["invoice", "other"] },
                "summary": { "type": "string", "x-grounded": false },
                "date": { "anyOf": [{ "type": "string", "format": "date" }, { "type": "null" }] },
                "paid": { "type": "boolean" },
                "lines": { "type": "array", "items": { "$ref": "#/$defs/line" } },
            },
            "$defs": { "line": { "properties": { "amount": { "type": "number" } } } },
        });
        let answer = json!({
            "kind": "invoice", "summary": "A bill.", "date": "2026-11-24", "paid": true, "note": null,
            "lines": [{ "amount": 5, "more": { "code": "A" } }], "empty": " ",
        });
        let found = leaves(&answer, &schema, 100);
        let short: Vec<_> =
            found.iter().map(|l| (l.path.as_str(), l.row.as_deref(), l.is_date)).collect();
        let row = Some("lines.0");
        let expected = [
            ("date", None, true),
            ("lines.0.amount", row, false),
            ("lines.0.more.code", row, false),
        ];
        assert_eq!(short, expected);
        assert_eq!(leaves(&answer, &schema, 1).len(), 1);
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let own = json!({ "$ref": "#" });
        let schema = json!({ "anyOf": vec![own; 40], "properties": { "a": { "$ref": "#" } } });
        assert_eq!(leaves(&json!({ "a": { "a": "b" } }), &schema, 9)[0].path, "a.a");
    }
}
