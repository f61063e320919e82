//! Runs: looking at them, stopping them, answering what they ask.

#![expect(unused_qualifications, reason = "utoipa spells the paths of types out")]

use axum::extract::{Path, State};
use axum::{Extension, Json};
use flow_core::engine::Answer;
use flow_core::ids::{InstancePath, RunId};
use flow_core::store::{RunFilter, RunRow, RunStatus};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::shapes::{RunShape, RunSummary, StepDetail, StepShape};
use super::{Body, Query};
use crate::problem::Problem;
use crate::state::{Scope, Site, Visitor};

/// The most rows of a list.
const MOST: u32 = 500;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// Only runs of the workflow of this name.
    workflow: Option<String>,
    /// Only runs that stand so.
    status: Option<String>,
    /// The most runs, 1 to 500 [default: 50].
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// Only those behind this run in the list.
    before: Option<String>,
}

/// A part of the list of runs.
#[derive(Serialize, ToSchema)]
pub(super) struct RunList {
    /// The runs, the latest first.
    runs: Vec<RunSummary>,
    /// What `before` is for the next part; none at the end.
    next: Option<String>,
}

/// Lists runs, the latest first.
#[utoipa::path(get, path = "/api/v1/runs", tag = "runs", params(Asked),
    responses((status = 200, body = RunList), (status = 400, body = Problem)))]
pub(super) async fn list(
    State(site): State<Site>,
    Query(asked): Query<Asked>,
) -> Result<Json<RunList>, Problem> {
    let status = asked.status.as_deref().map(status).transpose()?;
    let limit = limit(asked.limit)?;
    let before = asked.before.as_deref().map(run_id).transpose()?;
    let filter = RunFilter { workflow: asked.workflow, status, limit: Some(limit), before };
    let rows = site.runs.store().runs(&filter).await?;
    let next = rows.last().filter(|_| rows.len() >= limit as usize).map(|row| row.id.to_string());
    Ok(Json(RunList { runs: rows.iter().map(RunSummary::from).collect(), next }))
}

/// Shows a run with its own steps.
#[utoipa::path(get, path = "/api/v1/runs/{run}", tag = "runs",
    params(("run" = String, Path, description = "its id")),
    responses((status = 200, body = RunShape), (status = 404, body = Problem)))]
pub(super) async fn one(
    State(site): State<Site>,
    Path(run): Path<String>,
) -> Result<Json<RunShape>, Problem> {
    let row = named(&site, &run).await?;
    Ok(Json(RunShape::read(site.runs.store(), &row).await?))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Below {
    /// The path of the step whose instances, or the instance whose steps, are listed.
    parent: Option<String>,
    /// What the part before said is next.
    after: Option<String>,
    /// The most steps, 1 to 500 [default: 50].
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// A part of a list of steps.
#[derive(Serialize, ToSchema)]
pub(super) struct StepList {
    /// The steps without their outputs, instances in the order of their items.
    steps: Vec<StepShape>,
    /// What `after` is for the next part; none at the end.
    next: Option<String>,
}

/// Lists the steps of a run directly below a path.
#[utoipa::path(get, path = "/api/v1/runs/{run}/steps", tag = "runs",
    params(("run" = String, Path, description = "its id"), Below),
    responses((status = 200, body = StepList), (status = 404, body = Problem)))]
pub(super) async fn steps(
    State(site): State<Site>,
    Path(run): Path<String>,
    Query(below): Query<Below>,
) -> Result<Json<StepList>, Problem> {
    let run = named(&site, &run).await?;
    let parent = below.parent.as_deref().map(InstancePath::from_stored);
    let after = below.after.as_deref().map(str::parse).transpose();
    let after = after.map_err(|_| Problem::bad("`after` is what the part before said is next"))?;
    let limit = limit(below.limit)?;
    let page = site.runs.store().steps(&run.id, parent.as_ref(), after, limit).await?;
    let steps = page.rows.iter().map(StepShape::without_output).collect();
    Ok(Json(StepList { steps, next: page.next.map(|next| next.to_string()) }))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct At {
    /// The path of the step, e.g. `pages[KEY]/read`.
    path: String,
}

/// Shows a step or an instance with its output and its attempts.
#[utoipa::path(get, path = "/api/v1/runs/{run}/step", tag = "runs",
    params(("run" = String, Path, description = "its id"), At),
    responses((status = 200, body = StepDetail), (status = 404, body = Problem)))]
