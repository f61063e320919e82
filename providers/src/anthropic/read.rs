//! Reading an answer, and what went wrong.

use flow_core::error::ErrorClass;
use serde_json::Value;

use super::schema::answer_of;
use super::wire::{Answer, Error, Given, Models, Refusal, StopDetails, Usage};
use crate::http::Reply;
use crate::service::{
    Fault, Finish, Listed, Tokens, Told, class_of_status, fault_of_status, heeding_should_retry,
    parse,
};

/// Reads an answer that came whole.
pub(super) fn answer(body: &[u8]) -> Result<Told, Fault> {
    let answer: Answer = parse(body)?;
    match answer.error {
        Some(error) => Err(fault(error, None)),
        None => Ok(told(answer)),
    }
}

/// What an answer said, whether it came whole or was put together.
pub(super) fn told(answer: Answer) -> Told {
    let mut text: String = answer
        .content
        .iter()
        .filter(|given| given.kind == "text")
        .map(|given| &*given.text)
        .collect();
    if let Some(call) = answer.content.into_iter().find(|given| given.kind == "tool_use") {
        text = called(call);
    }
    let finish = finish(answer.stop_reason.as_deref(), answer.stop_details, &text);
    Told { text, finish, tokens: tokens(&answer.usage), model: answer.model }
}

/// What a tool was called with; the text of it as it came where it is no JSON.
fn called(call: Given) -> String {
    match answer_of(&call.name, call.input) {
        Value::String(text) if !call.text.is_empty() => text,
        answer => answer.to_string(),
    }
}

fn finish(reason: Option<&str>, details: Option<StopDetails>, text: &str) -> Finish {
    match reason {
        None | Some("end_turn" | "stop_sequence" | "tool_use") => Finish::Stop,
        Some("max_tokens" | "model_context_window_exceeded") => Finish::Length,
        Some("refusal") => {
            let details = details.unwrap_or_default();
            let words = details.explanation.unwrap_or_else(|| text.trim().to_owned());
            Finish::Refused(match details.category {
                Some(category) if words.is_empty() => category,
                Some(category) => format!("{words} ({category})"),
                None => words,
            })
        }
        Some(other) => Finish::Other(other.to_owned()),
    }
}

/// The tokens of an answer. What was read from and written into the cache is counted apart by
/// the service, and is part of the input.
pub(super) fn tokens(usage: &Usage) -> Tokens {
    let cache_read = usage.cache_read_input_tokens.unwrap_or(0);
    let cache_write = usage.cache_creation_input_tokens.unwrap_or(0);
    let input = usage.input_tokens;
    Tokens {
        input: input.map(|input| input.saturating_add(cache_read).saturating_add(cache_write)),
        cache_read,
        cache_write,
        output: usage.output_tokens,
        reasoning: usage.output_tokens_details.unwrap_or_default().thinking_tokens,
    }
}

/// Classifies an answer of the provider of this name whose status is no success.
pub(super) fn refusal(provider: &str, reply: &Reply) -> Fault {
    let fault = match serde_json::from_slice::<Refusal>(&reply.body) {
        Ok(Refusal { error }) => fault(error, Some(reply.status)),
        // A request that is too large is turned down before it reaches the service proper.
        Err(_) => fault_of_status(reply),
    };
    let fault = heeding_should_retry(fault, reply);
    match fault.class {
        ErrorClass::Auth => fault.with_hint(format!(
            "see `ANTHROPIC_API_KEY`, or `api_key` under `providers: {provider}:`"
        )),
        ErrorClass::Quota => fault.with_hint("see the account's credit and its spend limits"),
        _ => fault,
    }
}

/// Classifies an error by what the service says, then by the status, which an error within a
/// success does not have.
pub(super) fn fault(error: Error, status: Option<u16>) -> Fault {
    let Error { kind, message, details } = error;
    let code = details.and_then(|details| details.error_code).unwrap_or_default();
    let class = class(&kind, &code, &message, status);
    let said = match (kind.is_empty(), message.is_empty()) {
        (true, true) => "no reason".to_owned(),
        (true, false) => message,
        (false, true) => kind,
        (false, false) => format!("{kind}: {message}"),
    };
    Fault::new(class, said)
}

