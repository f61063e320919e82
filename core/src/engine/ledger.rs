//! Events in, rows out: what a turn of the driver makes durable.
//!
//! The ledger holds the state of every instance under way, lets the state machine decide
//! whether an event may happen, and writes the event together with the rows of the read
//! model that follow from it. It also keeps the run's budget, which is checked before a
//! call is sent.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::action::{CallUsage, Quote};
use crate::engine::scheduler::Slot;
use crate::error::{ErrorClass, Failure};
use crate::ids::{InstancePath, StepId};
use crate::language::{Budget, ModelChoice, Step};
use crate::state::{IllegalTransition, Origin, RunEvent, RunState, StepEvent, StepState};
use crate::store::{
    ApprovalRow, AttemptRow, AttemptStatus, Batch, CacheRow, EventRow, LogRow, RunRow, StepRow,
};
use crate::units::Money;

/// What the ledger knows of an instance under way.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) path: InstancePath,
    pub(crate) parent: Option<InstancePath>,
    pub(crate) step: StepId,
    pub(crate) ordinal: Option<u64>,
    state: StepState,
    started: i64,
    /// The attempt under way, as it was announced.
    attempt: Option<AttemptRow>,
}

/// What belongs to an event but decides nothing: it goes into the rows alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Details {
    /// The packed output, or what a person is shown.
    pub(crate) value: Option<Value>,
    /// Whether later runs may use the output.
    pub(crate) cache: bool,
}

/// Writes what happens in a run.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    run: RunRow,
    state: RunState,
    seq: u64,
    batch: Batch,
    entries: BTreeMap<Slot, Entry>,
    budget: Option<Budget>,
    reserved: Money,
    spent_by_step: BTreeMap<StepId, Money>,
    /// Steps of the workflow itself at or below which something was written in this life.
    wrote_below: BTreeSet<String>,
}

impl Ledger {
    /// Continues a run after its `seq`th event; 0 for a new one.
    pub(crate) fn new(run: RunRow, state: RunState, seq: u64, budget: Option<Budget>) -> Self {
        Self {
            run,
            state,
            seq,
            batch: Batch::default(),
            entries: BTreeMap::new(),
            budget,
            reserved: Money::ZERO,
            spent_by_step: BTreeMap::new(),
            wrote_below: BTreeSet::new(),
        }
    }

    /// Counts what earlier lives of the run spent on a step.
    pub(crate) fn spent_before(&mut self, step: StepId, cost: Money) {
        *self.spent_by_step.entry(step).or_default() += cost;
    }

    /// The run as it stands.
    pub(crate) fn run(&self) -> &RunRow {
        &self.run
    }

    /// Takes what has to be committed.
    pub(crate) fn take(&mut self) -> Batch {
        std::mem::take(&mut self.batch)
    }

    /// What is known of an instance under way.
    pub(crate) fn entry(&self, slot: Slot) -> Option<&Entry> {
        self.entries.get(&slot)
    }

    /// Whether anything was written in this life at or below a step of the workflow itself.
    pub(crate) fn wrote_below(&self, step: &str) -> bool {
        self.wrote_below.contains(step)
    }

    /// Begins to follow an instance, from what an earlier life of the run left of it.
    pub(crate) fn follow(
        &mut self,
        slot: Slot,
        path: InstancePath,
        parent: Option<InstancePath>,
        step: StepId,
        recorded: Option<&StepRow>,
        now: i64,
    ) {
        let state = recorded.map_or(StepState::NEW, StepState::of_row);
        let started = recorded.and_then(|row| row.started).unwrap_or(now);
        let ordinal = slot.ordinal;
        let entry = Entry { path, parent, step, ordinal, state, started, attempt: None };
        self.entries.insert(slot, entry);
    }

    /// Ends following an instance.
    pub(crate) fn forget(&mut self, slot: Slot) {
        self.entries.remove(&slot);
    }

    /// Takes over the row of an attempt that an earlier life of the run sent.
    pub(crate) fn adopt_attempt(&mut self, slot: Slot, attempt: AttemptRow) {
        if let Some(entry) = self.entries.get_mut(&slot) {
            entry.attempt = Some(attempt);
        }
    }

