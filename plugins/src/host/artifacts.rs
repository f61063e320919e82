//! Files by handle: a guest reads pieces of what it was given, and writes new ones.
//!
//! A handle is made for the files of the call's input alone, and for what the guest made
//! itself. So the hash of another file, which a guest may know or guess, opens nothing; nor may
//! its output name one.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::{Arc, Mutex, PoisonError};

use flow_core::artifact::ArtifactRef;
use flow_core::content::ContentHash;
use flow_core::error::{ErrorClass, Failure};
use flow_core::intake::Intake;
use tempfile::NamedTempFile;
use wasmtime::component::Resource;

use super::{Guest, error, of_table};
use crate::bindings::artifacts;
use crate::bindings::types::Error;
use crate::fault::Ceiling;

/// The most bytes of a file that are read at once.
const PIECE: u32 = 1 << 20;

/// The most files that a call makes.
const MOST_MADE: usize = 1_000;

/// A draft is kept in memory up to here, and in a file beyond.
const IN_MEMORY: usize = 1 << 20;

/// A file that a guest may read.
#[expect(unreachable_pub, reason = "the bindings hand it on under the interface's name")]
pub struct Opened {
    pub(crate) artifact: ArtifactRef,
}

/// A file that a guest writes.
#[expect(unreachable_pub, reason = "the bindings hand it on under the interface's name")]
pub struct Draft {
    bytes: Vec<u8>,
    file: Option<NamedTempFile>,
    size: u64,
    name: Option<String>,
    media_type: String,
}

impl Draft {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.size += bytes.len() as u64;
        self.bytes.extend_from_slice(bytes);
        match &mut self.file {
            None if self.bytes.len() <= IN_MEMORY => return Ok(()),
            None => self.file.insert(NamedTempFile::new()?).write_all(&self.bytes)?,
            Some(file) => file.write_all(&self.bytes)?,
        }
        self.bytes.clear();
        Ok(())
    }

    async fn kept(mut self, intake: &Intake, name: &str) -> Result<ArtifactRef, Failure> {
        let Some(mut file) = self.file.take() else {
            return intake.keep(self.bytes, name).await;
        };
        file.flush().map_err(|error| Failure::new(ErrorClass::Io, format!("`{name}`: {error}")))?;
        intake.take(name, file.path()).await
    }
}

/// The files that were gone through from end to end since this process began, and are what
/// they should be.
pub(crate) type Checked = Arc<Mutex<HashSet<ContentHash>>>;

/// The files of a call.
pub(crate) struct FilesOfCall {
    pub(crate) intake: Option<Intake>,
    /// The file that is being read. One at a time: a guest may hold more handles than a process
    /// may open files.
    reading: Option<(ContentHash, File)>,
    checked: Checked,
    /// What its output may name: given or made.
    pub(crate) known: Vec<ArtifactRef>,
    made: usize,
    /// Bytes of files that it makes, finished or not.
    written: u64,
}

impl FilesOfCall {
    pub(super) fn new(intake: Option<Intake>, checked: Checked) -> Self {
        Self { intake, reading: None, checked, known: Vec::new(), made: 0, written: 0 }
    }

    /// The file of this hash, open.
    async fn open(&mut self, hash: ContentHash) -> Result<&mut File, Error> {
        let Some(intake) = &self.intake else { return Err(no_files()) };
        if self.reading.as_ref().is_none_or(|(reading, _)| *reading != hash) {
            let failed = |why: String| error("internal", why);
            let known = || self.checked.lock().unwrap_or_else(PoisonError::into_inner);
            let is_checked = known().contains(&hash);
            let file = match is_checked {
                true => {
                    let path = intake.artifacts().local_path(&hash);
                    let path = path.map_err(|why| failed(why.to_string()))?;
                    File::open(path).map_err(|why| failed(why.to_string()))?
                }
                false => {
                    let opened = intake.artifacts().open(&hash).await;
                    let file = opened.map_err(|why| failed(why.to_string()))?;
                    known().insert(hash);
                    file
                }
            };
            self.reading = Some((hash, file));
        }
        match &mut self.reading {
            Some((_, file)) => Ok(file),
            None => Err(no_files()),
        }
    }
}

