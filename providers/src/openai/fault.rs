//! What a refusal to serve means: by its body first, and by its status where that says nothing.
//!
//! Servers of this protocol differ in how they write errors, so all forms are read: an object
//! or a text under `error`, the object bare, `detail` alone, or no JSON at all.

use flow_core::error::ErrorClass;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::http::Reply;
use crate::service::{Endpoint, Fault};

/// The most letters of what is no JSON that a message shows.
const SHOWN: usize = 200;

/// Classifies an answer whose status is no success.
pub(super) fn of_reply(endpoint: &Endpoint, reply: &Reply) -> Fault {
    let mut fault = match serde_json::from_slice::<Value>(&reply.body) {
        Ok(body) => of_error(reply.status, body.get("error").unwrap_or(&body)),
        Err(_) => plain(of_status(reply.status), words(reply)),
    };
    if fault.class == ErrorClass::Auth && fault.hint.is_none() {
        fault.hint = Some(format!(
            "see `OPENAI_API_KEY`, or `api_key` under `providers: {}:`",
            endpoint.name
        ));
    }
    let should = reply.headers.get("x-should-retry").map(reqwest::header::HeaderValue::as_bytes);
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

/// Classifies an error object; of one within a stream, the status is that of the stream.
pub(super) fn of_error(status: u16, error: &Value) -> Fault {
    let text = |key: &str| error[key].as_str().unwrap_or_default();
    let message = match error {
        Value::String(text) => text.clone(),
        _ if !text("message").is_empty() => text("message").to_owned(),
        _ => match &error["detail"] {
            Value::Null => format!("status {status} without a reason"),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        },
    };
    // Within a stream the code may be what the status would have been.
    let status = match error["code"].as_u64() {
        Some(code @ 400..=599) if status == 200 => code as u16,
        _ => status,
    };
    let named = of_words(text("code"), &message).or_else(|| of_words(text("type"), &message));
    let mut fault = plain(named.unwrap_or_else(|| of_status(status)), message);
    fault.hint = hint(&fault);
    fault
}

/// The class that a code or a type of an error names.
fn of_words(word: &str, message: &str) -> Option<ErrorClass> {
    if message.contains("image input is not supported") {
        // llama-server without a projector says so with status 500.
        return Some(ErrorClass::BadRequest);
    }
    Some(match word {
        "insufficient_quota" | "billing_hard_limit_reached" | "billing_not_active" => {
            ErrorClass::Quota
        }
        // More tokens at once than a minute has: no wait helps.
        "rate_limit_exceeded" | "tokens" if message.starts_with("Request too large") => {
            ErrorClass::TooLarge
        }
        "rate_limit_exceeded" | "rate_limit_error" => ErrorClass::RateLimit,
        "server_is_overloaded" | "overloaded_error" | "slow_down" | "unavailable_error" => {
            ErrorClass::Overloaded
        }
        "server_error" => ErrorClass::Server,
        "invalid_api_key" | "authentication_error" | "account_deactivated" => ErrorClass::Auth,
        "model_not_found" => ErrorClass::NotFound,
        "context_length_exceeded" | "string_above_max_length" | "exceed_context_size_error" => {
            ErrorClass::TooLarge
        }
        "content_policy_violation" | "content_filter" => ErrorClass::ContentFilter,
        _ => return None,
    })
}

/// The class of a status whose body says nothing more.
fn of_status(status: u16) -> ErrorClass {
    match status {
        401 | 403 => ErrorClass::Auth,
        402 => ErrorClass::Quota,
        404 => ErrorClass::NotFound,
        408 | 504 => ErrorClass::Timeout,
        413 => ErrorClass::TooLarge,
        429 => ErrorClass::RateLimit,
        503 | 529 => ErrorClass::Overloaded,
        // A lock that was held; the library tries again.
        409 => ErrorClass::Server,
        300..=499 => ErrorClass::BadRequest,
        _ => ErrorClass::Server,
    }
}

fn hint(fault: &Fault) -> Option<String> {
    let hint = match fault.class {
        ErrorClass::Quota => "see the plan and the billing of the account",
        ErrorClass::BadRequest if fault.message.contains("image input is not supported") => {
            "name a model that sees, or start the server with its projector (`--mmproj`)"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

/// What a body that is no JSON says, with the status.
fn words(reply: &Reply) -> String {
    let status = reply.status;
    let place = reply.headers.get("location").and_then(|place| place.to_str().ok());
    if let (300..=399, Some(place)) = (status, place) {
        return format!("status {status}, a redirect to `{place}`");
    }
    match shown(&reply.body) {
        text if text.is_empty() => format!("status {status} without a reason"),
        text => format!("status {status}: {text}"),
    }
}

fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// A fault of a class with its message.
pub(super) fn plain(class: ErrorClass, message: impl Into<String>) -> Fault {
    Fault { class, message: message.into(), hint: None, retry_after: None }
}

/// Reads what should be JSON of this form.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(body).map_err(|error| {
        let message = match shown(body) {
            text if text.is_empty() => "the answer is empty".to_owned(),
            text => format!("the answer cannot be read: {error}: {text}"),
        };
        plain(ErrorClass::Server, message)
    })
}

/// A stream that ended before its last word.
pub(super) fn cut_off() -> Fault {
    plain(ErrorClass::Connection, "the stream ended before the answer did")
}
