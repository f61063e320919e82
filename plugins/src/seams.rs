//! What the host of plugins is given by those who have it: a way to HTTP servers and to models,
//! and the time.
//!
//! Nothing here knows a plugin's grants: whoever is asked does what it is told, and the host
//! asks only for what was granted.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_core::action::CallUsage;
use flow_core::error::Failure;
use flow_core::language::ModelChoice;
use flow_core::provider::{Answer, CallContext, Request};
use flow_core::units::Money;

/// What plugins reach through their host, whichever run they work for.
#[derive(Clone)]
pub struct Services {
    /// Sends requests.
    pub http: Arc<dyn HttpClient>,
    /// Milliseconds since 1970.
    pub now_ms: fn() -> i64,
}

/// Sends a plugin's requests.
///
/// Whoever implements it looks a name up once and connects to the address that it found,
/// refuses addresses that are not public (but for those of private networks and this machine,
/// where [`HttpRequest::private`] allows them), follows no redirect, and keeps secrets out of
/// what comes back.
#[async_trait]
pub trait HttpClient: Send + Sync {
    /// Sends a request and reads the answer to its end.
    ///
    /// Dropping the future ends the exchange; the request may have been taken by then.
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, Failure>;
}

/// A request of a plugin, checked against its grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    /// The name of the plugin, for messages.
    pub plugin: String,
    /// In capitals.
    pub method: String,
    /// Where to; its authority is one that was granted.
    pub url: String,
    /// Header fields of the plugin's.
    pub headers: Vec<(String, String)>,
    /// Header fields with secrets: name, what stands before the secret, the secret's name.
    pub secrets: Vec<(String, String, String)>,
    /// What is sent; none for no body.
    pub body: Option<Vec<u8>>,
    /// The most it may take.
    pub timeout: Duration,
    /// The most bytes of an answer that are taken.
    pub most: u64,
    /// Whether a private address may be asked.
    pub private: bool,
}

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpResponse {
    /// The status, whatever it is.
    pub status: u16,
    /// Its header fields.
    pub headers: Vec<(String, String)>,
    /// Its body, whole.
    pub body: Vec<u8>,
}

/// Asks models for plugins.
#[async_trait]
pub trait Models: Send + Sync {
    /// Asks a chain of models: the first that answers. `most` is what an answer may cost,
    /// `folder` the workflow's. What was taken is returned with the failure, too, and not noted.
    ///
    /// Dropping the future ends the call.
    async fn ask(
        &self,
        chain: &[ModelChoice],
        request: &Request,
        most: Option<Money>,
        folder: &Path,
        context: &CallContext<'_>,
    ) -> Result<(Answer, CallUsage), (Failure, Option<CallUsage>)>;
}

/// No model at all.
pub struct NoModels;

#[async_trait]
impl Models for NoModels {
    async fn ask(
        &self,
        _chain: &[ModelChoice],
        _request: &Request,
        _most: Option<Money>,
        _folder: &Path,
        _context: &CallContext<'_>,
    ) -> Result<(Answer, CallUsage), (Failure, Option<CallUsage>)> {
        Err((Failure::input("no model can be asked here"), None))
    }
}

/// What a call of a plugin reaches of the run that it works for.
#[async_trait]
pub trait Outside: Send + Sync {
    /// Asks a model, which the workflow calls so. `most` is what it may cost.
    ///
    /// Dropping the future ends the call.
    async fn ask(
        &self,
        model: &str,
        request: Request,
        most: Option<Money>,
    ) -> Result<(Answer, CallUsage), Failure>;

    /// Takes a piece of an answer as it comes; says whether somebody wants the rest.
    fn delta(&self, text: &str) -> bool;
}

/// Nothing: no model, and nobody who listens.
pub struct Alone;

#[async_trait]
impl Outside for Alone {
    async fn ask(
        &self,
        model: &str,
        _request: Request,
        _most: Option<Money>,
    ) -> Result<(Answer, CallUsage), Failure> {
        Err(Failure::input(format!("there is no model `{model}` here")))
    }

    fn delta(&self, _text: &str) -> bool {
        true
    }
}

/// A way to no server at all.
pub struct NoHttp;

#[async_trait]
impl HttpClient for NoHttp {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, Failure> {
        Err(Failure::input(format!("`{}` cannot be reached from here", request.url)))
    }
}
