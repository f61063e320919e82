//! What is told of the runs: to those who listen, to the log, and in numbers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};

use flow_core::engine::{Observer, Program, Progress};
use flow_core::ids::RunId;
use flow_core::store::{RunStatus, StepStatus};
use tokio::sync::broadcast;

use super::{Runs, Shared};

/// News that wait for a slow listener; one that is further behind is told that it missed some.
const NEWS: usize = 4096;

/// The same for a listener of one run.
const OF_ONE: usize = 1024;

/// What happened in a run.
#[derive(Clone, Debug)]
pub struct News {
    /// The run.
    pub run: RunId,
    /// Name of its workflow.
    pub workflow: Arc<str>,
    /// What. [`Progress::Run`] is the first of a life of the run, with `running`, and the last.
    pub what: Progress,
}

pub(super) fn channel() -> broadcast::Sender<News> {
    broadcast::channel(NEWS).0
}

impl Runs {
    /// Listens to all runs of this process, from now on.
    pub fn listen(&self) -> broadcast::Receiver<News> {
        self.shared.news.subscribe()
    }

    /// Listens to one run, from now on; nothing is heard while this process does not drive it.
    pub fn listen_to(&self, run: &RunId) -> broadcast::Receiver<News> {
        let mut followed = self.shared.followed();
        // Whoever comes looks after those who went.
        followed.retain(|_, listeners| listeners.receiver_count() > 0);
        let listeners = followed.entry(run.clone());
        listeners.or_insert_with(|| broadcast::channel(OF_ONE).0).subscribe()
    }
}

impl Shared {
    fn followed(&self) -> MutexGuard<'_, HashMap<RunId, broadcast::Sender<News>>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells those who listen.
    fn tell(&self, run: &RunId, workflow: &Arc<str>, what: &Progress) {
        let news = || News { run: run.clone(), workflow: Arc::clone(workflow), what: what.clone() };
        if self.news.receiver_count() > 0 {
            // The last listener may go meanwhile.
            let _ = self.news.send(news());
        }
        if let Some(listeners) = self.followed().get(run) {
            let _ = listeners.send(news());
        }
    }

    /// Tells that a life of a run begins.
    pub(super) fn tell_of_begin(&self, run: &RunId, program: &Program) {
        let workflow = program.workflow.name.as_str().into();
        self.tell(run, &workflow, &Progress::Run(RunStatus::Running));
    }

    pub(super) fn observer(self: &Arc<Self>, run: &RunId, program: &Program) -> Arc<dyn Observer> {
        let workflow = program.workflow.name.as_str().into();
        Arc::new(Teller { run: run.clone(), workflow, shared: Arc::clone(self) })
    }
}

/// Passes on what happens in a run.
struct Teller {
    run: RunId,
    workflow: Arc<str>,
    shared: Arc<Shared>,
}

impl Observer for Teller {
    fn progress(&self, progress: &Progress) {
        self.shared.counters.count(progress);
        self.log(progress);
        self.shared.tell(&self.run, &self.workflow, progress);
    }
}

impl Teller {
    fn log(&self, progress: &Progress) {
        let (run, workflow) = (&self.run, &*self.workflow);
        match progress {
            Progress::Settled { at, status, failure: Some(failure), .. } => {
                let (step, class) = (&at.path, failure.class.as_str());
                tracing::warn!(%run, workflow, %step, %status, class, "{}", failure.message);
            }
            Progress::Settled { at, status, .. } => {
                tracing::debug!(%run, workflow, step = %at.path, %status, "settled");
            }
            Progress::Retrying { at, failure, wait_ms } => {
                let (step, class) = (&at.path, failure.class.as_str());
                tracing::info!(%run, workflow, %step, class, wait_ms, "retrying: {}", failure.message);
            }
            Progress::Line { at, text } => {
                tracing::debug!(%run, workflow, step = %at.path, "{text}");
            }
            Progress::Began { .. }
            | Progress::Opened { .. }
            | Progress::Text { .. }
            | Progress::Run(_) => {}
        }
    }
}

/// What happened in this process so far, in numbers that only grow.
#[derive(Debug, Default)]
pub struct Counters {
    /// Lives of runs that came to their end, by how the run stood then.
    lives: [AtomicU64; RUNS.len()],
    /// Steps and instances that were settled, by how.
    steps: [AtomicU64; STEPS.len()],
    reused: AtomicU64,
    retries: AtomicU64,
    cost_micros: AtomicU64,
}

/// How runs stand.
const RUNS: [RunStatus; 6] = [
    RunStatus::Running,
    RunStatus::Waiting,
    RunStatus::Interrupted,
    RunStatus::Succeeded,
    RunStatus::Failed,
    RunStatus::Cancelled,
];

/// How steps are settled.
const STEPS: [StepStatus; 8] = [
    StepStatus::Running,
    StepStatus::Retrying,
    StepStatus::Waiting,
    StepStatus::Succeeded,
    StepStatus::Failed,
    StepStatus::Skipped,
    StepStatus::Blocked,
    StepStatus::Cancelled,
];

impl Counters {
    /// Lives of runs that came to their end, by how the run stood then.
    pub fn lives(&self) -> impl Iterator<Item = (RunStatus, u64)> {
        RUNS.into_iter().zip(self.lives.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    /// Steps and instances that were settled, by how.
    pub fn steps(&self) -> impl Iterator<Item = (StepStatus, u64)> {
        STEPS.into_iter().zip(self.steps.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    /// Steps and instances of which nothing had to be done.
    pub fn reused(&self) -> u64 {
        self.reused.load(Ordering::Relaxed)
    }

    /// Attempts that failed and were followed by another.
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// What steps cost, in millionths of a USD, as far as it is known.
    pub fn cost_micros(&self) -> u64 {
        self.cost_micros.load(Ordering::Relaxed)
    }

    pub(super) fn ended(&self, status: RunStatus) {
        if let Some(at) = RUNS.iter().position(|known| *known == status) {
            self.lives[at].fetch_add(1, Ordering::Relaxed);
        }
    }

    fn count(&self, progress: &Progress) {
        match progress {
            Progress::Settled { status, reused, cost, .. } => {
                if let Some(at) = STEPS.iter().position(|known| known == status) {
                    self.steps[at].fetch_add(1, Ordering::Relaxed);
                }
                self.reused.fetch_add(u64::from(*reused), Ordering::Relaxed);
                let cost = cost.map_or(0, |cost| cost.micros() as u64);
                self.cost_micros.fetch_add(cost, Ordering::Relaxed);
            }
            Progress::Retrying { .. } => {
                self.retries.fetch_add(1, Ordering::Relaxed);
            }
            Progress::Began { .. }
            | Progress::Opened { .. }
            | Progress::Line { .. }
            | Progress::Text { .. }
            | Progress::Run(_) => {}
        }
    }
}
