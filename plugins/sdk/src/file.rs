//! Files: those that the call was given, and those that it makes. None is copied whole.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::rc::Rc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

use crate::bindings::base::flow::plugin::artifacts::{self, Artifact, Writer};
use crate::{Error, Result, call};

/// Bytes that are read at once.
const PIECE: u32 = 256 << 10;

/// A file of flow's store, as a field of an input or an output.
///
/// In an input, workflows name it as they name files everywhere (`file: scan.pdf`).
#[derive(Clone)]
pub struct File {
    hash: String,
    handle: Rc<Artifact>,
}

impl File {
    /// Its name.
    pub fn name(&self) -> String {
        self.handle.name().unwrap_or_default()
    }

    /// What it is, e.g. `application/pdf`.
    pub fn media_type(&self) -> String {
        self.handle.media_type()
    }

    /// Its length in bytes.
    pub fn size(&self) -> u64 {
        self.handle.size()
    }

    /// The hash of its bytes: `sha256:` and 64 digits.
    pub fn sha256(&self) -> &str {
        &self.hash
    }

    /// Reads it from its beginning, piece by piece.
    pub fn reader(&self) -> FileReader {
        let size = self.size();
        FileReader { file: self.clone(), size, next: 0, piece: Vec::new(), at: 0 }
    }

    /// All its bytes.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut self.reader(), &mut bytes)?;
        Ok(bytes)
    }

    /// All its bytes, as text.
    pub fn text(&self) -> Result<String> {
        let not_text = |_| Error::input(format!("`{}` is no UTF-8 text", self.name()));
        String::from_utf8(self.bytes()?).map_err(not_text)
    }

    pub(crate) fn made(file: Artifact) -> Self {
        let (hash, handle) = call::add_file(file);
        Self { hash, handle }
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("File").field(&self.hash).finish()
    }
}

impl<'de> Deserialize<'de> for File {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let Some(hash) = value["$artifact"].as_str() else {
            return Err(D::Error::custom(format!("{value} is no file")));
        };
        let Some(handle) = call::file(hash) else {
            return Err(D::Error::custom(format!("the call has no file {hash}")));
        };
        Ok(Self { hash: hash.to_owned(), handle })
    }
}

impl Serialize for File {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("$artifact", &self.hash)?;
        map.end()
    }
}

impl JsonSchema for File {
    fn schema_name() -> Cow<'static, str> {
        "File".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-file": true })
    }
}

/// Reads a file from its beginning.
#[derive(Debug)]
pub struct FileReader {
    file: File,
    size: u64,
    next: u64,
    piece: Vec<u8>,
    at: usize,
}

impl io::Read for FileReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.piece.len() {
            if self.next >= self.size {
                return Ok(0);
            }
            let piece = self.file.handle.read(self.next, PIECE);
            self.piece = piece.map_err(|error| io::Error::other(error.message))?;
            (self.next, self.at) = (self.next + self.piece.len() as u64, 0);
        }
        let piece = &self.piece[self.at..];
        let count = piece.len().min(into.len());
        into[..count].copy_from_slice(&piece[..count]);
        self.at += count;
        Ok(count)
    }
}

/// Writes a file, which is there when it is finished.
#[derive(Debug)]
pub struct FileWriter(Writer);

impl FileWriter {
    /// Begins a file.
    pub fn create(name: &str, media_type: &str) -> Result<Self> {
        artifacts::create(media_type, Some(name)).map(Self).map_err(Error::of_host)
    }

    /// Ends it: the file, for the output.
    pub fn finish(self) -> Result<File> {
        artifacts::finish(self.0).map(File::made).map_err(Error::of_host)
    }
}

impl io::Write for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = &bytes[..bytes.len().min(PIECE as usize)];
        self.0.write(piece).map_err(|error| io::Error::other(error.message))?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
