//! The engine in this process: tokio tasks, and the store on this machine.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::action::ActionRegistry;
use crate::engine::backend::{
    Answer, Backend, EngineError, Program, Resume, RunHandle, RunReport, Submission,
};
use crate::engine::clock::Clock;
use crate::engine::driver::{Driver, Stop};
use crate::engine::ledger::{Ledger, may_be_paid};
use crate::engine::observer::Observer;
use crate::engine::prepare::Workshop;
use crate::engine::runner::Shared;
use crate::ids::{InstancePath, RunId};
use crate::intake::{Intake, Sniff};
use crate::state::{RunEvent, RunState};
use crate::store::{ApprovalRow, Batch, LockError, RunLock, RunRow, RunStatus, Store};
use crate::units::Money;

/// Attempts read at once.
const PAGE: u32 = 1000;

/// How often a run that another process drives is looked at.
const ATTACH_POLL: Duration = Duration::from_millis(200);

/// What the engine of this process works with.
pub struct Setup {
    /// The store.
    pub store: Store,
    /// The actions that workflows can use.
    pub actions: ActionRegistry,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Tells media types.
    pub sniff: Sniff,
    /// Attempts at work at once in the whole process, and instances of a run where the
    /// workflow does not say.
    pub parallel: usize,
    /// Whether the step cache may answer.
    pub use_cache: bool,
}

/// How much of an engine is at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Attempts that are at work on this machine's cores.
    pub at_work: usize,
    /// The most that are.
    pub at_most: usize,
    /// Attempts that became ready so far.
    pub ready: u64,
}

/// Drives runs in this process.
pub struct Embedded {
    setup: Setup,
    permits: Arc<Semaphore>,
    ready: Arc<AtomicU64>,
}

impl Embedded {
    /// Makes an engine.
    pub fn new(setup: Setup) -> Self {
        let permits = Arc::new(Semaphore::new(setup.parallel.max(1)));
        Self { setup, permits, ready: Arc::default() }
    }

    pub(crate) fn workshop(&self, folder: PathBuf) -> Workshop {
        Workshop {
            store: self.setup.store.clone(),
            actions: self.setup.actions.clone(),
            intake: self.intake(),
            folder,
        }
    }

    /// The way of files into the store.
    pub fn intake(&self) -> Intake {
        Intake::new(self.setup.store.artifacts().clone(), self.setup.sniff)
    }

    /// How much of it is at work.
    pub fn load(&self) -> Load {
        let ready = self.ready.load(Ordering::Relaxed);
        let at_work = self.setup.parallel.max(1).saturating_sub(self.permits.available_permits());
        Load { at_work, at_most: self.setup.parallel.max(1), ready }
    }

    /// The store it works with.
    pub fn store(&self) -> &Store {
        &self.setup.store
    }

    async fn keep(&self, program: &Program) -> Result<(), EngineError> {
        let name = &program.workflow.name;
        Ok(self.setup.store.put_definition(&program.definition, name, &program.bundle).await?)
    }

