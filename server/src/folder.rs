//! The workflows of a folder: what can be run, and what is wrong with the rest.
//!
//! A workflow is a file `*.yaml` or `*.yml` of the folder itself; what lies deeper (tasks,
//! schemas, sub-workflows) belongs to those that refer to it. The folder is looked at again
//! every second: a file whose stamp changed is read again, and so is one that refers to a file
//! whose stamp changed, or that looked for one that was not there. A faulty file stays listed
//! with its faults, and a folder that cannot be read keeps what was read last.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::workplace::{Reading, Workplace};

/// How often the folder is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// The workflows of a folder, as they were read last.
pub struct Folder {
    dir: PathBuf,
    workplace: Arc<dyn Workplace>,
    read: Mutex<Read>,
    generation: watch::Sender<u64>,
}

/// A workflow's file.
pub struct Listed {
    /// The file, relative to the folder.
    pub file: PathBuf,
    /// What it is called in addresses: the file's stem, or its whole name where two have one
    /// stem. Unique in the folder, and without a `/`.
    pub slug: String,
    /// What reading it came to; the error says why the file cannot be read.
    pub reading: Result<Reading, String>,
}

#[derive(Default)]
struct Read {
    /// By slug.
    listed: BTreeMap<String, Entry>,
    /// Why the folder could not be read the last time.
    trouble: Option<String>,
}

#[derive(Clone)]
struct Entry {
    listed: Arc<Listed>,
    /// The files that it was made of, and how they stood before they were read.
    stamps: Vec<(PathBuf, Stamp)>,
}

/// What changes when a file does: its size, its time, and which file it is.
///
/// Taken before a file is read, it tells later whether what was read still stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(Option<(u64, Option<SystemTime>, u64)>);

impl Stamp {
    /// How a file stands; one that is not there, or cannot be asked, has a stamp as well.
    pub fn of(file: &Path) -> Self {
        let data = std::fs::metadata(file).ok();
        Self(data.map(|data| (data.len(), data.modified().ok(), identity(&data))))
    }
}

#[cfg(unix)]
fn identity(data: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(data)
}

#[cfg(not(unix))]
fn identity(_data: &std::fs::Metadata) -> u64 {
    0
}

impl Entry {
    fn stands(&self) -> bool {
        self.stamps.iter().all(|(file, stamp)| Stamp::of(file) == *stamp)
    }
}

