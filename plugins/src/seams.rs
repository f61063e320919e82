//! What the host of plugins is given by those who have it, and what stands in where nobody has:
//! a way to HTTP servers and to models (the traits are core's), and the time.
//!
//! Nothing here knows a plugin's grants: whoever is asked does what it is told, and the host
//! asks only for what was granted.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use flow_core::action::CallUsage;
use flow_core::error::Failure;
use flow_core::language::ModelChoice;
use flow_core::plugin::{HttpClient, HttpRequest, HttpResponse, Models};
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
