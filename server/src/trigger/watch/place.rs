//! Moving a file into a folder without ever overwriting one.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// As many names are tried.
const NAMES: u32 = 100_000;

/// Moves a file into a folder, which is made where it is missing, and says where it is then.
/// Where there is a file of its name it gets another: `scan-2.pdf`. Blocking.
///
/// A process that dies meanwhile leaves the file in one place or in both, never in none; moving
/// it again finds that. Works over file systems, too.
pub(super) fn move_into(file: &Path, folder: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    for number in 1..NAMES {
        let target = folder.join(name(file, number));
        match place(file, &target) {
            Ok(()) => {
                fs::remove_file(file)?;
                return Ok(target);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if is_same(file, &target) {
                    // It was placed there before, and could not be removed here.
                    fs::remove_file(file)?;
                    return Ok(target);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Makes a second name of a file, or a copy where that cannot be.
fn place(file: &Path, target: &Path) -> io::Result<()> {
    match fs::hard_link(file, target) {
        Err(error)
            if !matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) =>
        {
            copy(file, target)
        }
        linked => linked,
    }
}

fn copy(file: &Path, target: &Path) -> io::Result<()> {
    let mut from = File::open(file)?;
    let mut to = File::options().write(true).create_new(true).open(target)?;
    let copied = io::copy(&mut from, &mut to).and_then(|_| to.sync_all());
    if copied.is_err() {
        // A half of it would look like the whole.
        let _ = fs::remove_file(target);
    }
    copied
}

fn name(file: &Path, number: u32) -> String {
    let part =
        |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    match (number, part(file.extension())) {
        (1, _) => part(file.file_name()),
        (_, ending) if ending.is_empty() => format!("{}-{number}", part(file.file_stem())),
        (_, ending) => format!("{}-{number}.{ending}", part(file.file_stem())),
    }
}

#[cfg(unix)]
fn is_same(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (fs::symlink_metadata(a), fs::symlink_metadata(b)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_same(_a: &Path, _b: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_ever_overwritten_and_what_was_placed_before_a_crash_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let (inbox, done) = (folder.path().join("in"), folder.path().join("done"));
        fs::create_dir(&inbox).unwrap();
        for (text, expected) in [("one", "a.b.pdf"), ("two", "a.b-2.pdf"), ("three", "a.b-3.pdf")] {
            let file = inbox.join("a.b.pdf");
            fs::write(&file, text).unwrap();
            assert_eq!(move_into(&file, &done).unwrap(), done.join(expected));
            assert!(!file.exists());
            assert_eq!(fs::read_to_string(done.join(expected)).unwrap(), text);
        }
        // A process died between the new name and the old one.
        fs::hard_link(done.join("a.b.pdf"), inbox.join("a.b.pdf")).unwrap();
        assert_eq!(move_into(&inbox.join("a.b.pdf"), &done).unwrap(), done.join("a.b.pdf"));
        assert_eq!(fs::read_dir(&done).unwrap().count(), 3);
        assert_eq!(fs::read_dir(&inbox).unwrap().count(), 0);
        fs::write(inbox.join("plain"), "x").unwrap();
        fs::write(done.join("plain"), "y").unwrap();
        assert_eq!(move_into(&inbox.join("plain"), &done).unwrap(), done.join("plain-2"));
    }
}
