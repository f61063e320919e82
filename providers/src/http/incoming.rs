//! What comes back: the head of an answer, then its bytes as they come.

use std::time::Duration;

use bytes::Bytes;
use flow_core::error::{ErrorClass, Failure};
use futures::stream::{self, BoxStream, StreamExt};
use reqwest::header::HeaderMap;

use super::LARGEST_ANSWER;
use crate::tape::{Played, Take};

/// An answer whose head has come.
///
/// Dropping it ends the exchange.
pub(crate) struct Incoming {
    /// Who answers, for messages.
    pub(crate) provider: String,
    /// The status.
    pub(crate) status: u16,
    /// The header fields.
    pub(crate) headers: HeaderMap,
    /// The bytes; a failure is the last item.
    pub(crate) bytes: BoxStream<'static, Result<Bytes, Failure>>,
    /// How long the next piece may take.
    pub(crate) pause: Duration,
    /// Takes down what comes, where it is recorded.
    pub(crate) take: Option<Take>,
}

/// An answer that came to its end.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// The status.
    pub(crate) status: u16,
    /// The header fields.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Incoming {
    /// An answer that came before.
    pub(super) fn played(provider: String, played: Played) -> Self {
        let Played { heard, failure } = played;
        let pieces = heard.pieces.into_iter().map(Ok).chain(failure.map(Err));
        Self {
            provider,
            status: heard.status,
            headers: heard.headers,
            bytes: stream::iter(pieces.collect::<Vec<_>>()).boxed(),
            // Nobody is waited for.
            pause: Duration::MAX,
            take: None,
        }
    }

    /// Whether the status says that all is well.
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The next bytes; none at the end.
    ///
    /// Dropping the future loses nothing that came.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, Failure>> {
        let next = match tokio::time::timeout(self.pause, self.bytes.next()).await {
            Ok(next) => next,
            Err(_) => {
                let (provider, pause) = (&self.provider, self.pause);
                let message = format!("provider `{provider}` sent nothing for {pause:?}");
                Some(Err(Failure::new(ErrorClass::Timeout, message)))
            }
        };
        if let Some(take) = &mut self.take {
            take.came(next.as_ref());
        }
        next
    }

    /// Reads to the end. Dropping the future ends the exchange.
    pub(crate) async fn read(mut self) -> Result<Reply, Failure> {
        let mut body = Vec::new();
        while let Some(bytes) = self.next().await {
            body.extend_from_slice(&bytes?);
            if body.len() as u64 > LARGEST_ANSWER {
                return Err(too_large(&self.provider));
            }
        }
        Ok(Reply { status: self.status, headers: self.headers, body })
    }
}

pub(super) fn too_large(provider: &str) -> Failure {
    let message = format!("provider `{provider}` answered more than {LARGEST_ANSWER} bytes");
    Failure::new(ErrorClass::Limit, message)
}
