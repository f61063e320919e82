//! What comes back from a model service: answers whole and in pieces, the data that a model
//! wrote, and the secrets in either.

use std::sync::LazyLock;

use flow_providers::fuzzing::{
    PROTOCOLS, Said, list, pieces, redacted, refusal, structured, vectors, wait, whole,
};
use serde_json::{Value, json};

/// A key that an answer may repeat.
const SECRET: &str = "sk-\"fuzz\"/Zwölf+1";

/// What stands in a secret's place.
const REPLACEMENT: &str = "[secret]";

/// Statuses that say no, of every kind that is told apart.
const STATUSES: [u16; 10] = [400, 401, 403, 404, 408, 413, 429, 500, 503, 529];

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    json!({
        "type": "object",
        "required": ["a"],
        "additionalProperties": false,
        "properties": {
            "a": {"type": "string"},
            "b": {"type": ["number", "null"]},
            "c": {"type": "array", "items": {"type": "object", "properties": {"d": {"type": "string", "format": "date"}}}}
        }
    })
});

/// The first byte says what the bytes from the third on are, the second how much of them comes
/// at a time: `c`, `r`, `a`, `g`, `o` a stream of one of the protocols, a capital for an answer
/// that is whole; `m` what a model wrote for a schema of ours, `s` the same behind a schema in
/// a line of its own; `k` a text behind a secret in a line of its own; `h` header fields.
pub(super) fn reply(bytes: &[u8]) {
    let [what, at, rest @ ..] = bytes else { return };
    let at = usize::from(at % 64) + 1;
    if let Some(protocol) = protocol(what.to_ascii_lowercase()) {
        return if what.is_ascii_lowercase() {
            streamed(protocol, rest, at);
        } else {
            at_once(protocol, rest);
        };
    }
    let text = String::from_utf8_lossy(rest);
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    match what {
        b'm' => fits(&text, &SCHEMA),
        b's' => {
            if let Ok(schema) = serde_json::from_str(first) {
                fits(rest, &schema);
            }
        }
        b'k' => {
            let (told, in_pieces) = redacted(first, rest, at);
            assert_eq!(told, in_pieces, "{at} letters at a time");
            no_secret(first, &told);
        }
        b'h' => waits(&text),
        _ => {}
    }
}

fn protocol(letter: u8) -> Option<usize> {
    PROTOCOLS.iter().position(|name| name.as_bytes()[0] == letter)
}

fn at_once(protocol: usize, body: &[u8]) {
    let said = whole(protocol, body);
    assert_eq!(whole(protocol, body), said, "the same each time");
    sensible(&said, body.len());
    for status in STATUSES {
        let refused = refusal(protocol, status, body);
        assert!(matches!(refused, Said::Fault(_)), "{refused:?}");
        sensible(&refused, body.len());
    }
    match list(protocol, body) {
        Ok(models) => assert!(models.len() <= body.len(), "{models:?}"),
        Err(words) => assert!(!words.is_empty()),
    }
    match vectors(protocol, body) {
        Ok(vectors) => assert!(vectors.iter().sum::<usize>() <= body.len(), "{vectors:?}"),
        Err(words) => assert!(!words.is_empty()),
    }
}

fn streamed(protocol: usize, body: &[u8], at: usize) {
    let streamed = pieces(protocol, body, body.len(), SECRET);
    assert_eq!(pieces(protocol, body, at, SECRET), streamed, "{at} bytes at a time");
    sensible(&streamed.said, body.len());
    assert!(streamed.text.len() <= body.len(), "{streamed:?}");
    no_secret(SECRET, &streamed.shown);
    if let Said::Answer { text, finish, .. } = &streamed.said {
        no_secret(SECRET, text);
        no_secret(SECRET, finish);
    }
}

/// Asserts that what is said is no more than what came, and has words where it is a fault.
fn sensible(said: &Said, came: usize) {
    match said {
        Said::Answer { text, finish, cost } => {
            // Each letter that is no UTF-8 becomes one of three bytes.
            assert!(text.len() + finish.len() <= 3 * came + 64, "{said:?}");
            assert!(cost.is_none_or(|cost| cost.micros() >= 0), "{said:?}");
        }
        Said::Fault(words) => {
            assert!(!words.trim().is_empty());
            assert!(words.len() <= 3 * came + 4096, "{words}");
        }
    }
}

fn no_secret(secret: &str, text: &str) {
    // What was put in its place may be the beginning of another one, and tells nothing.
    let told = text.replace(REPLACEMENT, "\0");
    assert!(secret.len() < 4 || secret.contains('\0') || !told.contains(secret), "{text}");
}

fn fits(text: &str, schema: &Value) {
    let read = structured(text, schema);
    assert_eq!(structured(text, schema), read, "the same each time");
    match read {
        Ok(value) => {
            let validator = jsonschema::options().should_validate_formats(true).build(schema);
            let validator = validator.expect("the schema was good a moment ago");
            assert!(validator.is_valid(&value), "{value}");
        }
        Err(words) => {
            assert!(!words.is_empty());
            // It is sent to the model once more.
            assert!(words.len() <= 40 << 10, "{} bytes", words.len());
        }
    }
}

fn waits(text: &str) {
    let fields: Vec<_> = text
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name, value.as_bytes()))
        .collect();
    let _ = wait(&fields, 1_790_000_000_000);
}
