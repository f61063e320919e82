//! The list of runs.

use axum::extract::{Query, State};
use axum::response::Response;
use flow_core::ids::RunId;
use flow_core::store::{RunRow, RunSearch, RunStatus, Store};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::format::{Moment, duration, encoded, moment, money, short};
use super::render::{Fault, Place, Viewer, page};
use crate::state::Site;

/// Runs on a page.
const ROWS: usize = 50;

/// The most workflows that are offered to filter by.
const OFFERED: u32 = 500;

/// What is asked for, as it stands in the address; what is empty is not asked for.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Asked {
    workflow: String,
    status: String,
    q: String,
    since: String,
    until: String,
    before: String,
}

#[derive(Serialize)]
struct View {
    rows: Vec<Row>,
    asked: Asked,
    filtered: bool,
    faults: Vec<String>,
    workflows: Vec<String>,
    statuses: Vec<&'static str>,
    /// Where this list is, for when something changes.
    here: String,
    first: String,
    older: Option<String>,
}

/// A run in a list.
#[derive(Serialize)]
pub(super) struct Row {
    href: String,
    short: String,
    workflow: String,
    status: &'static str,
    started: Moment,
    took: String,
    cost: String,
    error: Option<String>,
}

impl Row {
    /// A run as it stands at a time.
    pub(super) fn of(run: &RunRow, now: i64) -> Self {
        let until = run.ended.or_else(|| (run.status == RunStatus::Running).then_some(now));
        Self {
            href: format!("/runs/{}", run.id),
            short: short(run.id.as_str()),
            workflow: run.workflow.clone(),
            status: run.status.as_str(),
            started: moment(run.started),
            took: until.map_or_else(|| "–".to_owned(), |until| duration(until - run.started)),
            cost: money(run.cost, run.cost_uncertain),
            error: run.error.as_deref().map(first_line),
        }
    }
}

/// Every status, as the filter offers them.
const STATUSES: [RunStatus; 6] = [
    RunStatus::Running,
    RunStatus::Waiting,
    RunStatus::Interrupted,
    RunStatus::Succeeded,
    RunStatus::Failed,
    RunStatus::Cancelled,
];

impl Asked {
    /// What to search for, and what of it cannot be understood.
    fn search(&self) -> (RunSearch, Vec<String>) {
        let mut faults = Vec::new();
        let some = |text: &str| (!text.trim().is_empty()).then(|| text.trim().to_owned());
        let mut day = |text: &str, days: i64| {
            let text = some(text)?;
            let start = start_of_day(&text, days);
            if start.is_none() {
                faults.push(format!("`{text}` is no date such as 2026-11-24"));
            }
            start
        };
        let (since, until) = (day(&self.since, 0), day(&self.until, 1));
        let status = some(&self.status).and_then(|name| {
            let status = RunStatus::from_name(&name);
            if status.is_none() {
                faults.push(format!("no run is `{name}`"));
            }
            status
        });
        let before = some(&self.before).and_then(|id| id.parse::<RunId>().ok());
        let (workflow, text) = (some(&self.workflow), some(&self.q));
        (RunSearch { workflow, status, text, since, until, before }, faults)
    }

    /// The address of this list from a run on.
    fn address(&self, before: &str) -> String {
        let mut pairs = vec![
            ("workflow", self.workflow.as_str()),
            ("status", &self.status),
            ("q", &self.q),
            ("since", &self.since),
            ("until", &self.until),
            ("before", before),
        ];
        pairs.retain(|(_, value)| !value.is_empty());
        let pairs: Vec<_> =
            pairs.iter().map(|(key, value)| format!("{key}={}", encoded(value))).collect();
        if pairs.is_empty() { "/runs".to_owned() } else { format!("/runs?{}", pairs.join("&")) }
    }
}

/// When a day begins in UTC, in milliseconds since 1970, some days later.
fn start_of_day(text: &str, later: i64) -> Option<i64> {
    let date: Date = text.parse().ok()?;
    let date = date.checked_add(jiff::Span::new().days(later)).ok()?;
    Some(date.to_zoned_datetime(TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

/// Lists the runs that are asked for.
pub(super) async fn list(
    State(site): State<Site>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let (search, faults) = asked.search();
    let store = site.runs.store();
    // One more tells whether there are more.
    let mut runs = store.search_runs(&search, ROWS as u32 + 1).await?;
    let more = runs.len() > ROWS;
    runs.truncate(ROWS);
    let now = site.runs.workplace().now();
    let older = runs.last().filter(|_| more).map(|last| asked.address(last.id.as_str()));
    let (here, first) = (asked.address(&asked.before), asked.address(""));
    let filtered = first != "/runs";
    let view = View {
        rows: runs.iter().map(|run| Row::of(run, now)).collect(),
        filtered,
        faults,
        workflows: workflows(&site, store).await?,
        statuses: STATUSES.map(RunStatus::as_str).into(),
        here,
        first,
        older,
        asked,
    };
    page("runs.html", Place::Runs, "runs", &viewer, view)
}

/// The workflows that have runs, and those that may have some.
async fn workflows(site: &Site, store: &Store) -> Result<Vec<String>, Fault> {
    let mut names = store.workflows_with_runs(OFFERED).await?;
    let listed = site.folder.workflows();
    let readings = listed.iter().filter_map(|listed| listed.reading.as_ref().ok());
    let programs = readings.filter_map(|reading| reading.program.as_ref());
    names.extend(programs.map(|program| program.workflow.name.clone()));
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_stands_in_the_address_and_comes_back() {
        let asked = Asked { q: "a&b".into(), status: "failed".into(), ..Asked::default() };
        assert_eq!(asked.address(""), "/runs?status=failed&q=a%26b");
        assert_eq!(Asked::default().address(""), "/runs");
    }

    #[test]
    fn a_date_that_is_none_is_told() {
        let asked = Asked { since: "yesterday".into(), status: "lost".into(), ..Asked::default() };
        let (search, faults) = asked.search();
        assert_eq!(faults, ["`yesterday` is no date such as 2026-11-24", "no run is `lost`"]);
        assert_eq!((search.since, search.status), (None, None));
    }

    #[test]
    fn the_last_day_is_listed_whole() {
        let asked =
            Asked { since: "2026-01-01".into(), until: "2026-01-01".into(), ..Asked::default() };
        let (search, faults) = asked.search();
        assert!(faults.is_empty());
        assert_eq!(search.until.unwrap() - search.since.unwrap(), 86_400_000);
    }
}
