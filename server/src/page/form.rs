//! Forms made of types: of a workflow's inputs, and of the JSON Schema of an answer.

use std::collections::HashMap;

use flow_core::ids::{InstancePath, RunId};
use flow_core::language::{Input, InputType};
use serde::Serialize;
use serde_json::{Map, Value};

use super::format::encoded;

/// How deep a schema becomes fields; what lies deeper is typed as JSON.
const DEEPEST: usize = 3;

/// What was typed into a form, by the names of its fields.
pub(super) type Typed = HashMap<String, String>;

/// A field of a form.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Field {
    /// Its name in what is posted.
    pub(super) name: String,
    /// Its id in the page.
    id: String,
    label: String,
    help: Option<String>,
    required: bool,
    control: Control,
}

/// What a field is filled in with.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
enum Control {
    Text { value: String },
    Long { value: String },
    Number { value: String, step: &'static str },
    Switch { on: bool },
    Choice { value: String, choices: Vec<String> },
    Files { accept: String, several: bool },
    Json { value: String },
    Group { fields: Vec<Field> },
}

/// Where a question of a run is answered.
pub(super) fn question_address(run: &RunId, path: &InstancePath) -> String {
    format!("/runs/{run}/approve?at={}", encoded(path.as_str()))
}

/// The fields of a workflow's inputs, filled in with what was typed or their defaults.
pub(super) fn of_inputs(inputs: &[Input], typed: Option<&Typed>) -> Vec<Field> {
    inputs.iter().enumerate().map(|(at, input)| of_input(at, input, typed)).collect()
}

fn of_input(at: usize, input: &Input, typed: Option<&Typed>) -> Field {
    let default = input.default.as_ref().map(text_of).unwrap_or_default();
    let value = typed.map_or(default, |typed| typed.get(&input.name).cloned().unwrap_or_default());
    let control = match &input.kind {
        InputType::String { choices } if choices.is_empty() => {
            if value.contains('\n') {
                Control::Long { value }
            } else {
                Control::Text { value }
            }
        }
        InputType::String { choices } => Control::Choice { value, choices: choices.clone() },
        InputType::Integer => Control::Number { value, step: "1" },
        InputType::Number => Control::Number { value, step: "any" },
        InputType::Boolean => Control::Switch { on: value == "true" },
        InputType::File { media } => Control::Files { accept: media.join(","), several: false },
        InputType::Files { media } => Control::Files { accept: media.join(","), several: true },
        InputType::Array | InputType::Json { .. } => Control::Json { value },
    };
    Field {
        name: input.name.clone(),
        id: format!("f{at}"),
        label: input.name.clone(),
        help: input.description.clone(),
        // A switch that is off is an answer.
        required: input.required && input.default.is_none() && input.kind != InputType::Boolean,
        control,
    }
}

/// What was sent for the inputs, as they are bound: a field that was left empty is not given,
/// and a switch that is off is not sent.
pub(super) fn inputs_of(inputs: &[Input], mut sent: Map<String, Value>) -> Map<String, Value> {
    sent.retain(|_, value| value.as_str() != Some(""));
    for input in inputs.iter().filter(|input| input.kind == InputType::Boolean) {
        sent.entry(input.name.clone()).or_insert(Value::Bool(false));
    }
    sent
}

/// The fields of a schema, filled in with what was typed or a value that is proposed.
pub(super) fn of_schema(schema: &Value, typed: Option<&Typed>, proposed: &Value) -> Vec<Field> {
    let mut numbers = 0;
    fields_of(schema, "", typed, proposed, 0, &mut numbers).unwrap_or_else(|| {
        let value = if proposed.is_null() { String::new() } else { format!("{proposed:#}") };
        let value = typed.map_or(value, |typed| typed.get("/").cloned().unwrap_or_default());
        vec![Field {
            name: "/".to_owned(),
            id: "s0".to_owned(),
            label: text_at(schema, "title").unwrap_or_else(|| "output".to_owned()),
            help: text_at(schema, "description"),
            required: true,
            control: control_of(schema, value),
        }]
    })
}

/// The fields of an object; none where the schema is of something else, or too deep.
fn fields_of(
    schema: &Value,
    prefix: &str,
    typed: Option<&Typed>,
    proposed: &Value,
    depth: usize,
    numbers: &mut usize,
) -> Option<Vec<Field>> {
    let properties = schema.get("properties")?.as_object()?;
    if depth >= DEEPEST || properties.is_empty() {
        return None;
    }
    let required = |name: &str| {
        let names = schema["required"].as_array().into_iter().flatten();
        names.filter_map(Value::as_str).any(|required| required == name)
    };
    let mut fields = Vec::new();
    for (key, schema) in properties {
        let name = format!("{prefix}/{}", key.replace('~', "~0").replace('/', "~1"));
        let proposed = &proposed[key];
        *numbers += 1;
        let id = format!("s{numbers}");
        let inner = fields_of(schema, &name, typed, proposed, depth + 1, numbers);
        let control = if let Some(fields) = inner {
            Control::Group { fields }
        } else {
            let value = typed.map_or_else(
                || text_of(proposed),
                |typed| typed.get(&name).cloned().unwrap_or_default(),
            );
            control_of(schema, value)
        };
        let required = required(key) && !matches!(control, Control::Switch { .. });
        let label = text_at(schema, "title").unwrap_or_else(|| key.clone());
        let help = text_at(schema, "description");
        fields.push(Field { name, id, label, help, required, control });
    }
    Some(fields)
}

fn control_of(schema: &Value, value: String) -> Control {
    if let Some(choices) = schema["enum"].as_array() {
        return Control::Choice { value, choices: choices.iter().map(text_of).collect() };
    }
    match kind(schema) {
        "string" if value.contains('\n') || value.len() > 80 => Control::Long { value },
        "string" => Control::Text { value },
        "integer" => Control::Number { value, step: "1" },
        "number" => Control::Number { value, step: "any" },
        "boolean" => Control::Switch { on: value == "true" },
        _ => Control::Json { value },
    }
}

/// The one type that a schema has besides null.
fn kind(schema: &Value) -> &str {
    match &schema["type"] {
        Value::String(kind) => kind,
        Value::Array(kinds) => {
            let mut kinds = kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null");
            match (kinds.next(), kinds.next()) {
                (Some(kind), None) => kind,
                _ => "",
            }
        }
        _ => "",
    }
}

/// What was typed into the fields of a schema, as a value. The error names the field.
pub(super) fn value_of(schema: &Value, typed: &Typed) -> Result<Value, String> {
    read(schema, "", typed, 0)
}

fn read(schema: &Value, name: &str, typed: &Typed, depth: usize) -> Result<Value, String> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let group = properties.filter(|properties| depth < DEEPEST && !properties.is_empty());
    let Some(properties) = group else {
        let field = if name.is_empty() { "/" } else { name };
        return read_field(schema, field, typed.get(field).map(String::as_str).unwrap_or_default());
    };
    let mut object = Map::new();
    for (key, schema) in properties {
        let name = format!("{name}/{}", key.replace('~', "~0").replace('/', "~1"));
        let value = read(schema, &name, typed, depth + 1)?;
        if !value.is_null() || allows_null(schema) {
            object.insert(key.clone(), value);
        }
    }
    Ok(Value::Object(object))
}

