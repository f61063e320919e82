//! What goes over Anthropic's wire, as its Messages interface has it.
//!
//! Only what is written or read here is named; what else an answer holds is passed over.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A request for an answer.
#[derive(Debug, Serialize)]
pub(super) struct Request<'a> {
    pub(super) model: &'a str,
    pub(super) max_tokens: u64,
    pub(super) messages: Vec<Message>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) system: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) top_p: Option<f64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output_config: Option<OutputConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tools: Option<[Tool; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_choice: Option<ToolChoice>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) stream: bool,
}

/// A turn of the conversation. Its parts are ours with the user's own fields in them.
#[derive(Debug, Serialize)]
pub(super) struct Message {
    pub(super) role: &'static str,
    pub(super) content: Vec<Value>,
}

/// A file as a part of a turn.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block {
    Image {
        source: Source,
    },
    Document {
        source: Source,
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<String>,
    },
}

/// Where a file of a part is.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Source {
    Base64 { media_type: String, data: String },
    Url { url: String },
    File { file_id: String },
    Text { media_type: &'static str, data: String },
}

/// What holds the answer to a schema.
#[derive(Debug, Serialize)]
pub(super) struct OutputConfig {
    pub(super) format: Format,
}

/// The form of the answer.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Format {
    JsonSchema { schema: Value },
}

/// A tool that the model may call.
#[derive(Debug, Serialize)]
pub(super) struct Tool {
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) input_schema: Value,
}

/// That a tool must be called, once.
#[derive(Debug, Serialize)]
pub(super) struct ToolChoice {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) name: &'static str,
    pub(super) disable_parallel_tool_use: bool,
}

/// An answer that came whole, or what a stream begins with.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Answer {
    pub(super) model: Option<String>,
    pub(super) content: Vec<Given>,
    pub(super) stop_reason: Option<String>,
    pub(super) stop_details: Option<StopDetails>,
    pub(super) usage: Usage,
    /// Where the answer is an error in disguise.
    pub(super) error: Option<Error>,
}

/// A part of an answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Given {
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// The text of a `text`.
    pub(super) text: String,
    /// The name of a `tool_use`.
    pub(super) name: String,
    /// What a `tool_use` calls the tool with.
    pub(super) input: Value,
}

/// Why the model declined.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct StopDetails {
    pub(super) category: Option<String>,
    pub(super) explanation: Option<String>,
}

/// What an answer took. In a stream each count is the sum so far, and those that did not
/// change may be left out.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Usage {
    pub(super) input_tokens: Option<u64>,
    pub(super) cache_creation_input_tokens: Option<u64>,
    pub(super) cache_read_input_tokens: Option<u64>,
    pub(super) output_tokens: Option<u64>,
    pub(super) output_tokens_details: Option<OutputDetails>,
}

/// What the tokens of an answer were spent on.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct OutputDetails {
    pub(super) thinking_tokens: u64,
}

/// A piece of an answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Piece {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) index: u64,
    pub(super) message: Option<Answer>,
    pub(super) content_block: Option<Given>,
    pub(super) delta: Delta,
    pub(super) usage: Option<Usage>,
    pub(super) error: Option<Error>,
}

/// What a piece adds.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Delta {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) text: String,
    pub(super) partial_json: String,
    pub(super) stop_reason: Option<String>,
    pub(super) stop_details: Option<StopDetails>,
}

/// The body of an answer whose status is no success.
#[derive(Debug, Deserialize)]
pub(super) struct Refusal {
    pub(super) error: Error,
}

/// What went wrong.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Error {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) message: String,
    pub(super) details: Option<ErrorDetails>,
}

/// More of what went wrong.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ErrorDetails {
    pub(super) error_code: Option<String>,
}

/// The models there are.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Models {
    pub(super) data: Vec<Model>,
    pub(super) has_more: bool,
    pub(super) last_id: Option<String>,
}

/// A model.
#[derive(Debug, Deserialize)]
pub(super) struct Model {
    pub(super) id: String,
}
