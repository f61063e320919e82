//! Plugins that were installed: a folder of the user, and its lock file.
//!
//! ```text
//! plugins.lock              name, version, kind, sha256, where it came from
//! NAME/VERSION/plugin.yaml  what it asks for, where it had one
//! NAME/VERSION/NAME.wasm
//! ```
//!
//! The lock decides what is installed. A file that is not what the lock says is not run, and
//! the same name and version with other bytes is not installed.

mod lock;
mod oci;
mod source;

pub use lock::{Entry, InstallError};
pub use source::{Fetched, Source, fetch};

use std::path::{Path, PathBuf};
use std::sync::Arc;

use flow_core::content::ContentHash;
use flow_core::plugin::PluginFault;

use crate::loader::{Installed, MANIFEST};
use crate::plugin::Plugin;
use crate::policy::Manifest;
use crate::sandbox::Sandbox;

/// The folder of plugins that were installed. It need not exist.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

/// A plugin that may be installed: what it is was looked at, nothing was written.
pub struct Candidate {
    /// It.
    pub plugin: Arc<Plugin>,
    /// What came with it.
    pub manifest: Option<Manifest>,
    /// What it will be known as.
    pub entry: Entry,
    fetched: Fetched,
}

impl Folder {
    /// Plugins in this folder.
    pub fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// What is installed, by name and version.
    pub fn list(&self) -> Result<Vec<Entry>, InstallError> {
        lock::read(&self.0)
    }

    /// Looks at what was fetched; `wanted` is the hash that it must have.
    ///
    /// Blocks while it is compiled for the first time.
    pub fn candidate(
        &self,
        sandbox: &Arc<Sandbox>,
        source: &Source,
        fetched: Fetched,
        wanted: Option<&str>,
    ) -> Result<Candidate, InstallError> {
        let found = ContentHash::of_bytes(&fetched.component).hex();
        let manifest = fetched.manifest.as_deref().map(Manifest::read).transpose()?;
        let pinned = manifest.as_ref().and_then(|manifest| manifest.sha256.clone());
        for wanted in wanted.map(str::to_ascii_lowercase).into_iter().chain(pinned) {
            if wanted != found {
                return Err(InstallError::Hash { found, wanted });
            }
        }
        let plugin = sandbox.load(&fetched.component)?;
        let own = plugin.descriptor();
        let (name, version) = match &manifest {
            Some(manifest) => (manifest.name.clone(), manifest.version.clone()),
            None => (own.name.clone(), own.version.clone()),
        };
        if (&name, &version) != (&own.name, &own.version) {
            let says = format!("{}@{}", own.name, own.version);
            return Err(InstallError::Name { manifest: format!("{name}@{version}"), says });
        }
        if !crate::policy::is_plugin_name(&name) || !is_version(&version) {
            return Err(InstallError::Unnamed { name: format!("{name}@{version}") });
        }
        let kind = plugin.kind().to_string();
        let entry = Entry { name, version, kind, sha256: found, source: source.to_string() };
        let same = |known: &Entry| known.name == entry.name && known.version == entry.version;
        if let Some(known) = self.list()?.into_iter().find(same)
            && known.sha256 != entry.sha256
        {
            return Err(InstallError::Changed { known: Box::new(known), found: entry.sha256 });
        }
        Ok(Candidate { plugin, manifest, entry, fetched })
    }

    /// Installs it. Doing so twice is the same as once.
    pub fn install(&self, candidate: &Candidate) -> Result<(), InstallError> {
        let Entry { name, version, .. } = &candidate.entry;
        lock::changed(&self.0, |entries| {
            let place = self.0.join(name).join(version);
            let write = |file: &str, bytes: &[u8]| lock::write(&place.join(file), bytes);
            std::fs::create_dir_all(&place)
                .map_err(|why| InstallError::Write { path: place.clone(), why })?;
            match (&candidate.manifest, &candidate.fetched.manifest) {
                (Some(manifest), Some(bytes)) => {
                    write(&manifest.file, &candidate.fetched.component)?;
                    write(MANIFEST, bytes)?;
                }
                _ => write(&format!("{name}.wasm"), &candidate.fetched.component)?,
            }
            entries.retain(|known| known.name != *name || known.version != *version);
            entries.push(candidate.entry.clone());
            Ok(())
        })
    }

