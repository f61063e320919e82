//! An exchange, and how it is written.
//!
//! ```json
//! {
//!   "version": 1,
//!   "origin": "recorded",
//!   "kind": "openai",
//!   "provider": "mine",
//!   "request": { "method": "POST", "url": "/chat/completions", "headers": {}, "body": {} },
//!   "response": { "status": 200, "headers": {}, "json": {} }
//! }
//! ```
//!
//! The body of an answer stands there as `json` where nothing is lost by that, as the `pieces`
//! in which it came, as a `body` of text, or as the name of a `file` beside it. A `failure` is
//! what broke the exchange off, before an answer or within it.

use std::collections::BTreeMap;

use bytes::Bytes;
use flow_core::content::ContentHash;
use flow_core::error::Failure;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use super::{Asked, secrets};
use crate::redact::Redactor;

/// The version of the form that is written, and the only one that is read.
pub(super) const VERSION: u64 = 1;

/// Who made an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A service answered.
    Recorded,
    /// A person wrote it.
    ByHand,
}

impl Origin {
    /// Every origin.
    pub(super) const ALL: [Self; 2] = [Self::Recorded, Self::ByHand];

    /// How it is written.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::ByHand => "written by hand",
        }
    }
}

/// An exchange as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Exchange {
    pub(super) origin: Origin,
    pub(super) asked: Asked,
    pub(super) response: Option<Response>,
    pub(super) failure: Option<Failure>,
}

/// An answer as it is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Response {
    /// The status; of a program, the code it ended with.
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) content: Content,
    /// What a program complained.
    pub(super) stderr: Option<String>,
}

/// The body of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Content {
    #[default]
    Nothing,
    Json(Value),
    Text(String),
    Pieces(Vec<String>),
    /// Bytes that are no text, in a file of this name.
    File(String, Bytes),
}

/// What came of a call, while it comes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    /// The status; of a program, the code it ended with.
    pub(crate) status: u16,
    /// The header fields.
    pub(crate) headers: HeaderMap,
    /// The body, in pieces as it came.
    pub(crate) pieces: Vec<Bytes>,
    /// What a program complained.
    pub(crate) stderr: Option<String>,
}

/// What comes of a call that is answered from a cassette.
#[derive(Clone, Debug)]
pub(crate) struct Played {
    /// What came.
    pub(crate) heard: Heard,
    /// What broke it off then.
    pub(crate) failure: Option<Failure>,
}

impl Response {
    /// What came, without secrets.
    pub(super) fn of(heard: Heard, redactor: &Redactor) -> Self {
        let Heard { status, headers, pieces, stderr } = heard;
        let kept = headers.iter().filter(|(name, _)| matters(name.as_str()));
        let kept = kept.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let kept: BTreeMap<_, _> = kept
            .map(|(name, value)| (name.to_owned(), redactor.text(&secrets::url(value))))
            .collect();
        let media = kept.get("content-type").map_or("", String::as_str);
        let content = Content::of(&pieces, media, redactor);
        let stderr = stderr.map(|text| redactor.text(&text));
        Self { status, headers: kept, content, stderr }
    }

    /// What came, once more.
    pub(super) fn heard(self) -> Heard {
        let headers = self.headers.iter().filter_map(|(name, value)| {
            Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?))
        });
        let headers = headers.collect();
        let pieces = match self.content {
            Content::Nothing => Vec::new(),
            Content::Json(value) => vec![Bytes::from(value.to_string())],
            Content::Text(text) => vec![Bytes::from(text)],
            Content::Pieces(pieces) => pieces.into_iter().map(Bytes::from).collect(),
            Content::File(_, bytes) => vec![bytes],
        };
        Heard { status: self.status, headers, pieces, stderr: self.stderr }
    }
}

