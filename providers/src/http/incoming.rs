//! What comes back: the head of an answer, then its bytes as they come.

use std::time::Duration;

use bytes::Bytes;
use flow_core::error::{ErrorClass, Failure};
use futures::stream::{BoxStream, StreamExt};
use reqwest::header::HeaderMap;

use super::LARGEST_ANSWER;

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
    /// Whether the status says that all is well.
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The next bytes; none at the end.
    ///
    /// Dropping the future loses nothing that came.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, Failure>> {
        match tokio::time::timeout(self.pause, self.bytes.next()).await {
            Ok(next) => next,
            Err(_) => {
                let (provider, pause) = (&self.provider, self.pause);
                let message = format!("provider `{provider}` sent nothing for {pause:?}");
                Some(Err(Failure::new(ErrorClass::Timeout, message)))
            }
        }
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
