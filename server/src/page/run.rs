//! A run: how it stands, its graph, its steps, what it was given and what it yielded.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use flow_core::content::ContentHash;
use flow_core::ids::{InstancePath, RunId};
use flow_core::language::{Block, Step, Work, Workflow};
use flow_core::store::{ApprovalRow, Counts, RunRow, RunStatus, StepList, StepStatus, Store};
use serde::{Deserialize, Serialize};

use super::dag::{Drawing, Standing, draw};
use super::format::{Moment, duration, encoded, moment, money, short};
use super::json::{Shown, line};
use super::render::{Fault, Place, Viewer, page};
use super::steps::{Part, Steps};
use crate::state::Site;

/// The most steps of a level that a graph is painted with.
const PAINTED: u32 = 5_000;

/// The definitions that are remembered.
const REMEMBERED: usize = 32;

/// The workflows of runs that were looked at, which to check again takes a while.
#[derive(Clone, Default)]
pub(super) struct Definitions(Arc<Mutex<VecDeque<Known>>>);

/// A definition, and the workflow that it is.
type Known = (ContentHash, Arc<Workflow>);

impl Definitions {
    /// What a run executes. The error says what of it cannot be read by now.
    pub(super) async fn of(&self, site: &Site, run: &RunRow) -> Result<Arc<Workflow>, String> {
        if let Some(workflow) = of_folder(site, &run.definition) {
            return Ok(workflow);
        }
        if let Some((_, known)) = self.known().iter().find(|(hash, _)| *hash == run.definition) {
            return Ok(Arc::clone(known));
        }
        let program = site.runs.workplace().resumed(site.runs.store(), run).await?;
        let mut known = self.known();
        known.push_front((run.definition, Arc::clone(&program.workflow)));
        known.truncate(REMEMBERED);
        Ok(program.workflow)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, VecDeque<Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The workflow of a definition, if the folder has it as it was.
fn of_folder(site: &Site, definition: &ContentHash) -> Option<Arc<Workflow>> {
    site.folder.workflows().iter().find_map(|listed| {
        let reading = listed.reading.as_ref().ok()?;
        let programs = [&reading.program, &reading.requested].into_iter().flatten();
        let mut same = programs.filter(|program| program.definition == *definition);
        same.next().map(|program| Arc::clone(&program.workflow))
    })
}

/// Which part of the steps is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    pub(super) at: String,
    status: String,
    skip: u32,
}

impl Asked {
    fn query(&self) -> String {
        match StepStatus::from_name(&self.status) {
            Some(status) => format!("?status={status}&skip={}", self.skip),
            None => format!("?skip={}", self.skip),
        }
    }

