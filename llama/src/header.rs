//! The few numbers of a GGUF file that say how much memory its model takes.
//!
//! Nothing of the file is checked here beyond what reading it needs; lists are skipped, an
//! unknown key is no fault.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// The most keys, letters of a key and elements of a list that are read: more than any model
/// has, and few enough to be read at once.
const MOST_KEYS: u64 = 1 << 16;
const MOST_LETTERS: u64 = 1 << 20;
const MOST_ELEMENTS: u64 = 1 << 24;

/// What a model's file says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// Bytes of the file.
    pub(crate) size: u64,
    /// The tokens it was trained to look back at.
    pub(crate) trained: Option<u32>,
    /// Bytes that a token of its context takes, with two bytes a number.
    pub(crate) bytes_per_token: u64,
    /// How wide it is.
    pub(crate) embedding: u64,
    /// How many tokens it knows.
    pub(crate) vocabulary: u64,
}

/// What files say of themselves, each read once as long as it does not change.
#[derive(Default)]
pub(crate) struct Headers(Mutex<HashMap<PathBuf, (Option<SystemTime>, Header)>>);

impl Headers {
    /// What a file says of itself.
    pub(crate) fn of(&self, path: &Path) -> io::Result<Header> {
        let now = std::fs::metadata(path)?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((changed, header)) = known.get(path)
            && *changed == now.modified().ok()
            && header.size == now.len()
        {
            return Ok(header.clone());
        }
        let header = Header::read(path)?;
        known.insert(path.to_path_buf(), (now.modified().ok(), header.clone()));
        Ok(header)
    }
}

/// Numbers by their keys; of a list all of its numbers.
type Numbers = BTreeMap<String, Vec<u64>>;

impl Header {
    /// Reads it. One that is no GGUF is an error of kind `InvalidData`.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        let mut source = Source { from: BufReader::new(file) };
        if source.bytes::<4>()? != *b"GGUF" {
            return Err(bad("it does not begin as a GGUF file does"));
        }
        if source.u32()? < 2 {
            return Err(bad("it is of the first version of GGUF"));
        }
        let (_tensors, keys) = (source.u64()?, source.u64()?);
        if keys > MOST_KEYS {
            return Err(bad("it says that it has more keys than any model"));
        }
        let (mut numbers, mut kind) = (Numbers::new(), None);
        for _ in 0..keys {
            let key = source.text()?;
            match source.value()? {
                Value::Numbers(found) => {
                    numbers.insert(key, found);
                }
                Value::Text(text) if key == "general.architecture" => kind = Some(text),
                Value::Text(_) => {}
                Value::List(length) => {
                    numbers.insert(key, vec![length]);
                }
            }
        }
        Ok(Self::of(size, kind.as_deref().unwrap_or_default(), &numbers))
    }

    fn of(size: u64, kind: &str, numbers: &Numbers) -> Self {
        let of = |key: &str| numbers.get(&format!("{kind}.{key}"));
        let one = |key: &str| of(key).and_then(|found| found.first()).copied();
        let layers = one("block_count").unwrap_or(0);
        let embedding = one("embedding_length").unwrap_or(0);
        let heads = one("attention.head_count").unwrap_or(0).max(1);
        let key = one("attention.key_length").unwrap_or(embedding / heads);
        let value = one("attention.value_length").unwrap_or(embedding / heads);
        // One number for all layers, or one for each.
        let kv_heads = match of("attention.head_count_kv").map(Vec::as_slice) {
            None => heads * layers,
            Some([all]) => all * layers,
            Some(each) => each.iter().sum(),
        };
        Self {
            size,
            trained: one("context_length").and_then(|tokens| u32::try_from(tokens).ok()),
            bytes_per_token: kv_heads.saturating_mul(key + value).saturating_mul(2),
            embedding,
            vocabulary: numbers
                .get("tokenizer.ggml.tokens")
                .and_then(|found| found.first())
                .copied()
                .unwrap_or(0),
        }
    }
}

enum Value {
    Numbers(Vec<u64>),
    Text(String),
    /// A list of something else, of this length.
    List(u64),
}

struct Source {
    from: BufReader<File>,
}

