//! Files by content hash: `artifacts/ab/cdef…`, named by the SHA-256 of their bytes.
//!
//! A file has its final name only when it is whole and on the disk. Nothing is ever
//! changed in place; what is read is checked against its name. What a file *is* (its media
//! type, its pixels) is for those who know formats.
//!
//! The time of a file says when it was last taken in: whoever takes a file in that is there
//! already makes it young, so that it is not collected before a row points to it
//! (`prune.rs` has the whole argument). The folder of the first two digits of a hash, the
//! shard, is locked for that, shared by those who take in, alone by who removes.

use std::collections::HashMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use object_store::ObjectStoreExt;
use object_store::local::LocalFileSystem;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::error::StoreError;
use crate::artifact::ArtifactRef;
use crate::content::ContentHash;

/// How much of a file is in memory while it is copied.
const BUFFER: usize = 256 << 10;

/// How the names of unfinished files begin.
const DRAFT: &str = ".draft-";

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
        Ok(Self { folder: folder.into(), objects: Arc::new(objects) })
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
            if !artifacts.holds(&hash) {
                let mut draft = artifacts.draft()?;
                let path = draft.path().to_path_buf();
                draft.write_all(&bytes).map_err(|error| StoreError::io(&path, error))?;
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

    /// Reads an artifact whole, and checks that it is what was kept. Dropping the future does
    /// nothing.
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

    /// Opens an artifact for reading in pieces, after checking it from end to end. Dropping
    /// the future does nothing.
    pub async fn open(&self, hash: &ContentHash) -> Result<File, StoreError> {
        let (artifacts, hash) = (self.clone(), *hash);
        blocking(move || artifacts.open_checked(&hash)).await
    }

    /// Checks that an artifact is what was kept. Dropping the future does nothing.
    pub async fn verify(&self, hash: &ContentHash) -> Result<(), StoreError> {
        self.open(hash).await.map(drop)
    }

    fn open_checked(&self, hash: &ContentHash) -> Result<File, StoreError> {
        let failed = |error| self.file_error(hash, error);
        let mut file = File::open(self.folder.join(location(hash))).map_err(failed)?;
        let (found, _) = copy(&mut file, &mut std::io::sink()).map_err(failed)?;
        if found != *hash {
            return Err(self.damaged(hash));
        }
        file.rewind().map_err(failed)?;
        Ok(file)
    }

    /// Reads the file twice: once for its hash, and, if that is new, once to copy it. The
    /// copy is what is hashed the second time, so what is kept is what was read.
    fn take_in(&self, path: &Path) -> Result<(ContentHash, u64), StoreError> {
        let (mut source, size) = open_regular(path)?;
        let bad = |detail: &str| bad_file(path, detail);
        let changed = || bad("it changed while it was read");
        // One byte more than expected is enough to see that the file grows.
        let mut bounded = (&mut source).take(size + 1);
        let (hash, read) =
            copy(&mut bounded, &mut std::io::sink()).map_err(|error| unreadable(path, &error))?;
        if read != size {
            return Err(changed());
        }
        if self.holds(&hash) {
            return Ok((hash, size));
        }
        let mut draft = self.draft()?;
        let failed = |error| StoreError::io(&self.folder, error);
        source.rewind().map_err(failed)?;
        // Copies within the kernel, or shares the blocks, where the file system can.
        std::io::copy(&mut (&mut source).take(size + 1), draft.as_file_mut()).map_err(failed)?;
        draft.as_file_mut().rewind().map_err(failed)?;
        let (stored, _) = copy(draft.as_file_mut(), &mut std::io::sink()).map_err(failed)?;
        if stored != hash {
            return Err(changed());
        }
        self.publish(draft, &hash)?;
        Ok((hash, size))
    }

    /// Makes artifacts that are kept as young as if they were taken in now; says whether all
    /// of them are there.
    ///
    /// For those who found a reference elsewhere than in a row of their own run. Dropping the
    /// future makes them young or not.
    pub(crate) async fn refresh(&self, hashes: Vec<ContentHash>) -> bool {
        let artifacts = self.clone();
        let all = blocking(move || Ok(hashes.iter().all(|hash| artifacts.rejuvenate(hash))));
        all.await.unwrap_or(false)
    }

    /// Whether the artifact is kept already, whole and for good; a damaged one is not, and
    /// so is mended by being kept again.
    pub(super) fn holds(&self, hash: &ContentHash) -> bool {
        // Young first, so that it stays while it is read. Whoever kept it may not have come to
        // the last sync yet.
        self.rejuvenate(hash) && self.open_checked(hash).is_ok() && self.sync_names(hash).is_ok()
    }

    /// Makes a file young, if it is there. One that belongs to somebody else cannot be, and
    /// is as good as not there: a copy takes its place.
    fn rejuvenate(&self, hash: &ContentHash) -> bool {
        let file = self.folder.join(location(hash));
        let young = || {
            let _shard = lock_shard(&file, File::lock_shared)?;
            File::open(&file)?.set_modified(SystemTime::now())
        };
        young().is_ok()
    }

    /// The files that were last taken in before a time, with their sizes.
    pub(super) fn older_than(
        &self,
        time: SystemTime,
    ) -> Result<HashMap<ContentHash, u64>, StoreError> {
        let mut found = HashMap::new();
        for shard in entries(&self.folder)?.into_iter().filter(|entry| entry.path().is_dir()) {
            for entry in entries(&shard.path())? {
                let Some(hash) = hash_of(&shard.path(), &entry.path()) else { continue };
                let metadata = entry.metadata();
                // What cannot be asked is left alone.
                if let Ok(metadata) = metadata
                    && metadata.modified().is_ok_and(|modified| modified < time)
                {
                    found.insert(hash, metadata.len());
                }
            }
        }
        Ok(found)
    }

    /// Locks the shard of these hashes against all who take in, and tells which of the files
    /// are still older than a time.
    pub(super) async fn seize(
        &self,
        hashes: Vec<ContentHash>,
        time: SystemTime,
    ) -> Result<Seized, StoreError> {
        let artifacts = self.clone();
        blocking(move || {
            let mut seized = Seized { shard: None, hashes: Vec::new(), artifacts };
            let Some(first) = hashes.first() else { return Ok(seized) };
            let failed = |error| StoreError::io(&seized.artifacts.folder, error);
            let file = seized.artifacts.folder.join(location(first));
            seized.shard = Some(lock_shard(&file, File::lock).map_err(failed)?);
            seized.hashes = hashes;
            let folder = Arc::clone(&seized.artifacts.folder);
            seized.hashes.retain(|hash| {
                let modified = std::fs::metadata(folder.join(location(hash)));
                modified.and_then(|data| data.modified()).is_ok_and(|modified| modified < time)
            });
            Ok(seized)
        })
        .await
    }

    fn sync_names(&self, hash: &ContentHash) -> std::io::Result<()> {
        let file = self.folder.join(location(hash));
        let shard = file.parent().expect("an artifact lies in a shard");
        sync_folder(shard)?;
        sync_folder(&self.folder)
    }

    /// Begins a file that has no name yet; locked, so that it is not swept away.
    pub(super) fn draft(&self) -> Result<NamedTempFile, StoreError> {
        let failed = |error| StoreError::io(&self.folder, error);
        loop {
            let draft =
                tempfile::Builder::new().prefix(DRAFT).tempfile_in(&self.folder).map_err(failed)?;
            draft.as_file().lock().map_err(failed)?;
            // It may have been swept away before it was locked.
            if draft.path().exists() {
                return Ok(draft);
            }
        }
    }

    /// Removes the drafts of processes that died.
    pub(super) fn sweep(&self) -> Result<(), StoreError> {
        let failed = |error| StoreError::io(&self.folder, error);
        for entry in std::fs::read_dir(&self.folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if !entry.file_name().to_string_lossy().starts_with(DRAFT) {
                continue;
            }
            // One that cannot be opened or removed is left to the next who tries.
            if let Ok(draft) = File::open(entry.path())
                && draft.try_lock().is_ok()
            {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        Ok(())
    }

    /// Gives a whole file its name: content first, then the name, each on the disk before
    /// the next.
    pub(super) fn publish(
        &self,
        draft: NamedTempFile,
        hash: &ContentHash,
    ) -> Result<(), StoreError> {
        let file = self.folder.join(location(hash));
        let shard = file.parent().expect("an artifact lies in a shard");
        let failed = |error| StoreError::io(&file, error);
        draft.as_file().sync_all().map_err(failed)?;
        std::fs::create_dir_all(shard).map_err(failed)?;
        let _shard = lock_shard(&file, File::lock_shared).map_err(failed)?;
        draft.persist(&file).map_err(|error| failed(error.error))?;
        self.sync_names(hash).map_err(failed)
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
        StoreError::MissingArtifact { hash: *hash, file: self.folder.join(location(hash)) }
    }

    fn damaged(&self, hash: &ContentHash) -> StoreError {
        StoreError::DamagedArtifact { hash: *hash, file: self.folder.join(location(hash)) }
    }
}

/// Files of a shard that is locked: nobody takes them in while this lives.
pub(super) struct Seized {
    /// None where there are no files.
    shard: Option<File>,
    /// The files.
    pub(super) hashes: Vec<ContentHash>,
    artifacts: Artifacts,
}

impl Seized {
    /// Removes the files, and lets the shard go.
    pub(super) async fn remove(self) -> Result<(), StoreError> {
        blocking(move || {
            let Self { shard, hashes, artifacts } = self;
            for hash in hashes {
                let file = artifacts.folder.join(location(&hash));
                std::fs::remove_file(&file).map_err(|error| StoreError::io(&file, error))?;
            }
            drop(shard);
            Ok(())
        })
        .await
    }
}

/// Locks the shard in which a file lies or would lie.
fn lock_shard(file: &Path, lock: impl Fn(&File) -> std::io::Result<()>) -> std::io::Result<File> {
    let shard = File::open(file.parent().expect("an artifact lies in a shard"))?;
    lock(&shard)?;
    Ok(shard)
}

fn entries(folder: &Path) -> Result<Vec<std::fs::DirEntry>, StoreError> {
    let entries = std::fs::read_dir(folder).and_then(Iterator::collect);
    entries.map_err(|error| StoreError::io(folder, error))
}

/// The hash that a file's place is of; none where it is no artifact's.
fn hash_of(shard: &Path, file: &Path) -> Option<ContentHash> {
    let (shard, name) = (shard.file_name()?.to_str()?, file.file_name()?.to_str()?);
    let hash: ContentHash = format!("sha256:{shard}{name}").parse().ok()?;
    (location(&hash) == format!("{shard}/{name}")).then_some(hash)
}

/// Opens a file that is one, and says how long it is.
fn open_regular(path: &Path) -> Result<(File, u64), StoreError> {
    // Asked before opening: opening a pipe would wait for somebody to write into it.
    let metadata = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if metadata.is_dir() {
        return Err(bad_file(path, "it is a folder"));
    }
    if !metadata.is_file() {
        return Err(bad_file(path, "it is no regular file"));
    }
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    Ok((file, metadata.len()))
}

fn unreadable(path: &Path, error: &std::io::Error) -> StoreError {
    match error.kind() {
        ErrorKind::NotFound => bad_file(path, "it does not exist"),
        ErrorKind::PermissionDenied => bad_file(path, "it may not be read"),
        _ => bad_file(path, &error.to_string()),
    }
}

fn bad_file(path: &Path, detail: &str) -> StoreError {
    StoreError::BadFile { path: path.to_path_buf(), detail: detail.into() }
}

fn location(hash: &ContentHash) -> String {
    let hex = hash.hex();
    let (shard, rest) = hex.split_at(2);
    format!("{shard}/{rest}")
}

pub(super) fn reference(hash: ContentHash, size: u64, media_type: &str, name: &str) -> ArtifactRef {
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
fn copy(source: &mut impl Read, target: &mut impl Write) -> std::io::Result<(ContentHash, u64)> {
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

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.expect("copying a file does not panic")
}
