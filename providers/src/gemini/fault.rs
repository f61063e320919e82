//! What went wrong, from the body of an answer that is none.
//!
//! The service's own word (`status`) says less than its details: a bad key is an invalid
//! argument, a minute's limit and a day's are both an exhausted resource, and a file that has
//! expired is a lack of permission.

use std::time::Duration;

use flow_core::error::ErrorClass;
use serde_json::Value;

use super::wire::{Detail, Error, Refusal};
use crate::http::Reply;
use crate::service::{Fault, class_of_status, fault_of_status};

/// Classifies an answer of the provider of this name whose status is no success.
pub(super) fn refusal(provider: &str, reply: &Reply) -> Fault {
    let Reply { status, body, .. } = reply;
    let told = match serde_json::from_slice(body) {
        // Some paths make a list of it.
        Ok(Value::Array(all)) => all.into_iter().next(),
        Ok(told) => Some(told),
        Err(_) => None,
    };
    let fault = match told.and_then(|told| serde_json::from_value(told).ok()) {
        Some(Refusal { mut error }) => {
            error.code = *status;
            fault(error)
        }
        None => fault_of_status(reply),
    };
    match fault.class {
        ErrorClass::Auth => fault.with_hint(format!(
            "see `GEMINI_API_KEY`, or `api_key` under `providers: {provider}:`"
        )),
        ErrorClass::Quota => fault.with_hint("see the project's plan and its quotas"),
        ErrorClass::NotFound if *status == 403 => {
            fault.with_hint("files are kept for 48 hours, and for one project")
        }
        _ => fault,
    }
}

/// Classifies an error by what the service says of it.
pub(super) fn fault(error: Error) -> Fault {
    let class = class(&error);
    let retry_after = error.details.iter().find_map(|detail| delay(detail.retry_delay.as_deref()?));
    let said = match (error.status.is_empty(), error.message.is_empty()) {
        (true, true) => "no reason".to_owned(),
        (true, false) => error.message,
        (false, true) => error.status,
        (false, false) => format!("{}: {}", error.status, error.message),
    };
    Fault { retry_after, ..Fault::new(class, said) }
}

fn class(error: &Error) -> ErrorClass {
    let Error { code, message, status, details } = error;
    let reasons = |reason: &str| details.iter().any(|detail| detail.reason.starts_with(reason));
    if reasons("API_KEY_") || message.starts_with("API key ") {
        return ErrorClass::Auth;
    }
    match status.as_str() {
        "INVALID_ARGUMENT" if message.contains("token count") => ErrorClass::TooLarge,
        "INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE" | "UNIMPLEMENTED" => {
            ErrorClass::BadRequest
        }
        "PERMISSION_DENIED" if message.contains("File ") && message.contains("not exist") => {
            ErrorClass::NotFound
        }
        "UNAUTHENTICATED" | "PERMISSION_DENIED" => ErrorClass::Auth,
        "NOT_FOUND" => ErrorClass::NotFound,
        "RESOURCE_EXHAUSTED" => exhausted(message, details),
        "INTERNAL" | "UNKNOWN" | "DATA_LOSS" | "ABORTED" => ErrorClass::Server,
        "UNAVAILABLE" => ErrorClass::Overloaded,
        "DEADLINE_EXCEEDED" => ErrorClass::Timeout,
        _ if *code == 0 => ErrorClass::Server,
        _ => class_of_status(*code),
    }
}

/// A quota of a day, of money, or of nothing at all does not come back by waiting a little.
fn exhausted(message: &str, details: &[Detail]) -> ErrorClass {
    let mut violations = details.iter().flat_map(|detail| &detail.violations);
    let lasting =
        violations.any(|quota| quota.quota_id.contains("PerDay") || quota.quota_value == "0");
    let money = ["credits are depleted", "spending cap", "spend limit"];
    if lasting || money.iter().any(|words| message.contains(words)) {
        return ErrorClass::Quota;
    }
    ErrorClass::RateLimit
}

