//! Events in, rows out: what a turn of the driver makes durable.
//!
//! The ledger holds the state of every instance under way, lets the state machine decide
//! whether an event may happen, and writes the event together with the rows of the read
//! model that follow from it. It also books what attempts cost.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::action::{CallUsage, Quote};
use crate::engine::budget::{Allowance, Purse};
use crate::engine::meta::meta;
use crate::engine::scheduler::Slot;
use crate::error::{ErrorClass, Failure};
use crate::ids::{InstancePath, StepId};
use crate::language::{Budget, ModelChoice};
use crate::state::{IllegalTransition, Origin, RunEvent, RunState, StepEvent, StepState};
use crate::store::{
    ApprovalRow, AttemptRow, AttemptStatus, Batch, CacheRow, CostRow, EventRow, LogRow, RunRow,
    StepRow,
};
use crate::units::Money;

/// What the ledger knows of an instance under way.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) path: InstancePath,
    pub(crate) parent: Option<InstancePath>,
    /// Id of the step.
    pub(crate) step: String,
    pub(crate) ordinal: Option<u64>,
    state: StepState,
    started: i64,
    /// What the row holds as `steps.X.meta`, once it is settled.
    meta: Option<Value>,
    /// The attempt under way, as it was announced.
    attempt: Option<AttemptRow>,
}

