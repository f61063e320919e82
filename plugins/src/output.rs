//! What a step gave back, as a value of the workflow.
//!
//! `{"$part": N}` becomes part N: a text, or a file. A file that a value names must be one that
//! the call was given or made: the hash of another would open it to whoever sees the output.

use flow_core::artifact::ArtifactRef;
use serde_json::Value;

use crate::bindings::content::{Body, Part};
use crate::fault::CallFault;
use crate::host::Guest;

/// How deep a value may nest.
const DEEPEST: usize = 100;

/// Reads an output.
///
/// Dropping the future leaves at most files in the store that nothing names.
pub(crate) async fn read(
    guest: &mut Guest,
    value: &str,
    parts: Vec<Part>,
) -> Result<Value, CallFault> {
    guest.count_output(value.len())?;
    let mut value: Value = serde_json::from_str(value)
        .map_err(|error| CallFault::Output(format!("its output is no JSON: {error}")))?;
    let mut values = Vec::new();
    for part in parts {
        values.push(part_value(guest, part).await?);
    }
    settle(&mut value, &values, &guest.files.known, 0)?;
    Ok(value)
}

async fn part_value(guest: &mut Guest, part: Part) -> Result<Value, CallFault> {
    match part.body {
        Body::Text(text) => {
            guest.count_output(text.len())?;
            Ok(Value::String(text))
        }
        Body::Bytes(bytes) => {
            guest.count_output(bytes.len())?;
            guest.used.made += bytes.len() as u64;
            let name = part.name.unwrap_or_else(|| "part".into());
            let Some(intake) = &guest.files.intake else {
                return Err(CallFault::Output("there are no files here".into()));
            };
            let kept = intake.keep(bytes, &name).await;
            let kept = kept.map_err(|failure| CallFault::Sandbox(failure.message))?;
            Ok(remember(guest, kept))
        }
        Body::Artifact(file) => {
            let artifact = guest.table.get(&file).map(|file| file.artifact.clone());
            let artifact = artifact
                .map_err(|error| CallFault::Output(format!("a file of its output: {error}")))?;
            Ok(remember(guest, artifact))
        }
    }
}

fn remember(guest: &mut Guest, artifact: ArtifactRef) -> Value {
    let value = artifact.to_value();
    guest.files.known.push(artifact);
    value
}

/// Puts parts in their places, and completes what is known of the files that are named.
fn settle(
    value: &mut Value,
    parts: &[Value],
    known: &[ArtifactRef],
    depth: usize,
) -> Result<(), CallFault> {
    if depth > DEEPEST {
        return Err(CallFault::Output(format!("its output nests deeper than {DEEPEST} levels")));
    }
    match value {
        Value::Array(items) => {
            items.iter_mut().try_for_each(|item| settle(item, parts, known, depth + 1))
        }
        Value::Object(map) => {
            if let Some(number) = map.get("$part") {
                let part = number.as_u64().and_then(|number| parts.get(number as usize));
                let Some(part) = part else {
                    return Err(CallFault::Output(format!("its output has no part {number}")));
                };
                *value = part.clone();
                return Ok(());
            }
            if let Some(hash) = map.get("$artifact") {
                let named = hash.as_str().unwrap_or_default();
                let file = known.iter().find(|file| file.hash.to_string() == named);
                let Some(file) = file else {
                    return Err(CallFault::Output(format!(
                        "its output names a file that it was not given: {hash}"
                    )));
                };
                *value = file.to_value();
                return Ok(());
            }
            map.values_mut().try_for_each(|item| settle(item, parts, known, depth + 1))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}
