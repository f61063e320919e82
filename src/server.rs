//! What the server is given: workflows read as every command reads them, and this machine.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use flow_core::engine::Program;
use flow_core::ids::RunId;
use flow_core::language::{Checked, Environment, Files, Instead, check, check_bundle};
use flow_core::store::{RunRow, Store};
use flow_server::{Reading, Stamp, Workplace};

use crate::world::{self, Beside, Machine};

/// This machine, as the server works with it.
pub(crate) struct Here {
    pub(crate) machine: Arc<Machine>,
}

#[async_trait]
impl Workplace for Here {
    fn read(&self, file: &Path) -> Result<Reading, String> {
        let bytes = world::read(file).map_err(|error| error.message)?;
        let (name, folder) = (file.display().to_string(), world::folder_of(file));
        let files = Noted { beside: Beside(folder.clone()), seen: RefCell::default() };
        let Machine { actions, providers, .. } = &*self.machine;
        let checked = |instead: &Instead| {
            check(&name, &bytes, Environment { actions, providers, files: &files, instead })
        };
        let (own, asked) =
            (Instead::default(), Instead { from_request: true, ..Instead::default() });
        let requested = world::runnable(&checked(&asked), folder.clone());
        let checked = checked(&own);
        let program = world::runnable(&checked, folder);
        let files = files.seen.into_inner().into_iter().collect();
        Ok(Reading { checked, program, requested, files })
    }

    async fn resumed(&self, store: &Store, run: &RunRow) -> Result<Program, String> {
        let kept = world::kept(store, run).await.map_err(|error| error.message)?;
        let (bundle, folder) = kept.ok_or("its definition cannot be read")?;
        let machine = Arc::clone(&self.machine);
        // A plugin may have to be compiled.
        let checked = tokio::task::spawn_blocking(move || {
            check_bundle(&bundle, &machine.actions, &machine.providers)
        });
        let checked = checked.await.map_err(|error| error.to_string())?;
        world::runnable(&checked, folder).ok_or_else(|| first_fault(&checked))
    }

    async fn tidy(&self, program: &Program, store: &Store, run: &RunId) -> Vec<String> {
        let uploads = store.uploads(run.clone());
        let models = program.workflow.models_of_steps();
        let left = self.machine.services.tidy(models, &uploads).await;
        left.into_iter().map(|failure| failure.message).collect()
    }

    fn secret(&self, name: &str) -> Option<String> {
        self.machine.services.secret(name).map(str::to_owned)
    }

    fn now(&self) -> i64 {
        world::now()
    }

    fn new_run_id(&self) -> RunId {
        world::new_run_id()
    }
}

/// What is wrong with a definition that was right once.
fn first_fault(checked: &Checked) -> String {
    let fault = checked
        .diagnostics
        .iter()
        .find(|fault| fault.severity == flow_core::language::Severity::Error);
    fault.map_or_else(
        || "its definition has errors by now".to_owned(),
        |fault| format!("{}:{}:{}: {}", fault.file, fault.line, fault.column, fault.message),
    )
}

/// Files beside a workflow, and how each stood that was looked for.
struct Noted {
    beside: Beside,
    seen: RefCell<BTreeMap<PathBuf, Stamp>>,
}

impl Noted {
    fn note(&self, path: &str) {
        let place = self.beside.place(path);
        // As it stood the first time: what changed since is noticed.
        self.seen.borrow_mut().entry(place.clone()).or_insert_with(|| Stamp::of(&place));
    }
}

impl Files for Noted {
    fn read(&self, path: &str) -> Result<String, String> {
        self.note(path);
        self.beside.read(path)
    }

    fn read_if_any(&self, path: &str) -> Result<Option<String>, String> {
        self.note(path);
        self.beside.read_if_any(path)
    }

    fn place(&self, path: &str) -> PathBuf {
        self.note(path);
        self.beside.place(path)
    }
}
