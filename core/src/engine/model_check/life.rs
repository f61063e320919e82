//! One life of a run: from its start or resume until it rests or its process dies.
//!
//! The scheduler, the ledger, the rule of recovery and that of retries are the engine's own.
//! What stands here is what the driver and the runners do around them, a move at a time:
//! [`Life::turn`] begins, commits and lets count, [`Life::report`] lets one runner say the
//! next thing it has to say. Both check what they meet; `store` is what is durable.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::durable::{Broken, Durable};
use super::work::Runner;
use super::worlds::{Phases, Plan, World};
use crate::content::ContentHash;
use crate::engine::ledger::{Details, Ledger};
use crate::engine::scheduler::{Blocked, Ending, FrameId, Scheduler, Slot};
use crate::error::Failure;
use crate::ids::InstancePath;
use crate::language::{Block, Workflow};
use crate::state::{Origin, RunEvent, RunState, StepEvent};
use crate::store::RunStatus;

/// What counts once what was written before it is durable.
#[derive(Clone, Hash)]
enum After {
    Settle(Slot, Ending, InstancePath),
    Grant(Slot),
    Tell,
}

/// Why a run is being stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Stop {
    Interrupt,
    Cancel,
}

/// A loop under way.
#[derive(Clone, Hash)]
pub(super) struct LoopLife {
    pub(super) path: InstancePath,
    pub(super) count: u64,
    pub(super) failed: bool,
}

/// The run, a sub-workflow or a body under way.
#[derive(Clone)]
pub(super) struct FrameLife {
    pub(super) at: Option<InstancePath>,
    pub(super) plans: Vec<(Arc<Block>, Arc<Vec<Plan>>)>,
}

/// The memory of the process that drives the run.
#[derive(Clone)]
pub(super) struct Life {
    pub(super) runners: BTreeMap<Slot, Runner>,
    pub(super) stop: Option<Stop>,
    /// Whether the turn under way is not at its end.
    pub(super) turning: bool,
    /// What ended in this life and counts.
    pub(super) settled: BTreeMap<InstancePath, Ending>,
    /// What waits for a person in this life.
    pub(super) asked: BTreeSet<InstancePath>,
    /// Whether runners have spoken since the last turn.
    pub(super) heard: bool,
    /// Whether the driver has returned.
    pub(super) over: bool,
    pub(super) scheduler: Scheduler,
    pub(super) ledger: Ledger,
    pub(super) frames: BTreeMap<FrameId, FrameLife>,
    pub(super) loops: BTreeMap<Slot, LoopLife>,
    after: Vec<After>,
    /// What is written and not committed, for the fingerprint.
    written: Vec<(InstancePath, &'static str)>,
    pub(super) finished: bool,
    /// Whether the run had ended before this life.
    pub(super) retry_failed: bool,
    limit: usize,
}

impl Life {
    /// Starts or resumes a run, whose event is durable when this returns.
    pub(super) fn start(world: &World, store: &mut Durable) -> Result<Self, Broken> {
        let retry_failed = store.run.status.has_ended();
        let mut ledger = take_over(store)?;
        store.commit(ledger.take())?;
        let root = FrameLife { at: None, plans: blocks(&world.phases, &world.workflow) };
        Ok(Self {
            runners: BTreeMap::new(),
            stop: None,
            turning: true,
            settled: BTreeMap::new(),
            asked: BTreeSet::new(),
            heard: false,
            over: false,
            scheduler: Scheduler::new(&world.workflow, world.limit as u64),
            ledger,
            frames: BTreeMap::from([(FrameId::ROOT, root)]),
            loops: BTreeMap::new(),
            after: Vec::new(),
            written: Vec::new(),
            finished: false,
            retry_failed,
            limit: world.limit,
        })
    }

    /// One round of the driver's loop: begin, commit, let count; or rest.
    pub(super) fn turn(&mut self, store: &mut Durable) -> Result<(), Broken> {
        if self.stop.is_none() {
            while self.runners.len() < self.limit {
                let Some(begin) = self.scheduler.next() else { break };
                self.begin(begin, store)?;
            }
        }
        if self.flush(store)? {
            return Ok(());
        }
        (self.turning, self.heard) = (false, false);
        if self.finished {
            self.over = true;
        } else if self.runners.is_empty() {
            self.rest()?;
            self.flush(store)?;
            self.over = true;
        }
        Ok(())
    }

