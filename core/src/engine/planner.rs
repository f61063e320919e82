//! What resuming a run would do, found without doing it.
//!
//! The planner goes through the run in the order the driver would, with the outputs that
//! are recorded. What is recorded with the identity it has now is kept; anything else would
//! be run, and what stands behind it cannot be known before it was. Nothing is written but
//! files that inputs name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::{Value, json};

use crate::action::Effect;
use crate::engine::embedded::{Embedded, EngineError, Program};
use crate::engine::items::Items;
use crate::engine::prepare::{Prepared, Workshop};
use crate::engine::values::FrameValues;
use crate::error::Failure;
use crate::ids::{InstancePath, RunId};
use crate::language::{Block, Step, Work, Workflow, bind_inputs};
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
            steps: BTreeMap::new(),
            order: Vec::new(),
        };
        let workflow = &program.workflow;
        let about = json!({ "id": run.as_str(), "workflow": workflow.name });
        let values = FrameValues::of_workflow(&Arc::new(row.inputs), about);
        let kept = planner.block(&workflow.steps, &values, None, "").await?;
        planner.finally(workflow, &values, kept).await?;
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
    steps: BTreeMap<String, Tally>,
    order: Vec<String>,
}

/// What planning an instance came to: its output where it is kept.
enum Found {
    Kept(StepView),
    NotKept,
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

    /// Plans what runs last, and may ask how the run came out: that is known only where
    /// all before it is kept.
    async fn finally(
        &mut self,
        workflow: &Workflow,
        values: &FrameValues,
        kept: bool,
    ) -> Result<(), EngineError> {
        if kept {
            let run = json!({
                "id": self.run.as_str(),
                "workflow": workflow.name,
                "status": "succeeded",
                "error": null,
            });
            let values = values.with_run(run);
            self.block(&workflow.finally, &values, None, "").await?;
            return Ok(());
        }
        let open = self.order.iter().find(|path| !self.steps[*path].is_kept());
        let behind = open.cloned();
        for step in &workflow.finally.steps {
            self.tally(step.id.as_str()).behind.clone_from(&behind);
        }
        Ok(())
    }

    /// Plans the steps of a frame. Says whether all are kept.
    fn block<'p>(
        &'p mut self,
        block: &'p Block,
        values: &'p FrameValues,
        within: Option<&'p InstancePath>,
        plain: &'p str,
    ) -> BoxFuture<'p, Result<bool, EngineError>> {
        async move {
            let mut open: BTreeSet<usize> = BTreeSet::new();
            let (mut settled, mut left) =
                (BTreeSet::new(), (0..block.steps.len()).collect::<Vec<_>>());
            while let Some(at) = left
                .iter()
                .position(|at| block.steps[*at].after.iter().all(|before| settled.contains(before)))
            {
                let index = left.remove(at);
                settled.insert(index);
                let step = &block.steps[index];
                let name = format!("{plain}{}", step.id);
                self.tally(&name);
                if let Some(before) = step.after.iter().find(|before| open.contains(before)) {
                    let behind = format!("{plain}{}", block.steps[*before].id);
                    self.tally(&name).behind.get_or_insert(behind);
                    open.insert(index);
                    continue;
                }
                let path = InstancePath::step(within, &step.id);
                match self.step(step, values, &path, &name).await? {
                    Found::Kept(view) => values.outputs.insert(&step.id, view),
                    Found::NotKept => drop(open.insert(index)),
                }
            }
            Ok(open.is_empty())
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
        let items = for_each
            .items
            .render(&values.scope)
            .map_err(|error| Failure::input(error.message))
            .and_then(|items| Items::of(items, self.workshop.store.artifacts()));
        let mut items = match items {
            Ok(items) => items,
            Err(failure) => return Ok(self.would_run(name, &failure.message, 1)),
        };
        let (mut outputs, mut kept) = (Vec::new(), true);
        while let Ok(Some((ordinal, item))) = items.next() {
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
                Found::Kept(view) => outputs.push(view.output.as_ref().clone()),
                Found::NotKept => kept = false,
            }
        }
        if !kept {
            return Ok(Found::NotKept);
        }
        Ok(Found::Kept(StepView { output: Arc::new(Value::Array(outputs)), ..StepView::default() }))
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
                if !self.block(block, &inner, Some(path), &format!("{name}/")).await? {
                    return Ok(self.would_run(name, "a step in it would", 0));
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
            Work::Workflow { workflow, inputs } => {
                self.sub_workflow(workflow, inputs, scope, path, name).await
            }
        }
    }

    async fn sub_workflow(
        &mut self,
        workflow: &Workflow,
        inputs: &Template,
        scope: &Scope,
        path: &InstancePath,
        name: &str,
    ) -> Result<Found, EngineError> {
        let given = inputs.render(scope).unwrap_or_default();
        let given = given.as_object().cloned().unwrap_or_default();
        let Ok(mut bound) = bind_inputs(workflow, &given) else {
            return Ok(self.would_run(name, "its inputs are wrong", 1));
        };
        self.workshop.take_inputs(workflow, &mut bound).await?;
        let about = json!({ "id": self.run.as_str(), "workflow": workflow.name });
        let inner = FrameValues::of_workflow(&Arc::new(Value::Object(bound)), about);
        if !self.block(&workflow.steps, &inner, Some(path), &format!("{name}/")).await? {
            return Ok(self.would_run(name, "a step in it would", 0));
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
        let reason = match row.as_ref().map(StepState::of_row) {
            Some(StepState::Succeeded { hash, .. }) if hash == Some(prepared.hash) => {
                let packed = row.and_then(|row| row.output).unwrap_or_default();
                return Ok(kept(self.workshop.store.unpack(packed).await?));
            }
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
        Found::NotKept
    }
}

fn kept(output: Value) -> Found {
    Found::Kept(StepView { output: Arc::new(output), ..StepView::default() })
}
