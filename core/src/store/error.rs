//! What can go wrong in the store, and what to do about it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::runs::Ambiguous;
use crate::content::ContentHash;

/// Why the store did not do what it was asked.
///
/// Clonable, because everybody whose batch was in a failed group hears of it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The file is no `SQLite` database, or another program's.
    #[error("{} is not a store of flow: {detail}", file.display())]
    NotAStore {
        /// The database file.
        file: PathBuf,
        /// What it is instead.
        detail: String,
    },
    /// A newer flow wrote it.
    #[error(
        "{} was written by a newer flow: it has version {found}, and this flow reads up to {supported}",
        file.display()
    )]
    NewerVersion {
        /// The database file.
        file: PathBuf,
        /// The version it has.
        found: i64,
        /// The newest version known here.
        supported: i64,
    },
    /// What is stored is not what was written.
    #[error("{} is damaged: {detail}", file.display())]
    Damaged {
        /// The damaged file.
        file: PathBuf,
        /// What is wrong in it.
        detail: String,
    },
    /// Writing is not allowed.
    #[error("cannot write to {}: it is read-only", path.display())]
    ReadOnly {
        /// What cannot be written.
        path: PathBuf,
    },
    /// No space is left.
    #[error("cannot write to {}: the disk is full", path.display())]
    Full {
        /// What could not be written.
        path: PathBuf,
    },
    /// Another process holds the write lock too long.
    #[error("{} has been locked by another process for {seconds} s", file.display())]
    Locked {
        /// The database file.
        file: PathBuf,
        /// How long it was waited for.
        seconds: u64,
    },
    /// A batch contradicts what is stored; nothing of it was written.
    #[error("the store refused a batch: {detail}")]
    Rejected {
        /// The constraint it breaks.
        detail: String,
    },
    /// No run has this id.
    #[error("no run `{id}` in {}", file.display())]
    UnknownRun {
        /// The id, or the part of one, that was asked for.
        id: String,
        /// The database file.
        file: PathBuf,
    },
    /// Several runs have ids that begin or end like this.
    #[error("`{part}` is the id of several runs: {candidates}")]
    AmbiguousRun {
        /// The part that was asked for.
        part: String,
        /// Some of the runs it may mean.
        candidates: Ambiguous,
    },
    /// An artifact is not in the store.
    #[error("artifact {hash} is missing: no file {}", file.display())]
    MissingArtifact {
        /// Its hash.
        hash: ContentHash,
        /// Where it should be.
        file: PathBuf,
    },
    /// An artifact's file does not hold what was kept.
    #[error("artifact {hash} is damaged: {} does not hold what was kept", file.display())]
    DamagedArtifact {
        /// Its hash.
        hash: ContentHash,
        /// The damaged file.
        file: PathBuf,
    },
    /// A file that was given is not one that can be taken in.
    #[error("cannot take {} into the store: {detail}", path.display())]
    BadFile {
        /// The file that was given.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A file or folder of the store cannot be used.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: Arc<std::io::Error>,
    },
    /// `SQLite` failed in a way that has no name of its own here.
    #[error("{} failed: {source}", file.display())]
    Database {
        /// The database file.
        file: PathBuf,
        /// What `SQLite` said.
        source: Arc<SqliteError>,
    },
    /// Another process prunes the store.
    #[error("{} is being pruned by {owner}", folder.display())]
    Pruning {
        /// The folder of the store.
        folder: PathBuf,
        /// What the owner wrote about itself: `process PID on HOST`.
        owner: String,
    },
    /// Something is where a copy of a store is to be.
    #[error("cannot copy a store to {}: {detail}", path.display())]
    Taken {
        /// Where.
        path: PathBuf,
        /// What is there.
        detail: String,
    },
    /// The store was closed while something was still to be written.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotAStore { .. } => {
                Some("point --store or FLOW_STORE to another folder, or move the file away")
            }
            Self::NewerVersion { .. } => Some("upgrade flow"),
            Self::Damaged { .. } => Some(
                "restore it from a backup, or move it away and run again; `sqlite3 FILE .recover` saves what is readable",
            ),
            Self::ReadOnly { .. } => {
                Some("allow writing there, or choose another folder with --store or FLOW_STORE")
            }
            Self::Full { .. } => {
                Some("free some space, then `flow resume RUN`: what was acknowledged is kept")
            }
            Self::Locked { .. } => Some("see whether another flow or a database tool hangs"),
            Self::UnknownRun { .. } => Some("`flow runs` lists the runs of the store"),
            Self::AmbiguousRun { .. } => Some("give more of the id"),
            Self::MissingArtifact { .. } | Self::DamagedArtifact { .. } => {
                Some("restore the file from a backup, or run the workflow again")
            }
            Self::BadFile { .. } => Some("give a file that can be read and does not change"),
            Self::Pruning { .. } => Some("wait for it; what it removes need not be removed again"),
            Self::Taken { .. } => Some("name a folder that is not there yet"),
            Self::Rejected { .. } | Self::Io { .. } | Self::Database { .. } | Self::Closed => None,
        }
    }

    /// Whether it is about one file that is kept or to be kept, and not about the store: then
    /// it harms only who needs that file.
    pub fn is_of_a_file(&self) -> bool {
        match self {
            Self::MissingArtifact { .. } | Self::DamagedArtifact { .. } | Self::BadFile { .. } => {
                true
            }
            Self::NotAStore { .. }
            | Self::NewerVersion { .. }
            | Self::Damaged { .. }
            | Self::ReadOnly { .. }
            | Self::Full { .. }
            | Self::Locked { .. }
            | Self::Rejected { .. }
            | Self::UnknownRun { .. }
            | Self::AmbiguousRun { .. }
            | Self::Pruning { .. }
            | Self::Taken { .. }
            | Self::Io { .. }
            | Self::Database { .. }
            | Self::Closed => false,
        }
    }

    /// Names a failure of the file system.
    pub(super) fn io(path: &Path, source: std::io::Error) -> Self {
        use std::io::ErrorKind;
        let path = path.to_path_buf();
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full { path },
            ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            _ => Self::Io { path, source: Arc::new(source) },
        }
    }

    /// Names a failure of `SQLite` by its result code.
    pub(super) fn database(file: &Path, source: impl Into<SqliteError>) -> Self {
        let (file, source) = (file.to_path_buf(), source.into());
        match &source {
            SqliteError::Sqlx(sqlx::Error::PoolClosed) => return Self::Closed,
            SqliteError::Sqlx(
                sqlx::Error::Decode(error) | sqlx::Error::ColumnDecode { source: error, .. },
            ) => return Self::Damaged { file, detail: error.to_string() },
            SqliteError::Sqlx(_) | SqliteError::Rusqlite(_) => {}
        }
        let detail = || source.detail();
        let code = source.code();
        if code == Some(IOERR_SHMSIZE) {
            return Self::Full { path: file };
        }
        // The low byte is the primary code: https://sqlite.org/rescode.html
        match code.map(|code| code & 0xff) {
            Some(5 | 6) => Self::Locked { file, seconds: super::open::BUSY_TIMEOUT.as_secs() },
            Some(8) => Self::ReadOnly { path: file },
            Some(11) => Self::Damaged { detail: detail(), file },
            Some(13) => Self::Full { path: file },
            Some(19) => Self::Rejected { detail: detail() },
            Some(26) => Self::NotAStore { detail: detail(), file },
            Some(_) | None => Self::Database { file, source: Arc::new(source) },
        }
    }
}

/// The memory beside the WAL could not grow: on a full disk the first thing that fails.
const IOERR_SHMSIZE: i32 = 4874;

/// What `SQLite` said, by whichever library it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SqliteError {
    /// Asked to read, or to migrate.
    #[error(transparent)]
    Sqlx(#[from] sqlx::Error),
    /// Asked to write.
    #[error(transparent)]
    Rusqlite(#[from] rusqlite::Error),
}

impl SqliteError {
    /// The extended result code of `SQLite`, where it was `SQLite` that failed.
    fn code(&self) -> Option<i32> {
        match self {
            Self::Sqlx(error) => error.as_database_error()?.code()?.parse().ok(),
            Self::Rusqlite(error) => error.sqlite_error().map(|error| error.extended_code),
        }
    }

    /// What it says of it.
    fn detail(&self) -> String {
        match self {
            Self::Sqlx(error) => match error.as_database_error() {
                Some(error) => error.message().to_owned(),
                None => error.to_string(),
            },
            Self::Rusqlite(error) => error.to_string(),
        }
    }

    /// Whether somebody else holds a lock.
    pub(super) fn is_busy(&self) -> bool {
        self.code().is_some_and(|code| code & 0xff == 5)
    }
}
