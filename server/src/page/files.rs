//! Files of the store, as they may be shown.
//!
//! What is in them came from anywhere. A picture is shown as one, by what its bytes say; all
//! else is given to be saved, and a browser is told to run nothing of it.

use std::io::Read;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use flow_core::content::ContentHash;
use serde::Serialize;
use tokio_util::io::ReaderStream;

use super::json::shortened;
use super::render::{Fault, Viewer, piece};
use crate::state::Site;

/// The most bytes of a file that are read to show it as text.
const AS_TEXT: u64 = 256 << 10;

#[derive(Serialize)]
struct Text {
    text: String,
    left_out: Option<String>,
}

/// The type of a picture that every browser shows, by its first bytes.
fn picture(head: &[u8]) -> Option<&'static str> {
    match head {
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

fn hash(hex: &str) -> Result<ContentHash, Fault> {
    format!("sha256:{hex}")
        .parse()
        .map_err(|_| Fault::not_found(format!("there is no file `{hex}`")))
}

async fn opened(site: &Site, hex: &str) -> Result<std::fs::File, Fault> {
    Ok(site.runs.store().artifacts().open(&hash(hex)?).await?)
}

/// Serves a file.
pub(super) async fn file(
    State(site): State<Site>,
    Path(hex): Path<String>,
) -> Result<Response, Fault> {
    let mut file = opened(&site, &hex).await?;
    let read = tokio::task::spawn_blocking(move || {
        use std::io::Seek;
        let mut head = Vec::new();
        (&mut file).take(16).read_to_end(&mut head)?;
        file.rewind()?;
        Ok::<_, std::io::Error>((picture(&head), file.metadata()?.len(), file))
    });
    let failed = |_| Fault::internal(format!("file `{hex}` cannot be read"));
    let read = read.await.map_err(|_| Fault::internal("the server is stopping"))?;
    let (picture, size, file) = read.map_err(failed)?;
    let stream = ReaderStream::new(tokio::fs::File::from_std(file));
    let mut response = Body::from_stream(stream).into_response();
    let headers = response.headers_mut();
    let (kind, way) = match picture {
        Some(kind) => (kind, "inline"),
        None => ("application/octet-stream", "attachment"),
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static(way));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let nothing = HeaderValue::from_static("default-src 'none'; sandbox");
    headers.insert(header::CONTENT_SECURITY_POLICY, nothing);
    // It is named by its content; only who may see it keeps it.
    let kept = HeaderValue::from_static("private, max-age=86400, immutable");
    headers.insert(header::CACHE_CONTROL, kept);
    Ok(response)
}

/// The beginning of a file as text, to be put into a page.
pub(super) async fn text(
    State(site): State<Site>,
    viewer: Viewer,
    Path(hex): Path<String>,
) -> Result<Response, Fault> {
    let file = opened(&site, &hex).await?;
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        file.take(AS_TEXT).read_to_end(&mut bytes).map(|_| bytes)
    });
    let read = read.await.map_err(|_| Fault::internal("the server is stopping"))?;
    let bytes = read.map_err(|_| Fault::internal(format!("file `{hex}` cannot be read")))?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    // A reply of a service is JSON on one line, as a rule.
    let pretty = serde_json::from_str::<serde_json::Value>(&text).map(|value| format!("{value:#}"));
    let (text, left_out) = shortened(pretty.unwrap_or(text));
    let left_out = left_out
        .or_else(|| (bytes.len() as u64 == AS_TEXT).then(|| "the rest is not shown".to_owned()));
    let html = piece("text.html", &viewer, Text { text, left_out })?;
    Ok(axum::response::Html(html).into_response())
}
