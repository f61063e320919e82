//! The values of a header.

use std::fmt;

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// A byte.
    U8,
    /// A signed byte.
    I8,
    /// 16 bits.
    U16,
    /// 16 bits with a sign.
    I16,
    /// 32 bits.
    U32,
    /// 32 bits with a sign.
    I32,
    /// A float of 32 bits.
    F32,
    /// Yes or no.
    Bool,
    /// A text.
    Text,
    /// A list of values of one type.
    Array,
    /// 64 bits.
    U64,
    /// 64 bits with a sign.
    I64,
    /// A float of 64 bits.
    F64,
}

impl ValueType {
    /// The type with this number in a file.
    pub(super) fn of(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::U8,
            1 => Self::I8,
            2 => Self::U16,
            3 => Self::I16,
            4 => Self::U32,
            5 => Self::I32,
            6 => Self::F32,
            7 => Self::Bool,
            8 => Self::Text,
            9 => Self::Array,
            10 => Self::U64,
            11 => Self::I64,
            12 => Self::F64,
            _ => return None,
        })
    }

    /// The bytes of a value; none where each says its own length.
    pub(super) fn width(self) -> Option<u64> {
        match self {
            Self::U8 | Self::I8 | Self::Bool => Some(1),
            Self::U16 | Self::I16 => Some(2),
            Self::U32 | Self::I32 | Self::F32 => Some(4),
            Self::U64 | Self::I64 | Self::F64 => Some(8),
            Self::Text | Self::Array => None,
        }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::U8 => "a u8",
            Self::I8 => "an i8",
            Self::U16 => "a u16",
            Self::I16 => "an i16",
            Self::U32 => "a u32",
            Self::I32 => "an i32",
            Self::F32 => "an f32",
            Self::Bool => "a bool",
            Self::Text => "a text",
            Self::Array => "an array",
            Self::U64 => "a u64",
            Self::I64 => "an i64",
            Self::F64 => "an f64",
        })
    }
}

/// A value of a header.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A whole number, and how it is written.
    Whole(i128, ValueType),
    /// A float, and how it is written.
    Float(f64, ValueType),
    /// Yes or no.
    Bool(bool),
    /// A text; what is not UTF-8 in it is replaced.
    Text(String),
    /// A text that is too long to be held.
    LongText {
        /// Its length in bytes.
        length: u64,
    },
    /// A list.
    Array(Array),
}

/// A list of values of one type.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// The type of its items.
    pub items: ValueType,
    /// How many there are.
    pub count: u64,
    /// The items themselves where they are numbers and few.
    pub held: Option<Vec<Value>>,
    /// The number of the first text that is there a second time, in the list of tokens alone.
    pub(super) again: Option<u64>,
}

impl Value {
    /// Its type.
    pub fn kind(&self) -> ValueType {
        match self {
            Self::Whole(_, kind) | Self::Float(_, kind) => *kind,
            Self::Bool(_) => ValueType::Bool,
            Self::Text(_) | Self::LongText { .. } => ValueType::Text,
            Self::Array(_) => ValueType::Array,
        }
    }

    /// The whole number that it is, if it is one and not negative.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Whole(number, _) => u64::try_from(*number).ok(),
            Self::Float(..)
            | Self::Bool(_)
            | Self::Text(_)
            | Self::LongText { .. }
            | Self::Array(_) => None,
        }
    }

    /// The text that it is, if it is one that is held.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Whole(..)
            | Self::Float(..)
            | Self::Bool(_)
            | Self::LongText { .. }
            | Self::Array(_) => None,
        }
    }

    /// The list that it is, if it is one.
    pub fn as_array(&self) -> Option<&Array> {
        match self {
            Self::Array(array) => Some(array),
            Self::Whole(..)
            | Self::Float(..)
            | Self::Bool(_)
            | Self::Text(_)
            | Self::LongText { .. } => None,
        }
    }

    /// Yes or no, if it is that.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(yes) => Some(*yes),
            Self::Whole(..)
            | Self::Float(..)
            | Self::Text(_)
            | Self::LongText { .. }
            | Self::Array(_) => None,
        }
    }
}
