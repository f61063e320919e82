//! Drives one run from where it stands to where it can go no further.
//!
//! A turn of the driver: begin what the scheduler says may begin; send what that and the
//! runners' reports wrote to the disk; wait for reports or for the disk. What was written
//! counts (`After`) when it is durable: steps settle, announced attempts act, the watcher is
//! told. One commit is on its way at a time, and what happens meanwhile gathers for the
//! next. Everything that changes the run happens in this one task; runners only report.

mod begin;
mod close;
mod recorded;
mod report;
mod whole;

use recorded::Recorded;

pub(crate) use begin::holds;
pub(crate) use close::{of_frame, of_instances, render_outputs};
pub(crate) use report::error_of;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::content::ContentHash;
use crate::engine::backend::EngineError;
use crate::engine::items::Items;
use crate::engine::ledger::Ledger;
use crate::engine::observer::{At, Observer, Progress};
use crate::engine::runner::{Announced, Report, Shared};
use crate::engine::scheduler::{Begin, Blocked, Ending, FrameId, Scheduler, Slot};
use crate::engine::values::FrameValues;
use crate::error::Failure;
use crate::ids::InstancePath;
use crate::language::{Block, Step, Workflow};
use crate::state::RunEvent;
use crate::store::{Batch, Commit, RunStatus, StepStatus, StoreError};
use crate::template::StepView;

/// How often the store is asked whether somebody wants the run to stop.
const CANCEL_POLL: Duration = Duration::from_millis(300);

/// The most reports handled before their events are committed, and about the most things
/// that may wait to count: beyond it nothing begins.
const TURN: usize = 1024;

/// Why a run is being stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Its process is asked to end; the run can be taken up again.
    Interrupt,
    /// Somebody does not want it any more.
    Cancel,
}

/// What counts once what was written before it is durable.
enum After {
    Settle(Slot, Ending),
    Grant(oneshot::Sender<Result<(), Failure>>),
    Tell(Progress),
}

/// What is on its way to the disk, and what counts when it is there.
struct InFlight {
    commit: Commit,
    after: Vec<After>,
}

/// What a wait ended with.
enum Woken {
    Report(Box<Report>),
    Durable(Result<(), StoreError>),
    Time,
}

/// A loop under way.
struct LoopLife {
    path: InstancePath,
    items: Items,
    recorded: Recorded,
    /// Whether the row of an instance stands at another position than its item.
    moved: bool,
    /// Outputs by position, where an expression asks for them.
    outputs: Option<Vec<Arc<Value>>>,
    total: u64,
    /// Why no item can be read any further.
    cut_short: Option<Failure>,
    failed: u64,
    first_failure: Option<(InstancePath, Failure)>,
}

/// A frame under way.
struct FrameLife {
    /// Where the instance is whose body it is; none for the run.
    at: Option<At>,
    values: FrameValues,
    /// The sub-workflow whose frame it is, where it is one.
    workflow: Option<Arc<Workflow>>,
    first_failure: Option<(InstancePath, Failure)>,
}

/// Drives one run.
pub(crate) struct Driver {
    pub(crate) workflow: Arc<Workflow>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) ledger: Ledger,
    pub(crate) observer: Arc<dyn Observer>,
    /// Whether an earlier life of the run may have left something.
    pub(crate) resumed: bool,
    /// The most instances at work at once.
    pub(crate) limit: usize,
    scheduler: Scheduler,
    reports: mpsc::UnboundedReceiver<Report>,
    runners: JoinSet<()>,
    frames: BTreeMap<FrameId, FrameLife>,
    loops: BTreeMap<Slot, LoopLife>,
    /// What counts once what the ledger holds is durable.
    after: Vec<After>,
    in_flight: Option<InFlight>,
    /// Announced attempts that wait until what is set aside for others is free.
    held: Vec<Announced>,
    active: usize,
    /// Instances that wait for a batch: at work for hours, and in nobody's way.
    aside: BTreeSet<Slot>,
    waiting: usize,
    /// Whether how this life of the run ends is written.
    finished: bool,
    /// Steps of the workflow itself that the next life has to go through, though they end
    /// well: below them a file was taken in by its path, or something failed.
    look_again: BTreeSet<String>,
    /// Steps of the workflow itself whose output may be another than in the last life though
    /// nothing was written below them.
    unsure: BTreeSet<String>,
    /// The hash of what loops are made from, once it is asked for.
    work: OnceLock<ContentHash>,
    /// When the store was last asked whether somebody wants the run to stop.
    polled: Duration,
}