fn class(kind: &str, code: &str, message: &str, status: Option<u16>) -> ErrorClass {
    // A limit of money is told as a rate limit or as a bad request, and waiting does not help.
    if code.ends_with("spend_limit_reached") || message.contains("credit balance") {
        return ErrorClass::Quota;
    }
    match (kind, code) {
        (_, "storage_quota_exceeded") => ErrorClass::Quota,
        (_, "file_expired") => ErrorClass::NotFound,
        (_, "image_dimensions_too_large" | "request_body_too_large_after_decoding")
        | ("request_too_large", _) => ErrorClass::TooLarge,
        ("invalid_request_error", _) if message.starts_with("prompt is too long") => {
            ErrorClass::TooLarge
        }
        ("invalid_request_error", _) => ErrorClass::BadRequest,
        ("authentication_error" | "permission_error", _) => ErrorClass::Auth,
        ("billing_error", _) => ErrorClass::Quota,
        ("not_found_error", _) => ErrorClass::NotFound,
        ("rate_limit_error", _) => ErrorClass::RateLimit,
        ("timeout_error", _) => ErrorClass::Timeout,
        ("overloaded_error", _) => ErrorClass::Overloaded,
        ("api_error", _) => ErrorClass::Server,
        _ => status.map_or(ErrorClass::Server, class_of_status),
    }
}

