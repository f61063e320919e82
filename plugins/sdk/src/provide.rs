//! What a provider is asked, and answers.

use crate::File;
use crate::bindings::base::flow::plugin::chat::{Message, Request, Response};
use crate::bindings::base::flow::plugin::content::{Body, Part};
use crate::bindings::base::flow::plugin::progress as host;
use serde_json::{Value, json};

/// What a model is asked.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The model: what stands behind the provider's name and the first `/`.
    pub model: String,
    /// The conversation, in order; the instructions first, where there are some.
    pub messages: Vec<Said>,
    /// A map: temperature, `top_p`, `max_tokens`, stop, seed, schema, detail, options.
    pub params: Value,
}

/// A message of a conversation.
#[derive(Clone, Debug)]
pub struct Said {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub parts: Vec<Content>,
}

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Instructions.
    System,
    /// Who asks.
    User,
    /// The model.
    Assistant,
}

/// A part of a message.
#[derive(Clone, Debug)]
pub enum Content {
    /// Text.
    Text(String),
    /// A file.
    File(File),
    /// Bytes of a media type.
    Bytes(String, Vec<u8>),
}

/// What a model answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The text.
    pub text: String,
    /// Why it ended: stop, length, or another word.
    pub finish: String,
    /// Tokens read.
    pub input_tokens: Option<u64>,
    /// Tokens written.
    pub output_tokens: Option<u64>,
    /// What it cost, in USD. What the workflow says of the price counts before it.
    pub cost: Option<f64>,
}

impl Said {
    /// Its text.
    pub fn text(&self) -> String {
        let texts = self.parts.iter().filter_map(|part| match part {
            Content::Text(text) => Some(text.as_str()),
            Content::File(_) | Content::Bytes(..) => None,
        });
        texts.collect::<Vec<_>>().join("\n")
    }
}

impl Role {
    /// As most services call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

impl Answer {
    /// A text that ended by itself.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), finish: "stop".into(), ..Self::default() }
    }
}

/// Tells a piece of an answer as it grows; says whether somebody wants the rest.
pub fn progress(piece: &str) -> bool {
    host::delta(piece)
}

impl Ask {
    pub(crate) fn of_host(request: Request) -> Self {
        let Request { model, messages, params } = request;
        let params = serde_json::from_str(&params).unwrap_or_default();
        Self { model, messages: messages.into_iter().map(said).collect(), params }
    }
}

fn said(message: Message) -> Said {
    let role = match message.role.as_str() {
        "system" => Role::System,
        "assistant" => Role::Assistant,
        _ => Role::User,
    };
    let part = |part: Part| match part.body {
        Body::Text(text) => Content::Text(text),
        Body::Bytes(bytes) => Content::Bytes(part.media_type, bytes),
        Body::Artifact(file) => Content::File(File::made(file)),
    };
    Said { role, parts: message.parts.into_iter().map(part).collect() }
}

impl Answer {
    pub(crate) fn into_host(self) -> Response {
        let extra = json!({
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cost": self.cost,
        });
        let body = Body::Text(self.text);
        let part = Part { media_type: "text/plain".into(), name: None, body };
        let message = Message { role: "assistant".into(), parts: vec![part] };
        Response { message, finish: self.finish, extra: extra.to_string() }
    }
}
