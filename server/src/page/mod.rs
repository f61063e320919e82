//! The page: what there is to see and to do, for people.
//!
//! ```text
//!   request ─▶ handler ─▶ view (plain structs, made of rows) ─▶ template ─▶ HTML
//!                                                  live: the same, in pieces, over SSE
//! ```
//!
//! Each file holds one view: it asks the store, makes the structs that its template takes, and
//! takes the forms that the template has. What comes from workflows, documents and models is
//! text in those structs and is escaped by the templates, all of it; links lead to addresses
//! that are made here. There is no inline script or style, so that the policy of the server can
//! forbid both.

mod approve;
mod assets;
mod chart;
mod costs;
mod dag;
mod files;
mod form;
mod format;
mod json;
mod live;
mod places;
mod plugins;
mod render;
mod run;
mod runs;
mod schedules;
mod source;
mod start;
mod step;
mod steps;
mod workflows;

use axum::extract::DefaultBodyLimit;
use axum::response::Redirect;
use axum::routing::{get, post};
use axum::{Extension, Router};

use crate::state::Site;

/// The addresses of the page.
pub fn router() -> Router<Site> {
    Router::new()
        .route("/", get(async || Redirect::to("/runs")))
        .route("/runs", get(runs::list))
        .route("/runs/live", get(live::runs))
        .route("/runs/{run}", get(run::show))
        .route("/runs/{run}/live", get(live::run))
        .route("/runs/{run}/step", get(step::show))
        .route("/runs/{run}/cancel", post(run::cancel))
        .route("/runs/{run}/resume", post(run::resume))
        .route("/runs/{run}/approve", get(approve::ask).post(approve::answer))
        .route("/workflows", get(workflows::list))
        .route("/workflows/{slug}", get(source::show))
        .route(
            "/workflows/{slug}/start",
            // Files are streamed to the disk, under limits of their own.
            get(start::form).post(start::start).layer(DefaultBodyLimit::disable()),
        )
        .route("/schedules", get(schedules::list).post(schedules::change))
        .route("/costs", get(costs::show))
        .route("/plugins", get(plugins::list))
        .route("/files/{hash}", get(files::file))
        .route("/files/{hash}/text", get(files::text))
        .layer(Extension(run::Definitions::default()))
}

/// What is served before anybody is let in: the style and the scripts, which hold no secret.
pub fn open() -> Router<Site> {
    Router::new().route("/assets/{name}", get(assets::asset))
}

pub use render::{Fault, login_page};
