//! Taking runs up again: those of a server that ended or died, and those that were answered.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flow_core::content::ContentHash;
use flow_core::engine::{Backend, EngineError, Program, Resume, RunHandle};
use flow_core::ids::RunId;
use flow_core::store::{RunLock, RunRow};
use futures::{StreamExt, stream};

use super::{Runs, Shared, StartError};

/// As many runs are listed at once.
const PAGE: u32 = 500;

/// As many are taken up at once: their commits share the disk.
const AT_ONCE: usize = 32;

/// How often it is looked for answers from elsewhere.
const EVERY: Duration = Duration::from_millis(1500);

/// As many definitions stay checked.
const KEPT: usize = 64;

/// Definitions that were checked, so that a thousand runs of one are not a thousand checks.
#[derive(Default)]
pub(super) struct Programs {
    checked: Mutex<HashMap<ContentHash, Program>>,
}

impl Programs {
    fn get(&self, definition: &ContentHash) -> Option<Program> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner).get(definition).cloned()
    }

    fn put(&self, definition: ContentHash, program: &Program) {
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if checked.len() >= KEPT {
            checked.clear();
        }
        checked.insert(definition, program.clone());
    }
}

impl Runs {
    /// Takes up what is a server's and was running or interrupted when it ended; says how many
    /// runs go on. What somebody else drives is left to them.
    ///
    /// Dropping the future takes up some of them.
    pub async fn recover(&self) -> Result<usize, StartError> {
        let mut went_on = 0;
        let mut after: Option<RunId> = None;
        loop {
            let page = self.store().unfinished_starts(after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(went_on) };
            after = Some(last.id.clone());
            let resumed = stream::iter(page).map(|run| self.recover_one(run));
            let resumed = resumed.buffer_unordered(AT_ONCE);
            went_on += resumed.filter(|goes_on| std::future::ready(*goes_on)).count().await;
        }
    }

    async fn recover_one(&self, run: RunRow) -> bool {
        if self.is_here(&run.id) || RunLock::is_held(self.store().folder(), &run.id) {
            return false;
        }
        match self.resume(&run.id).await {
            Ok(()) => true,
            Err(error) => {
                if !error.is_driven() {
                    tracing::error!(run = %run.id, workflow = run.workflow, "{error}");
                }
                false
            }
        }
    }

    /// Takes up runs that wait and were answered by the command line, until the server stops.
    ///
    /// Dropping the future ends it.
    pub async fn look_for_answers(&self) {
        let mut hopeless = HashSet::new();
        loop {
            match self.store().answered_starts(PAGE).await {
                Ok(answered) => {
                    for run in &answered {
                        if hopeless.contains(run) {
                            continue;
                        }
                        match self.resume(run).await {
                            Err(StartError::Stopping) => return,
                            Err(error) if !error.is_driven() => {
                                tracing::error!(%run, "{error}");
                                hopeless.insert(run.clone());
                            }
                            Ok(()) | Err(_) => {}
                        }
                    }
                    // What was mended or ended elsewhere is forgotten.
                    hopeless.retain(|run| answered.contains(run));
                }
                Err(error) => tracing::warn!("looking for answers: {error}"),
            }
            tokio::time::sleep(EVERY).await;
        }
    }
}

impl Shared {
    /// Takes a run up with the definition that it was kept with. Its seat is the caller's.
    pub(super) async fn resumed(
        self: &Arc<Self>,
        run: &RunId,
    ) -> Result<(Program, RunHandle), StartError> {
        let store = self.engine.store();
        let row = store.run(run).await?;
        let row = row.ok_or_else(|| EngineError::UnknownRun { run: run.clone() })?;
        let program = match self.programs.get(&row.definition) {
            Some(program) => program,
            None => {
                let checked = self.workplace.resumed(store, &row).await;
                let program =
                    checked.map_err(|why| StartError::Definition { run: run.clone(), why })?;
                self.programs.put(row.definition, &program);
                program
            }
        };
        let observer = self.observer(run, &program);
        let resume = Resume { id: run.clone(), program: program.clone(), observer };
        Ok((program, self.engine.resume(resume).await?))
    }
}