impl Driver {
    pub(crate) fn new(
        workflow: Arc<Workflow>,
        shared: Arc<Shared>,
        reports: mpsc::UnboundedReceiver<Report>,
        ledger: Ledger,
        observer: Arc<dyn Observer>,
        resumed: bool,
        limit: usize,
    ) -> Self {
        let limit = workflow.concurrency.unwrap_or(limit).max(1);
        let scheduler = Scheduler::new(&workflow, limit as u64);
        let inputs = Arc::new(ledger.run().inputs.clone());
        let run = json!({ "id": shared.run.as_str(), "workflow": workflow.name });
        let root = FrameLife {
            at: None,
            values: FrameValues::of_workflow(&inputs, run),
            workflow: Some(Arc::clone(&workflow)),
            first_failure: None,
        };
        Self {
            workflow,
            shared,
            ledger,
            observer,
            resumed,
            limit,
            scheduler,
            reports,
            runners: JoinSet::new(),
            frames: BTreeMap::from([(FrameId::ROOT, root)]),
            loops: BTreeMap::new(),
            after: Vec::new(),
            in_flight: None,
            held: Vec::new(),
            active: 0,
            aside: BTreeSet::new(),
            waiting: 0,
            finished: false,
            look_again: BTreeSet::new(),
            unsure: BTreeSet::new(),
            work: OnceLock::new(),
            polled: Duration::ZERO,
        }
    }

    /// Drives until the run is settled, waits for a person, or is stopped.
    ///
    /// Dropping the future is a crash to the run: what was acknowledged stays, the rest is
    /// done again when it is resumed.
    pub(crate) async fn drive(
        mut self,
        stop: impl Fn() -> Stop + Send,
    ) -> Result<Driven, EngineError> {
        let cancel = self.shared.cancel.clone();
        self.polled = self.shared.clock.elapsed();
        loop {
            if !cancel.is_cancelled() && !self.finished {
                self.begin_all().await?;
            }
            if self.in_flight.is_none() {
                if self.send().await? {
                    continue;
                }
                let at_rest = self.in_flight.is_none();
                if at_rest && self.finished {
                    break;
                }
                if at_rest && self.active == 0 && self.aside.is_empty() {
                    self.rest(&cancel, stop())?;
                    continue;
                }
            }
            self.wait(&cancel).await?;
        }
        self.runners.shutdown().await;
        Ok(Driven {
            failure: self.root_failure(),
            steps: self.summaries(),
            run: self.ledger.run().clone(),
        })
    }

    /// Begins everything that may begin.
    async fn begin_all(&mut self) -> Result<(), EngineError> {
        while self.active < self.limit && self.after.len() < TURN {
            let Some(begin) = self.scheduler.next() else {
                break;
            };
            match begin {
                Begin::Step(slot) => self.begin_step(slot).await?,
                Begin::Instance(slot) => self.begin_instance(slot).await?,
                Begin::Gather(slot) => self.gather(slot)?,
                Begin::Leave { frame, holder } => self.leave(frame, holder)?,
                Begin::Finish => self.finish()?,
            }
        }
        Ok(())
    }

    /// Sends what was written to the disk. Says whether something counted at once: there was
    /// nothing to write, or it was written here.
    async fn send(&mut self) -> Result<bool, EngineError> {
        let (batch, after) = (self.ledger.take(), std::mem::take(&mut self.after));
        if batch == Batch::default() {
            let counted = !after.is_empty();
            self.count(after).await?;
            return Ok(counted);
        }
        let store = &self.shared.workshop.store;
        // Where nothing is at work, nothing can be taken meanwhile.
        if self.active == 0
            && self.aside.is_empty()
            && let Some(result) = store.commit_here(&batch)
        {
            result?;
            self.count(after).await?;
            return Ok(true);
        }
        let commit = store.send(&batch).await?;
        self.in_flight = Some(InFlight { commit, after });
        Ok(false)
    }

    /// Lets what is durable count.
    async fn count(&mut self, after: Vec<After>) -> Result<(), EngineError> {
        for after in after {
            match after {
                After::Settle(slot, ending) => {
                    self.scheduler.settle(slot, ending);
                    self.record_blocked().await?;
                }
                // A runner that is gone needs no answer.
                After::Grant(answer) => drop(answer.send(Ok(()))),
                After::Tell(progress) => self.observer.progress(&progress),
            }
        }
        Ok(())
    }

    /// Waits for reports, for the disk, or for somebody to want the run to stop.
    async fn wait(&mut self, cancel: &CancellationToken) -> Result<(), EngineError> {
        match self.wake().await {
            Woken::Report(report) => self.take_all(*report)?,
            Woken::Durable(result) => {
                let after = self.in_flight.take().map(|sent| sent.after);
                result?;
                self.count(after.unwrap_or_default()).await?;
            }
            Woken::Time => {}
        }
        let now = self.shared.clock.elapsed();
        if now.saturating_sub(self.polled) >= CANCEL_POLL && !cancel.is_cancelled() {
            self.polled = now;
            if self.shared.workshop.store.cancel_requested(&self.shared.run).await? {
                cancel.cancel();
            }
        }
        Ok(())
    }

