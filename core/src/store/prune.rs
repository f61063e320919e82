//! Forgetting: runs that ended long ago, what only they needed, and the space of both.
//!
//! [`Pruning`] is a machine that does one bounded thing a step, each in a transaction of its
//! own, so that whoever drives it decides the pace and a running flow is never locked out for
//! long. Killed between two steps or within one, it leaves a store that is whole, and the next
//! one goes on where it was.
//!
//! # Runs
//!
//! A run is taken up only under its lock, as whoever drives or resumes it would. The first
//! transaction hides it: from then on nobody finds it, by id, in a list or in a view. Its rows
//! go a few thousand at a time, and its own row last, so that no row ever points to a run
//! that is not there, and no new run takes the key of rows that are left.
//!
//! # Entries of the cache, definitions
//!
//! An entry of the cache lives by itself, as long as it is of use (to the day). A definition
//! goes when no run has it. Whoever begins a run keeps its definition first and only then
//! writes the run, but locks the run before both: so definitions are removed only in a
//! transaction at whose beginning nobody drives anything. Whoever locks later has to wait for
//! it with what it keeps.
//!
//! # Files
//!
//! A file is removed when no row points to it, and when nobody can be about to write such a
//! row. That is known by time. Whoever gets hold of a reference elsewhere than in the rows of
//! the run that it drives (by taking a file in, by keeping bytes, by a hit in the cache) makes
//! the file young before it has the reference; see `artifacts.rs`. So:
//!
//! 1. `before` is the earliest of: a while ago, and since when any run is driven that is driven
//!    now. All these times are of the file system's own clock.
//! 2. All rows are read for references, in one snapshot that begins after 1.
//! 3. A file that none of them names is removed if it is older than `before` at a moment in
//!    which nobody can make it young, as its shard is locked.
//!
//! Suppose that a row is written after the snapshot that points to a file removed in 3. Who
//! wrote it had made the file young before, at a time `t`, and `t` < `before`, or 3 would have
//! seen that. It drives a run. If it drove that run at 1, `before` is not after the time at
//! which it began to, and it got the reference since then: `t` ≥ `before`. If it began after 1,
//! it had the reference before it took the lock, and since before a while ago: only files that
//! are a run's inputs are taken in before it is locked, and that takes no such while. If it
//! ended before 1, its rows are in the snapshot. So there is no such row.
//!
//! A file's row in `artifacts` goes first, under the same lock, so that no row ever promises a
//! file that was removed.

mod files;
mod forecast;
mod rows;

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, SystemTime};

use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};

use super::lock::{self, FileLock};
use super::queries::json_list;
use super::steps::USE_NOTED_MS;
use super::{RunLock, RunStatus, Store, StoreError, open};
use crate::content::ContentHash;
use crate::ids::RunId;

#[cfg(test)]
pub(super) use files::REFERENCES;
#[cfg(test)]
pub(super) use rows::statements;

/// As many runs are taken up at once.
const RUNS: usize = 100;

/// How long a file may be in use before its run is locked: the inputs of a run are taken in
/// within this time.
const WHILE: Duration = Duration::from_hours(1);

/// What is to be forgotten.
#[derive(Clone, Debug)]
pub struct Retention {
    /// Runs that ended before this time, in milliseconds since 1970, and entries of the cache
    /// that were of no use since.
    pub before: i64,
    /// Runs that stand so. Those that have not ended count from the last thing that happened.
    pub statuses: Vec<RunStatus>,
    /// The latest runs of each workflow stay, so many.
    pub keep: u32,
    /// Only runs of this workflow, and then no entries of the cache; all where none is named.
    pub workflow: Option<String>,
}

/// What was forgotten, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Runs.
    pub runs: u64,
    /// Runs that were left because a process drives them.
    pub driven: u64,
    /// Entries of the cache.
    pub cached: u64,
    /// Definitions that no run has.
    pub definitions: u64,
    /// Files that no row points to.
    pub files: u64,
    /// The bytes of those files.
    pub file_bytes: u64,
}

/// How large the database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes of it that hold nothing and are used again before the file grows.
    pub free: u64,
}

/// A pruning under way; the only one of its store.
#[derive(Debug)]
pub struct Pruning {
    store: Store,
    connection: SqliteConnection,
    lock: FileLock,
    retention: Retention,
    stage: Stage,
    freed: Pruned,
}

