//! Runs the ticks of all schedules of a folder, in one task.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use flow_core::content::ContentHash;
use flow_core::engine::{EngineError, Program};
use flow_core::ids::RunId;
use flow_core::language::bind_inputs;
use flow_core::store::{ScheduleMove, ScheduleRow, StoreError};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::{Next, Spec, decide, known};
use crate::folder::{Folder, Listed};
use crate::runs::{Cause, Runs, Start, StartError, Started};

/// How often schedules are looked at anew: they are paused by other processes, and clocks jump.
const LOOK: Duration = Duration::from_secs(1);

/// Runs schedules.
pub struct Keeper {
    runs: Runs,
    folder: Arc<Folder>,
    /// Runs that were asked to end for a tick.
    cancelled: HashMap<ContentHash, RunId>,
    /// What was told once.
    told: HashSet<String>,
}

impl Keeper {
    /// Runs the schedules of a folder. Nothing happens before [`Keeper::turn`].
    pub fn new(runs: Runs, folder: Arc<Folder>) -> Self {
        Self { runs, folder, cancelled: HashMap::new(), told: HashSet::new() }
    }

    /// Runs them until it is told to stop. Dropping the future stops it, too: a tick that was
    /// begun is run by the next keeper.
    pub async fn watch(mut self, stop: CancellationToken) {
        let mut changes = self.folder.changes();
        loop {
            let next = match self.turn().await {
                Ok(next) => next,
                Err(error) => {
                    tracing::error!("schedules cannot be looked at: {error}");
                    None
                }
            };
            let left = next.map_or(i64::MAX, |next| next - self.runs.workplace().now());
            let sleep = LOOK.min(Duration::from_millis(left.max(1).unsigned_abs()));
            tokio::select! {
                () = tokio::time::sleep(sleep) => {}
                changed = changes.changed() => if changed.is_err() { return },
                () = stop.cancelled() => return,
            }
        }
    }

    /// Does all that is due by now, and says when the next thing is, as far as is known.
    ///
    /// Dropping the future leaves some of it undone, which the next turn does.
    pub async fn turn(&mut self) -> Result<Option<i64>, StoreError> {
        let mut soonest = None::<i64>;
        for listed in self.folder.workflows() {
            let Ok(reading) = &listed.reading else { continue };
            // A faulty file keeps what is known of its schedules.
            let Some(program) = &reading.program else { continue };
            let (specs, errors) = Spec::all(&listed.slug, &program.workflow);
            for error in errors {
                self.tell(&format!("`{}`: {error}", listed.file.display()));
            }
            let rows = self.rows(&listed, &specs).await?;
            for (spec, row) in specs.iter().zip(rows) {
                let next = self.advance(spec, row, program).await?;
                soonest = [soonest, next].into_iter().flatten().min();
            }
        }
        Ok(soonest)
    }

    async fn rows(&self, listed: &Listed, specs: &[Spec]) -> Result<Vec<ScheduleRow>, StoreError> {
        remember(self.runs.store(), &listed.slug, specs, self.runs.workplace().now()).await
    }

    /// Takes a schedule as far as the time allows.
    async fn advance(
        &mut self,
        spec: &Spec,
        mut row: ScheduleRow,
        program: &Program,
    ) -> Result<Option<i64>, StoreError> {
        loop {
            let now = self.runs.workplace().now();
            let busy = self.busy(&row).await?;
            let next = decide(spec, &row, now, busy);
            let mut to = ScheduleMove { handled: row.handled, due: row.due, ..Default::default() };
            match next {
                Next::Wait { until } => return Ok(until),
                Next::GoBack => {
                    let (name, workflow) = (&spec.text, &spec.workflow);
                    tracing::warn!("`{workflow}`: the clock was ahead, `{name}` goes on from now");
                    to = ScheduleMove { handled: now, due: now, back: true, ..to };
                }
                Next::Forget { .. } | Next::Queue { .. } | Next::Cancel | Next::Start { .. }
                    if let Some((tick, run)) = self.started_before(spec, &row).await? =>
                {
                    to = ScheduleMove { handled: tick, run: Some(run), ..to };
                }
                Next::Forget { until, ticks } => {
                    to = ScheduleMove { handled: until, skipped: ticks, ..to };
                }
                Next::Queue { until } => to.due = until,
                Next::Cancel => {
                    self.cancel(&row).await;
                    return Ok(None);
                }
                Next::Start { tick } => match self.start(spec, tick, program).await {
                    Ok(run) => to = ScheduleMove { handled: tick, run: Some(run), ..to },
                    Err(StartFault::Now(why)) => {
                        self.tell(&format!("`{}` does not start: {why}", spec.workflow));
                        return Ok(None);
                    }
                    Err(StartFault::ForGood(why)) => {
                        tracing::error!("`{}` left a tick out: {why}", spec.workflow);
                        to = ScheduleMove { handled: tick, skipped: 1, ..to };
                    }
                },
            }
            self.runs.store().move_schedule(&row.workflow, &row.definition, &to).await?;
            (row.handled, row.due) = (to.handled, to.due);
            row.last_run = to.run.or(row.last_run);
        }
    }

