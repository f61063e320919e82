//! Opening a store: what is there is checked before anything is written.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, SqliteConnection};

use super::error::StoreError;
use super::{lock, migrate, writer};

/// How long a lock of another process is waited for.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// A few queries at a time; readers never wait for the writer.
const READERS: u32 = 4;

/// What every connection that writes is set to: a cache of 32 MiB, so that pages of the
/// indexes, which change often, are read and written back seldom; and 4 MiB of WAL (1000
/// pages) between checkpoints, because a commit that overwrites the log is cheaper than one
/// that lets it grow.
pub(super) const PRAGMAS: &[(&str, &str)] = &[
    ("journal_mode", "WAL"),
    ("synchronous", "FULL"),
    ("foreign_keys", "ON"),
    ("cache_size", "-32768"),
    ("wal_autocheckpoint", "1000"),
];

/// The files of a store.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) folder: PathBuf,
    pub(super) database: PathBuf,
    pub(super) artifacts: PathBuf,
    pub(super) locks: PathBuf,
}

impl Layout {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
            database: folder.join("flow.db"),
            artifacts: folder.join("artifacts"),
            locks: folder.join("locks"),
        }
    }

    pub(super) fn create(&self) -> Result<(), StoreError> {
        for folder in [&self.folder, &self.artifacts, &self.locks] {
            std::fs::create_dir_all(folder).map_err(|error| unwritable(folder, error))?;
        }
        Ok(())
    }
}

/// The options of a connection of `sqlx` that may write.
pub(super) fn options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path_only(file))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
}

/// The path in a form that `SQLite` does not take for a URI: one that does not begin with
/// `file:`.
pub(super) fn path_only(file: &Path) -> PathBuf {
    std::path::absolute(file).unwrap_or_else(|_| file.to_path_buf())
}

/// The options of readers where nothing can be written, not even what readers of a WAL
/// share.
pub(super) fn read_only(file: &Path) -> SqliteConnectOptions {
    let mut wal = file.as_os_str().to_owned();
    wal.push("-wal");
    // With a WAL that nobody took over, `SQLite` must find the shared memory or fail;
    // without one the file is all there is, and nobody can change it.
    let whole = std::fs::metadata(wal).map_or(true, |wal| wal.len() == 0);
    SqliteConnectOptions::new()
        .filename(path_only(file))
        .read_only(true)
        .immutable(whole)
        .disable_statement_logging()
}

/// Opens the readers, none of which connects before it is needed.
pub(super) fn readers(options: SqliteConnectOptions) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(READERS)
        // A connection to a file does not go stale.
        .test_before_acquire(false)
        .connect_lazy_with(
            options
                .create_if_missing(false)
                .pragma("cache_size", "-4096")
                .row_buffer_size(1024)
                .pragma("query_only", "ON"),
        )
}

/// Opens the connection that writes, and brings the database to this version.
///
/// One process at a time. Dropping the future leaves the database made or not.
pub(super) async fn connect(layout: &Layout) -> Result<Connection, StoreError> {
    let file = layout.database.clone();
    if file.is_dir() {
        return Err(StoreError::NotAStore { file, detail: "it is a folder".into() });
    }
    let locks = layout.locks.clone();
    let opened = tokio::task::spawn_blocking(move || {
        let gate = lock::gate(&locks).and_then(|gate| gate.lock().map(|()| gate));
        let _alone = gate.map_err(|error| unwritable(&locks.join(lock::GATE), error))?;
        lock::sweep(&locks);
        let opened = writer::connect(&file, OpenFlags::SQLITE_OPEN_CREATE);
        let mut connection = opened.map_err(|error| StoreError::database(&file, error))?;
        migrate::migrate(&mut connection, &file)?;
        Ok(connection)
    });
    opened.await.expect("opening does not panic")
}

/// Names a failure to write; to whom it is forbidden, a folder is as good as read-only.
fn unwritable(path: &Path, error: std::io::Error) -> StoreError {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => StoreError::ReadOnly { path: path.to_path_buf() },
        _ => StoreError::io(path, error),
    }
}

/// Refuses another program's database and a newer flow's, where nothing can be written.
pub(super) async fn check(
    connection: &mut SqliteConnection,
    file: &Path,
) -> Result<(), StoreError> {
    let failed = |error| StoreError::database(file, error);
    let layout = sqlx::query_as(migrate::LAYOUT).fetch_one(&mut *connection).await;
    let (tables, ours): (i64, i64) = layout.map_err(failed)?;
    let newest = match ours {
        0 => None,
        _ => {
            let newest = sqlx::query_scalar(migrate::NEWEST).fetch_one(&mut *connection).await;
            newest.map_err(failed)?
        }
    };
    migrate::check(file, tables, ours > 0, newest)
}
