//! Getting a file whole, however often its bytes break off.

use std::path::Path;
use std::time::Duration;

use flow_core::content::ContentHash;
use flow_core::engine::Clock;
use flow_core::error::{ErrorClass, Failure};
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderValue, IF_RANGE, RANGE};
use tokio_util::sync::CancellationToken;

use super::part::{Of, Part};
use super::{Hub, Offer, REDIRECTS, Wanted, answer};
use crate::http::Incoming;

/// Bytes are written and hashed so many at a time.
const PIECE: usize = 1 << 20;

/// How often it is tried in a row without a byte more.
const TRIES: u32 = 5;

/// The wait before the second try in a row without a byte more; it doubles.
const WAIT: Duration = Duration::from_secs(1);

/// What a file must be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected {
    /// Its bytes.
    pub size: Option<u64>,
    /// Its hash.
    pub sha256: Option<ContentHash>,
}

/// A file that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its bytes.
    pub size: u64,
    /// Its hash.
    pub sha256: ContentHash,
}

/// What happens while a file is pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// So many bytes of it are here before the first is asked for.
    Began {
        /// Bytes that are here.
        at: u64,
        /// Bytes of the whole.
        size: Option<u64>,
    },
    /// More bytes came.
    Came {
        /// Bytes that are here.
        at: u64,
    },
    /// What was here is of no use, and it begins anew.
    Anew {
        /// Why.
        why: &'static str,
    },
    /// The bytes broke off.
    Broke {
        /// Why.
        why: String,
        /// How long is waited before it goes on.
        wait: Duration,
    },
}

/// Who is told.
type Tell<'t> = &'t mut (dyn FnMut(Told) + Send);

impl Hub {
    /// Gets a file into a part, goes on where that part ends, and checks size and hash.
    ///
    /// Ends soon after the token is cancelled. What came stays in the part then, and when the
    /// future is dropped or the process dies; a part with a wrong hash is removed.
    pub async fn download(
        &self,
        wanted: Wanted<'_>,
        expected: Expected,
        part: &Path,
        clock: &dyn Clock,
        cancel: &CancellationToken,
        tell: Tell<'_>,
    ) -> Result<Fetched, Failure> {
        let path = part.to_path_buf();
        let mut part = blocking(move || Part::open(&path)).await?;
        let mut begun = false;
        let mut barren = 0;
        let offer = loop {
            let offer = match self.look(wanted, cancel).await {
                Ok(offer) => offer,
                Err(failure) => {
                    barren = wait(failure, barren + 1, clock, cancel, tell).await?;
                    continue;
                }
            };
            let expected = agreed(wanted, expected, &offer)?;
            fit(&mut part, &offer, expected, tell)?;
            if !begun {
                tell(Told::Began { at: part.length(), size: expected.size });
                begun = true;
            }
            if expected.size == Some(part.length()) && part.of().etag.is_some() {
                break expected;
            }
            let before = part.length();
            let ended;
            (part, ended) = self.get(part, wanted, &offer, expected, cancel, tell).await?;
            match ended {
                Ok(()) => break expected,
                Err(failure) => {
                    barren = if part.length() > before { 0 } else { barren + 1 };
                    barren = wait(failure, barren, clock, cancel, tell).await?;
                }
            }
        };
        let path = wanted.path.to_owned();
        blocking(move || whole(part, &path, offer)).await
    }

    /// Gets what is missing. The part comes back however it ends, if its thread does.
    async fn get(
        &self,
        mut part: Part,
        wanted: Wanted<'_>,
        offer: &Offer,
        expected: Expected,
        cancel: &CancellationToken,
        tell: Tell<'_>,
    ) -> Result<(Part, Result<(), Failure>), Failure> {
        let mut incoming = match self.open(&mut part, wanted, offer, expected, cancel, tell).await {
            Ok(incoming) => incoming,
            Err(failure) => return Ok((part, Err(failure))),
        };
        let mut piece = Vec::with_capacity(PIECE);
        loop {
            let came = tokio::select! {
                came = incoming.next() => came,
                () = cancel.cancelled() => Some(Err(stopped())),
            };
            let ended = match came {
                Some(Ok(bytes)) => {
                    piece.extend_from_slice(&bytes);
                    if piece.len() < PIECE {
                        continue;
                    }
                    None
                }
                Some(Err(failure)) => Some(Err(failure)),
                None => Some(Ok(())),
            };
            let bytes = std::mem::replace(&mut piece, Vec::with_capacity(PIECE));
            let path = wanted.path.to_owned();
            let added;
            (part, added) = blocking(move || {
                let added = add(&mut part, &path, &bytes, expected.size);
                Ok((part, added))
            })
            .await?;
            if let Err(failure) = added {
                return Ok((part, Err(failure)));
            }
            tell(Told::Came { at: part.length() });
            match ended {
                None => {}
                Some(Ok(())) => {
                    let ended = is_whole(&part, wanted, expected);
                    return Ok((part, ended));
                }
                Some(Err(failure)) => return Ok((part, Err(failure))),
            }
        }
    }

