//! What the store holds, as a value: a crash keeps it, a new life starts from it.
//!
//! Each commit is held against the rules of the history: events are numbered without a gap
//! and fold to the rows; an attempt ends once, and is lost only if it was in flight when a
//! process died.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::content::ContentHash;
use crate::ids::{InstancePath, RunId};
use crate::state::{RunEvent, RunState, StepEvent, StepState};
use crate::store::{
    ApprovalRow, AttemptRow, AttemptStatus, Batch, EventRow, RunRow, RunStatus, StepRow,
};
use crate::units::Money;

/// Says which rule was broken, and how.
pub(super) type Broken = String;

/// The rows of one run, and the fold of its events.
#[derive(Clone)]
pub(super) struct Durable {
    pub(super) run: RunRow,
    pub(super) seq: u64,
    pub(super) rows: BTreeMap<InstancePath, Arc<StepRow>>,
    pub(super) attempts: BTreeMap<InstancePath, Arc<Vec<AttemptRow>>>,
    pub(super) approvals: BTreeMap<InstancePath, Arc<ApprovalRow>>,
    folded: BTreeMap<InstancePath, StepState>,
    folded_run: RunState,
    /// Attempts that were in flight when a process died, and are not recorded as lost yet.
    in_flight: BTreeSet<(InstancePath, u32)>,
}

impl Durable {
    pub(super) fn new() -> Self {
        let run = RunRow {
            id: RunId::from_parts(1, 1),
            workflow: "world".into(),
            definition: ContentHash::of_bytes(b"world"),
            status: RunStatus::Running,
            inputs: serde_json::Value::Null,
            outputs: None,
            error: None,
            cost: Money::ZERO,
            cost_uncertain: false,
            started: 0,
            ended: None,
        };
        Self {
            run,
            seq: 0,
            rows: BTreeMap::new(),
            attempts: BTreeMap::new(),
            approvals: BTreeMap::new(),
            folded: BTreeMap::new(),
            folded_run: RunState::NEW,
            in_flight: BTreeSet::new(),
        }
    }

    pub(super) fn row(&self, path: &InstancePath) -> Option<&StepRow> {
        self.rows.get(path).map(Arc::as_ref)
    }

    /// The attempt of this number at an instance.
    pub(super) fn attempt(&self, path: &InstancePath, number: u32) -> Option<&AttemptRow> {
        self.attempts.get(path)?.iter().find(|row| row.number == number)
    }

    /// Makes a batch durable, if it breaks no rule.
    pub(super) fn commit(&mut self, batch: Batch) -> Result<(), Broken> {
        let mut touched = BTreeSet::new();
        for event in &batch.events {
            self.fold(event)?;
            touched.extend(event.path.clone());
        }
        for row in batch.steps {
            touched.insert(row.path.clone());
            self.rows.insert(row.path.clone(), Arc::new(row));
        }
        for path in touched {
            let of_row = self.row(&path).map(StepState::of_row);
            if of_row.as_ref() != self.folded.get(&path) {
                let folded = self.folded.get(&path);
                return Err(format!("5: events of {path} make {folded:?}, its row {of_row:?}"));
            }
        }
        for row in batch.attempts {
            self.keep_attempt(row)?;
        }
        for row in batch.approvals {
            self.approvals.insert(row.path.clone(), Arc::new(row));
        }
        if let Some(run) = batch.runs.into_iter().next_back() {
            self.run = run;
        }
        for row in batch.costs {
            (self.run.cost, self.run.cost_uncertain) = (row.cost, row.uncertain);
        }
        if self.folded_run.status() != Some(self.run.status) {
            return Err(format!("5: the run folds to {:?}", self.folded_run));
        }
        Ok(())
    }

    fn fold(&mut self, event: &EventRow) -> Result<(), Broken> {
        self.seq += 1;
        if event.seq != self.seq {
            return Err(format!("5: event {} comes after {}", event.seq, self.seq - 1));
        }
        let body = event.body.clone();
        let Some(path) = &event.path else {
            let event: RunEvent = serde_json::from_value(body).map_err(|e| format!("5: {e}"))?;
            self.folded_run = self.folded_run.apply(&event).map_err(|e| format!("5: {e}"))?;
            return Ok(());
        };
        let event: StepEvent = serde_json::from_value(body).map_err(|e| format!("5: {e}"))?;
        let state = self.folded.get(path).cloned().unwrap_or(StepState::NEW);
        let next = state.apply(&event).map_err(|error| format!("5: {path}: {error}"))?;
        self.folded.insert(path.clone(), next);
        Ok(())
    }

    fn keep_attempt(&mut self, row: AttemptRow) -> Result<(), Broken> {
        let (path, number, status) = (row.path.clone(), row.number, row.status);
        let rows = Arc::make_mut(self.attempts.entry(path.clone()).or_default());
        let last = rows.last().map(|last| (last.number, last.status));
        match last {
            Some((at, AttemptStatus::Sent)) if at == number => {
                rows.pop();
            }
            Some((at, AttemptStatus::Sent)) => {
                return Err(format!("4: {path} attempts {number}, and {at} has not ended"));
            }
            Some((at, _)) if number <= at => {
                return Err(format!("4: {path} attempts {number} after {at}"));
            }
            Some(_) | None => {}
        }
        rows.push(row);
        let was_in_flight = self.in_flight.remove(&(path.clone(), number));
        if was_in_flight != (status == AttemptStatus::Lost) {
            return Err(format!("4: {path}: attempt {number} ended as {status}"));
        }
        Ok(())
    }

    /// What remains when the process dies: everything here. Notes what was in flight.
    pub(super) fn died(&mut self) {
        for (path, rows) in &self.attempts {
            if let Some(row) = rows.last().filter(|row| row.status == AttemptStatus::Sent) {
                self.in_flight.insert((path.clone(), row.number));
            }
        }
    }

    /// Whether every attempt of an instance that a death cut off is recorded as lost.
    pub(super) fn nothing_in_flight(&self, path: &InstancePath) -> bool {
        self.in_flight.iter().all(|(of, _)| of != path)
    }

    /// The attempts that have not ended, as far as the rows know.
    pub(super) fn sent(&self) -> impl Iterator<Item = &AttemptRow> {
        let rows = self.attempts.values().flat_map(|rows| rows.iter());
        rows.filter(|row| row.status == AttemptStatus::Sent)
    }

    /// Whether nothing is in flight.
    pub(super) fn at_rest(&self) -> Result<(), Broken> {
        if let Some((path, number)) = self.in_flight.iter().next() {
            return Err(format!("4: {path}: attempt {number} was never recorded as lost"));
        }
        match self.sent().next() {
            Some(row) => Err(format!("4: {}: attempt {} never ended", row.path, row.number)),
            None => Ok(()),
        }
    }
}

impl Hash for Durable {
    fn hash<H: Hasher>(&self, into: &mut H) {
        self.run.status.hash(into);
        for (path, row) in &self.rows {
            (path, row.status, row.attempts, row.hash.is_some()).hash(into);
        }
        for (path, rows) in &self.attempts {
            path.hash(into);
            for row in rows.iter() {
                (row.number, row.status).hash(into);
            }
        }
        for (path, row) in &self.approvals {
            (path, row.approved, row.show.get("lost_attempt").is_some()).hash(into);
        }
        self.in_flight.hash(into);
    }
}
