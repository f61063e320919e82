//! What resuming a run would do, found without doing it.
//!
//! The planner goes through the run in the order the driver would, with the outputs that
//! are recorded, and asks the rule by which the driver recovers. What is done with the
//! identity it has now is kept, and so is a failure that is not tried again and what it
//! blocks; anything else would be run, and what stands behind it cannot be known before it
//! was. Nothing is written but files that inputs name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::{Value, json};

use crate::action::Effect;
use crate::engine::backend::{EngineError, Program};
use crate::engine::embedded::Embedded;
use crate::engine::items::Items;
use crate::engine::prepare::{Prepared, Workshop};
use crate::engine::reuse::{Recalled, recall};
use crate::engine::runner::End;
use crate::engine::values::FrameValues;
use crate::error::Failure;
use crate::ids::{InstancePath, RunId};
use crate::language::{Block, OnError, Step, Work, Workflow, bind_inputs};
use crate::state::StepState;
use crate::store::StepStatus;
use crate::template::{Scope, StepView, Template};
use crate::units::Money;

/// What would become of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "forecast")]
pub enum Forecast {
    /// It is done, and nothing about it changed.
    Kept,
    /// It would be run, or some of its instances would.
    Run {
        /// Why.
        reason: String,
    },
    /// It depends on what a step before it yields.
    Unknown {
        /// That step.
        behind: String,
    },
}

/// A step and what would become of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedStep {
    /// Its path, without keys: `pages/read`.
    pub path: String,
    /// What would become of it.
    #[serde(flatten)]
    pub forecast: Forecast,
    /// How many instances would be run, as far as is known.
    pub instances: u64,
    /// What those instances cost before; none where nobody knows.
    pub cost_before: Option<Money>,
}

impl Embedded {
    /// Says what resuming a run with this program would do.
    ///
    /// Dropping the future changes nothing.
    pub async fn plan_resume(
        &self,
        run: &RunId,
        program: Program,
    ) -> Result<Vec<PlannedStep>, EngineError> {
        let row = self.store().run(run).await?;
        let row = row.ok_or_else(|| EngineError::UnknownRun { run: run.clone() })?;
        let mut planner = Planner {
            run: run.clone(),
            workshop: self.workshop(program.folder.clone()),
            retry_failed: row.status.has_ended(),
            steps: BTreeMap::new(),
            order: Vec::new(),
        };
        let workflow = &program.workflow;
        let about = json!({ "id": run.as_str(), "workflow": workflow.name });
        let values = FrameValues::of_workflow(&Arc::new(row.inputs), about);
        planner.phases(workflow, &values, None, "").await?;
        Ok(planner.planned())
    }
}

/// What is known of a step over its instances.
#[derive(Default)]
struct Tally {
    run: u64,
    reason: Option<String>,
    behind: Option<String>,
    cost: Money,
    cost_unknown: bool,
}

impl Tally {
    fn is_kept(&self) -> bool {
        self.reason.is_none() && self.behind.is_none()
    }
}

struct Planner {
    run: RunId,
    workshop: Workshop,
    /// Whether what failed for good is tried again: the run had ended.
    retry_failed: bool,
    steps: BTreeMap<String, Tally>,
    order: Vec<String>,
}

/// What planning a step or an instance came to.
enum Found {
    /// What it yields.
    Kept(StepView),
    /// It failed, and is not tried again.
    Failed(InstancePath, Failure),
    /// What it yields is not known before it was run.
    Open,
}

/// What planning a frame came to.
enum Frame {
    Kept,
    /// A step of it failed, the first this one.
    Failed(InstancePath, Failure),
    Open,
}

impl Planner {
    fn planned(self) -> Vec<PlannedStep> {
        let Self { steps, order, .. } = self;
        let mut steps = steps;
        let forecast = |path: String| {
            let tally = steps.remove(&path)?;
            let forecast = match (tally.reason, tally.behind) {
                (Some(reason), _) => Forecast::Run { reason },
                (None, Some(behind)) => Forecast::Unknown { behind },
                (None, None) => Forecast::Kept,
            };
            let cost_before = (!tally.cost_unknown).then_some(tally.cost);
            Some(PlannedStep { path, forecast, instances: tally.run, cost_before })
        };
        order.into_iter().filter_map(forecast).collect()
    }

    fn tally(&mut self, path: &str) -> &mut Tally {
        if !self.steps.contains_key(path) {
            self.order.push(path.to_owned());
        }
        self.steps.entry(path.to_owned()).or_default()
    }

