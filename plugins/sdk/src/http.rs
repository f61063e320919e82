//! Requests to hosts that were granted. Needs the grant `http`.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::base::flow::plugin::content::Body;
use crate::bindings::base::flow::plugin::http;
use crate::{Error, File, Result};

/// A request that is being put together. Secrets are no part of it: flow puts them into the
/// header fields that the plugin asks for by `secret_header`.
#[derive(Debug)]
pub struct Request(http::Request);

/// What came back, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Its header fields, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

/// Asks for an address.
pub fn get(url: &str) -> Request {
    Request::new("GET", url)
}

/// Sends something to an address.
pub fn post(url: &str) -> Request {
    Request::new("POST", url)
}

impl Request {
    /// A request by any method.
    pub fn new(method: &str, url: &str) -> Self {
        Self(http::Request {
            method: method.to_owned(),
            url: url.to_owned(),
            headers: Vec::new(),
            body: None,
            timeout_ms: None,
            extra: "{}".into(),
        })
    }

    /// With a header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.0.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a body.
    #[must_use]
    pub fn body(mut self, bytes: Vec<u8>) -> Self {
        self.0.body = Some(Body::Bytes(bytes));
        self
    }

    /// With this as its body, as JSON.
    pub fn json(self, value: &impl Serialize) -> Result<Self> {
        let bytes = serde_json::to_vec(value)?;
        Ok(self.header("content-type", "application/json").body(bytes))
    }

    /// With the most time that it may take; the call's own deadline holds anyway.
    #[must_use]
    pub fn timeout(mut self, most: Duration) -> Self {
        self.0.timeout_ms = Some(most.as_millis() as u64);
        self
    }

    /// Sends it. An answer of any status is no error. No redirect is followed.
    pub fn send(self) -> Result<Response> {
        let http::Response { status, headers, body, extra: _ } =
            http::send(self.0).map_err(Error::of_host)?;
        let body = match body {
            Body::Text(text) => text.into_bytes(),
            Body::Bytes(bytes) => bytes,
            Body::Artifact(file) => File::made(file).bytes()?,
        };
        Ok(Response { status, headers, body })
    }
}

impl Response {
    /// The response, or an error where its status says that it is none: one that may pass is
    /// retryable.
    pub fn ok(self) -> Result<Self> {
        let said: String = String::from_utf8_lossy(&self.body).chars().take(200).collect();
        let message = format!("the server answered {}: {said}", self.status);
        match self.status {
            200..=299 => Ok(self),
            404 => Err(Error::not_found(message)),
            429 => Err(Error::rate_limited(message, self.retry_after())),
            408 | 500..=599 => Err(Error::unavailable(message)),
            _ => Err(Error::new("internal", message)),
        }
    }

    /// Its body, from JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        Ok(serde_json::from_slice(&self.body)?)
    }

    /// A header field, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    fn retry_after(&self) -> Option<Duration> {
        self.header("retry-after")?.parse().ok().map(Duration::from_secs)
    }
}
