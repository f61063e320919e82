//! What a status and a header field say, for answers whose body says nothing more.
//!
//! A proxy or a gateway in front of a service answers with pages of its own, so that every
//! dialect needs this for bodies that are not in its service's words. Where the body is, it
//! decides, for one status stands for several things.

use flow_core::error::ErrorClass;
use reqwest::header::{HeaderValue, LOCATION};
use serde::de::DeserializeOwned;

use super::Fault;
use crate::http::Reply;

/// The most letters of a body that a message shows.
const SHOWN: usize = 200;

/// The class of a status that is no success.
pub(crate) fn class_of_status(status: u16) -> ErrorClass {
    match status {
        401 | 403 => ErrorClass::Auth,
        402 => ErrorClass::Quota,
        404 => ErrorClass::NotFound,
        408 | 504 => ErrorClass::Timeout,
        413 => ErrorClass::TooLarge,
        429 => ErrorClass::RateLimit,
        503 | 529 => ErrorClass::Overloaded,
        // A lock that was held; the services' libraries try again.
        409 => ErrorClass::Server,
        300..=499 => ErrorClass::BadRequest,
        _ => ErrorClass::Server,
    }
}

/// The fault of an answer whose body is not in the service's words.
pub(crate) fn fault_of_status(reply: &Reply) -> Fault {
    let status = reply.status;
    let place = reply.headers.get(LOCATION).and_then(|place| place.to_str().ok());
    let message = match (place, shown(&reply.body)) {
        (Some(place), _) if (300..400).contains(&status) => {
            format!("status {status}, a redirect to `{place}`")
        }
        (_, text) if text.is_empty() => format!("status {status} without a reason"),
        (_, text) => format!("status {status}: {text}"),
    };
    Fault::new(class_of_status(status), message)
}

/// The fault with what `x-should-retry` says of it: services that send it know better than
/// their status whether another try can help.
pub(crate) fn heeding_should_retry(mut fault: Fault, reply: &Reply) -> Fault {
    let should = reply.headers.get("x-should-retry").map(HeaderValue::as_bytes);
    fault.class = match (should, fault.class) {
        (Some(b"false"), ErrorClass::RateLimit) => ErrorClass::Quota,
        (Some(b"false"), ErrorClass::Server | ErrorClass::Overloaded | ErrorClass::Timeout) => {
            ErrorClass::BadRequest
        }
        (Some(b"true"), ErrorClass::BadRequest) => ErrorClass::Server,
        (_, class) => class,
    };
    fault
}

/// Reads what should be JSON of this form.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(body).map_err(|error| {
        let message = match shown(body) {
            text if text.is_empty() => "the answer is empty".to_owned(),
            text => format!("the answer cannot be read: {error}: {text}"),
        };
        Fault::new(ErrorClass::Server, message)
    })
}

/// The fault of a stream that ended before its last word.
pub(crate) fn cut_off() -> Fault {
    Fault::new(ErrorClass::Connection, "the stream ended before the answer did")
}

/// The start of a body in one line.
fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
