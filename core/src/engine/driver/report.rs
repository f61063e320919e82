//! What runners report, and how an instance ends.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::Value;

use super::{After, Driver};
use crate::action::CallUsage;
use crate::content::ContentHash;
use crate::engine::backend::EngineError;
use crate::engine::budget::Allowance;
use crate::engine::ledger::Details;
use crate::engine::observer::{At, Progress};
use crate::engine::runner::{Announced, Answered, Attempt, Done, End, Report};
use crate::engine::scheduler::{Ending, Slot};
use crate::error::{ErrorClass, Failure};
use crate::ids::InstancePath;
use crate::language::{OnError, Step};
use crate::state::StepEvent;
use crate::store::StepStatus;
use crate::template::StepView;
use crate::units::Money;

impl Driver {
    /// Takes a runner's report.
    pub(super) fn take(&mut self, report: Report) -> Result<(), EngineError> {
        match report {
            Report::Announce(announced) => self.announce(announced)?,
            Report::Retry { slot, attempt, failure, usage, wait } => {
                if !attempt.external {
                    self.note_attempt(slot, &attempt);
                }
                let retry_in_ms = wait.as_millis() as u64;
                let path = self.path(slot)?;
                let block = self.block(slot.frame).ok_or_else(|| self.stuck())?;
                let at = self.at(slot, &block.steps[slot.step], &path);
                self.after.push(After::Tell(Progress::Retrying {
                    at,
                    failure: failure.clone(),
                    wait_ms: retry_in_ms,
                }));
                let attempt = attempt.number;
                self.step_event(
                    slot,
                    &StepEvent::AttemptFailed { attempt, failure, usage, retry_in_ms },
                )?;
                self.announce_held()?;
            }
            Report::Answered(answered) => {
                let Answered { slot, attempt, hash, packed, usage, meta, cache } = *answered;
                self.come_back(slot);
                if !attempt.external {
                    self.note_attempt(slot, &attempt);
                }
                let event = StepEvent::AttemptAnswered { attempt: attempt.number, hash, usage };
                let details = Details { value: packed, meta, cache };
                self.ledger.step_event(slot, &event, details, self.shared.clock.now_ms())?;
                self.announce_held()?;
            }
            Report::Aside { slot } => {
                if self.aside.insert(slot) {
                    self.active -= 1;
                    self.scheduler.stand_aside(slot);
                }
            }
            Report::Back { slot } => self.come_back(slot),
            Report::Line { slot, attempt, text } => {
                // What an action left behind may still speak when its instance has ended.
                let Ok(path) = self.path(slot) else { return Ok(()) };
                self.ledger.log(&path, attempt, text.clone(), self.shared.clock.now_ms());
                let block = self.block(slot.frame).ok_or_else(|| self.stuck())?;
                let at = self.at(slot, &block.steps[slot.step], &path);
                self.observer.progress(&Progress::Line { at, text });
            }
            Report::Text { slot, text } => {
                let Ok(path) = self.path(slot) else { return Ok(()) };
                let block = self.block(slot.frame).ok_or_else(|| self.stuck())?;
                let at = self.at(slot, &block.steps[slot.step], &path);
                self.observer.progress(&Progress::Text { at, text });
            }
            Report::Ended { slot, end } => {
                self.come_back(slot);
                self.active -= 1;
                self.end(slot, end)?;
                self.announce_held()?;
            }
        }
        Ok(())
    }

    /// Gives an instance that stood aside its place among those at work again.
    fn come_back(&mut self, slot: Slot) {
        if self.aside.remove(&slot) {
            self.active += 1;
            self.scheduler.come_back(slot);
        }
    }

    /// Lets an attempt act once that is durable, if the budgets allow it now or never will.
    fn announce(&mut self, announced: Announced) -> Result<(), EngineError> {
        let Announced { slot, quote, .. } = announced;
        let block = self.block(slot.frame).ok_or_else(|| self.stuck())?;
        let of_step = block.steps[slot.step].policy.budget;
        let reserved = match self.ledger.allows(slot, of_step, quote) {
            Allowance::Granted(reserved) => reserved,
            Allowance::Later => {
                self.held.push(announced);
                return Ok(());
            }
            Allowance::Refused(failure) => {
                // A runner that is gone needs no answer.
                drop(announced.answer.send(Err(failure)));
                return Ok(());
            }
        };
        let Announced { attempt, answer, .. } = announced;
        self.note_attempt(slot, &attempt);
        let (attempt, hash) = (attempt.number, attempt.hash);
        self.step_event(slot, &StepEvent::Sent { attempt, hash, reserved })?;
        self.after.push(After::Grant(answer));
        Ok(())
    }

