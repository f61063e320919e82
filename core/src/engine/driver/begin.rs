//! How steps and instances begin.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::FutureExt;
use serde_json::Value;

use super::recorded::Recorded;
use super::report::Told;
use super::{Driver, FrameLife, LoopLife};
use crate::engine::backend::EngineError;
use crate::engine::items::Items;
use crate::engine::ledger::Details;
use crate::engine::observer::Progress;
use crate::engine::runner::{self, Job};
use crate::engine::scheduler::{Ending, Slot};
use crate::engine::values::FrameValues;
use crate::error::Failure;
use crate::ids::InstancePath;
use crate::language::{Block, Step, Work, Workflow, bind_inputs};
use crate::state::StepEvent;
use crate::store::{StepRow, StepStatus};
use crate::template::{Scope, StepView, Template, is_true};

impl Driver {
    /// Begins a step whose predecessors are settled.
    pub(super) async fn begin_step(&mut self, slot: Slot) -> Result<(), EngineError> {
        let block = self.block(slot.frame).ok_or_else(|| self.stuck())?;
        let step = &block.steps[slot.step];
        let path = self.step_path(slot, step);
        let scope = self.phase_scope(slot)?;
        let recorded = self.recorded(&path).await?;
        self.follow(slot, step, path.clone(), recorded.as_ref());
        if let Some(when) = step.when.as_ref().filter(|_| !step.when_per_item) {
            match holds(when, &scope) {
                Ok(true) => {}
                Ok(false) => return self.skip(slot, step, &path),
                Err(failure) => return self.fail(slot, step, &path, failure.into()),
            }
        }
        match &step.for_each {
            None => self.begin_work(slot, &block, path, scope, recorded).await,
            Some(_) if self.is_whole(slot, &block, recorded.as_ref()) => {
                self.keep_loop(slot, step, &path).await
            }
            Some(_) => self.open_loop(slot, step, path, &scope).await,
        }
    }

    /// Begins the next item of a loop, if there is one.
    pub(super) async fn begin_instance(&mut self, slot: Slot) -> Result<(), EngineError> {
        let block = self.block(slot.frame).ok_or_else(|| self.stuck())?;
        let step = &block.steps[slot.step];
        let whole = Slot { ordinal: None, ..slot };
        let scope = self.phase_scope(slot)?;
        let Some(life) = self.loops.get_mut(&whole) else {
            return Err(self.stuck());
        };
        let (ordinal, item) = match life.items.next() {
            Ok(Some(item)) => item,
            Ok(None) => {
                self.scheduler.drained(slot);
                return Ok(());
            }
            Err(failure) => {
                // What cannot be read any further ends the loop; what began is finished.
                life.cut_short = Some(failure);
                self.scheduler.drained(slot);
                return Ok(());
            }
        };
        let for_each = step.for_each.as_ref().ok_or_else(|| self.stuck())?;
        let scope = scope
            .with(&for_each.item_name, Arc::clone(&item))
            .with("index", Arc::new(Value::from(ordinal)));
        let Some(life) = self.loops.get_mut(&whole) else {
            return Err(self.stuck());
        };
        life.total += 1;
        let key = for_each.key.as_ref().map(|key| key.render(&scope)).transpose();
        let (key, failure) = match key {
            Ok(key) => (life.items.key(&item, key.as_ref()), None),
            Err(error) => {
                (life.items.key(&item, None), Some(Failure::input(format!("`key`: {error}"))))
            }
        };
        let path = life.path.instance(&key);
        let (store, run) = (&self.shared.workshop.store, &self.shared.run);
        let recorded = life.recorded.take(store, run, &life.path, &path).await?;
        life.moved |= recorded.as_ref().is_some_and(|row| row.ordinal != slot.ordinal);
        self.follow(slot, step, path.clone(), recorded.as_ref());
        if let Some(failure) = failure {
            return self.fail(slot, step, &path, failure.into());
        }
        if let Some(when) = step.when.as_ref().filter(|_| step.when_per_item) {
            match holds(when, &scope) {
                Ok(true) => {}
                Ok(false) => return self.skip(slot, step, &path),
                Err(failure) => return self.fail(slot, step, &path, failure.into()),
            }
        }
        self.begin_work(slot, &block, path, scope, recorded).await
    }

