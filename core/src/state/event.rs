//! What can happen in a run.
//!
//! Events are written once and read for ever: a field may be added with a default, none
//! may change its meaning. They hold what decides, not what was computed: outputs stand in
//! the rows of the steps, questions in those of the approvals, and no state follows from
//! them.

use serde::{Deserialize, Serialize};

use crate::action::CallUsage;
use crate::content::ContentHash;
use crate::error::Failure;
use crate::store::RunStatus;
use crate::units::Money;

/// Something that happened, to the run or to one instance of a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// To the run.
    Run(RunEvent),
    /// To a step or an instance.
    Step(StepEvent),
}

/// Something that happened to a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RunEvent {
    /// It was started.
    Started {
        /// Hash of the definition.
        definition: ContentHash,
    },
    /// It was taken up again.
    Resumed {
        /// Hash of the definition it goes on with.
        definition: ContentHash,
    },
    /// Nothing is left to do before a person answers.
    Waiting,
    /// Its process was asked to stop.
    Interrupted,
    /// It ended.
    Finished {
        /// `succeeded`, `failed` or `cancelled`.
        status: RunStatus,
        /// Why it failed.
        error: Option<String>,
    },
}

/// Something that happened to a step, or to an instance of a `for_each` step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum StepEvent {
    /// Its items are known.
    Opened {
        /// How many; none where only reading them to the end tells.
        count: Option<u64>,
    },
    /// An attempt is about to act on the outside.
    Sent {
        /// From 1, over all resumes.
        attempt: u32,
        /// Identity of what is run.
        hash: ContentHash,
        /// Set aside from the budget.
        reserved: Option<Money>,
    },
    /// An attempt failed and another follows.
    AttemptFailed {
        /// From 1.
        attempt: u32,
        /// Why.
        failure: Failure,
        /// What the attempt took all the same.
        usage: Option<Box<CallUsage>>,
        /// Wait before the next, in milliseconds.
        retry_in_ms: u64,
    },
    /// An attempt has an answer that settles not all, and another follows for the rest.
    AttemptAnswered {
        /// From 1.
        attempt: u32,
        /// Identity of the question that it answers, which may be a part of what is run.
        hash: ContentHash,
        /// What the call took.
        usage: Option<Box<CallUsage>>,
    },
    /// An attempt was in flight when its process died.
    Lost {
        /// From 1.
        attempt: u32,
    },
    /// A person is asked.
    Asked {
        /// From 1.
        attempt: u32,
        /// Identity of what is asked.
        hash: ContentHash,
    },
    /// It is done.
    Succeeded {
        /// The attempt that did it; 0 where none was needed.
        attempt: u32,
        /// Identity of what was run; none for a step that only holds others.
        hash: Option<ContentHash>,
        /// What the call took.
        usage: Option<Box<CallUsage>>,
        /// Where the output comes from.
        origin: Origin,
    },
    /// It failed for good.
    Failed {
        /// The last attempt; 0 where none was made.
        attempt: u32,
        /// Why.
        failure: Failure,
        /// What the attempt took all the same.
        usage: Option<Box<CallUsage>>,
        /// Whether `on_error` takes it, so that those behind it run all the same.
        tolerated: bool,
        /// Identity of what was run; none where nothing came to be run.
        hash: Option<ContentHash>,
    },
    /// Its condition was false.
    Skipped,
    /// A step before it failed.
    Blocked {
        /// The step that failed.
        by: String,
    },
    /// The run ended before it did.
    Cancelled {
        /// The attempt that was stopped; 0 where none was made.
        attempt: u32,
    },
    /// It is to be run again: it failed, or what it does has changed.
    Reopened,
}

/// Where an output comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// It was run.
    Ran,
    /// The step cache knew it.
    Cache,
    /// A person gave it.
    Person,
}

impl RunEvent {
    /// The name it has in the store.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Started { .. } => "run_started",
            Self::Resumed { .. } => "run_resumed",
            Self::Waiting => "run_waiting",
            Self::Interrupted => "run_interrupted",
            Self::Finished { .. } => "run_finished",
        }
    }
}

impl StepEvent {
    /// The attempt it speaks of; 0 where it speaks of none.
    pub fn attempt(&self) -> u32 {
        match self {
            Self::Sent { attempt, .. }
            | Self::AttemptFailed { attempt, .. }
            | Self::AttemptAnswered { attempt, .. }
            | Self::Lost { attempt }
            | Self::Asked { attempt, .. }
            | Self::Succeeded { attempt, .. }
            | Self::Failed { attempt, .. }
            | Self::Cancelled { attempt } => *attempt,
            Self::Opened { .. } | Self::Skipped | Self::Blocked { .. } | Self::Reopened => 0,
        }
    }

    /// The name it has in the store.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Opened { .. } => "step_opened",
            Self::Sent { .. } => "attempt_sent",
            Self::AttemptFailed { .. } => "attempt_failed",
            Self::AttemptAnswered { .. } => "attempt_answered",
            Self::Lost { .. } => "attempt_lost",
            Self::Asked { .. } => "step_asked",
            Self::Succeeded { .. } => "step_succeeded",
            Self::Failed { .. } => "step_failed",
            Self::Skipped => "step_skipped",
            Self::Blocked { .. } => "step_blocked",
            Self::Cancelled { .. } => "step_cancelled",
            Self::Reopened => "step_reopened",
        }
    }
}
