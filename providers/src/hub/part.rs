//! What came of a file by now: `PART`, and beside it what it is a part of.
//!
//! The bytes are the file's first ones, as many as the part is long; nothing else is counted,
//! so that a process may die at any moment. What they are of stands in `PART.json`. Who adds to
//! a part holds the lock on `PART.lock`.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use flow_core::content::ContentHash;
use flow_core::error::{ErrorClass, Failure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What a part is a part of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Of {
    /// The hub's tag of the file.
    pub(super) etag: Option<String>,
    /// The tag by which its host gives the rest of it.
    pub(super) validator: Option<String>,
    /// The bytes of the whole.
    pub(super) size: Option<u64>,
}

/// A part that is added to.
pub(super) struct Part {
    path: PathBuf,
    file: File,
    of: Of,
    length: u64,
    hasher: Sha256,
    whole: bool,
    _lock: Lock,
}

impl Part {
    /// Opens a part, an empty one where there is none. Reads what is there, for its hash.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let lock = Lock::take(path)?;
        let open = || {
            let mut file =
                File::options().read(true).write(true).create(true).truncate(false).open(path)?;
            let mut hasher = Sha256::new();
            let length = read_into(&mut file, &mut hasher)?;
            let of = fs::read(about(path)).ok();
            let of = of.and_then(|of| serde_json::from_slice(&of).ok()).unwrap_or_default();
            Ok((file, hasher, length, of))
        };
        let (file, hasher, length, of) = open().map_err(|error| unusable(path, &error))?;
        let path = path.to_path_buf();
        Ok(Self { path, file, of, length, hasher, whole: false, _lock: lock })
    }

    /// How many bytes are there.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// What it is a part of.
    pub(super) fn of(&self) -> &Of {
        &self.of
    }

    /// Says what it is a part of from now on.
    pub(super) fn is_of(&mut self, of: Of) -> Result<(), Failure> {
        if self.of != of {
            let about = about(&self.path);
            let text = serde_json::to_vec(&of).map_err(io::Error::other);
            text.and_then(|text| fs::write(&about, text))
                .map_err(|error| unusable(&about, &error))?;
            self.of = of;
        }
        Ok(())
    }

    /// Forgets what is there.
    pub(super) fn empty(&mut self) -> Result<(), Failure> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.rewind());
        emptied.map_err(|error| unusable(&self.path, &error))?;
        self.length = 0;
        self.hasher = Sha256::new();
        Ok(())
    }

    /// Adds bytes.
    pub(super) fn add(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all(bytes).map_err(|error| unusable(&self.path, &error))?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// The hash of what is there.
    pub(super) fn sha256(&self) -> ContentHash {
        ContentHash::from_digest(self.hasher.clone().finalize().into())
    }

    /// Leaves it as the whole file that it has become.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        self.whole = true;
        self.file.sync_all().map_err(|error| unusable(&self.path, &error))?;
        remove(&about(&self.path))
    }

    /// Takes it away: it is of no use.
    pub(super) fn discard(self) -> Result<(), Failure> {
        remove(&self.path)?;
        remove(&about(&self.path))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.length == 0 && !self.whole {
            // Nothing came. One that stays does no harm.
            let _ = remove(&self.path);
            let _ = remove(&about(&self.path));
        }
    }
}

fn read_into(file: &mut File, hasher: &mut Sha256) -> io::Result<u64> {
    let (mut buffer, mut length) = (vec![0; 1 << 20], 0);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(length),
            read => {
                hasher.update(&buffer[..read]);
                length += read as u64;
            }
        }
    }
}

fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unusable(path, &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn about(part: &Path) -> PathBuf {
    beside(part, ".json")
}

fn beside(part: &Path, end: &str) -> PathBuf {
    let mut name = part.file_name().unwrap_or_default().to_owned();
    name.push(end);
    part.with_file_name(name)
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    let failure = Failure::new(ErrorClass::Io, format!("cannot use `{}`: {error}", path.display()));
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            failure.with_hint("make room; what came stays, and the same command goes on")
        }
        _ => failure,
    }
}

/// The right to add to a part, until it is dropped or the process dies.
struct Lock {
    _file: File,
    path: PathBuf,
}

impl Lock {
    fn take(part: &Path) -> Result<Self, Failure> {
        let path = beside(part, ".lock");
        loop {
            let open = || File::options().write(true).create(true).truncate(false).open(&path);
            let file = open().map_err(|error| unusable(&path, &error))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let name = part.file_name().unwrap_or_default().display();
                    let message = format!("another process pulls `{name}` now");
                    return Err(Failure::new(ErrorClass::Overloaded, message)
                        .with_hint("wait for it, or end it: the same command goes on then"));
                }
                Err(TryLockError::Error(error)) => return Err(unusable(&path, &error)),
            }
            // Whoever had it before may have taken the file away between our opening and
            // locking it; then it is worth nothing.
            if is_at(&file, &path) {
                return Ok(Self { _file: file, path });
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Still locked here, so that nobody else's is removed. One left behind does no harm.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

/// An open file cannot be removed here.
#[cfg(not(unix))]
fn is_at(_file: &File, _path: &Path) -> bool {
    true
}