    async fn begin_work(
        &mut self,
        slot: Slot,
        block: &Arc<Block>,
        path: InstancePath,
        scope: Scope,
        recorded: Option<StepRow>,
    ) -> Result<(), EngineError> {
        let step = &block.steps[slot.step];
        match &step.work {
            Work::Action { name, .. } => {
                let action = Some(name.clone());
                let at = self.at(slot, step, &path);
                self.observer.progress(&Progress::Began { at, action });
                let approval = match &recorded {
                    Some(row) if row.status == StepStatus::Waiting => {
                        self.shared.workshop.store.approval(&self.shared.run, &path).await?
                    }
                    Some(_) | None => None,
                };
                let block = Arc::clone(block);
                let order = self.shared.ready.fetch_add(1, Ordering::Relaxed);
                let job = Job { slot, order, path, block, scope, recorded, approval };
                let mut runner = Box::pin(runner::run(Arc::clone(&self.shared), job));
                // Alone, it may be over before another thread would have woken.
                let over = self.active == 0 && (&mut runner).now_or_never().is_some();
                self.active += 1;
                if !over {
                    self.runners.spawn(runner);
                }
                Ok(())
            }
            Work::Body { block: body, .. } => {
                let at = self.at(slot, step, &path);
                self.observer.progress(&Progress::Began { at: at.clone(), action: None });
                let values = FrameValues::of_body(&self.frame(slot.frame)?.values, &scope);
                let frame = self.scheduler.enter_body(slot, Arc::clone(body));
                let life = FrameLife { at: Some(at), values, workflow: None, first_failure: None };
                self.frames.insert(frame, life);
                Ok(())
            }
            Work::Workflow { workflow, inputs, computed } => {
                // Its inputs may be paths, and what is behind a path may change.
                self.look_again.insert(path.root().to_owned());
                self.unsure.insert(path.root().to_owned());
                let inputs = (inputs, computed.as_slice());
                self.begin_workflow(slot, step, path, scope, workflow, inputs).await
            }
        }
    }

    async fn begin_workflow(
        &mut self,
        slot: Slot,
        step: &Step,
        path: InstancePath,
        scope: Scope,
        workflow: &Arc<Workflow>,
        inputs: (&Template, &[String]),
    ) -> Result<(), EngineError> {
        let at = self.at(slot, step, &path);
        self.observer.progress(&Progress::Began { at: at.clone(), action: None });
        let bound = match self.sub_inputs(workflow, inputs, &scope).await {
            Ok(bound) => Arc::new(bound),
            Err(failure) => return self.fail(slot, step, &path, failure.into()),
        };
        let run = serde_json::json!({ "id": self.shared.run.as_str(), "workflow": workflow.name });
        let values = FrameValues::of_workflow(&bound, run);
        let frame = self.scheduler.enter_workflow(slot, workflow);
        let workflow = Some(Arc::clone(workflow));
        let life = FrameLife { at: Some(at), values, workflow, first_failure: None };
        self.frames.insert(frame, life);
        Ok(())
    }

