//! What the server is given by the binary: how workflows are read, and the machine's side.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use flow_core::engine::Program;
use flow_core::ids::RunId;
use flow_core::language::Checked;
use flow_core::store::{RunRow, Store};

use crate::folder::Stamp;

/// A workflow's file, read and checked.
pub struct Reading {
    /// What the check found.
    pub checked: Checked,
    /// What can be run; none where the check found errors.
    pub program: Option<Program>,
    /// The same for inputs that come from a request, whose paths are not trusted.
    pub requested: Option<Program>,
    /// The other files that were read or looked for, each as it stood before.
    pub files: Vec<(PathBuf, Stamp)>,
}

/// What the server works with.
#[async_trait]
pub trait Workplace: Send + Sync + 'static {
    /// Reads and checks a workflow's file, with the tasks and schemas beside it.
    ///
    /// Blocking. The error says why the file cannot be read.
    fn read(&self, file: &Path) -> Result<Reading, String>;

    /// What a run goes on with: the definition that it was kept with.
    ///
    /// The error says what of it cannot be read or is wrong by now.
    async fn resumed(&self, store: &Store, run: &RunRow) -> Result<Program, String>;

    /// Removes what was uploaded for a run that has ended. What cannot be removed now is told,
    /// a line each, and tried again when the next run ends.
    async fn tidy(&self, program: &Program, store: &Store, run: &RunId) -> Vec<String>;

    /// The secret of a name, which a webhook is compared with; none where there is none.
    fn secret(&self, name: &str) -> Option<String>;

    /// The time, in milliseconds since 1970.
    fn now(&self) -> i64;

    /// A new run's id.
    fn new_run_id(&self) -> RunId;
}
