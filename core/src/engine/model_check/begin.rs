//! What a life does with what the scheduler says may begin.

use std::sync::Arc;

use super::durable::{Broken, Durable};
use super::life::{FrameLife, Life, LoopLife, blocks, slot_of_loop};
use super::work::Runner;
use super::worlds::{Act, Does, Plan};
use crate::engine::scheduler::{Begin, Slot};
use crate::ids::InstancePath;
use crate::language::{Block, Work};
use crate::state::{RunEvent, StepEvent, StepState};
use crate::store::RunStatus;

impl Life {
    pub(super) fn begin(&mut self, begin: Begin, store: &Durable) -> Result<(), Broken> {
        match begin {
            Begin::Step(slot) => self.begin_step(slot, store),
            Begin::Instance(slot) => self.begin_instance(slot, store),
            Begin::Gather(slot) => {
                let life = self.loops.remove(&slot).ok_or("7: a loop closes twice")?;
                if life.failed {
                    return self.end_failed(slot, life.path, 0, None, false);
                }
                self.close_done(slot, life.path)
            }
            Begin::Leave { frame, holder } => {
                let failed = self.scheduler.frame_failed(frame);
                self.scheduler.close_frame(frame);
                let life = self.frames.remove(&frame).ok_or("7: a frame is left twice")?;
                let path = life.at.ok_or("7: the run is left")?;
                if failed {
                    self.fail(holder, path, 0, None)
                } else {
                    self.close_done(holder, path)
                }
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
        self.follow(slot, &block, &path, store);
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
        self.follow(slot, &block, &path, store);
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
                (self.scheduler.enter_workflow(slot, workflow), blocks(phases, workflow))
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
        act: Act,
        plan: &Plan,
        store: &Durable,
    ) -> Result<(), Broken> {
        let runner = Runner::new(path, act, plan, store, self.retry_failed)?;
        self.runners.insert(slot, runner);
        Ok(())
    }

    /// Begins to follow an instance, from what an earlier life of the run left of it.
    pub(super) fn follow(
        &mut self,
        slot: Slot,
        block: &Block,
        path: &InstancePath,
        store: &Durable,
    ) {
        let (row, id) = (store.row(path), block.steps[slot.step].id.clone());
        self.ledger.follow(slot, path.clone(), None, &id, row, 0);
    }
}
