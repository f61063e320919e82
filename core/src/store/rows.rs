//! The rows of the store: the events that happened, and the read model made of them.
//!
//! A [`Batch`] holds what one turn of the engine wrote: events and the rows that follow
//! from them, committed together or not at all.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::action::Speed;
use crate::content::ContentHash;
use crate::error::ErrorClass;
use crate::ids::{InstancePath, RunId};
use crate::units::Money;

macro_rules! statuses {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident => $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$vdoc])* $variant,)*
        }

        impl $name {
            /// The name used in the store and in output.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// Reads the name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($text => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

statuses! {
    /// How a run stands.
    RunStatus {
        /// A process drives it, or drove it when it died.
        Running => "running",
        /// Nothing is left to do before a person answers.
        Waiting => "waiting",
        /// It was interrupted and can be resumed.
        Interrupted => "interrupted",
        /// Every step is settled and none failed for good.
        Succeeded => "succeeded",
        /// A step failed for good.
        Failed => "failed",
        /// Somebody stopped it.
        Cancelled => "cancelled",
    }
}

impl RunStatus {
    /// Whether the run came to its end, so that taking it up again is to try again.
    pub fn has_ended(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Cancelled => true,
            Self::Running | Self::Waiting | Self::Interrupted => false,
        }
    }
}

statuses! {
    /// How a step, or an instance of a `for_each` step, stands.
    StepStatus {
        /// It works, or worked when the process died.
        Running => "running",
        /// It waits for its next attempt.
        Retrying => "retrying",
        /// It waits for a person.
        Waiting => "waiting",
        /// It is done.
        Succeeded => "succeeded",
        /// It failed for good.
        Failed => "failed",
        /// Its condition was false.
        Skipped => "skipped",
        /// A step before it failed.
        Blocked => "blocked",
        /// The run ended before it did.
        Cancelled => "cancelled",
    }
}

statuses! {
    /// How an attempt stands.
    AttemptStatus {
        /// It was sent and has not ended as far as is known.
        Sent => "sent",
        /// It yielded an output.
        Succeeded => "succeeded",
        /// It failed.
        Failed => "failed",
        /// It was in flight when the process died: nobody knows whether it was done.
        Lost => "lost",
        /// It was stopped.
        Cancelled => "cancelled",
    }
}

/// Something that happened in a run. Never changed once written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventRow {
    /// The run.
    pub run: RunId,
    /// Place in the run's history, from 1, without a gap.
    pub seq: u64,
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// The instance it happened to; none for the run itself.
    pub path: Option<InstancePath>,
    /// Name of the event, e.g. `step_succeeded`.
    pub kind: String,
    /// The event, as JSON.
    pub body: Value,
}

/// A run, as it stands. Written whole: a later row replaces the earlier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRow {
    /// Its id.
    pub id: RunId,
    /// Name of the workflow.
    pub workflow: String,
    /// Hash of the definition it runs (key of the table of definitions).
    pub definition: ContentHash,
    /// How it stands.
    pub status: RunStatus,
    /// The values it was started with, files as artifacts.
    pub inputs: Value,
    /// What it yielded.
    pub outputs: Option<Value>,
    /// Why it failed.
    pub error: Option<String>,
    /// What it spent; the sum of what is known.
    pub cost: Money,
    /// Whether a call of unknown price, or one that may have been paid, is in it.
    pub cost_uncertain: bool,
    /// When it started, in milliseconds since 1970.
    pub started: i64,
    /// When it ended.
    pub ended: Option<i64>,
}

/// What a run spent so far, booked without writing the run anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CostRow {
    /// The run.
    pub run: RunId,
    /// What it spent; the sum of what is known.
    pub cost: Money,
    /// Whether a call of unknown price, or one that may have been paid, is in it.
    pub uncertain: bool,
}