impl Source {
    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn u32(&mut self) -> io::Result<u32> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    fn u64(&mut self) -> io::Result<u64> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let bytes = i64::try_from(bytes).map_err(|_| bad("a length in it is beyond its end"))?;
        self.from.seek_relative(bytes)
    }

    fn text(&mut self) -> io::Result<String> {
        let length = self.u64()?;
        if length > MOST_LETTERS {
            return Err(bad("a text in it is longer than any model's"));
        }
        let mut bytes = vec![0; length as usize];
        self.from.read_exact(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn value(&mut self) -> io::Result<Value> {
        match self.u32()? {
            8 => Ok(Value::Text(self.text()?)),
            9 => self.list(),
            kind => Ok(Value::Numbers(self.number(kind)?.into_iter().collect())),
        }
    }

    /// A number that is whole and not negative; none of another.
    fn number(&mut self, kind: u32) -> io::Result<Option<u64>> {
        Ok(match kind {
            0 | 1 | 7 => Some(u64::from(self.bytes::<1>()?[0])),
            2 | 3 => Some(u64::from(u16::from_le_bytes(self.bytes()?))),
            4 | 5 => Some(u64::from(self.u32()?)),
            6 => self.bytes::<4>().map(|_| None)?,
            10 | 11 => Some(self.u64()?),
            12 => self.bytes::<8>().map(|_| None)?,
            _ => return Err(bad("a value in it is of no type that GGUF has")),
        })
    }

    fn list(&mut self) -> io::Result<Value> {
        let (kind, length) = (self.u32()?, self.u64()?);
        if length > MOST_ELEMENTS {
            return Err(bad("a list in it is longer than any model's"));
        }
        match kind {
            4 | 5 if length <= 1024 => {
                let numbers = (0..length).map(|_| Ok(u64::from(self.u32()?)));
                return Ok(Value::Numbers(numbers.collect::<io::Result<_>>()?));
            }
            0 | 1 | 7 => self.skip(length)?,
            2 | 3 => self.skip(length * 2)?,
            4..=6 => self.skip(length * 4)?,
            10..=12 => self.skip(length * 8)?,
            8 => {
                for _ in 0..length {
                    let letters = self.u64()?;
                    self.skip(letters)?;
                }
            }
            _ => return Err(bad("a list in it is of no type that GGUF has")),
        }
        Ok(Value::List(length))
    }
}

fn bad(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(bytes: &[u8]) -> io::Result<Header> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        io::Write::write_all(&mut file, bytes).unwrap();
        Header::read(file.path())
    }

    fn text(bytes: &mut Vec<u8>, text: &str) {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    }

    fn number(bytes: &mut Vec<u8>, key: &str, value: u32) {
        text(bytes, key);
        bytes.extend(4_u32.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    }

    fn head(keys: u64) -> Vec<u8> {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend(0_u64.to_le_bytes());
        bytes.extend(keys.to_le_bytes());
        bytes
    }

    #[test]
    fn the_memory_of_a_token_follows_from_layers_heads_and_lengths() {
        let mut bytes = head(6);
        text(&mut bytes, "general.architecture");
        bytes.extend(8_u32.to_le_bytes());
        text(&mut bytes, "qwen2vl");
        number(&mut bytes, "qwen2vl.block_count", 28);
        number(&mut bytes, "qwen2vl.embedding_length", 3584);
        number(&mut bytes, "qwen2vl.attention.head_count", 28);
        number(&mut bytes, "qwen2vl.attention.head_count_kv", 4);
        text(&mut bytes, "tokenizer.ggml.tokens");
        bytes.extend(9_u32.to_le_bytes());
        bytes.extend(8_u32.to_le_bytes());
        bytes.extend(2_u64.to_le_bytes());
        text(&mut bytes, "a");
        text(&mut bytes, "bc");
        let header = written(&bytes).unwrap();
        // 28 layers, 4 heads, 128 numbers for keys and as many for values, two bytes each.
        assert_eq!(header.bytes_per_token, 28 * 4 * 256 * 2);
        assert_eq!((header.vocabulary, header.size), (2, bytes.len() as u64));
    }

    #[test]
    fn what_is_no_gguf_is_an_error_and_never_a_panic() {
        let huge = {
            let mut bytes = head(1);
            bytes.extend(u64::MAX.to_le_bytes());
            bytes
        };
        let list = {
            let mut bytes = head(1);
            text(&mut bytes, "list");
            bytes.extend([9, 0, 0, 0, 8, 0, 0, 0]);
            bytes.extend(1_u64.to_le_bytes());
            bytes.extend(u64::MAX.to_le_bytes());
            bytes
        };
        for bytes in [&b"GG"[..], b"GGML\0\0\0\0", &head(u64::MAX), &head(3), &huge, &list] {
            assert!(written(bytes).is_err(), "{bytes:?}");
        }
    }
}
