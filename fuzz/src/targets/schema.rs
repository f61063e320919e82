//! A schema and a value for it, both from anybody, as an input of a workflow.

use flow_core::language::{Severity, bind_inputs};
use serde_json::{Map, Value, json};

use super::yaml::checked;

/// The bytes are a JSON Schema on the first line, and the value of the input behind it.
pub(super) fn schema(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (schema, given) = text.split_once('\n').unwrap_or((text, "{}"));
    // JSON is YAML, and what is none is for the checker to say.
    let file = format!(
        "inputs:\n\
         \x20 x: {{type: json, required: false, schema: {schema}}}\n\
         \x20 s: {{type: string, enum: [a, b]}}\n\
         \x20 n: number\n\
         \x20 i: integer\n\
         \x20 b: boolean\n\
         \x20 f: file\n\
         \x20 l: files\n\
         \x20 a: array\n\
         steps: [{{id: s, uses: value.set, with: {{value: 1}}}}]\n"
    );
    let checked = checked(file.as_bytes());
    let Some(workflow) = checked.workflow else {
        let is_json = serde_json::from_str::<Value>(schema).is_ok();
        let faults = &checked.diagnostics;
        let mut errors = faults.iter().filter(|fault| fault.severity == Severity::Error);
        assert!(!is_json || errors.all(|fault| fault.line == 2), "{faults}");
        return;
    };
    let mut values: Map<String, Value> = workflow
        .inputs
        .iter()
        .map(|input| (input.name.clone(), Value::String(given.to_owned())))
        .collect();
    bound(&workflow, &values);
    if let Ok(Value::Object(object)) = serde_json::from_str(given) {
        bound(&workflow, &object);
    }
    for (name, value) in [("s", json!("a")), ("n", json!(0.5)), ("i", json!(3)), ("b", json!(true))]
    {
        values.insert(name.into(), value);
    }
    values.extend([("f".into(), json!("a.pdf")), ("a".into(), json!([]))]);
    bound(&workflow, &values);
}

/// Asserts that values are bound to exactly the inputs, or that a fault says why not.
fn bound(workflow: &flow_core::language::Workflow, values: &Map<String, Value>) {
    match bind_inputs(workflow, values) {
        Ok(bound) => {
            let names = workflow.inputs.iter().map(|input| &input.name);
            assert!(names.eq(bound.keys()), "{bound:?}");
        }
        Err(faults) => {
            assert!(!faults.is_empty());
            assert!(faults.iter().all(|fault| !fault.message.is_empty()));
        }
    }
}
