//! What can be wrong with a GGUF file.

use std::io;
use std::path::{Path, PathBuf};

use super::value::ValueType;

/// A GGUF file that cannot be used, and why.
#[derive(Debug, thiserror::Error)]
#[error("`{}`: {fault}", path.display())]
pub struct GgufError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    #[source]
    pub fault: Fault,
}

impl GgufError {
    pub(crate) fn new(path: &Path, fault: Fault) -> Self {
        Self { path: path.to_path_buf(), fault }
    }

    /// What the reader can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match &self.fault {
            Fault::Truncated { .. } | Fault::HeaderCut { .. } => {
                Some("get the file once more: it did not come whole")
            }
            Fault::BigEndian { .. } | Fault::Version(_) => {
                Some("convert the model anew with today's llama.cpp")
            }
            Fault::NotFirst { .. } => Some("name the first part; the others are found beside it"),
            Fault::PartMissing { .. } => Some("put all parts of the model into one folder"),
            Fault::Io(_)
            | Fault::NotGguf { .. }
            | Fault::TooMany { .. }
            | Fault::TooLong { .. }
            | Fault::TooLarge { .. }
            | Fault::EmptyKey { .. }
            | Fault::DuplicateKey(_)
            | Fault::NotText { .. }
            | Fault::UnknownValueType { .. }
            | Fault::NestedArray(_)
            | Fault::Missing(_)
            | Fault::WrongType { .. }
            | Fault::OutOfBounds { .. }
            | Fault::Unknown { .. }
            | Fault::NotDivisible { .. }
            | Fault::ArrayLength { .. }
            | Fault::Alignment(_)
            | Fault::DuplicateTensor(_)
            | Fault::Dimensions { .. }
            | Fault::Dimension { .. }
            | Fault::TooLargeTensor(_)
            | Fault::TensorType { .. }
            | Fault::Row { .. }
            | Fault::Offset { .. }
            | Fault::MissingTensor(_)
            | Fault::MissingBlock { .. }
            | Fault::StrayBlock { .. }
            | Fault::Shape { .. }
            | Fault::DuplicateToken { .. }
            | Fault::NoEncoder
            | Fault::SplitName { .. }
            | Fault::PartNumber { .. }
            | Fault::TensorCount { .. } => None,
        }
    }
}

