//! A step or an instance: its attempts, what it yielded and where that was read from.

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use flow_core::action::Speed;
use flow_core::artifact::ArtifactRef;
use flow_core::error::ErrorClass;
use flow_core::ids::{InstancePath, RunId};
use flow_core::language::{Block, Step, Work, Workflow};
use flow_core::store::{AttemptRow, RunRow, StepRow, StepStatus, Store};
use serde::Serialize;
use serde_json::Value;

use super::format::{Moment, bytes, count, dollars, duration, moment, short};
use super::json::{FileView, Shown};
use super::places::Places;
use super::render::{Fault, Place, Viewer, page};
use super::run::{Asked, Definitions, named};
use super::steps::{Part, Steps, step_address};
use super::{form, source};
use crate::state::Site;

#[derive(Serialize)]
struct View {
    run: String,
    run_short: String,
    workflow: String,
    path: String,
    trail: Vec<Crumb>,
    status: &'static str,
    cached: bool,
    started: Option<Moment>,
    took: Option<String>,
    error: Option<String>,
    error_class: Option<&'static str>,
    hint: Option<String>,
    asks: Option<String>,
    attempts: Vec<Attempt>,
    written: Option<Written>,
    places: Option<Places>,
    output: Option<Shown>,
    meta: Option<Shown>,
    steps: Option<Steps>,
}

/// A part of the path, and where it leads.
#[derive(Serialize)]
struct Crumb {
    text: String,
    href: Option<String>,
}

/// The step as the workflow has it.
#[derive(Serialize)]
struct Written {
    action: String,
    models: Vec<String>,
    first_line: u32,
    text: String,
    /// The task that it is: what it says to the model.
    task: Option<String>,
    task_summary: String,
}

#[derive(Serialize)]
struct Attempt {
    number: u32,
    status: &'static str,
    model: Option<String>,
    input_tokens: Option<String>,
    output_tokens: Option<String>,
    cost: String,
    took: String,
    started: Moment,
    request_id: Option<String>,
    batch: bool,
    speed: Option<String>,
    error: Option<String>,
    error_class: Option<&'static str>,
    hint: Option<String>,
    raw: Option<FileView>,
    plugin: Vec<String>,
}

/// Shows the step at a path.
pub(super) async fn show(
    State(site): State<Site>,
    Extension(definitions): Extension<Definitions>,
    viewer: Viewer,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let run = named(&site, &id).await?;
    let (store, now) = (site.runs.store(), site.runs.workplace().now());
    let path = InstancePath::from_stored(&asked.at);
    let row = store.step(&run.id, &path).await?.ok_or_else(|| {
        Fault::not_found(format!("run {} has no step at `{path}`", run.id))
            .hint("it may not have begun yet")
    })?;
    let output = match &row.output {
        Some(packed) => store.unpack(packed.clone()).await?,
        None => Value::Null,
    };
    let mut hints = store.hints_of(&run.id, &path).await?;
    let attempts = store.attempts(&run.id, &path).await?;
    let attempts = attempts.iter().map(|attempt| Attempt::of(attempt, &hints)).collect();
    let hint = (row.status == StepStatus::Failed).then(|| hints.pop()).flatten();
    let written = match definitions.of(&site, &run).await {
        Ok(workflow) => written(store, &run, &workflow, &row).await?,
        Err(_) => None,
    };
    let asks = row.status == StepStatus::Waiting;
    let view = View {
        run: run.id.to_string(),
        run_short: short(run.id.as_str()),
        workflow: run.workflow.clone(),
        path: path.to_string(),
        trail: trail(&run.id, &path),
        status: row.status.as_str(),
        cached: row.cached,
        started: row.started.map(moment),
        took: took(&row, now),
        error: row.error.clone(),
        error_class: row.error_class.map(ErrorClass::as_str),
        hint: hint.map(|(_, hint)| hint),
        asks: asks.then(|| form::question_address(&run.id, &path)),
        attempts,
        written,
        places: Places::of(row.meta.as_ref(), &output),
        output: (!output.is_null()).then(|| Shown::of(&output)),
        meta: row.meta.as_ref().map(without_places),
        steps: below(store, &run.id, &path, asked.part(), now).await?,
    };
    page("step.html", Place::Runs, &format!("{path} of {}", run.workflow), &viewer, view)
}