    /// Plans a workflow. What runs behind its steps may ask how they came out: that is known
    /// only where nothing of them would be run.
    async fn phases(
        &mut self,
        workflow: &Workflow,
        values: &FrameValues,
        within: Option<&InstancePath>,
        plain: &str,
    ) -> Result<Frame, EngineError> {
        let mut frame = self.block(&workflow.steps, values, within, plain).await?;
        if let Frame::Failed(..) = frame {
            let values = self.with_end(workflow, values, &frame);
            let late = self.block(&workflow.on_failure, &values, within, plain).await?;
            frame = worse(frame, late);
        }
        if let Frame::Open = frame {
            let open = |path: &&String| path.starts_with(plain) && !self.steps[*path].is_kept();
            let behind = self.order.iter().find(open).cloned();
            for step in &workflow.finally.steps {
                self.tally(&format!("{plain}{}", step.id)).behind.clone_from(&behind);
            }
            return Ok(frame);
        }
        let values = self.with_end(workflow, values, &frame);
        let late = self.block(&workflow.finally, &values, within, plain).await?;
        Ok(worse(frame, late))
    }

    /// The values that the later phases see, once it is known how the run stands.
    fn with_end(&self, workflow: &Workflow, values: &FrameValues, frame: &Frame) -> FrameValues {
        let error = match frame {
            Frame::Failed(path, failure) => Some(format!("{path}: {}", failure.message)),
            Frame::Kept | Frame::Open => None,
        };
        values.with_run(json!({
            "id": self.run.as_str(),
            "workflow": workflow.name,
            "status": if error.is_some() { "failed" } else { "succeeded" },
            "error": error,
        }))
    }

