//! What goes wrong with OpenAI, and with the servers that speak its protocol.

use std::path::Path;

use flow_core::error::ErrorClass;
use serde_json::{Value, json};

use super::{Case, Spoken, fails, fails_with, hold};
use crate::asking::Asking;
use crate::server::{Answer, Server};

#[tokio::test]
async fn what_goes_wrong_with_chat_completions_is_told_apart() {
    let spoken = Spoken {
        kind: "openai",
        path: "/v1",
        answer: |text| completion(&json!({ "content": text }), "stop"),
        stream: |text| {
            stream(&[
                json!({ "choices": [{ "delta": { "content": text } }] }),
                json!({ "choices": [{ "delta": {}, "finish_reason": "stop" }] }),
                json!({ "choices": [], "usage": { "prompt_tokens": 1, "completion_tokens": 1 } }),
            ])
        },
        start,
        padding: || format!(": {}\n\n", "-".repeat(1000)),
        limited: (
            || error(429, "Rate limit reached", "requests", json!("rate_limit_exceeded")),
            "provider `mine`: Rate limit reached",
        ),
        cut: "provider `mine`: the answer cannot be read: EOF while parsing a string at line 1 \
              column 2: {\"",
        html: "provider `mine`: the answer cannot be read: expected value at line 1 column 1: \
               <html>Hello</html>",
        early: "provider `mine`: the stream ended before the answer did",
    };
    let own = [statuses(), servers(), successes(), streams()];
    hold(&spoken, own.into_iter().flatten().collect()).await;
}

fn completion(message: &Value, reason: &str) -> Answer {
    let choice = json!({ "index": 0, "message": message, "finish_reason": reason });
    let usage = json!({ "prompt_tokens": 3, "completion_tokens": 2 });
    Answer::json(200, &json!({ "choices": [choice], "usage": usage }).to_string())
}

fn error(status: u16, message: &str, kind: &str, code: Value) -> Answer {
    let mut error = json!({ "message": message, "type": kind, "param": null });
    error["code"] = code;
    Answer::json(status, &json!({ "error": error }).to_string())
}

/// A stream of these chunks, and of its last word.
fn stream(chunks: &[Value]) -> Answer {
    let chunks = chunks.iter().map(Value::to_string).chain(["[DONE]".to_owned()]);
    let events: Vec<_> = chunks.map(|chunk| format!("data: {chunk}\n\n")).collect();
    Answer::events(&events.concat())
}

fn start() -> Answer {
    Answer::events("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"A red\"}}]}\n\n")
}

