//! A step that does what its input says, to measure the sandbox and to try it.

wit_bindgen::generate!({ path: "../../../wit", world: "step-plugin", generate_all });

use exports::flow::plugin::{meta, step};
use flow::plugin::chat::{Message, Request as Question};
use flow::plugin::content::{Body, Part};
use flow::plugin::http::{self, Request};
use flow::plugin::types::Error;
use flow::plugin::{artifacts, config, kv, llm, log};
use serde_json::{Value, json};

struct Sample;

const DESCRIBE: &str = r#"{
  "name": "sample",
  "version": "1.0.0",
  "kind": "step",
  "summary": "Does what it is told, to measure the sandbox and to try it.",
  "input": {
    "type": "object",
    "properties": {
      "do": {
        "enum": ["echo", "sum", "write", "fetch", "ask", "remember", "spin", "panic"],
        "description": "What to do."
      },
      "file": { "x-file": true, "description": "A file, to sum its bytes." },
      "text": { "type": "string" },
      "url": { "type": "string" },
      "model": { "type": "string" }
    },
    "required": ["do"],
    "additionalProperties": false
  },
  "output": { "type": "object" },
  "config": {
    "type": "object",
    "properties": { "greeting": { "type": "string" } },
    "additionalProperties": false
  },
  "capabilities": {
    "http": [{ "host": "127.0.0.1:7", "private": true }],
    "models": { "names": ["*"], "max_calls": 3 },
    "kv": { "max_bytes": "1KiB" }
  }
}"#;

impl meta::Guest for Sample {
    fn describe() -> String {
        DESCRIBE.into()
    }
}

impl step::Guest for Sample {
    fn run(_: step::Context, input: String, parts: Vec<Part>) -> Result<step::Output, Error> {
        std::panic::set_hook(Box::new(|panic| log::emit("error", &panic.to_string(), "{}")));
        let input: Value =
            serde_json::from_str(&input).map_err(|error| wrong(&error.to_string()))?;
        let text = |key: &str| input[key].as_str().unwrap_or_default().to_owned();
        let mut made = Vec::new();
        let value = match input["do"].as_str().unwrap_or_default() {
            "echo" => json!({ "echo": input["text"], "greeting": config::get("greeting") }),
            "sum" => json!({ "sum": sum(&parts)? }),
            "write" => {
                let file = artifacts::create("text/plain", Some("made.txt"))?;
                file.write(text("text").as_bytes())?;
                let file = artifacts::finish(file)?;
                let media_type = file.media_type();
                made.push(Part { media_type, name: None, body: Body::Artifact(file) });
                json!({ "file": { "$part": 0 } })
            }
            "fetch" => json!({ "got": fetch(text("url"))? }),
            "ask" => json!({ "said": ask(text("model"), text("text"))? }),
            "remember" => {
                let before = kv::get("text")?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
                kv::set("text", text("text").as_bytes(), None)?;
                json!({ "before": before })
            }
            "spin" => loop {
                std::hint::black_box(());
            },
            _ => panic!("there is no total"),
        };
        log::emit("info", "done", "{}");
        Ok(step::Output { value: value.to_string(), parts: made })
    }
}

/// The sum of a file's bytes, read in pieces of 64 KiB.
fn sum(parts: &[Part]) -> Result<u64, Error> {
    let Some(Part { body: Body::Artifact(file), .. }) = parts.first() else {
        return Err(wrong("there is no file to sum"));
    };
    let (mut sum, mut offset) = (0, 0);
    loop {
        let piece = file.read(offset, 64 << 10)?;
        if piece.is_empty() {
            return Ok(sum);
        }
        sum += piece.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        offset += piece.len() as u64;
    }
}

fn fetch(url: String) -> Result<String, Error> {
    let response = http::send(Request {
        method: "GET".into(),
        url,
        headers: Vec::new(),
        body: None,
        timeout_ms: Some(5_000),
        extra: "{}".into(),
    })?;
    Ok(format!("{} {}", response.status, as_text(&response.body)))
}

fn ask(model: String, text: String) -> Result<String, Error> {
    let part = Part { media_type: "text/plain".into(), name: None, body: Body::Text(text) };
    let message = Message { role: "user".into(), parts: vec![part] };
    let answer = llm::complete(Question { model, messages: vec![message], params: "{}".into() })?;
    Ok(answer.message.parts.iter().map(|part| as_text(&part.body)).collect())
}

fn as_text(body: &Body) -> String {
    match body {
        Body::Text(text) => text.clone(),
        Body::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Body::Artifact(file) => file.sha256(),
    }
}

fn wrong(message: &str) -> Error {
    Error {
        code: "invalid-input".into(),
        message: message.into(),
        retryable: false,
        retry_after_ms: None,
        extra: "{}".into(),
    }
}

export!(Sample);
