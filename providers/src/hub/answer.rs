//! What a hub's answers say: pure functions of their heads.

use flow_core::content::ContentHash;
use flow_core::error::{ErrorClass, Failure};
use reqwest::Url;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, LOCATION};

use super::{Offer, Wanted};
use crate::http::Incoming;
use crate::service::class_of_status;

/// The hash and the bytes of a file that lies elsewhere.
const LINKED_ETAG: &str = "x-linked-etag";
const LINKED_SIZE: &str = "x-linked-size";

/// The commit that a revision stands for.
const COMMIT: &str = "x-repo-commit";

/// Why a hub refuses, in one word.
const ERROR: &str = "x-error-code";

/// Whether an answer that sends on says what it sends on to.
pub(super) fn is_about_file(incoming: &Incoming) -> bool {
    [LINKED_ETAG, LINKED_SIZE].iter().any(|name| incoming.headers.contains_key(*name))
}

pub(super) fn offer(incoming: &Incoming, place: Url) -> Offer {
    let text = |name: &str| text(&incoming.headers, name);
    let etag = text(LINKED_ETAG).or_else(|| text(ETAG.as_str()));
    let sha256 = etag.as_deref().and_then(sha256);
    // The length of an answer that sends on is that of its own few words.
    let length = || text(CONTENT_LENGTH.as_str()).filter(|_| incoming.is_success());
    let size = text(LINKED_SIZE).or_else(length).and_then(|size| size.parse().ok());
    Offer { size, sha256, commit: text(COMMIT), etag, place }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// The hash that a tag is, if it is one.
fn sha256(etag: &str) -> Option<ContentHash> {
    let digits = etag.trim_start_matches("W/").trim_matches('"');
    format!("sha256:{digits}").parse().ok()
}

/// The tag by which a part can be asked for, of an answer that holds bytes.
pub(super) fn validator(incoming: &Incoming) -> Option<String> {
    text(&incoming.headers, ETAG.as_str()).filter(|etag| !etag.starts_with("W/"))
}

/// Where the bytes of a part begin, and how many the whole has.
pub(super) fn range(incoming: &Incoming) -> Option<(u64, Option<u64>)> {
    let range = text(&incoming.headers, CONTENT_RANGE.as_str())?;
    let (bytes, whole) = range.strip_prefix("bytes ")?.split_once('/')?;
    let (from, _) = bytes.split_once('-')?;
    Some((from.parse().ok()?, whole.parse().ok()))
}

pub(super) fn sent_on(incoming: &Incoming, from: &Url) -> Result<Url, Failure> {
    let place = text(&incoming.headers, LOCATION.as_str());
    let place = place.and_then(|place| from.join(&place).ok());
    place.filter(|place| matches!(place.scheme(), "http" | "https")).ok_or_else(|| {
        Failure::new(ErrorClass::Server, "the hub sends on to nowhere that can be asked")
    })
}

/// A call that nobody answered.
pub(super) fn unreached(failure: Failure) -> Failure {
    match failure.hint {
        Some(_) => failure.with_hint("see that there is a network, and what `FLOW_HUB` names"),
        None => failure,
    }
}

/// The failure of an answer that is a refusal.
pub(super) fn refused(base: &Url, token: bool, wanted: Wanted<'_>, incoming: &Incoming) -> Failure {
    let Wanted { repository, revision, path } = wanted;
    let page = format!("{base}{repository}");
    let word = text(&incoming.headers, ERROR).unwrap_or_default();
    let status = incoming.status;
    let (class, message, hint) = match (word.as_str(), status) {
        ("EntryNotFound", _) => (
            ErrorClass::NotFound,
            format!("there is no file `{path}` in `{repository}`"),
            Some(format!("see its files at {page}/tree/{revision}")),
        ),
        ("RevisionNotFound", _) => (
            ErrorClass::NotFound,
            format!("`{repository}` has no revision `{revision}`"),
            Some(format!("see its revisions at {page}")),
        ),
        ("GatedRepo", _) => (
            ErrorClass::Auth,
            format!("`{repository}` is given only to who accepted its terms"),
            Some(format!("accept them at {page}, and set `HF_TOKEN` to a token of yours")),
        ),
        ("RepoNotFound", _) | (_, 401 | 403) if !token => (
            ErrorClass::NotFound,
            format!("the hub shows no repository `{repository}`"),
            Some("see how it is spelt; if it is private, set `HF_TOKEN`".to_owned()),
        ),
        ("RepoNotFound", _) => (
            ErrorClass::NotFound,
            format!("the hub shows no repository `{repository}` to the owner of `HF_TOKEN`"),
            None,
        ),
        (_, 401) => (
            ErrorClass::Auth,
            "the hub does not take the token in `HF_TOKEN`".to_owned(),
            Some(format!("see your tokens at {base}settings/tokens")),
        ),
        (_, 404) => {
            (ErrorClass::NotFound, format!("the hub has no {wanted}"), Some(format!("see {page}")))
        }
        (_, status) => (
            class_of_status(status),
            format!("the hub answered {wanted} with status {status}"),
            None,
        ),
    };
    let mut failure = Failure::new(class, message);
    failure.status = Some(status);
    failure.hint = hint;
    failure
}