#[derive(Debug)]
enum Stage {
    /// Nothing was looked at yet.
    Begin,
    /// Runs that are hidden and have rows, then those to take up.
    Runs {
        hidden: Vec<i64>,
        rest: VecDeque<Doomed>,
    },
    Cache,
    Definitions,
    Look,
    /// Files to remove, a shard at a time.
    Files {
        before: SystemTime,
        shards: Vec<Vec<(ContentHash, u64)>>,
    },
    Done,
}

/// A run to be forgotten.
#[derive(Debug)]
struct Doomed {
    key: i64,
    id: RunId,
}

impl Store {
    /// Begins to forget what `retention` says; nothing is removed before the first step.
    ///
    /// Fails with [`StoreError::Pruning`] where another process is at it. Dropping the future
    /// begins nothing.
    pub async fn prune(&self, retention: Retention) -> Result<Pruning, StoreError> {
        self.writer()?;
        let path = lock::file_of(self.folder(), "prune");
        let lock = FileLock::take(&path)
            .map_err(|error| StoreError::io(&path, error))?
            .map_err(|owner| StoreError::Pruning { folder: self.folder().to_path_buf(), owner })?;
        Ok(Pruning {
            store: self.clone(),
            connection: self.connection().await?,
            lock,
            retention,
            stage: Stage::Begin,
            freed: Pruned::default(),
        })
    }

    /// Gives the space that is free in the database back to the disk.
    ///
    /// Nobody can write meanwhile; it needs as much space again as the database will have.
    /// Dropping the future stops it, and leaves the database as it was.
    pub async fn vacuum(&self) -> Result<(), StoreError> {
        self.writer()?;
        let mut connection = self.connection().await?;
        let done = sqlx::raw_sql("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);");
        let done = done.execute(&mut connection).await;
        let _ = connection.close().await;
        done.map(drop).map_err(|error| self.failed(error))
    }

    /// How large the database is. Dropping the future does nothing.
    pub async fn space(&self) -> Result<Space, StoreError> {
        let sql = "SELECT (SELECT page_size FROM pragma_page_size) AS size, \
                   (SELECT page_count FROM pragma_page_count) AS pages, \
                   (SELECT freelist_count FROM pragma_freelist_count) AS free";
        let read = |row: &sqlx::sqlite::SqliteRow| {
            let number = |column: &str| row.try_get(column).map(i64::unsigned_abs);
            let size = number("size")?;
            Ok(Space { bytes: size * number("pages")?, free: size * number("free")? })
        };
        let space = self.one(sqlx::query(sql), read).await?;
        Ok(space.unwrap_or(Space { bytes: 0, free: 0 }))
    }

    pub(super) async fn connection(&self) -> Result<SqliteConnection, StoreError> {
        let options = open::options(self.file());
        options.connect().await.map_err(|error| self.failed(error))
    }

    pub(super) fn failed(&self, error: sqlx::Error) -> StoreError {
        StoreError::database(self.file(), error)
    }

    /// The runs that are driven now.
    fn driven(&self) -> Result<HashMap<RunId, SystemTime>, StoreError> {
        lock::driven(self.folder()).map_err(|error| StoreError::io(self.folder(), error))
    }
}

