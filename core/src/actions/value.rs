//! `value.set`: gives a value a name.

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::action::{Action, ActionSpec, Effect, Outcome, StepContext};
use crate::error::Failure;

/// Yields its `value`.
pub(super) struct Set(ActionSpec);

impl Set {
    pub(super) fn new() -> Self {
        Self(ActionSpec {
            name: "value.set",
            version: 1,
            summary: "Yields a value, for steps behind it to refer to.",
            effect: Effect::Pure,
            cacheable: false,
            takes_model: false,
            input: json!({
                "type": "object",
                "properties": { "value": { "description": "The value." } },
                "required": ["value"],
                "additionalProperties": false,
            }),
            output: json!({ "x-same-as": "value" }),
        })
    }
}

#[async_trait]
impl Action for Set {
    fn spec(&self) -> &ActionSpec {
        &self.0
    }

    async fn run(&self, mut input: Value, _context: &StepContext) -> Result<Outcome, Failure> {
        Ok(Outcome::Done(input["value"].take()))
    }
}