    /// An attempt has ended, and what was set aside for it is free: looks again at those that
    /// wait for it. Something is set aside as long as one waits, so that none waits for ever.
    fn announce_held(&mut self) -> Result<(), EngineError> {
        let held = std::mem::take(&mut self.held);
        if self.shared.cancel.is_cancelled() {
            // Their runners hear that the run has ended.
            return Ok(());
        }
        held.into_iter().try_for_each(|announced| self.announce(announced))
    }

    /// Notes an attempt before its first event: the announcement, or its end where it was not
    /// announced.
    fn note_attempt(&mut self, slot: Slot, attempt: &Attempt) {
        let Attempt { number, model, started, batch, .. } = attempt;
        self.ledger.attempt_started(slot, *number, model.as_ref(), *started, *batch);
    }

    fn path(&self, slot: Slot) -> Result<InstancePath, EngineError> {
        self.ledger.entry(slot).map(|entry| entry.path.clone()).ok_or_else(|| self.stuck())
    }

    fn end(&mut self, slot: Slot, end: End) -> Result<(), EngineError> {
        let block = self.block(slot.frame).ok_or_else(|| self.stuck())?;
        let step = &block.steps[slot.step];
        let path = self.path(slot)?;
        match end {
            End::Done(done) => self.end_done(slot, step, &path, done),
            End::Asked { attempt, hash, show } => {
                self.end_asked(slot, &StepEvent::Asked { attempt, hash }, show)?;
                self.tell(self.at(slot, step, &path), StepStatus::Waiting, Told::default());
                Ok(())
            }
            End::Failed { attempt, failure, usage, hash } => {
                if let Some(attempt) = attempt.as_ref().filter(|a| !a.external) {
                    self.note_attempt(slot, attempt);
                }
                let attempt = attempt.map_or(0, |attempt| attempt.number);
                self.fail(slot, step, &path, Failed { attempt, failure, usage, hash })
            }
            End::Cancelled { attempt } => {
                let given_up = !self.shared.interrupted.load(Ordering::SeqCst);
                if given_up && attempt.as_ref().is_some_and(|attempt| attempt.batch) {
                    self.ledger.gave_up_batches();
                }
                self.cancelled(slot, attempt.map_or(0, |attempt| attempt.number))
            }
            End::Store(error) => Err(error.into()),
        }
    }

    /// Notes that an instance was stopped; 0 where no attempt of it was made.
    fn cancelled(&mut self, slot: Slot, attempt: u32) -> Result<(), EngineError> {
        if attempt > 0 {
            return self.step_event(slot, &StepEvent::Cancelled { attempt });
        }
        let (retry_failed, now) = (self.shared.retry_failed, self.shared.clock.now_ms());
        Ok(self.ledger.cut_off(slot, retry_failed, now)?)
    }

    fn end_done(
        &mut self,
        slot: Slot,
        step: &Step,
        path: &InstancePath,
        done: Done,
    ) -> Result<(), EngineError> {
        let Done { attempt, hash, output, packed, usage, origin, cache, meta: known, by_path } =
            done;
        if by_path {
            self.look_again.insert(path.root().to_owned());
        }
        if let Some(attempt) = attempt.as_ref().filter(|a| !a.external) {
            self.note_attempt(slot, attempt);
        }
        let attempt = attempt.map_or(0, |attempt| attempt.number);
        let cost = usage.as_ref().and_then(|usage| usage.cost);
        let event = StepEvent::Succeeded { attempt, hash: Some(hash), usage, origin };
        let details = Details { value: packed, meta: known, cache };
        self.ledger.step_event(slot, &event, details, self.shared.clock.now_ms())?;
        let (status, meta) = (StepStatus::Succeeded, Arc::new(self.ledger.meta(slot)));
        let view = StepView { output, status, error: None, meta };
        let told = Told { reused: attempt == 0, failure: None, cost };
        self.conclude(slot, step, path, view, Ending::Done, told);
        Ok(())
    }

    /// Notes that an instance waits for a person. What asked before has nothing new to show.
    fn end_asked(
        &mut self,
        slot: Slot,
        event: &StepEvent,
        show: Option<Value>,
    ) -> Result<(), EngineError> {
        self.waiting += 1;
        self.scheduler.wait(slot);
        if show.is_some() {
            let details = Details { value: show, ..Details::default() };
            self.ledger.step_event(slot, event, details, self.shared.clock.now_ms())?;
        }
        Ok(())
    }

