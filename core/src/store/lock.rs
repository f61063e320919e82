//! Who drives a run, and who prunes the store: one process, by a lock that the system releases
//! when it dies.
//!
//! The file of a dead owner stays. Whoever takes the run up takes it over; what nobody takes
//! up, perhaps because its owner died before the run was kept, is removed by the next who
//! opens the store.

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::ids::RunId;

/// How the names of lock files end.
const SUFFIX: &str = ".lock";

/// The lock of those who open the store, and of nobody's run.
pub(super) const GATE: &str = "open.lock";

/// Who only looks whether a lock is held has it for a moment; it is tried so often again.
const LOOKS: u32 = 5;
const MOMENT: Duration = Duration::from_millis(1);

/// The right to drive a run, held until it is dropped or the process dies.
#[derive(Debug)]
pub struct RunLock {
    _lock: FileLock,
}

/// A file of `locks/`, locked until it is dropped or the process dies.
#[derive(Debug)]
pub(super) struct FileLock {
    file: File,
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
        source: io::Error,
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
        let path = file_of(folder, run.as_str());
        match FileLock::take(&path) {
            Ok(Ok(lock)) => Ok(Self { _lock: lock }),
            Ok(Err(owner)) => Err(LockError::Held { run: run.clone(), owner }),
            Err(source) => Err(LockError::Io { path, source }),
        }
    }

    /// Whether a living process drives the run. Takes nothing.
    pub fn is_held(folder: &Path, run: &RunId) -> bool {
        held_since(&file_of(folder, run.as_str())).is_some()
    }
}

impl FileLock {
    /// Takes a lock, or says who has it, at once.
    pub(super) fn take(path: &Path) -> io::Result<Result<Self, String>> {
        let mut looks = 0;
        loop {
            let mut file =
                File::options().read(true).write(true).create(true).truncate(false).open(path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) if looks < LOOKS => {
                    looks += 1;
                    std::thread::sleep(MOMENT);
                    continue;
                }
                Err(TryLockError::WouldBlock) => return Ok(Err(owner(&mut file))),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            // The owner before may have removed the file between our opening and locking
            // it; then others lock a new file of this name, and ours is worth nothing.
            if is_at(&file, path) {
                sign(&mut file)?;
                return Ok(Ok(Self { file, path: path.to_path_buf() }));
            }
        }
    }

    /// Signs it again, and says when that was by the clock of the file system.
    pub(super) fn renew(&mut self) -> io::Result<SystemTime> {
        sign(&mut self.file)?;
        self.file.metadata()?.modified()
    }

    /// The file, behind what it was signed with.
    pub(super) fn file(&mut self) -> &mut File {
        &mut self.file
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Still locked here, so nobody else's file is removed. A file left behind is no
        // lock, so failing does no harm.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The runs that are driven by living processes, and since when by the clock of the file
/// system, or since earlier.
pub(super) fn driven(folder: &Path) -> io::Result<HashMap<RunId, SystemTime>> {
    let mut driven = HashMap::new();
    for entry in std::fs::read_dir(folder.join("locks"))? {
        let entry = entry?;
        let name = entry.file_name();
        let run = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
        // The other locks of the folder are no run's.
        let Some(run) = run.and_then(|run| run.parse().ok()) else { continue };
        if let Some(since) = held_since(&entry.path()) {
            driven.insert(run, since);
        }
    }
    Ok(driven)
}

/// Opens the file that those who open the store lock.
pub(super) fn gate(locks: &Path) -> io::Result<File> {
    File::options().write(true).create(true).truncate(false).open(locks.join(GATE))
}

/// Removes what dead owners left. Whoever takes such a lock meanwhile meets ours, which is
/// gone in a moment, and then a file without a name, and takes a new one.
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

/// The file of a lock.
pub(super) fn file_of(folder: &Path, name: &str) -> PathBuf {
    folder.join("locks").join(format!("{name}{SUFFIX}"))
}

fn held_since(path: &Path) -> Option<SystemTime> {
    let file = File::open(path).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => file.metadata().and_then(|data| data.modified()).ok(),
        // One that cannot be asked is somebody's, as far as is known.
        Err(TryLockError::Error(_)) => Some(SystemTime::UNIX_EPOCH),
        Ok(()) => None,
    }
}

fn owner(file: &mut File) -> String {
    let mut text = String::new();
    match file.read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().into(),
        Ok(_) | Err(_) => "another process".into(),
    }
}

fn sign(file: &mut File) -> io::Result<()> {
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
