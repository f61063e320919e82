//! The runs that are driven here: whose seat is taken, and how each is brought to its end.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, MutexGuard, PoisonError};

use flow_core::engine::{EngineError, Program, RunHandle};
use flow_core::ids::RunId;
use flow_core::store::RunStatus;

use super::{Shared, StartError};

/// A run whose seat is taken.
#[derive(Default)]
pub(super) struct Live {
    /// Whether something was answered that its driver may not have seen.
    answered: bool,
}

/// The right to drive a run in this process, until it is dropped.
pub(super) struct Seat {
    shared: Arc<Shared>,
    run: RunId,
    left: bool,
}

impl Seat {
    /// Takes the seat of a run, if nobody has it.
    pub(super) fn take(shared: &Arc<Shared>, run: &RunId) -> Option<Self> {
        match shared.live().entry(run.clone()) {
            Entry::Occupied(_) => None,
            Entry::Vacant(free) => {
                free.insert(Live::default());
                Some(Self { shared: Arc::clone(shared), run: run.clone(), left: false })
            }
        }
    }

    /// Leaves the seat of a run that waits for a person, unless an answer came that its driver
    /// may not have seen; then it is kept.
    fn leave_unless_answered(mut self) -> Option<Self> {
        let shared = Arc::clone(&self.shared);
        let mut live = shared.live();
        let answered =
            live.get_mut(&self.run).is_some_and(|seat| std::mem::take(&mut seat.answered));
        if answered {
            return Some(self);
        }
        // In the same moment: who answers from now on finds nobody here, and resumes.
        live.remove(&self.run);
        self.left = true;
        None
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.left {
            self.shared.live().remove(&self.run);
        }
        self.shared.moved.notify_waiters();
    }
}

impl Shared {
    pub(super) fn live(&self) -> MutexGuard<'_, HashMap<RunId, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The seat of a run that is to be started; none where there is such a run. Where somebody
    /// else is about to start it, waits until that is durable or came to nothing.
    pub(super) async fn seat_of_new(
        self: &Arc<Self>,
        run: &RunId,
    ) -> Result<Option<Seat>, StartError> {
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            let seat = Seat::take(self, run);
            if self.engine.store().run(run).await?.is_some() {
                return Ok(None);
            }
            if seat.is_some() {
                return Ok(seat);
            }
            moved.await;
        }
    }

    /// Tells whoever drives the run here of an answer; says whether anybody does.
    pub(super) fn tell_of_answer(&self, run: &RunId) -> bool {
        let mut live = self.live();
        let seat = live.get_mut(run);
        let here = seat.is_some();
        if let Some(seat) = seat {
            seat.answered = true;
        }
        here
    }

    /// Drives a run until it is settled, waits for a person, or the server stops.
    pub(super) async fn to_the_end(
        self: Arc<Self>,
        mut program: Program,
        mut handle: RunHandle,
        mut seat: Seat,
    ) {
        let id = handle.id().clone();
        loop {
            let status = match self.driven(&mut handle).await {
                Ok(status) => status,
                Err(error) => {
                    tracing::error!(run = %id, workflow = program.workflow.name, "{error}");
                    return;
                }
            };
            self.counters.ended(status);
            tracing::info!(run = %id, workflow = program.workflow.name, %status, "stands");
            if status.has_ended() {
                for line in self.workplace.tidy(&program, self.engine.store(), &id).await {
                    tracing::warn!(run = %id, workflow = program.workflow.name, "{line}");
                }
            }
            if status != RunStatus::Waiting {
                return;
            }
            match seat.leave_unless_answered() {
                Some(kept) => seat = kept,
                None => return,
            }
            match self.resumed(&id).await {
                Ok(next) => (program, handle) = next,
                Err(error) => {
                    tracing::error!(run = %id, workflow = program.workflow.name, "{error}");
                    return;
                }
            }
        }
    }

    /// Waits for a run, and interrupts it when the server stops.
    async fn driven(&self, handle: &mut RunHandle) -> Result<RunStatus, EngineError> {
        let report = tokio::select! {
            report = handle.wait() => report,
            () = self.stopping.cancelled() => {
                handle.interrupt();
                handle.wait().await
            }
        };
        report.map(|report| report.run.status)
    }
}
