//! Who drives a run: one process, by a lock that the system releases when it dies.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::ids::RunId;

/// How often a lock that is taken is tried again at once.
const LOOKS: u32 = 8;

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
        let path = folder.join("locks").join(format!("{run}.lock"));
        let failed = |source| LockError::Io { path: path.clone(), source };
        let mut looks = LOOKS;
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
                // Somebody may be looking just now, which takes no longer than this.
                Err(TryLockError::WouldBlock) if looks > 0 => {
                    looks -= 1;
                    std::thread::yield_now();
                    continue;
                }
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

    /// Whether somebody drives the run. Looking takes nobody's place and leaves no file.
    pub fn is_held(folder: &Path, run: &RunId) -> Result<bool, LockError> {
        let path = folder.join("locks").join(format!("{run}.lock"));
        let look = || match File::open(&path) {
            Ok(file) => match file.try_lock_shared() {
                Ok(()) => Ok(false),
                Err(TryLockError::WouldBlock) => Ok(true),
                Err(TryLockError::Error(error)) => Err(error),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        };
        look().map_err(|source| LockError::Io { path: path.clone(), source })
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // Still locked here, so nobody else's file is removed. A file left behind is no
        // lock, so failing does no harm.
        let _ = std::fs::remove_file(&self.path);
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

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

/// An open file cannot be removed here.
#[cfg(not(unix))]
fn is_at(_file: &File, _path: &Path) -> bool {
    true
}
