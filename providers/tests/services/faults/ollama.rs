//! What goes wrong with Ollama.

use flow_core::error::ErrorClass;
use serde_json::{Value, json};

use super::{Case, Spoken, fails, fails_with, hold};
use crate::server::Answer;

#[tokio::test]
async fn what_goes_wrong_with_ollama_is_told_apart() {
    let spoken = Spoken {
        kind: "ollama",
        path: "",
        answer: |text| answer(text, "stop"),
        stream: |text| {
            lines(&[
                json!({ "message": { "role": "assistant", "content": text }, "done": false }),
                json!({ "message": { "content": "" }, "done": true, "done_reason": "stop" }),
            ])
        },
        start,
        padding: || {
            let line = json!({ "message": { "content": "" }, "pad": "-".repeat(960) });
            format!("{line}\n")
        },
        limited: (|| error(429, "too many requests"), "provider `mine`: too many requests"),
        cut: "provider `mine`: the answer cannot be read: EOF while parsing a string at line 1 \
              column 2: {\"",
        html: "provider `mine`: the answer cannot be read: expected value at line 1 column 1: \
               <html>Hello</html>",
        early: "provider `mine`: the stream ended before the answer did",
    };
    let own = [refusals(), answers(), streams()];
    hold(&spoken, own.into_iter().flatten().collect()).await;
}

fn answer(text: &str, reason: &str) -> Answer {
    let message = json!({ "role": "assistant", "content": text });
    let answer = json!({
        "model": "large", "message": message, "done": true, "done_reason": reason,
        "prompt_eval_count": 3, "eval_count": 2,
    });
    Answer::json(200, &answer.to_string())
}

fn error(status: u16, message: &str) -> Answer {
    Answer::json(status, &json!({ "error": message }).to_string())
}

/// An answer in these lines.
fn lines(lines: &[Value]) -> Answer {
    let lines: Vec<_> = lines.iter().map(Value::to_string).collect();
    Answer::new(200, "application/x-ndjson", lines.join("\n") + "\n")
}

fn start() -> Answer {
    lines(&[json!({ "message": { "role": "assistant", "content": "A red" }, "done": false })])
}

/// What Ollama does not do.
fn refusals() -> Vec<Case> {
    use ErrorClass::{Auth, BadRequest, NotFound, Overloaded, Quota, Server, TooLarge};
    let sees = "take a model that sees, e.g. `llava:13b`";
    let plain = Case::plain;
    vec![
        plain(
            "a model that is not there",
            error(404, "model \"large\" not found, try pulling it first"),
            fails_with(
                NotFound,
                "provider `mine`: model \"large\" not found, try pulling it first",
                "`ollama pull large` fetches it",
            ),
        ),
        plain(
            "a model that is not there, in other words",
            error(404, "model 'large:7b' not found"),
            fails_with(
                NotFound,
                "provider `mine`: model 'large:7b' not found",
                "`ollama pull large:7b` fetches it",
            ),
        ),
        plain(
            "somebody else answers",
            Answer::new(404, "text/plain", "404 page not found"),
            fails(NotFound, "provider `mine`: status 404: 404 page not found"),
        ),
        plain(
            "a model that does not see",
            error(400, "this model is missing data required for image input"),
            fails_with(
                BadRequest,
                "provider `mine`: this model is missing data required for image input",
                sees,
            ),
        ),
        plain(
            "a model that does not see, told as a failure",
            error(500, "image input is not supported"),
            fails_with(BadRequest, "provider `mine`: image input is not supported", sees),
        ),
        plain(
            "a request that is wrong",
            error(400, "invalid options: num_ctx"),
            fails(BadRequest, "provider `mine`: invalid options: num_ctx"),
        ),
        plain(
            "a model that is too large",
            error(500, "model requires more system memory (9.1 GiB) than is available (3.2 GiB)"),
            fails_with(
                BadRequest,
                "provider `mine`: model requires more system memory (9.1 GiB) than is available (3.2 GiB)",
                "take a smaller model, or a smaller `options: { num_ctx: … }`",
            ),
        ),
        plain(
            "too much to read",
            error(400, "the input length exceeds the context length"),
            fails_with(
                TooLarge,
                "provider `mine`: the input length exceeds the context length",
                "raise `options: { num_ctx: … }`, or send less",
            ),
        ),
        plain(
            "a full queue",
            error(503, "server busy, please try again. maximum pending requests exceeded"),
            fails(
                Overloaded,
                "provider `mine`: server busy, please try again. maximum pending requests exceeded",
            ),
        ),
        plain(
            "no more of a month's use",
            error(429, "you have reached your weekly usage limit, upgrade for higher limits"),
            fails(
                Quota,
                "provider `mine`: you have reached your weekly usage limit, upgrade for higher limits",
            ),
        ),
        plain(
            "a key that comes back",
            error(401, "unauthorized: key-of-the-tests"),
            fails(Auth, "provider `mine`: unauthorized: [secret]"),
        ),
        plain(
            "500",
            error(500, "llama runner process has terminated"),
            fails(Server, "provider `mine`: llama runner process has terminated"),
        ),
        plain(
            "500 without a word",
            Answer::new(500, "text/plain", ""),
            fails(Server, "provider `mine`: status 500 without a reason"),
        ),
    ]
}

/// Successes that are none.
fn answers() -> Vec<Case> {
    use ErrorClass::{Connection, Empty, Server, Truncated};
    let plain = Case::plain;
    vec![
        plain(
            "nothing is said",
            answer("", "stop"),
            fails(Empty, "model `mine/large` answered nothing"),
        ),
        plain(
            "a model that was only loaded",
            answer("", "load"),
            fails(Empty, "model `mine/large` answered nothing"),
        ),
        plain(
            "a cut answer",
            answer("I th", "length"),
            fails_with(
                Truncated,
                "the answer of model `mine/large` was cut at its limit of tokens",
                "raise `max_tokens`",
            ),
        ),
        plain(
            "an error within a success",
            error(200, "an error was encountered while running the model"),
            fails(Server, "provider `mine`: an error was encountered while running the model"),
        ),
        plain(
            "an answer that is not done",
            Answer::json(200, r#"{"message":{"content":"I th"},"done":false}"#),
            fails(Connection, "provider `mine`: the stream ended before the answer did"),
        ),
    ]
}

/// Streams that come to no answer.
fn streams() -> Vec<Case> {
    use ErrorClass::{Empty, NotFound, Server};
    let case = |name, items: &[Value], told| Case::plain(name, lines(items), told).streaming();
    let word = json!({ "message": { "content": "A red" }, "done": false });
    let failed = json!({ "error": "an error was encountered while running the model" });
    let done = json!({ "done": true, "done_reason": "stop" });
    vec![
        case(
            "an error within a stream",
            &[word.clone(), failed],
            fails(Server, "provider `mine`: an error was encountered while running the model"),
        ),
        case(
            "a model that went away within a stream",
            &[word, json!({ "error": "model \"large\" not found" })],
            fails_with(
                NotFound,
                "provider `mine`: model \"large\" not found",
                "`ollama pull large` fetches it",
            ),
        ),
        case("an empty stream", &[done], fails(Empty, "model `mine/large` answered nothing")),
    ]
}
