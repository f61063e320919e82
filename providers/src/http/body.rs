//! What is sent: JSON with files in it.
//!
//! A file of megabytes that travels as base64 within JSON would cost its size several times
//! over if the JSON were built in memory. So the JSON is made with a marker where the file
//! belongs, and the file is read, encoded and sent piece by piece.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

/// Bytes of a file that are read at once; a multiple of 3, so that pieces of base64 join.
const PIECE: u64 = 48 << 10;

/// What is sent.
#[derive(Clone, Debug, Default)]
pub(crate) enum Body {
    /// Nothing.
    #[default]
    Empty,
    /// JSON, with files in base64 where it says so.
    Json(Json),
}

/// JSON that is sent, in pieces.
#[derive(Clone, Debug)]
pub(crate) struct Json(Vec<Piece>);

/// A piece of JSON that is sent.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    /// JSON as it is.
    Text(Bytes),
    /// A file, in base64.
    Base64(FilePart),
}

/// Bytes from `start`, `len` of them, of something.
#[derive(Clone, Debug)]
pub(crate) struct FilePart {
    /// Where they are.
    pub(crate) source: Source,
    /// The first byte.
    pub(crate) start: u64,
    /// How many.
    pub(crate) len: u64,
}

impl FilePart {
    /// All of a file of this size.
    pub(crate) fn whole(source: Source, len: u64) -> Self {
        Self { source, start: 0, len }
    }
}

/// Where the bytes of a file are.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// On the disk.
    Path(PathBuf),
    /// In memory: what was made for this call, e.g. an image that was scaled.
    Memory(Arc<[u8]>),
}

/// A marker that no text of a request holds: it is random.
pub(crate) fn nonce() -> String {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let random = || RandomState::new().build_hasher().finish();
    format!("attached-{:016x}{:016x}-", random(), random())
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
        Body::Json(Json(pieces))
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
            Self::Json(json) => json.length(),
        }
    }
}

impl Json {
    /// Its pieces, in order.
    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// Its length in bytes as it is sent.
    pub(crate) fn length(&self) -> u64 {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.len() as u64,
                Piece::Base64(file) => file.len.div_ceil(3) * 4,
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
        })
    }
}

impl FilePart {
    /// Its bytes in pieces of the same size but for the last. A file that turns out shorter
    /// than it was is an error: what is sent would not be what was announced.
    pub(crate) fn stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send {
        enum At {
            Closed(Source),
            File(tokio::fs::File),
            Memory(Arc<[u8]>),
        }
        let Self { source, start, len } = self;
        stream::try_unfold((At::Closed(source), start, len), async |(at, from, left)| {
            if left == 0 {
                return Ok(None);
            }
            let take = left.min(PIECE);
            let mut at = match at {
                At::Closed(Source::Memory(bytes)) => At::Memory(bytes),
                At::Closed(Source::Path(path)) => {
                    let mut file = tokio::fs::File::open(path).await?;
                    file.seek(io::SeekFrom::Start(from)).await?;
                    At::File(file)
                }
                open => open,
            };
            let bytes = match &mut at {
                At::File(file) => {
                    let mut bytes = vec![0; take as usize];
                    file.read_exact(&mut bytes).await?;
                    Bytes::from(bytes)
                }
                At::Memory(bytes) => {
                    let range = from as usize..(from + take) as usize;
                    let part = bytes.get(range).ok_or(io::ErrorKind::UnexpectedEof)?;
                    Bytes::copy_from_slice(part)
                }
                At::Closed(_) => return Err(io::ErrorKind::NotFound.into()),
            };
            Ok(Some((bytes, (at, from + take, left - take))))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    async fn sent(json: Json) -> Vec<u8> {
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

    #[tokio::test]
    async fn a_file_that_shrank_breaks_the_request_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("short");
        std::fs::write(&path, b"ab").unwrap();
        let part = FilePart::whole(Source::Path(path), 3);
        let error = part.stream().try_collect::<Vec<_>>().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