    async fn sub_inputs(
        &self,
        workflow: &Workflow,
        (inputs, computed): (&Template, &[String]),
        scope: &Scope,
    ) -> Result<Value, Failure> {
        let given = inputs.render(scope).map_err(|e| Failure::input(format!("`inputs`: {e}")))?;
        let given = given.as_object().cloned().unwrap_or_default();
        let mut bound = bind_inputs(workflow, &given).map_err(|faults| {
            Failure::input(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        })?;
        self.shared.workshop.take_inputs(workflow, &mut bound, computed).await?;
        Ok(Value::Object(bound))
    }

    /// Ends a loop that is kept as an earlier life of the run left it.
    async fn keep_loop(
        &mut self,
        slot: Slot,
        step: &Step,
        path: &InstancePath,
    ) -> Result<(), EngineError> {
        let (output, status) = (self.whole_output(step, path).await?, StepStatus::Succeeded);
        let view = StepView { output, status, ..StepView::default() };
        let told = Told { reused: true, failure: None, cost: None };
        self.conclude(slot, step, path, view, Ending::Done, told);
        Ok(())
    }

    async fn open_loop(
        &mut self,
        slot: Slot,
        step: &Step,
        path: InstancePath,
        scope: &Scope,
    ) -> Result<(), EngineError> {
        let Some(for_each) = &step.for_each else {
            return Err(self.stuck());
        };
        let items = match for_each.items.render(scope) {
            Ok(items) => Items::of(items, self.shared.workshop.store.artifacts()).await,
            Err(error) => Err(Failure::input(format!("`for_each`: {error}"))),
        };
        let items = match items {
            Ok(items) => items,
            Err(failure) => return self.fail(slot, step, &path, failure.into()),
        };
        let count = items.count();
        self.step_event(slot, &StepEvent::Opened { count })?;
        let at = self.at(slot, step, &path);
        self.observer.progress(&Progress::Opened { at, count });
        let outputs = step.output_used.then(Vec::new);
        let recorded = if self.resumed { Recorded::default() } else { Recorded::nothing() };
        let life = LoopLife {
            path,
            items,
            recorded,
            moved: false,
            outputs,
            total: 0,
            cut_short: None,
            failed: 0,
            first_failure: None,
        };
        self.loops.insert(slot, life);
        self.scheduler.open(slot, for_each.max_parallel);
        Ok(())
    }

    /// What an earlier life of the run left of a step.
    pub(super) async fn recorded(
        &self,
        path: &InstancePath,
    ) -> Result<Option<StepRow>, EngineError> {
        if !self.resumed {
            return Ok(None);
        }
        Ok(self.shared.workshop.store.step(&self.shared.run, path).await?)
    }

    /// Begins to follow an instance, from what an earlier life of the run left of it.
    pub(super) fn follow(
        &mut self,
        slot: Slot,
        step: &Step,
        path: InstancePath,
        recorded: Option<&StepRow>,
    ) {
        let parent = self.parent_path(slot);
        let now = self.shared.clock.now_ms();
        self.ledger.follow(slot, path, parent, &step.id, recorded, now);
    }

    /// The path of the loop an instance belongs to, or of the instance a body belongs to.
    fn parent_path(&self, slot: Slot) -> Option<InstancePath> {
        match slot.ordinal {
            Some(_) => self.loops.get(&Slot { ordinal: None, ..slot }).map(|l| l.path.clone()),
            None => {
                self.frames.get(&slot.frame).and_then(|frame| Some(frame.at.as_ref()?.path.clone()))
            }
        }
    }

    /// What a step's expressions see; in later phases also how the run stands.
    fn phase_scope(&self, slot: Slot) -> Result<Scope, EngineError> {
        let frame = self.frame(slot.frame)?;
        let Some(workflow) = &frame.workflow else {
            return Ok(frame.values.scope.clone());
        };
        let in_steps = self
            .scheduler
            .block(slot.frame)
            .is_some_and(|block| Arc::ptr_eq(block, &workflow.steps));
        if in_steps {
            return Ok(frame.values.scope.clone());
        }
        let failed = self.scheduler.failed_before(slot.frame);
        let status = if failed { "failed" } else { "succeeded" };
        // The first failure is of a phase before where there is one.
        let first = frame.first_failure.as_ref().filter(|_| failed);
        let error = first.map(|(path, f)| format!("{path}: {}", f.message));
        let run = serde_json::json!({
            "id": self.shared.run.as_str(),
            "workflow": workflow.name,
            "status": status,
            "error": error,
        });
        Ok(frame.values.with_run(run).scope)
    }

    fn skip(&mut self, slot: Slot, step: &Step, path: &InstancePath) -> Result<(), EngineError> {
        self.step_event(slot, &StepEvent::Skipped)?;
        let view = StepView { status: StepStatus::Skipped, ..StepView::default() };
        self.conclude(slot, step, path, view, Ending::Skipped, Told::default());
        Ok(())
    }

    pub(super) fn step_event(&mut self, slot: Slot, event: &StepEvent) -> Result<(), EngineError> {
        let now = self.shared.clock.now_ms();
        Ok(self.ledger.step_event(slot, event, Details::default(), now)?)
    }
}

/// Whether a condition holds.
pub(crate) fn holds(when: &Template, scope: &Scope) -> Result<bool, Failure> {
    let value = when.render(scope).map_err(|e| Failure::input(format!("`when`: {e}")))?;
    Ok(is_true(&value))
}
