//! `extract.fields`: finds the values that a schema asks for among the words of pages.

use async_trait::async_trait;
use flow_core::action::{Action, ActionSpec, Effect, Outcome, StepContext};
use flow_core::error::Failure;
use serde_json::{Value, json};

use super::blocking;
use crate::documents::{Page, extract};
use crate::grounding;

/// Finds values.
pub(super) struct Extract(ActionSpec);

impl Extract {
    pub(super) fn new() -> Self {
        Self(ActionSpec {
            name: "extract.fields",
            version: 1,
            summary: "Finds the values that a schema asks for, each with the place it was read from.",
            effect: Effect::Pure,
            cacheable: true,
            takes_model: false,
            input: json!({
                "type": "object",
                "properties": {
                    "pages": { "type": "array", "description": "Pages with words." },
                    "schema": { "x-schema": true, "description": "JSON Schema of what is asked for." },
                },
                "required": ["pages", "schema"],
                "additionalProperties": false,
            }),
            output: output_schema(&json!(true)),
        })
    }
}

fn output_schema(fields: &Value) -> Value {
    json!({
        "type": "object",
        "properties": {
            "fields": fields,
            "evidence": { "type": "object" },
            "missing": { "type": "array", "items": { "type": "string" } },
            "warnings": { "type": "array", "items": { "type": "string" } },
        },
        "additionalProperties": false,
    })
}

#[async_trait]
impl Action for Extract {
    fn spec(&self) -> &ActionSpec {
        &self.0
    }

    fn output_schema(&self, with: &Value) -> Value {
        match &with["schema"] {
            schema @ Value::Object(_) => output_schema(schema),
            _ => output_schema(&json!(true)),
        }
    }

    async fn run(&self, mut input: Value, context: &StepContext) -> Result<Outcome, Failure> {
        let drawn = grounding::drawn(&input["pages"]);
        let pages: Vec<Page> = serde_json::from_value(input["pages"].take()).map_err(|error| {
            Failure::input(format!("`pages` are not pages: {error}"))
                .with_hint("give the output of `document.text`, one a page")
        })?;
        let schema = input["schema"].take();
        let found = blocking(move || {
            extract(&pages, &schema).map_err(|error| Failure::input(format!("`schema`: {error}")))
        });
        let found = found.await?;
        let places = json!({ "values": found.evidence, "ungrounded": [], "pages": drawn });
        context.usage.note_meta(json!({ "grounding": places }));
        Ok(Outcome::Done(serde_json::to_value(found).unwrap_or_default()))
    }
}