fn read_field(schema: &Value, name: &str, text: &str) -> Result<Value, String> {
    let shown = name.trim_start_matches('/').replace('/', ".");
    if let Some(choices) = schema["enum"].as_array() {
        let chosen = choices.iter().find(|choice| text_of(choice) == text);
        return match chosen {
            Some(choice) => Ok(choice.clone()),
            None if text.is_empty() => Ok(Value::Null),
            None => Err(format!("`{shown}` is none of the choices")),
        };
    }
    let number = || serde_json::from_str::<Value>(text.trim()).ok().filter(Value::is_number);
    match kind(schema) {
        "boolean" => Ok(Value::Bool(text == "true")),
        // A field that was left empty says nothing, where nothing can be said.
        "string" if text.is_empty() && allows_null(schema) => Ok(Value::Null),
        "string" => Ok(text.replace("\r\n", "\n").into()),
        _ if text.trim().is_empty() => Ok(Value::Null),
        "integer" | "number" => {
            number().ok_or_else(|| format!("`{shown}` must be a number, and `{text}` is not"))
        }
        _ => serde_json::from_str(text).map_err(|error| format!("`{shown}` is no JSON: {error}")),
    }
}

fn allows_null(schema: &Value) -> bool {
    match &schema["type"] {
        Value::String(kind) => kind == "null",
        Value::Array(kinds) => kinds.iter().any(|kind| kind == "null"),
        _ => false,
    }
}

