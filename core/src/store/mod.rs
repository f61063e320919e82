//! What flow remembers: `SQLite` for state, a folder for files.
//!
//! ```text
//! .flow/
//!   flow.db          runs, steps, attempts, events, approvals, cache, uploads (WAL beside it)
//!   artifacts/       files by content hash
//!   locks/RUN.lock   held by the process that drives the run, with its pid in it
//! ```
//!
//! What was committed is there after any crash. A commit is shared by everybody who asks
//! for one at the same time (group commit), so that durability costs one fsync a batch.

mod artifacts;
mod backup;
mod batches;
mod check;
mod decode;
mod encode;
mod error;
mod history;
mod incoming;
mod lock;
mod memory;
mod migrate;
mod open;
mod pages;
#[cfg(test)]
mod plans;
mod prune;
mod queries;
mod rows;
mod runs;
mod server;
mod spill;
mod statements;
mod steps;
mod triggers;
mod uploads;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use serde_json::Value;
use sqlx::SqlitePool;

use crate::content::ContentHash;
use crate::ids::RunId;

pub use artifacts::Artifacts;
pub use backup::Backup;
pub use error::{SqliteError, StoreError};
pub use history::LogFilter;
pub use incoming::Incoming;
pub use lock::{LockError, RunLock};
pub use pages::{Brief, CallCosts, Counts, RunSearch, StepList};
pub use prune::{Pruned, Pruning, Retention, Space};
pub use queries::Page;
pub use rows::{
    ApprovalRow, AttemptRow, AttemptStatus, Batch, CacheRow, CostRow, EventRow, LogRow, RunRow,
    RunStatus, StepRow, StepStatus,
};
pub use runs::{Ambiguous, RunFilter};
pub use server::{RunCount, ServerLock, ServerLockError, TokenRow, UsageRow};
pub use steps::StepCursor;
pub use triggers::{Delivery, EndedRun, ScheduleMove, ScheduleRow, WatchedFile};
pub use uploads::RunUploads;

use encode::Encoded;
use open::Layout;
use writer::Writer;

pub(crate) use lock::is_at;
pub(crate) use writer::{Commit, Driving};

/// A store, open. Clones share it; any task and thread may use it.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    layout: Layout,
    artifacts: Artifacts,
    readers: SqlitePool,
    /// None where the folder can only be read.
    writer: Option<Writer>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// What was asked, for the test of the plans.
    #[cfg(test)]
    asked: Mutex<Vec<String>>,
}

impl Store {
    /// Opens the store in a folder; creates what is missing.
    ///
    /// Dropping the future leaves the store created or not.
    pub async fn open(folder: &Path) -> Result<Self, StoreError> {
        let layout = Layout::new(folder);
        layout.create()?;
        let connection = open::connect(&layout).await?;
        let options = open::options(&layout.database);
        let artifacts = Artifacts::in_folder(&layout.artifacts)?;
        artifacts.sweep()?;
        let (writer, thread) = Writer::start(layout.database.clone(), connection);
        Ok(Self {
            inner: Arc::new(Inner {
                artifacts,
                readers: open::readers(options),
                writer: Some(writer),
                thread: Mutex::new(Some(thread)),
                layout,
                #[cfg(test)]
                asked: Mutex::default(),
            }),
        })
    }

