//! What a host has to know of a file before it loads it.

use super::error::Fault;
use super::value::{Value, ValueType};
use super::{Gguf, Tensor, header};

/// The key that says what a file is for.
pub(super) const ARCHITECTURE: &str = "general.architecture";

/// The architecture of projectors.
const PROJECTOR: &str = "clip";

/// The bytes of a number of the KV state, which llama.cpp keeps as f16.
const KV_NUMBER: u64 = 2;

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A model.
    Model(ModelFacts),
    /// What turns images or sound into what a model reads.
    Projector(ProjectorFacts),
}

/// A model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFacts {
    /// How it is built, as llama.cpp calls it.
    pub architecture: String,
    /// What it calls itself.
    pub name: Option<String>,
    /// The tokens it was trained to hold at once.
    pub context: u32,
    /// Its blocks.
    pub blocks: u32,
    /// The length of a token's vector.
    pub embedding: u32,
    /// Attention heads, of the block that has the most; 0 where it has none.
    pub heads: u32,
    /// Heads of the KV state, of the block that has the most.
    pub kv_heads: u32,
    /// The bytes of KV state that a token takes, as f16 and with attention to all that came
    /// before: an upper bound for models that look back only so far.
    pub kv_bytes: u64,
    /// How many tokens it knows; none where the file does not list them.
    pub vocabulary: Option<u64>,
    /// Whether the file says how a conversation is written.
    pub chat_template: bool,
    /// The numbers of all tensors.
    pub parameters: u64,
    /// The bytes of all tensors.
    pub bytes: u64,
}

/// A projector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectorFacts {
    /// What it calls itself.
    pub name: Option<String>,
    /// How it is built, as llama.cpp calls it: `qwen2.5vl_merger`, `mlp`, `idefics3`.
    pub projector: String,
    /// Whether it takes images.
    pub vision: bool,
    /// Whether it takes sound.
    pub audio: bool,
    /// The numbers of all tensors.
    pub parameters: u64,
    /// The bytes of all tensors.
    pub bytes: u64,
}

impl ModelFacts {
    /// The bytes that it takes with room for so many tokens: its weights and its KV state. What
    /// llama.cpp needs to compute with comes on top, some hundred MB.
    pub fn memory(&self, context: u32) -> u64 {
        self.bytes.saturating_add(self.kv_bytes.saturating_mul(context.into()))
    }
}

impl Gguf {
    /// Whether it is a projector, and no model.
    pub fn is_projector(&self) -> bool {
        self.value(ARCHITECTURE).and_then(Value::as_str) == Some(PROJECTOR)
    }

    /// The numbers of all its tensors.
    pub fn parameters(&self) -> u64 {
        self.sum(Tensor::numbers)
    }

    /// The bytes of all its tensors.
    pub fn tensor_bytes(&self) -> u64 {
        self.sum(|tensor| tensor.size)
    }

    fn sum(&self, of: impl Fn(&Tensor) -> u64) -> u64 {
        self.tensors().iter().fold(0, |sum: u64, tensor| sum.saturating_add(of(tensor)))
    }

    /// What it calls itself.
    pub(super) fn name(&self) -> Option<String> {
        self.value("general.name").and_then(Value::as_str).map(str::to_owned)
    }

    pub(super) fn architecture(&self) -> Result<&str, Fault> {
        let value = self.value(ARCHITECTURE);
        let value = value.ok_or_else(|| Fault::Missing(ARCHITECTURE.to_owned()))?;
        value.as_str().ok_or_else(|| wrong(ARCHITECTURE, "a text", value))
    }

    /// A whole number within bounds; none where it is not there.
    pub(super) fn bounded(&self, key: &str, least: u64, most: u64) -> Result<Option<u64>, Fault> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let number = whole(key, value)?;
        within(key, number, least, most).map(Some)
    }

    /// A whole number within bounds, which has to be there.
    pub(super) fn needed(&self, key: &str, least: u64, most: u64) -> Result<u64, Fault> {
        self.bounded(key, least, most)?.ok_or_else(|| Fault::Missing(key.to_owned()))
    }

    /// A number a block: one for all, or a list of one for each; none where it is not there.
    pub(super) fn each_block(
        &self,
        key: &str,
        blocks: u64,
        most: u64,
    ) -> Result<Option<Vec<u64>>, Fault> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let Some(list) = value.as_array() else {
            let number = within(key, whole(key, value)?, 0, most)?;
            return Ok(Some(vec![number; blocks as usize]));
        };
        if list.count != blocks {
            let (found, wanted) = (list.count, blocks);
            return Err(Fault::ArrayLength { key: key.to_owned(), found, wanted });
        }
        let items = list.held.as_ref().ok_or_else(|| wrong(key, "an array of numbers", value))?;
        let number = |item| within(key, whole(key, item)?, 0, most);
        items.iter().map(number).collect::<Result<_, _>>().map(Some)
    }

    /// How many tokens are listed.
    pub(super) fn vocabulary(&self) -> Result<Option<u64>, Fault> {
        let Some(value) = self.value(header::TOKENS) else { return Ok(None) };
        match value.as_array() {
            Some(list) if list.items == ValueType::Text => Ok(Some(list.count)),
            Some(_) | None => Err(wrong(header::TOKENS, "an array of texts", value)),
        }
    }
}

/// The bytes of KV state a token, of heads a block and the lengths of their vectors.
pub(super) fn kv_bytes(heads: &[u64], key: u64, value: u64) -> u64 {
    let heads = heads.iter().fold(0_u64, |sum, heads| sum.saturating_add(*heads));
    heads.saturating_mul(key.saturating_add(value)).saturating_mul(KV_NUMBER)
}

fn whole(key: &str, value: &Value) -> Result<u64, Fault> {
    value.as_u64().ok_or_else(|| wrong(key, "a whole number that is not negative", value))
}

fn within(key: &str, value: u64, least: u64, most: u64) -> Result<u64, Fault> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(Fault::OutOfBounds { key: key.to_owned(), value, least, most })
}

pub(super) fn wrong(key: &str, wanted: &'static str, value: &Value) -> Fault {
    Fault::WrongType { key: key.to_owned(), wanted, found: value.kind() }
}
