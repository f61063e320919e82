//! What is wrong with a request, as it is answered: `application/problem+json` (RFC 9457).

use std::fmt;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flow_core::engine::EngineError;
use flow_core::error::{ErrorClass, Failure};
use flow_core::store::StoreError;
use serde::Serialize;
use utoipa::ToSchema;

use crate::runs::StartError;

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// The status of the answer.
    pub status: u16,
    /// What the status means.
    pub title: &'static str,
    /// What is wrong.
    pub detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// When to ask again, in seconds.
    #[serde(skip)]
    pub retry_after: Option<u64>,
}

impl Problem {
    /// Says what is wrong.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self {
            status: status.as_u16(),
            title,
            detail: detail.into(),
            hint: None,
            retry_after: None,
        }
    }

    /// The request makes no sense.
    pub fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// What was asked for is not there.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// What was given does not fit.
    pub fn unfit(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds when to ask again, in seconds.
    #[must_use]
    pub fn after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status.is_server_error() {
            tracing::error!(status = self.status, "{}", self.detail);
        }
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, kind);
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let status = match &error {
            StoreError::UnknownRun { .. } | StoreError::MissingArtifact { .. } => {
                StatusCode::NOT_FOUND
            }
            StoreError::AmbiguousRun { .. } | StoreError::Taken { .. } => StatusCode::CONFLICT,
            StoreError::Locked { .. } | StoreError::Pruning { .. } | StoreError::Closed => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            StoreError::Full { .. } => StatusCode::INSUFFICIENT_STORAGE,
            StoreError::NotAStore { .. }
            | StoreError::NewerVersion { .. }
            | StoreError::Damaged { .. }
            | StoreError::ReadOnly { .. }
            | StoreError::Rejected { .. }
            | StoreError::DamagedArtifact { .. }
            | StoreError::BadFile { .. }
            | StoreError::Io { .. }
            | StoreError::Database { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { hint: error.hint().map(str::to_owned), ..Self::new(status, error.to_string()) }
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        let (status, hint) = match error {
            EngineError::Store(error) => return error.into(),
            EngineError::Input(failure) => return failure.into(),
            EngineError::UnknownRun { .. } => (StatusCode::NOT_FOUND, None),
            EngineError::Lock(_)
            | EngineError::NothingAsked { .. }
            | EngineError::Answered { .. }
            | EngineError::Ended { .. } => (StatusCode::CONFLICT, None),
            EngineError::OutputWanted { .. } => {
                (StatusCode::UNPROCESSABLE_ENTITY, Some("give it as `output`"))
            }
            EngineError::NoOutputWanted { .. } => {
                (StatusCode::UNPROCESSABLE_ENTITY, Some("leave `output` out"))
            }
            EngineError::Unfit { .. } => {
                (StatusCode::UNPROCESSABLE_ENTITY, Some("the run says what it asks for"))
            }
            EngineError::Illegal(_) | EngineError::Stuck { .. } => {
                (StatusCode::INTERNAL_SERVER_ERROR, Some("please report it"))
            }
        };
        Self { hint: hint.map(str::to_owned), ..Self::new(status, error.to_string()) }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let status = match failure.class {
            ErrorClass::Input | ErrorClass::BadRequest => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorClass::NotFound => StatusCode::NOT_FOUND,
            ErrorClass::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { hint: failure.hint, ..Self::new(status, failure.message) }
    }
}

impl From<StartError> for Problem {
    fn from(error: StartError) -> Self {
        let (hint, detail) = (error.hint(), error.to_string());
        let status = match error {
            StartError::Engine(error) => return error.into(),
            StartError::Here { .. } | StartError::Definition { .. } => StatusCode::CONFLICT,
            StartError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self { hint, ..Self::new(status, detail) }
    }
}
