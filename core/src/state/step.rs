//! The state of one step instance, and the one function that changes it.

use crate::content::ContentHash;
use crate::state::event::StepEvent;
use crate::store::{StepRow, StepStatus};

/// How an instance stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepState {
    /// Nothing is under way. `attempts` were made in earlier lives of the run.
    Idle {
        /// Attempts so far.
        attempts: u32,
    },
    /// It holds other steps, and they are under way.
    Open {
        /// Attempts so far, from when the file said that it makes some itself.
        attempts: u32,
    },
    /// An attempt may have acted.
    Working {
        /// Its number.
        attempt: u32,
        /// Identity of what is run.
        hash: ContentHash,
    },
    /// An attempt failed or settled not all, another will follow.
    Retrying {
        /// Attempts so far.
        attempts: u32,
    },
    /// A person was asked.
    Waiting {
        /// Attempts so far.
        attempts: u32,
        /// Identity of what was asked.
        hash: ContentHash,
    },
    /// It is done.
    Succeeded {
        /// Attempts so far.
        attempts: u32,
        /// Identity of what was run; none for a step that only holds others.
        hash: Option<ContentHash>,
    },
    /// It failed for good.
    Failed {
        /// Attempts so far.
        attempts: u32,
        /// Identity of what was run; none where nothing came to be run.
        hash: Option<ContentHash>,
    },
    /// Its condition was false.
    Skipped {
        /// Attempts so far.
        attempts: u32,
    },
    /// A step before it failed.
    Blocked {
        /// Attempts so far.
        attempts: u32,
    },
    /// The run ended before it did.
    Cancelled {
        /// Attempts so far.
        attempts: u32,
    },
}

/// Says that an event does not fit the state it met.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{event}` cannot happen to what is {state}")]
pub struct IllegalTransition {
    /// Name of the state.
    pub state: &'static str,
    /// Name of the event.
    pub event: &'static str,
}

impl StepState {
    /// What nothing has happened to yet.
    pub const NEW: Self = Self::Idle { attempts: 0 };

    /// The state after an event. Changes nothing else, asks nothing else.
    pub fn apply(&self, event: &StepEvent) -> Result<Self, IllegalTransition> {
        let (attempts, open) = (self.attempts(), self.is_open());
        let next = match event {
            StepEvent::Opened { .. } if open => Self::Open { attempts },
            StepEvent::Sent { attempt, hash, .. } if self.may_send() && self.is_next(*attempt) => {
                Self::Working { attempt: *attempt, hash: *hash }
            }
            StepEvent::AttemptFailed { attempt, .. }
            | StepEvent::AttemptAnswered { attempt, .. }
                if self.ends(*attempt) =>
            {
                Self::Retrying { attempts: *attempt }
            }
            StepEvent::Lost { attempt } if self.is_sent(*attempt) => {
                Self::Idle { attempts: *attempt }
            }
            StepEvent::Asked { attempt, hash, .. } if self.ends(*attempt) => {
                Self::Waiting { attempts: *attempt, hash: *hash }
            }
            StepEvent::Succeeded { attempt, hash, .. } if self.may_close(*attempt) => {
                Self::Succeeded { attempts: attempts.max(*attempt), hash: *hash }
            }
            StepEvent::Failed { attempt, hash, .. } if self.may_close(*attempt) => {
                Self::Failed { attempts: attempts.max(*attempt), hash: *hash }
            }
            StepEvent::Skipped if open => Self::Skipped { attempts },
            StepEvent::Blocked { .. } if open => Self::Blocked { attempts },
            StepEvent::Cancelled { attempt } if self.may_close(*attempt) => {
                Self::Cancelled { attempts: attempts.max(*attempt) }
            }
            StepEvent::Reopened if !matches!(self, Self::Working { .. }) => Self::Idle { attempts },
            StepEvent::Opened { .. }
            | StepEvent::Sent { .. }
            | StepEvent::AttemptFailed { .. }
            | StepEvent::AttemptAnswered { .. }
            | StepEvent::Lost { .. }
            | StepEvent::Asked { .. }
            | StepEvent::Succeeded { .. }
            | StepEvent::Failed { .. }
            | StepEvent::Skipped
            | StepEvent::Blocked { .. }
            | StepEvent::Cancelled { .. }
            | StepEvent::Reopened => {
                return Err(IllegalTransition { state: self.name(), event: event.kind() });
            }
        };
        Ok(next)
    }

    /// Attempts made so far, over all lives of the run.
    pub fn attempts(&self) -> u32 {
        match self {
            Self::Working { attempt, .. } => *attempt,
            Self::Idle { attempts }
            | Self::Open { attempts }
            | Self::Retrying { attempts }
            | Self::Waiting { attempts, .. }
            | Self::Succeeded { attempts, .. }
            | Self::Failed { attempts, .. }
            | Self::Skipped { attempts }
            | Self::Blocked { attempts }
            | Self::Cancelled { attempts } => *attempts,
        }
    }

    /// Whether it is not settled yet.
    pub fn is_open(&self) -> bool {
        match self {
            Self::Idle { .. }
            | Self::Open { .. }
            | Self::Working { .. }
            | Self::Retrying { .. }
            | Self::Waiting { .. } => true,
            Self::Succeeded { .. }
            | Self::Failed { .. }
            | Self::Skipped { .. }
            | Self::Blocked { .. }
            | Self::Cancelled { .. } => false,
        }
    }

