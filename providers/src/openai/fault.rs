//! What a refusal to serve means: by its body first, and by its status where that says nothing.
//!
//! Servers of this protocol differ in how they write errors, so all forms are read: an object
//! or a text under `error`, the object bare, `detail` alone, or no JSON at all.

use flow_core::error::ErrorClass;
use serde_json::Value;

use crate::http::Reply;
use crate::service::{Endpoint, Fault, class_of_status, fault_of_status, heeding_should_retry};

/// Classifies an answer whose status is no success.
pub(super) fn of_reply(endpoint: &Endpoint, reply: &Reply) -> Fault {
    let mut fault = match serde_json::from_slice::<Value>(&reply.body) {
        Ok(body) => of_error(reply.status, body.get("error").unwrap_or(&body)),
        Err(_) => fault_of_status(reply),
    };
    if fault.class == ErrorClass::Auth && fault.hint.is_none() {
        fault.hint = Some(format!(
            "see `OPENAI_API_KEY`, or `api_key` under `providers: {}:`",
            endpoint.name
        ));
    }
    heeding_should_retry(fault, reply)
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
    let mut fault = Fault::new(named.unwrap_or_else(|| class_of_status(status)), message);
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
