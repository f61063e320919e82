//! A copy of a store as it is at a moment, while others work with it.
//!
//! The database is copied by `SQLite` in one snapshot, and then every file that a row of that
//! snapshot points to. Files are only ever added, but for those that a pruning removes: so a
//! backup holds the lock of those that prune. What was copied is read once more and held
//! against its hashes before it gets its name: there is a whole copy there, or none.
//!
//! A copy is a store. To restore one is to copy it back.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;

use super::lock::{self, FileLock};
use super::open::{self, Layout};
use super::{Store, StoreError, decode};
use crate::content::ContentHash;

/// As many files are listed at once.
const PAGE: i64 = 1_000;

/// What a backup holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backup {
    /// Bytes of the database.
    pub database_bytes: u64,
    /// Files.
    pub files: u64,
    /// Bytes of them.
    pub file_bytes: u64,
}

impl Store {
    /// Copies the store into a folder that is not there yet, or is empty.
    ///
    /// Fails with [`StoreError::BadFile`] where something is there, and with
    /// [`StoreError::Pruning`] while another process prunes or copies. Dropping the future
    /// leaves nothing but perhaps a folder whose name begins with `.flow-backup-`.
    pub async fn backup(&self, to: &Path) -> Result<Backup, StoreError> {
        is_free(to)?;
        let path = lock::file_of(self.folder(), "prune");
        let _lock = FileLock::take(&path)
            .map_err(|error| StoreError::io(&path, error))?
            .map_err(|owner| StoreError::Pruning { folder: self.folder().to_path_buf(), owner })?;
        let draft = draft_beside(to)?;
        let layout = Layout::new(draft.path());
        fs::create_dir_all(&layout.artifacts)
            .map_err(|error| StoreError::io(&layout.artifacts, error))?;
        self.copy_database(&layout.database).await?;
        let mut backup = Backup { database_bytes: size(&layout.database)?, ..Backup::default() };
        self.copy_files(&layout, &mut backup).await?;
        verify(&layout).await?;
        publish(draft, to)?;
        Ok(backup)
    }

    async fn copy_database(&self, to: &Path) -> Result<(), StoreError> {
        let mut connection = self.connection().await?;
        let name = open::path_only(to).to_string_lossy().into_owned();
        let copied = sqlx::query("VACUUM INTO ?").bind(name).execute(&mut connection).await;
        let _ = connection.close().await;
        copied.map_err(|error| self.failed(error))?;
        synced(to)
    }

    /// Copies every file that a row of the copied database points to.
    async fn copy_files(&self, layout: &Layout, backup: &mut Backup) -> Result<(), StoreError> {
        let mut connection = connect(&layout.database).await?;
        let mut last = String::new();
        loop {
            let sql = "SELECT hash FROM artifacts WHERE hash > unhex(?) ORDER BY hash LIMIT ?";
            let rows = sqlx::query(sql).bind(&last).bind(PAGE).fetch_all(&mut connection).await;
            let rows = rows.map_err(|error| StoreError::database(&layout.database, error))?;
            let hashes: Result<Vec<_>, _> =
                rows.iter().map(|row| decode::hash(row, "hash")).collect();
            let hashes = hashes.map_err(|error| StoreError::database(&layout.database, error))?;
            let Some(end) = hashes.last() else { break };
            last = end.hex();
            for hash in hashes {
                backup.file_bytes += self.copy_file(&hash, &layout.artifacts).await?;
                backup.files += 1;
            }
        }
        // Nothing of it is lost: it was only read.
        let _ = connection.close().await;
        Ok(())
    }

    async fn copy_file(&self, hash: &ContentHash, folder: &Path) -> Result<u64, StoreError> {
        let from = self.artifacts().local_path(hash)?;
        let shard = from.parent().and_then(Path::file_name).unwrap_or_default();
        let to = folder.join(shard).join(from.file_name().unwrap_or_default());
        let copied = tokio::task::spawn_blocking(move || {
            let failed = |error| StoreError::io(&to, error);
            fs::create_dir_all(to.parent().unwrap_or(&to)).map_err(failed)?;
            let bytes = fs::copy(&from, &to).map_err(failed)?;
            synced(&to)?;
            Ok(bytes)
        });
        copied.await.expect("copying does not panic")
    }
}

/// Reads a copy whole, and holds it against its hashes.
async fn verify(layout: &Layout) -> Result<(), StoreError> {
    let copy = Store::open(&layout.folder).await?;
    let sound = copy.integrity_check().await;
    copy.close().await;
    sound
}

async fn connect(file: &Path) -> Result<SqliteConnection, StoreError> {
    use sqlx::ConnectOptions;
    open::options(file).connect().await.map_err(|error| StoreError::database(file, error))
}

/// Refuses a place where something is.
fn is_free(to: &Path) -> Result<(), StoreError> {
    let taken = |detail: &str| StoreError::Taken { path: to.to_path_buf(), detail: detail.into() };
    match fs::read_dir(to) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(taken("the folder is not empty")),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(taken("there is a file of that name"))
        }
        Err(error) => Err(StoreError::io(to, error)),
    }
}

fn draft_beside(to: &Path) -> Result<TempDir, StoreError> {
    let parent = parent(to);
    fs::create_dir_all(&parent).map_err(|error| StoreError::io(&parent, error))?;
    let draft = tempfile::Builder::new().prefix(".flow-backup-").tempdir_in(&parent);
    draft.map_err(|error| StoreError::io(&parent, error))
}

/// Gives a copy its name, durably.
fn publish(draft: TempDir, to: &Path) -> Result<(), StoreError> {
    let failed = |error| StoreError::io(to, error);
    for folder in [draft.path().join("artifacts"), draft.path().to_path_buf()] {
        synced(&folder)?;
    }
    fs::rename(draft.path(), to).map_err(failed)?;
    // It has another name now.
    let _ = draft.keep();
    synced(&parent(to))
}

fn parent(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    path.parent().unwrap_or(&path).to_path_buf()
}

fn synced(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| StoreError::io(path, error))
}

fn size(path: &Path) -> Result<u64, StoreError> {
    fs::metadata(path).map(|data| data.len()).map_err(|error| StoreError::io(path, error))
}
