//! One vocabulary for what can go wrong in a step.
//!
//! A [`Failure`] is classified once, where it arises; retry, exit codes and the store
//! decide by its [`ErrorClass`] alone. A new class makes every such decision fail to
//! compile until it is taken.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

macro_rules! classes {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        /// What kind of thing went wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum ErrorClass {
            $($(#[$doc])* $variant,)*
        }

        impl ErrorClass {
            /// Every class, in the order of their declaration.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name used in workflows, in the store and in output.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

classes! {
    /// The service asks to slow down; waits for as long as it said.
    RateLimit => "rate_limit",
    /// The account has nothing left; waiting does not help.
    Quota => "quota",
    /// The service is too busy for anybody.
    Overloaded => "overloaded",
    /// No answer within the time allowed.
    Timeout => "timeout",
    /// The other side could not be reached, or went away.
    Connection => "connection",
    /// The service failed.
    Server => "server",
    /// The key is missing, wrong or not allowed to do this.
    Auth => "auth",
    /// The service understood the request and will never take it.
    BadRequest => "bad_request",
    /// What was asked for is not there: a model, a file at a provider.
    NotFound => "not_found",
    /// The request is larger than what is taken.
    TooLarge => "too_large",
    /// The model declined.
    Refusal => "refusal",
    /// A filter withheld the answer.
    ContentFilter => "content_filter",
    /// The answer was cut at its length limit.
    Truncated => "truncated",
    /// The answer holds nothing.
    Empty => "empty",
    /// The answer is not what the schema asks for.
    InvalidOutput => "invalid_output",
    /// The budget does not allow the call.
    Budget => "budget",
    /// The step's inputs are wrong: a template, a type, a document.
    Input => "input",
    /// A file or the disk failed.
    Io => "io",
    /// A limit of flow was reached: size, fuel, memory.
    Limit => "limit",
    /// A plugin failed or was stopped.
    Plugin => "plugin",
    /// Somebody asked the run to stop.
    Cancelled => "cancelled",
    /// flow is at fault.
    Internal => "internal",
}

impl ErrorClass {
    /// Whether what went wrong passes by itself: the same request may be answered a while later,
    /// however often it failed. Whether a step is tried again is its retry policy's to say.
    pub fn passes(self) -> bool {
        match self {
            Self::RateLimit
            | Self::Overloaded
            | Self::Timeout
            | Self::Connection
            | Self::Server => true,
            Self::Quota
            | Self::Auth
            | Self::BadRequest
            | Self::NotFound
            | Self::TooLarge
            | Self::Refusal
            | Self::ContentFilter
            | Self::Truncated
            | Self::Empty
            | Self::InvalidOutput
            | Self::Budget
            | Self::Input
            | Self::Io
            | Self::Limit
            | Self::Plugin
            | Self::Cancelled
            | Self::Internal => false,
        }
    }

    /// Whether another model may do better after such a failure.
    pub(crate) fn may_fall_back(self) -> bool {
        match self {
            Self::RateLimit
            | Self::Quota
            | Self::Overloaded
            | Self::Timeout
            | Self::Connection
            | Self::Server
            | Self::Auth
            | Self::BadRequest
            | Self::NotFound
            | Self::TooLarge
            | Self::Refusal
            | Self::ContentFilter
            | Self::Truncated
            | Self::Empty
            | Self::InvalidOutput
            | Self::Limit
            | Self::Plugin => true,
            Self::Budget | Self::Input | Self::Io | Self::Cancelled | Self::Internal => false,
        }
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl ErrorClass {
    /// Reads the name of a class.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|class| class.as_str() == name)
    }
}

/// Why an attempt did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What kind of thing went wrong.
    pub class: ErrorClass,
    /// What happened, naming file and value; lower case, no full stop.
    pub message: String,
    /// What the reader can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// How long the other side asked to wait before the next try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Duration>,
    /// The HTTP status behind it, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The other side's id of the request, for its support.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl Failure {
    /// Builds a failure of a class from its message.
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self {
            class,
            message: message.into(),
            hint: None,
            retry_after: None,
            status: None,
            request_id: None,
        }
    }

    /// Builds a failure of class `input`.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Input, message)
    }

    /// Builds a failure of class `internal`: an invariant of flow does not hold.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Internal, message)
    }

    /// Adds what the reader can do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
