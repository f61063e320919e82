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

/// Fills what is null in a map from another.
pub(super) struct Fill(ActionSpec);

impl Fill {
    pub(super) fn new() -> Self {
        let names = json!({ "type": "array", "items": { "type": "string" } });
        Self(ActionSpec {
            name: "value.fill",
            version: 1,
            summary: "Fills what is null in a map from another map, and says what was filled.",
            effect: Effect::Pure,
            cacheable: false,
            takes_model: false,
            input: json!({
                "type": "object",
                "properties": {
                    "value": { "type": "object", "description": "The map with gaps." },
                    "from": {
                        "type": ["object", "null"],
                        "description": "Where to fill them from; nothing is filled from null.",
                    },
                },
                "required": ["value", "from"],
                "additionalProperties": false,
            }),
            output: json!({
                "type": "object",
                "properties": {
                    "value": { "type": "object" },
                    "filled": names,
                    "missing": names,
                },
                "additionalProperties": false,
            }),
        })
    }
}

#[async_trait]
impl Action for Fill {
    fn spec(&self) -> &ActionSpec {
        &self.0
    }

    async fn run(&self, mut input: Value, _context: &StepContext) -> Result<Outcome, Failure> {
        let from = input["from"].take();
        let mut value = input["value"].take();
        let (mut filled, mut missing) = (Vec::new(), Vec::new());
        for (key, gap) in value.as_object_mut().into_iter().flatten().filter(|(_, v)| v.is_null()) {
            match from.get(key).filter(|found| !found.is_null()) {
                Some(found) => {
                    *gap = found.clone();
                    filled.push(key.clone());
                }
                None => missing.push(key.clone()),
            }
        }
        Ok(Outcome::Done(json!({ "value": value, "filled": filled, "missing": missing })))
    }
}
