//! The workflows of the folder.

use axum::extract::State;
use axum::response::Response;
use flow_core::language::Diagnostics;
use flow_core::store::RunSearch;
use serde::Serialize;

use super::format::{encoded, segment};
use super::render::{Fault, Place, Viewer, page};
use super::runs;
use crate::folder::Listed;
use crate::state::Site;

#[derive(Serialize)]
struct View {
    rows: Vec<Row>,
    folder: String,
}

#[derive(Serialize)]
struct Row {
    slug: String,
    file: String,
    name: String,
    description: Option<String>,
    source: String,
    start: Option<String>,
    runs: String,
    errors: usize,
    warnings: usize,
    unreadable: Option<String>,
    steps: usize,
    triggers: usize,
    last: Option<runs::Row>,
}

/// Lists them.
pub(super) async fn list(State(site): State<Site>, viewer: Viewer) -> Result<Response, Fault> {
    let mut rows = Vec::new();
    for listed in site.folder.workflows() {
        let mut row = row(&listed);
        let search = RunSearch { workflow: Some(row.name.clone()), ..RunSearch::default() };
        let last = site.runs.store().search_runs(&search, 1).await?;
        let now = site.runs.workplace().now();
        row.last = last.first().map(|run| runs::Row::of(run, now));
        rows.push(row);
    }
    let view = View { rows, folder: site.folder.dir().display().to_string() };
    page("workflows.html", Place::Workflows, "workflows", &viewer, view)
}

fn row(listed: &Listed) -> Row {
    let slug = segment(&listed.slug);
    let reading = listed.reading.as_ref();
    let program = reading.ok().and_then(|reading| reading.program.as_ref());
    let workflow = program.map(|program| &program.workflow);
    let diagnostics = reading.ok().map(|reading| &reading.checked.diagnostics);
    let errors = diagnostics.map_or(0, Diagnostics::errors);
    let all = diagnostics.map_or(0, |diagnostics| diagnostics.iter().count());
    let name = workflow.map_or_else(|| listed.slug.clone(), |workflow| workflow.name.clone());
    Row {
        slug: listed.slug.clone(),
        file: listed.file.display().to_string(),
        description: workflow.and_then(|workflow| workflow.description.clone()),
        source: format!("/workflows/{slug}"),
        start: workflow.map(|_| format!("/workflows/{slug}/start")),
        runs: format!("/runs?workflow={}", encoded(&name)),
        name,
        errors,
        warnings: all.saturating_sub(errors),
        unreadable: reading.err().cloned(),
        steps: workflow.map_or(0, |workflow| workflow.steps.steps.len()),
        triggers: workflow.map_or(0, |workflow| workflow.triggers.len()),
        last: None,
    }
}
