//! Files by content hash: `artifacts/ab/cdef…`, named by the SHA-256 of their bytes.
//!
//! A file has its final name only when it is whole and on the disk. Nothing is ever
//! changed in place; what is read is checked against its name. What a file *is* (its media
//! type, its pixels) is for those who know formats.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::ObjectStoreExt;
use object_store::local::LocalFileSystem;
use sha2::{Digest, Sha256};

use super::error::StoreError;
use crate::artifact::ArtifactRef;
use crate::content::ContentHash;

/// How much of a file is in memory while it is copied.
const BUFFER: usize = 256 << 10;

/// The artifact store of a run's files.
#[derive(Clone, Debug)]
pub struct Artifacts {
    folder: Arc<Path>,
    objects: Arc<LocalFileSystem>,
}

impl Artifacts {
    /// Opens the store of files in a folder that exists.
    pub(super) fn in_folder(folder: &Path) -> Result<Self, StoreError> {
        let objects = LocalFileSystem::new_with_prefix(folder)
            .map_err(|error| StoreError::io(folder, std::io::Error::other(error)))?;
        Ok(Self {
            folder: folder.into(),
            objects: Arc::new(objects),
        })
    }

    /// Keeps bytes, and returns when they are durable.
    ///
    /// Dropping the future keeps them or not.
    pub async fn put_bytes(
        &self,
        bytes: impl Into<Vec<u8>>,
        media_type: &str,
        name: &str,
    ) -> Result<ArtifactRef, StoreError> {
        let bytes = bytes.into();
        let artifacts = self.clone();
        let (hash, size) = blocking(move || {
            let hash = ContentHash::of_bytes(&bytes);
            if !artifacts.holds(&hash, bytes.len() as u64) {
                let mut draft = artifacts.draft()?;
                let path = draft.path().to_path_buf();
                draft
                    .write_all(&bytes)
                    .map_err(|error| StoreError::io(&path, error))?;
                artifacts.publish(draft, &hash)?;
            }
            Ok((hash, bytes.len() as u64))
        })
        .await?;
        Ok(reference(hash, size, media_type, name))
    }

    /// Keeps a copy of a file, and returns when it is durable; needs constant memory.
    ///
    /// Dropping the future keeps it or not.
    pub async fn put_file(
        &self,
        path: &Path,
        media_type: &str,
        name: &str,
    ) -> Result<ArtifactRef, StoreError> {
        let (artifacts, path) = (self.clone(), path.to_path_buf());
        let (hash, size) = blocking(move || artifacts.take_in(&path)).await?;
        Ok(reference(hash, size, media_type, name))
    }

    /// Reads an artifact whole, and checks that it is what was kept.
    pub async fn get(&self, hash: &ContentHash) -> Result<Vec<u8>, StoreError> {
        let path = object_store::path::Path::from(location(hash));
        let failed = |error| self.object_error(hash, error);
        let object = self.objects.get(&path).await.map_err(failed)?;
        let bytes = object.bytes().await.map_err(failed)?;
        if ContentHash::of_bytes(&bytes) == *hash {
            Ok(bytes.into())
        } else {
            Err(self.damaged(hash))
        }
    }

    /// Where the artifact's file is, for those who read files themselves.
    ///
    /// Fails if it is not there; what it holds is checked by [`Artifacts::verify`].
    pub fn local_path(&self, hash: &ContentHash) -> Result<PathBuf, StoreError> {
        let file = self.folder.join(location(hash));
        match std::fs::metadata(&file) {
            Ok(_) => Ok(file),
            Err(error) => Err(self.file_error(hash, error)),
        }
    }

    /// Opens an artifact for reading in pieces, after checking it from end to end.
    pub async fn open(&self, hash: &ContentHash) -> Result<File, StoreError> {
        let (artifacts, hash) = (self.clone(), *hash);
        blocking(move || artifacts.open_checked(&hash)).await
    }

    /// Checks that an artifact is what was kept.
    pub async fn verify(&self, hash: &ContentHash) -> Result<(), StoreError> {
        self.open(hash).await.map(drop)
    }

    fn open_checked(&self, hash: &ContentHash) -> Result<File, StoreError> {
        use std::io::Seek;
        let failed = |error| self.file_error(hash, error);
        let mut file = File::open(self.folder.join(location(hash))).map_err(failed)?;
        let (found, _) = copy(&mut file, &mut std::io::sink()).map_err(failed)?;
        if found != *hash {
            return Err(self.damaged(hash));
        }
        file.rewind().map_err(failed)?;
        Ok(file)
    }