pub(super) async fn step(
    State(site): State<Site>,
    Path(run): Path<String>,
    Query(at): Query<At>,
) -> Result<Json<StepDetail>, Problem> {
    let run = named(&site, &run).await?;
    let path = InstancePath::from_stored(&at.path);
    let detail = StepDetail::read(site.runs.store(), &run, &path).await?;
    detail.map(Json).ok_or_else(|| {
        Problem::not_found(format!("run {} has no step at `{path}`", run.id))
            .hint(format!("`/api/v1/runs/{}/steps` lists its steps", run.id))
    })
}

/// Stops a run. It is stopped when its status says so.
#[utoipa::path(post, path = "/api/v1/runs/{run}/cancel", tag = "runs",
    params(("run" = String, Path, description = "its id")),
    responses((status = 202, body = RunSummary), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "it has ended")))]
pub(super) async fn cancel(
    State(site): State<Site>,
    Extension(visitor): Extension<Visitor>,
    Path(run): Path<String>,
) -> Result<(axum::http::StatusCode, Json<RunSummary>), Problem> {
    visitor.needs(Scope::Run)?;
    let run = named(&site, &run).await?;
    site.runs.cancel(&run.id).await?;
    accepted(&site, &run).await
}

/// Takes a run up again: what is done is kept.
#[utoipa::path(post, path = "/api/v1/runs/{run}/resume", tag = "runs",
    params(("run" = String, Path, description = "its id")),
    responses((status = 202, body = RunSummary), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "somebody drives it; says who")))]
pub(super) async fn resume(
    State(site): State<Site>,
    Extension(visitor): Extension<Visitor>,
    Path(run): Path<String>,
) -> Result<(axum::http::StatusCode, Json<RunSummary>), Problem> {
    visitor.needs(Scope::Run)?;
    let run = named(&site, &run).await?;
    site.runs.resume(&run.id).await?;
    accepted(&site, &run).await
}

/// An answer to what a run asks.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AnswerBody {
    /// The path of the step that asks.
    step: String,
    /// Yes or no.
    approved: bool,
    /// Something beside the answer.
    #[serde(default)]
    comment: Option<String>,
    /// The output of the step, where it asks for one.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    output: Option<Value>,
}

/// Answers what a run asks, which goes on.
#[utoipa::path(post, path = "/api/v1/runs/{run}/approve", tag = "runs",
    params(("run" = String, Path, description = "its id")), request_body = AnswerBody,
    responses((status = 202, body = RunSummary), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "it asks nothing there"),
        (status = 422, body = Problem, description = "the output is not what is asked for")))]
pub(super) async fn approve(
    State(site): State<Site>,
    Extension(visitor): Extension<Visitor>,
    Path(run): Path<String>,
    Body(body): Body<AnswerBody>,
) -> Result<(axum::http::StatusCode, Json<RunSummary>), Problem> {
    visitor.needs(Scope::Approve)?;
    let run = named(&site, &run).await?;
    let AnswerBody { step, approved, comment, output } = body;
    let path = InstancePath::from_stored(&step);
    site.runs.approve(&run.id, &path, Answer { approved, comment, output }).await?;
    accepted(&site, &run).await
}

async fn accepted(
    site: &Site,
    run: &RunRow,
) -> Result<(axum::http::StatusCode, Json<RunSummary>), Problem> {
    let row = named(site, run.id.as_str()).await?;
    Ok((axum::http::StatusCode::ACCEPTED, Json(RunSummary::from(&row))))
}

/// The run of an id.
pub(super) async fn named(site: &Site, id: &str) -> Result<RunRow, Problem> {
    let unknown = || {
        Problem::not_found(format!("there is no run `{id}`")).hint("`/api/v1/runs` lists the runs")
    };
    let run: RunId = id.parse().map_err(|_| unknown())?;
    site.runs.store().run(&run).await?.ok_or_else(unknown)
}

fn run_id(text: &str) -> Result<RunId, Problem> {
    text.parse().map_err(|error: flow_core::ids::IdError| Problem::bad(error.to_string()))
}

fn status(name: &str) -> Result<RunStatus, Problem> {
    RunStatus::from_name(name).ok_or_else(|| {
        Problem::bad(format!("there is no status `{name}`"))
            .hint("running, waiting, interrupted, succeeded, failed or cancelled")
    })
}

fn limit(asked: Option<u32>) -> Result<u32, Problem> {
    let limit = asked.unwrap_or(50);
    if (1..=MOST).contains(&limit) {
        return Ok(limit);
    }
    Err(Problem::bad(format!("`limit` is 1 to {MOST}")))
}
