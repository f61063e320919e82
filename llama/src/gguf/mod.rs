//! Reads the headers of GGUF files, the format of models that llama.cpp runs.
//!
//! llama.cpp trusts a file in many places and ends the process where it should not have: so
//! every file passes here before it sees it. What holds of a [`Gguf`]: its version is 2 or 3,
//! all its parts are there, each tensor is of a known type, lies behind the one before it and
//! within its file. [`Gguf::verify`] adds what llama.cpp asserts of the values and shapes, as
//! far as a header tells. Nothing here panics, whatever the bytes, the tensors themselves are
//! never read, and the memory it takes is bounded.
//!
//! Left out: whether the numbers within the tensors make sense (the hash of the file says
//! whether they are those that were published), and big-endian files.

mod error;
mod facts;
mod header;
mod reader;
mod split;
mod tensor;
#[cfg(test)]
mod tests;
mod value;
mod verify;

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{BufReader, Cursor};
use std::path::{Path, PathBuf};

pub use error::{Fault, GgufError};
pub use facts::{Kind, ModelFacts, ProjectorFacts};
pub use split::PartName;
pub(crate) use split::SUFFIX;
pub use tensor::{Tensor, TensorType};
pub use value::{Array, Value, ValueType};

use header::Header;
use reader::Reader;

/// Which part a file is, from 0, and of how many.
const SPLIT_NUMBER: &str = "split.no";
const SPLIT_COUNT: &str = "split.count";
const SPLIT_TENSORS: &str = "split.tensors.count";

/// The header of a model's file, and of all its parts where it is split.
#[derive(Debug)]
pub struct Gguf {
    path: PathBuf,
    version: u32,
    values: BTreeMap<String, Value>,
    tensors: Vec<Tensor>,
    parts: Vec<PathBuf>,
}

impl Gguf {
    /// Reads the header of a file; where it is the first part of several, those of all.
    ///
    /// The error names the file and its fault.
    pub fn open(path: &Path) -> Result<Self, GgufError> {
        let header = read_file(path)?;
        let mut gguf = Self {
            path: path.to_path_buf(),
            version: header.version,
            values: header.values,
            tensors: header.tensors,
            parts: vec![path.to_path_buf()],
        };
        if let Some(count) = gguf.split().map_err(|fault| gguf.error(fault))? {
            gguf.take_parts(count)?;
        }
        Ok(gguf)
    }

    /// Reads the header of a file that is all there is of its model, from its bytes.
    pub fn of_bytes(name: &Path, bytes: &[u8]) -> Result<Self, GgufError> {
        let mut reader = Reader::new(Cursor::new(bytes), bytes.len() as u64);
        let Header { version, values, tensors } =
            header::read(&mut reader).map_err(|fault| GgufError::new(name, fault))?;
        let path = name.to_path_buf();
        let gguf = Self { parts: vec![path.clone()], path, version, values, tensors };
        match gguf.split().map_err(|fault| gguf.error(fault))? {
            None => Ok(gguf),
            Some(count) => Err(gguf.error(Fault::SplitName { count })),
        }
    }

    /// How many parts the model has, if it has several and this is the first.
    fn split(&self) -> Result<Option<u16>, Fault> {
        let (number, count) = part_of(&self.values)?;
        match (number, count) {
            (_, 0 | 1) => Ok(None),
            (0, count) => Ok(Some(count)),
            (number, count) => Err(Fault::NotFirst { number: number.saturating_add(1), count }),
        }
    }

    /// Takes the tensors of the other parts in.
    fn take_parts(&mut self, count: u16) -> Result<(), GgufError> {
        let name = self.path.file_name().and_then(|name| name.to_str()).and_then(PartName::of);
        let name = name
            .filter(|name| (name.number, name.count) == (1, count))
            .ok_or_else(|| self.error(Fault::SplitName { count }))?;
        let mut names: HashSet<String> =
            self.tensors.iter().map(|tensor| tensor.name.clone()).collect();
        for (number, part) in (1..=count).zip(name.all()).skip(1) {
            let path = self.path.with_file_name(&part);
            if !path.exists() {
                return Err(self.error(Fault::PartMissing { name: part }));
            }
            let header = read_file(&path)?;
            let fault = |fault| GgufError::new(&path, fault);
            match part_of(&header.values).map_err(fault)? {
                (found, of) if (found.saturating_add(1), of) == (number, count) => {}
                (found, count_found) => {
                    let (found, wanted) = (found.saturating_add(1), number);
                    return Err(fault(Fault::PartNumber { found, count_found, wanted, count }));
                }
            }
            for tensor in header.tensors {
                if !names.insert(tensor.name.clone()) {
                    return Err(fault(Fault::DuplicateTensor(tensor.name)));
                }
                self.tensors.push(tensor);
            }
            self.parts.push(path);
        }
        let found = self.tensors.len() as u64;
        match self.values.get(SPLIT_TENSORS).and_then(Value::as_u64) {
            Some(wanted) if wanted != found => {
                Err(self.error(Fault::TensorCount { found, wanted }))
            }
            Some(_) => Ok(()),
            None => Err(self.error(Fault::Missing(SPLIT_TENSORS.to_owned()))),
        }
    }

    /// The file; the first one where there are several.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All its files, in order.
    pub fn parts(&self) -> &[PathBuf] {
        &self.parts
    }

    /// The version of the format.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// What stands under a key.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// Every key and its value.
    pub fn values(&self) -> &BTreeMap<String, Value> {
        &self.values
    }

    /// Its tensors, in the order of the file.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    fn error(&self, fault: Fault) -> GgufError {
        GgufError::new(&self.path, fault)
    }
}

/// Which part it is, from 0, and of how many; llama.cpp reads both as 16 bits, and ends the
/// process where they are anything else.
fn part_of(values: &BTreeMap<String, Value>) -> Result<(u16, u16), Fault> {
    let read = |key: &str| match values.get(key) {
        None => Ok(0),
        Some(Value::Whole(number, ValueType::U16)) => Ok(u16::try_from(*number).unwrap_or(0)),
        Some(other) => {
            let (key, found) = (key.to_owned(), other.kind());
            Err(Fault::WrongType { key, wanted: "a u16", found })
        }
    };
    Ok((read(SPLIT_NUMBER)?, read(SPLIT_COUNT)?))
}

fn read_file(path: &Path) -> Result<Header, GgufError> {
    let read = || {
        let file = File::open(path)?;
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(Fault::Io(std::io::Error::other("it is no file")));
        }
        let mut reader = Reader::new(BufReader::new(file), about.len());
        header::read(&mut reader)
    };
    read().map_err(|fault| GgufError::new(path, fault))
}
