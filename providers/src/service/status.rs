//! What a status alone says, for answers whose body says nothing more.
//!
//! A service in front of the service (a proxy, a gateway) answers with pages of its own, so
//! that every dialect needs this for the bodies that are not in its words. Where the body is,
//! it decides, for one status stands for several things.

use flow_core::error::ErrorClass;

use super::Fault;

/// The most characters of a body that are shown.
const SHOWN: usize = 300;

/// The class of a status that is no success.
pub(crate) fn class_of_status(status: u16) -> ErrorClass {
    match status {
        401 | 403 => ErrorClass::Auth,
        402 => ErrorClass::Quota,
        404 | 410 => ErrorClass::NotFound,
        408 | 504 => ErrorClass::Timeout,
        413 => ErrorClass::TooLarge,
        429 => ErrorClass::RateLimit,
        503 | 529 => ErrorClass::Overloaded,
        // The services' own libraries try again after a conflict as after a failure.
        409 | 500..=599 => ErrorClass::Server,
        _ => ErrorClass::BadRequest,
    }
}

/// The fault of an answer whose body is not in the service's words.
pub(crate) fn fault_of_status(status: u16, body: &[u8]) -> Fault {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * SHOWN)]);
    let text: Vec<_> = text.split_whitespace().collect();
    let text: String = text.join(" ").chars().take(SHOWN).collect();
    let text = if text.is_empty() { "no reason".to_owned() } else { text };
    Fault::new(class_of_status(status), format!("status {status}: {text}"))
}

/// The fault of a body that should be an answer and cannot be read as one.
pub(crate) fn unreadable(error: &serde_json::Error) -> Fault {
    Fault::new(ErrorClass::Server, format!("its answer cannot be read: {error}"))
}

/// The fault of a stream that ended before its last word.
pub(crate) fn cut_short() -> Fault {
    Fault::new(ErrorClass::Connection, "its answer ended in the middle")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_somebody_else_is_shown_in_one_line() {
        let page = format!("<html>\r\n  <h1>Bad\tGateway</h1>{}", "x".repeat(10_000));
        let fault = fault_of_status(502, page.as_bytes());
        assert_eq!(fault.class, ErrorClass::Server);
        assert!(fault.message.starts_with("status 502: <html> <h1>Bad Gateway</h1>xxx"));
        assert_eq!(fault.message.chars().count(), "status 502: ".len() + SHOWN);
        assert_eq!(fault_of_status(413, b" ").message, "status 413: no reason");
    }
}