impl Folder {
    /// Reads a folder, which must be there. Blocking.
    pub fn open(dir: impl Into<PathBuf>, workplace: Arc<dyn Workplace>) -> io::Result<Self> {
        let dir = dir.into();
        let files = workflows_of(&dir)?;
        let folder =
            Self { dir, workplace, read: Mutex::default(), generation: watch::Sender::new(0) };
        let listed = folder.again(&BTreeMap::new(), &files).0;
        folder.read().listed = listed;
        Ok(folder)
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The workflows there are, by slug.
    pub fn workflows(&self) -> Vec<Arc<Listed>> {
        self.read().listed.values().map(|entry| Arc::clone(&entry.listed)).collect()
    }

    /// The workflow of a slug.
    pub fn get(&self, slug: &str) -> Option<Arc<Listed>> {
        self.read().listed.get(slug).map(|entry| Arc::clone(&entry.listed))
    }

    /// Says when a file changed, came or went: a number that grows.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// Why the folder could not be read the last time; none where it could.
    pub fn trouble(&self) -> Option<String> {
        self.read().trouble.clone()
    }

    /// Looks at the folder until it is told to stop. Dropping the future ends it.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
            let folder = Arc::clone(&self);
            if let Err(error) = tokio::task::spawn_blocking(move || folder.look()).await {
                tracing::error!("looking at the folder failed: {error}");
            }
        }
    }

    /// Reads again what changed; says whether anything did. Blocking.
    pub fn look(&self) -> bool {
        let files = match workflows_of(&self.dir) {
            Ok(files) => files,
            Err(error) => {
                let trouble = format!("cannot read the folder `{}`: {error}", self.dir.display());
                let before = self.read().trouble.replace(trouble.clone());
                if before.as_ref() != Some(&trouble) {
                    tracing::warn!("{trouble}");
                }
                return false;
            }
        };
        let before = self.read().listed.clone();
        let (listed, changed) = self.again(&before, &files);
        *self.read() = Read { listed, trouble: None };
        if changed {
            self.generation.send_modify(|generation| *generation += 1);
        }
        changed
    }

    /// Reads what is not as it was before, and says whether anything is not.
    fn again(
        &self,
        before: &BTreeMap<String, Entry>,
        files: &BTreeSet<PathBuf>,
    ) -> (BTreeMap<String, Entry>, bool) {
        let mut listed = BTreeMap::new();
        let mut changed = false;
        for (slug, file) in slugs(files) {
            let known = before.get(&slug).filter(|known| known.listed.file == file);
            let entry = match known.filter(|known| known.stands()) {
                Some(known) => known.clone(),
                None => {
                    changed = true;
                    self.entry(slug.clone(), file)
                }
            };
            listed.insert(slug, entry);
        }
        changed |= before.keys().any(|slug| !listed.contains_key(slug));
        (listed, changed)
    }

    fn entry(&self, slug: String, file: PathBuf) -> Entry {
        let path = self.dir.join(&file);
        // Before they are read: who writes meanwhile is noticed the next time.
        let own = Stamp::of(&path);
        let reading = self.workplace.read(&path);
        let others = reading.as_ref().map(|reading| reading.files.clone()).unwrap_or_default();
        let stamps = std::iter::once((path, own)).chain(others).collect();
        Entry { listed: Arc::new(Listed { file, slug, reading }), stamps }
    }

    fn read(&self) -> std::sync::MutexGuard<'_, Read> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The workflows' files of a folder, each with what it is called in addresses. Blocking.
pub fn workflow_files(dir: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    workflows_of(dir).map(|files| slugs(&files))
}

/// The files of a folder that are workflows by their name, in order.
fn workflows_of(dir: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = PathBuf::from(entry.file_name());
        let hidden = name.as_os_str().as_encoded_bytes().starts_with(b".");
        let yaml = name.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
        // A name that is no UTF-8 has no place in an address.
        if yaml && !hidden && name.to_str().is_some() && !entry.path().is_dir() {
            files.insert(name);
        }
    }
    Ok(files)
}

/// What each file is called in addresses.
fn slugs(files: &BTreeSet<PathBuf>) -> Vec<(String, PathBuf)> {
    let stem = |file: &Path| file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    files.iter().for_each(|file| *taken.entry(stem(file)).or_default() += 1);
    let slug = |file: &Path| match taken.get(&stem(file)) {
        Some(1) => stem(file),
        Some(_) | None => file.to_string_lossy().into_owned(),
    };
    files.iter().map(|file| (slug(file), file.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slugs_of(files: &[&str]) -> Vec<(String, PathBuf)> {
        slugs(&files.iter().map(PathBuf::from).collect())
    }

    #[test]
    fn files_are_called_by_their_stem_and_two_of_one_stem_by_their_names() {
        let slugs = slugs_of(&["b.yaml", "a.yaml", "a.yml", "c.d.yaml"]);
        let slugs: Vec<_> = slugs.iter().map(|(slug, _)| slug.as_str()).collect();
        assert_eq!(slugs, ["a.yaml", "a.yml", "b", "c.d"]);
    }

    #[test]
    fn a_stamp_tells_a_file_from_the_one_that_took_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        let none = Stamp::of(&file);
        std::fs::write(&file, "one").unwrap();
        let one = Stamp::of(&file);
        assert_ne!(none, one);
        assert_eq!(one, Stamp::of(&file));
        std::fs::write(folder.path().join("b"), "two").unwrap();
        std::fs::rename(folder.path().join("b"), &file).unwrap();
        assert_ne!(one, Stamp::of(&file));
    }
}
