//! The state of a run, and the one function that changes it.

use crate::state::event::RunEvent;
use crate::state::step::IllegalTransition;
use crate::store::RunStatus;

/// How a run stands; none before its first event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunState(Option<RunStatus>);

impl RunState {
    /// What nothing has happened to yet.
    pub const NEW: Self = Self(None);

    /// The state that the read model shows.
    pub fn of_status(status: RunStatus) -> Self {
        Self(Some(status))
    }

    /// The status, once it has one.
    pub fn status(self) -> Option<RunStatus> {
        self.0
    }

    /// The state after an event. Changes nothing else, asks nothing else.
    ///
    /// A run can be resumed from every status but `running` under a living owner, which is
    /// for the lock to tell: a run whose process died is still `running` here.
    pub fn apply(self, event: &RunEvent) -> Result<Self, IllegalTransition> {
        let running = self.0 == Some(RunStatus::Running);
        let next = match event {
            RunEvent::Started { .. } if self.0.is_none() => RunStatus::Running,
            RunEvent::Resumed { .. } if self.0.is_some() => RunStatus::Running,
            RunEvent::Waiting if running => RunStatus::Waiting,
            RunEvent::Interrupted if running => RunStatus::Interrupted,
            RunEvent::Finished { status, .. } if running || self.0 == Some(RunStatus::Waiting) => {
                *status
            }
            RunEvent::Started { .. }
            | RunEvent::Resumed { .. }
            | RunEvent::Waiting
            | RunEvent::Interrupted
            | RunEvent::Finished { .. } => {
                let state = self.0.map_or("new", RunStatus::as_str);
                return Err(IllegalTransition { state, event: event.kind() });
            }
        };
        Ok(Self(Some(next)))
    }
}
