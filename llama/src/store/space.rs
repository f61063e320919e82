//! The room on a disk.

use std::io;
use std::path::Path;

/// The bytes that may still be written where this folder is; none where it cannot be asked.
#[cfg(unix)]
pub(super) fn free(folder: &Path) -> io::Result<Option<u64>> {
    let about = rustix::fs::statvfs(folder)?;
    Ok(Some(about.f_bavail.saturating_mul(about.f_frsize)))
}

#[cfg(not(unix))]
pub(super) fn free(_folder: &Path) -> io::Result<Option<u64>> {
    Ok(None)
}
