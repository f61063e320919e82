//! Templates, what stands around every page, and what is shown where something is wrong.

use std::sync::LazyLock;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use flow_core::engine::EngineError;
use flow_core::store::StoreError;
use minijinja_pages::{AutoEscape, Environment, UndefinedBehavior, context};
use serde::Serialize;

use super::assets::ADDRESSES;
use crate::problem::Problem;
use crate::runs::StartError;
use crate::state::{Scope, Visitor};

macro_rules! templates {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("templates/", $name)))),*]
    };
}

static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    let templates = templates!(
        "approve.html",
        "costs.html",
        "dag.html",
        "error.html",
        "fields.html",
        "layout.html",
        "login.html",
        "macros.html",
        "plugins.html",
        "run.html",
        "run_head.html",
        "run_steps.html",
        "runs.html",
        "schedules.html",
        "source.html",
        "start.html",
        "step.html",
        "text.html",
        "workflows.html",
    );
    for (name, text) in templates {
        environment.add_template(name, text).expect("the templates are tested");
    }
    environment
});

/// The parts of the page that are led to from everywhere.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Place {
    Runs,
    Workflows,
    Schedules,
    Costs,
    Plugins,
    Nowhere,
}

/// Who looks, and what they may do. Whoever the server did not let in may do nothing.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Viewer {
    /// The name of the token.
    token: Option<String>,
    may_run: bool,
    may_approve: bool,
}

impl Viewer {
    fn of(visitor: Option<&Visitor>) -> Self {
        let scope = visitor.map(|visitor| visitor.scope);
        Self {
            token: visitor.and_then(|visitor| visitor.token.clone()),
            may_run: scope >= Some(Scope::Run),
            may_approve: scope >= Some(Scope::Approve),
        }
    }

    /// Fails unless runs may be started and stopped.
    pub(super) fn runs(&self) -> Result<(), Fault> {
        allowed(self.may_run, "run")
    }

    /// Fails unless questions may be answered.
    pub(super) fn approves(&self) -> Result<(), Fault> {
        allowed(self.may_approve, "approve")
    }
}

fn allowed(may: bool, scope: &str) -> Result<(), Fault> {
    if may {
        return Ok(());
    }
    Err(Fault::new(StatusCode::FORBIDDEN, "your token does not allow that")
        .hint(format!("it takes one with the scope `{scope}`")))
}

impl<S: Sync> FromRequestParts<S> for Viewer {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::of(parts.extensions.get::<Visitor>()))
    }
}

/// A whole page.
pub(super) fn page(
    template: &str,
    place: Place,
    title: &str,
    viewer: &Viewer,
    view: impl Serialize,
) -> Result<Response, Fault> {
    let around = context! { title, place, viewer, assets => &*ADDRESSES };
    let text = rendered(template, context! { around, view })?;
    let mut response = Html(text).into_response();
    // It shows how things stand, and to whom: nobody keeps it.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// A piece of a page.
pub(super) fn piece(
    template: &str,
    viewer: &Viewer,
    view: impl Serialize,
) -> Result<String, Fault> {
    rendered(template, context! { around => context! { viewer }, view })
}

fn rendered(template: &str, context: minijinja_pages::Value) -> Result<String, Fault> {
    let rendered = TEMPLATES.get_template(template).and_then(|found| found.render(context));
    rendered.map_err(|error| {
        tracing::error!("template {template}: {error:#}");
        Fault::internal("the page cannot be shown")
    })
}

/// The page that asks for a token. `wrong` says why the last one was not taken.
pub fn login_page(wrong: Option<&str>) -> Response {
    let viewer = Viewer::of(None);
    let shown = page("login.html", Place::Nowhere, "sign in", &viewer, context! { wrong });
    shown.unwrap_or_else(IntoResponse::into_response)
}

/// Something that cannot be shown or done.
#[derive(Debug)]
pub struct Fault {
    status: StatusCode,
    message: String,
    hint: Option<String>,
}

impl Fault {
    /// Makes one. `message` names what it is about, in lower case.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), hint: None }
    }

    /// The same, with what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub(super) fn wrong(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, message)
    }

    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// What is wrong.
    pub(super) fn message(&self) -> &str {
        &self.message
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        let status = StatusCode::from_u16(problem.status);
        Self {
            status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            message: problem.detail,
            hint: problem.hint,
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let view = context! {
            status => self.status.as_u16(),
            message => self.message,
            hint => self.hint,
        };
        let viewer = Viewer::of(None);
        // Should even this template fail, the status alone goes out.
        let shown = page("error.html", Place::Nowhere, "error", &viewer, view);
        let mut response = shown.unwrap_or_else(|fault| fault.status.into_response());
        *response.status_mut() = self.status;
        response
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        let status = match &error {
            StoreError::UnknownRun { .. } | StoreError::MissingArtifact { .. } => {
                StatusCode::NOT_FOUND
            }
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let hint = error.hint().map(str::to_owned);
        Self { status, message: error.to_string(), hint }
    }
}

impl From<EngineError> for Fault {
    fn from(error: EngineError) -> Self {
        let status = match &error {
            EngineError::Store(_) | EngineError::Illegal(_) | EngineError::Stuck { .. } => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            EngineError::UnknownRun { .. } => StatusCode::NOT_FOUND,
            EngineError::Input(_)
            | EngineError::OutputWanted { .. }
            | EngineError::NoOutputWanted { .. }
            | EngineError::Unfit { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            EngineError::Lock(_)
            | EngineError::NothingAsked { .. }
            | EngineError::Answered { .. }
            | EngineError::Ended { .. } => StatusCode::CONFLICT,
        };
        Self { status, message: error.to_string(), hint: error.hint() }
    }
}

impl From<StartError> for Fault {
    fn from(error: StartError) -> Self {
        let (hint, message) = (error.hint(), error.to_string());
        let status = match error {
            StartError::Engine(error) => return error.into(),
            StartError::Here { .. } | StartError::Definition { .. } => StatusCode::CONFLICT,
            StartError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self { status, message, hint }
    }
}