    /// Writes that an attempt was lost which an earlier life sent and nobody goes on with.
    pub(crate) fn lost(
        &mut self,
        row: &StepRow,
        sent: AttemptRow,
        now: i64,
    ) -> Result<(), IllegalTransition> {
        let event = StepEvent::Lost { attempt: sent.number };
        let unknown = IllegalTransition { state: "unknown", event: event.kind() };
        let mut entry = Entry {
            path: row.path.clone(),
            parent: row.parent.clone(),
            step: row.path.last_step().ok_or(unknown)?,
            ordinal: row.ordinal,
            state: StepState::of_row(row),
            started: row.started.unwrap_or(now),
            attempt: Some(sent),
        };
        self.write(&mut entry, &event, Details::default(), now)
    }

    /// Writes what happened to the run.
    pub(crate) fn run_event(
        &mut self,
        event: &RunEvent,
        now: i64,
        outputs: Option<Value>,
    ) -> Result<(), IllegalTransition> {
        self.state = self.state.apply(event)?;
        let status = self.state.status().unwrap_or(self.run.status);
        self.run.status = status;
        match event {
            RunEvent::Started { definition } | RunEvent::Resumed { definition } => {
                self.run.definition = *definition;
                self.run.ended = None;
                self.run.error = None;
            }
            RunEvent::Waiting => {}
            RunEvent::Interrupted => self.run.ended = Some(now),
            RunEvent::Finished { error, .. } => {
                self.run.ended = Some(now);
                self.run.error.clone_from(error);
                self.run.outputs = outputs;
            }
        }
        self.push_event(None, event.kind(), json_of(event), now);
        self.batch.runs = vec![self.run.clone()];
        Ok(())
    }

    /// Writes what happened to an instance. What is settled is reopened first, and an event
    /// that would only say again what is recorded is left out.
    pub(crate) fn step_event(
        &mut self,
        slot: Slot,
        event: &StepEvent,
        details: Details,
        now: i64,
    ) -> Result<(), IllegalTransition> {
        let Some(mut entry) = self.entries.remove(&slot) else {
            return Err(IllegalTransition { state: "unknown", event: event.kind() });
        };
        let outcome = self.write(&mut entry, event, details, now);
        self.entries.insert(slot, entry);
        outcome
    }

    fn write(
        &mut self,
        entry: &mut Entry,
        event: &StepEvent,
        details: Details,
        now: i64,
    ) -> Result<(), IllegalTransition> {
        if says_again(&entry.state, event) {
            return Ok(());
        }
        if !self.wrote_below.contains(entry.path.root()) {
            self.wrote_below.insert(entry.path.root().to_owned());
        }
        if !entry.state.is_open() && !matches!(event, StepEvent::Reopened) {
            entry.state = entry.state.apply(&StepEvent::Reopened)?;
            let body = json_of(&StepEvent::Reopened);
            self.push_event(Some(&entry.path), StepEvent::Reopened.kind(), body, now);
        }
        entry.state = entry.state.apply(event)?;
        self.push_event(Some(&entry.path), event.kind(), json_of(event), now);
        self.write_attempt(entry, event, now);
        self.write_step(entry, event, &details, now);
        if let StepEvent::Asked { .. } = event {
            self.batch.approvals.push(ApprovalRow {
                run: self.run.id.clone(),
                path: entry.path.clone(),
                show: details.value.unwrap_or_default(),
                asked: now,
                answered: None,
                approved: None,
                comment: None,
            });
        }
        Ok(())
    }

    fn push_event(&mut self, path: Option<&InstancePath>, kind: &str, body: Value, now: i64) {
        self.seq += 1;
        self.batch.events.push(EventRow {
            run: self.run.id.clone(),
            seq: self.seq,
            at: now,
            path: path.cloned(),
            kind: kind.into(),
            body,
        });
    }

    fn write_step(&mut self, entry: &Entry, event: &StepEvent, details: &Details, now: i64) {
        let (hash, usage, failure) = match event {
            StepEvent::Succeeded { hash, usage, .. } => (*hash, usage.as_deref(), None),
            StepEvent::Failed { failure, usage, hash, .. } => {
                (*hash, usage.as_deref(), Some(failure))
            }
            StepEvent::Sent { hash, .. } | StepEvent::Asked { hash, .. } => {
                (Some(*hash), None, None)
            }
            StepEvent::AttemptFailed { failure, .. } => (None, None, Some(failure)),
            StepEvent::Opened { .. }
            | StepEvent::Lost { .. }
            | StepEvent::Skipped
            | StepEvent::Blocked { .. }
            | StepEvent::Cancelled { .. }
            | StepEvent::Reopened => (None, None, None),
        };
        let settled = !entry.state.is_open();
        let cached = matches!(event, StepEvent::Succeeded { origin: Origin::Cache, .. });
        let attempts = entry.state.attempts();
        let asked = matches!(event, StepEvent::Asked { .. });
        let output = if asked { None } else { details.value.clone() };
        let meta = settled.then(|| meta(usage, attempts, cached));
        if let (true, Some(hash), Some(output)) = (details.cache, hash, &output) {
            self.batch.cache.push(CacheRow {
                hash,
                output: output.clone(),
                meta: meta.clone(),
                run: self.run.id.clone(),
                at: now,
            });
        }
        self.batch.steps.push(StepRow {
            run: self.run.id.clone(),
            path: entry.path.clone(),
            parent: entry.parent.clone(),
            step: entry.step.to_string(),
            ordinal: entry.ordinal,
            status: entry.state.status(),
            hash,
            output,
            meta,
            error_class: failure.map(|f| f.class),
            error: failure.map(|f| f.message.clone()),
            attempts,
            cached,
            started: Some(entry.started),
            ended: settled.then_some(now),
        });
    }

