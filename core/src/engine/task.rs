//! A task as an action: a question to a model, and what is computed from the answer.
//!
//! What it asks is made before, so that all that holds of `model.generate` (budgets, turns,
//! retries, batches, cassettes) is decided by that action and none of it here.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use crate::action::{Action, ActionSpec, Admission, Outcome, Quote, StepContext};
use crate::agreement::Agreement;
use crate::error::Failure;
use crate::language::Task;

/// Asks by another action, and completes the answer.
pub(crate) struct TaskAction {
    pub(crate) task: Arc<Task>,
    pub(crate) asks_by: Arc<dyn Action>,
    /// The step's own input.
    pub(crate) given: Value,
}

#[async_trait]
impl Action for TaskAction {
    fn spec(&self) -> &ActionSpec {
        self.asks_by.spec()
    }

    fn effect(&self, input: &Value) -> crate::action::Effect {
        self.asks_by.effect(input)
    }

    fn quote(&self, input: &Value, context: &StepContext) -> Quote {
        self.asks_by.quote(input, context)
    }

    async fn admit(&self, input: &Value, context: &StepContext) -> Result<Admission, Failure> {
        self.asks_by.admit(input, context).await
    }

    fn usual_timeout(&self, input: &Value) -> Duration {
        self.task.timeout.unwrap_or_else(|| self.asks_by.usual_timeout(input))
    }

    fn asks_again(&self) -> bool {
        self.asks_by.asks_again()
    }

    fn goes_by_batch(&self, input: &Value, context: &StepContext) -> bool {
        self.asks_by.goes_by_batch(input, context)
    }

    fn agreement(&self) -> Option<&dyn Agreement> {
        self.asks_by.agreement()
    }

    fn completed(&self, answer: Value) -> Result<Value, Failure> {
        self.task.completed(&self.given, answer)
    }

    async fn run(&self, input: Value, context: &StepContext) -> Result<Outcome, Failure> {
        match self.asks_by.run(input, context).await? {
            Outcome::Done(answer) => Ok(Outcome::Done(self.completed(answer)?)),
            Outcome::Wait { show } => Ok(Outcome::Wait { show }),
        }
    }
}