    /// Whether the run that a schedule started last goes on.
    async fn busy(&self, row: &ScheduleRow) -> Result<bool, StoreError> {
        let Some(run) = &row.last_run else { return Ok(false) };
        let status = self.runs.store().status_of(run).await?;
        Ok(status.is_some_and(|status| !status.has_ended()))
    }

    /// The tick that is next, where a process started its run and died before it said so.
    async fn started_before(
        &self,
        spec: &Spec,
        row: &ScheduleRow,
    ) -> Result<Option<(i64, RunId)>, StoreError> {
        let Some(tick) = spec.ticks.next(row.handled) else { return Ok(None) };
        let run = spec.run_id(tick);
        let status = self.runs.store().status_of(&run).await?;
        Ok(status.map(|_| (tick, run)))
    }

    async fn start(&self, spec: &Spec, tick: i64, program: &Program) -> Result<RunId, StartFault> {
        let inputs = inputs_of(spec, program).map_err(StartFault::ForGood)?;
        let id = spec.run_id(tick);
        let cause = Cause::Schedule { trigger: spec.place as usize, tick };
        let start = Start { id: id.clone(), program: program.clone(), inputs, cause };
        match self.runs.start(start).await {
            Ok(Started::New | Started::Already) => Ok(id),
            Err(StartError::Engine(EngineError::Input(failure))) => {
                Err(StartFault::ForGood(failure.message))
            }
            Err(error) => Err(StartFault::Now(error.to_string())),
        }
    }

    /// Asks the run that goes on to end, once.
    async fn cancel(&mut self, row: &ScheduleRow) {
        let Some(run) = &row.last_run else { return };
        if self.cancelled.get(&row.definition) == Some(run) {
            return;
        }
        match self.runs.cancel(run).await {
            Ok(()) | Err(EngineError::Ended { .. }) => {
                self.cancelled.insert(row.definition, run.clone());
            }
            Err(error) => tracing::warn!(%run, "{error}"),
        }
    }

    /// Says something that stays as it is for a while only once.
    fn tell(&mut self, what: &str) {
        if self.told.insert(what.to_owned()) {
            tracing::error!("{what}");
        }
    }
}

/// Why a tick is not run.
enum StartFault {
    /// It may be run later.
    Now(String),
    /// It never can be.
    ForGood(String),
}

/// The rows of a workflow's schedules, with those that were not known kept from now on.
///
/// Dropping the future keeps them or not.
pub async fn remember(
    store: &flow_core::store::Store,
    slug: &str,
    specs: &[Spec],
    now: i64,
) -> Result<Vec<ScheduleRow>, StoreError> {
    let known = known(specs, store.schedules_of(slug).await?, now);
    for at in &known.changed {
        store.put_schedule(&known.rows[*at]).await?;
    }
    for definition in &known.gone {
        store.forget_schedule(slug, definition).await?;
    }
    Ok(known.rows)
}

/// The inputs that a schedule gives its workflow. The error names each that does not fit.
pub fn inputs_of(spec: &Spec, program: &Program) -> Result<Map<String, Value>, String> {
    let given = spec.inputs.as_object().cloned().unwrap_or_default();
    bind_inputs(&program.workflow, &given).map_err(|faults| {
        let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
        faults.join("; ")
    })
}