    fn write_attempt(&mut self, entry: &mut Entry, event: &StepEvent, now: i64) {
        let (number, status, failure, usage) = match event {
            StepEvent::Sent { attempt, .. } => (*attempt, AttemptStatus::Sent, None, None),
            StepEvent::AttemptFailed { attempt, failure, usage, .. }
            | StepEvent::Failed { attempt, failure, usage, .. } => {
                (*attempt, AttemptStatus::Failed, Some(failure), usage.as_deref())
            }
            StepEvent::Lost { attempt } => (*attempt, AttemptStatus::Lost, None, None),
            StepEvent::Succeeded { attempt, usage, origin: Origin::Ran, .. } => {
                (*attempt, AttemptStatus::Succeeded, None, usage.as_deref())
            }
            StepEvent::Asked { attempt, .. } => (*attempt, AttemptStatus::Succeeded, None, None),
            StepEvent::Cancelled { attempt } => (*attempt, AttemptStatus::Cancelled, None, None),
            StepEvent::Succeeded { origin: Origin::Cache | Origin::Person, .. }
            | StepEvent::Opened { .. }
            | StepEvent::Skipped
            | StepEvent::Blocked { .. }
            | StepEvent::Reopened => return,
        };
        if number == 0 {
            return;
        }
        let mut row = match entry.attempt.take() {
            Some(row) if row.number == number => row,
            Some(_) | None => self.new_attempt(entry, number, now),
        };
        row.status = status;
        if let Some(failure) = failure {
            row.error_class = Some(failure.class);
            row.error = Some(failure.message.clone());
        }
        if let StepEvent::Sent { reserved, .. } = event {
            row.reserved = *reserved;
            self.reserved += reserved.unwrap_or_default();
        } else {
            row.ended = Some(now);
            row.latency_ms = Some(now - row.started);
            self.account(&entry.step, &mut row, usage);
        }
        if let Some(failure) = failure {
            row.request_id = failure.request_id.clone().or(row.request_id);
        }
        self.batch.attempts.push(row.clone());
        if status == AttemptStatus::Sent {
            entry.attempt = Some(row);
        }
    }

    /// Notes when an attempt starts that needs no announcement.
    pub(crate) fn attempt_started(
        &mut self,
        slot: Slot,
        number: u32,
        model: Option<&ModelChoice>,
        now: i64,
    ) {
        if let Some(mut entry) = self.entries.remove(&slot) {
            let mut row = self.new_attempt(&entry, number, now);
            row.provider = model.map(|m| m.provider.clone());
            row.model = model.map(|m| m.model.clone());
            entry.attempt = Some(row);
            self.entries.insert(slot, entry);
        }
    }

    fn new_attempt(&self, entry: &Entry, number: u32, now: i64) -> AttemptRow {
        AttemptRow {
            run: self.run.id.clone(),
            path: entry.path.clone(),
            number,
            status: AttemptStatus::Sent,
            provider: None,
            model: None,
            error_class: None,
            error: None,
            input_tokens: None,
            output_tokens: None,
            cost: None,
            reserved: None,
            latency_ms: None,
            request_id: None,
            raw: None,
            started: now,
            ended: None,
        }
    }