/// OpenAI's own refusals to serve.
fn statuses() -> Vec<Case> {
    use ErrorClass::{
        Auth, BadRequest, ContentFilter, NotFound, Overloaded, Quota, RateLimit, Server, TooLarge,
    };
    let billing = "see the plan and the billing of the account";
    let key = "see `OPENAI_API_KEY`, or `api_key` under `providers: mine:`";
    let null = Value::Null;
    let quota =
        || error(429, "You exceeded your quota", "insufficient_quota", json!("insufficient_quota"));
    let plain = Case::plain;
    vec![
        plain(
            "no quota is left",
            quota(),
            fails_with(Quota, "provider `mine`: You exceeded your quota", billing),
        ),
        plain(
            "no quota is left, though a wait is named",
            error(
                429,
                "Your account is not active",
                "billing_not_active",
                json!("billing_not_active"),
            ),
            fails_with(Quota, "provider `mine`: Your account is not active", billing),
        ),
        plain(
            "a limit that will not be lifted",
            error(429, "Later", "requests", null.clone()).with("x-should-retry", "false"),
            fails(Quota, "provider `mine`: Later"),
        ),
        plain(
            "more tokens than a minute has",
            error(429, "Request too large for gpt-4o", "tokens", json!("rate_limit_exceeded")),
            fails(TooLarge, "provider `mine`: Request too large for gpt-4o"),
        ),
        plain(
            "429 without a word",
            Answer::new(429, "text/plain", ""),
            fails(RateLimit, "provider `mine`: status 429 without a reason"),
        ),
        plain(
            "a key that is wrong",
            error(401, "Incorrect API key", "invalid_request_error", json!("invalid_api_key")),
            fails_with(Auth, "provider `mine`: Incorrect API key", key),
        ),
        plain(
            "a key that may not",
            error(403, "Not for you", "invalid_request_error", null.clone()),
            fails_with(Auth, "provider `mine`: Not for you", key),
        ),
        plain(
            "a key that comes back",
            error(
                401,
                "Incorrect API key provided: key-of-the-tests",
                "invalid_request_error",
                json!("invalid_api_key"),
            ),
            fails_with(Auth, "provider `mine`: Incorrect API key provided: [secret]", key),
        ),
        plain(
            "no such model",
            error(
                404,
                "The model `large` does not exist",
                "invalid_request_error",
                json!("model_not_found"),
            ),
            fails(NotFound, "provider `mine`: The model `large` does not exist"),
        ),
        plain(
            "too much to read",
            error(
                400,
                "This model's maximum context length is 8 tokens",
                "invalid_request_error",
                json!("context_length_exceeded"),
            ),
            fails(TooLarge, "provider `mine`: This model's maximum context length is 8 tokens"),
        ),
        plain(
            "a request that is filtered",
            error(
                400,
                "Rejected by the safety system",
                "invalid_request_error",
                json!("content_policy_violation"),
            ),
            fails(ContentFilter, "provider `mine`: Rejected by the safety system"),
        ),
        plain(
            "413",
            Answer::new(413, "text/html", "<h1>Request Entity Too Large</h1>"),
            fails(TooLarge, "provider `mine`: status 413: <h1>Request Entity Too Large</h1>"),
        ),
        plain(
            "500",
            error(500, "The server had an error", "server_error", null.clone()),
            fails(Server, "provider `mine`: The server had an error"),
        ),
        plain(
            "500 that a library would not ask again",
            error(500, "No", "internal", null.clone()).with("x-should-retry", "false"),
            fails(BadRequest, "provider `mine`: No"),
        ),
        plain(
            "400 that a library would ask again",
            error(400, "Not now", "invalid_request_error", null.clone())
                .with("x-should-retry", "true"),
            fails(Server, "provider `mine`: Not now"),
        ),
        plain(
            "503",
            error(503, "The engine is overloaded", "server_error", json!("server_is_overloaded")),
            fails(Overloaded, "provider `mine`: The engine is overloaded"),
        ),
        plain(
            "529",
            Answer::new(529, "text/plain", "busy"),
            fails(Overloaded, "provider `mine`: status 529: busy"),
        ),
        plain(
            "a gateway that waited",
            Answer::new(504, "text/html", "<b>Gateway</b>\n<i>Timeout</i>"),
            fails(
                ErrorClass::Timeout,
                "provider `mine`: status 504: <b>Gateway</b> <i>Timeout</i>",
            ),
        ),
        plain(
            "a redirect",
            Answer::new(307, "text/plain", "").with("location", "http://elsewhere/"),
            fails(BadRequest, "provider `mine`: status 307, a redirect to `http://elsewhere/`"),
        ),
    ]
}