/// What belongs to an event but decides nothing: it goes into the rows alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Details {
    /// The packed output, or what a person is shown.
    pub(crate) value: Option<Value>,
    /// What is known of the output: by its action, or by the step cache.
    pub(crate) meta: Option<Value>,
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
    purse: Purse,
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
            purse: Purse::new(budget),
            wrote_below: BTreeSet::new(),
        }
    }

    /// Counts what earlier lives of the run spent on a step.
    pub(crate) fn spent_before(&mut self, path: &InstancePath, cost: Money) {
        self.purse.spend(path, cost);
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
        step: &StepId,
        recorded: Option<&StepRow>,
        now: i64,
    ) {
        let step = step.to_string();
        let state = recorded.map_or(StepState::NEW, StepState::of_row);
        let started = recorded.and_then(|row| row.started).unwrap_or(now);
        let meta = recorded.and_then(|row| row.meta.clone());
        let ordinal = slot.ordinal;
        let entry = Entry { path, parent, step, ordinal, state, started, meta, attempt: None };
        self.entries.insert(slot, entry);
    }

    /// Ends following an instance.
    pub(crate) fn forget(&mut self, slot: Slot) {
        self.entries.remove(&slot);
    }

    /// Records that an attempt was in flight when an earlier life of the run ended, before
    /// anything begins in this one. `row` is the instance that sent it.
    pub(crate) fn lost(
        &mut self,
        row: &StepRow,
        mut sent: AttemptRow,
        now: i64,
    ) -> Result<(), IllegalTransition> {
        let (attempt, state) = (sent.number, StepState::of_row(row));
        if !matches!(state, StepState::Working { attempt: at, .. } if at == attempt) {
            // Its instance has come to an end all the same: nothing follows from the loss.
            sent.status = AttemptStatus::Lost;
            self.end_attempt(&row.path, &mut sent, None, now);
            self.batch.attempts.push(sent);
            return Ok(());
        }
        let mut entry = Entry {
            path: row.path.clone(),
            parent: row.parent.clone(),
            step: row.step.clone(),
            ordinal: row.ordinal,
            state,
            started: row.started.unwrap_or(now),
            meta: None,
            attempt: Some(sent),
        };
        self.write(&mut entry, &StepEvent::Lost { attempt }, Details::default(), now)
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
        self.batch.costs.clear();
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

    /// Writes that an instance was stopped before an attempt of it was made in this life.
    ///
    /// What an earlier life left that still counts stays as it is: nobody came to look at it. A
    /// step that is done stays done, a question stays asked, and a call that was lost is still
    /// `on_lost`'s to decide. A failure that is tried again (`retry_failed`) is so later, too.
    pub(crate) fn cut_off(
        &mut self,
        slot: Slot,
        retry_failed: bool,
        now: i64,
    ) -> Result<(), IllegalTransition> {
        let stays = self.entry(slot).is_some_and(|entry| match entry.state {
            StepState::Idle { attempts } => attempts > 0,
            StepState::Open { .. } | StepState::Retrying { .. } => false,
            StepState::Failed { .. } => !retry_failed,
            StepState::Working { .. }
            | StepState::Waiting { .. }
            | StepState::Succeeded { .. }
            | StepState::Skipped { .. }
            | StepState::Blocked { .. }
            | StepState::Cancelled { .. } => true,
        });
        if stays {
            return Ok(());
        }
        self.step_event(slot, &StepEvent::Cancelled { attempt: 0 }, Details::default(), now)
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
        // What held other steps, and makes attempts since the file was edited, begins anew.
        let other = matches!(entry.state, StepState::Open { .. }) && event.attempt() > 0;
        if other || (!entry.state.is_open() && !matches!(event, StepEvent::Reopened)) {
            entry.state = entry.state.apply(&StepEvent::Reopened)?;
            let body = json_of(&StepEvent::Reopened);
            self.push_event(Some(&entry.path), StepEvent::Reopened.kind(), body, now);
        }
        let sent = if let StepState::Working { attempt, .. } = entry.state { attempt } else { 0 };
        entry.state = entry.state.apply(event)?;
        self.push_event(Some(&entry.path), event.kind(), json_of(event), now);
        self.write_attempt(entry, event, sent, now);
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
                output: None,
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

    /// What `steps.X.meta` shows of an instance that is settled: what its row holds, in this
    /// life and every later one.
    pub(crate) fn meta(&self, slot: Slot) -> Value {
        let meta = self.entries.get(&slot).and_then(|entry| entry.meta.clone());
        meta.unwrap_or_else(|| json!({}))
    }

    fn write_step(&mut self, entry: &mut Entry, event: &StepEvent, details: &Details, now: i64) {
        let lost = matches!(event, StepEvent::Lost { .. }).then(|| lost(event.attempt()));
        let (hash, usage, failure) = match event {
            StepEvent::Succeeded { hash, usage, .. } => (*hash, usage.as_deref(), None),
            StepEvent::Failed { failure, usage, hash, .. } => {
                (*hash, usage.as_deref(), Some(failure))
            }
            StepEvent::Sent { hash, .. } | StepEvent::Asked { hash, .. } => {
                (Some(*hash), None, None)
            }
            StepEvent::AttemptFailed { failure, .. } => (None, None, Some(failure)),
            StepEvent::AttemptAnswered { usage, .. } => (None, usage.as_deref(), None),
            // By this the row is told from that of a step that holds others.
            StepEvent::Lost { .. } => (None, None, lost.as_ref()),
            StepEvent::Opened { .. }
            | StepEvent::Skipped
            | StepEvent::Blocked { .. }
            | StepEvent::Cancelled { .. }
            | StepEvent::Reopened => (None, None, None),
        };
        let settled = !entry.state.is_open();
        let cached = matches!(event, StepEvent::Succeeded { origin: Origin::Cache, .. });
        let attempts = entry.state.attempts();
        // What settles not all is no output yet, but an answer that later lives need not pay for.
        let partly =
            if let StepEvent::AttemptAnswered { hash, .. } = event { Some(*hash) } else { None };
        let asked = matches!(event, StepEvent::Asked { .. });
        let output = details.value.clone().filter(|_| !asked && partly.is_none());
        let answers = partly.or(hash);
        let known = details.meta.as_ref();
        let all = (settled || answers.is_some()).then(|| meta(known, usage, attempts, cached));
        let meta = all.clone().filter(|_| settled);
        entry.meta.clone_from(&meta);
        if let (true, Some(hash), Some(value)) = (details.cache, answers, &details.value) {
            self.batch.cache.push(CacheRow {
                hash,
                output: value.clone(),
                meta: all,
                run: Some(self.run.id.clone()),
                at: now,
            });
        }
        self.batch.steps.push(StepRow {
            run: self.run.id.clone(),
            path: entry.path.clone(),
            parent: entry.parent.clone(),
            step: entry.step.clone(),
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

    /// Writes the row of an attempt that begins or ends. `sent` is the one in flight before: it
    /// ends with its instance, though nobody may say so (0: none).
    fn write_attempt(&mut self, entry: &mut Entry, event: &StepEvent, sent: u32, now: i64) {
        let (number, status, failure, usage) = match event {
            StepEvent::Sent { attempt, .. } => (*attempt, AttemptStatus::Sent, None, None),
            StepEvent::AttemptFailed { attempt, failure, usage, .. }
            | StepEvent::Failed { attempt, failure, usage, .. } => {
                (*attempt, AttemptStatus::Failed, Some(failure), usage.as_deref())
            }
            StepEvent::Lost { attempt } => (*attempt, AttemptStatus::Lost, None, None),
            StepEvent::AttemptAnswered { attempt, usage, .. }
            | StepEvent::Succeeded { attempt, usage, origin: Origin::Ran, .. } => {
                (*attempt, AttemptStatus::Succeeded, None, usage.as_deref())
            }
            // What asks has done what it can do.
            StepEvent::Asked { attempt, .. } => (*attempt, AttemptStatus::Succeeded, None, None),
            StepEvent::Cancelled { attempt } => (*attempt, AttemptStatus::Cancelled, None, None),
            StepEvent::Succeeded { origin: Origin::Cache | Origin::Person, .. }
            | StepEvent::Opened { .. }
            | StepEvent::Skipped
            | StepEvent::Blocked { .. }
            | StepEvent::Reopened => return,
        };
        let number = if number == 0 { sent } else { number };
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
            self.purse.reserve(&entry.path, reserved.unwrap_or_default());
        } else {
            self.end_attempt(&entry.path, &mut row, usage, now);
        }
        if let Some(failure) = failure {
            row.request_id = failure.request_id.clone().or(row.request_id);
        }
        self.batch.attempts.push(row.clone());
        if status == AttemptStatus::Sent {
            entry.attempt = Some(row);
        }
    }

    /// Notes when an attempt starts, and which model it asks.
    pub(crate) fn attempt_started(
        &mut self,
        slot: Slot,
        number: u32,
        model: Option<&ModelChoice>,
        now: i64,
        batch: bool,
    ) {
        if let Some(mut entry) = self.entries.remove(&slot) {
            let mut row = self.new_attempt(&entry, number, now);
            row.provider = model.map(|m| m.provider.clone());
            row.model = model.map(|m| m.model.clone());
            row.batch = batch;
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
            batch: false,
            speed: None,
            plugin: None,
        }
    }

    fn end_attempt(
        &mut self,
        path: &InstancePath,
        row: &mut AttemptRow,
        usage: Option<&CallUsage>,
        now: i64,
    ) {
        row.ended = Some(now);
        // How long one was at work that nobody saw end is not known.
        row.latency_ms = (row.status != AttemptStatus::Lost).then_some((now - row.started).max(0));
        self.account(path, row, usage);
    }

    /// Books what an attempt took: what was set aside for it is free again, and what it
    /// cost is spent. One that was cut off may have been paid, so that its reserve counts.
    fn account(&mut self, path: &InstancePath, row: &mut AttemptRow, usage: Option<&CallUsage>) {
        let reserve = row.reserved.unwrap_or_default();
        self.purse.free(path, reserve);
        let before = (self.run.cost, self.run.cost_uncertain);
        let spent = match (usage, row.status) {
            (Some(usage), _) => {
                if usage.asked_a_model() {
                    row.provider = Some(usage.provider.clone());
                    row.model = Some(usage.model.clone());
                }
                row.plugin.clone_from(&usage.plugin);
                row.input_tokens = usage.input_tokens;
                row.output_tokens = usage.output_tokens;
                row.cost = usage.cost;
                row.request_id.clone_from(&usage.request_id);
                row.raw.clone_from(&usage.raw);
                row.speed = usage.speed;
                self.run.cost_uncertain |= usage.cost.is_none();
                usage.cost.unwrap_or_default()
            }
            (None, _) if may_be_paid(row) => {
                self.run.cost_uncertain = true;
                reserve
            }
            (None, _) => Money::ZERO,
        };
        self.run.cost += spent;
        self.purse.spend(path, spent);
        if before != (self.run.cost, self.run.cost_uncertain) {
            self.book();
        }
    }

    /// Writes what the run spent: two columns, and not its inputs and outputs once more.
    fn book(&mut self) {
        let (cost, uncertain) = (self.run.cost, self.run.cost_uncertain);
        match self.batch.runs.last_mut() {
            Some(run) => (run.cost, run.cost_uncertain) = (cost, uncertain),
            None => {
                self.batch.costs = vec![CostRow { run: self.run.id.clone(), cost, uncertain }];
            }
        }
    }

    /// Notes that requests in batches were given up with the run: some may have been paid.
    pub(crate) fn gave_up_batches(&mut self) {
        if !self.run.cost_uncertain {
            self.run.cost_uncertain = true;
            self.book();
        }
    }

    /// What the budgets say to a call of an instance under way.
    pub(crate) fn allows(&self, slot: Slot, of_step: Option<Budget>, quote: Quote) -> Allowance {
        match self.entries.get(&slot) {
            Some(entry) => self.purse.allows(&entry.path, of_step, self.run.cost, quote),
            None => Allowance::Refused(Failure::internal("nobody is at work there")),
        }
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

/// What is said of an attempt that was in flight when the process died.
pub(crate) fn lost(attempt: u32) -> Failure {
    let message =
        format!("attempt {attempt} was in flight when the process died, and may have been paid");
    Failure::new(ErrorClass::Connection, message)
}

/// Whether an attempt was cut off while a model may have been at work for it: nobody told
/// what it cost.
///
/// One whose place is in a batch is not cut off with its process: who comes after it is given
/// the answer, and told what that cost.
pub(crate) fn may_be_paid(row: &AttemptRow) -> bool {
    let stopped = matches!(row.status, AttemptStatus::Lost | AttemptStatus::Cancelled);
    let cut_off = (stopped && !row.batch) || row.error_class == Some(ErrorClass::Timeout);
    cut_off && (row.provider.is_some() || row.reserved.is_some())
}

/// Whether an event would only repeat what is recorded of a settled instance.
fn says_again(state: &StepState, event: &StepEvent) -> bool {
    match event {
        StepEvent::Succeeded { hash: again, .. } => {
            matches!(state, StepState::Succeeded { hash, .. } if hash == again)
        }
        // A new attempt that fails has a number, and says something new.
        StepEvent::Failed { attempt: 0, hash: again @ Some(_), .. } => {
            matches!(state, StepState::Failed { hash, .. } if hash == again)
        }
        StepEvent::Opened { .. } => {
            matches!(state, StepState::Succeeded { hash: None, .. } | StepState::Open { .. })
        }
        StepEvent::Skipped => matches!(state, StepState::Skipped { .. }),
        StepEvent::Blocked { .. } => matches!(state, StepState::Blocked { .. }),
        StepEvent::Failed { .. }
        | StepEvent::Sent { .. }
        | StepEvent::AttemptFailed { .. }
        | StepEvent::AttemptAnswered { .. }
        | StepEvent::Lost { .. }
        | StepEvent::Asked { .. }
        | StepEvent::Cancelled { .. }
        | StepEvent::Reopened => false,
    }
}

fn json_of<T: serde::Serialize>(event: &T) -> Value {
    serde_json::to_value(event).expect("an event has string keys and finite numbers")
}
