//! The schedules of the folder: when each ticks next, what came of it, and whether it does.

use axum::Form;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use flow_core::language::{MissedTicks, Overlap};
use flow_core::store::ScheduleRow;
use serde::{Deserialize, Serialize};

use super::format::{count, segment, short};
use super::render::{Fault, Place, Viewer, page};
use crate::schedule::{Spec, known, remember};
use crate::state::Site;

/// Ticks that are shown.
const SHOWN: usize = 5;

#[derive(Serialize)]
struct View {
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    /// What it is called, as the command line has it.
    name: String,
    workflow: String,
    definition: String,
    /// Its workflow's file.
    source: String,
    when: String,
    zone: String,
    paused: bool,
    next: Vec<String>,
    policy: String,
    skipped: Option<String>,
    last: Option<Last>,
}

/// The run that it started last.
#[derive(Serialize)]
struct Last {
    href: String,
    short: String,
}

/// Which schedule is meant, and what shall become of it.
#[derive(Deserialize)]
pub(super) struct Change {
    workflow: String,
    definition: String,
    paused: bool,
}

/// Lists them.
pub(super) async fn list(State(site): State<Site>, viewer: Viewer) -> Result<Response, Fault> {
    let now = site.runs.workplace().now();
    let mut rows = Vec::new();
    for (slug, specs) in schedules(&site) {
        let kept = site.runs.store().schedules_of(&slug).await?;
        let kept = known(&specs, kept, now).rows;
        for spec in &specs {
            let state = kept.iter().find(|row| row.definition == spec.definition);
            rows.push(Row::of(spec, specs.len(), state, now));
        }
    }
    page("schedules.html", Place::Schedules, "schedules", &viewer, View { rows })
}

/// Pauses a schedule, or lets it go on.
pub(super) async fn change(
    State(site): State<Site>,
    viewer: Viewer,
    Form(change): Form<Change>,
) -> Result<Response, Fault> {
    viewer.runs()?;
    let all = schedules(&site);
    let of_workflow = all.iter().find(|(slug, _)| *slug == change.workflow);
    let meant = of_workflow.and_then(|(_, specs)| {
        let spec = specs.iter().find(|spec| spec.definition.hex() == change.definition)?;
        Some((specs, spec))
    });
    let Some((specs, spec)) = meant else {
        let message = "there is no such schedule any more: its file was changed";
        return Err(Fault::new(StatusCode::CONFLICT, message));
    };
    let (store, now) = (site.runs.store(), site.runs.workplace().now());
    remember(store, &spec.workflow, specs, now).await?;
    store.pause_schedule(&spec.workflow, &spec.definition, change.paused, now).await?;
    Ok(Redirect::to("/schedules").into_response())
}

/// The schedules of every workflow that can run, by its slug.
fn schedules(site: &Site) -> Vec<(String, Vec<Spec>)> {
    let of = |listed: &crate::folder::Listed| {
        let program = listed.reading.as_ref().ok()?.program.as_ref()?;
        let (specs, _) = Spec::all(&listed.slug, &program.workflow);
        (!specs.is_empty()).then(|| (listed.slug.clone(), specs))
    };
    site.folder.workflows().iter().filter_map(|listed| of(listed)).collect()
}

impl Row {
    fn of(spec: &Spec, among: usize, state: Option<&ScheduleRow>, now: i64) -> Self {
        let missed = match spec.catch_up {
            MissedTicks::All => "all missed ticks are run",
            MissedTicks::Latest => "the latest missed tick is run",
            MissedTicks::None => "missed ticks are left out",
        };
        let overlap = match spec.overlap {
            Overlap::Skip => "a tick during a run is skipped",
            Overlap::Queue => "a tick during a run waits",
            Overlap::Cancel => "a tick during a run stops that",
        };
        let skipped = state.map(|row| row.skipped).filter(|skipped| *skipped > 0);
        Self {
            name: spec.name(among),
            workflow: spec.workflow.clone(),
            definition: spec.definition.hex(),
            source: format!("/workflows/{}", segment(&spec.workflow)),
            when: spec.text.clone(),
            zone: spec.zone.clone(),
            paused: state.is_some_and(|row| row.paused),
            next: spec.upcoming(now, SHOWN).into_iter().map(|tick| spec.shown(tick)).collect(),
            policy: format!("{missed}; {overlap}"),
            skipped: skipped.map(count),
            last: state
                .and_then(|row| row.last_run.as_ref())
                .map(|run| Last { href: format!("/runs/{run}"), short: short(&run.to_string()) }),
        }
    }
}
