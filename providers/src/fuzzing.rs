//! What reads the bytes of services, as plain functions for the package `fuzz`.
//!
//! Left out: the network, and what is kept and counted of an answer, which need a run.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use flow_core::units::Money;
use futures::stream::{self, StreamExt};
use jiff::Timestamp;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

use crate::catalog::{Price, Rates};
use crate::http::{Incoming, Reply, events, json_lines, retry_after};
use crate::limits::left_of;
use crate::redact::Redactor;
use crate::registry::dialect;
use crate::service::{Dialect, Endpoint, Fault, Framing, Kind, Told};

/// The protocols there are, by the settings that choose them.
pub const PROTOCOLS: [&str; 5] = ["chat", "responses", "anthropic", "gemini", "ollama"];

/// A micro-USD a token.
const PRICE: u64 = 1_000_000;

/// What a service said.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// An answer.
    Answer {
        /// Its text.
        text: String,
        /// Why it ended, in the words that are kept.
        finish: String,
        /// What it cost at a price of one micro-USD a token, where it says how many.
        cost: Option<Money>,
    },
    /// A fault within a success, or a refusal; with what it says.
    Fault(String),
}

/// An answer that came in pieces.
#[derive(Clone, Debug, PartialEq)]
pub struct Streamed {
    /// The text of the pieces, in order.
    pub text: String,
    /// The same as it was shown, without the secret.
    pub shown: String,
    /// What it said, without the secret.
    pub said: Said,
}

struct Service {
    endpoint: Endpoint,
    dialect: Arc<dyn Dialect>,
}

static SERVICES: LazyLock<Vec<Service>> = LazyLock::new(|| PROTOCOLS.map(service).into());

fn service(protocol: &str) -> Service {
    let kind = Kind::from_name(protocol).unwrap_or(Kind::OpenAi);
    let api = (kind == Kind::OpenAi).then_some(("api".to_owned(), json!(protocol)));
    let settings: Map<String, Value> =
        api.into_iter().chain([("api_key".to_owned(), json!("unused"))]).collect();
    let endpoint = Endpoint::new("p", kind, settings, &|_| None, Redactor::default())
        .expect("settings of a service");
    let dialect = dialect(&endpoint).expect("a protocol that is spoken");
    Service { endpoint, dialect }
}

/// Reads an answer that came whole.
pub fn whole(protocol: usize, body: &[u8]) -> Said {
    said(SERVICES[protocol].dialect.read(body), &Redactor::default())
}

/// Reads an answer whose status is no success.
pub fn refusal(protocol: usize, status: u16, body: &[u8]) -> Said {
    let Service { endpoint, dialect } = &SERVICES[protocol];
    let reply = Reply { status, headers: HeaderMap::new(), body: body.to_vec() };
    said(Err(dialect.refusal(endpoint, &reply)), &Redactor::default())
}

/// Reads a list of models: their names, or what is wrong.
pub fn list(protocol: usize, body: &[u8]) -> Result<Vec<String>, String> {
    let listed = SERVICES[protocol].dialect.read_list(body);
    listed.map(|listed| listed.models).map_err(|fault| fault.message)
}

/// Reads vectors: how long they are, or what is wrong.
pub fn vectors(protocol: usize, body: &[u8]) -> Result<Vec<usize>, String> {
    let read = SERVICES[protocol].dialect.read_embed(body);
    read.map(|(vectors, _)| vectors.iter().map(Vec::len).collect()).map_err(|fault| fault.message)
}

/// Reads an answer in pieces, whose bytes come so many at a time.
pub fn pieces(protocol: usize, body: &[u8], at_a_time: usize, secret: &str) -> Streamed {
    let redactor = Redactor::new([secret.to_owned()]);
    let bytes: Vec<_> =
        body.chunks(at_a_time.max(1)).map(|bytes| Ok(Bytes::copy_from_slice(bytes))).collect();
    let incoming = Incoming {
        provider: "p".to_owned(),
        status: 200,
        headers: HeaderMap::new(),
        bytes: stream::iter(bytes).boxed(),
        pause: Duration::from_mins(1),
        take: None,
    };
    let (framing, mut pieces) = SERVICES[protocol].dialect.pieces();
    let mut read = match framing {
        Framing::Events => events(incoming).boxed(),
        Framing::Lines => json_lines(incoming).boxed(),
    };
    let (mut text, mut shown, mut show) = (String::new(), String::new(), redactor.pieces());
    let told = with_runtime(async {
        while let Some(event) = read.next().await {
            let event = event.map_err(|failure| Fault::new(failure.class, failure.message))?;
            let piece = pieces.take(&event)?;
            shown.push_str(&show.take(&piece));
            text.push_str(&piece);
        }
        pieces.finish()
    });
    shown.push_str(&show.rest());
    Streamed { text, shown, said: said(told, &redactor) }
}

/// Takes a secret out of a text: of the whole, and of pieces of so many letters.
pub fn redacted(secret: &str, text: &str, at_a_time: usize) -> (String, String) {
    let redactor = Redactor::new([secret.to_owned()]);
    let letters: Vec<char> = text.chars().collect();
    let mut pieces = redactor.pieces();
    let mut shown = String::new();
    for piece in letters.chunks(at_a_time.max(1)) {
        shown.push_str(&pieces.take(&piece.iter().collect::<String>()));
    }
    shown.push_str(&pieces.rest());
    (redactor.text(text), shown)
}

/// Reads what a model wrote as data that fits a schema.
pub fn structured(text: &str, schema: &Value) -> Result<Value, String> {
    let read = crate::structured::structured(text, schema);
    read.map(|structured| structured.value).map_err(|failure| failure.message)
}

/// Reads how long a service wants to be left alone, and what it says is left of its limits;
/// `now` is in milliseconds since 1970.
pub fn wait(fields: &[(&str, &[u8])], now: i64) -> Option<Duration> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value))
        {
            headers.append(name, value);
        }
    }
    let now = Timestamp::from_millisecond(now).unwrap_or_default();
    let _ = left_of(&headers, now);
    retry_after(&headers, now)
}

fn said(told: Result<Told, Fault>, redactor: &Redactor) -> Said {
    let rates = Rates { input: PRICE, cache_read: PRICE, cache_write: PRICE, output: PRICE };
    let price = Price { usual: rates, above: None };
    match told.map(|told| told.without_secrets(redactor)) {
        Ok(told) => Said::Answer {
            finish: told.finish.as_str().to_owned(),
            cost: price.of(&told.tokens),
            text: told.text,
        },
        Err(fault) => Said::Fault(redactor.text(&fault.message)),
    }
}

fn with_runtime<F: Future>(work: F) -> F::Output {
    thread_local! {
        static RUNTIME: Runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime without threads");
    }
    RUNTIME.with(|runtime| runtime.block_on(work))
}