    /// Removes a plugin, in all its versions where none is said; those that were removed.
    pub fn remove(&self, name: &str, version: Option<&str>) -> Result<Vec<Entry>, InstallError> {
        let mut removed = Vec::new();
        lock::changed(&self.0, |entries| {
            let hit = |known: &Entry| {
                known.name == name && version.is_none_or(|version| known.version == version)
            };
            removed = entries.iter().filter(|known| hit(known)).cloned().collect();
            if removed.is_empty() {
                let name = version.map_or(name.to_owned(), |version| format!("{name}@{version}"));
                return Err(InstallError::Unknown { name });
            }
            entries.retain(|known| !hit(known));
            Ok(())
        })?;
        for entry in &removed {
            let place = self.0.join(&entry.name).join(&entry.version);
            std::fs::remove_dir_all(&place)
                .map_err(|why| InstallError::Write { path: place.clone(), why })?;
            // Only where no other version is in it.
            let _ = std::fs::remove_dir(self.0.join(&entry.name));
        }
        Ok(removed)
    }

    /// The manifest or the component of one that is installed: `NAME`, or `NAME@VERSION` where
    /// there are several.
    pub fn place(&self, named: &str) -> Result<PathBuf, InstallError> {
        let (name, version) = match named.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (named, None),
        };
        let mut hits = self.list()?;
        hits.retain(|known| {
            known.name == name && version.is_none_or(|version| known.version == version)
        });
        match hits.as_slice() {
            [] => Err(InstallError::Unknown { name: named.to_owned() }),
            [only] => self.verified(only),
            several => {
                let versions = several.iter().map(|known| known.version.clone()).collect();
                Err(InstallError::Several { name: name.to_owned(), versions })
            }
        }
    }

    /// The place of a plugin whose bytes are what the lock says.
    fn verified(&self, entry: &Entry) -> Result<PathBuf, InstallError> {
        let place = self.0.join(&entry.name).join(&entry.version);
        let manifest = place.join(MANIFEST);
        let file = match std::fs::read(&manifest) {
            Ok(bytes) => Manifest::read(&bytes)?.file,
            Err(_) => format!("{}.wasm", entry.name),
        };
        let component = place.join(file);
        let bytes = std::fs::read(&component)
            .map_err(|why| InstallError::Write { path: component.clone(), why })?;
        let found = ContentHash::of_bytes(&bytes).hex();
        if found != entry.sha256 {
            return Err(InstallError::Tampered { entry: Box::new(entry.clone()), found });
        }
        Ok(if manifest.exists() { manifest } else { component })
    }
}

impl Installed for Folder {
    fn find(&self, name: &str, version: &str) -> Result<PathBuf, PluginFault> {
        self.place(&format!("{name}@{version}")).map_err(|error| PluginFault {
            at: vec!["use".into()],
            message: error.to_string(),
            hint: error.hint(),
        })
    }
}

/// Whether a text can be a version, and so a folder.
fn is_version(version: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+' | b'_');
    !version.is_empty()
        && version.len() <= 64
        && version.bytes().all(plain)
        && version.starts_with(|c: char| c.is_ascii_alphanumeric())
}

/// The place that a command names: a path where there is one, else a plugin that is installed.
pub fn place_named(folder: &Folder, named: &str) -> Result<PathBuf, InstallError> {
    let path = Path::new(named);
    let is_component = path.extension().is_some_and(|extension| extension == "wasm");
    let looks_like_path = named.contains(['/', '\\']) || is_component;
    match path.exists() || looks_like_path {
        true => Ok(path.to_path_buf()),
        false => folder.place(named),
    }
}
