//! What a model's process and the process that started it say to each other.
//!
//! A line of JSON a message, over stdin and stdout; files go by path, never inline. The end of
//! stdin ends the process at once. There is no version: both ends are the same binary.

use std::path::PathBuf;

use flow_core::error::Failure;
use flow_core::provider::Role;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What the process is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ToHost {
    /// Load this model; the first message, and only that.
    Load(Load),
    /// Answer this.
    Generate(Box<Ask>),
    /// Nobody waits for this answer any more.
    Cancel {
        /// Of the request.
        id: u64,
    },
}

/// What the process tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum FromHost {
    /// The model is there.
    Loaded(Loaded),
    /// It cannot be used; the process ends.
    Unusable {
        /// Why.
        failure: Failure,
    },
    /// An image of a request is being encoded, which nothing interrupts; or it is no more.
    Encoding {
        /// Of the request.
        id: u64,
        /// Whether it is.
        now: bool,
    },
    /// More text of an answer.
    Text {
        /// Of the request.
        id: u64,
        /// The text.
        text: String,
    },
    /// A line for the log.
    Note {
        /// Of the request.
        id: u64,
        /// The line.
        line: String,
    },
    /// An answer is whole.
    Done {
        /// Of the request.
        id: u64,
        /// Why it ended.
        finish: Finish,
        /// What it took.
        took: Took,
    },
    /// There is no answer.
    Failed {
        /// Of the request.
        id: u64,
        /// Why.
        failure: Failure,
        /// What it took until then.
        took: Took,
    },
}

/// Which model, and how much room it is given.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Load {
    /// What it is called, for messages.
    pub(crate) name: String,
    /// Its weights.
    pub(crate) weights: PathBuf,
    /// Its projector.
    pub(crate) projector: Option<PathBuf>,
    /// The most tokens of a request with its answer.
    pub(crate) context: u32,
    /// The tokens that are remembered of all requests together.
    pub(crate) cells: u32,
    /// The requests that are answered together.
    pub(crate) sequences: u32,
    /// Threads that compute.
    pub(crate) threads: u32,
    /// Layers on the graphics card; none where it takes what fits.
    pub(crate) gpu_layers: Option<u32>,
    /// The name of a chat template of llama.cpp's that counts instead of the file's.
    pub(crate) chat_template: Option<String>,
}

/// What became of a model that was to be loaded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Loaded {
    /// The devices that compute, as llama.cpp names them.
    pub(crate) devices: Vec<Device>,
}

/// Something that computes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its name, e.g. `CUDA0`.
    pub name: String,
    /// What it is, e.g. `NVIDIA H100`.
    pub description: String,
    /// Its memory, in bytes.
    pub memory: u64,
    /// Whether it is a graphics card.
    pub gpu: bool,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ask {
    /// Of the request; no other of this process has it.
    pub(crate) id: u64,
    /// System text.
    pub(crate) system: Option<String>,
    /// The conversation, the oldest first.
    pub(crate) turns: Vec<Turn>,
    /// JSON Schema of the answer.
    pub(crate) schema: Option<Value>,
    /// How tokens are chosen.
    pub(crate) sampling: Sampling,
    /// The most tokens to write, where that was said.
    pub(crate) max_tokens: Option<u32>,
    /// Texts that end the answer.
    pub(crate) stop: Vec<String>,
    /// Whether it is read anew even where it is remembered: a sum in another order may differ in
    /// its last bit, and that may choose another word.
    pub(crate) anew: bool,
}

/// A turn of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Turn {
    /// Who speaks.
    pub(crate) role: Role,
    /// What is said, in order.
    pub(crate) parts: Vec<Piece>,
}

/// A part of a turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Piece {
    /// Text.
    Text(String),
    /// An image.
    Image {
        /// Its name, for messages.
        name: String,
        /// Its file.
        path: PathBuf,
        /// The hash of its bytes: equal images are read once.
        hash: String,
    },
}

/// How tokens are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sampling {
    /// How much chance there is in it; at 0 the likeliest token is taken.
    pub(crate) temperature: f32,
    /// The likeliest tokens that together have this probability; 1 for all.
    pub(crate) top_p: f32,
    /// The likeliest tokens, so many; 0 for all.
    pub(crate) top_k: i32,
    /// Tokens at least so likely beside the likeliest.
    pub(crate) min_p: f32,
    /// How much what was written lately counts against a token; 1 for not at all.
    pub(crate) repeat_penalty: f32,
    /// How many of the last tokens that looks at.
    pub(crate) repeat_last: i32,
    /// Where chance begins.
    pub(crate) seed: u32,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Finish {
    /// The model had nothing more to say, or wrote a text that ends the answer.
    Stop,
    /// It came to `max_tokens`.
    Length,
    /// It came to the end of its context.
    Context,
}

impl Finish {
    /// Its name, as it is kept.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::Context => "context",
        }
    }
}

/// What an answer took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Took {
    /// Tokens of the prompt, those of images among them.
    pub(crate) input: u64,
    /// Those that were known already and not read again.
    pub(crate) reused: u64,
    /// Tokens of text that were read, and the time of that.
    pub(crate) read: Span,
    /// Tokens of images that were looked at, and the time of that.
    pub(crate) seen: Span,
    /// Tokens that were written, and the time of that.
    pub(crate) written: Span,
    /// The most requests whose tokens were computed at once with those of this one.
    pub(crate) together: u32,
}

/// Tokens, and how long they took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Span {
    /// How many.
    pub(crate) tokens: u64,
    /// For how long, in seconds.
    pub(crate) seconds: f64,
}

impl Span {
    /// Tokens a second; none where nothing was measured.
    pub(crate) fn rate(&self) -> Option<f64> {
        (self.tokens > 0 && self.seconds > 0.0).then(|| self.tokens as f64 / self.seconds)
    }
}
