//! What goes wrong with Gemini.

use std::time::Duration;

use flow_core::error::ErrorClass;
use serde_json::{Value, json};

use super::{Case, Fails, Spoken, fails, fails_with, hold};
use crate::server::Answer;

#[tokio::test]
async fn what_goes_wrong_with_gemini_is_told_apart() {
    let spoken = Spoken {
        kind: "gemini",
        path: "/v1beta",
        answer: |text| Answer::json(200, &candidate(text, "STOP").to_string()),
        // Lines end as they do there.
        stream: |text| stream(&[piece(text), candidate("", "STOP")]),
        start: || stream(&[piece("A red")]),
        padding: || format!(": {}\n\n", "-".repeat(1000)),
        limited: (
            || error(429, "RESOURCE_EXHAUSTED", "Slow down", &json!([])),
            "provider `mine`: RESOURCE_EXHAUSTED: Slow down",
        ),
        cut: "provider `mine`: the answer cannot be read: EOF while parsing a string at line 1 \
              column 2: {\"",
        html: "provider `mine`: the answer cannot be read: expected value at line 1 column 1: \
               <html>Hello</html>",
        early: "provider `mine`: the stream ended before the answer did",
    };
    let own = [statuses(), quotas(), successes(), streams()];
    hold(&spoken, own.into_iter().flatten().collect()).await;
}

fn piece(text: &str) -> Value {
    json!({ "candidates": [{ "content": { "role": "model", "parts": [{ "text": text }] } }] })
}

fn candidate(text: &str, reason: &str) -> Value {
    let mut answer = piece(text);
    answer["candidates"][0]["finishReason"] = json!(reason);
    answer["usageMetadata"] = json!({ "promptTokenCount": 3, "candidatesTokenCount": 2 });
    answer
}

fn error(status: u16, word: &str, message: &str, details: &Value) -> Answer {
    let error = json!({ "code": status, "message": message, "status": word, "details": details });
    Answer::json(status, &json!({ "error": error }).to_string())
}

fn stream(pieces: &[Value]) -> Answer {
    let pieces: Vec<_> = pieces.iter().map(|piece| format!("data: {piece}\r\n\r\n")).collect();
    Answer::events(&pieces.concat())
}

/// Refusals to serve.
fn statuses() -> Vec<Case> {
    use ErrorClass::{Auth, BadRequest, NotFound, Overloaded, Server, Timeout, TooLarge};
    let key = "see `GEMINI_API_KEY`, or `api_key` under `providers: mine:`";
    let kept = "files are kept for 48 hours, and for one project";
    let said = |name, status, word: &str, message: &str, class, hint: Option<&str>| {
        let told = format!("provider `mine`: {word}: {message}");
        let told = match hint {
            Some(hint) => fails_with(class, &told, hint),
            None => fails(class, &told),
        };
        Case::plain(name, error(status, word, message, &json!([])), told)
    };
    let bad_key = json!([{
        "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID",
    }]);
    vec![
        Case::plain(
            "a key that is wrong",
            error(400, "INVALID_ARGUMENT", "Not key-of-the-tests", &bad_key),
            fails_with(Auth, "provider `mine`: INVALID_ARGUMENT: Not [secret]", key),
        ),
        said("a field that is not taken", 400, "INVALID_ARGUMENT", "No", BadRequest, None),
        said(
            "too much to read",
            400,
            "INVALID_ARGUMENT",
            "The input token count (9) exceeds the maximum",
            TooLarge,
            None,
        ),
        said("no key", 401, "UNAUTHENTICATED", "Words", Auth, Some(key)),
        said("a key that may not", 403, "PERMISSION_DENIED", "Words", Auth, Some(key)),
        said(
            "a file that has expired",
            403,
            "PERMISSION_DENIED",
            "You do not have permission to access the File a or it may not exist.",
            NotFound,
            Some(kept),
        ),
        said("no such model", 404, "NOT_FOUND", "Words", NotFound, None),
        said("500", 500, "INTERNAL", "Words", Server, None),
        said("503", 503, "UNAVAILABLE", "Words", Overloaded, None),
        said("504", 504, "DEADLINE_EXCEEDED", "Words", Timeout, None),
        Case::plain(
            "413 of somebody in front of the service",
            Answer::new(413, "text/html", "<h1>Too Large</h1>"),
            fails(TooLarge, "provider `mine`: status 413: <h1>Too Large</h1>"),
        ),
        Case::plain(
            "a list of one error",
            Answer::json(
                503,
                r#"[{"error":{"code":503,"message":"Busy","status":"UNAVAILABLE"}}]"#,
            ),
            fails(Overloaded, "provider `mine`: UNAVAILABLE: Busy"),
        ),
    ]
}

