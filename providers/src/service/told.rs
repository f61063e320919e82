//! What a service said, in words that all of them share.

use std::time::Duration;

use flow_core::error::ErrorClass;

use crate::redact::Redactor;

/// What an answer said.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Told {
    /// The text.
    pub(crate) text: String,
    /// Why it ended.
    pub(crate) finish: Finish,
    /// What it took.
    pub(crate) tokens: Tokens,
    /// The model that answered, where the service names it.
    pub(crate) model: Option<String>,
}

impl Told {
    /// The same without secrets, wherever the service repeats one.
    pub(crate) fn without_secrets(self, redactor: &Redactor) -> Self {
        let plain = |text: &str| redactor.text(text);
        Self {
            text: plain(&self.text),
            finish: match self.finish {
                Finish::Stop => Finish::Stop,
                Finish::Length => Finish::Length,
                Finish::Refused(words) => Finish::Refused(plain(&words)),
                Finish::Filtered(by) => Finish::Filtered(plain(&by)),
                Finish::Other(word) => Finish::Other(plain(&word)),
            },
            tokens: self.tokens,
            model: self.model.as_deref().map(plain),
        }
    }
}

/// Why an answer ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Finish {
    /// The model was done.
    #[default]
    Stop,
    /// It was cut at its limit of tokens.
    Length,
    /// The model declined; with the words it found, if any.
    Refused(String),
    /// A filter withheld it; with the filter's name for the reason.
    Filtered(String),
    /// For a reason of the service's own, in its words; the answer counts.
    Other(String),
}

impl Finish {
    /// The reason as it is kept: `stop`, `length`, `refusal`, `content_filter`, or the
    /// service's word.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::Refused(_) => "refusal",
            Self::Filtered(_) => "content_filter",
            Self::Other(word) => word,
        }
    }
}

/// Tokens as they are billed; none where the service does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tokens {
    /// All tokens read, those from and into a cache included.
    pub(crate) input: Option<u64>,
    /// Of the input, those that were read from the service's cache.
    pub(crate) cache_read: u64,
    /// Of the input, those that were written into the service's cache.
    pub(crate) cache_write: u64,
    /// All tokens written, those of reasoning included.
    pub(crate) output: Option<u64>,
    /// Of the output, those of reasoning.
    pub(crate) reasoning: u64,
}

/// A refusal to serve, classified: what a dialect makes of a status that is no success, or of
/// an error within a success.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fault {
    /// What kind of thing went wrong.
    pub(crate) class: ErrorClass,
    /// What the service says of it.
    pub(crate) message: String,
    /// What the reader can do about it, where that is known.
    pub(crate) hint: Option<String>,
    /// A wait that the body asks for; header fields are read for all services alike.
    pub(crate) retry_after: Option<Duration>,
}

impl Fault {
    /// A fault of a class, in the service's words.
    pub(crate) fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), hint: None, retry_after: None }
    }

    /// Adds what the reader can do about it.
    #[must_use]
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