    fn take_in(&self, path: &Path) -> Result<(ContentHash, u64), StoreError> {
        let bad = |detail: &str| StoreError::BadFile {
            path: path.to_path_buf(),
            detail: detail.into(),
        };
        let unreadable = |error: std::io::Error| match error.kind() {
            ErrorKind::NotFound => bad("it does not exist"),
            ErrorKind::PermissionDenied => bad("it may not be read"),
            ErrorKind::IsADirectory => bad("it is a folder"),
            _ => bad(&error.to_string()),
        };
        let before = std::fs::metadata(path).map_err(unreadable)?;
        if before.is_dir() {
            return Err(bad("it is a folder"));
        }
        if !before.is_file() {
            // Opening a pipe would wait for a writer, and a device has no end.
            return Err(bad("it is no regular file"));
        }
        let mut source = File::open(path).map_err(unreadable)?;
        let mut draft = self.draft()?;
        let draft_path = draft.path().to_path_buf();
        let (hash, size) = copy(&mut source, draft.as_file_mut())
            .map_err(|error| StoreError::io(&draft_path, error))?;
        let after = source.metadata().map_err(unreadable)?;
        let unchanged = after.len() == size
            && after.len() == before.len()
            && after.modified().ok() == before.modified().ok();
        if !unchanged {
            return Err(bad("it changed while it was read"));
        }
        if !self.holds(&hash, size) {
            self.publish(draft, &hash)?;
        }
        Ok((hash, size))
    }

    /// Whether the file is there already. Its length is compared, so that a file cut short
    /// by a failing disk is replaced.
    fn holds(&self, hash: &ContentHash, size: u64) -> bool {
        std::fs::metadata(self.folder.join(location(hash))).is_ok_and(|found| found.len() == size)
    }

    fn draft(&self) -> Result<tempfile::NamedTempFile, StoreError> {
        tempfile::Builder::new()
            .prefix(".draft-")
            .tempfile_in(&self.folder)
            .map_err(|error| StoreError::io(&self.folder, error))
    }

    /// Gives a whole file its name: content first, then the name, each on the disk before
    /// the next.
    fn publish(
        &self,
        draft: tempfile::NamedTempFile,
        hash: &ContentHash,
    ) -> Result<(), StoreError> {
        let file = self.folder.join(location(hash));
        let shard = file.parent().expect("an artifact lies in a shard");
        let failed = |error| StoreError::io(&file, error);
        draft.as_file().sync_all().map_err(failed)?;
        if !shard.is_dir() {
            std::fs::create_dir_all(shard).map_err(failed)?;
            sync_folder(&self.folder).map_err(failed)?;
        }
        draft.persist(&file).map_err(|error| failed(error.error))?;
        sync_folder(shard).map_err(failed)
    }

    fn object_error(&self, hash: &ContentHash, error: object_store::Error) -> StoreError {
        match error {
            object_store::Error::NotFound { .. } => self.missing(hash),
            other => self.file_error(hash, std::io::Error::other(other)),
        }
    }

    fn file_error(&self, hash: &ContentHash, error: std::io::Error) -> StoreError {
        match error.kind() {
            ErrorKind::NotFound => self.missing(hash),
            _ => StoreError::io(&self.folder.join(location(hash)), error),
        }
    }

    fn missing(&self, hash: &ContentHash) -> StoreError {
        StoreError::MissingArtifact {
            hash: *hash,
            file: self.folder.join(location(hash)),
        }
    }

    fn damaged(&self, hash: &ContentHash) -> StoreError {
        StoreError::Damaged {
            file: self.folder.join(location(hash)),
            detail: format!("it does not hold what was kept as artifact {hash}"),
        }
    }
}

fn location(hash: &ContentHash) -> String {
    let hex = hash.hex();
    let (shard, rest) = hex.split_at(2);
    format!("{shard}/{rest}")
}

fn reference(hash: ContentHash, size: u64, media_type: &str, name: &str) -> ArtifactRef {
    ArtifactRef {
        hash,
        media_type: media_type.into(),
        name: name.into(),
        size,
        width: None,
        height: None,
        dpi: None,
        page: None,
    }
}

/// Copies and hashes what it copied.
fn copy(source: &mut File, target: &mut impl Write) -> std::io::Result<(ContentHash, u64)> {
    let mut buffer = vec![0; BUFFER];
    let mut hasher = Sha256::new();
    let mut size = 0;
    loop {
        let read = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(&buffer[..read]);
        target.write_all(&buffer[..read])?;
        size += read as u64;
    }
    Ok((ContentHash::from_digest(hasher.finalize().into()), size))
}

fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work)
        .await
        .expect("copying a file does not panic")
}