async fn below(
    store: &Store,
    run: &RunId,
    path: &InstancePath,
    part: Part,
    now: i64,
) -> Result<Option<Steps>, Fault> {
    if store.step_counts(run, Some(path)).await?.is_empty() {
        return Ok(None);
    }
    let here = step_address(run, path);
    Steps::below(store, run, Some(path), part, &here, now).await.map(Some)
}

fn took(row: &StepRow, now: i64) -> Option<String> {
    let until = row.ended.or_else(|| (row.status == StepStatus::Running).then_some(now));
    row.started.zip(until).map(|(started, until)| duration(until - started))
}

/// What is known of the step, but for what is drawn.
fn without_places(meta: &Value) -> Shown {
    let mut meta = meta.clone();
    if let Some(meta) = meta.as_object_mut() {
        meta.remove("grounding");
    }
    Shown::of(&meta)
}

/// The path in parts, each leading to what it names. A key may hold any sign but `]` followed
/// by `/`.
fn trail(run: &RunId, path: &InstancePath) -> Vec<Crumb> {
    let text = path.as_str();
    let mut ends: Vec<usize> = text.match_indices("]/").map(|(at, _)| at + 1).collect();
    ends.extend(text.match_indices('[').map(|(at, _)| at));
    ends.push(text.len());
    ends.sort_unstable();
    ends.dedup();
    let mut from = 0;
    let crumb = |end: usize| {
        let part = text[from..end].trim_start_matches('/').to_owned();
        from = end;
        let href = step_address(run, &InstancePath::from_stored(&text[..end]));
        Crumb { text: part, href: (end < text.len()).then_some(href) }
    };
    ends.into_iter().map(crumb).collect()
}

impl Attempt {
    fn of(row: &AttemptRow, hints: &[(u32, String)]) -> Self {
        let model = match (&row.provider, &row.model) {
            (Some(provider), Some(model)) => Some(format!("{provider}/{model}")),
            (None, model) | (model, None) => model.clone(),
        };
        let took = row.latency_ms.or_else(|| row.ended.map(|ended| ended - row.started));
        let hint = hints.iter().rev().find(|(number, _)| *number == row.number);
        let raw = row.raw.as_ref().and_then(ArtifactRef::from_value);
        Self {
            number: row.number,
            status: row.status.as_str(),
            input_tokens: row.input_tokens.map(count),
            output_tokens: row.output_tokens.map(count),
            cost: match (row.cost, &model) {
                (Some(cost), _) => dollars(cost),
                (None, Some(_)) => "unknown".to_owned(),
                (None, None) => "–".to_owned(),
            },
            model,
            took: took.map_or_else(|| "–".to_owned(), duration),
            started: moment(row.started),
            request_id: row.request_id.clone(),
            batch: row.batch,
            speed: row.speed.as_ref().map(speed),
            error: row.error.clone(),
            error_class: row.error_class.map(ErrorClass::as_str),
            hint: hint.map(|(_, hint)| hint.clone()),
            raw: raw.as_ref().map(FileView::of),
            plugin: row.plugin.as_ref().map_or_else(Vec::new, plugin),
        }
    }
}

/// How fast a model of this machine was.
fn speed(speed: &Speed) -> String {
    let rates =
        [("prompt", speed.prompt), ("image", speed.image), ("generation", speed.generation)];
    let rates = rates.into_iter().filter_map(|(what, rate)| Some((what, rate?)));
    let parts: Vec<_> = rates.map(|(what, rate)| format!("{what} {rate:.1} tokens/s")).collect();
    parts.join(", ")
}