    /// Plans the steps of a frame.
    fn block<'p>(
        &'p mut self,
        block: &'p Block,
        values: &'p FrameValues,
        within: Option<&'p InstancePath>,
        plain: &'p str,
    ) -> BoxFuture<'p, Result<Frame, EngineError>> {
        async move {
            let (mut open, mut blocks) = (BTreeSet::new(), BTreeSet::new());
            let mut frame = Frame::Kept;
            for index in block.in_order() {
                let step = &block.steps[index];
                let name = format!("{plain}{}", step.id);
                self.tally(&name);
                if let Some(before) = step.after.iter().find(|before| open.contains(*before)) {
                    let behind = format!("{plain}{}", block.steps[*before].id);
                    self.tally(&name).behind.get_or_insert(behind);
                    open.insert(index);
                    frame = Frame::Open;
                    continue;
                }
                if step.after.iter().any(|before| blocks.contains(before)) {
                    blocks.insert(index);
                    let view = StepView { status: StepStatus::Blocked, ..StepView::default() };
                    values.outputs.insert(&step.id, view);
                    continue;
                }
                let path = InstancePath::step(within, &step.id);
                let end = match self.step(step, values, &path, &name).await? {
                    Found::Kept(view) => {
                        values.outputs.insert(&step.id, view);
                        continue;
                    }
                    Found::Failed(path, failure) => {
                        blocks.insert(index);
                        let view = failed_view(&failure, Value::Null, json!({}));
                        values.outputs.insert(&step.id, view);
                        Frame::Failed(path, failure)
                    }
                    Found::Open => {
                        open.insert(index);
                        Frame::Open
                    }
                };
                frame = worse(frame, end);
            }
            Ok(frame)
        }
        .boxed()
    }

    async fn step(
        &mut self,
        step: &Step,
        values: &FrameValues,
        path: &InstancePath,
        name: &str,
    ) -> Result<Found, EngineError> {
        if let Some(when) = step.when.as_ref().filter(|_| !step.when_per_item)
            && let Some(found) = self.skipped(when, &values.scope, name)
        {
            return Ok(found);
        }
        let Some(for_each) = &step.for_each else {
            return self.instance(step, values, &values.scope, path, name).await;
        };
        let items = match for_each.items.render(&values.scope) {
            Ok(items) => Items::of(items, self.workshop.store.artifacts()).await,
            Err(error) => Err(Failure::input(error.message)),
        };
        let mut items = match items {
            Ok(items) => items,
            Err(failure) => return Ok(self.would_run(name, &failure.message, 1)),
        };
        let (mut outputs, mut open, mut failed, mut first) = (Vec::new(), false, 0, None);
        loop {
            let (ordinal, item) = match items.next() {
                Ok(Some(next)) => next,
                Ok(None) => break,
                Err(failure) => return Ok(self.would_run(name, &failure.message, 1)),
            };
            let scope = values
                .scope
                .with(&for_each.item_name, Arc::clone(&item))
                .with("index", Arc::new(Value::from(ordinal)));
            let key = for_each.key.as_ref().and_then(|key| key.render(&scope).ok());
            let path = path.instance(&items.key(&item, key.as_ref()));
            let found = match step.when.as_ref().filter(|_| step.when_per_item) {
                Some(when) => self.skipped(when, &scope, name),
                None => None,
            };
            let found = match found {
                Some(found) => found,
                None => self.instance(step, values, &scope, &path, name).await?,
            };
            match found {
                // What the step yields is not known any more, and nobody asks for a part of it.
                Found::Kept(_) | Found::Failed(..) if open => {}
                Found::Kept(view) => outputs.push(view.output.as_ref().clone()),
                Found::Failed(path, failure) => {
                    failed += 1;
                    outputs.push(Value::Null);
                    first.get_or_insert((path, failure));
                }
                Found::Open => {
                    open = true;
                    outputs = Vec::new();
                }
            }
        }
        match first {
            _ if open => Ok(Found::Open),
            Some((at, first)) => {
                let failure = super::driver::of_instances(failed, outputs.len() as u64, &at, first);
                Ok(Found::Failed(path.clone(), failure))
            }
            None => Ok(kept(Value::Array(outputs))),
        }
    }

    /// The view of a step whose condition is false; none where it holds.
    fn skipped(&mut self, when: &Template, scope: &Scope, name: &str) -> Option<Found> {
        match super::driver::holds(when, scope) {
            Ok(true) => None,
            Ok(false) => {
                let view = StepView { status: StepStatus::Skipped, ..StepView::default() };
                Some(Found::Kept(view))
            }
            Err(failure) => Some(self.would_run(name, &failure.message, 1)),
        }
    }

    async fn instance(
        &mut self,
        step: &Step,
        values: &FrameValues,
        scope: &Scope,
        path: &InstancePath,
        name: &str,
    ) -> Result<Found, EngineError> {
        match &step.work {
            Work::Action { .. } => self.action(step, scope, path, name).await,
            Work::Body { block, collect } => {
                let inner = FrameValues::of_body(values, scope);
                match self.block(block, &inner, Some(path), &format!("{name}/")).await? {
                    Frame::Kept => {}
                    Frame::Failed(at, first) => return Ok(stays_failed(step, path, &at, first)),
                    Frame::Open => return Ok(self.would_run(name, "a step in it would", 0)),
                }
                let output = match (collect, block.steps.last()) {
                    (Some(collect), _) => collect.render(&inner.scope).unwrap_or_default(),
                    (None, Some(last)) => {
                        let view = inner.outputs.own(&last.id);
                        view.map(|view| view.output.as_ref().clone()).unwrap_or_default()
                    }
                    (None, None) => Value::Null,
                };
                Ok(kept(output))
            }
            Work::Workflow { workflow, inputs, computed } => {
                let inputs = (inputs, computed.as_slice());
                let inner = self.sub_workflow(step, workflow, inputs, scope, path, name);
                inner.await
            }
        }
    }

    async fn sub_workflow(
        &mut self,
        step: &Step,
        workflow: &Workflow,
        (inputs, computed): (&Template, &[String]),
        scope: &Scope,
        path: &InstancePath,
        name: &str,
    ) -> Result<Found, EngineError> {
        let given = inputs.render(scope).unwrap_or_default();
        let given = given.as_object().cloned().unwrap_or_default();
        let Ok(mut bound) = bind_inputs(workflow, &given) else {
            return Ok(self.would_run(name, "its inputs are wrong", 1));
        };
        self.workshop.take_inputs(workflow, &mut bound, computed).await?;
        let about = json!({ "id": self.run.as_str(), "workflow": workflow.name });
        let inner = FrameValues::of_workflow(&Arc::new(Value::Object(bound)), about);
        match self.phases(workflow, &inner, Some(path), &format!("{name}/")).await? {
            Frame::Kept => {}
            Frame::Failed(at, first) => return Ok(stays_failed(step, path, &at, first)),
            Frame::Open => return Ok(self.would_run(name, "a step in it would", 0)),
        }
        let output = super::driver::render_outputs(&workflow.outputs, &inner.scope);
        Ok(kept(output.unwrap_or_default()))
    }

    async fn action(
        &mut self,
        step: &Step,
        scope: &Scope,
        path: &InstancePath,
        name: &str,
    ) -> Result<Found, EngineError> {
        let prepared = match self.workshop.prepare(step, scope).await {
            Ok(prepared) => prepared,
            Err(failure) => return Ok(self.would_run(name, &failure.message, 1)),
        };
        let row = self.workshop.store.step(&self.run, path).await?;
        let waits = row.as_ref().is_some_and(|row| row.status == StepStatus::Waiting);
        let approval =
            if waits { self.workshop.store.approval(&self.run, path).await? } else { None };
        let (on_lost, hash) = (step.policy.on_lost, prepared.hash);
        match recall(on_lost, hash, row.as_ref(), approval.as_ref(), self.retry_failed) {
            Recalled::Done(row) => {
                let output = row.output.clone().unwrap_or_default();
                let output = Arc::new(self.workshop.store.unpack(output).await?);
                let meta = Arc::new(row.meta.clone().unwrap_or_else(|| json!({})));
                let status = StepStatus::Succeeded;
                return Ok(Found::Kept(StepView { output, status, error: None, meta }));
            }
            Recalled::Ended(end) => match *end {
                End::Done(done) => return Ok(kept(done.output.as_ref().clone())),
                End::Failed { failure, .. } => {
                    let meta = row.and_then(|row| row.meta).unwrap_or_else(|| json!({}));
                    return Ok(tolerated(step, path, failure, meta));
                }
                End::Asked { .. } => return Ok(self.would_run(name, "it waits for a person", 1)),
                End::Cancelled { .. } | End::Store(_) => {}
            },
            Recalled::Nothing => {}
        }
        let reason = match row.as_ref().map(StepState::of_row) {
            Some(StepState::Succeeded { .. }) => "it changed",
            Some(StepState::Failed { .. }) => "it failed",
            Some(StepState::Waiting { .. }) => "it waits for a person",
            Some(
                StepState::Idle { .. }
                | StepState::Open { .. }
                | StepState::Working { .. }
                | StepState::Retrying { .. }
                | StepState::Skipped { .. }
                | StepState::Blocked { .. }
                | StepState::Cancelled { .. },
            ) => "it was not done",
            None => "it is new",
        };
        self.add_cost(&prepared, path, name).await?;
        Ok(self.would_run(name, reason, 1))
    }

    async fn add_cost(
        &mut self,
        prepared: &Prepared,
        path: &InstancePath,
        name: &str,
    ) -> Result<(), EngineError> {
        if prepared.action.effect(&prepared.input) != Effect::External {
            return Ok(());
        }
        let attempts = self.workshop.store.attempts(&self.run, path).await?;
        let tally = self.tally(name);
        tally.cost_unknown |= attempts.is_empty() || attempts.iter().any(|a| a.cost.is_none());
        tally.cost += attempts.iter().filter_map(|attempt| attempt.cost).sum();
        Ok(())
    }

    fn would_run(&mut self, name: &str, reason: &str, instances: u64) -> Found {
        let tally = self.tally(name);
        tally.run += instances;
        tally.reason.get_or_insert_with(|| reason.to_owned());
        Found::Open
    }
}

