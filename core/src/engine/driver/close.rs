//! How loops, bodies and the run itself close.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::Driver;
use super::report::Told;
use crate::content::ContentHash;
use crate::engine::backend::EngineError;
use crate::engine::scheduler::{Ending, FrameId, Slot};
use crate::error::Failure;
use crate::ids::InstancePath;
use crate::language::{Step, Work};
use crate::state::{Origin, RunEvent, StepEvent};
use crate::store::{RunStatus, StepStatus};
use crate::template::{Scope, StepView, Template};

impl Driver {
    /// Closes a loop whose items are all settled.
    pub(super) fn gather(&mut self, slot: Slot) -> Result<(), EngineError> {
        let block = self.block(slot.frame).ok_or_else(|| self.stuck())?;
        let step = &block.steps[slot.step];
        let Some(life) = self.loops.remove(&slot) else {
            return Err(self.stuck());
        };
        if let Some(cut) = life.cut_short {
            let failure =
                Failure { message: format!("the items end early: {}", cut.message), ..cut };
            return self.end_failed(slot, step, &life.path, failure.into(), None);
        }
        if let Some((at, first)) = life.first_failure {
            let failure = of_instances(life.failed, life.total, &at, first);
            // The instances have had their `on_error`; what is left counts.
            return self.end_failed(slot, step, &life.path, failure.into(), None);
        }
        let hash = self.hash_of_loop(slot, &life);
        self.note_unsure(slot, &block, &life);
        let outputs = life.outputs.map_or(Value::Null, |mut outputs| {
            outputs.resize_with(life.total as usize, Arc::default);
            Value::Array(outputs.into_iter().map(Arc::unwrap_or_clone).collect())
        });
        self.close_done(slot, step, &life.path, outputs, hash)
    }

    /// Closes the frame of a body or a sub-workflow whose steps are all settled.
    pub(super) fn leave(&mut self, frame: FrameId, holder: Slot) -> Result<(), EngineError> {
        let block = self.block(holder.frame).ok_or_else(|| self.stuck())?;
        let step = &block.steps[holder.step];
        let failed = self.scheduler.frame_failed(frame);
        self.scheduler.close_frame(frame);
        let Some(life) = self.frames.remove(&frame) else {
            return Err(self.stuck());
        };
        let path = life.at.ok_or_else(|| self.stuck())?.path;
        if failed {
            let failure = match life.first_failure {
                Some((at, first)) => of_frame(&at, first),
                None => Failure::internal("a step failed without a reason"),
            };
            return self.fail(holder, step, &path, failure.into());
        }
        let outputs = &life.values.outputs;
        let output = match &step.work {
            Work::Body { collect: Some(collect), .. } => collect
                .render(&life.values.scope)
                .map_err(|error| Failure::input(format!("`collect`: {error}"))),
            Work::Body { block: body, collect: None } => {
                let last = body.steps.last().and_then(|last| outputs.own(&last.id));
                Ok(last.map_or(Value::Null, |view| view.output.as_ref().clone()))
            }
            Work::Workflow { workflow, .. } => {
                render_outputs(&workflow.outputs, &life.values.scope)
            }
            Work::Action { .. } => return Err(self.stuck()),
        };
        match output {
            Ok(output) => self.close_done(holder, step, &path, output, None),
            Err(failure) => self.fail(holder, step, &path, failure.into()),
        }
    }

    /// Ends the run: every step is settled.
    pub(super) fn finish(&mut self) -> Result<(), EngineError> {
        self.finished = true;
        let root = self.frame(FrameId::ROOT)?;
        let failure = if self.scheduler.failed() { root.first_failure.clone() } else { None };
        if let Some((path, failure)) = failure {
            let error = Some(format!("step `{path}`: {}", failure.message));
            return self.run_event(&RunEvent::Finished { status: RunStatus::Failed, error }, None);
        }
        match render_outputs(&self.workflow.outputs, &root.values.scope) {
            Ok(outputs) => {
                let event = RunEvent::Finished { status: RunStatus::Succeeded, error: None };
                self.run_event(&event, Some(outputs))
            }
            Err(failure) => {
                let error = Some(failure.message.clone());
                if let Some(root) = self.frames.get_mut(&FrameId::ROOT) {
                    root.first_failure = Some((InstancePath::from_stored("outputs"), failure));
                }
                self.run_event(&RunEvent::Finished { status: RunStatus::Failed, error }, None)
            }
        }
    }

    fn close_done(
        &mut self,
        slot: Slot,
        step: &Step,
        path: &InstancePath,
        output: Value,
        hash: Option<ContentHash>,
    ) -> Result<(), EngineError> {
        let event = StepEvent::Succeeded { attempt: 0, hash, usage: None, origin: Origin::Ran };
        self.step_event(slot, &event)?;
        let (output, status) = (Arc::new(output), StepStatus::Succeeded);
        let view = StepView { output, status, ..StepView::default() };
        self.conclude(slot, step, path, view, Ending::Done, Told::default());
        Ok(())
    }
}

/// The failure of a loop, from that of the first instance that failed.
pub(crate) fn of_instances(failed: u64, of: u64, at: &InstancePath, first: Failure) -> Failure {
    let message =
        format!("{failed} of {of} instances failed, the first of them `{at}`: {}", first.message);
    Failure { message, ..first }
}

/// The failure of a body or a sub-workflow, from that of its first step that failed.
pub(crate) fn of_frame(at: &InstancePath, first: Failure) -> Failure {
    Failure { message: format!("`{at}`: {}", first.message), ..first }
}

pub(crate) fn render_outputs(
    outputs: &[(String, Template)],
    scope: &Scope,
) -> Result<Value, Failure> {
    let mut rendered = Map::new();
    for (name, template) in outputs {
        let value = template
            .render(scope)
            .map_err(|error| Failure::input(format!("`outputs.{name}`: {error}")))?;
        rendered.insert(name.clone(), value);
    }
    Ok(Value::Object(rendered))
}
