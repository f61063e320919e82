//! Files of the store by their hash, whole or in part.
//!
//! They come from documents, models and strangers. So a browser is told a type that it can do
//! no harm with, and nothing else: pictures, PDF and plain text are shown, all the rest is
//! saved. HTML and SVG are among the rest.

#![expect(unused_qualifications, reason = "utoipa spells the paths of types out")]

use std::fs::File;
use std::io::{Seek, SeekFrom};

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flow_core::content::ContentHash;
use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;
use utoipa::IntoParams;

use super::Query;
use crate::problem::Problem;
use crate::state::Site;

/// Types that are shown.
const SHOWN: [&str; 6] =
    ["image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf", "text/plain"];

/// What cannot be shown is this.
const BYTES: &str = "application/octet-stream";

/// A file up to this size is checked from end to end before any of it is sent; a larger one
/// when it is sent from its beginning.
const CHECKED: u64 = 64 << 20;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// What the file is called where it is saved.
    name: Option<String>,
}

/// Sends a file of the store. It never changes, and may be kept for ever.
#[utoipa::path(get, path = "/api/v1/artifacts/{hash}", tag = "artifacts",
    params(("hash" = String, Path, description = "`sha256:` and 64 hexadecimal digits"), Asked,
        ("Range" = Option<String>, Header, description = "one range of bytes")),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>),
        (status = 206, description = "the range"),
        (status = 304, description = "the `ETag` that was given is right"),
        (status = 400, body = Problem),
        (status = 404, body = Problem),
        (status = 416, body = Problem, description = "there is no such range")))]
pub(super) async fn get(
    State(site): State<Site>,
    Path(hash): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let hash: ContentHash = hash
        .parse()
        .map_err(|error: flow_core::content::HashError| Problem::bad(error.to_string()))?;
    let artifacts = site.runs.store().artifacts();
    // Asked first, for what is not there is no failure of this server.
    artifacts.local_path(&hash)?;
    let (size, media_type) = site.runs.intake().look(hash, &hash.to_string()).await?;
    let etag = format!("\"{}\"", hash.hex());
    let given = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let mut response = Response::new(Body::empty());
    describe(&mut response, &etag, media_type, asked.name.as_deref());
    if given(header::IF_NONE_MATCH).is_some_and(|known| matches(known, &etag)) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    let applies = given(header::IF_RANGE).is_none_or(|known| known == etag);
    let range = given(header::RANGE).filter(|_| applies);
    let (first, length, status) = match range.map_or(Wanted::All, |range| Wanted::of(range, size)) {
        Wanted::All => (0, size, StatusCode::OK),
        Wanted::Part(first, last) => (first, last - first + 1, StatusCode::PARTIAL_CONTENT),
        Wanted::Nothing => return Ok(out_of(size)),
    };
    let file = if size <= CHECKED || first == 0 {
        artifacts.open(&hash).await?
    } else {
        let path = artifacts.local_path(&hash)?;
        File::open(&path).map_err(|error| unreadable(&hash, &error))?
    };
    *response.body_mut() = body(file, first, length).map_err(|error| unreadable(&hash, &error))?;
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, length.into());
    if status == StatusCode::PARTIAL_CONTENT {
        let last = first + length - 1;
        insert(headers, header::CONTENT_RANGE, &format!("bytes {first}-{last}/{size}"));
    }
    Ok(response)
}

fn body(mut file: File, first: u64, length: u64) -> std::io::Result<Body> {
    file.seek(SeekFrom::Start(first))?;
    let file = tokio::fs::File::from_std(file).take(length);
    Ok(Body::from_stream(ReaderStream::with_capacity(file, 64 << 10)))
}

