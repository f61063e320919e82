//! Fields of a service's own, which a request passes through.

use serde_json::{Map, Value};

/// Lays fields over a body: they win over what is there, null takes one out, and an object is
/// completed rather than replaced, so that `output_config: {effort: low}` leaves the schema of
/// the answer where it is.
pub(crate) fn overlay<'o>(
    body: &mut Map<String, Value>,
    options: impl IntoIterator<Item = (&'o String, &'o Value)>,
) {
    for (key, value) in options {
        match (body.get_mut(key), value) {
            (_, Value::Null) => _ = body.shift_remove(key),
            (Some(Value::Object(under)), Value::Object(over)) if is_more(under, over) => {
                overlay(under, over);
            }
            (_, value) => _ = body.insert(key.clone(), value.clone()),
        }
    }
}

/// Whether an object says more of the same thing: one of another `type` is another thing.
fn is_more(under: &Map<String, Value>, over: &Map<String, Value>) -> bool {
    over.get("type").is_none_or(|kind| under.get("type") == Some(kind))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    #[test]
    fn options_win_objects_are_completed_and_null_takes_out() {
        let mut body = json!({ "max_tokens": 1, "config": { "a": 1, "b": { "c": 2 } }, "x": 1, "f": { "type": "a", "a": 1 } });
        let options: BTreeMap<String, Value> = serde_json::from_value(json!({
            "max_tokens": 2, "config": { "b": { "d": 3 } }, "tags": ["x"], "x": null, "y": null,
            "f": { "type": "b" },
        }))
        .unwrap();
        overlay(body.as_object_mut().unwrap(), &options);
        let expected = json!({
            "max_tokens": 2, "config": { "a": 1, "b": { "c": 2, "d": 3 } }, "tags": ["x"],
            "f": { "type": "b" },
        });
        assert_eq!(body, expected);
    }
}
