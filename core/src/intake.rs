//! Taking files into the artifact store, by what is in them.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::artifact::ArtifactRef;
use crate::error::{ErrorClass, Failure};
use crate::store::Artifacts;

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

    /// Keeps bytes that a step made.
    ///
    /// Dropping the future keeps them or not.
    pub async fn keep(&self, bytes: Vec<u8>, name: &str) -> Result<ArtifactRef, Failure> {
        let media_type = (self.sniff)(&bytes).unwrap_or(ANYTHING);
        Ok(self.artifacts.put_bytes(bytes, media_type, name).await?)
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
