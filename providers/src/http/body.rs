//! What is sent: JSON with files in it, a form with a file, a piece of a file.
//!
//! A file of megabytes that travels as base64 within JSON would cost its size several times
//! over if the JSON were built in memory. So the JSON is made with a marker where the file
//! belongs, and the file is read, encoded and sent piece by piece.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use serde::Serialize;

use super::file::FilePart;
use super::form::Form;

/// What is sent.
#[derive(Clone, Debug, Default)]
pub(crate) enum Body {
    /// Nothing.
    #[default]
    Empty,
    /// JSON, with files in base64 where it says so.
    Json(Pieces),
    /// A form, with files as they are.
    Form(Form),
    /// Bytes of a file as they are.
    File(FilePart),
    /// Bytes as they are; a header field says what they are.
    Plain(Bytes),
}

/// What is sent in pieces.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pieces(pub(super) Vec<Piece>);

/// A piece of what is sent.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    /// Text.
    Text(Bytes),
    /// A file in base64.
    Base64(FilePart),
    /// A file as it is.
    Plain(FilePart),
}

/// A marker that no text of a request holds: it is random.
pub(crate) fn nonce() -> String {
    format!("attached-{}-", crate::random::name())
}

/// The files of a JSON body that is being made.
#[derive(Debug)]
pub(crate) struct Attachments {
    nonce: String,
    files: Vec<FilePart>,
}

impl Attachments {
    pub(crate) fn new() -> Self {
        Self { nonce: nonce(), files: Vec::new() }
    }

    /// The text to put into the JSON where the file belongs, in base64.
    pub(crate) fn base64(&mut self, file: FilePart) -> String {
        self.files.push(file);
        format!("{}{:08}", self.nonce, self.files.len() - 1)
    }

    /// The body of a value, with the files in it.
    pub(crate) fn into_body(self, value: &impl Serialize) -> Body {
        let text = serde_json::to_string(value).expect("wire types have string keys only");
        let mut pieces = Vec::new();
        let mut rest = text.as_str();
        while let Some(at) = rest.find(&self.nonce) {
            let number = &rest[at + self.nonce.len()..][..8];
            let file = number.parse::<usize>().ok().and_then(|number| self.files.get(number));
            pieces.push(Piece::Text(Bytes::copy_from_slice(&rest.as_bytes()[..at])));
            pieces.extend(file.cloned().map(Piece::Base64));
            rest = &rest[at + self.nonce.len() + 8..];
        }
        pieces.push(Piece::Text(Bytes::copy_from_slice(rest.as_bytes())));
        Body::Json(Pieces(pieces))
    }
}

impl Body {
    /// The body of a value that holds no file.
    pub(crate) fn json(value: &impl Serialize) -> Self {
        Attachments::new().into_body(value)
    }

    /// Its length in bytes as it is sent.
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Json(pieces) => pieces.length(),
            Self::Form(form) => form.length(),
            Self::File(part) => part.len,
            Self::Plain(bytes) => bytes.len() as u64,
        }
    }

    /// Its media type, if it says one, and its pieces; none where nothing is sent.
    pub(super) fn into_pieces(self) -> Option<(Option<String>, Pieces)> {
        match self {
            Self::Empty => None,
            Self::Json(pieces) => Some((Some("application/json".to_owned()), pieces)),
            Self::Form(form) => {
                let (media_type, pieces) = form.into_pieces();
                Some((Some(media_type), pieces))
            }
            Self::File(part) => Some((None, Pieces(vec![Piece::Plain(part)]))),
            Self::Plain(bytes) => Some((None, Pieces(vec![Piece::Text(bytes)]))),
        }
    }
}

impl Pieces {
    /// Adds text at the end.
    pub(crate) fn text(&mut self, text: impl Into<Bytes>) {
        self.0.push(Piece::Text(text.into()));
    }

    /// Adds a body at the end.
    pub(crate) fn append(&mut self, body: Body) {
        if let Some((_, pieces)) = body.into_pieces() {
            self.0.extend(pieces.0);
        }
    }

    /// Its pieces, in order.
    pub(crate) fn all(&self) -> &[Piece] {
        &self.0
    }

    /// Its length in bytes as it is sent.
    pub(crate) fn length(&self) -> u64 {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.len() as u64,
                Piece::Base64(file) => file.len.div_ceil(3) * 4,
                Piece::Plain(file) => file.len,
            })
            .sum()
    }

    /// Its bytes, as they are sent; files are read meanwhile.
    pub(crate) fn stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send {
        stream::iter(self.0).flat_map(|piece| match piece {
            Piece::Text(text) => stream::once(async move { Ok(text) }).boxed(),
            Piece::Base64(file) => {
                file.stream().map_ok(|bytes| Bytes::from(STANDARD.encode(&bytes))).boxed()
            }
            Piece::Plain(file) => file.stream().boxed(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::super::file::Source;
    use super::*;

    async fn sent(json: Pieces) -> Vec<u8> {
        json.stream().try_collect::<Vec<_>>().await.unwrap().concat()
    }

    #[tokio::test]
    async fn files_stand_in_the_json_as_base64_and_the_length_is_known_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large");
        let large: Vec<u8> = (0..=u8::MAX).cycle().take(100_001).collect();
        std::fs::write(&path, &large).unwrap();
        let mut files = Attachments::new();
        let on_disk = files.base64(FilePart::whole(Source::Path(path), 100_001));
        let small: Arc<[u8]> = Arc::from(*b"abcd");
        let held = files.base64(FilePart::whole(Source::Memory(small), 4));
        let text = "attached-00000000000000000000000000000000-00000000";
        let value = json!({ "a": format!("data:x;base64,{on_disk}"), "b": [held], "c": text });
        let Body::Json(body) = files.into_body(&value) else { panic!("it is JSON") };
        let expected = json!({
            "a": format!("data:x;base64,{}", STANDARD.encode(&large)), "b": ["YWJjZA=="], "c": text,
        });
        let length = body.length();
        let bytes = sent(body).await;
        assert_eq!(bytes.len() as u64, length);
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&bytes).unwrap(), expected);
    }
}