fn kept(output: Value) -> Found {
    let status = StepStatus::Succeeded;
    Found::Kept(StepView { output: Arc::new(output), status, ..StepView::default() })
}

/// What a failure that is not tried again counts as.
fn tolerated(step: &Step, path: &InstancePath, failure: Failure, meta: Value) -> Found {
    let instead = match &step.on_error {
        OnError::Fail => return Found::Failed(path.clone(), failure),
        OnError::Continue => Value::Null,
        OnError::Value(value) => value.clone(),
    };
    Found::Kept(failed_view(&failure, instead, meta))
}

/// What a frame whose step `at` stays failed makes of the step that holds it.
fn stays_failed(step: &Step, path: &InstancePath, at: &InstancePath, first: Failure) -> Found {
    let failure = super::driver::of_frame(at, first);
    tolerated(step, path, failure, json!({}))
}

fn failed_view(failure: &Failure, output: Value, meta: Value) -> StepView {
    let (error, status) = (super::driver::error_of(failure), StepStatus::Failed);
    let (output, error, meta) = (Arc::new(output), Some(Arc::new(error)), Arc::new(meta));
    StepView { output, status, error, meta }
}

/// What two parts of a frame come to together: nothing is known while one is open, and the
/// first failure is the one that is told.
fn worse(one: Frame, other: Frame) -> Frame {
    match (one, other) {
        (Frame::Open, _) | (_, Frame::Open) => Frame::Open,
        (Frame::Failed(path, failure), _) | (Frame::Kept, Frame::Failed(path, failure)) => {
            Frame::Failed(path, failure)
        }
        (Frame::Kept, Frame::Kept) => Frame::Kept,
    }
}
