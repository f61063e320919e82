//! What goes over Gemini's wire, as its `generateContent` has it.
//!
//! Names are camelCase throughout, base64 is the standard kind. Only what is written or read
//! here is named; what else an answer holds is passed over.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A request for an answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request<'a> {
    pub(super) contents: Vec<Content>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) system_instruction: Option<System<'a>>,
    #[serde(skip_serializing_if = "GenerationConfig::is_empty")]
    pub(super) generation_config: GenerationConfig<'a>,
}

/// What the model is told beforehand.
#[derive(Debug, Serialize)]
pub(super) struct System<'a> {
    pub(super) parts: [SystemPart<'a>; 1],
}

/// A text that the model is told beforehand.
#[derive(Debug, Serialize)]
pub(super) struct SystemPart<'a> {
    pub(super) text: &'a str,
}

/// A turn of the conversation. Its parts are ours with the user's own fields in them.
#[derive(Debug, Serialize)]
pub(super) struct Content {
    pub(super) role: &'static str,
    pub(super) parts: Vec<Value>,
}

/// A file as a part of a turn.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Part {
    #[serde(rename_all = "camelCase")]
    InlineData { mime_type: String, data: String },
    #[serde(rename_all = "camelCase")]
    FileData {
        #[serde(skip_serializing_if = "Option::is_none")]
        mime_type: Option<String>,
        file_uri: String,
    },
}

/// How the answer is made.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GenerationConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) media_resolution: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_mime_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_json_schema: Option<Value>,
}

impl GenerationConfig<'_> {
    fn is_empty(&self) -> bool {
        *self == GenerationConfig::default()
    }
}

/// A request for vectors.
#[derive(Debug, Serialize)]
pub(super) struct EmbedRequest {
    pub(super) requests: Vec<EmbedOne>,
}

/// A request for the vector of a text.
#[derive(Debug, Serialize)]
pub(super) struct EmbedOne {
    pub(super) model: String,
    pub(super) content: Content,
}

/// An answer, or a piece of one: they look the same.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Answer {
    pub(super) candidates: Vec<Candidate>,
    pub(super) prompt_feedback: Option<PromptFeedback>,
    pub(super) usage_metadata: Option<Usage>,
    pub(super) model_version: Option<String>,
    /// Where the answer is an error in disguise.
    pub(super) error: Option<Error>,
}

/// One answer of those that were asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Candidate {
    pub(super) content: Given,
    pub(super) finish_reason: Option<String>,
    pub(super) finish_message: Option<String>,
    pub(super) safety_ratings: Vec<Rating>,
}

/// What the model said.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Given {
    pub(super) parts: Vec<GivenPart>,
}

/// A part of what the model said.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct GivenPart {
    pub(super) text: String,
    /// Whether it is a thought, which is no part of the answer.
    pub(super) thought: bool,
}

/// That the request was not taken.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PromptFeedback {
    pub(super) block_reason: Option<String>,
    pub(super) block_reason_message: Option<String>,
    pub(super) safety_ratings: Vec<Rating>,
}

/// How harmful something is held to be.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Rating {
    pub(super) category: String,
    pub(super) probability: String,
    pub(super) blocked: bool,
}

/// What an answer took.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Usage {
    pub(super) prompt_token_count: u64,
    pub(super) cached_content_token_count: u64,
    pub(super) tool_use_prompt_token_count: u64,
    pub(super) candidates_token_count: u64,
    pub(super) thoughts_token_count: u64,
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
    pub(super) code: u16,
    pub(super) message: String,
    pub(super) status: String,
    pub(super) details: Vec<Detail>,
}

/// More of what went wrong; which fields are there depends on the type.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Detail {
    #[serde(rename = "@type")]
    pub(super) kind: String,
    /// Of an `ErrorInfo`.
    pub(super) reason: String,
    /// Of a `RetryInfo`: seconds, with an `s` behind them.
    pub(super) retry_delay: Option<String>,
    /// Of a `QuotaFailure`.
    pub(super) violations: Vec<Violation>,
}

/// A quota that was passed.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Violation {
    pub(super) quota_id: String,
    pub(super) quota_value: String,
}

/// The models there are.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Models {
    pub(super) models: Vec<Model>,
    pub(super) next_page_token: String,
}

/// A model.
#[derive(Debug, Deserialize)]
pub(super) struct Model {
    pub(super) name: String,
}

/// The vectors of texts.
#[derive(Debug, Deserialize)]
pub(super) struct Embedded {
    pub(super) embeddings: Vec<Vector>,
}

/// A vector.
#[derive(Debug, Deserialize)]
pub(super) struct Vector {
    pub(super) values: Vec<f32>,
}