/// What is wrong with a GGUF file. Messages complete "`FILE`: …".
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The system would not let it be read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// Another kind of file.
    #[error("it is no GGUF file: it begins with {start}, not with `GGUF`")]
    NotGguf {
        /// Its first bytes.
        start: String,
    },
    /// For machines of the other byte order.
    #[error("it is big-endian (GGUF version {version}), and only little-endian files are read")]
    BigEndian {
        /// Its version.
        version: u32,
    },
    /// Another version than 2 and 3.
    #[error("its GGUF version is {0}, and only 2 and 3 are read")]
    Version(u32),
    /// It ends before its header does.
    #[error("it is cut short: it ends after {length} bytes, within its header")]
    HeaderCut {
        /// Its length in bytes.
        length: u64,
    },
    /// It ends before its tensors do.
    #[error("it is cut short: {missing} of its {whole} bytes are missing")]
    Truncated {
        /// Bytes that should be there.
        missing: u64,
        /// Its length if it were whole.
        whole: u64,
    },
    /// A count beyond what is read.
    #[error("it says that it has {count} {what}, and at most {most} are read")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// What it says.
        count: u64,
        /// The limit.
        most: u64,
    },
    /// A name beyond what is read.
    #[error("it has {what} of {length} bytes, and at most {most} are read")]
    TooLong {
        /// What it is.
        what: &'static str,
        /// Its length.
        length: u64,
        /// The limit.
        most: u64,
    },
    /// What has to be held of its header is too much.
    #[error("its header holds more than {most} bytes of names and values")]
    TooLarge {
        /// The limit.
        most: u64,
    },
    /// A key of no letters.
    #[error("its key {number} is empty")]
    EmptyKey {
        /// Its position, from 0.
        number: u64,
    },
    /// A key that is there twice.
    #[error("it has the key `{0}` twice")]
    DuplicateKey(String),
    /// A name that is no UTF-8.
    #[error("it has {what} that is not UTF-8")]
    NotText {
        /// What it is.
        what: &'static str,
    },
    /// A type of value that there is not.
    #[error("its key `{key}` is of type {number}, which there is not")]
    UnknownValueType {
        /// The key.
        key: String,
        /// The type.
        number: u32,
    },
    /// An array of arrays.
    #[error("its key `{0}` is an array of arrays, which llama.cpp does not read")]
    NestedArray(String),
    /// A key that has to be there.
    #[error("it lacks the key `{0}`")]
    Missing(String),
    /// A value of another type than its key wants.
    #[error("its key `{key}` has to be {wanted}, and is {found}")]
    WrongType {
        /// The key.
        key: String,
        /// What it has to be.
        wanted: &'static str,
        /// What it is.
        found: ValueType,
    },
    /// A number out of its bounds.
    #[error("its key `{key}` is {value}, and has to be within {least} and {most}")]
    OutOfBounds {
        /// The key.
        key: String,
        /// What it is.
        value: u64,
        /// The least it may be.
        least: u64,
        /// The most it may be.
        most: u64,
    },
    /// A word that stands for nothing.
    #[error("its key `{key}` is `{value}`, which llama.cpp does not know")]
    Unknown {
        /// The key.
        key: String,
        /// What it is.
        value: String,
    },
    /// A number that another has to divide.
    #[error("its key `{key}` is {value}, which `{by}`, {divisor}, does not divide")]
    NotDivisible {
        /// The key.
        key: String,
        /// What it is.
        value: u64,
        /// The other key.
        by: String,
        /// What that is.
        divisor: u64,
    },
    /// An array of another length than it has to be.
    #[error("its key `{key}` has {found} items, and has to have {wanted}")]
    ArrayLength {
        /// The key.
        key: String,
        /// How many there are.
        found: u64,
        /// How many there have to be.
        wanted: u64,
    },
    /// An alignment that is no power of two.
    #[error("its alignment is {0}, which is no power of two")]
    Alignment(u32),
    /// A tensor that is there twice.
    #[error("it has the tensor `{0}` twice")]
    DuplicateTensor(String),
    /// More dimensions than there are.
    #[error("its tensor `{tensor}` has {count} dimensions, and at most 4 are read")]
    Dimensions {
        /// The tensor.
        tensor: String,
        /// How many.
        count: u32,
    },
    /// A dimension that cannot be.
    #[error("its tensor `{tensor}` has a dimension of {size}")]
    Dimension {
        /// The tensor.
        tensor: String,
        /// The dimension.
        size: i64,
    },
    /// A tensor whose size is beyond any machine.
    #[error("its tensor `{0}` is larger than any file")]
    TooLargeTensor(String),
    /// A type of tensor that there is not.
    #[error("its tensor `{tensor}` is of type {number}, which there is not")]
    TensorType {
        /// The tensor.
        tensor: String,
        /// The type.
        number: u32,
    },
    /// Rows that are no whole number of blocks.
    #[error("its tensor `{tensor}` has rows of {row}, no multiple of the {block} of {kind}")]
    Row {
        /// The tensor.
        tensor: String,
        /// The length of a row.
        row: u64,
        /// The length of a block.
        block: u64,
        /// The type of the tensor.
        kind: &'static str,
    },
    /// A tensor elsewhere than behind the one before: with a gap, or over it.
    #[error("its tensor `{tensor}` is at {offset}, and has to be at {wanted}")]
    Offset {
        /// The tensor.
        tensor: String,
        /// Where it is, in bytes from the first.
        offset: u64,
        /// Where it has to be.
        wanted: u64,
    },
    /// A tensor that has to be there.
    #[error("it lacks the tensor `{0}`")]
    MissingTensor(String),
    /// A block of which nothing is there.
    #[error("it lacks block {block} of its {blocks}")]
    MissingBlock {
        /// The block, from 0.
        block: u32,
        /// How many it says it has.
        blocks: u32,
    },
    /// A block beyond those it says it has.
    #[error("it has `{tensor}`, and says that it has {blocks} blocks")]
    StrayBlock {
        /// A tensor of the block.
        tensor: String,
        /// How many it says it has.
        blocks: u32,
    },
    /// A tensor that does not fit what the keys say.
    #[error("its tensor `{tensor}` has a dimension of {found} where `{key}` says {wanted}")]
    Shape {
        /// The tensor.
        tensor: String,
        /// Its dimension.
        found: u64,
        /// The key.
        key: String,
        /// What the key says.
        wanted: u64,
    },
    /// A token that is there twice.
    #[error("its token {token} is there twice")]
    DuplicateToken {
        /// The number of the second one.
        token: u64,
    },
    /// A projector for nothing.
    #[error("it is a projector for neither images nor sound")]
    NoEncoder,
    /// A part that is not named as parts are.
    #[error(
        "it is one of {count} parts, and its name does not end with `-00001-of-{count:05}.gguf`"
    )]
    SplitName {
        /// How many parts there are.
        count: u16,
    },
    /// A part that is not the first.
    #[error("it is part {number} of a model of {count} parts")]
    NotFirst {
        /// Which it is, from 1.
        number: u16,
        /// How many there are.
        count: u16,
    },
    /// A part that is not there.
    #[error("its part `{name}` is not beside it")]
    PartMissing {
        /// The name of the part's file.
        name: String,
    },
    /// A part with another number than its name says.
    #[error("it says that it is part {found} of {count_found}, and has to be {wanted} of {count}")]
    PartNumber {
        /// What it says, from 1.
        found: u16,
        /// Of how many it says it is.
        count_found: u16,
        /// What its name says.
        wanted: u16,
        /// Of how many.
        count: u16,
    },
    /// More or fewer tensors than it says.
    #[error("its parts have {found} tensors, and it says that they have {wanted}")]
    TensorCount {
        /// How many there are.
        found: u64,
        /// How many there should be.
        wanted: u64,
    },
}
