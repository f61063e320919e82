//! What a plugin says of itself by `meta.describe`.
//!
//! It comes from a stranger, so that nothing of it is taken at its word: a schema must be one
//! and hold no reference to elsewhere, names are names, texts are short. Unknown keys are left
//! alone: a later 0.1.x may say more.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::inspect::Kind;
use crate::policy::{Capabilities, Limits, PolicyFault};

/// The most bytes of a description.
pub(crate) const LARGEST: usize = 256 << 10;

/// The most characters of a summary.
const SUMMARY: usize = 200;

/// What a plugin says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Descriptor {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// One line for people.
    pub summary: String,
    /// JSON Schema of its input; of a provider, of nothing.
    pub input: Value,
    /// JSON Schema of its output.
    pub output: Value,
    /// JSON Schema of its settings.
    pub config: Value,
    /// What it asks to do.
    pub capabilities: Capabilities,
    /// How much it asks to use.
    pub limits: Limits,
    /// What the models of a provider take.
    pub takes: Takes,
}

/// What the models of a provider take besides text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Takes {
    /// Images.
    pub images: bool,
    /// PDF documents.
    pub documents: bool,
    /// Video.
    pub video: bool,
    /// Sound.
    pub audio: bool,
    /// Whether answers are held to a JSON Schema.
    pub schema: bool,
}

/// What is wrong with a description.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DescriptorFault {
    /// It is too large.
    #[error("it is larger than {LARGEST} bytes")]
    TooLarge,
    /// It is no JSON object.
    #[error("it is no JSON object: {0}")]
    Json(String),
    /// A key has a wrong value, or none.
    #[error("`{key}` {why}")]
    Key {
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// What it asks for is wrong.
    #[error(transparent)]
    Policy(#[from] PolicyFault),
}

impl Descriptor {
    /// Reads a description of a plugin of this kind.
    pub fn read(text: &str, kind: Kind) -> Result<Self, DescriptorFault> {
        if text.len() > LARGEST {
            return Err(DescriptorFault::TooLarge);
        }
        let value: Value =
            serde_json::from_str(text).map_err(|error| DescriptorFault::Json(error.to_string()))?;
        if !value.is_object() {
            return Err(DescriptorFault::Json("it is another value".into()));
        }
        let text = |key: &'static str| match value.get(key) {
            Some(Value::String(text)) if !text.is_empty() && text.len() <= 128 => Ok(text.clone()),
            Some(_) => Err(fault(key, "is a short text")),
            None => Err(fault(key, "is missing")),
        };
        if let Some(said) = value["kind"].as_str()
            && said != kind.to_string()
        {
            return Err(fault("kind", &format!("says `{said}`, and it exports `{kind}`")));
        }
        let summary: String = value["summary"]
            .as_str()
            .unwrap_or_default()
            .chars()
            .filter(|c| !c.is_control())
            .take(SUMMARY)
            .collect();
        let capabilities = match value.get("capabilities") {
            None | Some(Value::Null) => Capabilities::default(),
            Some(asked) => Capabilities::read(asked, "capabilities")?,
        };
        let limits = match value.get("limits") {
            None | Some(Value::Null) => Limits::USUAL,
            Some(asked) => Limits::read(asked, Limits::USUAL)?,
        };
        let takes = match value.get("takes") {
            None | Some(Value::Null) => Takes::default(),
            Some(takes) => serde_json::from_value(takes.clone())
                .map_err(|error| fault("takes", &format!("is wrong: {error}")))?,
        };
        Ok(Self {
            name: text("name")?,
            version: text("version")?,
            summary,
            input: schema(&value, "input", json!({ "type": "object" }))?,
            output: schema(&value, "output", json!(true))?,
            config: schema(&value, "config", json!({ "type": "object" }))?,
            capabilities,
            limits,
            takes,
        })
    }
}

/// The schema under a key, or what stands for one that is not given.
fn schema(value: &Value, key: &'static str, usual: Value) -> Result<Value, DescriptorFault> {
    let Some(schema) = value.get(key).filter(|schema| !schema.is_null()) else { return Ok(usual) };
    if refers_elsewhere(schema, 0) {
        return Err(fault(key, "refers to a schema elsewhere, or nests too deep"));
    }
    jsonschema::validator_for(schema)
        .map_err(|error| fault(key, &format!("is no JSON Schema: {error}")))?;
    if key == "input" && !matches!(schema["type"].as_str(), Some("object")) {
        return Err(fault(key, "is a schema of `type: object`: it describes `with`"));
    }
    Ok(schema.clone())
}

/// Whether a schema names another document. None is ever fetched.
fn refers_elsewhere(schema: &Value, depth: usize) -> bool {
    if depth > 64 {
        return true;
    }
    match schema {
        Value::Array(items) => items.iter().any(|item| refers_elsewhere(item, depth + 1)),
        Value::Object(map) => map.iter().any(|(key, value)| {
            let reference = matches!(key.as_str(), "$ref" | "$dynamicRef");
            let elsewhere = |text: &str| reference && !text.starts_with('#');
            value.as_str().is_some_and(elsewhere) || refers_elsewhere(value, depth + 1)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn fault(key: &'static str, why: &str) -> DescriptorFault {
    DescriptorFault::Key { key, why: why.to_owned() }
}
