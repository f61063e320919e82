//! From bytes to values and a table of tensors.
//!
//! ```text
//! "GGUF" version  tensors values │ key type value … │ name shape type offset … │ pad │ tensors
//! ```
//! Everything up to the tensors is read once, from front to back; lists of numbers and texts
//! that nobody asks for are skipped. What has to be held is bounded, whatever the counts say.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io::{Read, Seek};

use super::error::Fault;
use super::reader::Reader;
use super::tensor::{Tensor, TensorType};
use super::value::{Array, Value, ValueType};

/// The most bytes of names and values that are held of a header.
const MOST_HELD: u64 = 64 << 20;

/// The most keys; models have some dozens.
const MOST_KEYS: u64 = 1 << 16;

/// The most tensors; the largest models have some thousands.
const MOST_TENSORS: u64 = 1 << 18;

/// The most tokens; the largest vocabularies have some hundred thousand.
const MOST_TOKENS: u64 = 1 << 22;

/// The longest key, as the format has it.
const LONGEST_KEY: u64 = (1 << 16) - 1;

/// The longest name of a tensor that llama.cpp takes.
const LONGEST_TENSOR: u64 = 63;

/// The longest text that is held: chat templates are long.
const LONGEST_TEXT: u64 = 1 << 20;

/// The longest list of numbers that is held: one a block, and some more.
const LONGEST_LIST: u64 = 1024;

/// The key of the list whose texts must differ.
pub(super) const TOKENS: &str = "tokenizer.ggml.tokens";

const ALIGNMENT: &str = "general.alignment";

/// What a file says of itself.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) values: BTreeMap<String, Value>,
    pub(super) tensors: Vec<Tensor>,
}

/// Reads a header, and makes sure that the file holds the tensors that it tells of.
pub(super) fn read<R: Read + Seek>(reader: &mut Reader<R>) -> Result<Header, Fault> {
    let version = version(reader)?;
    let tensors = count(reader, "tensors", MOST_TENSORS)?;
    let keys = count(reader, "keys", MOST_KEYS)?;
    let mut held = Held(0);
    let values = values(reader, keys, &mut held)?;
    let tensors = table(reader, tensors, &mut held)?;
    whole(reader, &tensors, alignment(&values)?)?;
    Ok(Header { version, values, tensors })
}

fn version<R: Read + Seek>(reader: &mut Reader<R>) -> Result<u32, Fault> {
    let start = reader.bytes(reader.length().min(4))?;
    if start != b"GGUF" {
        let start = match start.is_empty() {
            true => "nothing".to_owned(),
            false => format!("`{}`", start.escape_ascii()),
        };
        return Err(Fault::NotGguf { start });
    }
    match reader.u32()? {
        version @ (2 | 3) => Ok(version),
        version if matches!(version.swap_bytes(), 1..=3) => {
            Err(Fault::BigEndian { version: version.swap_bytes() })
        }
        version => Err(Fault::Version(version)),
    }
}

fn count<R: Read + Seek>(
    reader: &mut Reader<R>,
    what: &'static str,
    most: u64,
) -> Result<u64, Fault> {
    match reader.u64()? {
        count if count <= most => Ok(count),
        count => Err(Fault::TooMany { what, count, most }),
    }
}

/// How many bytes are held by now.
struct Held(u64);

impl Held {
    fn add(&mut self, bytes: u64) -> Result<(), Fault> {
        self.0 = self.0.saturating_add(bytes);
        if self.0 > MOST_HELD { Err(Fault::TooLarge { most: MOST_HELD }) } else { Ok(()) }
    }
}