/// Reads the models there are.
pub(super) fn models(body: &[u8]) -> Result<Listed, Fault> {
    let models: Models = parse(body)?;
    Ok(Listed {
        models: models.data.into_iter().map(|model| model.id).collect(),
        next: models.last_id.filter(|_| models.has_more),
    })
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;
    use serde_json::json;

    use super::*;

    fn refused(status: u16, body: &[u8]) -> Fault {
        refusal("mine", &Reply { status, headers: HeaderMap::new(), body: body.to_vec() })
    }

    fn read(content: &Value, stop: &str) -> Told {
        let body = json!({
            "type": "message", "role": "assistant", "model": "m", "content": content,
            "stop_reason": stop, "stop_details": null,
            "usage": {
                "input_tokens": 1600, "cache_creation_input_tokens": 40,
                "cache_read_input_tokens": 512, "output_tokens": 9,
                "output_tokens_details": { "thinking_tokens": 4 },
            },
        });
        answer(body.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn an_answer_is_its_texts_and_the_input_is_all_that_was_read() {
        let content = json!([
            { "type": "thinking", "thinking": "…", "signature": "c2ln" },
            { "type": "text", "text": "A red" },
            { "type": "text", "text": " square." },
        ]);
        let tokens = Tokens {
            input: Some(2152),
            cache_read: 512,
            cache_write: 40,
            output: Some(9),
            reasoning: 4,
        };
        let told = Told {
            text: "A red square.".into(),
            finish: Finish::Stop,
            tokens,
            model: Some("m".into()),
        };
        assert_eq!(read(&content, "end_turn"), told);
    }

    #[test]
    fn a_tool_that_was_called_is_the_answer() {
        let call = |name: &str, input: Value| {
            let content = json!([
                { "type": "text", "text": "I shall." },
                { "type": "tool_use", "id": "t", "name": name, "input": input },
            ]);
            read(&content, "tool_use").text
        };
        assert_eq!(call("answer", json!({ "b": 1, "a": 2 })), r#"{"b":1,"a":2}"#);
        assert_eq!(call("answer_value", json!({ "value": ["x"] })), r#"["x"]"#);
        assert_eq!(call("answer_value", json!({ "value": "x" })), r#""x""#);
        assert_eq!(call("record", json!({ "value": 1 })), r#"{"value":1}"#);
    }

    #[test]
    fn every_reason_to_stop_is_told_apart() {
        for (reason, expected) in [
            ("end_turn", Finish::Stop),
            ("stop_sequence", Finish::Stop),
            ("max_tokens", Finish::Length),
            ("model_context_window_exceeded", Finish::Length),
            ("refusal", Finish::Refused("No.".into())),
            ("pause_turn", Finish::Other("pause_turn".into())),
        ] {
            assert_eq!(read(&json!([{ "type": "text", "text": "No." }]), reason).finish, expected);
        }
    }

    #[test]
    fn a_refusal_carries_what_is_said_of_it() {
        for (details, words) in [
            (
                json!({ "category": "cyber", "explanation": "It could harm." }),
                "It could harm. (cyber)",
            ),
            (json!({ "category": "cyber", "explanation": null }), "cyber"),
            (json!({ "category": null, "explanation": "It could harm." }), "It could harm."),
            (json!(null), ""),
        ] {
            let body = json!({ "content": [], "stop_reason": "refusal", "stop_details": details });
            let told = answer(body.to_string().as_bytes()).unwrap();
            assert_eq!(told.finish, Finish::Refused(words.into()));
        }
    }

    #[test]
    fn an_error_is_classified_by_what_is_said_and_not_by_its_status() {
        use ErrorClass::*;
        for (status, kind, message, code, class) in [
            (400, "invalid_request_error", "temperature: Extra inputs", None, BadRequest),
            (400, "invalid_request_error", "prompt is too long: 9 tokens > 8", None, TooLarge),
            (400, "invalid_request_error", "Your credit balance is too low", None, Quota),
            (400, "invalid_request_error", "x", Some("image_dimensions_too_large"), TooLarge),
            (401, "authentication_error", "invalid x-api-key", None, Auth),
            (402, "billing_error", "x", None, Quota),
            (403, "permission_error", "x", None, Auth),
            (404, "not_found_error", "model: x", None, NotFound),
            (413, "request_too_large", "x", None, TooLarge),
            (429, "rate_limit_error", "x", None, RateLimit),
            (429, "rate_limit_error", "x", Some("ramp_limit_exceeded"), RateLimit),
            (429, "rate_limit_error", "x", Some("enforced_spend_limit_reached"), Quota),
            (429, "rate_limit_error", "x", Some("contract_spend_limit_reached"), Quota),
            (500, "api_error", "x", None, Server),
            (504, "timeout_error", "x", None, Timeout),
            (529, "overloaded_error", "Overloaded", None, Overloaded),
            // Of a kind that is yet to be invented, the status is all there is.
            (529, "flood_error", "x", None, Overloaded),
            (422, "flood_error", "x", None, BadRequest),
        ] {
            let details = code.map(|code| json!({ "error_code": code }));
            let body = json!({
                "type": "error", "request_id": "r",
                "error": { "type": kind, "message": message, "details": details },
            });
            let fault = refused(status, body.to_string().as_bytes());
            assert_eq!(
                (fault.class, fault.message),
                (class, format!("{kind}: {message}")),
                "{code:?}"
            );
        }
    }

    #[test]
    fn a_body_that_is_none_of_the_services_is_shown() {
        let fault = refused(413, b"<h1>413 Request Entity Too Large</h1>");
        assert_eq!(fault.class, ErrorClass::TooLarge);
        assert_eq!(fault.message, "status 413: <h1>413 Request Entity Too Large</h1>");
    }

    #[test]
    fn an_error_within_a_success_is_an_error() {
        let body =
            br#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
        assert_eq!(answer(body).unwrap_err().class, ErrorClass::Overloaded);
        let fault = answer(b"{\"content\": [").unwrap_err();
        assert_eq!(fault.class, ErrorClass::Server);
        assert_eq!(
            fault.message,
            "the answer cannot be read: EOF while parsing a list at line 1 column 13: {\"content\": ["
        );
    }

    #[test]
    fn a_list_goes_on_where_there_is_more() {
        let page = br#"{"data":[{"id":"a"},{"id":"b"}],"has_more":true,"last_id":"b"}"#;
        let listed = Listed { models: vec!["a".into(), "b".into()], next: Some("b".into()) };
        assert_eq!(models(page).unwrap(), listed);
        let last = br#"{"data":[{"id":"c"}],"has_more":false,"last_id":"c"}"#;
        assert_eq!(models(last).unwrap().next, None);
    }
}
