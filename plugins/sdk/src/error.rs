//! Why a call did not work.

use std::fmt;
use std::time::Duration;

use crate::bindings::base::flow::plugin::types;

/// What a plugin's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call did not work.
///
/// Any [`std::error::Error`] becomes one by `?`, with the code `internal`. It is none itself, so
/// that this can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// A word: `invalid-input`, `invalid-config`, `denied`, `not-found`, `rate-limited`,
    /// `timeout`, `unavailable`, `unsupported`, `too-large`, `internal`, or another.
    pub code: String,
    /// Lower case, no full stop, naming what is wrong.
    pub message: String,
    /// Whether the same may work a little later.
    pub retryable: bool,
    /// How long to wait before it may.
    pub retry_after: Option<Duration>,
}

impl Error {
    /// An error of any code.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        let code = code.to_owned();
        Self { code, message: message.into(), retryable: false, retry_after: None }
    }

    /// What it was given makes no sense.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new("invalid-input", message)
    }

    /// Its settings make no sense.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new("invalid-config", message)
    }

    /// What was asked for is not there.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new("not-found", message)
    }

    /// What it needs is away. It may be back later.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { retryable: true, ..Self::new("unavailable", message) }
    }

    /// Too much was asked. It may be answered later.
    pub fn rate_limited(message: impl Into<String>, retry_after: Option<Duration>) -> Self {
        Self { retryable: true, retry_after, ..Self::new("rate-limited", message) }
    }

    pub(crate) fn of_host(error: types::Error) -> Self {
        let types::Error { code, message, retryable, retry_after_ms, extra: _ } = error;
        Self { code, message, retryable, retry_after: retry_after_ms.map(Duration::from_millis) }
    }

    pub(crate) fn to_host(&self) -> types::Error {
        types::Error {
            code: self.code.clone(),
            message: self.message.clone(),
            retryable: self.retryable,
            retry_after_ms: self.retry_after.map(|wait| wait.as_millis() as u64),
            extra: "{}".into(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(deeper) = source {
            message.push_str(": ");
            message.push_str(&deeper.to_string());
            source = deeper.source();
        }
        Self::new("internal", message)
    }
}
