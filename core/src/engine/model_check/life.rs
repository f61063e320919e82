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
use super::worlds::{Does, Phases, Plan, World};
use crate::engine::ledger::{Details, Ledger};
use crate::engine::scheduler::{Begin, Blocked, Ending, FrameId, Scheduler, Slot};
use crate::error::Failure;
use crate::ids::InstancePath;
use crate::language::{Block, Work, Workflow};
use crate::state::{Origin, RunEvent, RunState, StepEvent, StepState};
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

#[derive(Clone, Hash)]
struct LoopLife {
    path: InstancePath,
    count: u64,
    failed: bool,
}

#[derive(Clone)]
struct FrameLife {
    at: Option<InstancePath>,
    plans: Vec<(Arc<Block>, Arc<Vec<Plan>>)>,
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
    scheduler: Scheduler,
    pub(super) ledger: Ledger,
    frames: BTreeMap<FrameId, FrameLife>,
    loops: BTreeMap<Slot, LoopLife>,
    after: Vec<After>,
    /// What is written and not committed, for the fingerprint.
    written: Vec<(InstancePath, &'static str)>,
    finished: bool,
    limit: usize,
}

impl Life {
    /// Starts or resumes a run, whose event is durable when this returns.
    pub(super) fn start(world: &World, store: &mut Durable) -> Result<Self, Broken> {
        let definition = store.run.definition;
        let (state, event) = match store.seq {
            0 => (RunState::NEW, RunEvent::Started { definition }),
            _ => (RunState::of_status(store.run.status), RunEvent::Resumed { definition }),
        };
        let mut ledger = Ledger::new(store.run.clone(), state, store.seq, None);
        ledger.run_event(&event, 0, None).map_err(|error| error.to_string())?;
        store.commit(ledger.take())?;
        let root = FrameLife { at: None, plans: plans(&world.phases, &world.workflow) };
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
            self.follow(slot, &block, &path, store)?;
            let by = block.steps[by].id.to_string();
            self.step_event(slot, &StepEvent::Blocked { by }, None)?;
            self.settles(&path, Ending::Blocked)?;
            self.ledger.forget(slot);
        }
        Ok(())
    }

    fn begin(&mut self, begin: Begin, store: &Durable) -> Result<(), Broken> {
        match begin {
            Begin::Step(slot) => self.begin_step(slot, store),
            Begin::Instance(slot) => self.begin_instance(slot, store),
            Begin::Gather(slot) => {
                let life = self.loops.remove(&slot).ok_or("7: a loop closes twice")?;
                if life.failed {
                    return self.end_failed(slot, life.path, 0, false);
                }
                self.close_done(slot, life.path)
            }
            Begin::Leave { frame, holder } => {
                let failed = self.scheduler.frame_failed(frame);
                self.scheduler.close_frame(frame);
                let life = self.frames.remove(&frame).ok_or("7: a frame is left twice")?;
                let path = life.at.ok_or("7: the run is left")?;
                if failed { self.fail(holder, path, 0) } else { self.close_done(holder, path) }
            }
            Begin::Finish => {
                self.finished = true;
                let failed = self.scheduler.failed();
                let status = if failed { RunStatus::Failed } else { RunStatus::Succeeded };
                self.run_event(&RunEvent::Finished { status, error: None })
            }
        }
    }

    fn begin_step(&mut self, slot: Slot, store: &Durable) -> Result<(), Broken> {
        let (block, plans) = self.plans(slot.frame)?;
        let plan = &plans[slot.step];
        let path = self.path(slot, &block)?;
        for before in &plan.after {
            let before = self.path(Slot { step: *before, ..slot }, &block)?;
            let durable = store.row(&before).is_some_and(|row| !StepState::of_row(row).is_open());
            if !durable || !self.settled.contains_key(&before) {
                return Err(format!("1: {path} begins before {before} is settled and durable"));
            }
        }
        self.follow(slot, &block, &path, store)?;
        if !plan.holds {
            return self.skip(slot, path);
        }
        let count = match &plan.does {
            Does::Once(_) | Does::Runs(_) => return self.begin_work(slot, path, store),
            Does::Each(items) => items.len() as u64,
            Does::Bodies(items) => items.len() as u64,
        };
        self.step_event(slot, &StepEvent::Opened { count: Some(count) }, None)?;
        self.loops.insert(slot, LoopLife { path, count, failed: false });
        self.scheduler.open(slot, plan.max_parallel);
        Ok(())
    }

    fn begin_instance(&mut self, slot: Slot, store: &Durable) -> Result<(), Broken> {
        let (block, plans) = self.plans(slot.frame)?;
        let life = self.loops.get(&slot_of_loop(slot)).ok_or("7: no loop is open")?;
        let at = slot.ordinal.filter(|at| *at < life.count);
        let Some(at) = at else {
            self.scheduler.drained(slot);
            return Ok(());
        };
        let path = life.path.instance(&at.to_string());
        self.follow(slot, &block, &path, store)?;
        match &plans[slot.step].does {
            Does::Each(items) if items[at as usize].is_none() => self.skip(slot, path),
            Does::Each(_) | Does::Once(_) | Does::Bodies(_) | Does::Runs(_) => {
                self.begin_work(slot, path, store)
            }
        }
    }

