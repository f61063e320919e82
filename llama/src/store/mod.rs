//! The models of this machine: their files, and what is known of them.
//!
//! ```text
//! FOLDER/models/NAME.json     what a model is: files, sizes, hashes, source, licence
//! FOLDER/files/HASH/FILE      files that were pulled, by the hash of their first part
//! FOLDER/parts/               what is being pulled
//! FOLDER/lock                 held while the former two are changed
//! ```
//! A model is there when its manifest is, and its manifest is written last. A file that two
//! models have is there once, and stays as long as one of them does. A model that was added is
//! named where it lies: nothing of gigabytes is copied, and nothing of the user's is removed.
//!
//! Left out: how files come (who pulls hands over whole, checked files), and what is within
//! them ([`gguf`]).

mod error;
mod files;
mod manifest;
mod name;
mod source;
mod space;
#[cfg(test)]
mod tests;

use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use flow_core::error::Failure;
use flow_core::language::closest;

pub use error::StoreError;
pub use manifest::{Kept, Manifest};
pub use name::{ModelName, NameError};
pub use source::{HubFile, Source, SourceError};

use crate::catalog::Catalog;
use crate::gguf::{self, Gguf, Kind, ModelFacts, ProjectorFacts, Value};
use crate::model::{LocalModel, LocalModels};
use flow_core::units::Size;

/// How the names of manifests end.
const SUFFIX: &str = "json";

/// The models of a folder.
#[derive(Clone, Debug)]
pub struct ModelStore {
    folder: PathBuf,
}

/// A model that is to be added where it lies.
#[derive(Clone, Debug)]
pub struct Addition<'a> {
    /// Its weights, the first part where they are split.
    pub weights: &'a Path,
    /// Its projector.
    pub projector: Option<&'a Path>,
    /// What it shall be called; what its file is called where nobody says.
    pub name: Option<ModelName>,
    /// When it is added, in milliseconds since 1970.
    pub now: i64,
}

/// What became of a model that was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// The bytes that were given back to the disk.
    pub freed: Size,
    /// Files that stay because another model has them as well.
    pub shared: Vec<PathBuf>,
    /// Files that stay because they are the user's.
    pub outside: Vec<PathBuf>,
}

/// What the headers of a model's files say.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Of its weights.
    pub model: ModelFacts,
    /// Of its projector.
    pub projector: Option<ProjectorFacts>,
    /// Its licence.
    pub licence: Option<String>,
}

impl ModelStore {
    /// The models of this folder, which need not be there yet.
    pub fn new(folder: PathBuf) -> Self {
        // What it names is named for others, who may be in another folder.
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        Self { folder }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What is written about a model; none if it is not here.
    pub fn get(&self, name: &ModelName) -> Result<Option<Manifest>, StoreError> {
        Manifest::read(&self.manifest(name))
    }

    /// Every model, by name.
    pub fn models(&self) -> Result<Vec<Manifest>, StoreError> {
        let folder = self.folder.join("models");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(StoreError::io(&folder)(error)),
        };
        let mut models = Vec::new();
        for entry in entries {
            let path = entry.map_err(StoreError::io(&folder))?.path();
            if path.extension().is_some_and(|end| end == SUFFIX) {
                // One that was just removed is none.
                models.extend(Manifest::read(&path)?);
            }
        }
        models.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(models)
    }

    /// Adds a model where it lies: its header is checked, its hash is taken, and nothing is
    /// copied.
    pub fn add(&self, addition: Addition<'_>) -> Result<Manifest, StoreError> {
        let Addition { weights, projector, name, now } = addition;
        let weights = found(weights)?;
        let projector = projector.map(found).transpose()?;
        let name = match name {
            Some(name) => name,
            None => weights
                .file_name()
                .and_then(|file| ModelName::of_file(&file.to_string_lossy()))
                .ok_or_else(|| StoreError::NoName(weights.clone()))?,
        };
        let gguf = Gguf::open(&weights)?;
        let facts = facts_of(&gguf, projector.as_deref())?;
        let kept = |path: &PathBuf| {
            let (size, sha256) = files::hashed(path)?;
            Ok(Kept { file: path.clone(), size, sha256 })
        };
        let manifest = Manifest {
            name,
            weights: gguf.parts().iter().map(kept).collect::<Result<_, StoreError>>()?,
            projector: projector.as_ref().map(kept).transpose()?,
            context: None,
            source: None,
            commit: None,
            licence: facts.licence,
            homepage: None,
            added: now,
        };
        self.register(&manifest)?;
        Ok(manifest)
    }

    /// Writes a model down. Its files are there, and its name is no other's.
    pub fn register(&self, manifest: &Manifest) -> Result<(), StoreError> {
        let _lock = self.lock()?;
        if let Some(other) = self.get(&manifest.name)?
            && !same_files(&other, manifest)
        {
            let (name, what) = (other.name.clone(), other.origin());
            return Err(StoreError::Taken { name, what });
        }
        self.check(manifest)?;
        manifest.write(&self.manifest(&manifest.name))
    }

    /// Removes a model, and the files that only it has.
    pub fn remove(&self, name: &ModelName) -> Result<Removed, StoreError> {
        let _lock = self.lock()?;
        let Some(manifest) = self.get(name)? else { return Err(self.unknown(name.as_str())?) };
        let path = self.manifest(name);
        fs::remove_file(&path).map_err(StoreError::io(&path))?;
        let others = self.models()?;
        let mut removed = Removed { freed: Size(0), shared: Vec::new(), outside: Vec::new() };
        for kept in manifest.files() {
            let path = self.path(kept);
            if !kept.is_own() {
                removed.outside.push(path);
            } else if others.iter().any(|other| other.files().any(|file| file.file == kept.file)) {
                removed.shared.push(path);
            } else {
                removed.freed.0 += files::removed(&path)?;
            }
        }
        Ok(removed)
    }

