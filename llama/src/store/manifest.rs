//! What is written down about a model: `models/NAME.json`.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use flow_core::content::ContentHash;
use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::name::ModelName;
use flow_core::units::Size;

/// A model of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Its name.
    pub name: ModelName,
    /// Its weights, the first part first.
    pub weights: Vec<Kept>,
    /// Its projector, if it has one.
    pub projector: Option<Kept>,
    /// The tokens it is given room for where nobody says; none for what suits it.
    pub context: Option<u32>,
    /// Where it was pulled from; none if it was added.
    pub source: Option<String>,
    /// The commit that its files are of, where the hub said.
    pub commit: Option<String>,
    /// Its licence, where it is known.
    pub licence: Option<String>,
    /// Where people read about it.
    pub homepage: Option<String>,
    /// When it was taken in, in milliseconds since 1970.
    pub added: i64,
}

/// A file of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Where it is: from the store's folder if it is the store's own, else the whole path.
    pub file: PathBuf,
    /// Its bytes.
    pub size: u64,
    /// Its hash.
    pub sha256: ContentHash,
}

impl Kept {
    /// Whether it is the store's own, and not a file of the user's that is only named here.
    pub fn is_own(&self) -> bool {
        self.file.is_relative()
    }
}

impl Manifest {
    /// All its files.
    pub fn files(&self) -> impl Iterator<Item = &Kept> {
        self.weights.iter().chain(&self.projector)
    }

    /// The bytes of all its files.
    pub fn size(&self) -> Size {
        Size(self.files().map(|file| file.size).sum())
    }

    /// Where it is from, in words.
    pub fn origin(&self) -> String {
        match (&self.source, self.weights.first()) {
            (Some(source), _) => source.clone(),
            (None, Some(first)) => first.file.display().to_string(),
            (None, None) => "nowhere".to_owned(),
        }
    }

    /// Reads one; none if there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, StoreError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io(path)(error)),
        };
        let wrong = |why: String| StoreError::Manifest { path: path.to_path_buf(), why };
        let manifest: Self =
            serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
        if path.file_stem().and_then(|stem| stem.to_str()) != Some(manifest.name.as_str()) {
            return Err(wrong(format!("it is about `{}`", manifest.name)));
        }
        // A file that is not within the store must not be removed as if it were.
        let leads_out = |kept: &Kept| {
            kept.is_own()
                && !kept
                    .file
                    .components()
                    .all(|part| matches!(part, std::path::Component::Normal(_)))
        };
        if manifest.weights.is_empty() || manifest.files().any(leads_out) {
            return Err(wrong("its files cannot be".to_owned()));
        }
        Ok(Some(manifest))
    }

    /// Writes it, whole or not at all.
    pub(super) fn write(&self, path: &Path) -> Result<(), StoreError> {
        let text = serde_json::to_string_pretty(self).map_err(|error| StoreError::Manifest {
            path: path.to_path_buf(),
            why: error.to_string(),
        })?;
        let beside = path.with_extension("new");
        let write = || {
            let mut file = File::create(&beside)?;
            writeln!(file, "{text}")?;
            file.sync_all()?;
            fs::rename(&beside, path)?;
            sync_folder(path)
        };
        write().map_err(StoreError::io(path))
    }
}

/// Makes a name in a folder durable.
pub(super) fn sync_folder(file: &Path) -> io::Result<()> {
    match file.parent() {
        // A folder cannot be opened as a file everywhere, and needs it only where it can.
        Some(folder) if cfg!(unix) => File::open(folder)?.sync_all(),
        Some(_) | None => Ok(()),
    }
}