fn values<R: Read + Seek>(
    reader: &mut Reader<R>,
    keys: u64,
    held: &mut Held,
) -> Result<BTreeMap<String, Value>, Fault> {
    let mut values = BTreeMap::new();
    for number in 0..keys {
        let key = reader.name("a key", LONGEST_KEY)?;
        if key.is_empty() {
            return Err(Fault::EmptyKey { number });
        }
        held.add(key.len() as u64)?;
        let kind = kind(reader, &key)?;
        let value = match kind {
            ValueType::Array => Value::Array(array(reader, &key, held)?),
            kind => one(reader, kind, held)?,
        };
        if values.contains_key(&key) {
            return Err(Fault::DuplicateKey(key));
        }
        values.insert(key, value);
    }
    Ok(values)
}

fn kind<R: Read + Seek>(reader: &mut Reader<R>, key: &str) -> Result<ValueType, Fault> {
    let number = reader.u32()?;
    ValueType::of(number).ok_or_else(|| Fault::UnknownValueType { key: key.to_owned(), number })
}

/// Reads a value that is no list.
fn one<R: Read + Seek>(
    reader: &mut Reader<R>,
    kind: ValueType,
    held: &mut Held,
) -> Result<Value, Fault> {
    let whole = |number: i128| Value::Whole(number, kind);
    Ok(match kind {
        ValueType::U8 => whole(u8::from_le_bytes(reader.array()?).into()),
        ValueType::I8 => whole(i8::from_le_bytes(reader.array()?).into()),
        ValueType::U16 => whole(u16::from_le_bytes(reader.array()?).into()),
        ValueType::I16 => whole(i16::from_le_bytes(reader.array()?).into()),
        ValueType::U32 => whole(reader.u32()?.into()),
        ValueType::I32 => whole(i32::from_le_bytes(reader.array()?).into()),
        ValueType::U64 => whole(reader.u64()?.into()),
        ValueType::I64 => whole(i64::from_le_bytes(reader.array()?).into()),
        ValueType::F32 => Value::Float(f32::from_le_bytes(reader.array()?).into(), kind),
        ValueType::F64 => Value::Float(f64::from_le_bytes(reader.array()?), kind),
        ValueType::Bool => Value::Bool(reader.array::<1>()? != [0]),
        ValueType::Text | ValueType::Array => text(reader, held)?,
    })
}

fn text<R: Read + Seek>(reader: &mut Reader<R>, held: &mut Held) -> Result<Value, Fault> {
    let length = reader.u64()?;
    if length > LONGEST_TEXT {
        reader.skip(length)?;
        return Ok(Value::LongText { length });
    }
    held.add(length)?;
    let bytes = reader.bytes(length)?;
    Ok(Value::Text(String::from_utf8_lossy(&bytes).into_owned()))
}

fn array<R: Read + Seek>(
    reader: &mut Reader<R>,
    key: &str,
    held: &mut Held,
) -> Result<Array, Fault> {
    let items = kind(reader, key)?;
    let count = reader.u64()?;
    let mut array = Array { items, count, held: None, again: None };
    match items.width() {
        Some(width) => {
            reader.expect(count, width)?;
            if count > LONGEST_LIST {
                reader.skip(count * width)?;
            } else {
                held.add(count * size_of::<Value>() as u64)?;
                let items: Result<_, _> = (0..count).map(|_| one(reader, items, held)).collect();
                array.held = Some(items?);
            }
        }
        None if items == ValueType::Array => return Err(Fault::NestedArray(key.to_owned())),
        None if key == TOKENS => array.again = tokens(reader, count)?,
        None => {
            reader.expect(count, size_of::<u64>() as u64)?;
            for _ in 0..count {
                let length = reader.u64()?;
                reader.skip(length)?;
            }
        }
    }
    Ok(array)
}

/// Goes through the tokens, and gives the number of the first that is there already: llama.cpp
/// aborts on it. Empty ones it gives names of their own. Only hashes are held.
fn tokens<R: Read + Seek>(reader: &mut Reader<R>, count: u64) -> Result<Option<u64>, Fault> {
    if count > MOST_TOKENS {
        return Err(Fault::TooMany { what: "tokens", count, most: MOST_TOKENS });
    }
    reader.expect(count, size_of::<u64>() as u64)?;
    let hasher = BuildHasherDefault::<DefaultHasher>::new();
    let mut seen = HashSet::new();
    let mut again = None;
    for number in 0..count {
        let length = reader.u64()?;
        if length > LONGEST_TEXT {
            return Err(Fault::TooLong { what: "a token", length, most: LONGEST_TEXT });
        }
        let token = reader.bytes(length)?;
        if !token.is_empty() && !seen.insert(hasher.hash_one(&token)) && again.is_none() {
            again = Some(number);
        }
    }
    Ok(again)
}

