//! The files that an input names, taken in where its schema takes files.

use std::path::Path;

use flow_core::intake::Intake;
use flow_core::plugin::PluginFault;
use serde_json::Value;

use super::said;

/// Replaces paths by artifacts where the schema takes files. Paths are relative to `folder`.
///
/// Dropping the future leaves at most files in the store that nothing names.
pub(super) async fn take(
    schema: &Value,
    input: &mut Value,
    folder: &Path,
    intake: &Intake,
) -> Result<(), PluginFault> {
    match input {
        Value::String(path) if schema["x-file"] == true => {
            let taken = intake.take(path, &folder.join(&*path)).await;
            *input = taken.map_err(|failure| said(failure.message))?.to_value();
        }
        Value::Array(items) => {
            let schema = if schema["x-file"] == true { schema } else { &schema["items"] };
            for item in items {
                Box::pin(take(schema, item, folder, intake)).await?;
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                Box::pin(take(&schema["properties"][key], value, folder, intake)).await?;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    Ok(())
}