    fn rest(&mut self) -> Result<(), Broken> {
        let event = match self.stop {
            Some(Stop::Interrupt) => RunEvent::Interrupted,
            Some(Stop::Cancel) => RunEvent::Finished { status: RunStatus::Cancelled, error: None },
            None if !self.asked.is_empty() => RunEvent::Waiting,
            None => return Err("8: nothing works, nothing may begin, nobody is asked".into()),
        };
        self.run_event(&event)
    }

    fn flush(&mut self, store: &mut Durable) -> Result<bool, Broken> {
        store.commit(self.ledger.take())?;
        self.written.clear();
        let after = std::mem::take(&mut self.after);
        let counted = !after.is_empty();
        for after in after {
            match after {
                After::Settle(slot, ending, path) => {
                    self.scheduler.settle(slot, ending);
                    self.settles(&path, ending)?;
                    self.record_blocked(store)?;
                }
                After::Grant(slot) => {
                    let runner = self.runners.get_mut(&slot).ok_or("4: nobody is granted")?;
                    runner.grant(store)?;
                }
                After::Tell => {}
            }
        }
        Ok(counted)
    }

    fn settles(&mut self, path: &InstancePath, ending: Ending) -> Result<(), Broken> {
        match self.settled.insert(path.clone(), ending) {
            Some(before) => Err(format!("3: {path} ended as {before:?}, then as {ending:?}")),
            None => Ok(()),
        }
    }

    fn record_blocked(&mut self, store: &Durable) -> Result<(), Broken> {
        for Blocked { slot, block, by } in self.scheduler.take_blocked() {
            let path = self.path(slot, &block)?;
            self.follow(slot, &block, &path, store);
            let by = block.steps[by].id.to_string();
            self.step_event(slot, &StepEvent::Blocked { by }, None)?;
            self.settles(&path, Ending::Blocked)?;
            self.ledger.forget(slot);
        }
        Ok(())
    }

    pub(super) fn skip(&mut self, slot: Slot, path: InstancePath) -> Result<(), Broken> {
        self.step_event(slot, &StepEvent::Skipped, None)?;
        self.conclude(slot, path, Ending::Skipped);
        Ok(())
    }

    pub(super) fn close_done(&mut self, slot: Slot, path: InstancePath) -> Result<(), Broken> {
        let origin = Origin::Ran;
        let event = StepEvent::Succeeded { attempt: 0, hash: None, usage: None, origin };
        self.step_event(slot, &event, None)?;
        self.conclude(slot, path, Ending::Done);
        Ok(())
    }

    /// Ends an instance that failed for good; `on_error` says whether that counts.
    pub(super) fn fail(
        &mut self,
        slot: Slot,
        path: InstancePath,
        attempt: u32,
        hash: Option<ContentHash>,
    ) -> Result<(), Broken> {
        let (_, plans) = self.plans(slot.frame)?;
        self.end_failed(slot, path, attempt, hash, plans[slot.step].tolerant)
    }

    pub(super) fn end_failed(
        &mut self,
        slot: Slot,
        path: InstancePath,
        attempt: u32,
        hash: Option<ContentHash>,
        tolerated: bool,
    ) -> Result<(), Broken> {
        let failure = Failure::internal("it fails");
        let event = StepEvent::Failed { attempt, failure, usage: None, tolerated, hash };
        self.step_event(slot, &event, None)?;
        if let (false, Some(life)) = (tolerated, self.loops.get_mut(&slot_of_loop(slot))) {
            life.failed = true;
        }
        self.conclude(slot, path, if tolerated { Ending::Done } else { Ending::Failed });
        Ok(())
    }

    /// Ends an instance: it counts once that is durable.
    pub(super) fn conclude(&mut self, slot: Slot, path: InstancePath, ending: Ending) {
        self.ledger.forget(slot);
        self.after.push(After::Settle(slot, ending, path));
    }

