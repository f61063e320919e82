//! Files of models, from a hub that speaks as Hugging Face's does.
//!
//! ```text
//!  look ──HEAD──▶ hub            size, SHA-256, commit; where the bytes are
//!  download:  look ─▶ GET, from where it stopped ─▶ PART ─▶ size and hash ─▶ whole
//!               ▲                       │ broke off
//!               └───────────────────────┘
//! ```
//! The hub itself is asked with the user's token, where there is one; whoever it sends on to
//! is another host, and is asked without. A download that breaks off goes on at once if bytes
//! came, and after a while if none did. What was got by then stays in its part, also when the
//! process is killed, and whoever asks for the file again goes on there, if the hub still has
//! the same one. Left out: several connections at once, and what becomes of a whole file.

mod answer;
mod download;
mod part;
#[cfg(test)]
mod tests;

use flow_core::content::ContentHash;
use flow_core::error::{ErrorClass, Failure};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

pub use download::{Expected, Fetched, Told};

use crate::http::{Body, Call, Http, Incoming, Patience};
use crate::redact::Redactor;
use crate::tape::Tape;

/// Where files are pulled from where nobody says.
const USUAL: &str = "https://huggingface.co";

/// How often a hub may send on to another address.
const REDIRECTS: usize = 5;

/// How long is waited for an answer, and for the next bytes of it.
const WAIT: Duration = Duration::from_mins(1);

/// A hub.
#[derive(Clone, Debug)]
pub struct Hub {
    http: Http,
    base: Url,
    token: Option<HeaderValue>,
    redactor: Redactor,
}

/// A file that is wanted of it.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The repository: `ORG/NAME`.
    pub repository: &'a str,
    /// A branch, a tag or a commit.
    pub revision: &'a str,
    /// The path of the file in it.
    pub path: &'a str,
}

/// What a hub says of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its bytes.
    pub size: Option<u64>,
    /// Its hash, which hubs know of large files.
    pub sha256: Option<ContentHash>,
    /// The commit that its revision stands for.
    pub commit: Option<String>,
    /// What changes when the file does.
    etag: Option<String>,
    /// Where its bytes are.
    place: Url,
}

impl Hub {
    /// The hub at this address, or the usual one. The token says who asks; it is told to
    /// nobody else, and in no message.
    pub fn new(base: Option<&str>, token: Option<String>) -> Result<Self, Failure> {
        let named = base.unwrap_or(USUAL);
        let wrong = |why: &str| {
            Failure::input(format!("`{named}` is no address of a hub: {why}"))
                .with_hint("`FLOW_HUB` names it, for example `https://hub.example.org`")
        };
        // A slash at the end, so that what is joined to it stays below it.
        let base = Url::parse(&format!("{}/", named.trim_end_matches('/')))
            .map_err(|error| wrong(&error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(wrong("only http and https are asked"));
        }
        let redactor = Redactor::new(token.clone());
        let token = token.map(|token| HeaderValue::from_str(&format!("Bearer {token}")));
        let token = token
            .transpose()
            .map_err(|_| Failure::input("`HF_TOKEN` holds letters that no token has"))?;
        let token = token.map(|mut token| {
            token.set_sensitive(true);
            token
        });
        Ok(Self { http: Http::new(Tape::default()), base, token, redactor })
    }

    /// Asks what there is of a file, and takes nothing of it.
    ///
    /// Dropping the future ends the call.
    pub async fn look(
        &self,
        wanted: Wanted<'_>,
        cancel: &CancellationToken,
    ) -> Result<Offer, Failure> {
        let mut at = self.address(wanted)?;
        for _ in 0..=REDIRECTS {
            let incoming = self.ask(Method::HEAD, &at, HeaderMap::new(), cancel).await?;
            let next = match incoming.status {
                200..=299 => None,
                301 | 302 | 303 | 307 | 308 => Some(answer::sent_on(&incoming, &at)?),
                _ => return Err(self.refused(wanted, &incoming)),
            };
            match next {
                None => return Ok(answer::offer(&incoming, at)),
                // What it says of the file itself, it says when it sends on to its bytes.
                Some(next) if answer::is_about_file(&incoming) => {
                    return Ok(answer::offer(&incoming, next));
                }
                Some(next) => at = next,
            }
        }
        let message = format!("the hub sends on more than {REDIRECTS} times for {wanted}");
        Err(Failure::new(ErrorClass::Server, message))
    }

    /// Where a file is asked for.
    fn address(&self, wanted: Wanted<'_>) -> Result<Url, Failure> {
        let Wanted { repository, revision, path } = wanted;
        let mut url = self.base.clone();
        let parts = repository.split('/').chain(["resolve", revision]).chain(path.split('/'));
        match url.path_segments_mut() {
            Ok(mut segments) => {
                segments.pop_if_empty().extend(parts);
            }
            Err(()) => {
                return Err(Failure::input(format!("`{}` is no address of a hub", self.base)));
            }
        }
        Ok(url)
    }

    /// Makes a call: with the token at the hub, without it anywhere else.
    async fn ask(
        &self,
        method: Method,
        url: &Url,
        mut headers: HeaderMap,
        cancel: &CancellationToken,
    ) -> Result<Incoming, Failure> {
        if let Some(token) = self.token.as_ref().filter(|_| url.origin() == self.base.origin()) {
            headers.insert(AUTHORIZATION, token.clone());
        }
        let call = Call {
            provider: "hub".to_owned(),
            kind: "hub",
            base_url: String::new(),
            method,
            url: url.to_string(),
            headers,
            body: Body::Empty,
            patience: Patience { answer: WAIT, pause: WAIT, ..Patience::default() },
            redactor: self.redactor.clone(),
        };
        self.http.open(call, cancel).await.map_err(answer::unreached)
    }

    fn refused(&self, wanted: Wanted<'_>, incoming: &Incoming) -> Failure {
        answer::refused(&self.base, self.token.is_some(), wanted, incoming)
    }
}

impl std::fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` of `{}`", self.path, self.repository)
    }
}
