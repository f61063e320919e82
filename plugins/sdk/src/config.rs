//! Settings of the workflow, read by the types that the plugin wants.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::bindings::base::flow::plugin::config;
use crate::{Error, Result, glue};

/// Reads the settings.
///
/// The host hands a text over as it is and anything else as JSON text: which of them one is, the
/// schema says.
pub(crate) fn read<C: DeserializeOwned + JsonSchema>() -> Result<C> {
    let schema = glue::schema_of::<C>();
    let empty = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&empty);
    let mut given = Map::new();
    for (key, wanted) in properties {
        let Some(text) = config::get(key) else { continue };
        let value = match serde_json::from_str(&text) {
            Ok(value) if !takes_text(wanted) => value,
            Ok(_) | Err(_) => Value::String(text),
        };
        given.insert(key.clone(), value);
    }
    serde_json::from_value(Value::Object(given)).map_err(|error| Error::config(error.to_string()))
}

fn takes_text(schema: &Value) -> bool {
    match &schema["type"] {
        Value::String(name) => name == "string",
        Value::Array(names) => names.iter().any(|name| name == "string"),
        _ => schema.get("enum").is_some(),
    }
}