    /// Opens the store in a folder, if there is one.
    ///
    /// Where nothing can be written it is opened for reading, and whoever writes gets
    /// [`StoreError::ReadOnly`].
    pub async fn open_existing(folder: &Path) -> Result<Option<Self>, StoreError> {
        let layout = Layout::new(folder);
        match layout.database.try_exists() {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) => return Err(StoreError::io(&layout.database, error)),
        }
        match Self::open(folder).await {
            Err(StoreError::ReadOnly { .. }) => Self::open_read_only(layout).await.map(Some),
            opened => opened.map(Some),
        }
    }

    async fn open_read_only(layout: Layout) -> Result<Self, StoreError> {
        let readers = open::readers(open::read_only(&layout.database));
        let mut connection = readers
            .acquire()
            .await
            .map_err(|error| StoreError::database(&layout.database, error))?;
        open::check(&mut connection, &layout.database).await?;
        drop(connection);
        Ok(Self {
            inner: Arc::new(Inner {
                artifacts: Artifacts::in_folder(&layout.artifacts)?,
                readers,
                writer: None,
                thread: Mutex::new(None),
                layout,
                #[cfg(test)]
                asked: Mutex::default(),
            }),
        })
    }

    /// Writes a batch, all of it or nothing, and returns when it is durable.
    ///
    /// A batch that breaks a constraint (an event written before, a run or a definition
    /// that is not there) fails alone, with [`StoreError::Rejected`]. Dropping the future
    /// leaves the batch written or not: it may be on its way to the disk. After an error
    /// nothing of it is written, except after [`StoreError::Database`], which is how a
    /// failing disk shows: then it is written or not.
    pub async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        self.write(Encoded::batch(&batch)).await
    }

    /// Sends a batch on its way, and returns before it is durable: [`Commit::durable`] waits
    /// for that. Batches become durable in the order in which they are sent.
    ///
    /// Dropping the future sends the batch or not.
    pub(crate) async fn send(&self, batch: &Batch) -> Result<Commit, StoreError> {
        self.writer()?.send(Encoded::batch(batch)).await
    }

    /// Writes a batch on the caller's thread, which stands still until it is durable, if
    /// nobody else writes; none where somebody does, and nothing was written.
    pub(crate) fn commit_here(&self, batch: &Batch) -> Option<Result<(), StoreError>> {
        match self.writer() {
            Ok(writer) => writer.write_here(Encoded::batch(batch)).ok(),
            Err(error) => Some(Err(error)),
        }
    }

    /// Says that a run is driven in this process, for as long as what it returns lives.
    pub(crate) fn driving(&self) -> Option<Driving> {
        self.inner.writer.as_ref().map(Writer::driving)
    }

    /// Keeps a definition, once however often it is put.
    ///
    /// Dropping the future keeps it or not.
    pub async fn put_definition(
        &self,
        hash: &ContentHash,
        name: &str,
        bundle: &Value,
    ) -> Result<(), StoreError> {
        self.write(Encoded::definition(hash, name, bundle)).await
    }

    /// Asks whoever drives the run to stop it.
    ///
    /// Dropping the future asks or not.
    pub async fn request_cancel(&self, run: &RunId) -> Result<(), StoreError> {
        self.cancel_requested(run).await?;
        self.write(Encoded::cancel(run, true)).await
    }

    /// Takes back the wish that the run stops, because it is resumed.
    ///
    /// Dropping the future takes it back or not.
    pub async fn clear_cancel(&self, run: &RunId) -> Result<(), StoreError> {
        self.cancel_requested(run).await?;
        self.write(Encoded::cancel(run, false)).await
    }

    /// The files of the store.
    pub fn artifacts(&self) -> &Artifacts {
        &self.inner.artifacts
    }

    /// The folder of the store.
    pub fn folder(&self) -> &Path {
        &self.inner.layout.folder
    }

    /// Writes what is queued, then closes the store for all its clones.
    ///
    /// Without it nothing that was acknowledged is lost. Dropping the future closes it
    /// somewhat later.
    pub async fn close(&self) {
        self.inner.readers.close().await;
        if let Some(writer) = &self.inner.writer {
            writer.close().await;
        }
        let thread = {
            let mut thread = self.inner.thread.lock().unwrap_or_else(PoisonError::into_inner);
            thread.take()
        };
        if let Some(thread) = thread {
            // It only fails when the runtime ends, and then everything does.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    async fn write(&self, writes: Encoded) -> Result<(), StoreError> {
        self.writer()?.write(writes).await
    }

    fn writer(&self) -> Result<&Writer, StoreError> {
        let read_only = || StoreError::ReadOnly { path: self.file().to_path_buf() };
        self.inner.writer.as_ref().ok_or_else(read_only)
    }

    fn readers(&self) -> &SqlitePool {
        &self.inner.readers
    }

    fn file(&self) -> &Path {
        &self.inner.layout.database
    }
}
