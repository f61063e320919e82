//! The API: JSON over HTTP below `/api/v1`, described by `OpenAPI`.

mod artifacts;
mod events;
mod runs;
mod shapes;
mod usage;
mod workflows;

use std::time::Duration;

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};

use crate::problem::Problem;
use crate::state::Site;

pub use shapes::{RunShape, RunSummary, StepShape};

/// The most bytes of a body that is no upload.
pub(crate) const BODY: usize = 2 << 20;

/// The most time that an answer takes to begin, uploads apart.
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(OpenApi)]
#[openapi(
    info(title = "flow", description = "Workflows and their runs."),
    paths(
        workflows::list,
        workflows::one,
        workflows::start,
        runs::list,
        runs::one,
        runs::steps,
        runs::step,
        runs::cancel,
        runs::resume,
        runs::approve,
        events::of_run,
        events::of_all,
        artifacts::get,
        usage::get,
    ),
    components(schemas(Problem)),
    modifiers(&Bearer),
    security(("token" = [])),
)]
struct Description;

struct Bearer;

impl utoipa::Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// The `OpenAPI` document.
pub fn description() -> utoipa::openapi::OpenApi {
    Description::openapi()
}

/// What is served below `/api/v1`.
pub fn router() -> Router<Site> {
    let quick = Router::new()
        .route("/openapi.json", get(async || Json(description())))
        .route("/workflows", get(workflows::list))
        .route("/workflows/{slug}", get(workflows::one))
        .route("/runs", get(runs::list))
        .route("/runs/{run}", get(runs::one))
        .route("/runs/{run}/steps", get(runs::steps))
        .route("/runs/{run}/step", get(runs::step))
        .route("/runs/{run}/cancel", post(runs::cancel))
        .route("/runs/{run}/resume", post(runs::resume))
        .route("/runs/{run}/approve", post(runs::approve))
        .route("/runs/{run}/events", get(events::of_run))
        .route("/events", get(events::of_all))
        .route("/artifacts/{hash}", get(artifacts::get))
        .route("/usage", get(usage::get))
        .layer(DefaultBodyLimit::max(BODY))
        .layer(from_fn(in_time));
    let uploads = Router::new()
        .route("/workflows/{slug}/runs", post(workflows::start))
        // Counted as it comes, by `inputs`.
        .layer(DefaultBodyLimit::disable());
    quick
        .merge(uploads)
        .fallback(async |request: Request| {
            Problem::not_found(format!("there is nothing at `{}`", request.uri().path()))
        })
        .method_not_allowed_fallback(async |request: Request| {
            let detail = format!("`{}` does not take {}", request.uri().path(), request.method());
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
        })
}

/// Ends what takes too long.
async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(PATIENCE, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail = format!("there was no answer within {} s", PATIENCE.as_secs());
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).after(5).into_response()
        }
    }
}

/// A body of JSON, whose faults are problems.
struct Body<T>(T);

impl<S: Send + Sync, T: serde::de::DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(rejection) => Err(unreadable(&rejection)),
        }
    }
}

fn unreadable(rejection: &JsonRejection) -> Problem {
    Problem::new(rejection.status(), format!("the body cannot be read: {}", rejection.body_text()))
}

/// A query, whose faults are problems.
struct Query<T>(T);

impl<S: Send + Sync, T: serde::de::DeserializeOwned> axum::extract::FromRequestParts<S>
    for Query<T>
{
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        _state: &S,
    ) -> Result<Self, Problem> {
        let query = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        let query = query.map_err(|error| Problem::bad(error.body_text()))?;
        Ok(Self(query.0))
    }
}

/// A time as RFC 3339.
pub(crate) fn timestamp(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis).map(|at| at.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_description_names_every_path() {
        let description = serde_json::to_value(super::description()).unwrap();
        let paths: Vec<_> = description["paths"].as_object().unwrap().keys().cloned().collect();
        insta::assert_json_snapshot!("paths", paths);
    }
}
