//! What a watcher of a run is told while it happens.

use crate::error::Failure;
use crate::ids::InstancePath;
use crate::store::{RunStatus, StepStatus};
use crate::units::Money;

/// Where something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// The path in the store.
    pub path: InstancePath,
    /// The same for people: items by their position, from 1, instead of by their identity.
    pub shown: String,
}

/// Something a watcher may want to show. A step's end is told once it is durable.
#[derive(Clone, Debug)]
pub enum Progress {
    /// A step or an instance began.
    Began {
        /// Where.
        at: At,
        /// What it uses; none for a step that only holds others.
        action: Option<String>,
    },
    /// The items of a loop are known.
    Opened {
        /// Where.
        at: At,
        /// How many; none where only reading them to the end tells.
        count: Option<u64>,
    },
    /// An attempt failed and another follows.
    Retrying {
        /// Where.
        at: At,
        /// Why.
        failure: Failure,
        /// Wait in milliseconds.
        wait_ms: u64,
    },
    /// A step or an instance is settled.
    Settled {
        /// Where.
        at: At,
        /// How.
        status: StepStatus,
        /// Whether nothing had to be done: it was done before, or the step cache knew.
        reused: bool,
        /// Why it failed.
        failure: Option<Failure>,
        /// What it cost.
        cost: Option<Money>,
    },
    /// A line of a step's log.
    Line {
        /// Where.
        at: At,
        /// The text.
        text: String,
    },
    /// Text that a step's model writes, as it comes; a retry begins anew.
    Text {
        /// Where.
        at: At,
        /// The next piece.
        text: String,
    },
    /// The run stands otherwise.
    Run(RunStatus),
}

/// Watches a run. Called from the driver: it must return soon.
pub trait Observer: Send + Sync {
    /// Takes what happened.
    fn progress(&self, progress: &Progress);
}

impl Observer for () {
    fn progress(&self, _progress: &Progress) {}
}