/// Whether something is read of a header field of an answer. What a service says of its limits
/// is left out: nobody has to heed it a second time.
fn matters(name: &str) -> bool {
    matches!(
        name,
        "content-type"
            | "location"
            | "request-id"
            | "retry-after"
            | "retry-after-ms"
            | "x-goog-request-id"
            | "x-request-id"
            | "x-should-retry"
    ) || name.starts_with("x-goog-upload-")
}

impl Content {
    fn of(pieces: &[Bytes], media: &str, redactor: &Redactor) -> Self {
        let bytes = pieces.concat();
        if bytes.is_empty() {
            return Self::Nothing;
        }
        let Ok(text) = std::str::from_utf8(&bytes) else {
            let bytes = redactor.bytes(bytes);
            let name = format!("{}.{}", ContentHash::of_bytes(&bytes).hex(), extension(media));
            return Self::File(name, bytes.into());
        };
        if let Some(value) = json_of(text) {
            return Self::Json(secrets::answer(redactor, value));
        }
        let told = secrets::stream(redactor, text);
        match pieces {
            [] | [_] => Self::Text(told),
            pieces if told == text => Self::Pieces(cut(text, pieces)),
            // Where a secret was, nobody knows any more where it was cut.
            _ => Self::Pieces(told.split_inclusive("\n\n").map(str::to_owned).collect()),
        }
    }
}

/// The value of a text that is JSON, if it reads the same when it is written anew: a number of
/// many digits may not.
fn json_of(text: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(text).ok()?;
    if !(value.is_object() || value.is_array()) {
        return None;
    }
    let again: Value = serde_json::from_str(&value.to_string()).ok()?;
    (again == value).then_some(value)
}

/// The text in the pieces in which it came; a letter that was cut in two is whole in the later.
fn cut(text: &str, pieces: &[Bytes]) -> Vec<String> {
    let (mut cut, mut from, mut came) = (Vec::with_capacity(pieces.len()), 0, 0);
    for piece in pieces {
        came += piece.len();
        let till = text.floor_char_boundary(came);
        if till > from {
            cut.push(text[from..till].to_owned());
            from = till;
        }
    }
    cut
}

/// How the name of a file of this media type ends.
fn extension(media: &str) -> &'static str {
    match media.split(';').next().unwrap_or_default().trim() {
        "image/png" => "png",
        "image/jpeg" => "jpg",
        "image/webp" => "webp",
        "image/gif" => "gif",
        "application/pdf" => "pdf",
        _ => "bin",
    }
}

impl Exchange {
    /// The exchange as it is written.
    pub(super) fn to_value(&self) -> Value {
        let Asked { kind, provider, method, url, headers, body } = &self.asked;
        let mut request = json!({ "method": method, "url": url });
        if !headers.is_empty() {
            request["headers"] = json!(headers);
        }
        if !body.is_null() {
            request["body"] = body.clone();
        }
        let mut value = json!({
            "version": VERSION,
            "origin": self.origin.as_str(),
            "kind": kind,
            "provider": provider,
            "request": request,
        });
        if let Some(response) = &self.response {
            value["response"] = response.to_value();
        }
        if let Some(failure) = &self.failure {
            value["failure"] = failure_value(failure);
        }
        value
    }

    /// Whether a service answered and did not refuse.
    pub(super) fn is_success(&self) -> bool {
        let well = |response: &Response| match self.asked.kind.as_str() {
            crate::command::KIND => response.status == 0,
            _ => (200..400).contains(&response.status),
        };
        self.failure.is_none() && self.response.as_ref().is_some_and(well)
    }
}

impl Response {
    fn to_value(&self) -> Value {
        let mut map = Map::new();
        map.insert("status".into(), json!(self.status));
        if !self.headers.is_empty() {
            map.insert("headers".into(), json!(self.headers));
        }
        match &self.content {
            Content::Nothing => {}
            Content::Json(value) => drop(map.insert("json".into(), value.clone())),
            Content::Text(text) => drop(map.insert("body".into(), json!(text))),
            Content::Pieces(pieces) => drop(map.insert("pieces".into(), json!(pieces))),
            Content::File(name, _) => drop(map.insert("file".into(), json!(name))),
        }
        if let Some(stderr) = self.stderr.as_ref().filter(|stderr| !stderr.is_empty()) {
            map.insert("stderr".into(), json!(stderr));
        }
        Value::Object(map)
    }
}