/// A step or an instance, as it stands. Written whole: a later row replaces the earlier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRow {
    /// The run.
    pub run: RunId,
    /// Its path, unique in the run.
    pub path: InstancePath,
    /// Path of the `for_each` step it is an instance of, or of the instance whose body it
    /// is in; none at the top.
    pub parent: Option<InstancePath>,
    /// Id of the step in the workflow.
    pub step: String,
    /// Position of the item, from 0, of an instance.
    pub ordinal: Option<u64>,
    /// How it stands.
    pub status: StepStatus,
    /// Hash of its definition and resolved input; none before it is known.
    pub hash: Option<ContentHash>,
    /// What it yielded. A large value is a reference into the artifact store.
    pub output: Option<Value>,
    /// What `steps.X.meta` shows.
    pub meta: Option<Value>,
    /// Class of the failure.
    pub error_class: Option<ErrorClass>,
    /// The failure, for people.
    pub error: Option<String>,
    /// Attempts so far.
    pub attempts: u32,
    /// Whether the output came from an earlier run through the step cache.
    pub cached: bool,
    /// When it started, in milliseconds since 1970.
    pub started: Option<i64>,
    /// When it was settled.
    pub ended: Option<i64>,
}

/// One try at a step instance. Written whole: a later row replaces the earlier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptRow {
    /// The run.
    pub run: RunId,
    /// The instance.
    pub path: InstancePath,
    /// From 1, over all resumes of the run.
    pub number: u32,
    /// How it stands.
    pub status: AttemptStatus,
    /// Who was asked.
    pub provider: Option<String>,
    /// The model that was asked.
    pub model: Option<String>,
    /// Class of the failure.
    pub error_class: Option<ErrorClass>,
    /// The failure, for people.
    pub error: Option<String>,
    /// Tokens read.
    pub input_tokens: Option<u64>,
    /// Tokens written.
    pub output_tokens: Option<u64>,
    /// What it cost; none where nobody knows.
    pub cost: Option<Money>,
    /// What was set aside for it before it was sent.
    pub reserved: Option<Money>,
    /// How long it took, in milliseconds.
    pub latency_ms: Option<i64>,
    /// The provider's id of the request.
    pub request_id: Option<String>,
    /// The raw reply, an artifact.
    pub raw: Option<Value>,
    /// When it started, in milliseconds since 1970.
    pub started: i64,
    /// When it ended.
    pub ended: Option<i64>,
    /// Whether it goes by a batch of its service.
    #[serde(default)]
    pub batch: bool,
    /// How fast a model of this machine was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<Speed>,
    /// The plugin that was called, what it was granted and what it used.
    #[serde(default)]
    pub plugin: Option<Value>,
}

/// A question to a person. Written whole: a later row replaces the earlier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApprovalRow {
    /// The run.
    pub run: RunId,
    /// The instance that asks.
    pub path: InstancePath,
    /// What the person is shown.
    pub show: Value,
    /// When it was asked, in milliseconds since 1970.
    pub asked: i64,
    /// When it was answered.
    pub answered: Option<i64>,
    /// The answer: `true` approves.
    pub approved: Option<bool>,
    /// What the person wrote beside it.
    pub comment: Option<String>,
    /// The output that the person gave for the step, where it asks for one.
    pub output: Option<Value>,
}

impl ApprovalRow {
    /// The JSON Schema of the output that is asked for; none where only a yes or a no is.
    pub fn output_schema(&self) -> Option<&Value> {
        self.show.get("output_schema")
    }
}

/// An output that later runs may use again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CacheRow {
    /// Hash of the step's definition and resolved input.
    pub hash: ContentHash,
    /// The output.
    pub output: Value,
    /// What `steps.X.meta` shows.
    pub meta: Option<Value>,
    /// The run it comes from; none where that was pruned.
    pub run: Option<RunId>,
    /// When it was last of use, to the day, in milliseconds since 1970.
    pub at: i64,
}

/// A line that a step wrote about its work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogRow {
    /// The run.
    pub run: RunId,
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// The instance that wrote it; none for the run itself.
    pub path: Option<InstancePath>,
    /// The attempt that wrote it.
    pub attempt: Option<u32>,
    /// What it wrote.
    pub line: String,
}

/// What one turn of the engine wrote, committed together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// What happened.
    pub events: Vec<EventRow>,
    /// Runs that changed.
    pub runs: Vec<RunRow>,
    /// Runs that spent something and did not change otherwise, each once.
    pub costs: Vec<CostRow>,
    /// Steps that changed.
    pub steps: Vec<StepRow>,
    /// Attempts that changed.
    pub attempts: Vec<AttemptRow>,
    /// Questions that changed.
    pub approvals: Vec<ApprovalRow>,
    /// Outputs for later runs.
    pub cache: Vec<CacheRow>,
    /// Lines that steps wrote.
    pub logs: Vec<LogRow>,
}