impl Pruning {
    /// Does the next bounded thing; says whether there may be more to do.
    ///
    /// Dropping the future does it or not.
    pub async fn step(&mut self) -> Result<bool, StoreError> {
        // After an error nothing goes on: what is left is the next pruning's.
        self.stage = match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Begin => self.choose().await?,
            Stage::Runs { hidden, rest } if hidden.is_empty() && rest.is_empty() => Stage::Cache,
            Stage::Runs { hidden, rest } if hidden.is_empty() => self.hide(rest).await?,
            Stage::Runs { hidden, rest } => {
                let left = self.remove_rows(hidden).await?;
                Stage::Runs { hidden: left, rest }
            }
            Stage::Cache => self.forget_cached().await?,
            Stage::Definitions => self.forget_definitions().await?,
            Stage::Look => self.look_for_files().await?,
            Stage::Files { before, shards } => self.remove_files(before, shards).await?,
            Stage::Done => Stage::Done,
        };
        Ok(!matches!(self.stage, Stage::Done))
    }

    /// What was removed so far.
    pub fn freed(&self) -> &Pruned {
        &self.freed
    }

    async fn choose(&mut self) -> Result<Stage, StoreError> {
        let hidden = self.store.hidden().await?;
        let (rest, driven) = self.store.doomed(&self.retention).await?;
        self.freed.driven = driven;
        Ok(Stage::Runs { hidden, rest: rest.into() })
    }

    /// Takes up some runs: locks them, looks again whether they may go, and hides them.
    async fn hide(&mut self, mut rest: VecDeque<Doomed>) -> Result<Stage, StoreError> {
        let taken: Vec<Doomed> = rest.drain(..RUNS.min(rest.len())).collect();
        let mut locks = Vec::new();
        let mut keys = Vec::new();
        for run in taken {
            match RunLock::acquire(self.store.folder(), &run.id) {
                Ok(lock) => {
                    locks.push(lock);
                    keys.push(run.key);
                }
                // Driven, or it cannot be known that it is not.
                Err(_) => self.freed.driven += 1,
            }
        }
        let (store, retention) = (&self.store, &self.retention);
        let hidden = rows::hide(&mut self.connection, &keys, retention).await;
        let hidden = hidden.map_err(|error| store.failed(error))?;
        self.freed.runs += hidden.len() as u64;
        Ok(Stage::Runs { hidden, rest })
    }

    async fn remove_rows(&mut self, hidden: Vec<i64>) -> Result<Vec<i64>, StoreError> {
        let done = rows::remove(&mut self.connection, &hidden).await;
        let done = done.map_err(|error| self.store.failed(error))?;
        Ok(if done { Vec::new() } else { hidden })
    }

    async fn forget_cached(&mut self) -> Result<Stage, StoreError> {
        if self.retention.workflow.is_some() {
            return Ok(Stage::Definitions);
        }
        let before = self.retention.before - USE_NOTED_MS;
        let gone = rows::forget_cached(&mut self.connection, before).await;
        let gone = gone.map_err(|error| self.store.failed(error))?;
        self.freed.cached += gone;
        Ok(if gone == 0 { Stage::Definitions } else { Stage::Cache })
    }

    async fn forget_definitions(&mut self) -> Result<Stage, StoreError> {
        let unused = self.store.unused_definitions().await?;
        if !unused.is_empty() {
            let store = &self.store;
            let idle = || store.driven().is_ok_and(|driven| driven.is_empty());
            let gone = rows::forget_definitions(&mut self.connection, &unused, idle).await;
            self.freed.definitions += gone.map_err(|error| store.failed(error))?;
        }
        Ok(Stage::Look)
    }

    async fn look_for_files(&mut self) -> Result<Stage, StoreError> {
        let path = lock::file_of(self.store.folder(), "prune");
        let now = self.lock.renew().map_err(|error| StoreError::io(&path, error))?;
        let before = self.store.all_younger_since(now)?;
        let garbage = self.store.unreferenced(before, &[], i64::MIN).await?;
        let mut shards: HashMap<u8, Vec<(ContentHash, u64)>> = HashMap::new();
        for (hash, size) in garbage {
            shards.entry(hash.shard()).or_default().push((hash, size));
        }
        Ok(Stage::Files { before, shards: shards.into_values().collect() })
    }

    async fn remove_files(
        &mut self,
        before: SystemTime,
        mut shards: Vec<Vec<(ContentHash, u64)>>,
    ) -> Result<Stage, StoreError> {
        let Some(shard) = shards.pop() else { return Ok(Stage::Done) };
        let sizes: HashMap<ContentHash, u64> = shard.iter().copied().collect();
        let hashes = shard.into_iter().map(|(hash, _)| hash).collect();
        let seized = self.store.artifacts().seize(hashes, before).await?;
        let names = json_list(seized.hashes.iter().map(ContentHash::hex));
        let gone = rows::forget_artifacts(&mut self.connection, &names).await;
        gone.map_err(|error| self.store.failed(error))?;
        self.freed.files += seized.hashes.len() as u64;
        self.freed.file_bytes += seized.hashes.iter().map(|hash| sizes[hash]).sum::<u64>();
        seized.remove().await?;
        Ok(Stage::Files { before, shards })
    }
}