    /// Ends an instance that failed for good; `on_error` says whether that counts.
    pub(super) fn fail(
        &mut self,
        slot: Slot,
        step: &Step,
        path: &InstancePath,
        failed: Failed,
    ) -> Result<(), EngineError> {
        // An interrupted step has not failed: it is run when the run is resumed.
        if failed.failure.class == ErrorClass::Cancelled && self.shared.cancel.is_cancelled() {
            return self.cancelled(slot, failed.attempt);
        }
        let instead = match &step.on_error {
            OnError::Fail => None,
            OnError::Continue => Some(Value::Null),
            OnError::Value(value) => Some(value.clone()),
        };
        self.end_failed(slot, step, path, failed, instead)
    }

    /// Records a failure. With a value instead of the output it does not count.
    pub(super) fn end_failed(
        &mut self,
        slot: Slot,
        step: &Step,
        path: &InstancePath,
        failed: Failed,
        instead: Option<Value>,
    ) -> Result<(), EngineError> {
        let Failed { attempt, failure, usage, hash } = failed;
        self.look_again.insert(path.root().to_owned());
        let cost = usage.as_ref().and_then(|usage| usage.cost);
        let tolerated = instead.is_some();
        let event = StepEvent::Failed { attempt, failure: failure.clone(), usage, tolerated, hash };
        let details = Details { value: instead.clone(), ..Details::default() };
        let now = self.shared.clock.now_ms();
        self.ledger.step_event(slot, &event, details, now)?;
        if !tolerated {
            self.count_failure(slot, path, failure.clone());
        }
        let view = StepView {
            output: Arc::new(instead.unwrap_or_default()),
            status: StepStatus::Failed,
            error: Some(Arc::new(error_of(&failure))),
            meta: Arc::new(self.ledger.meta(slot)),
        };
        let ending = if tolerated { Ending::Done } else { Ending::Failed };
        let told = Told { reused: false, failure: Some(failure), cost };
        self.conclude(slot, step, path, view, ending, told);
        Ok(())
    }

    fn count_failure(&mut self, slot: Slot, path: &InstancePath, failure: Failure) {
        match slot.ordinal {
            Some(_) => {
                if let Some(life) = self.loops.get_mut(&Slot { ordinal: None, ..slot }) {
                    life.failed += 1;
                    life.first_failure.get_or_insert((path.clone(), failure));
                }
            }
            None => {
                if let Some(frame) = self.frames.get_mut(&slot.frame) {
                    frame.first_failure.get_or_insert((path.clone(), failure));
                }
            }
        }
    }

    /// Makes what a step or an instance came to visible to expressions.
    pub(super) fn settled(&mut self, slot: Slot, step: &Step, view: StepView) {
        match slot.ordinal {
            Some(ordinal) => {
                let whole = Slot { ordinal: None, ..slot };
                let outputs = self.loops.get_mut(&whole).and_then(|life| life.outputs.as_mut());
                if let Some(outputs) = outputs {
                    let at = ordinal as usize;
                    if outputs.len() <= at {
                        outputs.resize_with(at + 1, Arc::default);
                    }
                    outputs[at] = view.output;
                }
            }
            None => {
                if let Some(frame) = self.frames.get(&slot.frame) {
                    frame.values.outputs.insert(&step.id, view);
                }
            }
        }
    }

    /// Ends an instance: what it came to is visible now, and counts once it is durable. Its
    /// place among those at work is free at once: the next item does not build on it.
    pub(super) fn conclude(
        &mut self,
        slot: Slot,
        step: &Step,
        path: &InstancePath,
        view: StepView,
        ending: Ending,
        told: Told,
    ) {
        self.tell(self.at(slot, step, path), view.status, told);
        self.settled(slot, step, view);
        self.ledger.forget(slot);
        self.scheduler.release(slot);
        self.after.push(After::Settle(slot, ending));
    }

    pub(super) fn tell(&mut self, at: At, status: StepStatus, told: Told) {
        let Told { reused, failure, cost } = told;
        self.after.push(After::Tell(Progress::Settled { at, status, reused, failure, cost }));
    }
}

/// What `steps.X.error` shows.
pub(crate) fn error_of(failure: &Failure) -> Value {
    serde_json::json!({ "class": failure.class.as_str(), "message": failure.message })
}

/// What a watcher is told of an end besides how it is.
#[derive(Default)]
pub(super) struct Told {
    pub(super) reused: bool,
    pub(super) failure: Option<Failure>,
    pub(super) cost: Option<Money>,
}

/// A failure for good, and the attempt it was.
pub(super) struct Failed {
    /// 0 where none was made.
    attempt: u32,
    failure: Failure,
    usage: Option<Box<CallUsage>>,
    /// Identity of what was run, where it came to that.
    hash: Option<ContentHash>,
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self { attempt: 0, failure, usage: None, hash: None }
    }
}