    pub(super) fn part(&self) -> Part {
        Part { status: StepStatus::from_name(&self.status), skip: self.skip }
    }
}

/// The head of the page: how the run stands now.
#[derive(Serialize)]
pub(super) struct Head {
    pub(super) id: String,
    short: String,
    pub(super) workflow: String,
    /// Where all runs of its workflow are listed.
    all: String,
    status: &'static str,
    ended: bool,
    may_cancel: bool,
    may_resume: bool,
    started: Moment,
    took: String,
    cost: String,
    error: Option<String>,
    questions: Vec<Question>,
}

/// Something that the run asks a person.
#[derive(Serialize)]
struct Question {
    href: String,
    path: String,
    text: String,
}

#[derive(Serialize)]
struct View {
    head: Head,
    graph: Option<Drawing>,
    no_graph: Option<String>,
    steps: Steps,
    inputs: Shown,
    outputs: Option<Shown>,
    live: bool,
    /// What is asked for of the steps, for the stream.
    query: String,
}

impl Head {
    pub(super) async fn of(store: &Store, run: &RunRow, now: i64) -> Result<Self, Fault> {
        let asks = store.open_approvals(&run.id).await?;
        let until = run.ended.or_else(|| (run.status == RunStatus::Running).then_some(now));
        Ok(Self {
            id: run.id.to_string(),
            short: short(run.id.as_str()),
            workflow: run.workflow.clone(),
            all: format!("/runs?workflow={}", encoded(&run.workflow)),
            status: run.status.as_str(),
            ended: run.status.has_ended(),
            may_cancel: !run.status.has_ended(),
            may_resume: may_resume(run.status),
            started: moment(run.started),
            took: until.map_or_else(|| "–".to_owned(), |until| duration(until - run.started)),
            cost: money(run.cost, run.cost_uncertain),
            error: run.error.clone(),
            questions: asks.iter().map(question).collect(),
        })
    }
}

fn question(row: &ApprovalRow) -> Question {
    let asked = row.show.get("question").and_then(|question| question.as_str());
    Question {
        href: format!("/runs/{}/approve?at={}", row.run, encoded(row.path.as_str())),
        path: row.path.to_string(),
        text: asked.map_or_else(|| line(&row.show, 160), str::to_owned),
    }
}

/// Whether taking it up again makes sense; one that runs is driven, or is found by who looks.
fn may_resume(status: RunStatus) -> bool {
    match status {
        RunStatus::Interrupted | RunStatus::Failed | RunStatus::Cancelled => true,
        RunStatus::Running | RunStatus::Waiting | RunStatus::Succeeded => false,
    }
}

/// Reads a run that is named in an address.
pub(super) async fn named(site: &Site, id: &str) -> Result<RunRow, Fault> {
    let none = || Fault::not_found(format!("there is no run `{id}`"));
    let id: RunId = id.parse().map_err(|_| none())?;
    site.runs.store().run(&id).await?.ok_or_else(none)
}

/// Shows a run.
pub(super) async fn show(
    State(site): State<Site>,
    Extension(definitions): Extension<Definitions>,
    viewer: Viewer,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let run = named(&site, &id).await?;
    let store = site.runs.store();
    let now = site.runs.workplace().now();
    let head = Head::of(store, &run, now).await?;
    let (graph, no_graph) = match definitions.of(&site, &run).await {
        Ok(workflow) => (Some(drawn(store, &run, &workflow).await?), None),
        Err(why) => (None, Some(why)),
    };
    let here = format!("/runs/{id}");
    let view = View {
        graph,
        no_graph,
        steps: Steps::below(store, &run.id, None, asked.part(), &here, now).await?,
        inputs: Shown::of(&run.inputs),
        outputs: Shown::packed(store, run.outputs.as_ref()).await?,
        live: !head.ended,
        query: asked.query(),
        head,
    };
    let title = format!("{} {}", run.workflow, short(run.id.as_str()));
    page("run.html", Place::Runs, &title, &viewer, view)
}

/// The graph of a run as it stands.
pub(super) async fn drawn(
    store: &Store,
    run: &RunRow,
    workflow: &Workflow,
) -> Result<Drawing, Fault> {
    let list = StepList { limit: PAINTED, ..StepList::default() };
    let briefs = store.briefs(&run.id, list).await?;
    let mut standings: HashMap<String, Standing> = HashMap::new();
    for brief in &briefs {
        let standing = Standing {
            status: Some(brief.status),
            counts: Counts::new(),
            path: Some(brief.path.to_string()),
        };
        standings.insert(brief.path.to_string(), standing);
    }
    let blocks = [&workflow.steps, &workflow.on_failure, &workflow.finally];
    let steps: Vec<&Step> = blocks.into_iter().flat_map(|block| &block.steps).collect();
    let path = |step: &Step| InstancePath::step(None, &step.id);
    let begun = |step: &&&Step| standings.contains_key(step.id.as_str());
    let loops = steps.iter().filter(|step| step.for_each.is_some()).filter(begun);
    let loops: Vec<_> = loops.map(|step| path(step)).collect();
    let holders: Vec<_> = steps.iter().filter(begun).filter_map(|step| holds(step)).collect();
    for (path, counts) in store.counts_below(&run.id, &loops).await? {
        standings.entry(path.to_string()).or_default().counts = counts;
    }
    for (step, inner) in holders {
        let within = store.counts_within(&run.id, &path(step)).await?;
        let mut ids: HashMap<&str, Vec<String>> = HashMap::new();
        for block in inner {
            paths(block, &format!("{}/", step.id), &mut ids);
        }
        for (id, places) in ids {
            // Where an id stands twice, its counts are of both and tell nothing of either.
            if let ([place], Some(counts)) = (&places[..], within.get(id)) {
                let status = overall(counts);
                let standing = Standing { status, counts: counts.clone(), path: None };
                standings.insert(place.clone(), standing);
            }
        }
    }
    Ok(draw(workflow, run.id.as_str(), &standings))
}

/// The blocks within a step, if it has some.
fn holds(step: &Step) -> Option<(&Step, Vec<&Block>)> {
    match &step.work {
        Work::Action { .. } => None,
        Work::Body { block, .. } => Some((step, vec![block])),
        Work::Workflow { workflow, .. } => {
            Some((step, vec![&workflow.steps, &workflow.on_failure, &workflow.finally]))
        }
    }
}

/// Where each id stands within a block, as paths without keys.
fn paths<'b>(block: &'b Block, prefix: &str, ids: &mut HashMap<&'b str, Vec<String>>) {
    for step in &block.steps {
        let path = format!("{prefix}{}", step.id);
        for block in holds(step).map_or_else(Vec::new, |(_, blocks)| blocks) {
            paths(block, &format!("{path}/"), ids);
        }
        ids.entry(step.id.as_str()).or_default().push(path);
    }
}

/// How many steps stand as one: what needs to be looked at first.
fn overall(counts: &Counts) -> Option<StepStatus> {
    const FIRST: [StepStatus; 8] = [
        StepStatus::Failed,
        StepStatus::Waiting,
        StepStatus::Retrying,
        StepStatus::Running,
        StepStatus::Cancelled,
        StepStatus::Blocked,
        StepStatus::Succeeded,
        StepStatus::Skipped,
    ];
    FIRST.into_iter().find(|status| counts.get(status).is_some_and(|steps| *steps > 0))
}

/// Stops a run.
pub(super) async fn cancel(
    State(site): State<Site>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Response, Fault> {
    viewer.runs()?;
    let run = named(&site, &id).await?;
    site.runs.cancel(&run.id).await?;
    Ok(Redirect::to(&format!("/runs/{id}")).into_response())
}

/// Takes a run up again.
pub(super) async fn resume(
    State(site): State<Site>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Response, Fault> {
    viewer.runs()?;
    let run = named(&site, &id).await?;
    if run.status == RunStatus::Succeeded {
        let message = format!("run {} succeeded and has nothing left to do", run.id);
        return Err(Fault::new(StatusCode::CONFLICT, message));
    }
    site.runs.resume(&run.id).await?;
    Ok(Redirect::to(&format!("/runs/{id}")).into_response())
}
