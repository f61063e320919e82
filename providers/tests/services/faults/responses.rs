//! What goes wrong with OpenAI's Responses interface.

use flow_core::error::ErrorClass;
use serde_json::{Value, json};

use super::{Case, Spoken, fails, fails_with, hold_with};
use crate::server::Answer;

#[tokio::test]
async fn what_goes_wrong_with_responses_is_told_apart() {
    let spoken = Spoken {
        kind: "openai",
        path: "/v1",
        answer: |text| Answer::json(200, &completed(&said(text)).to_string()),
        stream: |text| {
            stream(&[
                json!({ "type": "response.created", "response": { "status": "in_progress" } }),
                json!({ "type": "response.output_text.delta", "delta": text }),
                json!({ "type": "response.completed", "response": completed(&said(text)) }),
            ])
        },
        start,
        padding: || format!(": {}\n\n", "-".repeat(1000)),
        limited: (
            || {
                let error = json!({ "message": "Rate limit reached", "type": "requests" });
                Answer::json(429, &json!({ "error": error }).to_string())
            },
            "provider `mine`: Rate limit reached",
        ),
        cut: "provider `mine`: the answer cannot be read: EOF while parsing a string at line 1 \
              column 2: {\"",
        html: "provider `mine`: the answer cannot be read: expected value at line 1 column 1: \
               <html>Hello</html>",
        early: "provider `mine`: the stream ended before the answer did",
    };
    let own = [successes(), streams()].into_iter().flatten().collect();
    hold_with(&spoken, &json!({ "api": "responses" }), own).await;
}

fn said(text: &str) -> Value {
    json!([
        { "type": "reasoning", "summary": [] },
        { "type": "message", "content": [{ "type": "output_text", "text": text }] },
    ])
}

fn completed(output: &Value) -> Value {
    let usage = json!({ "input_tokens": 3, "output_tokens": 2 });
    json!({ "status": "completed", "error": null, "output": output, "usage": usage })
}

fn incomplete(reason: &str) -> Value {
    let details = json!({ "reason": reason });
    json!({ "status": "incomplete", "incomplete_details": details, "output": said("A r") })
}

fn refused() -> Value {
    let content = json!([{ "type": "refusal", "refusal": "I can't help" }]);
    completed(&json!([{ "type": "message", "content": content }]))
}

fn failed() -> Value {
    let error = json!({ "code": "server_error", "message": "The model failed" });
    json!({ "status": "failed", "error": error, "output": [] })
}

/// A stream of these events, each named by its type.
fn stream(events: &[Value]) -> Answer {
    let event = |event: &Value| {
        let name = event["type"].as_str().unwrap_or_default();
        format!("event: {name}\ndata: {event}\n\n")
    };
    Answer::events(&events.iter().map(event).collect::<String>())
}

fn start() -> Answer {
    stream(&[json!({ "type": "response.output_text.delta", "delta": "A red" })])
}

/// Successes that are none.
fn successes() -> Vec<Case> {
    use ErrorClass::{ContentFilter, Empty, Refusal, Server, Truncated};
    let case =
        |name, body: Value, told| Case::plain(name, Answer::json(200, &body.to_string()), told);
    let cut = "the answer of model `mine/large` was cut at its limit of tokens";
    vec![
        case("a refusal", refused(), fails(Refusal, "model `mine/large` declined: I can't help")),
        case(
            "a filter",
            incomplete("content_filter"),
            fails(ContentFilter, "the answer of model `mine/large` was withheld: content_filter"),
        ),
        case(
            "a cut answer",
            incomplete("max_output_tokens"),
            fails_with(Truncated, cut, "raise `max_tokens`"),
        ),
        case(
            "no output",
            completed(&json!([])),
            fails(Empty, "model `mine/large` answered nothing"),
        ),
        case("a failure", failed(), fails(Server, "provider `mine`: The model failed")),
        case(
            "a failure without a word",
            json!({ "status": "failed" }),
            fails(Server, "provider `mine`: the response failed"),
        ),
    ]
}

/// Streams that come to no answer.
fn streams() -> Vec<Case> {
    use ErrorClass::{RateLimit, Refusal, Server};
    let case = |name, events: &[Value], told| Case::plain(name, stream(events), told).streaming();
    let limited = json!({ "type": "error", "code": "rate_limit_exceeded", "message": "Slow down" });
    vec![
        case(
            "a refusal in pieces",
            &[json!({ "type": "response.completed", "response": refused() })],
            fails(Refusal, "model `mine/large` declined: I can't help"),
        ),
        case(
            "a failure within a stream",
            &[json!({ "type": "response.failed", "response": failed() })],
            fails(Server, "provider `mine`: The model failed"),
        ),
        case(
            "an error within a stream",
            &[limited],
            fails(RateLimit, "provider `mine`: Slow down"),
        ),
    ]
}
