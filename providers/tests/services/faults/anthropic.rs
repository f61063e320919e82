//! What goes wrong with Anthropic.

use flow_core::error::ErrorClass;
use serde_json::{Value, json};

use super::{Case, Spoken, fails, fails_with, hold};
use crate::server::Answer;

#[tokio::test]
async fn what_goes_wrong_with_anthropic_is_told_apart() {
    let spoken = Spoken {
        kind: "anthropic",
        path: "",
        answer: |text| message(&json!([{ "type": "text", "text": text }]), "end_turn"),
        stream: |text| stream(&[start_event(), text_event(text), end_event("end_turn"), last()]),
        start: || stream(&[start_event(), text_event("A red")]),
        padding: || format!(": {}\n\n", "-".repeat(1000)),
        limited: (
            || error(429, "rate_limit_error", "Slow down", &Value::Null),
            "provider `mine`: rate_limit_error: Slow down",
        ),
        cut: "provider `mine`: the answer cannot be read: EOF while parsing a string at line 1 \
              column 2: {\"",
        html: "provider `mine`: the answer cannot be read: expected value at line 1 column 1: \
               <html>Hello</html>",
        early: "provider `mine`: the stream ended before the answer did",
    };
    let own = [statuses(), successes(), streams()];
    hold(&spoken, own.into_iter().flatten().collect()).await;
}

fn message(content: &Value, reason: &str) -> Answer {
    let usage = json!({ "input_tokens": 3, "output_tokens": 2 });
    let message = json!({
        "type": "message", "role": "assistant", "model": "large", "content": content,
        "stop_reason": reason, "stop_sequence": null, "usage": usage,
    });
    Answer::json(200, &message.to_string())
}

fn error(status: u16, kind: &str, message: &str, code: &Value) -> Answer {
    let mut error = json!({ "type": kind, "message": message });
    if !code.is_null() {
        error["details"] = json!({ "error_code": code });
    }
    let body = json!({ "type": "error", "error": error, "request_id": "r" });
    Answer::json(status, &body.to_string())
}

fn stream(events: &[Value]) -> Answer {
    let event = |event: &Value| {
        let name = event["type"].as_str().expect("an event has a type");
        format!("event: {name}\ndata: {event}\n\n")
    };
    Answer::events(&events.iter().map(event).collect::<String>())
}

fn start_event() -> Value {
    let usage = json!({ "input_tokens": 3, "output_tokens": 1 });
    json!({ "type": "message_start", "message": { "content": [], "usage": usage } })
}

fn text_event(text: &str) -> Value {
    let delta = json!({ "type": "text_delta", "text": text });
    json!({ "type": "content_block_delta", "index": 0, "delta": delta })
}

fn end_event(reason: &str) -> Value {
    let usage = json!({ "output_tokens": 2 });
    json!({ "type": "message_delta", "delta": { "stop_reason": reason }, "usage": usage })
}

fn last() -> Value {
    json!({ "type": "message_stop" })
}

