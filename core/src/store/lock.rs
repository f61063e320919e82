//! Who drives a run: one process, by a lock that the system releases when it dies.
//!
//! The file of a dead owner stays. Whoever takes the run up takes it over; what nobody takes
//! up, perhaps because its owner died before the run was kept, is removed by the next who
//! opens the store. Removing excludes taking, so that nobody meets a lock that no owner holds.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::ids::RunId;

/// How the names of locks end.
const SUFFIX: &str = ".lock";

/// The lock of those who open the store, and of nobody's run.
pub(super) const GATE: &str = "open.lock";

/// The right to drive a run, held until it is dropped or the process dies.
#[derive(Debug)]
pub struct RunLock {
    /// Locked by the system; never read.
    _file: File,
    path: PathBuf,
}

/// Why a run cannot be driven from here.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// A living process drives it.
    #[error("run {run} is driven by {owner}")]
    Held {
        /// The run.
        run: RunId,
        /// What the owner wrote about itself: `process PID on HOST`.
        owner: String,
    },
    /// The lock file cannot be used.
    #[error("cannot lock {}: {source}", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl LockError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Held { .. } => Some("wait for it, or stop it with `flow cancel RUN`"),
            Self::Io { .. } => None,
        }
    }
}

impl RunLock {
    /// Takes the right to drive a run, at once or not at all.
    ///
    /// A dead owner's right is taken over: the system unlocked its file when it died.
    pub fn acquire(folder: &Path, run: &RunId) -> Result<Self, LockError> {
        let locks = folder.join("locks");
        let path = locks.join(format!("{run}{SUFFIX}"));
        let failed = |source| LockError::Io { path: path.clone(), source };
        let _gate = gate(&locks)
            .and_then(|gate| gate.lock_shared().map(|()| gate))
            .map_err(|source| LockError::Io { path: locks.join(GATE), source })?;
        loop {
            let mut file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(LockError::Held { run: run.clone(), owner: owner(&mut file) });
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            // The owner before may have removed the file between our opening and locking
            // it; then others lock a new file of this name, and ours is worth nothing.
            if is_at(&file, &path) {
                sign(&mut file).map_err(failed)?;
                return Ok(Self { _file: file, path });
            }
        }
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // Still locked here, so nobody else's file is removed. A file left behind is no
        // lock, so failing does no harm.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Opens the file that those who open the store lock for themselves, and those who take a run
/// share.
pub(super) fn gate(locks: &Path) -> std::io::Result<File> {
    File::options().write(true).create(true).truncate(false).open(locks.join(GATE))
}

/// Removes what dead owners left. The caller has the gate for itself.
pub(super) fn sweep(locks: &Path) {
    for entry in std::fs::read_dir(locks).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name == GATE || !name.to_string_lossy().ends_with(SUFFIX) {
            continue;
        }
        // What cannot be opened or removed does no harm: it is no lock.
        if let Ok(file) = File::open(entry.path())
            && file.try_lock().is_ok()
        {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn owner(file: &mut File) -> String {
    let mut text = String::new();
    match file.read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().into(),
        Ok(_) | Err(_) => "another process".into(),
    }
}

fn sign(file: &mut File) -> std::io::Result<()> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = match host.trim() {
        "" => "this machine",
        host => host,
    };
    file.set_len(0)?;
    file.rewind()?;
    write!(file, "process {} on {host}", std::process::id())
}

/// Whether an open file is what stands at a path, and not one that stood there before.
#[cfg(unix)]
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

/// An open file cannot be removed here.
#[cfg(not(unix))]
pub(crate) fn is_at(_file: &File, _path: &Path) -> bool {
    true
}
