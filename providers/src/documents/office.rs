//! Documents that are text: one page each, as Markdown, without words or pixels.

use std::sync::Arc;

use super::error::Fault;
use super::open::Limits;

/// Reads a document as Markdown.
pub(crate) fn read(
    bytes: Arc<[u8]>,
    media: &'static str,
    _limits: &Limits,
) -> Result<String, Fault> {
    match media {
        "text/plain" | "text/markdown" | "text/csv" | "text/html" | "application/json"
        | "application/xml" => Ok(decode(&bytes)),
        _ => Err(Fault::Unsupported { media }),
    }
}

/// The bytes as text: UTF-8, else the Western encoding of old programs.
fn decode(bytes: &[u8]) -> String {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    }
}