    /// What the headers of a model's files say; an error where they are damaged.
    pub fn facts(&self, manifest: &Manifest) -> Result<Facts, StoreError> {
        self.check(manifest)?;
        self.facts_of(&manifest.weights, manifest.projector.as_ref())
    }

    /// The same of files that no model has yet.
    pub fn facts_of(
        &self,
        weights: &[Kept],
        projector: Option<&Kept>,
    ) -> Result<Facts, StoreError> {
        let first = weights.first().map(|kept| self.path(kept)).unwrap_or_default();
        facts_of(&Gguf::open(&first)?, projector.map(|kept| self.path(kept)).as_deref())
    }

    /// Where a file is.
    pub fn path(&self, kept: &Kept) -> PathBuf {
        self.folder.join(&kept.file)
    }

    /// Makes sure that the files of a model are there and as long as they were.
    fn check(&self, manifest: &Manifest) -> Result<(), StoreError> {
        for kept in manifest.files() {
            let (name, path) = (manifest.name.clone(), self.path(kept));
            match fs::metadata(&path) {
                Ok(about) if about.len() == kept.size => {}
                Ok(about) => {
                    let (size, had) = (about.len(), kept.size);
                    return Err(StoreError::FileChanged { name, path, size, had });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(StoreError::FileGone { name, path });
                }
                Err(error) => return Err(StoreError::io(&path)(error)),
            }
        }
        Ok(())
    }

    /// The error of a name that is none of a model here.
    fn unknown(&self, name: &str) -> Result<StoreError, StoreError> {
        let catalog = Catalog::built_in();
        if let Some(listed) = catalog.get(name) {
            return Ok(StoreError::NotPulled { name: name.to_owned(), size: listed.size() });
        }
        let models = self.models()?;
        let names = models.iter().map(|manifest| manifest.name.as_str());
        let meant = closest(name, names.chain(catalog.models().map(|(name, _)| name)));
        Ok(StoreError::Unknown { name: name.to_owned(), meant: meant.map(str::to_owned) })
    }

    fn manifest(&self, name: &ModelName) -> PathBuf {
        self.folder.join("models").join(format!("{name}.{SUFFIX}"))
    }

    /// Waits for its turn to change something; those who have it are done in a moment.
    fn lock(&self) -> Result<File, StoreError> {
        let models = self.folder.join("models");
        fs::create_dir_all(&models).map_err(StoreError::io(&models))?;
        let path = self.folder.join("lock");
        let lock = || {
            let file = File::options().write(true).create(true).truncate(false).open(&path)?;
            file.lock()?;
            Ok(file)
        };
        lock().map_err(StoreError::io(&path))
    }

    fn stored(&self, name: &str) -> Result<LocalModel, StoreError> {
        let known = match name.parse::<ModelName>() {
            Ok(name) => self.get(&name)?,
            // What can be no name is none of a model.
            Err(_) => None,
        };
        let Some(manifest) = known else { return Err(self.unknown(name)?) };
        self.check(&manifest)?;
        Ok(self.local(&manifest))
    }

    fn local(&self, manifest: &Manifest) -> LocalModel {
        LocalModel {
            name: manifest.name.to_string(),
            weights: manifest.weights.first().map(|kept| self.path(kept)).unwrap_or_default(),
            projector: manifest.projector.as_ref().map(|kept| self.path(kept)),
            context: manifest.context,
        }
    }
}

impl LocalModels for ModelStore {
    fn find(&self, name: &str) -> Result<LocalModel, Failure> {
        if !name.contains(['/', '\\']) && !name.ends_with(gguf::SUFFIX) {
            return Ok(self.stored(name)?);
        }
        let weights = found(Path::new(name))?;
        Ok(LocalModel { name: name.to_owned(), weights, projector: None, context: None })
    }

    fn all(&self) -> Result<Vec<LocalModel>, Failure> {
        Ok(self.models()?.iter().map(|manifest| self.local(manifest)).collect())
    }
}

fn same_files(one: &Manifest, other: &Manifest) -> bool {
    let places = |manifest: &Manifest| -> Vec<_> {
        manifest.files().map(|kept| (kept.file.clone(), kept.sha256)).collect()
    };
    places(one) == places(other)
}

fn found(path: &Path) -> Result<PathBuf, StoreError> {
    about(path)?;
    std::path::absolute(path).map_err(StoreError::io(path))
}

/// What the disk says of a file, which must be one.
pub(crate) fn about(path: &Path) -> Result<Metadata, StoreError> {
    match fs::metadata(path) {
        Ok(about) if about.is_file() => Ok(about),
        Ok(_) => Err(StoreError::NoFile(path.to_path_buf())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(StoreError::NoFile(path.to_path_buf()))
        }
        Err(error) => Err(StoreError::io(path)(error)),
    }
}

fn facts_of(weights: &Gguf, projector: Option<&Path>) -> Result<Facts, StoreError> {
    let model = match weights.verify()? {
        Kind::Model(facts) => facts,
        Kind::Projector(_) => {
            return Err(StoreError::IsProjector(weights.path().to_path_buf()));
        }
    };
    let projector = match projector {
        None => None,
        Some(path) => match Gguf::open(path)?.verify()? {
            Kind::Projector(facts) => Some(facts),
            Kind::Model(_) => return Err(StoreError::IsModel(path.to_path_buf())),
        },
    };
    let licence = weights.value("general.license").and_then(Value::as_str).map(str::to_owned);
    Ok(Facts { model, projector, licence })
}