/// Says what a file is, and how it may be used.
fn describe(response: &mut Response, etag: &str, media_type: &str, name: Option<&str>) {
    let shown = SHOWN.contains(&media_type);
    let how = if shown { "inline" } else { "attachment" };
    let name = name.map(|name| format!("; filename*=UTF-8''{}", encoded(name)));
    let headers = response.headers_mut();
    insert(
        headers,
        header::CONTENT_TYPE,
        match (shown, media_type) {
            (true, "text/plain") => "text/plain; charset=utf-8",
            (true, shown) => shown,
            (false, _) => BYTES,
        },
    );
    insert(headers, header::CONTENT_DISPOSITION, &format!("{how}{}", name.unwrap_or_default()));
    insert(headers, header::ETAG, etag);
    insert(headers, header::ACCEPT_RANGES, "bytes");
    insert(headers, header::CACHE_CONTROL, "private, max-age=31536000, immutable");
    // The viewer of PDF does not open in a sandbox.
    let policy = match media_type {
        "application/pdf" => "default-src 'none'; frame-ancestors 'self'",
        _ => "default-src 'none'; sandbox; frame-ancestors 'none'",
    };
    insert(headers, header::CONTENT_SECURITY_POLICY, policy);
    if media_type == "application/pdf" {
        insert(headers, header::X_FRAME_OPTIONS, "SAMEORIGIN");
    }
}

fn insert(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// A name as RFC 5987 writes it.
fn encoded(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let bytes = name.bytes().take(400);
    bytes
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn matches(known: &str, etag: &str) -> bool {
    known.split(',').map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == etag)
}

/// What is asked for of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// All of it; also where what is asked for is not understood.
    All,
    /// From the first byte to the last one.
    Part(u64, u64),
    /// Bytes that it does not have.
    Nothing,
}

impl Wanted {
    fn of(range: &str, size: u64) -> Self {
        Self::read(range, size).unwrap_or(Self::All)
    }

    fn read(range: &str, size: u64) -> Option<Self> {
        let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
        let number = |text: &str| -> Option<u64> {
            if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
        };
        let end = size.saturating_sub(1);
        let (first, last) = match (first, last) {
            ("", last) => match number(last)? {
                0 => return Some(Self::Nothing),
                length => (size.saturating_sub(length), end),
            },
            (first, "") => (number(first)?, end),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                if last < first {
                    return None;
                }
                (first, last.min(end))
            }
        };
        Some(if first < size { Self::Part(first, last) } else { Self::Nothing })
    }
}

fn out_of(size: u64) -> Response {
    let problem = Problem::new(
        StatusCode::RANGE_NOT_SATISFIABLE,
        format!("the file has {size} bytes, and none of those that are asked for"),
    );
    let mut response = problem.into_response();
    insert(response.headers_mut(), header::CONTENT_RANGE, &format!("bytes */{size}"));
    response
}

fn unreadable(hash: &ContentHash, error: &std::io::Error) -> Problem {
    let detail = format!("artifact {hash} cannot be read: {error}");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        for (range, size, meant) in [
            ("bytes=0-3", 10, Wanted::Part(0, 3)),
            ("bytes=4-", 10, Wanted::Part(4, 9)),
            ("bytes=-3", 10, Wanted::Part(7, 9)),
            ("bytes=-30", 10, Wanted::Part(0, 9)),
            ("bytes=8-100", 10, Wanted::Part(8, 9)),
            ("bytes=10-", 10, Wanted::Nothing),
            ("bytes=-0", 10, Wanted::Nothing),
            ("bytes=0-", 0, Wanted::Nothing),
            ("bytes=-1", 0, Wanted::Nothing),
            ("bytes=5-2", 10, Wanted::All),
            ("bytes=0-1,3-4", 10, Wanted::All),
            ("bytes=a-b", 10, Wanted::All),
            ("bytes=+1-2", 10, Wanted::All),
            ("bytes=-", 10, Wanted::All),
            ("lines=0-1", 10, Wanted::All),
        ] {
            assert_eq!(Wanted::of(range, size), meant, "{range} of {size}");
        }
    }

    #[test]
    fn a_name_is_written_so_that_it_ends_where_it_ends() {
        assert_eq!(encoded("a \"b\"\r\n;ü.pdf"), "a%20%22b%22%0D%0A%3B%C3%BC.pdf");
    }
}