fn text_at(schema: &Value, key: &str) -> Option<String> {
    schema[key].as_str().map(str::to_owned)
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(_) | Value::Object(_) => format!("{value:#}"),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn typed(pairs: &[(&str, &str)]) -> Typed {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    fn schema() -> Value {
        json!({
            "type": "object",
            "properties": {
                "number": { "type": "string" },
                "total": { "type": ["number", "null"] },
                "paid": { "type": "boolean" },
                "currency": { "enum": ["EUR", "USD"] },
                "seller": { "type": "object", "properties": { "a/b": { "type": "string" } } },
                "lines": { "type": "array" },
            },
            "required": ["number", "paid"],
        })
    }

    #[test]
    fn what_is_typed_has_the_types_of_the_schema() {
        let typed = typed(&[
            ("/number", "0012"),
            ("/total", "9.50"),
            ("/paid", "true"),
            ("/currency", "USD"),
            ("/seller/a~1b", "x"),
            ("/lines", "[1]"),
        ]);
        assert_eq!(
            value_of(&schema(), &typed),
            Ok(json!({ "number": "0012", "total": 9.50, "paid": true, "currency": "USD",
                "seller": { "a/b": "x" }, "lines": [1] }))
        );
    }

    #[test]
    fn what_is_left_empty_is_null_or_not_there() {
        let value = value_of(&schema(), &Typed::new()).unwrap();
        assert_eq!(
            value,
            json!({ "number": "", "total": null, "paid": false, "seller": { "a/b": "" } })
        );
    }

    #[test]
    fn what_does_not_fit_names_its_field() {
        let wrong = |name, text| value_of(&schema(), &typed(&[(name, text)])).unwrap_err();
        assert_eq!(wrong("/total", "much"), "`total` must be a number, and `much` is not");
        assert_eq!(wrong("/currency", "GBP"), "`currency` is none of the choices");
        assert!(wrong("/lines", "[1").starts_with("`lines` is no JSON: "));
    }

    #[test]
    fn a_field_is_filled_in_with_what_is_proposed() {
        let fields =
            of_schema(&schema(), None, &json!({ "number": "7", "seller": { "a/b": "y" } }));
        assert_eq!(fields[0].control, Control::Text { value: "7".into() });
        let Control::Group { fields: inner } = &fields[4].control else { panic!("a group") };
        assert_eq!(
            (inner[0].name.as_str(), &inner[0].control),
            ("/seller/a~1b", &Control::Text { value: "y".into() })
        );
        assert!(fields[0].required && !fields[2].required);
    }

    #[test]
    fn a_schema_of_no_object_is_one_field() {
        let fields = of_schema(&json!({ "type": "string" }), None, &Value::Null);
        assert_eq!(fields[0].name, "/");
        assert_eq!(value_of(&json!({ "type": "string" }), &typed(&[("/", "x")])), Ok(json!("x")));
    }
}