    /// Opens the rest of a file, and makes the part fit what comes.
    async fn open(
        &self,
        part: &mut Part,
        wanted: Wanted<'_>,
        offer: &Offer,
        expected: Expected,
        cancel: &CancellationToken,
        tell: Tell<'_>,
    ) -> Result<Incoming, Failure> {
        let mut at = offer.place.clone();
        for _ in 0..=REDIRECTS {
            let headers = rest(part);
            let incoming = self.ask(Method::GET, &at, headers, cancel).await?;
            match incoming.status {
                206 if is_rest(&incoming, part.length(), expected.size) => return Ok(incoming),
                206 | 416 => {
                    part.empty()?;
                    tell(Told::Anew { why: "its host gave another part than was asked for" });
                    let message =
                        format!("the host of {wanted} gave another part than was asked for");
                    return Err(Failure::new(ErrorClass::Connection, message));
                }
                200..=299 => {
                    if part.length() > 0 {
                        part.empty()?;
                        tell(Told::Anew { why: "its host gives no part of it, or has another" });
                    }
                    let (etag, size) = (offer.etag.clone(), expected.size);
                    part.is_of(Of { etag, validator: answer::validator(&incoming), size })?;
                    return Ok(incoming);
                }
                301 | 302 | 303 | 307 | 308 => at = answer::sent_on(&incoming, &at)?,
                _ => return Err(self.refused(wanted, &incoming)),
            }
        }
        let message = format!("the hub sends on more than {REDIRECTS} times for {wanted}");
        Err(Failure::new(ErrorClass::Server, message))
    }
}

/// Runs what reads or writes a file where it holds nobody up.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Failure::internal(format!("a thread is gone: {error}"))))
}

/// What the file must be, as far as it is known; a failure where the hub has another one.
fn agreed(wanted: Wanted<'_>, expected: Expected, offer: &Offer) -> Result<Expected, Failure> {
    let other = |what: &str, known: String, has: String| {
        let message = format!("{wanted} is another file now: its {what} is {has}, and was {known}");
        Err(Failure::new(ErrorClass::BadRequest, message)
            .with_hint("pull it as `hf:ORG/NAME:FILE` if you trust it"))
    };
    match (expected.size, offer.size, expected.sha256, offer.sha256) {
        (Some(known), Some(has), _, _) if known != has => {
            other("size", known.to_string(), has.to_string())
        }
        (_, _, Some(known), Some(has)) if known != has => {
            other("hash", known.to_string(), has.to_string())
        }
        _ => Ok(Expected {
            size: expected.size.or(offer.size),
            sha256: expected.sha256.or(offer.sha256),
        }),
    }
}

/// Empties a part of another file than the one that is offered.
fn fit(part: &mut Part, offer: &Offer, expected: Expected, tell: Tell<'_>) -> Result<(), Failure> {
    let of = part.of();
    let same = of.etag.is_some() && of.etag == offer.etag && of.size == expected.size;
    let longer = expected.size.is_some_and(|size| part.length() > size);
    if part.length() > 0 && (!same || longer) {
        part.empty()?;
        tell(Told::Anew { why: "it is another file now" });
    }
    if part.length() == 0 && !same {
        part.is_of(Of { etag: offer.etag.clone(), validator: None, size: expected.size })?;
    }
    Ok(())
}

/// Asks for what is missing, and for all of it where the file is another by then.
fn rest(part: &Part) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if part.length() > 0 {
        // Digits and a tag that came as a header field are one.
        if let Ok(range) = HeaderValue::from_str(&format!("bytes={}-", part.length())) {
            headers.insert(RANGE, range);
        }
        let validator = part.of().validator.as_deref().map(HeaderValue::from_str);
        if let Some(Ok(validator)) = validator {
            headers.insert(IF_RANGE, validator);
        }
    }
    headers
}

fn is_rest(incoming: &Incoming, at: u64, size: Option<u64>) -> bool {
    match answer::range(incoming) {
        Some((from, Some(whole))) => from == at && size.is_none_or(|size| size == whole),
        Some((from, None)) => from == at,
        None => false,
    }
}

fn add(part: &mut Part, path: &str, bytes: &[u8], size: Option<u64>) -> Result<(), Failure> {
    let more = part.length() + bytes.len() as u64;
    if let Some(size) = size.filter(|size| more > *size) {
        part.empty()?;
        let message = format!("the host of `{path}` gave more than the {size} bytes it has");
        return Err(Failure::new(ErrorClass::BadRequest, message));
    }
    part.add(bytes)
}

fn is_whole(part: &Part, wanted: Wanted<'_>, expected: Expected) -> Result<(), Failure> {
    match expected.size {
        Some(size) if part.length() < size => {
            let message = format!("{wanted} ended after {} of {size} bytes", part.length());
            Err(Failure::new(ErrorClass::Connection, message))
        }
        Some(_) | None => Ok(()),
    }
}

/// Waits before another try, or gives the failure where none can help. Gives the tries so far.
async fn wait(
    failure: Failure,
    barren: u32,
    clock: &dyn Clock,
    cancel: &CancellationToken,
    tell: Tell<'_>,
) -> Result<u32, Failure> {
    if barren >= TRIES || !failure.class.passes() {
        return Err(failure);
    }
    let wait = match (failure.retry_after, barren) {
        (Some(told), _) => told,
        (None, 0) => Duration::ZERO,
        (None, barren) => WAIT * 2_u32.pow(barren - 1),
    };
    tell(Told::Broke { why: failure.message, wait });
    tokio::select! {
        () = clock.sleep(wait) => Ok(barren),
        () = cancel.cancelled() => Err(stopped()),
    }
}

fn whole(part: Part, path: &str, expected: Expected) -> Result<Fetched, Failure> {
    let fetched = Fetched { size: part.length(), sha256: part.sha256() };
    match expected.sha256 {
        Some(wanted) if wanted != fetched.sha256 => {
            part.discard()?;
            let message =
                format!("`{path}` came with the hash {}, and has to have {wanted}", fetched.sha256);
            Err(Failure::new(ErrorClass::InvalidOutput, message)
                .with_hint("it was removed: the same command begins anew"))
        }
        Some(_) | None => {
            part.finish()?;
            Ok(fetched)
        }
    }
}

fn stopped() -> Failure {
    Failure::new(ErrorClass::Cancelled, "the pull was stopped")
}
