//! The language: from YAML to a [`Workflow`] that can run.
//!
//! ```text
//!   bytes ── parse ──▶ document ── check ──▶ Workflow
//!                      (values that          (references resolved, policies merged,
//!                       know their place)     sub-workflows embedded)
//!                            └────▶ Diagnostics: every fault, with place, line and hint
//! ```
//!
//! Only a `Workflow` runs. Nothing here touches network, environment or keys; files that a
//! workflow refers to come through [`Files`], and every text that was read is kept in a
//! [`Bundle`], from which a run can be checked again wherever it is resumed.

mod bind;
mod check;
mod cron;
mod diagnostic;
mod document;
mod keys;
mod parse;
mod schema;
mod suggest;
mod task;
mod workflow;

pub use bind::{InputFault, bind_inputs};
pub use check::{
    Bundle, Checked, Environment, Files, Instead, KnownProviders, check, check_bundle, task,
    user_providers,
};
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use schema::json_schema;
pub use suggest::closest;
pub(crate) use task::ASKS_BY;
pub use task::Task;
pub use workflow::{
    Agree, Block, Budget, Cron, ForEach, Input, InputType, MissedTicks, ModelChoice, OnError,
    OnLost, Overlap, Policy, Proof, ProofKind, ProviderConfig, Retry, Step, Trigger, Work,
    Workflow,
};
