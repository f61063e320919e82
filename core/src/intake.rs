//! Taking files into the artifact store, by what is in them.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::artifact::ArtifactRef;
use crate::content::ContentHash;
use crate::error::{ErrorClass, Failure};
use crate::store::{Artifacts, Incoming};

/// Tells a media type from the first bytes of a file; none where they say nothing.
pub type Sniff = fn(&[u8]) -> Option<&'static str>;

/// Bytes of a file that [`Sniff`] is shown.
const SNIFFED: u64 = 64 << 10;

/// The media type of bytes that say nothing.
const ANYTHING: &str = "application/octet-stream";

/// Takes files in, and reads those that were taken in.
#[derive(Clone)]
pub struct Intake {
    artifacts: Artifacts,
    sniff: Sniff,
}

impl Intake {
    /// Takes files into this store.
    pub fn new(artifacts: Artifacts, sniff: Sniff) -> Self {
        Self { artifacts, sniff }
    }

    /// The files that were taken in.
    pub fn artifacts(&self) -> &Artifacts {
        &self.artifacts
    }

    /// Takes a file of the disk in. `name` is how it was named, for messages.
    ///
    /// Dropping the future takes it in or not.
    pub async fn take(&self, name: &str, path: &Path) -> Result<ArtifactRef, Failure> {
        let (file, sniff) = (path.to_path_buf(), self.sniff);
        let media_type = tokio::task::spawn_blocking(move || media_type(&file, sniff))
            .await
            .map_err(|error| Failure::internal(format!("reading `{name}` failed: {error}")))?
            .map_err(|error| cannot_read(name, &error))?;
        let own = path.file_name().map_or(name.into(), |own| own.to_string_lossy());
        Ok(self.artifacts.put_file(path, media_type, &own).await?)
    }

    /// Takes in a file that comes in pieces; [`Intake::received`] ends it.
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn receive(&self) -> Result<Receiving, Failure> {
        Ok(Receiving { head: Vec::new(), incoming: self.artifacts.incoming().await? })
    }

    /// Keeps what was received under a name.
    ///
    /// Dropping the future keeps it or not.
    pub async fn received(&self, file: Receiving, name: &str) -> Result<ArtifactRef, Failure> {
        let media_type = (self.sniff)(&file.head).unwrap_or(ANYTHING);
        Ok(file.incoming.finish(media_type, name).await?)
    }

    /// A file that was taken in before, as it is and not as somebody says it is; none where
    /// there is no such file. It stays as if it were taken in now.
    ///
    /// Dropping the future does nothing.
    pub async fn known(
        &self,
        hash: ContentHash,
        name: &str,
    ) -> Result<Option<ArtifactRef>, Failure> {
        if !self.artifacts.refresh(vec![hash]).await {
            return Ok(None);
        }
        let (size, media_type) = self.look(hash, name).await?;
        let (media_type, name) = (media_type.to_owned(), name.to_owned());
        let (width, height, dpi, page) = (None, None, None, None);
        Ok(Some(ArtifactRef { hash, media_type, name, size, width, height, dpi, page }))
    }

    /// How long a file is that was taken in, and its media type. Does not make it young.
    ///
    /// Dropping the future does nothing.
    pub async fn look(
        &self,
        hash: ContentHash,
        name: &str,
    ) -> Result<(u64, &'static str), Failure> {
        let (path, sniff) = (self.artifacts.local_path(&hash)?, self.sniff);
        let found = tokio::task::spawn_blocking(move || {
            Ok((std::fs::metadata(&path)?.len(), media_type(&path, sniff)?))
        });
        let found = found.await;
        found
            .map_err(|error| Failure::internal(format!("reading `{name}` failed: {error}")))?
            .map_err(|error| cannot_read(name, &error))
    }

    /// Keeps bytes that a step made.
    ///
    /// Dropping the future keeps them or not.
    pub async fn keep(&self, bytes: Vec<u8>, name: &str) -> Result<ArtifactRef, Failure> {
        let media_type = (self.sniff)(&bytes).unwrap_or(ANYTHING);
        Ok(self.artifacts.put_bytes(bytes, media_type, name).await?)
    }
}

/// A file that is received, with its first bytes.
#[derive(Debug)]
pub struct Receiving {
    head: Vec<u8>,
    incoming: Incoming,
}

impl Receiving {
    /// How many bytes came.
    pub fn size(&self) -> u64 {
        self.incoming.size()
    }

    /// Takes the next bytes.
    ///
    /// After an error, and when the future is dropped, nothing more can be taken.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let wanted = (SNIFFED as usize).saturating_sub(self.head.len());
        self.head.extend_from_slice(&bytes[..wanted.min(bytes.len())]);
        Ok(self.incoming.write(bytes).await?)
    }
}

fn media_type(file: &Path, sniff: Sniff) -> io::Result<&'static str> {
    if file.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !std::fs::metadata(file)?.is_file() {
        // Opening a pipe would wait for somebody to write into it; whoever takes it in refuses.
        return Ok(ANYTHING);
    }
    let mut head = Vec::new();
    File::open(file)?.take(SNIFFED).read_to_end(&mut head)?;
    Ok(sniff(&head).unwrap_or(ANYTHING))
}

fn cannot_read(name: &str, error: &io::Error) -> Failure {
    let (class, why) = match error.kind() {
        io::ErrorKind::NotFound => (ErrorClass::Input, "there is no such file".to_owned()),
        io::ErrorKind::IsADirectory => (ErrorClass::Input, "it is a directory".to_owned()),
        _ => (ErrorClass::Io, error.to_string()),
    };
    Failure::new(class, format!("cannot read `{name}`: {why}"))
}
