//! `human.approve`: waits until a person says yes or no.

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::action::{Action, ActionSpec, Effect, Outcome, StepContext};
use crate::error::Failure;

/// Asks a person.
pub(super) struct Approve(ActionSpec);

impl Approve {
    pub(super) fn new() -> Self {
        Self(ActionSpec {
            name: "human.approve",
            version: 1,
            summary: "Waits for a person; a no fails the step.",
            effect: Effect::Idempotent,
            cacheable: false,
            takes_model: false,
            input: json!({
                "type": "object",
                "properties": {
                    "show": { "description": "What the person is shown." },
                    "question": { "type": "string", "description": "What the person is asked." },
                },
                "required": ["show"],
                "additionalProperties": false,
            }),
            output: json!({
                "type": "object",
                "properties": {
                    "approved": { "type": "boolean" },
                    "comment": { "type": ["string", "null"] },
                },
                "additionalProperties": false,
            }),
        })
    }
}

#[async_trait]
impl Action for Approve {
    fn spec(&self) -> &ActionSpec {
        &self.0
    }

    async fn run(&self, input: Value, _context: &StepContext) -> Result<Outcome, Failure> {
        Ok(Outcome::Wait { show: input })
    }
}
