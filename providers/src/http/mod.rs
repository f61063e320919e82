//! The one way to a server.
//!
//! ```text
//! Call ──► tape: is it on the cassette? ──► the wire ──► tape: keep it ──► Incoming
//!                      └───────────────────────────────────────────────────────┘
//! ```
//! (The tape is [`Tape`](crate::tape::Tape); without one, a call goes to the wire.)
//!
//! Every call of every provider passes here, uploads included, so that what must hold of all
//! of them is said once: time limits on connecting, on the first byte and on each pause; a
//! bound on the size of what comes back; no secret in an error, a trace or a cassette; files
//! are read while they are sent and never held whole. One [`Call`] is one exchange: nothing
//! is tried again here, for whether it may be is the engine's to say. What a status means is
//! the service's own business ([`Dialect`](crate::service::Dialect)).

mod body;
mod file;
mod form;
mod guard;
mod hints;
mod incoming;
mod lines;
mod send;

use std::time::Duration;

use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

pub(crate) use body::{Attachments, Body, Piece, Pieces, nonce};
pub(crate) use file::{FilePart, Source};
pub(crate) use form::Form;
pub(crate) use guard::{Allowed, is_public};
pub(crate) use hints::retry_after;
pub(crate) use incoming::{Incoming, Reply};
pub(crate) use lines::{Event, events, json_lines};
pub(crate) use send::Http;

use crate::redact::Redactor;

/// One exchange to be made.
#[derive(Clone)]
pub(crate) struct Call {
    /// Who is called, for messages: the provider's name in the workflow.
    pub(crate) provider: String,
    /// The kind of service that is called, which a cassette knows it by.
    pub(crate) kind: &'static str,
    /// The address of the service, which a cassette leaves out; empty where all of the address
    /// is what is asked for.
    pub(crate) base_url: String,
    /// GET, POST, DELETE.
    pub(crate) method: Method,
    /// Where to, query included. It holds no secret.
    pub(crate) url: String,
    /// Header fields; those that hold a secret are marked sensitive.
    pub(crate) headers: HeaderMap,
    /// What is sent.
    pub(crate) body: Body,
    /// How long is waited.
    pub(crate) patience: Patience,
    /// Knows the secrets that must not be told.
    pub(crate) redactor: Redactor,
}

impl Call {
    /// The part of the address that says what is asked, wherever the service is: what follows
    /// its own address, or a path elsewhere that it named.
    pub(crate) fn path(&self) -> &str {
        if self.base_url.is_empty() {
            return &self.url;
        }
        match self.url.strip_prefix(&self.base_url) {
            Some(path) if path.is_empty() || path.starts_with(['/', '?']) => path,
            Some(_) | None => &self.url[send::origin(&self.url).len()..],
        }
    }

    /// Sets a header field.
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        // Values come from settings that were checked when the endpoint was made, or are
        // spelled here; one that is no header value is left out rather than sent broken.
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }
}

/// How long is waited for the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    /// For a connection.
    pub(crate) connect: Duration,
    /// For the head of the answer, from when the request is sent.
    pub(crate) answer: Duration,
    /// For the next piece of the answer.
    pub(crate) pause: Duration,
}

impl Default for Patience {
    /// 10 s to connect, 10 min for the head of the answer, 2 min for each pause: a model that
    /// thinks may be silent for minutes, one that writes is not.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_mins(10),
            pause: Duration::from_mins(2),
        }
    }
}

/// The most bytes of an answer that are taken.
pub(crate) const LARGEST_ANSWER: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_does_not_depend_on_where_a_service_is() {
        for (base_url, url, path) in [
            ("https://host/v1", "https://host/v1/chat?a=b", "/chat?a=b"),
            ("https://host/v1", "https://host/v1beta/chat", "/v1beta/chat"),
            ("https://host/v1", "https://host/upload/v1/files?id=1", "/upload/v1/files?id=1"),
            ("https://host/v1", "http://127.0.0.1:80/files", "/files"),
            ("https://host", "https://host", ""),
            ("", "https://host/red.png", "https://host/red.png"),
        ] {
            let call = Call {
                provider: "mine".into(),
                kind: "openai",
                base_url: base_url.into(),
                method: Method::GET,
                url: url.into(),
                headers: HeaderMap::new(),
                body: Body::Empty,
                patience: Patience::default(),
                redactor: Redactor::default(),
            };
            assert_eq!(call.path(), path, "{url} of {base_url}");
        }
    }
}
