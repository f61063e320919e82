//! The files of the page, in the binary.
//!
//! Each is served under a name with the hash of its content, which may be kept for ever: what
//! changes has another name. `assets/README.md` says where those come from that are not ours.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flow_core::content::ContentHash;
use serde::Serialize;

/// Digits of a hash that stand in a name.
const DIGITS: usize = 16;

struct Asset {
    stem: &'static str,
    ending: &'static str,
    media_type: &'static str,
    bytes: &'static [u8],
}

macro_rules! asset {
    ($file:literal, $stem:literal, $ending:literal, $media_type:literal) => {
        Asset {
            stem: $stem,
            ending: $ending,
            media_type: $media_type,
            bytes: include_bytes!(concat!("../../assets/", $file)),
        }
    };
}

const STYLE: Asset = asset!("flow.css", "flow", "css", "text/css; charset=utf-8");
const SCRIPT: Asset = asset!("flow.js", "flow", "js", "text/javascript; charset=utf-8");
const THEME: Asset = asset!("theme.js", "theme", "js", "text/javascript; charset=utf-8");
const HTMX: Asset = asset!("htmx-2.0.11.min.js", "htmx", "js", "text/javascript; charset=utf-8");
const SSE: Asset =
    asset!("htmx-ext-sse-2.2.4.min.js", "htmx-sse", "js", "text/javascript; charset=utf-8");
const ICON: Asset = asset!("icon.svg", "icon", "svg", "image/svg+xml");

/// The addresses of the files, for the templates.
#[derive(Serialize)]
pub(super) struct Addresses {
    style: String,
    script: String,
    theme: String,
    htmx: String,
    sse: String,
    icon: String,
}

/// Every file, by its name.
static NAMED: LazyLock<Vec<(String, Asset)>> = LazyLock::new(|| {
    [STYLE, SCRIPT, THEME, HTMX, SSE, ICON].map(|asset| (name(&asset), asset)).into()
});

pub(super) static ADDRESSES: LazyLock<Addresses> = LazyLock::new(|| Addresses {
    style: address(&STYLE),
    script: address(&SCRIPT),
    theme: address(&THEME),
    htmx: address(&HTMX),
    sse: address(&SSE),
    icon: address(&ICON),
});

fn name(asset: &Asset) -> String {
    let hash = ContentHash::of_bytes(asset.bytes).hex();
    format!("{}-{}.{}", asset.stem, &hash[..DIGITS], asset.ending)
}

fn address(asset: &Asset) -> String {
    format!("/assets/{}", name(asset))
}

/// Serves a file; one of an older page is not there any more.
pub(super) async fn asset(Path(asked): Path<String>) -> Response {
    let Some((_, asset)) = NAMED.iter().find(|(name, _)| *name == asked) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let mut response = asset.bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.media_type));
    let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
    headers.insert(header::CACHE_CONTROL, forever);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
