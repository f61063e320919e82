//! The language: from YAML to a [`Workflow`] that can run.
//!
//! A file is parsed into a [`Document`], a tree in which every value knows its place; the
//! document is checked into a [`Workflow`], and every fault found on the way is reported
//! together as [`Diagnostics`]. Only a `Workflow` runs. Nothing here touches network,
//! environment or keys; files that a workflow refers to come through [`Files`].

mod workflow;

pub use workflow::{
    Block, Budget, Cron, ForEach, Input, InputType, MissedTicks, ModelChoice, OnError, OnLost,
    Overlap, Policy, ProviderConfig, Retry, Step, Trigger, Work, Workflow,
};

mod suggest;

pub use suggest::closest;

use serde_json::{Map, Value};

/// A stand-in until the checker lands.
pub fn bind_inputs(_workflow: &Workflow, given: &Map<String, Value>) -> Result<Map<String, Value>, Vec<String>> {
    Ok(given.clone())
}
