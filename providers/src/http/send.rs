//! Making an exchange on the wire.

use std::sync::Arc;

use bytes::Bytes;
use flow_core::error::{ErrorClass, Failure};
use futures::StreamExt;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, USER_AGENT};
use reqwest::redirect::Policy;
use tokio_util::sync::CancellationToken;

use super::guard::{Allowed, Guard, NotPublic};
use super::{Body, Call, Incoming, Reply};
use crate::redact::Redactor;
use crate::tape::{Asked, Tape};

/// Bodies up to this size are sent in one piece.
const SMALL: u64 = 256 << 10;

/// Makes exchanges; clones share their connections.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    client: reqwest::Client,
    tape: Tape,
}

impl Http {
    /// Makes the one client of a process. It connects to nobody yet.
    pub(crate) fn new(tape: Tape) -> Self {
        Self::of(Self::builder(), tape)
    }

    /// Makes a client that asks only addresses that are allowed, and no proxy, which would
    /// look names up by itself. Addresses that stand in a URL as they are, are the caller's
    /// to check.
    pub(crate) fn guarded(allowed: Allowed, tape: Tape) -> Self {
        Self::of(Self::builder().no_proxy().dns_resolver(Arc::new(Guard(allowed))), tape)
    }

    fn builder() -> reqwest::ClientBuilder {
        // One library for TLS and its ciphers; who set it up before did the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder()
            // A key must not follow a redirect to somebody else.
            .redirect(Policy::none())
            .connect_timeout(super::Patience::default().connect)
    }

    fn of(builder: reqwest::ClientBuilder, tape: Tape) -> Self {
        let client = builder.build();
        Self { client: client.expect("a client without settings from outside can be made"), tape }
    }

    /// Whether a cassette is used, to record or to answer.
    pub(crate) fn is_taped(&self) -> bool {
        !self.tape.is_off()
    }

    /// Whether answers come from a cassette.
    pub(crate) fn is_replaying(&self) -> bool {
        self.tape.is_replaying()
    }

    /// Makes an exchange and reads the answer to its end, whatever its status.
    ///
    /// Ends soon after the token is cancelled. Dropping the future ends the exchange; the
    /// request may have been taken by then.
    pub(crate) async fn send(
        &self,
        call: Call,
        cancel: &CancellationToken,
    ) -> Result<Reply, Failure> {
        tokio::select! {
            reply = async { self.open_now(call, cancel).await?.read().await } => reply,
            () = cancel.cancelled() => Err(stopped()),
        }
    }

    /// Makes an exchange and returns when the head of the answer is there, whatever its
    /// status; the answer's bytes follow.
    ///
    /// Ends soon after the token is cancelled. Dropping the future ends the exchange; the
    /// request may have been taken by then.
    pub(crate) async fn open(
        &self,
        call: Call,
        cancel: &CancellationToken,
    ) -> Result<Incoming, Failure> {
        tokio::select! {
            incoming = self.open_now(call, cancel) => incoming,
            () = cancel.cancelled() => Err(stopped()),
        }
    }

    /// Asks the tape, and then the wire.
    async fn open_now(&self, call: Call, cancel: &CancellationToken) -> Result<Incoming, Failure> {
        if self.tape.is_off() {
            return self.ask(call).await;
        }
        let asked = Asked::of(&call).await?;
        if let Some(played) = self.tape.answer(&asked) {
            return Ok(Incoming::played(call.provider, played?));
        }
        let take = self.tape.take(asked, &call.redactor, cancel);
        match (self.ask(call).await, take) {
            (Ok(mut incoming), Some(mut take)) => {
                take.answered(incoming.status, &incoming.headers);
                incoming.take = Some(take);
                Ok(incoming)
            }
            (Err(failure), Some(take)) => {
                take.broke(&failure);
                Err(failure)
            }
            (asked, None) => asked,
        }
    }

    async fn ask(&self, call: Call) -> Result<Incoming, Failure> {
        let Call { provider, method, url, headers, body, patience, redactor, .. } = call;
        let told = Told { provider: provider.clone(), url: url.clone(), redactor };
        let request = self.client.request(method, &url).headers(headers);
        let request = request.header(USER_AGENT, concat!("flow/", env!("CARGO_PKG_VERSION")));
        let request = with_body(request, body).await.map_err(|error| told.unreadable(&error))?;
        let sent = tokio::time::timeout(patience.answer, request.send());
        let response = match sent.await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(told.broken(&error)),
            Err(_) => {
                let wait = patience.answer;
                let message = format!("provider `{provider}` did not answer within {wait:?}");
                return Err(Failure::new(ErrorClass::Timeout, message));
            }
        };
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes_stream().map(move |bytes| bytes.map_err(|e| told.broken(&e)));
        let (bytes, pause) = (bytes.boxed(), patience.pause);
        Ok(Incoming { provider, status, headers, bytes, pause, take: None })
    }
}

async fn with_body(
    request: reqwest::RequestBuilder,
    body: Body,
) -> std::io::Result<reqwest::RequestBuilder> {
    let Some((media_type, pieces)) = body.into_pieces() else { return Ok(request) };
    let request = match media_type {
        Some(media_type) => request.header(CONTENT_TYPE, media_type),
        None => request,
    };
    let length = pieces.length();
    if length <= SMALL {
        let pieces: Vec<_> = pieces.stream().collect().await;
        let pieces = pieces.into_iter().collect::<std::io::Result<Vec<Bytes>>>()?;
        Ok(request.body(pieces.concat()))
    } else {
        let request = request.header(CONTENT_LENGTH, length);
        Ok(request.body(reqwest::Body::wrap_stream(pieces.stream())))
    }
}

fn stopped() -> Failure {
    Failure::new(ErrorClass::Cancelled, "the call was stopped")
}

/// What may be told of an exchange that failed.
struct Told {
    provider: String,
    url: String,
    redactor: Redactor,
}

impl Told {
    fn unreadable(&self, error: &std::io::Error) -> Failure {
        let message = format!("provider `{}`: cannot read what to send: {error}", self.provider);
        Failure::new(ErrorClass::Io, message)
    }

    /// Names what went wrong on the wire by its innermost cause: the outer ones only say that
    /// something did.
    fn broken(&self, error: &reqwest::Error) -> Failure {
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        if let Some(why) = cause.downcast_ref::<NotPublic>() {
            return crate::service::not_public(&self.url, &why.to_string());
        }
        let cause = self.redactor.text(&cause.to_string());
        let (provider, url) = (&self.provider, self.redactor.text(origin(&self.url)));
        if error.is_builder() {
            let message = format!("provider `{provider}`: `{url}` cannot be called: {cause}");
            return Failure::input(message).with_hint("see its `base_url`");
        }
        let reached = !error.is_connect();
        let class = if error.is_timeout() { ErrorClass::Timeout } else { ErrorClass::Connection };
        if reached {
            let message = format!("provider `{provider}`: `{url}` broke off: {cause}");
            return Failure::new(class, message);
        }
        let message = format!("provider `{provider}`: cannot reach `{url}`: {cause}");
        Failure::new(class, message).with_hint("see that it runs, and its `base_url`")
    }
}

/// Scheme, host and port of a URL: what follows may be long and says nothing of a connection.
pub(super) fn origin(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    url[start..].find('/').map_or(url, |at| &url[..start + at])
}
