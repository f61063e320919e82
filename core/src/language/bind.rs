//! Giving a workflow its inputs: from text as it is typed, or from JSON.

use serde_json::{Map, Value};

use super::suggest::closest;
use super::workflow::{Input, InputType, Workflow};

/// What is wrong with an input that was given, or was not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InputFault {
    /// What is wrong, naming the input.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Binds values to the inputs of a workflow, and fills in defaults.
///
/// A text given for an input of another type is read as that type. Files stay as they were
/// given: whoever starts the run takes them into the store.
pub fn bind_inputs(
    workflow: &Workflow,
    given: &Map<String, Value>,
) -> Result<Map<String, Value>, Vec<InputFault>> {
    let mut faults = Vec::new();
    for name in given.keys() {
        if !workflow.inputs.iter().any(|input| input.name == *name) {
            let names = || workflow.inputs.iter().map(|input| input.name.as_str());
            let hint = match closest(name, names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("its inputs are: {}", names().collect::<Vec<_>>().join(", ")),
            };
            let message = format!("workflow `{}` has no input `{name}`", workflow.name);
            faults.push(InputFault { message, hint: Some(hint) });
        }
    }
    let mut bound = Map::new();
    for input in &workflow.inputs {
        match value_of(input, given.get(&input.name)) {
            Ok(value) => {
                bound.insert(input.name.clone(), value);
            }
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(bound) } else { Err(faults) }
}

fn value_of(input: &Input, given: Option<&Value>) -> Result<Value, InputFault> {
    let Some(given) = given else {
        if let Some(default) = &input.default {
            return Ok(default.clone());
        }
        if !input.required {
            return Ok(Value::Null);
        }
        let message = format!("input `{}` is missing", input.name);
        let hint = Some(format!("give it by `--input {}=…`", input.name));
        return Err(InputFault { message, hint });
    };
    let value = from_text(&input.kind, given);
    fits(&input.kind, &value).map_err(|why| InputFault {
        message: format!("input `{}` {why}", input.name),
        hint: input.description.clone(),
    })?;
    Ok(value)
}

/// Reads a text as the type that is wanted; what is no text stays as it is.
fn from_text(kind: &InputType, given: &Value) -> Value {
    let Value::String(text) = given else {
        return given.clone();
    };
    let json = || serde_json::from_str(text).unwrap_or_else(|_| given.clone());
    match kind {
        InputType::String { .. } | InputType::File { .. } => given.clone(),
        InputType::Files { .. } => match json() {
            Value::Array(files) => Value::Array(files),
            _ => text.split(',').map(|part| Value::from(part.trim())).collect(),
        },
        InputType::Integer | InputType::Number | InputType::Boolean => match json() {
            Value::Array(_) | Value::Object(_) => given.clone(),
            scalar => scalar,
        },
        InputType::Array | InputType::Json { .. } => json(),
    }
}

/// Says why a value does not fit a type.
pub(super) fn fits(kind: &InputType, value: &Value) -> Result<(), String> {
    let is = |fits: bool, what: &str| {
        if fits { Ok(()) } else { Err(format!("must be {what}, and `{}` is not", shown(value))) }
    };
    let file = |value: &Value| value.is_string() || value.get("$artifact").is_some();
    match kind {
        InputType::String { choices } => {
            is(value.is_string(), "text")?;
            let known = choices.is_empty() || choices.iter().any(|choice| value == choice.as_str());
            is(known, &format!("one of {}", choices.join(", ")))
        }
        InputType::Integer => is(value.is_i64() || value.is_u64(), "a whole number"),
        InputType::Number => is(value.is_number(), "a number"),
        InputType::Boolean => is(value.is_boolean(), "`true` or `false`"),
        InputType::File { .. } => is(file(value), "a file"),
        InputType::Files { .. } => {
            is(value.as_array().is_some_and(|files| files.iter().all(file)), "a list of files")
        }
        InputType::Array => is(value.is_array(), "a list"),
        InputType::Json { schema } => match jsonschema::validator_for(schema) {
            Ok(validator) => validator
                .validate(value)
                .map_err(|error| format!("does not fit its schema: {error}")),
            Err(_) => Ok(()),
        },
    }
}

fn shown(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if text.chars().count() <= 60 { text } else { text.chars().take(60).chain(['…']).collect() }
}
