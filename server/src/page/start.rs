//! Starting a run by a form made of the workflow's inputs.

use std::sync::Arc;

use axum::extract::{Multipart, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use flow_core::engine::Program;
use flow_core::language::{Input, InputType};
use serde::Serialize;
use serde_json::{Map, Value};

use super::form::{Field, Typed, inputs_of, of_inputs};
use super::render::{Fault, Place, Viewer, page};
use crate::folder::Listed;
use crate::inputs::{bound, from_form};
use crate::runs::{Cause, Start};
use crate::state::Site;

#[derive(Serialize)]
struct View {
    slug: String,
    action: String,
    source: String,
    name: String,
    description: Option<String>,
    fields: Vec<Field>,
    faults: Vec<InputProblem>,
    files: bool,
    /// Whether files were sent that have to be chosen again.
    again: bool,
    budget: Option<String>,
}

#[derive(Serialize)]
struct InputProblem {
    message: String,
    hint: Option<String>,
}

/// The workflow of a name in an address.
pub(super) fn listed(site: &Site, slug: &str) -> Result<Arc<Listed>, Fault> {
    let none = || Fault::not_found(format!("there is no workflow `{slug}`"));
    site.folder.get(slug).ok_or_else(none)
}

fn program(listed: &Listed) -> Result<Program, Fault> {
    // What a request gives is not trusted as what the owner types is.
    let program = listed.reading.as_ref().ok().and_then(|reading| reading.requested.clone());
    program.ok_or_else(|| {
        let message = format!("workflow `{}` has errors and cannot be run", listed.slug);
        Fault::new(StatusCode::CONFLICT, message).hint("its page shows them at their lines")
    })
}

fn is_file(input: &Input) -> bool {
    matches!(input.kind, InputType::File { .. } | InputType::Files { .. })
}

fn view(listed: &Listed, program: &Program, typed: Option<&Typed>) -> View {
    let workflow = &program.workflow;
    let slug = super::format::segment(&listed.slug);
    View {
        action: format!("/workflows/{slug}/start"),
        source: format!("/workflows/{slug}"),
        slug: listed.slug.clone(),
        name: workflow.name.clone(),
        description: workflow.description.clone(),
        fields: of_inputs(&workflow.inputs, typed),
        faults: Vec::new(),
        files: workflow.inputs.iter().any(is_file),
        again: false,
        budget: workflow.budget.map(|budget| super::format::dollars(budget.cost)),
    }
}

/// Shows the form.
pub(super) async fn form(
    State(site): State<Site>,
    viewer: Viewer,
    Path(slug): Path<String>,
) -> Result<Response, Fault> {
    viewer.runs()?;
    let listed = listed(&site, &slug)?;
    let program = program(&listed)?;
    let title = format!("start {}", program.workflow.name);
    page("start.html", Place::Workflows, &title, &viewer, view(&listed, &program, None))
}

/// Starts a run of what was sent, and leads to it; or shows the form with what is wrong.
pub(super) async fn start(
    State(site): State<Site>,
    viewer: Viewer,
    Path(slug): Path<String>,
    sent: Multipart,
) -> Result<Response, Fault> {
    viewer.runs()?;
    let listed = listed(&site, &slug)?;
    let program = program(&listed)?;
    let workflow = Arc::clone(&program.workflow);
    let given = from_form(&site, &workflow, sent).await?;
    let (typed, sent_parts) = (typed(&given), given.len());
    match bound(&site, &workflow, inputs_of(&workflow.inputs, given)).await {
        Ok(inputs) => {
            let id = site.runs.workplace().new_run_id();
            let start = Start { id: id.clone(), program, inputs, cause: Cause::Page };
            site.runs.start(start).await?;
            Ok(Redirect::to(&format!("/runs/{id}")).into_response())
        }
        Err(fault) => {
            // What is no text is a file.
            let again = typed.len() < sent_parts;
            let fault = InputProblem { message: fault.detail, hint: fault.hint };
            let faults = vec![fault];
            let view = View { faults, again, ..view(&listed, &program, Some(&typed)) };
            let title = format!("start {}", program.workflow.name);
            let mut shown = page("start.html", Place::Workflows, &title, &viewer, view)?;
            *shown.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            Ok(shown)
        }
    }
}

/// The texts among what was sent, for a form that comes back.
fn typed(given: &Map<String, Value>) -> Typed {
    let texts = given.iter().filter_map(|(name, value)| Some((name, value.as_str()?)));
    texts.map(|(name, text)| (name.clone(), text.to_owned())).collect()
}
