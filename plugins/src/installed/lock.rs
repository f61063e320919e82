//! The lock file: what is installed, where it came from, and the hash that it must have.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::fault::LoadError;
use crate::policy::ManifestError;

/// Its name.
const LOCK: &str = "plugins.lock";

/// The form that this flow writes.
const FORM: u32 = 1;

/// A plugin that is installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it does: `step` or `provider`.
    pub kind: String,
    /// SHA-256 of its component, in hexadecimal digits.
    pub sha256: String,
    /// Where it came from.
    pub source: String,
}

#[derive(Serialize, Deserialize)]
struct Whole {
    form: u32,
    plugins: Vec<Entry>,
}

/// Why a plugin was not installed, found or removed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// It cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Its manifest cannot be used.
    #[error("its plugin.yaml: {0}")]
    Manifest(#[from] ManifestError),
    /// It cannot be had.
    #[error("cannot get `{from}`: {why}")]
    Fetch {
        /// From where.
        from: String,
        /// Why.
        why: String,
    },
    /// It is not what was asked for.
    #[error("its hash is sha256:{found}, and sha256:{wanted} is asked for")]
    Hash {
        /// What it is.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// It was other bytes when it was installed.
    #[error(
        "`{}@{}` was installed with sha256:{}, and what `{}` holds now has sha256:{found}",
        known.name, known.version, known.sha256, known.source
    )]
    Changed {
        /// As it is installed.
        known: Box<Entry>,
        /// What came now.
        found: String,
    },
    /// Its file was changed since it was installed.
    #[error(
        "`{}@{}` was installed with sha256:{}, and its file has sha256:{found}",
        entry.name, entry.version, entry.sha256
    )]
    Tampered {
        /// As it is installed.
        entry: Box<Entry>,
        /// What it is now.
        found: String,
    },
    /// It says two things of itself.
    #[error("its plugin.yaml says `{manifest}`, and it says `{says}` itself")]
    Name {
        /// What the manifest says.
        manifest: String,
        /// What it says.
        says: String,
    },
    /// It cannot be kept under its name.
    #[error("`{name}` cannot name a plugin and its version")]
    Unnamed {
        /// The name and the version.
        name: String,
    },
    /// There is none.
    #[error("plugin `{name}` is not installed")]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// There are several.
    #[error("plugin `{name}` is installed in versions {}", versions.join(", "))]
    Several {
        /// The name.
        name: String,
        /// Those.
        versions: Vec<String>,
    },
    /// A file cannot be read or written.
    #[error("`{}`: {why}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
    },
    /// The lock file is none.
    #[error("`{}` cannot be read: {why}", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

impl InstallError {
    /// What can be done about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Load(error) => error.hint(),
            Self::Changed { known, .. } => Some(format!(
                "somebody changed it under the same version; if you trust that, `flow plugin rm {}@{}` first",
                known.name, known.version
            )),
            Self::Tampered { entry, .. } => {
                Some(format!("`flow plugin install {}` installs it again", entry.source))
            }
            Self::Hash { .. } => Some("it was changed since it was pinned".into()),
            Self::Name { .. } => Some("this is a fault of the plugin: tell its author".into()),
            Self::Unnamed { .. } => Some("a name is lower-case letters, digits and `-`".into()),
            Self::Unknown { .. } => {
                Some("`flow plugin ls` says which are, `flow plugin install` installs one".into())
            }
            Self::Several { name, versions } => {
                let last = versions.last()?;
                Some(format!("say which: `{name}@{last}`"))
            }
            Self::Manifest(_) | Self::Fetch { .. } | Self::Write { .. } | Self::Lock { .. } => None,
        }
    }
}

/// Reads the lock file of a folder.
pub(super) fn read(folder: &Path) -> Result<Vec<Entry>, InstallError> {
    let path = folder.join(LOCK);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(why) => return Err(InstallError::Write { path, why }),
    };
    let whole: Whole = serde_json::from_str(&text)
        .map_err(|error| InstallError::Lock { path: path.clone(), why: error.to_string() })?;
    if whole.form != FORM {
        let why = format!("it has form {}, and this flow has {FORM}", whole.form);
        return Err(InstallError::Lock { path, why });
    }
    Ok(whole.plugins)
}

/// Changes the lock file of a folder. Two processes do so one after the other.
pub(super) fn changed(
    folder: &Path,
    change: impl FnOnce(&mut Vec<Entry>) -> Result<(), InstallError>,
) -> Result<(), InstallError> {
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |why| InstallError::Write { path, why }
    };
    std::fs::create_dir_all(folder).map_err(failed(folder))?;
    let turn = folder.join(".turn");
    let held = File::create(&turn).map_err(failed(&turn))?;
    held.lock().map_err(failed(&turn))?;
    let mut entries = read(folder)?;
    change(&mut entries)?;
    entries.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    let text = serde_json::to_string_pretty(&Whole { form: FORM, plugins: entries });
    let text = text
        .map_err(|error| InstallError::Lock { path: folder.join(LOCK), why: error.to_string() })?;
    write(&folder.join(LOCK), format!("{text}\n").as_bytes())
}

/// Writes a file whole, or not at all.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), InstallError> {
    let failed = |why| InstallError::Write { path: path.to_path_buf(), why };
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}
