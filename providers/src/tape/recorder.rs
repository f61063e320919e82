//! Keeps exchanges in a folder.
//!
//! A file is written beside its place and then put there, so that a process that dies in the
//! middle leaves whole exchanges only. What cannot be written does not fail the step that asked,
//! whose answer is there and may have been paid: it is counted, and told when the run ends.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::exchange::{Content, Exchange, Response};
use super::{Counts, TapeError, folder};

/// A folder that exchanges are kept in.
#[derive(Debug)]
pub(super) struct Recorder {
    folder: PathBuf,
    /// The number of the last exchange that was begun.
    last: AtomicU64,
    counts: Mutex<Counts>,
    /// Held so that no other process records here; none where the system locks no folders.
    _lock: Option<File>,
}

impl Recorder {
    pub(super) fn open(folder: &Path) -> Result<Self, TapeError> {
        let failed = |source| TapeError::Io { path: folder.to_path_buf(), source };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let lock = match File::open(folder) {
            Ok(file) => match file.try_lock() {
                Err(std::fs::TryLockError::WouldBlock) => {
                    return Err(TapeError::Busy { folder: folder.to_path_buf() });
                }
                Ok(()) | Err(std::fs::TryLockError::Error(_)) => Some(file),
            },
            Err(_) => None,
        };
        remove_partial(folder).map_err(failed)?;
        let there = folder::exchanges(folder)?;
        let last = there.last().map_or(0, |(number, _)| *number);
        Ok(Self {
            folder: folder.to_path_buf(),
            last: AtomicU64::new(last),
            counts: Mutex::default(),
            _lock: lock,
        })
    }

    /// The number of the exchange that begins now.
    pub(super) fn next(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps an exchange.
    pub(super) fn keep(&self, number: u64, exchange: &Exchange) {
        let kept = self.write(number, exchange);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match kept {
            Ok(()) => counts.exchanges += 1,
            Err(error) => counts.lost.get_or_insert_with(|| (0, error.to_string())).0 += 1,
        }
    }

    fn write(&self, number: u64, exchange: &Exchange) -> Result<(), TapeError> {
        if let Some(Response { content: Content::File(name, bytes), .. }) = &exchange.response {
            self.put(name, bytes)?;
        }
        let mut text = serde_json::to_vec_pretty(&exchange.to_value()).unwrap_or_default();
        text.push(b'\n');
        self.put(&folder::name(number, &exchange.asked), &text)
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), TapeError> {
        let path = self.folder.join(name);
        let partial = self.folder.join(format!(".{name}{}", folder::PARTIAL));
        let write = || {
            let mut file = File::create(&partial)?;
            file.write_all(bytes)?;
            drop(file);
            std::fs::rename(&partial, &path)
        };
        write().map_err(|source| TapeError::Io { path: path.clone(), source })
    }
}

/// Removes what a process left that died while it wrote.
fn remove_partial(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = folder::shown(&path);
        if name.starts_with('.') && name.ends_with(&format!(".json{}", folder::PARTIAL)) {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}
