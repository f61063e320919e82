//! Artifacts as values: how a file travels between steps.
//!
//! A step never sees a file's bytes in its input, only a [`ArtifactRef`]: an object with
//! the key `$artifact`. Whoever needs the bytes asks the artifact store for them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::content::ContentHash;

/// Points to a file in the artifact store, with what is known of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArtifactRef {
    /// Hash of the bytes, and so their place in the store.
    #[serde(rename = "$artifact")]
    pub hash: ContentHash,
    /// Media type read from the bytes, e.g. `image/png`.
    pub media_type: String,
    /// Name for people; the input file's name where there was one.
    pub name: String,
    /// Length in bytes.
    pub size: u64,
    /// Width in pixels, of an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Height in pixels, of an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Pixels an inch, of an image whose scale is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpi: Option<f32>,
    /// Ordinal of the page it shows, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<u32>,
}

impl ArtifactRef {
    /// Reads a value that is an artifact, if it is one.
    pub fn from_value(value: &Value) -> Option<Self> {
        value.get("$artifact")?;
        let artifact: Self = serde_json::from_value(value.clone()).ok()?;
        // A number that fits the JSON may be too large for the field.
        artifact.dpi.is_none_or(f32::is_finite).then_some(artifact)
    }

    /// The reference as a value of a step.
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("an artifact reference has string keys only")
    }
}

/// JSON Schema of an artifact as a value.
pub fn schema() -> Value {
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

/// Calls `visit` with each artifact that a value holds, however deep.
pub fn for_each_artifact(value: &Value, visit: &mut dyn FnMut(ArtifactRef)) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| for_each_artifact(item, visit)),
        Value::Object(map) => match ArtifactRef::from_value(value) {
            Some(artifact) => visit(artifact),
            None => visit_map(map, visit),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn visit_map(map: &Map<String, Value>, visit: &mut dyn FnMut(ArtifactRef)) {
    map.values().for_each(|value| for_each_artifact(value, visit));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolution_that_no_field_holds_is_no_artifact() {
        let hash = ContentHash::of_bytes(b"x").to_string();
        let value = |dpi: f64| json!({ "$artifact": hash, "media_type": "image/png", "name": "a", "size": 1, "dpi": dpi });
        assert_eq!(ArtifactRef::from_value(&value(1e39)), None);
        let artifact = ArtifactRef::from_value(&value(300.5)).unwrap();
        assert_eq!(artifact.to_value(), value(300.5));
    }
}
