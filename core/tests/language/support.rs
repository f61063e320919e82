//! Actions to check against, files in memory, and the shape in which faults are compared.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use flow_core::action::{Action, ActionRegistry, ActionSpec, Effect, Outcome, StepContext};
use flow_core::error::Failure;
use flow_core::language::{
    Checked, Diagnostic, Environment, Files, Instead, KnownProviders, Severity, Workflow, check,
};
use serde_json::{Value, json};

pub(crate) const KINDS: [&str; 1] = ["command"];

struct Memory<'f>(&'f [(&'f str, &'f str)]);

impl Files for Memory<'_> {
    fn read(&self, path: &str) -> Result<String, String> {
        let found = self.0.iter().find(|(name, _)| *name == path);
        found
            .map_or_else(|| Err("there is no such file".into()), |(_, text)| Ok((*text).to_owned()))
    }
}

struct Fake(ActionSpec);

#[async_trait]
impl Action for Fake {
    fn spec(&self) -> &ActionSpec {
        &self.0
    }

    async fn run(&self, input: Value, _: &StepContext) -> Result<Outcome, Failure> {
        Ok(Outcome::Done(input))
    }
}

fn fake(name: &'static str, takes_model: bool, input: Value, output: Value) -> Arc<Fake> {
    Arc::new(Fake(ActionSpec {
        name,
        version: 1,
        summary: "For tests.",
        effect: Effect::Pure,
        cacheable: true,
        takes_model,
        input,
        output,
    }))
}

/// Actions of the usual shapes: any value, a file with options, a model with a schema.
pub(crate) fn actions() -> ActionRegistry {
    let page = json!({
        "type": "object",
        "properties": {
            "number": { "type": "integer" },
            "image": { "type": "object" },
            "text": { "type": "string" },
        },
        "additionalProperties": false,
    });
    let mut registry = ActionRegistry::default();
    registry.add(fake(
        "value.set",
        false,
        json!({
            "type": "object",
            "properties": { "value": { "description": "The value." } },
            "required": ["value"],
            "additionalProperties": false,
        }),
        json!({ "x-same-as": "value" }),
    ));
    registry.add(fake(
        "document.pages",
        false,
        json!({
            "type": "object",
            "properties": {
                "file": { "type": ["string", "object"], "x-file": true },
                "dpi": { "type": "integer", "minimum": 36, "maximum": 600 },
                "mode": { "type": "string", "enum": ["fast", "exact"] },
            },
            "required": ["file"],
            "additionalProperties": false,
        }),
        json!({
            "type": "object",
            "properties": { "pages": { "type": "array", "items": page } },
            "additionalProperties": false,
        }),
    ));
    registry.add(fake(
        "document.ocr",
        false,
        json!({
            "type": "object",
            "properties": { "image": { "x-file": true } },
            "required": ["image"],
            "additionalProperties": false,
        }),
        json!({
            "type": "object",
            "properties": { "text": { "type": "string" }, "words": { "type": "array" } },
            "additionalProperties": false,
        }),
    ));
    registry.add(fake(
        "model.generate",
        true,
        json!({
            "type": "object",
            "properties": {
                "prompt": { "type": "string" },
                "schema": { "type": ["object", "boolean"], "x-schema": true },
                "options": { "type": "object" },
                "ground": { "type": "array" },
            },
            "required": ["prompt"],
            "additionalProperties": false,
        }),
        json!(true),
    ));
    registry.add_task("caption", CAPTION);
    registry
}

/// A task that is built in.
const CAPTION: &str = "\
name: caption
version: 1
summary: Says what an image shows.
needs: [images]
input: {properties: {image: {x-file: true}, words: {type: integer, default: 20}}, required: [image]}
content:
  - image: '{{ input.image }}'
  - text: 'Say in {{ input.words }} words what it shows.'
output: {type: object, properties: {caption: {type: string}}, additionalProperties: false}
";

/// Checks a file beside others, with models that replace those it names.
pub(crate) fn check_with(bytes: &[u8], files: &[(&str, &str)], models: &[(&str, &str)]) -> Checked {
    let owned = |(name, model): &(&str, &str)| ((*name).to_owned(), (*model).to_owned());
    let models: BTreeMap<String, String> = models.iter().map(owned).collect();
    let environment = Environment {
        actions: &actions(),
        providers: &KnownProviders { kinds: &KINDS, ..KnownProviders::default() },
        files: &Memory(files),
        instead: &Instead { models, ..Instead::default() },
    };
    check("w.yaml", bytes, environment)
}

pub(crate) fn check_text(text: &str) -> Checked {
    check_with(text.as_bytes(), &[], &[])
}

/// The workflow of a file without any fault.
pub(crate) fn good(text: &str) -> Arc<Workflow> {
    workflow(check_text(text))
}

pub(crate) fn workflow(checked: Checked) -> Arc<Workflow> {
    assert_eq!(checked.diagnostics.to_string(), "");
    checked.workflow.expect("a file without fault is a workflow")
}

/// A fault on one line: `line:column message; hint`, with `warning` before a warning.
pub(crate) fn line_of(fault: &Diagnostic) -> String {
    let file = match fault.file.as_str() {
        "w.yaml" => String::new(),
        other => format!("{other}:"),
    };
    let severity = match fault.severity {
        Severity::Error => "",
        Severity::Warning => "warning ",
    };
    let hint = fault.hint.as_deref().map(|hint| format!("; {hint}"));
    let (line, column, message) = (fault.line, fault.column, &fault.message);
    let hint = hint.unwrap_or_default();
    format!("{file}{line}:{column} {severity}{message}{hint}")
}

pub(crate) fn lines_of(checked: &Checked) -> Vec<String> {
    checked.diagnostics.iter().map(line_of).collect()
}

/// A sentence, a file and its faults. `STEPS` stands for a line with one good step.
pub(crate) type Row = (&'static str, &'static str, &'static [&'static str]);

pub(crate) fn check_rows(rows: &[Row]) {
    const STEPS: &str = "steps: [{id: a, uses: value.set, with: {value: 1}}]";
    let wrong: Vec<_> = rows
        .iter()
        .filter_map(|(name, text, expected)| {
            let checked = check_text(&text.replace("STEPS", STEPS));
            let found = lines_of(&checked);
            let runs = checked.workflow.is_some() != checked.diagnostics.has_errors();
            (found != *expected || !runs).then(|| format!("{name}:\n{}", found.join("\n")))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