/// Refusals of other servers that speak the protocol.
fn servers() -> Vec<Case> {
    use ErrorClass::{BadRequest, Overloaded, Server, TooLarge};
    let sees = "name a model that sees, or start the server with its projector (`--mmproj`)";
    let plain = Case::plain;
    let llama = |status: u16, message, kind| error(status, message, kind, json!(status));
    vec![
        plain(
            "llama-server without a projector",
            llama(500, "image input is not supported - hint: provide the mmproj", "server_error"),
            fails_with(
                BadRequest,
                "provider `mine`: image input is not supported - hint: provide the mmproj",
                sees,
            ),
        ),
        plain(
            "llama-server that still loads",
            llama(503, "Loading model", "unavailable_error"),
            fails(Overloaded, "provider `mine`: Loading model"),
        ),
        plain(
            "llama-server whose context is full",
            llama(400, "the request exceeds the context", "exceed_context_size_error"),
            fails(TooLarge, "provider `mine`: the request exceeds the context"),
        ),
        plain(
            "an error that is a text",
            Answer::json(400, r#"{"error":"no such field"}"#),
            fails(BadRequest, "provider `mine`: no such field"),
        ),
        plain(
            "an error that is bare",
            Answer::json(400, r#"{"object":"error","message":"bad","type":"X","code":400}"#),
            fails(BadRequest, "provider `mine`: bad"),
        ),
        plain(
            "an error that is a list of details",
            Answer::json(422, r#"{"detail":[{"loc":["body"]}]}"#),
            fails(BadRequest, "provider `mine`: [{\"loc\":[\"body\"]}]"),
        ),
        plain(
            "an error that says nothing",
            Answer::json(500, "{}"),
            fails(Server, "provider `mine`: status 500 without a reason"),
        ),
    ]
}

/// Successes that are none.
fn successes() -> Vec<Case> {
    use ErrorClass::{ContentFilter, Empty, Refusal, Server, Truncated};
    let plain = Case::plain;
    let empty = || fails(Empty, "model `mine/large` answered nothing");
    let cut = "the answer of model `mine/large` was cut at its limit of tokens";
    let gateway = r#"{"error":{"message":"Provider returned error","code":502}}"#;
    vec![
        plain(
            "a refusal",
            completion(&json!({ "content": null, "refusal": "I can't help" }), "stop"),
            fails(Refusal, "model `mine/large` declined: I can't help"),
        ),
        plain(
            "a filter",
            completion(&json!({ "content": "I" }), "content_filter"),
            fails(ContentFilter, "the answer of model `mine/large` was withheld: content_filter"),
        ),
        plain(
            "a cut answer",
            completion(&json!({ "content": "I th" }), "length"),
            fails_with(Truncated, cut, "raise `max_tokens`"),
        ),
        plain("an empty answer", completion(&json!({ "content": "" }), "stop"), empty()),
        plain("an answer without content", completion(&json!({}), "stop"), empty()),
        plain("no choices", Answer::json(200, r#"{"choices":[]}"#), empty()),
        plain(
            "an empty body",
            Answer::json(200, ""),
            fails(Server, "provider `mine`: the answer is empty"),
        ),
        plain(
            "an error within a success",
            Answer::json(200, gateway),
            fails(Server, "provider `mine`: Provider returned error"),
        ),
    ]
}

/// Streams that come to no answer.
fn streams() -> Vec<Case> {
    use ErrorClass::{Empty, Overloaded, Refusal, Server};
    let case = |name, events: &[Value], told| Case::plain(name, stream(events), told).streaming();
    let word = json!({ "choices": [{ "delta": { "content": "A red" } }] });
    let refused = |words: &str| json!({ "choices": [{ "delta": { "refusal": words } }] });
    let failed = json!({ "error": { "message": "The server failed", "type": "server_error" } });
    let busy = json!({ "error": { "message": "Busy", "code": 529 } });
    vec![
        case(
            "a refusal in pieces",
            &[refused("I "), refused("won't")],
            fails(Refusal, "model `mine/large` declined: I won't"),
        ),
        case("an empty stream", &[], fails(Empty, "model `mine/large` answered nothing")),
        case(
            "an error within a stream",
            &[word.clone(), failed],
            fails(Server, "provider `mine`: The server failed"),
        ),
        case(
            "an error with a code within a stream",
            &[word, busy],
            fails(Overloaded, "provider `mine`: Busy"),
        ),
        case(
            "a stream that is garbled",
            &[json!("choices")],
            fails(
                Server,
                "provider `mine`: the answer cannot be read: invalid type: string \"choices\", \
                 expected struct Completion at line 1 column 9: \"choices\"",
            ),
        ),
    ]
}

#[tokio::test]
async fn what_the_protocol_cannot_say_is_told_before_anything_is_sent() {
    let url = "https://example.com/a.pdf";
    let (chat, responses) = (json!({}), json!({ "api": "responses" }));
    for (settings, input, message, hint) in [
        (
            &chat,
            json!({ "document": url, "prompt": "x" }),
            "model `mine/large` takes no document by its URL in chat completions",
            "set `api: responses`, or give the file itself",
        ),
        (
            &chat,
            json!({ "image": { "file_id": "file-1" }, "prompt": "x" }),
            "model `mine/large` takes no uploaded image in chat completions",
            "set `api: responses`",
        ),
        (
            &responses,
            json!({ "prompt": "x", "stop": ["END"] }),
            "model `mine/large` takes no stop texts in the Responses interface",
            "set `api: chat`",
        ),
        (
            &responses,
            json!({ "prompt": "x", "seed": 7 }),
            "model `mine/large` takes no seed in the Responses interface",
            "set `api: chat`",
        ),
        (
            &json!({ "api": "completions" }),
            json!({ "prompt": "x" }),
            "provider `mine`: `api: completions` is not spoken",
            "it is `chat` or `responses`",
        ),
    ] {
        let mut settings = settings.clone();
        settings["base_url"] = json!(format!("{}/v1", Server::nowhere()));
        let asking = Asking::new("openai", &settings, "large").await;
        let failure = asking.ask(&input, Path::new("")).await.expect_err("it is refused");
        assert_eq!((failure.message.as_str(), failure.hint.as_deref()), (message, Some(hint)));
    }
}