/// What is exhausted, and for how long.
fn quotas() -> Vec<Case> {
    let details = |id: &str, value: &str| {
        json!([
            {
                "@type": "type.googleapis.com/google.rpc.QuotaFailure",
                "violations": [{ "quotaId": id, "quotaValue": value }],
            },
            { "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s" },
        ])
    };
    let case = |name, id: &str, value: &str, class, hint: Option<&str>| {
        let told = Fails {
            class,
            message: "provider `mine`: RESOURCE_EXHAUSTED: Words".into(),
            hint: hint.map(str::to_owned),
            retry_after: Some(Duration::from_millis(34_500)),
        };
        // The body is finer than the header field.
        let answer = error(429, "RESOURCE_EXHAUSTED", "Words", &details(id, value));
        Case::plain(name, answer.with("retry-after", "60"), Err(told))
    };
    let plan = Some("see the project's plan and its quotas");
    let minute = "GenerateRequestsPerMinutePerProjectPerModel";
    let day = "GenerateRequestsPerDayPerProjectPerModel-FreeTier";
    vec![
        case("a minute's quota", minute, "10", ErrorClass::RateLimit, None),
        case("a day's quota", day, "250", ErrorClass::Quota, plan),
        case("a quota of nothing", minute, "0", ErrorClass::Quota, plan),
    ]
}

/// Successes that are none.
fn successes() -> Vec<Case> {
    use ErrorClass::{ContentFilter, Empty, Server, Truncated};
    let case =
        |name, body: &Value, told| Case::plain(name, Answer::json(200, &body.to_string()), told);
    let empty = || fails(Empty, "model `mine/large` answered nothing");
    let withheld = |why: &str| {
        fails(ContentFilter, &format!("the answer of model `mine/large` was withheld: {why}"))
    };
    let cut = "the answer of model `mine/large` was cut at its limit of tokens";
    let cut = || fails_with(Truncated, cut, "raise `max_tokens`");
    let mut thoughts = candidate("Hm.", "STOP");
    thoughts["candidates"][0]["content"]["parts"][0]["thought"] = json!(true);
    vec![
        case(
            "a prompt that is blocked",
            &json!({ "promptFeedback": { "blockReason": "PROHIBITED_CONTENT" } }),
            withheld("the prompt was blocked: PROHIBITED_CONTENT"),
        ),
        case("an answer that is blocked", &candidate("I", "SAFETY"), withheld("SAFETY")),
        case("a recitation", &candidate("To be", "RECITATION"), withheld("RECITATION")),
        case("a cut answer", &candidate("I th", "MAX_TOKENS"), cut()),
        case("an answer that could go on", &candidate("I th", "CONTINUATION"), cut()),
        case("an empty answer", &candidate("", "STOP"), empty()),
        case("nothing but thoughts", &thoughts, empty()),
        case("no candidates", &json!({}), empty()),
        Case::plain(
            "an empty body",
            Answer::json(200, ""),
            fails(Server, "provider `mine`: the answer is empty"),
        ),
        Case::plain(
            "an error within a success",
            error(200, "INTERNAL", "Words", &json!([])),
            fails(Server, "provider `mine`: INTERNAL: Words"),
        ),
    ]
}

/// Streams that come to no answer.
fn streams() -> Vec<Case> {
    use ErrorClass::{ContentFilter, Overloaded, Truncated};
    let case = |name, pieces: &[Value], told| Case::plain(name, stream(pieces), told).streaming();
    let busy = json!({ "error": { "code": 503, "message": "Busy", "status": "UNAVAILABLE" } });
    vec![
        case(
            "an error within a stream",
            &[piece("A"), busy],
            fails(Overloaded, "provider `mine`: UNAVAILABLE: Busy"),
        ),
        case(
            "a prompt that is blocked in a stream",
            &[json!({ "promptFeedback": { "blockReason": "SAFETY" } })],
            fails(
                ContentFilter,
                "the answer of model `mine/large` was withheld: the prompt was blocked: SAFETY",
            ),
        ),
        case(
            "a stream that is cut",
            &[piece("A"), candidate(" red", "MAX_TOKENS")],
            fails_with(
                Truncated,
                "the answer of model `mine/large` was cut at its limit of tokens",
                "raise `max_tokens`",
            ),
        ),
    ]
}
