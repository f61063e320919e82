//! What is on the wire.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A question for an answer.
#[derive(Serialize)]
pub(super) struct Chat<'a> {
    pub(super) model: &'a str,
    pub(super) messages: Vec<Message>,
    /// Said in any case: Ollama streams where nothing is said.
    pub(super) stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) format: Option<&'a Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(super) options: Map<String, Value>,
}

/// A turn of the conversation.
#[derive(Serialize)]
pub(super) struct Message {
    pub(super) role: &'static str,
    pub(super) content: String,
    /// In base64, in the order of their markers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) images: Vec<String>,
}

/// A question for vectors.
#[derive(Serialize)]
pub(super) struct Embed<'a> {
    pub(super) model: &'a str,
    pub(super) input: &'a [String],
}

/// An answer, or a line of one.
#[derive(Deserialize)]
pub(super) struct Answer {
    pub(super) model: Option<String>,
    #[serde(default)]
    pub(super) message: Said,
    #[serde(default)]
    pub(super) done: bool,
    pub(super) done_reason: Option<String>,
    /// Left out where it is 0, as it is when the prompt was still in memory.
    pub(super) prompt_eval_count: Option<u64>,
    /// Left out where it is 0.
    pub(super) eval_count: Option<u64>,
    pub(super) error: Option<Value>,
}

/// What the model said.
#[derive(Default, Deserialize)]
pub(super) struct Said {
    #[serde(default)]
    pub(super) content: String,
}

/// Vectors.
#[derive(Deserialize)]
pub(super) struct Vectors {
    #[serde(default)]
    pub(super) embeddings: Vec<Vec<f32>>,
    pub(super) prompt_eval_count: Option<u64>,
    pub(super) error: Option<Value>,
}

/// The models there are.
#[derive(Deserialize)]
pub(super) struct Tags {
    pub(super) models: Vec<Tag>,
}

/// A model.
#[derive(Deserialize)]
pub(super) struct Tag {
    pub(super) name: String,
}