    fn begin_work(
        &mut self,
        slot: Slot,
        path: InstancePath,
        store: &Durable,
    ) -> Result<(), Broken> {
        let (block, plans) = self.plans(slot.frame)?;
        let (plan, at) = (&plans[slot.step], slot.ordinal.unwrap_or_default() as usize);
        let work = &block.steps[slot.step].work;
        let (frame, plans) = match (&plan.does, work) {
            (Does::Bodies(items), Work::Body { block, .. }) => {
                let frame = self.scheduler.enter_body(slot, Arc::clone(block));
                (frame, vec![(Arc::clone(block), Arc::clone(&items[at]))])
            }
            (Does::Runs(phases), Work::Workflow { workflow, .. }) => {
                (self.scheduler.enter_workflow(slot, workflow), self::plans(phases, workflow))
            }
            (Does::Once(act), _) => return self.run(slot, path, *act, plan, store),
            (Does::Each(items), _) => {
                let act = items[at].ok_or("6: a skipped item begins")?;
                return self.run(slot, path, act, plan, store);
            }
            (Does::Bodies(_) | Does::Runs(_), _) => return Err("the world is not built so".into()),
        };
        self.frames.insert(frame, FrameLife { at: Some(path), plans });
        Ok(())
    }

    fn run(
        &mut self,
        slot: Slot,
        path: InstancePath,
        act: super::worlds::Act,
        plan: &Plan,
        store: &Durable,
    ) -> Result<(), Broken> {
        let runner = Runner::new(path, act, plan, store)?;
        self.runners.insert(slot, runner);
        Ok(())
    }

    /// Begins to follow an instance, from what an earlier life of the run left of it.
    fn follow(
        &mut self,
        slot: Slot,
        block: &Block,
        path: &InstancePath,
        store: &Durable,
    ) -> Result<(), Broken> {
        let (row, id) = (store.row(path), block.steps[slot.step].id.clone());
        self.ledger.follow(slot, path.clone(), None, id, row, 0);
        if let Some(StepState::Working { attempt, .. }) = row.map(StepState::of_row) {
            if let Some(sent) = store.attempt(path, attempt) {
                self.ledger.adopt_attempt(slot, sent.clone());
            }
            self.step_event(slot, &StepEvent::Lost { attempt }, None)?;
        }
        Ok(())
    }

    fn skip(&mut self, slot: Slot, path: InstancePath) -> Result<(), Broken> {
        self.step_event(slot, &StepEvent::Skipped, None)?;
        self.conclude(slot, path, Ending::Skipped);
        Ok(())
    }

    fn close_done(&mut self, slot: Slot, path: InstancePath) -> Result<(), Broken> {
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
    ) -> Result<(), Broken> {
        let (_, plans) = self.plans(slot.frame)?;
        self.end_failed(slot, path, attempt, plans[slot.step].tolerant)
    }

    fn end_failed(
        &mut self,
        slot: Slot,
        path: InstancePath,
        attempt: u32,
        tolerated: bool,
    ) -> Result<(), Broken> {
        let failure = Failure::internal("it fails");
        let event = StepEvent::Failed { attempt, failure, usage: None, tolerated };
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
        let details = Details { value, cache: false };
        self.ledger.step_event(slot, event, details, 0).map_err(|e| format!("9: {path}: {e}"))
    }

    fn run_event(&mut self, event: &RunEvent) -> Result<(), Broken> {
        self.after.push(After::Tell);
        self.ledger.run_event(event, 0, None).map_err(|error| format!("9: {error}"))
    }

    fn path(&self, slot: Slot, block: &Block) -> Result<InstancePath, Broken> {
        // A frame that was left while what it blocked is recorded is still known.
        let frame = self.frames.get(&slot.frame).ok_or("3: a step of a frame that was left")?;
        Ok(InstancePath::step(frame.at.as_ref(), &block.steps[slot.step].id))
    }

    fn plans(&self, frame: FrameId) -> Result<(Arc<Block>, Arc<Vec<Plan>>), Broken> {
        let block = self.scheduler.block(frame).ok_or("3: a frame that was left")?;
        let frame = self.frames.get(&frame).ok_or("3: a frame that was left")?;
        let plans = frame.plans.iter().find(|(of, _)| Arc::ptr_eq(of, block));
        let (_, plans) = plans.ok_or("the world is not built so")?;
        Ok((Arc::clone(block), Arc::clone(plans)))
    }
}

fn slot_of_loop(slot: Slot) -> Slot {
    Slot { ordinal: None, ..slot }
}

fn plans(phases: &Phases, workflow: &Workflow) -> Vec<(Arc<Block>, Arc<Vec<Plan>>)> {
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
        (&self.settled, &self.asked, &self.loops, &self.after, &self.written).hash(into);
    }
}