/// Refusals to serve.
fn statuses() -> Vec<Case> {
    use ErrorClass::{
        Auth, BadRequest, NotFound, Overloaded, Quota, RateLimit, Server, Timeout, TooLarge,
    };
    let key = "see `ANTHROPIC_API_KEY`, or `api_key` under `providers: mine:`";
    let money = "see the account's credit and its spend limits";
    let none = Value::Null;
    let said = |name, status, kind: &str, class, hint: Option<&str>| {
        let message = format!("provider `mine`: {kind}: Words");
        let told = match hint {
            Some(hint) => fails_with(class, &message, hint),
            None => fails(class, &message),
        };
        Case::plain(name, error(status, kind, "Words", &none), told)
    };
    vec![
        said("a field that is not taken", 400, "invalid_request_error", BadRequest, None),
        said("a key that is wrong", 401, "authentication_error", Auth, Some(key)),
        said("no credit", 402, "billing_error", Quota, Some(money)),
        said("a key that may not", 403, "permission_error", Auth, Some(key)),
        said("no such model", 404, "not_found_error", NotFound, None),
        said("too large", 413, "request_too_large", TooLarge, None),
        said("500", 500, "api_error", Server, None),
        said("504", 504, "timeout_error", Timeout, None),
        said("529", 529, "overloaded_error", Overloaded, None),
        said("overloaded, whatever the status", 500, "overloaded_error", Overloaded, None),
        Case::plain(
            "a spend limit, which no wait lifts",
            error(429, "rate_limit_error", "Words", &json!("enforced_spend_limit_reached"))
                .with("x-should-retry", "false"),
            fails_with(Quota, "provider `mine`: rate_limit_error: Words", money),
        ),
        Case::plain(
            "no credit, told as a bad request",
            error(400, "invalid_request_error", "Your credit balance is too low", &none),
            fails_with(
                Quota,
                "provider `mine`: invalid_request_error: Your credit balance is too low",
                money,
            ),
        ),
        Case::plain(
            "too much to read",
            error(400, "invalid_request_error", "prompt is too long: 9 tokens > 8", &none),
            fails(
                TooLarge,
                "provider `mine`: invalid_request_error: prompt is too long: 9 tokens > 8",
            ),
        ),
        Case::plain(
            "a key that comes back",
            error(401, "authentication_error", "not key-of-the-tests", &none),
            fails_with(Auth, "provider `mine`: authentication_error: not [secret]", key),
        ),
        Case::plain(
            "413 of somebody in front of the service",
            Answer::new(413, "text/html", "<h1>Too Large</h1>"),
            fails(TooLarge, "provider `mine`: status 413: <h1>Too Large</h1>"),
        ),
        Case::plain(
            "429 without a word",
            Answer::new(429, "text/plain", ""),
            fails(RateLimit, "provider `mine`: status 429 without a reason"),
        ),
        Case::plain(
            "503 of somebody in front of the service",
            Answer::new(503, "text/plain", "busy"),
            fails(Overloaded, "provider `mine`: status 503: busy"),
        ),
        Case::plain(
            "a redirect",
            Answer::new(307, "text/plain", "").with("location", "http://elsewhere/"),
            fails(BadRequest, "provider `mine`: status 307, a redirect to `http://elsewhere/`"),
        ),
    ]
}

/// Successes that are none.
fn successes() -> Vec<Case> {
    use ErrorClass::{Empty, Overloaded, Refusal, Server, Truncated};
    let plain = Case::plain;
    let text = |text: &str| json!([{ "type": "text", "text": text }]);
    let empty = || fails(Empty, "model `mine/large` answered nothing");
    let cut = "the answer of model `mine/large` was cut at its limit of tokens";
    let cut = || fails_with(Truncated, cut, "raise `max_tokens`");
    let thoughts = json!([{ "type": "thinking", "thinking": "Hm.", "signature": "c2ln" }]);
    vec![
        plain(
            "a refusal with words",
            message(&text("I can't help"), "refusal"),
            fails(Refusal, "model `mine/large` declined: I can't help"),
        ),
        plain(
            "a refusal without a word",
            message(&json!([]), "refusal"),
            fails(Refusal, "model `mine/large` declined: without a word"),
        ),
        plain("a cut answer", message(&text("I th"), "max_tokens"), cut()),
        plain("a full context", message(&text("I"), "model_context_window_exceeded"), cut()),
        plain("an empty answer", message(&json!([]), "end_turn"), empty()),
        plain("nothing but thoughts", message(&thoughts, "end_turn"), empty()),
        plain(
            "an empty body",
            Answer::json(200, ""),
            fails(Server, "provider `mine`: the answer is empty"),
        ),
        plain(
            "an error within a success",
            error(200, "overloaded_error", "Overloaded", &Value::Null),
            fails(Overloaded, "provider `mine`: overloaded_error: Overloaded"),
        ),
    ]
}

/// Streams that come to no answer.
fn streams() -> Vec<Case> {
    use ErrorClass::{Empty, Overloaded, Refusal, Server};
    let case = |name, events: &[Value], told| Case::plain(name, stream(events), told).streaming();
    let busy =
        json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Busy" } });
    let mut refused = end_event("refusal");
    refused["delta"]["stop_details"] =
        json!({ "type": "refusal", "category": "bio", "explanation": "It could harm." });
    vec![
        case(
            "an error within a stream",
            &[start_event(), text_event("A"), busy],
            fails(Overloaded, "provider `mine`: overloaded_error: Busy"),
        ),
        case(
            "a refusal in a stream",
            &[start_event(), refused, last()],
            fails(Refusal, "model `mine/large` declined: It could harm. (bio)"),
        ),
        case(
            "an empty stream",
            &[start_event(), end_event("end_turn"), last()],
            fails(Empty, "model `mine/large` answered nothing"),
        ),
        Case::plain(
            "a stream that is garbled",
            Answer::events("data: \"ping\"\n\n"),
            fails(
                Server,
                "provider `mine`: the answer cannot be read: invalid type: string \"ping\", \
                 expected struct Piece at line 1 column 6: \"ping\"",
            ),
        )
        .streaming(),
    ]
}
