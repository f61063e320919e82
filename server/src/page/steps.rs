//! Steps and instances in a list.

use flow_core::error::ErrorClass;
use flow_core::ids::{InstancePath, RunId};
use flow_core::store::{Brief, Counts, StepList, StepStatus, Store};
use serde::Serialize;

use super::format::{Moment, count, dollars, duration, encoded, moment};
use super::render::Fault;

/// Rows of a list.
const ROWS: u32 = 100;

/// A part of a list of steps.
#[derive(Serialize)]
pub(super) struct Steps {
    rows: Vec<Row>,
    /// How many stand how, to filter by.
    counts: Vec<Tally>,
    /// The parts before and behind.
    earlier: Option<String>,
    later: Option<String>,
    /// Whether they are items of a loop.
    items: bool,
    all: String,
}

#[derive(Serialize)]
struct Row {
    href: String,
    name: String,
    ordinal: Option<u64>,
    status: &'static str,
    counts: Vec<Tally>,
    attempts: u32,
    cached: bool,
    started: Option<Moment>,
    took: String,
    cost: String,
    error: Option<String>,
    error_class: Option<&'static str>,
}

/// How many stand so.
#[derive(Serialize)]
pub(super) struct Tally {
    status: &'static str,
    text: String,
    href: String,
    chosen: bool,
}

/// Which part of a list is shown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Part {
    pub(super) status: Option<StepStatus>,
    pub(super) skip: u32,
}

impl Steps {
    /// Reads a part of the steps below `parent`. `here` is the address of the list, to which
    /// what is chosen is added.
    pub(super) async fn below(
        store: &Store,
        run: &RunId,
        parent: Option<&InstancePath>,
        part: Part,
        here: &str,
        now: i64,
    ) -> Result<Self, Fault> {
        let list = StepList { parent, status: part.status, skip: part.skip, limit: ROWS + 1 };
        let mut briefs = store.briefs(run, list).await?;
        let more = briefs.len() > ROWS as usize;
        briefs.truncate(ROWS as usize);
        let paths: Vec<_> = briefs.iter().map(|brief| brief.path.clone()).collect();
        let costs = store.costs_of(run, &paths).await?;
        let mut below = store.counts_below(run, &paths).await?;
        let counts: Counts = store.step_counts(run, parent).await?.into_iter().collect();
        let row = |brief: &Brief| {
            let href = step_address(run, &brief.path);
            let counts = below.remove(&brief.path).unwrap_or_default();
            let cost = costs.get(&brief.path);
            row(brief, href, &counts, cost.map(|cost| dollars(*cost)), now)
        };
        let rows: Vec<_> = briefs.iter().map(row).collect();
        let joint = if here.contains('?') { '&' } else { '?' };
        let chosen = part.status.map_or(String::new(), |status| format!("status={status}&"));
        let at = |skip: u32| format!("{here}{joint}{chosen}skip={skip}#steps");
        Ok(Self {
            items: rows.iter().any(|row| row.ordinal.is_some()),
            counts: tallies(&counts, part.status, |status| {
                format!("{here}{joint}status={status}#steps")
            }),
            earlier: (part.skip > 0).then(|| at(part.skip.saturating_sub(ROWS))),
            later: more.then(|| at(part.skip + ROWS)),
            all: format!("{here}#steps"),
            rows,
        })
    }
}

fn row(brief: &Brief, href: String, counts: &Counts, cost: Option<String>, now: i64) -> Row {
    let until = brief.ended.or_else(|| (brief.status == StepStatus::Running).then_some(now));
    let took = brief.started.zip(until).map(|(started, until)| duration(until - started));
    Row {
        name: name(brief),
        ordinal: brief.ordinal.map(|at| at + 1),
        status: brief.status.as_str(),
        counts: tallies(counts, None, |status| format!("{href}&status={status}#steps")),
        attempts: brief.attempts,
        cached: brief.cached,
        started: brief.started.map(moment),
        took: took.unwrap_or_else(|| "–".to_owned()),
        cost: cost.unwrap_or_else(|| "–".to_owned()),
        error: brief.error.clone(),
        error_class: brief.error_class.map(ErrorClass::as_str),
        href,
    }
}

/// What a step is called in a list: its id, or the key of its item.
fn name(brief: &Brief) -> String {
    let path = brief.path.as_str();
    match (brief.ordinal, path.rfind('[')) {
        (Some(_), Some(at)) => path[at + 1..].trim_end_matches(']').chars().take(24).collect(),
        _ => brief.step.clone(),
    }
}

/// Where a step is looked at.
pub(super) fn step_address(run: &RunId, path: &InstancePath) -> String {
    format!("/runs/{run}/step?at={}", encoded(path.as_str()))
}

fn tallies(
    counts: &Counts,
    chosen: Option<StepStatus>,
    href: impl Fn(StepStatus) -> String,
) -> Vec<Tally> {
    let present = counts.iter().filter(|(_, steps)| **steps > 0);
    present
        .map(|(status, steps)| Tally {
            status: status.as_str(),
            text: count(*steps),
            href: href(*status),
            chosen: chosen == Some(*status),
        })
        .collect()
}