impl artifacts::Host for Guest {
    async fn create(
        &mut self,
        media_type: String,
        name: Option<String>,
    ) -> wasmtime::Result<Result<Resource<Draft>, Error>> {
        self.count()?;
        if self.files.intake.is_none() {
            return Ok(Err(no_files()));
        }
        self.files.made += 1;
        if self.files.made > MOST_MADE {
            return Err(Ceiling::Handles.into());
        }
        let (name, media_type) = (name.as_deref().map(plain), plain(&media_type));
        let draft = Draft { bytes: Vec::new(), file: None, size: 0, name, media_type };
        Ok(Ok(self.table.push(draft).map_err(of_table)?))
    }

    async fn finish(
        &mut self,
        draft: Resource<Draft>,
    ) -> wasmtime::Result<Result<Resource<Opened>, Error>> {
        self.count()?;
        let draft = self.table.delete(draft).map_err(of_table)?;
        let Some(intake) = &self.files.intake else { return Ok(Err(no_files())) };
        let (name, media_type) = (draft.name.clone(), draft.media_type.clone());
        let name = name.unwrap_or_else(|| "file".into());
        let mut artifact = match draft.kept(intake, &name).await {
            Ok(artifact) => artifact,
            Err(failure) => return Ok(Err(error("internal", failure.message))),
        };
        artifact.name = name;
        // What its bytes say counts; where they say nothing, the guest's word does.
        if artifact.media_type == "application/octet-stream" && !media_type.is_empty() {
            artifact.media_type = media_type;
        }
        self.files.known.push(artifact.clone());
        Ok(Ok(self.table.push(Opened { artifact }).map_err(of_table)?))
    }
}

impl artifacts::HostArtifact for Guest {
    async fn media_type(&mut self, file: Resource<Opened>) -> wasmtime::Result<String> {
        self.count()?;
        Ok(self.table.get(&file).map_err(of_table)?.artifact.media_type.clone())
    }

    async fn name(&mut self, file: Resource<Opened>) -> wasmtime::Result<Option<String>> {
        self.count()?;
        Ok(Some(self.table.get(&file).map_err(of_table)?.artifact.name.clone()))
    }

    async fn size(&mut self, file: Resource<Opened>) -> wasmtime::Result<u64> {
        self.count()?;
        Ok(self.table.get(&file).map_err(of_table)?.artifact.size)
    }

    async fn sha256(&mut self, file: Resource<Opened>) -> wasmtime::Result<String> {
        self.count()?;
        Ok(self.table.get(&file).map_err(of_table)?.artifact.hash.to_string())
    }

    async fn read(
        &mut self,
        file: Resource<Opened>,
        offset: u64,
        max: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        self.count()?;
        let hash = self.table.get(&file).map_err(of_table)?.artifact.hash;
        let file = match self.files.open(hash).await {
            Ok(file) => file,
            Err(error) => return Ok(Err(error)),
        };
        // A piece of a file that was just gone through, and so is in memory: handing it to
        // another thread would take longer than reading it.
        match piece(file, offset, max.min(PIECE)) {
            Ok(bytes) => {
                self.used.read += bytes.len() as u64;
                Ok(Ok(bytes))
            }
            Err(why) => Ok(Err(error("internal", why.to_string()))),
        }
    }

    async fn drop(&mut self, file: Resource<Opened>) -> wasmtime::Result<()> {
        self.table.delete(file).map_err(of_table)?;
        Ok(())
    }
}

impl artifacts::HostWriter for Guest {
    async fn write(
        &mut self,
        draft: Resource<Draft>,
        bytes: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.count()?;
        let limit = self.granted.limits.output;
        let draft = self.table.get_mut(&draft).map_err(of_table)?;
        self.files.written += bytes.len() as u64;
        self.used.made = self.files.written;
        let size = draft.size + bytes.len() as u64;
        if size > limit || self.files.written > limit.saturating_mul(4) {
            return Err(Ceiling::Output { limit }.into());
        }
        Ok(draft.write(&bytes).map_err(|why| error("internal", why.to_string())))
    }

    async fn drop(&mut self, draft: Resource<Draft>) -> wasmtime::Result<()> {
        self.table.delete(draft).map_err(of_table)?;
        Ok(())
    }
}

fn no_files() -> Error {
    error("unsupported", "there are no files here")
}

fn piece(file: &mut File, offset: u64, max: u32) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(max as usize);
    file.seek(SeekFrom::Start(offset))?;
    file.take(u64::from(max)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A name or a media type without what could be mistaken for something else.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}
