//! The inputs that a trigger computes from what came.

use flow_core::engine::Program;
use flow_core::language::{InputType, bind_inputs};
use flow_core::template::{Scope, Template};
use serde_json::{Map, Value};

/// Renders the inputs of a trigger; empty where none are written. The error says why it fails.
pub(super) fn rendered(
    inputs: Option<&Template>,
    scope: &Scope,
) -> Result<Map<String, Value>, String> {
    let Some(template) = inputs else { return Ok(Map::new()) };
    match template.render(scope) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err("the inputs are no map".to_owned()),
        Err(error) => Err(error.message),
    }
}

/// Binds what was given to a workflow's inputs. The error names each that does not fit.
///
/// A path that came from elsewhere is no path of the owner's: an input of type `file` is given
/// as the file wrote it, or as a file of the store where `files` says so.
pub(super) fn bound(
    program: &Program,
    inputs: Option<&Template>,
    given: &Map<String, Value>,
    files: bool,
) -> Result<Map<String, Value>, String> {
    for input in &program.workflow.inputs {
        let is_file = matches!(input.kind, InputType::File { .. } | InputType::Files { .. });
        let Some(value) = given.get(&input.name).filter(|value| is_file && !value.is_null()) else {
            continue;
        };
        let may = is_written(inputs, &input.name) || (files && is_stored(value));
        if !may {
            return Err(format!("input `{}` is a file, which cannot be named here", input.name));
        }
    }
    bind_inputs(&program.workflow, given).map_err(|faults| {
        let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
        faults.join("; ")
    })
}

/// Whether an input is given by the workflow's file itself.
fn is_written(inputs: Option<&Template>, name: &str) -> bool {
    match inputs {
        Some(Template::Literal(value)) => value.get(name).is_some(),
        Some(Template::Map(entries)) => {
            entries.iter().any(|(key, value)| key == name && matches!(value, Template::Literal(_)))
        }
        Some(Template::Expression(_) | Template::Text(_) | Template::List(_)) | None => false,
    }
}

fn is_stored(value: &Value) -> bool {
    match value {
        Value::Array(files) => files.iter().all(is_stored),
        one => one.get("$artifact").is_some(),
    }
}