    /// The status the read model shows.
    pub fn status(&self) -> StepStatus {
        match self {
            Self::Idle { .. } | Self::Open { .. } | Self::Working { .. } => StepStatus::Running,
            Self::Retrying { .. } => StepStatus::Retrying,
            Self::Waiting { .. } => StepStatus::Waiting,
            Self::Succeeded { .. } => StepStatus::Succeeded,
            Self::Failed { .. } => StepStatus::Failed,
            Self::Skipped { .. } => StepStatus::Skipped,
            Self::Blocked { .. } => StepStatus::Blocked,
            Self::Cancelled { .. } => StepStatus::Cancelled,
        }
    }

    /// The state that a row of the read model was made from.
    pub fn of_row(row: &StepRow) -> Self {
        let attempts = row.attempts;
        match (row.status, row.hash) {
            (StepStatus::Running, Some(hash)) if attempts > 0 => {
                Self::Working { attempt: attempts, hash }
            }
            // What lost its attempt tells so; what holds others has nothing to tell.
            (StepStatus::Running, None) if row.error.is_none() => Self::Open { attempts },
            (StepStatus::Running, _) | (StepStatus::Waiting, None) => Self::Idle { attempts },
            (StepStatus::Retrying, _) => Self::Retrying { attempts },
            (StepStatus::Waiting, Some(hash)) => Self::Waiting { attempts, hash },
            (StepStatus::Succeeded, hash) => Self::Succeeded { attempts, hash },
            (StepStatus::Failed, hash) => Self::Failed { attempts, hash },
            (StepStatus::Skipped, _) => Self::Skipped { attempts },
            (StepStatus::Blocked, _) => Self::Blocked { attempts },
            (StepStatus::Cancelled, _) => Self::Cancelled { attempts },
        }
    }

    /// Whether an attempt may begin. What waits is attempted again where a person allows it
    /// or what was asked has changed.
    fn may_send(&self) -> bool {
        matches!(self, Self::Idle { .. } | Self::Retrying { .. } | Self::Waiting { .. })
    }

    fn is_sent(&self, attempt: u32) -> bool {
        matches!(self, Self::Working { attempt: sent, .. } if *sent == attempt)
    }

    /// Whether `attempt` may end now: it was sent, or it needed no sending.
    fn ends(&self, attempt: u32) -> bool {
        self.is_sent(attempt) || (self.may_send() && self.is_next(attempt))
    }

    /// Whether `attempt` follows those there were; behind the last number none does.
    fn is_next(&self, attempt: u32) -> bool {
        self.attempts().checked_add(1) == Some(attempt)
    }

    /// Whether an end that speaks of `attempt` (0: of none) may come now: an attempt ends once.
    fn may_close(&self, attempt: u32) -> bool {
        self.is_open() && (attempt == 0 || self.ends(attempt))
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Idle { .. } => "idle",
            Self::Open { .. } => "open",
            Self::Working { .. } => "working",
            Self::Retrying { .. } => "retrying",
            Self::Waiting { .. } => "waiting",
            Self::Succeeded { .. } => "succeeded",
            Self::Failed { .. } => "failed",
            Self::Skipped { .. } => "skipped",
            Self::Blocked { .. } => "blocked",
            Self::Cancelled { .. } => "cancelled",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::Failure;
    use crate::state::event::Origin;

    fn events() -> impl Strategy<Value = StepEvent> {
        let hash = ContentHash::of_bytes(b"x");
        (0u32..6, 0usize..12).prop_map(move |(attempt, kind)| match kind {
            0 => StepEvent::Opened { count: None },
            1 => StepEvent::Sent { attempt, hash, reserved: None },
            2 => StepEvent::AttemptFailed {
                attempt,
                failure: Failure::internal("x"),
                usage: None,
                retry_in_ms: 0,
            },
            3 => StepEvent::Lost { attempt },
            4 => StepEvent::Asked { attempt, hash },
            5 => {
                StepEvent::Succeeded { attempt, hash: Some(hash), usage: None, origin: Origin::Ran }
            }
            6 => StepEvent::Failed {
                attempt,
                failure: Failure::internal("x"),
                usage: None,
                tolerated: false,
                hash: Some(hash),
            },
            7 => StepEvent::Skipped,
            8 => StepEvent::Blocked { by: "x".into() },
            9 => StepEvent::Cancelled { attempt },
            10 => StepEvent::AttemptAnswered { attempt, hash, usage: None },
            _ => StepEvent::Reopened,
        })
    }

    proptest! {
        #[test]
        fn no_history_loses_an_attempt_or_changes_what_is_settled(
            history in prop::collection::vec(events(), 0..60),
        ) {
            let mut state = StepState::NEW;
            for event in history {
                let Ok(next) = state.apply(&event) else { continue };
                if !state.is_open() {
                    prop_assert_eq!(&event, &StepEvent::Reopened, "{:?} was settled", state);
                }
                prop_assert!(next.attempts() >= state.attempts(), "{:?} then {:?}", state, next);
                if let StepEvent::Sent { attempt, .. } = event {
                    prop_assert_eq!(attempt, state.attempts() + 1);
                }
                state = next;
            }
        }
    }

    #[test]
    fn behind_the_last_number_there_is_no_attempt() {
        let hash = ContentHash::of_bytes(b"x");
        let full = StepState::Idle { attempts: u32::MAX };
        for attempt in [0, u32::MAX] {
            let sent = StepEvent::Sent { attempt, hash, reserved: None };
            assert!(full.apply(&sent).is_err(), "{attempt} was sent");
            assert!(full.apply(&StepEvent::Asked { attempt, hash }).is_err(), "{attempt} ended");
        }
    }

    #[test]
    fn an_event_that_does_not_fit_names_both() {
        let settled = StepState::Succeeded { attempts: 1, hash: None };
        let error = settled.apply(&StepEvent::Lost { attempt: 1 }).unwrap_err();
        assert_eq!(error.to_string(), "`attempt_lost` cannot happen to what is succeeded");
    }
}