    /// Books what an attempt took: what was set aside for it is free again, and what it
    /// cost is spent. One that was cut off may have been paid, so that its reserve counts.
    fn account(&mut self, step: &StepId, row: &mut AttemptRow, usage: Option<&CallUsage>) {
        let reserve = row.reserved.unwrap_or_default();
        self.reserved = Money::from_micros((self.reserved.micros() - reserve.micros()).max(0));
        let spent = match (usage, row.status) {
            (Some(usage), _) => {
                row.provider = Some(usage.provider.clone());
                row.model = Some(usage.model.clone());
                row.input_tokens = usage.input_tokens;
                row.output_tokens = usage.output_tokens;
                row.cost = usage.cost;
                row.request_id.clone_from(&usage.request_id);
                row.raw.clone_from(&usage.raw);
                self.run.cost_uncertain |= usage.cost.is_none();
                usage.cost.unwrap_or_default()
            }
            (None, _) if may_be_paid(row) => {
                self.run.cost_uncertain = true;
                reserve
            }
            (None, _) => Money::ZERO,
        };
        if spent != Money::ZERO || self.run.cost_uncertain {
            self.run.cost += spent;
            *self.spent_by_step.entry(step.clone()).or_default() += spent;
            self.batch.runs = vec![self.run.clone()];
        }
    }

    /// Sets aside what a call may cost, or says which budget does not allow it.
    pub(crate) fn reserve(&self, step: &Step, quote: Quote) -> Result<Option<Money>, Failure> {
        let cost = match quote {
            Quote::Free => return Ok(None),
            Quote::AtMost(cost) => cost,
            Quote::Unknown => {
                let strict = [self.budget, step.policy.budget].into_iter().flatten();
                return match strict.into_iter().find(|budget| !budget.allow_unknown) {
                    None => Ok(None),
                    Some(_) => Err(Failure::new(
                        ErrorClass::Budget,
                        "the model's price is unknown, and there is a budget",
                    )
                    .with_hint("set `budget: {allow_unknown: true}` to call it all the same")),
                };
            }
        };
        let of_step = self.spent_by_step.get(&step.id).copied().unwrap_or_default();
        let limits = [("run", self.budget, self.run.cost), ("step", step.policy.budget, of_step)];
        for (whose, budget, spent) in limits {
            let Some(budget) = budget else { continue };
            if spent + self.reserved + cost > budget.cost {
                let message = format!(
                    "the call may cost {cost}, and of the {whose}'s budget of {} {spent} is spent and {} set aside",
                    budget.cost, self.reserved
                );
                return Err(Failure::new(ErrorClass::Budget, message)
                    .with_hint("raise `budget` and resume: nothing that is done is paid again"));
            }
        }
        Ok(Some(cost))
    }

    /// Adds a line to the run's log.
    pub(crate) fn log(&mut self, path: &InstancePath, attempt: u32, line: String, now: i64) {
        self.batch.logs.push(LogRow {
            run: self.run.id.clone(),
            at: now,
            path: Some(path.clone()),
            attempt: Some(attempt),
            line,
        });
    }
}

/// Whether an attempt was cut off while a model may have been at work for it: nobody told
/// what it cost.
pub(crate) fn may_be_paid(row: &AttemptRow) -> bool {
    let cut_off = matches!(row.status, AttemptStatus::Lost | AttemptStatus::Cancelled)
        || row.error_class == Some(ErrorClass::Timeout);
    cut_off && row.provider.is_some()
}

/// Whether an event would only repeat what is recorded of a settled instance.
fn says_again(state: &StepState, event: &StepEvent) -> bool {
    match (state, event) {
        (StepState::Succeeded { hash, .. }, StepEvent::Succeeded { hash: again, .. }) => {
            hash == again
        }
        // A new attempt that fails has a number, and says something new.
        (
            StepState::Failed { hash: Some(hash), .. },
            StepEvent::Failed { attempt: 0, hash: Some(again), .. },
        ) => hash == again,
        (StepState::Succeeded { hash: None, .. }, StepEvent::Opened { .. })
        | (StepState::Skipped { .. }, StepEvent::Skipped)
        | (StepState::Blocked { .. }, StepEvent::Blocked { .. })
        | (StepState::Open, StepEvent::Opened { .. }) => true,
        _ => false,
    }
}

/// What `steps.X.meta` shows.
pub(crate) fn meta(usage: Option<&CallUsage>, attempts: u32, cached: bool) -> Value {
    let mut meta = json!({ "attempts": attempts, "cached": cached });
    if let Some(usage) = usage {
        meta["provider"] = json!(usage.provider);
        meta["model"] = json!(usage.model);
        meta["finish"] = json!(usage.finish);
        meta["usage"] = json!({
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
        });
        meta["cost"] = json!(usage.cost.map(Money::usd));
    }
    meta
}

fn json_of<T: serde::Serialize>(event: &T) -> Value {
    serde_json::to_value(event).expect("an event has string keys and finite numbers")
}