    /// Begins to drive. The lock is held until the task ends, however it ends.
    async fn drive(
        &self,
        program: Program,
        observer: Arc<dyn Observer>,
        mut ledger: Ledger,
        lock: RunLock,
        event: RunEvent,
    ) -> Result<RunHandle, EngineError> {
        let retry_failed = ledger.run().status.has_ended();
        let resumed = matches!(event, RunEvent::Resumed { .. });
        let id = ledger.run().id.clone();
        ledger.run_event(&event, self.setup.clock.now_ms(), None)?;
        if resumed {
            self.record_lost(&mut ledger).await?;
        }
        self.setup.store.commit(ledger.take()).await?;
        let (cancel, interrupted) = (CancellationToken::new(), Arc::new(AtomicBool::new(false)));
        let (reports, receiver) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            run: id.clone(),
            workshop: self.workshop(program.folder),
            uploads: Arc::new(self.setup.store.uploads(id.clone())),
            clock: Arc::clone(&self.setup.clock),
            reports,
            cancel: cancel.clone(),
            interrupted: Arc::clone(&interrupted),
            permits: Arc::clone(&self.permits),
            ready: Arc::clone(&self.ready),
            use_cache: self.setup.use_cache,
            retry_failed,
        });
        let (workflow, limit) = (program.workflow, self.setup.parallel);
        let driver = Driver::new(workflow, shared, receiver, ledger, observer, resumed, limit);
        let asked = Arc::clone(&interrupted);
        let driving = self.setup.store.driving();
        let task = tokio::spawn(async move {
            let stop = move || {
                if asked.load(Ordering::SeqCst) { Stop::Interrupt } else { Stop::Cancel }
            };
            let driven = driver.drive(stop).await;
            drop((driving, lock));
            driven.map(|driven| RunReport {
                run: driven.run,
                failure: driven.failure,
                steps: driven.steps,
            })
        });
        Ok(RunHandle { id, task: AbortOnDropHandle::new(task), cancel, interrupted })
    }

    /// Counts what each step of a run spent so far.
    async fn count_spent(&self, run: &RunId, ledger: &mut Ledger) -> Result<(), EngineError> {
        let mut after = None;
        loop {
            let page = self.setup.store.attempts_of_run(run, after, PAGE).await?;
            for attempt in page.rows {
                let reserved = attempt.reserved.filter(|_| may_be_paid(&attempt));
                let cost = attempt.cost.or(reserved);
                if let Some(cost) = cost {
                    ledger.spent_before(&attempt.path, cost);
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Records as lost what was in flight when the last life of the run ended. Who holds the
    /// run's lock does it before anything else, whatever becomes of the instances then.
    async fn record_lost(&self, ledger: &mut Ledger) -> Result<(), EngineError> {
        let (store, run) = (&self.setup.store, ledger.run().id.clone());
        let (now, mut after) = (self.setup.clock.now_ms(), None);
        loop {
            let page = store.sent_attempts(&run, after.as_ref(), PAGE).await?;
            for sent in page.rows {
                if let Some(row) = store.step(&run, &sent.path).await? {
                    ledger.lost(&row, sent, now)?;
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// The run, if there is something of it to stop.
    async fn known(&self, run: &RunId) -> Result<RunRow, EngineError> {
        let row = self.setup.store.run(run).await?;
        row.ok_or_else(|| EngineError::UnknownRun { run: run.clone() })
    }

    async fn not_ended(&self, run: &RunId) -> Result<RunRow, EngineError> {
        let row = self.known(run).await?;
        if row.status.has_ended() {
            return Err(EngineError::Ended { run: run.clone(), status: row.status });
        }
        Ok(row)
    }
}

#[async_trait]
impl Backend for Embedded {
    async fn submit(&self, submission: Submission) -> Result<RunHandle, EngineError> {
        let Submission { id, program, mut inputs, observer } = submission;
        let workshop = self.workshop(program.folder.clone());
        workshop.take_inputs(&program.workflow, &mut inputs, &[]).await?;
        let lock = RunLock::acquire(self.setup.store.folder(), &id)?;
        self.keep(&program).await?;
        let definition = program.definition;
        let run = RunRow {
            id,
            workflow: program.workflow.name.clone(),
            definition,
            status: RunStatus::Running,
            inputs: Value::Object(inputs),
            outputs: None,
            error: None,
            cost: Money::ZERO,
            cost_uncertain: false,
            started: self.setup.clock.now_ms(),
            ended: None,
        };
        let ledger = Ledger::new(run, RunState::NEW, 0, program.workflow.budget);
        self.drive(program, observer, ledger, lock, RunEvent::Started { definition }).await
    }

    async fn resume(&self, resume: Resume) -> Result<RunHandle, EngineError> {
        let Resume { id, program, observer } = resume;
        let lock = RunLock::acquire(self.setup.store.folder(), &id)?;
        let run = self.known(&id).await?;
        self.keep(&program).await?;
        self.setup.store.clear_cancel(&id).await?;
        let seq = self.setup.store.last_seq(&id).await?;
        let state = RunState::of_status(run.status);
        let definition = program.definition;
        let mut ledger = Ledger::new(run, state, seq, program.workflow.budget);
        if program.workflow.has_step_budget() {
            self.count_spent(&id, &mut ledger).await?;
        }
        let event = RunEvent::Resumed { definition };
        self.drive(program, observer, ledger, lock, event).await
    }

    async fn attach(&self, run: &RunId) -> Result<RunRow, EngineError> {
        loop {
            let row = self.known(run).await?;
            if row.status != RunStatus::Running {
                return Ok(row);
            }
            if !RunLock::is_held(self.setup.store.folder(), run) {
                // Its last word may have come since the row was read.
                return self.known(run).await;
            }
            self.setup.clock.sleep(ATTACH_POLL).await;
        }
    }

    async fn cancel(&self, run: &RunId) -> Result<(), EngineError> {
        self.not_ended(run).await?;
        let _lock = match RunLock::acquire(self.setup.store.folder(), run) {
            Ok(lock) => lock,
            Err(LockError::Held { .. }) => {
                return Ok(self.setup.store.request_cancel(run).await?);
            }
            Err(error) => return Err(error.into()),
        };
        // Who drove it until now may have brought it to its end, and another may have pruned it.
        let row = self.not_ended(run).await?;
        let (seq, now) = (self.setup.store.last_seq(run).await?, self.setup.clock.now_ms());
        let (definition, state) = (row.definition, RunState::of_status(row.status));
        let mut ledger = Ledger::new(row, state, seq, None);
        ledger.run_event(&RunEvent::Resumed { definition }, now, None)?;
        self.record_lost(&mut ledger).await?;
        if !self.setup.store.open_batches(run).await?.is_empty() {
            ledger.gave_up_batches();
        }
        let error = Some("the run was cancelled".to_owned());
        let ended = RunEvent::Finished { status: RunStatus::Cancelled, error };
        ledger.run_event(&ended, now, None)?;
        Ok(self.setup.store.commit(ledger.take()).await?)
    }

    async fn approve(
        &self,
        run: &RunId,
        path: &InstancePath,
        answer: Answer,
    ) -> Result<(), EngineError> {
        self.known(run).await?;
        let asked = self.setup.store.approvals(run).await?;
        let Some(approval) = asked.into_iter().find(|row| row.path == *path) else {
            return Err(EngineError::NothingAsked { run: run.clone(), path: path.clone() });
        };
        if approval.approved.is_some() {
            return Err(EngineError::Answered { run: run.clone(), path: path.clone() });
        }
        // The step that asked may be gone from the file, or the run may have ended since.
        let open = self.setup.store.open_approvals(run).await?;
        if !open.iter().any(|row| row.path == *path) {
            return Err(EngineError::NothingAsked { run: run.clone(), path: path.clone() });
        }
        answer.fits(&approval)?;
        let answered = ApprovalRow {
            answered: Some(self.setup.clock.now_ms()),
            approved: Some(answer.approved),
            comment: answer.comment,
            output: answer.output,
            ..approval
        };
        Ok(self.setup.store.commit(Batch { approvals: vec![answered], ..Batch::default() }).await?)
    }
}