/// A duration as it is written there: `34s`, `0.5s`.
fn delay(text: &str) -> Option<Duration> {
    let seconds = text.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;
    use serde_json::json;

    use super::*;

    fn refused(status: u16, body: &[u8]) -> Fault {
        refusal("mine", &Reply { status, headers: HeaderMap::new(), body: body.to_vec() })
    }

    fn of(code: u16, status: &str, message: &str, details: &Value) -> Fault {
        let error =
            json!({ "code": code, "message": message, "status": status, "details": details });
        refused(code, json!({ "error": error }).to_string().as_bytes())
    }

    fn quota(id: &str, value: &str) -> Value {
        json!([
            {
                "@type": "type.googleapis.com/google.rpc.QuotaFailure",
                "violations": [{ "quotaId": id, "quotaValue": value }],
            },
            { "@type": "type.googleapis.com/google.rpc.Help", "links": [] },
            { "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s" },
        ])
    }

    #[test]
    fn an_error_is_classified_by_its_details() {
        use ErrorClass::*;
        let none = json!([]);
        let bad_key = json!([{ "@type": "…ErrorInfo", "reason": "API_KEY_INVALID" }]);
        let minute = quota("GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "10");
        let day = quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier", "250");
        let nothing = quota("GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "0");
        for (code, status, message, details, class) in [
            (400, "INVALID_ARGUMENT", "API key not valid.", &bad_key, Auth),
            (400, "INVALID_ARGUMENT", "API key expired.", &none, Auth),
            (400, "INVALID_ARGUMENT", "Unknown name \"x\"", &none, BadRequest),
            (400, "INVALID_ARGUMENT", "The input token count (9) exceeds", &none, TooLarge),
            (400, "FAILED_PRECONDITION", "User location is not supported", &none, BadRequest),
            (401, "UNAUTHENTICATED", "x", &none, Auth),
            (403, "PERMISSION_DENIED", "x", &none, Auth),
            (
                403,
                "PERMISSION_DENIED",
                "no access to the File a or it may not exist.",
                &none,
                NotFound,
            ),
            (404, "NOT_FOUND", "models/x is not found", &none, NotFound),
            (429, "RESOURCE_EXHAUSTED", "quota", &minute, RateLimit),
            (429, "RESOURCE_EXHAUSTED", "quota", &none, RateLimit),
            (429, "RESOURCE_EXHAUSTED", "quota", &day, Quota),
            (429, "RESOURCE_EXHAUSTED", "quota", &nothing, Quota),
            (429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted.", &none, Quota),
            (500, "INTERNAL", "x", &none, Server),
            (503, "UNAVAILABLE", "The model is overloaded.", &none, Overloaded),
            (504, "DEADLINE_EXCEEDED", "x", &none, Timeout),
            (413, "SOMETHING_NEW", "x", &none, TooLarge),
        ] {
            let fault = of(code, status, message, details);
            assert_eq!((fault.class, fault.message), (class, format!("{status}: {message}")));
        }
    }

    #[test]
    fn the_wait_is_in_the_body() {
        let fault = of(429, "RESOURCE_EXHAUSTED", "x", &quota("…PerMinute…", "10"));
        assert_eq!(fault.retry_after, Some(Duration::from_millis(34_500)));
        for (text, wait) in [("34s", Some(34)), ("0s", Some(0)), ("-1s", None), ("soon", None)] {
            assert_eq!(delay(text), wait.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn a_list_of_one_error_is_an_error_and_a_page_is_shown() {
        let body = br#"[{"error":{"code":503,"message":"x","status":"UNAVAILABLE"}}]"#;
        let fault = refused(503, body);
        assert_eq!(fault.class, ErrorClass::Overloaded);
        assert_eq!(fault.message, "UNAVAILABLE: x");
        let fault = refused(502, b"<html>Bad Gateway");
        assert_eq!(fault.class, ErrorClass::Server);
        assert_eq!(fault.message, "status 502: <html>Bad Gateway");
    }
}
