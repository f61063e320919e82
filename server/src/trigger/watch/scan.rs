//! What lies in a watched folder, and what of it has stopped changing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

/// The files that a watch is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// The workflow's folder.
    folder: PathBuf,
    /// As it is written.
    pattern: String,
    /// Folders below which nothing counts: files go there when their runs have ended.
    except: Vec<PathBuf>,
}

/// How a file stood when it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Its size in bytes.
    pub size: u64,
    /// When it was changed last, in milliseconds since 1970, by the file system.
    pub modified: i64,
}

/// The files of a folder that are seen, and since when each is as it is.
#[derive(Debug, Default)]
pub struct Sights {
    files: HashMap<String, Seen>,
}

#[derive(Debug)]
struct Seen {
    sight: Sight,
    since: i64,
    /// Whether nothing is to be done about it as it is.
    known: bool,
}

impl Pattern {
    /// A pattern relative to a workflow's folder.
    pub fn new(folder: &Path, pattern: &str, except: &[&str]) -> Self {
        let except = except.iter().map(|name| folder.join(name)).collect();
        Self { folder: folder.to_path_buf(), pattern: pattern.to_owned(), except }
    }

    /// The files that match, each by its path as the pattern finds it. Blocking.
    ///
    /// Hidden files, links and what is no file are left out; what cannot be read is told in the
    /// second list.
    pub fn scan(&self) -> (Vec<(String, Sight)>, Vec<String>) {
        let whole = match Path::new(&self.pattern).is_absolute() {
            true => self.pattern.clone(),
            false => {
                let folder = glob::Pattern::escape(&self.folder.to_string_lossy());
                format!("{folder}/{}", self.pattern)
            }
        };
        let options = glob::MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: true,
        };
        let (mut files, mut troubles) = (Vec::new(), Vec::new());
        let paths = match glob::glob_with(&whole, options) {
            Ok(paths) => paths,
            Err(error) => {
                return (
                    files,
                    vec![format!("`{}` is no file pattern: {}", self.pattern, error.msg)],
                );
            }
        };
        for path in paths {
            match path {
                Ok(path) if self.except.iter().any(|except| path.starts_with(except)) => {}
                Ok(path) => {
                    let Some(sight) = Sight::of(&path) else { continue };
                    let shown = path.strip_prefix(&self.folder).unwrap_or(&path);
                    match shown.to_str() {
                        Some(shown) => files.push((shown.to_owned(), sight)),
                        None => {
                            troubles.push(format!("the name of `{}` is no UTF-8", shown.display()));
                        }
                    }
                }
                Err(error) => {
                    troubles.push(format!(
                        "cannot read `{}`: {}",
                        error.path().display(),
                        error.error()
                    ));
                }
            }
        }
        (files, troubles)
    }
}

impl Sight {
    /// How a file stands; none where it is no plain file, or gone.
    pub fn of(path: &Path) -> Option<Self> {
        let data = std::fs::symlink_metadata(path).ok().filter(std::fs::Metadata::is_file)?;
        let modified = data.modified().ok()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let modified = i64::try_from(modified.as_millis()).unwrap_or(i64::MAX);
        Some(Self { size: data.len(), modified })
    }
}

impl Sights {
    /// Takes in what was seen now. What is gone is forgotten, and what is otherwise begins anew.
    pub fn see(&mut self, found: Vec<(String, Sight)>, now: i64) {
        let mut before = std::mem::take(&mut self.files);
        self.files = found
            .into_iter()
            .map(|(path, sight)| {
                let seen = before.remove(&path).filter(|seen| seen.sight == sight);
                (path, seen.unwrap_or(Seen { sight, since: now, known: false }))
            })
            .collect();
    }

    /// The files that nothing is known of and that have been as they are for so long, by path.
    pub fn settled(&self, now: i64, settle: Duration) -> Vec<(String, Sight)> {
        let settle = i64::try_from(settle.as_millis()).unwrap_or(i64::MAX);
        let mut settled: Vec<_> = self
            .files
            .iter()
            // By a clock that went back it is not known since when.
            .filter(|(_, seen)| !seen.known && (now - seen.since >= settle || seen.since > now))
            .map(|(path, seen)| (path.clone(), seen.sight))
            .collect();
        settled.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        settled
    }

    /// Says that nothing is to be done about a file as long as it stays as it is.
    pub fn is_known(&mut self, path: &str, sight: Sight) {
        if let Some(seen) = self.files.get_mut(path).filter(|seen| seen.sight == sight) {
            seen.known = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_files_that_match_are_found_and_those_that_are_done_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        };
        for name in ["in/a.pdf", "in/b.txt", "in/.c.pdf", "in/deep/d.pdf", "in/done/e.pdf"] {
            write(name);
        }
        std::os::unix::fs::symlink(folder.path().join("in/a.pdf"), folder.path().join("in/l.pdf"))
            .unwrap();
        let names = |pattern: &str| -> Vec<String> {
            let pattern = Pattern::new(folder.path(), pattern, &["in/done"]);
            let (files, troubles) = pattern.scan();
            assert_eq!(troubles, [""; 0]);
            files.into_iter().map(|(path, _)| path).collect()
        };
        assert_eq!(names("in/*.pdf"), ["in/a.pdf"]);
        assert_eq!(names("in/**/*.pdf"), ["in/a.pdf", "in/deep/d.pdf"]);
    }

    #[test]
    fn a_file_settles_when_it_has_not_changed_for_a_while() {
        let settle = Duration::from_secs(2);
        let sight = |size| Sight { size, modified: 7 };
        let mut sights = Sights::default();
        sights.see(vec![("a".into(), sight(1)), ("b".into(), sight(1))], 0);
        sights.see(vec![("a".into(), sight(2)), ("b".into(), sight(1))], 1000);
        assert_eq!(sights.settled(1999, settle), []);
        assert_eq!(sights.settled(2000, settle), [("b".into(), sight(1))]);
        sights.is_known("b", sight(1));
        assert_eq!(sights.settled(3000, settle), [("a".into(), sight(2))]);
        // It is replaced, and so is what was known.
        sights.see(vec![("b".into(), sight(5))], 4000);
        assert_eq!(sights.settled(6000, settle), [("b".into(), sight(5))]);
        sights.see(Vec::new(), 7000);
        assert_eq!(sights.settled(99_000, settle), []);
    }
}
