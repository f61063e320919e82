//! Files of the store: those that were pulled, and those on their way.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flow_core::content::ContentHash;
use sha2::{Digest, Sha256};

use super::error::StoreError;
use super::manifest::{Kept, sync_folder};
use super::source::HubFile;
use super::{ModelStore, space};
use flow_core::units::Size;

/// What is left free on a disk: a full one breaks more than a pull.
const MARGIN: u64 = 64 << 20;

impl ModelStore {
    /// Where a file is gathered while it is pulled. The name says whose it is, so that whoever
    /// pulls it again goes on.
    pub fn part(&self, file: &HubFile) -> Result<PathBuf, StoreError> {
        let folder = self.folder.join("parts");
        fs::create_dir_all(&folder).map_err(StoreError::io(&folder))?;
        // Revisions and folders may hold slashes, so that names alone could be those of two.
        let hash = ContentHash::of_bytes(file.to_string().as_bytes()).hex();
        Ok(folder.join(format!("{}-{}", &hash[..16], file.name())))
    }

    /// A file of the store with this hash, if it is here. `group` is the hash of the first part
    /// of its model.
    pub fn has(
        &self,
        group: &ContentHash,
        name: &str,
        sha256: ContentHash,
        size: u64,
    ) -> Option<Kept> {
        let file = place(group, name);
        let about = fs::metadata(self.folder.join(&file)).ok()?;
        (about.len() == size).then_some(Kept { file, size, sha256 })
    }

    /// Takes over a whole file whose hash was checked. `group` is the hash of the first part of
    /// its model, so that all parts lie together.
    pub fn place(
        &self,
        part: &Path,
        group: &ContentHash,
        name: &str,
        sha256: ContentHash,
    ) -> Result<Kept, StoreError> {
        let file = place(group, name);
        let path = self.folder.join(&file);
        let take = || {
            let whole = File::open(part)?;
            let size = whole.metadata()?.len();
            whole.sync_all()?;
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
                sync_folder(folder)?;
            }
            fs::rename(part, &path)?;
            sync_folder(&path)?;
            Ok(size)
        };
        let size = take().map_err(StoreError::io(&path))?;
        Ok(Kept { file, size, sha256 })
    }

    /// Removes files that were placed, for no model came of them; those that another model has
    /// stay.
    pub fn discard(&self, files: &[Kept]) -> Result<(), StoreError> {
        let _lock = self.lock()?;
        let models = self.models()?;
        for kept in files.iter().filter(|kept| kept.is_own()) {
            if !models.iter().any(|model| model.files().any(|file| file.file == kept.file)) {
                removed(&self.path(kept))?;
            }
        }
        Ok(())
    }

    /// Makes sure that there is room for so many more bytes.
    pub fn make_sure_of_space(&self, needed: u64) -> Result<(), StoreError> {
        fs::create_dir_all(&self.folder).map_err(StoreError::io(&self.folder))?;
        let free = space::free(&self.folder).map_err(StoreError::io(&self.folder))?;
        match free {
            Some(free) if needed > 0 && free < needed.saturating_add(MARGIN) => {
                let folder = self.folder.clone();
                Err(StoreError::NoSpace { folder, free: Size(free), needed: Size(needed) })
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn place(group: &ContentHash, name: &str) -> PathBuf {
    ["files", &group.hex(), name].iter().collect()
}

/// Removes a file of the store and the folder that it was alone in; gives its bytes.
pub(super) fn removed(path: &Path) -> Result<u64, StoreError> {
    let about = match fs::metadata(path) {
        Ok(about) => about,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(StoreError::io(path)(error)),
    };
    fs::remove_file(path).map_err(StoreError::io(path))?;
    if let Some(folder) = path.parent() {
        // Where another part still lies it stays.
        let _ = fs::remove_dir(folder);
    }
    Ok(about.len())
}

/// The bytes and the hash of a file.
pub(super) fn hashed(path: &Path) -> Result<(u64, ContentHash), StoreError> {
    let read = || {
        let mut file = File::open(path)?;
        let (mut hasher, mut size) = (Sha256::new(), 0);
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok((size, ContentHash::from_digest(hasher.finalize().into()))),
                read => {
                    hasher.update(&buffer[..read]);
                    size += read as u64;
                }
            }
        }
    };
    read().map_err(StoreError::io(path))
}
