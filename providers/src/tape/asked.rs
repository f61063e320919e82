//! What a request is, whoever serves it and wherever.

use std::collections::BTreeMap;
use std::io;

use flow_core::content::ContentHash;
use flow_core::error::{ErrorClass, Failure};
use futures::TryStreamExt;
use reqwest::header::{CONTENT_LENGTH, HeaderMap};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::secrets;
use crate::http::{Body, Call, FilePart, Form, Piece, Pieces};

/// Header fields that identify somebody, though they hold no secret.
const PERSONAL: &[&str] = &["openai-organization", "openai-project"];

/// A request as a cassette knows it, without secrets.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    /// The kind of service.
    pub(crate) kind: String,
    /// The provider's name in the workflow.
    pub(crate) provider: String,
    /// The method; `RUN` of a program.
    pub(crate) method: String,
    /// Path and query behind the service's address; of a file that is fetched, its address; of
    /// a program, its model.
    pub(crate) url: String,
    /// Header fields, for people.
    pub(crate) headers: BTreeMap<String, String>,
    /// The body, in which files stand by their hash; null where there is none.
    pub(crate) body: Value,
}

impl Asked {
    /// What a call asks. Files are read, and not held.
    ///
    /// Dropping the future leaves nothing behind.
    pub(crate) async fn of(call: &Call) -> Result<Self, Failure> {
        let body = body(&call.body).await.map_err(|error| {
            let message =
                format!("provider `{}`: cannot read what to send: {error}", call.provider);
            Failure::new(ErrorClass::Io, message)
        })?;
        let redactor = &call.redactor;
        Ok(Self {
            kind: call.kind.to_owned(),
            provider: call.provider.clone(),
            method: call.method.to_string(),
            url: redactor.text(&secrets::url(call.path())),
            headers: headers(&call.headers, redactor),
            body: secrets::plain(redactor, body),
        })
    }

    /// What a program is asked, with the files in it by their hashes.
    pub(crate) fn of_program(
        provider: &str,
        model: &str,
        body: Value,
        redactor: &crate::redact::Redactor,
    ) -> Self {
        Self {
            kind: crate::command::KIND.to_owned(),
            provider: provider.to_owned(),
            method: "RUN".to_owned(),
            url: redactor.text(model),
            headers: BTreeMap::new(),
            body: secrets::plain(redactor, body),
        }
    }

    /// What equal requests have in common.
    pub(super) fn identity(&self) -> ContentHash {
        ContentHash::of_json(&json!([self.kind, self.method, self.url, self.body]))
    }

    /// The request in a word.
    pub(super) fn in_short(&self) -> String {
        format!("{} {}", self.method, self.url)
    }

    /// What is compared of it.
    pub(super) fn compared(&self) -> Value {
        json!({ "method": self.method, "url": self.url, "body": self.body })
    }
}

fn headers(headers: &HeaderMap, redactor: &crate::redact::Redactor) -> BTreeMap<String, String> {
    let shown = headers.iter().filter(|(name, value)| {
        !value.is_sensitive() && *name != CONTENT_LENGTH && !PERSONAL.contains(&name.as_str())
    });
    let text = shown.filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?)));
    text.map(|(name, value)| (name, redactor.text(value))).collect()
}

async fn body(body: &Body) -> io::Result<Value> {
    match body {
        Body::Empty => Ok(Value::Null),
        Body::Json(json) => with_hashes(json).await,
        Body::Form(form) => parts(form).await,
        Body::File(file) => artifact(file).await,
        Body::Plain(bytes) => Ok(plain(bytes)),
    }
}

/// Bytes as JSON where they are that, else as text, else by their hash.
fn plain(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!({ "$artifact": ContentHash::of_bytes(bytes), "size": bytes.len() }),
    })
}

/// A form as a list of what it is made of: texts without its boundary, which is another each
/// time, and files by their hashes.
async fn parts(form: &Form) -> io::Result<Value> {
    let mut parts = Vec::new();
    for piece in form.pieces() {
        parts.push(match piece {
            Piece::Text(bytes) => {
                let text = String::from_utf8_lossy(bytes);
                Value::from(text.replace(form.boundary(), "boundary"))
            }
            Piece::Base64(file) | Piece::Plain(file) => artifact(file).await?,
        });
    }
    Ok(json!({ "form": parts }))
}

/// A file by its hash, read piece by piece.
pub(crate) async fn artifact(file: &FilePart) -> io::Result<Value> {
    let digest = file.clone().stream().try_fold(Sha256::new(), async |mut digest, bytes| {
        digest.update(&bytes);
        Ok(digest)
    });
    let hash = ContentHash::from_digest(digest.await?.finalize().into());
    Ok(json!({ "$artifact": hash, "size": file.len }))
}

/// JSON with each file in it replaced by its hash.
async fn with_hashes(json: &Pieces) -> io::Result<Value> {
    let nonce = crate::http::nonce();
    let (mut text, mut files) = (Vec::new(), Vec::new());
    for piece in json.all() {
        match piece {
            Piece::Text(bytes) => text.extend_from_slice(bytes),
            Piece::Base64(file) | Piece::Plain(file) => {
                text.extend_from_slice(format!("{nonce}{:08}", files.len()).as_bytes());
                files.push(artifact(file).await?);
            }
        }
    }
    let mut value = serde_json::from_slice(&text)?;
    if !files.is_empty() {
        put(&mut value, &nonce, &files);
    }
    Ok(value)
}

/// Puts files where their markers are; what stands before one in the same text is kept.
fn put(value: &mut Value, nonce: &str, files: &[Value]) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::Array(items) => items.iter_mut().for_each(|item| put(item, nonce, files)),
        Value::Object(map) => map.values_mut().for_each(|value| put(value, nonce, files)),
        Value::String(text) => {
            let Some((before, number)) = text.split_once(nonce) else { return };
            let file = number.parse().ok().and_then(|number: usize| files.get(number));
            let Some(mut file) = file.cloned() else { return };
            if !before.is_empty() {
                file["before"] = json!(before);
            }
            *value = file;
        }
    }
}
