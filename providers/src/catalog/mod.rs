//! What is known of models: what they take, what they cost, how much they read and write,
//! and when they were retired.
//!
//! Facts are data, in one dated file (`models.json`) that a user's settings override. Of a
//! model that is not listed nothing is assumed but what its kind of service takes at all,
//! and its price is unknown, which is not 0.

use flow_core::action::Quote;
use flow_core::provider::{Capabilities, Request};
use flow_core::units::Money;

use crate::service::{Endpoint, Kind, Tokens};

/// What is known of a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ModelFacts {
    /// Whether it is listed.
    pub(crate) listed: bool,
    /// What it takes and does.
    pub(crate) capabilities: Capabilities,
    /// What it costs; none where nobody knows.
    pub(crate) price: Option<Price>,
    /// The most tokens it writes.
    pub(crate) max_output: Option<u64>,
    /// Whether it reasons before it answers: its limit of tokens has another name then, and it
    /// takes no temperature.
    pub(crate) reasoning: bool,
    /// Whether a sampling temperature may be set.
    pub(crate) temperature: bool,
    /// How images must be made to fit.
    pub(crate) images: ImageLimits,
    /// Since when it is not served any more, and what serves in its place.
    pub(crate) retired: Option<Retired>,
}

/// A price, in USD a million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Price {
    /// Of tokens read.
    pub(crate) input: f64,
    /// Of tokens read from the service's cache.
    pub(crate) cache_read: f64,
    /// Of tokens written into the service's cache.
    pub(crate) cache_write: f64,
    /// Of tokens written, those of reasoning included.
    pub(crate) output: f64,
}

/// How images must be made to fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ImageLimits {
    /// The longest side, in pixels.
    pub(crate) side: Option<u32>,
    /// The largest file, in bytes before base64.
    pub(crate) bytes: Option<u64>,
}

/// That a model is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Retired {
    /// Since when, as a date.
    pub(crate) since: String,
    /// What serves in its place.
    pub(crate) successor: Option<String>,
}

impl Price {
    /// What so many tokens cost, rounded up to a whole micro-USD; none where the service did
    /// not say how many there were.
    pub(crate) fn of(&self, tokens: &Tokens) -> Option<Money> {
        let (input, output) = (tokens.input?, tokens.output?);
        let plain = input.saturating_sub(tokens.cache_read).saturating_sub(tokens.cache_write);
        let micros = plain as f64 * self.input
            + tokens.cache_read as f64 * self.cache_read
            + tokens.cache_write as f64 * self.cache_write
            + output as f64 * self.output;
        // A price a million tokens in USD is one a token in micro-USD.
        Some(Money::from_micros(micros.ceil() as i64))
    }
}

/// Knows models.
#[derive(Debug, Default)]
pub(crate) struct Catalog {}

impl Catalog {
    /// What is known of a model at a service.
    pub(crate) fn facts(&self, endpoint: &Endpoint, model: &str) -> ModelFacts {
        let own = endpoint.models.get(model).unwrap_or(&serde_json::Value::Null);
        let mut capabilities = of_kind(endpoint.kind);
        capabilities.schema = own["schema"].as_bool().unwrap_or(capabilities.schema);
        ModelFacts {
            capabilities,
            listed: !own.is_null(),
            temperature: own["temperature"].as_bool().unwrap_or(true),
            reasoning: own["reasoning"].as_bool().unwrap_or(false),
            ..ModelFacts::default()
        }
    }

    /// What serves in the place of a model that is gone, where that is known.
    pub(crate) fn successor(&self, _endpoint: &Endpoint, _model: &str) -> Option<String> {
        None
    }
}

/// What a kind of service takes at all.
fn of_kind(kind: Kind) -> Capabilities {
    let gemini = kind == Kind::Gemini;
    let documents = kind != Kind::Ollama;
    Capabilities { images: true, documents, video: gemini, audio: gemini, schema: true }
}

/// What a request may cost at most.
pub(crate) fn quote(_request: &Request, _facts: &ModelFacts) -> Quote {
    Quote::Unknown
}