    async fn wake(&mut self) -> Woken {
        let durable = async {
            match &mut self.in_flight {
                Some(sent) => sent.commit.durable().await,
                None => std::future::pending().await,
            }
        };
        // The disk first: what is durable lets others begin.
        tokio::select! {
            biased;
            result = durable => Woken::Durable(result),
            Some(report) = self.reports.recv() => Woken::Report(Box::new(report)),
            () = self.shared.clock.sleep(CANCEL_POLL) => Woken::Time,
        }
    }

    /// Takes a report and those that came with it.
    fn take_all(&mut self, first: Report) -> Result<(), EngineError> {
        self.take(first)?;
        for _ in 1..TURN {
            // Received only to be taken: what is received at the end of a turn would be lost.
            let Ok(report) = self.reports.try_recv() else { break };
            self.take(report)?;
        }
        while self.runners.try_join_next().is_some() {}
        Ok(())
    }

    /// Nothing works and nothing may begin: the run was stopped, or waits for a person.
    fn rest(&mut self, cancel: &CancellationToken, stop: Stop) -> Result<(), EngineError> {
        let event = match (cancel.is_cancelled(), stop) {
            (true, Stop::Interrupt) => RunEvent::Interrupted,
            (true, Stop::Cancel) => {
                let error = Some("the run was cancelled".to_owned());
                RunEvent::Finished { status: RunStatus::Cancelled, error }
            }
            (false, _) if self.waiting > 0 => RunEvent::Waiting,
            (false, _) => {
                return Err(EngineError::Stuck { run: self.shared.run.clone() });
            }
        };
        self.finished = true;
        self.run_event(&event, None)
    }

    fn run_event(&mut self, event: &RunEvent, outputs: Option<Value>) -> Result<(), EngineError> {
        self.ledger.run_event(event, self.shared.clock.now_ms(), outputs)?;
        self.after.push(After::Tell(Progress::Run(self.ledger.run().status)));
        Ok(())
    }

    /// Records the steps that were blocked by what just settled.
    async fn record_blocked(&mut self) -> Result<(), EngineError> {
        for Blocked { slot, block, by } in self.scheduler.take_blocked() {
            let (step, by) = (&block.steps[slot.step], &block.steps[by]);
            let path = self.step_path(slot, step);
            let recorded = self.recorded(&path).await?;
            self.follow(slot, step, path.clone(), recorded.as_ref());
            let event = crate::state::StepEvent::Blocked { by: by.id.to_string() };
            self.step_event(slot, &event)?;
            let view = StepView { status: StepStatus::Blocked, ..StepView::default() };
            let at = self.at(slot, step, &path);
            self.tell(at, view.status, report::Told::default());
            self.settled(slot, step, view);
            self.ledger.forget(slot);
        }
        Ok(())
    }

    fn block(&self, frame: FrameId) -> Option<Arc<Block>> {
        self.scheduler.block(frame).cloned()
    }

    fn frame(&self, frame: FrameId) -> Result<&FrameLife, EngineError> {
        self.frames.get(&frame).ok_or_else(|| self.stuck())
    }

    fn stuck(&self) -> EngineError {
        EngineError::Stuck { run: self.shared.run.clone() }
    }

    fn step_path(&self, slot: Slot, step: &Step) -> InstancePath {
        let parent = self.frames.get(&slot.frame).and_then(|frame| frame.at.as_ref());
        InstancePath::step(parent.map(|at| &at.path), &step.id)
    }

    /// Where an instance is, in the store and for people.
    fn at(&self, slot: Slot, step: &Step, path: &InstancePath) -> At {
        let within = self.frames.get(&slot.frame).and_then(|frame| frame.at.as_ref());
        let within = within.map(|at| format!("{}/", at.shown)).unwrap_or_default();
        let ordinal = slot.ordinal.map(|at| format!("[{}]", at + 1)).unwrap_or_default();
        At { path: path.clone(), shown: format!("{within}{}{ordinal}", step.id) }
    }

    fn root_failure(&self) -> Option<Failure> {
        let root = self.frames.get(&FrameId::ROOT)?;
        root.first_failure.as_ref().map(|(_, failure)| failure.clone())
    }

    /// The steps of the workflow itself, by id.
    fn summaries(&self) -> BTreeMap<String, Arc<StepView>> {
        let Some(root) = self.frames.get(&FrameId::ROOT) else {
            return BTreeMap::new();
        };
        let blocks = [&self.workflow.steps, &self.workflow.on_failure, &self.workflow.finally];
        let steps = blocks.into_iter().flat_map(|block| &block.steps);
        steps
            .filter_map(|step| Some((step.id.to_string(), root.values.outputs.own(&step.id)?)))
            .collect()
    }
}

/// What driving came to.
pub(crate) struct Driven {
    pub(crate) run: crate::store::RunRow,
    pub(crate) failure: Option<Failure>,
    pub(crate) steps: BTreeMap<String, Arc<StepView>>,
}
