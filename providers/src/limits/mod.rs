//! How much is asked of a service at once and in a time: calls, requests, tokens.
//!
//! ```text
//! admit ─► waits in the lane of its model ─► let go ─► announced ─► sent ─► answered ─► ended
//!             rules (settings) of model and service     └── counts against every window ──┘
//!             what the service said is left, its pause, the pace after a refusal
//! ```
//!
//! A call waits for its turn before anything of it is announced, set aside or timed. Limits
//! come from the settings ([`LimitSettings`]), from the header fields in which services say
//! what is left ([`headers`]), and from their refusals: a `retry-after` pauses the model, and
//! a refusal that nothing had foretold lowers its rate for a while ([`pace`]). All runs of a
//! process share the limits of a service.
//!
//! [`limiter`] decides, and is pure; [`turn`] waits, without a task of its own. Uploads and
//! lists of models are not counted, and no other process is known of: two that share a key
//! share its limits only as far as the service tells.

mod headers;
mod limiter;
mod pace;
mod rules;
#[cfg(test)]
mod tests;
mod told;
mod turn;
mod window;

use std::time::Duration;

#[cfg(feature = "fuzzing")]
pub(crate) use headers::left_of;
pub(crate) use rules::{Amount, LimitSettings};
pub(crate) use turn::{Limits, Turn};

/// How long a rule keeps a call back; later is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wait {
    /// Not at all.
    Over,
    /// Until this time.
    Until(Duration),
    /// Until something happens to another call.
    Event,
}