fn failure_value(failure: &Failure) -> Value {
    let mut map = Map::new();
    map.insert("class".into(), json!(failure.class));
    map.insert("message".into(), json!(failure.message));
    if let Some(hint) = &failure.hint {
        map.insert("hint".into(), json!(hint));
    }
    Value::Object(map)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tape::read;

    fn anything() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            any::<Vec<u8>>(),
            any::<String>().prop_map(String::into_bytes),
            any::<f64>().prop_map(|number| format!("[{number:?}, 1]").into_bytes()),
            "(data: \\PC{0,8}\n\n){0,4}".prop_map(String::into_bytes),
            any::<BTreeMap<String, u64>>().prop_map(|map| json!(map).to_string().into_bytes()),
        ]
    }

    proptest! {
        #[test]
        fn what_came_comes_again(bytes in anything(), length in 1_usize..9) {
            let folder = tempfile::tempdir().unwrap();
            let pieces = bytes.chunks(length).map(Bytes::copy_from_slice).collect();
            let heard = Heard { status: 200, pieces, ..Heard::default() };
            let asked = Asked {
                kind: "openai".into(),
                provider: "mine".into(),
                method: "POST".into(),
                url: "/x".into(),
                headers: BTreeMap::new(),
                body: Value::Null,
            };
            let response = Some(Response::of(heard, &Redactor::default()));
            let exchange = Exchange { origin: Origin::Recorded, asked, response, failure: None };
            if let Some(Response { content: Content::File(name, bytes), .. }) = &exchange.response {
                std::fs::write(folder.path().join(name), bytes).unwrap();
            }
            let file = folder.path().join("1-x.json");
            std::fs::write(&file, exchange.to_value().to_string()).unwrap();
            let read = read::exchange(&file).unwrap();
            prop_assert_eq!(&read, &exchange);
            let again = read.response.unwrap().heard().pieces.concat();
            match exchange.response.unwrap().content {
                Content::Json(_) => {
                    let value = |bytes| serde_json::from_slice::<Value>(bytes).unwrap();
                    prop_assert_eq!(value(&again), value(&bytes));
                }
                _ => prop_assert_eq!(again, bytes),
            }
        }
    }

    fn content(pieces: &[&[u8]]) -> Content {
        let pieces: Vec<_> = pieces.iter().map(|piece| Bytes::copy_from_slice(piece)).collect();
        Content::of(&pieces, "image/png", &Redactor::new(["k-1234".into()]))
    }

    #[test]
    fn a_body_is_kept_in_the_form_that_reads_best_and_loses_nothing() {
        assert_eq!(content(&[]), Content::Nothing);
        assert_eq!(content(&[b"{\"a\"", b":1.5}"]), Content::Json(json!({ "a": 1.5 })));
        assert_eq!(content(&[b"plain"]), Content::Text("plain".into()));
        assert_eq!(content(&[b"12"]), Content::Text("12".into()));
        let (first, second) = ("data: z\u{f6}".as_bytes().split_at(8), b"lf\n\n");
        assert_eq!(
            content(&[first.0, &[first.1, second].concat()]),
            Content::Pieces(vec!["data: z".into(), "\u{f6}lf\n\n".into()])
        );
        assert_eq!(
            content(&[b"data: k-12", b"34\n\ndata: b\n\n"]),
            Content::Pieces(vec!["data: [secret]\n\n".into(), "data: b\n\n".into()])
        );
        let Content::File(name, bytes) = content(&[b"\x89PNG", b"\xff"]) else { panic!("a file") };
        assert_eq!((name.len(), &name[64..], &bytes[..]), (68, ".png", &b"\x89PNG\xff"[..]));
    }
}