fn alignment(values: &BTreeMap<String, Value>) -> Result<u64, Fault> {
    /// What counts where a file says nothing.
    const USUAL: u64 = 32;
    let Some(value) = values.get(ALIGNMENT) else { return Ok(USUAL) };
    let alignment = match value {
        Value::Whole(number, ValueType::U32) => u32::try_from(*number).unwrap_or_default(),
        other => {
            let (key, found) = (ALIGNMENT.to_owned(), other.kind());
            return Err(Fault::WrongType { key, wanted: "a u32", found });
        }
    };
    if alignment.is_power_of_two() {
        Ok(alignment.into())
    } else {
        Err(Fault::Alignment(alignment))
    }
}

fn table<R: Read + Seek>(
    reader: &mut Reader<R>,
    count: u64,
    held: &mut Held,
) -> Result<Vec<Tensor>, Fault> {
    let mut names = HashSet::new();
    let mut tensors = Vec::new();
    for _ in 0..count {
        let tensor = tensor(reader)?;
        held.add((size_of::<Tensor>() + 2 * tensor.name.len()) as u64)?;
        if !names.insert(tensor.name.clone()) {
            return Err(Fault::DuplicateTensor(tensor.name));
        }
        tensors.push(tensor);
    }
    Ok(tensors)
}

fn tensor<R: Read + Seek>(reader: &mut Reader<R>) -> Result<Tensor, Fault> {
    let name = reader.name("a name of a tensor", LONGEST_TENSOR)?;
    let dimensions = reader.u32()?;
    if dimensions > 4 {
        return Err(Fault::Dimensions { tensor: name, count: dimensions });
    }
    let mut shape = [1; 4];
    for place in &mut shape[..dimensions as usize] {
        let size = i64::from_le_bytes(reader.array()?);
        match u64::try_from(size) {
            Ok(size) if size > 0 => *place = size,
            Ok(_) | Err(_) => return Err(Fault::Dimension { tensor: name, size }),
        }
    }
    let number = reader.u32()?;
    let Some(kind) = TensorType::of(number) else {
        return Err(Fault::TensorType { tensor: name, number });
    };
    let offset = reader.u64()?;
    Tensor::new(name, kind, shape, offset)
}

/// Makes sure that each tensor begins where the one before it ends, as llama.cpp wants it, so
/// that none lies over another, and that the last one ends within the file.
fn whole<R: Read + Seek>(
    reader: &Reader<R>,
    tensors: &[Tensor],
    alignment: u64,
) -> Result<(), Fault> {
    let beyond = |tensor: &Tensor| Fault::TooLargeTensor(tensor.name.clone());
    let mut wanted = 0_u64;
    let mut end = 0;
    for tensor in tensors {
        let offset = tensor.offset;
        if offset != wanted {
            return Err(Fault::Offset { tensor: tensor.name.clone(), offset, wanted });
        }
        end = offset.checked_add(tensor.size).ok_or_else(|| beyond(tensor))?;
        wanted = end.checked_next_multiple_of(alignment).ok_or_else(|| beyond(tensor))?;
    }
    let Some(last) = tensors.last() else { return Ok(()) };
    let data = reader.at().next_multiple_of(alignment);
    let whole = data.checked_add(end).ok_or_else(|| beyond(last))?;
    match whole.checked_sub(reader.length()) {
        None | Some(0) => Ok(()),
        Some(missing) => Err(Fault::Truncated { missing, whole }),
    }
}