/// What a plugin was granted in an attempt, and what it used.
fn plugin(record: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let hash: String = text(&record["sha256"]).chars().take(12).collect();
    let may = &record["granted"]["may"];
    let may = match may.as_object().is_some_and(serde_json::Map::is_empty) {
        true => "nothing but to compute".to_owned(),
        false => may.to_string(),
    };
    let mut lines =
        vec![format!("plugin {} ({hash})", text(&record["plugin"])), format!("granted {may}")];
    if let Some(used) = record["used"].as_object() {
        let amount = |key: &str| used.get(key).and_then(Value::as_u64).unwrap_or_default();
        lines.push(format!(
            "used {:.1} ms, {} of memory, {} calls of the host, {} requests",
            amount("time_us") as f64 / 1e3,
            bytes(amount("memory")),
            amount("host_calls"),
            amount("requests"),
        ));
        let denied = used.get("denied").and_then(Value::as_array).into_iter().flatten();
        lines.extend(denied.map(|denied| format!("denied: {}", text(denied))));
    }
    lines
}

/// The step as it is written in the definition of the run.
async fn written(
    store: &Store,
    run: &RunRow,
    workflow: &Workflow,
    row: &StepRow,
) -> Result<Option<Written>, Fault> {
    let place = row.path.without_keys();
    let Some((step, own)) = find(workflow, &place) else { return Ok(None) };
    let definition = store.definition(&run.definition).await?.unwrap_or_default();
    let bundle = &definition["bundle"];
    // Steps of another workflow stand in its file, which is not known here.
    let file = bundle["entry"].as_str().filter(|_| own).unwrap_or_default();
    let text = bundle["files"][file].as_str().unwrap_or_default();
    let (action, models, task) = match &step.work {
        Work::Action { name, models, task, .. } => {
            let models = models.iter().map(|m| format!("{}/{}", m.provider, m.model)).collect();
            (name.clone(), models, task.as_ref())
        }
        Work::Body { .. } => ("steps for each item".to_owned(), Vec::new(), None),
        Work::Workflow { workflow, .. } => {
            (format!("workflow {}", workflow.name), Vec::new(), None)
        }
    };
    Ok(Some(Written {
        action,
        models,
        first_line: step.line,
        text: source::item_at(text, step.line),
        task: task.map(|task| task.text.clone()),
        task_summary: task.map(|task| task.summary.clone()).unwrap_or_default(),
    }))
}

/// The step at a path without keys, and whether it is the workflow's own.
fn find<'w>(workflow: &'w Workflow, path: &str) -> Option<(&'w Step, bool)> {
    let mut blocks: Vec<&Block> = vec![&workflow.steps, &workflow.on_failure, &workflow.finally];
    let (mut own, mut found) = (true, None);
    for (depth, part) in path.split('/').enumerate() {
        if depth > 0 {
            blocks = match &found.map(|step: &Step| &step.work)? {
                Work::Action { .. } => return None,
                Work::Body { block, .. } => vec![block],
                Work::Workflow { workflow, .. } => {
                    own = false;
                    vec![&workflow.steps, &workflow.on_failure, &workflow.finally]
                }
            };
        }
        let mut steps = blocks.iter().flat_map(|block| &block.steps);
        found = Some(steps.find(|step| step.id.as_str() == part)?);
    }
    found.map(|step| (step, own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_a_path_leads_to_what_it_names() {
        let run = RunId::from_parts(1, 1);
        let crumbs = trail(&run, &InstancePath::from_stored("pages[a/b]/read[c]"));
        let parts: Vec<_> = crumbs.iter().map(|crumb| crumb.text.as_str()).collect();
        assert_eq!(parts, ["pages", "[a/b]", "read", "[c]"]);
        assert!(crumbs[0].href.as_deref().unwrap().ends_with("at=pages"));
        assert!(crumbs[1].href.as_deref().unwrap().ends_with("at=pages%5Ba/b%5D"));
        assert_eq!(crumbs[3].href, None);
    }
}
