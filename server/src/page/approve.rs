//! Answering what a run asks, with the document beside the form.

use std::collections::HashMap;

use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use flow_core::engine::Answer;
use flow_core::ids::InstancePath;
use flow_core::store::{ApprovalRow, RunRow, StepList, Store};
use serde::Serialize;
use serde_json::Value;

use super::form::{Field, Typed, of_schema, question_address, value_of};
use super::format::{Moment, moment, short};
use super::json::Shown;
use super::places::Places;
use super::render::{Fault, Place, Viewer, page};
use super::run::{Asked, named};
use super::steps::step_address;
use crate::state::Site;

/// The most steps of the run that are looked through for its document.
const LOOKED_AT: u32 = 50;

#[derive(Serialize)]
struct View {
    run: String,
    run_short: String,
    workflow: String,
    path: String,
    step: String,
    question: Option<String>,
    why: Option<String>,
    asked: Moment,
    answered: Option<Answered>,
    action: String,
    /// Fields of the output that is asked for; none where only a yes or a no is.
    fields: Vec<Field>,
    typed_output: bool,
    comment: String,
    fault: Option<String>,
    shown: Shown,
    given: Shown,
    places: Option<Places>,
}

/// What was answered before.
#[derive(Serialize)]
struct Answered {
    word: &'static str,
    at: Moment,
    comment: Option<String>,
    output: Option<Shown>,
}

async fn question(site: &Site, run: &RunRow, at: &str) -> Result<ApprovalRow, Fault> {
    let path = InstancePath::from_stored(at);
    site.runs
        .store()
        .approval(&run.id, &path)
        .await?
        .ok_or_else(|| Fault::not_found(format!("run {} asks nothing at `{path}`", run.id)))
}

/// Shows the question.
pub(super) async fn ask(
    State(site): State<Site>,
    viewer: Viewer,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let run = named(&site, &id).await?;
    let row = question(&site, &run, &asked.at).await?;
    let view = view(&site, &run, &row, None, None).await?;
    page("approve.html", Place::Runs, &format!("answer {}", row.path), &viewer, view)
}

/// Takes an answer, and leads to the run; or shows the question with what is wrong.
pub(super) async fn answer(
    State(site): State<Site>,
    viewer: Viewer,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
    Form(typed): Form<HashMap<String, String>>,
) -> Result<Response, Fault> {
    viewer.approves()?;
    let run = named(&site, &id).await?;
    let row = question(&site, &run, &asked.at).await?;
    let approved = match typed.get("answer").map(String::as_str) {
        Some("yes") => true,
        Some("no") => false,
        Some(_) | None => return Err(Fault::wrong("the answer is neither `yes` nor `no`")),
    };
    let comment = typed.get("comment").map(|text| text.trim()).filter(|text| !text.is_empty());
    let output = match row.output_schema().filter(|_| approved) {
        Some(schema) => match value_of(schema, &typed) {
            Ok(output) => Some(output),
            Err(fault) => return again(&site, &viewer, &run, &row, &typed, fault).await,
        },
        None => None,
    };
    let answer = Answer { approved, comment: comment.map(str::to_owned), output };
    match site.runs.approve(&run.id, &row.path, answer).await {
        Ok(()) => Ok(Redirect::to(&format!("/runs/{}", run.id)).into_response()),
        Err(crate::runs::StartError::Engine(
            error @ flow_core::engine::EngineError::Unfit { .. },
        )) => again(&site, &viewer, &run, &row, &typed, error.to_string()).await,
        Err(error) => Err(error.into()),
    }
}

async fn again(
    site: &Site,
    viewer: &Viewer,
    run: &RunRow,
    row: &ApprovalRow,
    typed: &Typed,
    fault: String,
) -> Result<Response, Fault> {
    let view = view(site, run, row, Some(typed), Some(fault)).await?;
    let title = format!("answer {}", row.path);
    let mut shown = page("approve.html", Place::Runs, &title, viewer, view)?;
    *shown.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    Ok(shown)
}

async fn view(
    site: &Site,
    run: &RunRow,
    row: &ApprovalRow,
    typed: Option<&Typed>,
    fault: Option<String>,
) -> Result<View, Fault> {
    let store = site.runs.store();
    // Who asks may ask with an object of what to show, or of what to answer.
    let shown = row.show.get("show").unwrap_or(&row.show);
    let schema = row.output_schema();
    // What no model got right is a beginning all the same.
    let reply = row.show.get("reply").and_then(Value::as_str);
    let proposed = reply.and_then(|reply| serde_json::from_str(reply).ok()).unwrap_or_default();
    let answered = row.answered.map(|at| Answered {
        word: if row.approved == Some(true) { "approved" } else { "rejected" },
        at: moment(at),
        comment: row.comment.clone(),
        output: row.output.as_ref().map(Shown::of),
    });
    let said = |key: &str| row.show.get(key).and_then(Value::as_str).map(str::to_owned);
    let comment = typed.and_then(|typed| typed.get("comment")).cloned().unwrap_or_default();
    Ok(View {
        run: run.id.to_string(),
        run_short: short(run.id.as_str()),
        workflow: run.workflow.clone(),
        path: row.path.to_string(),
        step: step_address(&run.id, &row.path),
        question: said("question"),
        why: said("why"),
        asked: moment(row.asked),
        answered,
        action: question_address(&run.id, &row.path),
        fields: schema.map_or_else(Vec::new, |schema| of_schema(schema, typed, &proposed)),
        typed_output: schema.is_some(),
        comment,
        fault,
        shown: Shown::of(shown),
        given: Shown::of(&run.inputs),
        places: document(store, run).await?,
    })
}

/// The document that the run is about: the pages of the step that knows where its values
/// stand, or of the first that has pages at all.
async fn document(store: &Store, run: &RunRow) -> Result<Option<Places>, Fault> {
    let list = StepList { limit: LOOKED_AT, ..StepList::default() };
    let paths: Vec<_> =
        store.briefs(&run.id, list).await?.into_iter().map(|brief| brief.path).collect();
    let rows = store.steps_by_path(&run.id, &paths).await?;
    let mut plain = None;
    for row in paths.iter().filter_map(|path| rows.get(path)) {
        let Some(output) = &row.output else { continue };
        let output = store.unpack(output.clone()).await?;
        if let Some(places) = Places::of(row.meta.as_ref(), &output) {
            return Ok(Some(places));
        }
        if plain.is_none()
            && let Some(pages) = output.get("pages").and_then(Value::as_array)
        {
            plain = Some(Places::of_pages(pages.iter()));
        }
    }
    Ok(plain.filter(|places| !places.is_empty()))
}