    /// Lets an attempt act once what was written is durable.
    pub(super) fn grant(&mut self, slot: Slot) {
        self.after.push(After::Grant(slot));
    }

    pub(super) fn step_event(
        &mut self,
        slot: Slot,
        event: &StepEvent,
        value: Option<serde_json::Value>,
    ) -> Result<(), Broken> {
        let path = self.ledger.entry(slot).map(|entry| entry.path.clone());
        let path = path.ok_or_else(|| format!("3: {} of what is not under way", event.kind()))?;
        self.written.push((path.clone(), event.kind()));
        let details = Details { value, ..Details::default() };
        self.ledger.step_event(slot, event, details, 0).map_err(|e| format!("9: {path}: {e}"))
    }

    pub(super) fn run_event(&mut self, event: &RunEvent) -> Result<(), Broken> {
        self.after.push(After::Tell);
        self.ledger.run_event(event, 0, None).map_err(|error| format!("9: {error}"))
    }

    pub(super) fn path(&self, slot: Slot, block: &Block) -> Result<InstancePath, Broken> {
        // A frame that was left while what it blocked is recorded is still known.
        let frame = self.frames.get(&slot.frame).ok_or("3: a step of a frame that was left")?;
        Ok(InstancePath::step(frame.at.as_ref(), &block.steps[slot.step].id))
    }

    pub(super) fn plans(&self, frame: FrameId) -> Result<(Arc<Block>, Arc<Vec<Plan>>), Broken> {
        let block = self.scheduler.block(frame).ok_or("3: a frame that was left")?;
        let frame = self.frames.get(&frame).ok_or("3: a frame that was left")?;
        let plans = frame.plans.iter().find(|(of, _)| Arc::ptr_eq(of, block));
        let (_, plans) = plans.ok_or("the world is not built so")?;
        Ok((Arc::clone(block), Arc::clone(plans)))
    }
}

/// Takes the run over from a process that is gone: what was in flight is lost.
fn take_over(store: &Durable) -> Result<Ledger, Broken> {
    let definition = store.run.definition;
    let (state, event) = match store.seq {
        0 => (RunState::NEW, RunEvent::Started { definition }),
        _ => (RunState::of_status(store.run.status), RunEvent::Resumed { definition }),
    };
    let mut ledger = Ledger::new(store.run.clone(), state, store.seq, None);
    ledger.run_event(&event, 0, None).map_err(|error| error.to_string())?;
    for sent in store.sent() {
        let row = store.row(&sent.path).ok_or("4: an attempt without a row")?;
        ledger.lost(row, sent.clone(), 0).map_err(|error| format!("9: {error}"))?;
    }
    Ok(ledger)
}

/// Cancels a run that nobody drives.
pub(super) fn cancel(store: &mut Durable) -> Result<(), Broken> {
    let mut ledger = take_over(store)?;
    let event = RunEvent::Finished { status: RunStatus::Cancelled, error: None };
    ledger.run_event(&event, 0, None).map_err(|error| format!("9: {error}"))?;
    store.commit(ledger.take())
}

pub(super) fn slot_of_loop(slot: Slot) -> Slot {
    Slot { ordinal: None, ..slot }
}

pub(super) fn blocks(phases: &Phases, workflow: &Workflow) -> Vec<(Arc<Block>, Arc<Vec<Plan>>)> {
    vec![
        (Arc::clone(&workflow.steps), Arc::clone(&phases.steps)),
        (Arc::clone(&workflow.on_failure), Arc::clone(&phases.on_failure)),
        (Arc::clone(&workflow.finally), Arc::clone(&phases.finally)),
    ]
}

impl Hash for Life {
    fn hash<H: Hasher>(&self, into: &mut H) {
        self.scheduler.fingerprint(into);
        (&self.runners, self.stop, self.turning, self.heard, self.over, self.finished).hash(into);
        self.retry_failed.hash(into);
        (&self.settled, &self.asked, &self.loops, &self.after, &self.written).hash(into);
    }
}
