//! What calls of models cost, by day, workflow and model.

use std::collections::{BTreeMap, HashMap};

use axum::extract::{Query, State};
use axum::response::Response;
use flow_core::store::CallCosts;
use flow_core::units::Money;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::chart::{Chart, Day};
use super::format::{count, dollars, encoded};
use super::render::{Fault, Place, Viewer, page};
use crate::state::Site;

const DAY_MS: i64 = 86_400_000;

/// The days that can be chosen.
const SPANS: [i64; 3] = [7, 30, 90];

/// Parts of a bar that have a colour of their own; the rest is one.
const COLOURS: usize = 7;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    days: Option<i64>,
}

#[derive(Serialize)]
struct View {
    days: i64,
    spans: [i64; 3],
    total: String,
    calls: String,
    unknown: Option<String>,
    by_workflow: Share,
    by_model: Share,
    table: Vec<Row>,
}

/// A chart, and what its colours mean.
#[derive(Serialize)]
struct Share {
    chart: Chart,
    parts: Vec<Part>,
}

#[derive(Serialize)]
struct Part {
    colour: usize,
    name: String,
    href: Option<String>,
    cost: String,
    calls: String,
    percent: String,
}

#[derive(Serialize)]
struct Row {
    day: String,
    cost: String,
    calls: String,
    input_tokens: String,
    output_tokens: String,
    unknown: u64,
}

/// Shows what the last days cost.
pub(super) async fn show(
    State(site): State<Site>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let span = asked.days.filter(|days| SPANS.contains(days)).unwrap_or(30);
    let now = site.runs.workplace().now();
    let today = now - now.rem_euclid(DAY_MS);
    let since = today - (span - 1) * DAY_MS;
    let costs = site.runs.store().call_costs(since, i64::MAX).await?;
    let days: Vec<String> = (0..span).map(|at| name_of(since + at * DAY_MS)).collect();
    let unknown: u64 = costs.iter().map(|row| row.unknown).sum();
    let view = View {
        days: span,
        spans: SPANS,
        total: dollars(costs.iter().map(|row| row.cost).sum()),
        calls: count(costs.iter().map(|row| row.calls).sum()),
        unknown: (unknown > 0).then(|| count(unknown)),
        by_workflow: share(&costs, &days, |row| &row.workflow, true),
        by_model: share(&costs, &days, |row| &row.model, false),
        table: table(&costs),
    };
    page("costs.html", Place::Costs, "costs", &viewer, view)
}

fn name_of(millis: i64) -> String {
    let at = Timestamp::from_millisecond(millis).unwrap_or_default();
    at.to_zoned_datetime(TimeZone::UTC).date().to_string()
}

fn share(
    costs: &[CallCosts],
    days: &[String],
    name: impl Fn(&CallCosts) -> &String,
    is_workflow: bool,
) -> Share {
    let mut sums: HashMap<&String, (Money, u64)> = HashMap::new();
    for row in costs {
        let sum = sums.entry(name(row)).or_default();
        *sum = (sum.0 + row.cost, sum.1 + row.calls);
    }
    let all: Money = sums.values().map(|(cost, _)| *cost).sum();
    let mut order: Vec<_> = sums.into_iter().collect();
    order.sort_by(|a, b| b.1.0.cmp(&a.1.0).then_with(|| a.0.cmp(b.0)));
    let colours: HashMap<&String, usize> =
        order.iter().enumerate().map(|(at, (name, _))| (*name, at.min(COLOURS))).collect();
    let mut by_day: BTreeMap<&str, BTreeMap<usize, (String, Money)>> = BTreeMap::new();
    for row in costs {
        let colour = colours[name(row)];
        let own = if colour < COLOURS { name(row).as_str() } else { "others" };
        let parts = by_day.entry(&row.day).or_default();
        parts.entry(colour).or_insert_with(|| (own.to_owned(), Money::ZERO)).1 += row.cost;
    }
    let day = |name: &String| {
        let parts = by_day.get(name.as_str()).into_iter().flatten();
        let parts = parts.map(|(colour, (name, cost))| (*colour, name.clone(), *cost));
        Day { name: name.clone(), parts: parts.collect() }
    };
    let days: Vec<Day> = days.iter().map(day).collect();
    let part = |(at, (name, (cost, calls))): (usize, (&String, (Money, u64)))| Part {
        colour: at.min(COLOURS),
        href: is_workflow.then(|| format!("/runs?workflow={}", encoded(name))),
        name: name.clone(),
        cost: dollars(cost),
        calls: count(calls),
        percent: format!("{:.0} %", 100.0 * cost.usd() / all.usd().max(f64::MIN_POSITIVE)),
    };
    Share { chart: Chart::of(&days), parts: order.into_iter().enumerate().map(part).collect() }
}

fn table(costs: &[CallCosts]) -> Vec<Row> {
    let mut days: BTreeMap<&str, CallCosts> = BTreeMap::new();
    for row in costs {
        match days.get_mut(row.day.as_str()) {
            Some(sum) => {
                sum.cost += row.cost;
                sum.calls += row.calls;
                sum.input_tokens += row.input_tokens;
                sum.output_tokens += row.output_tokens;
                sum.unknown += row.unknown;
            }
            None => {
                days.insert(&row.day, row.clone());
            }
        }
    }
    let row = |(day, sum): (&str, CallCosts)| Row {
        day: day.to_owned(),
        cost: dollars(sum.cost),
        calls: count(sum.calls),
        input_tokens: count(sum.input_tokens),
        output_tokens: count(sum.output_tokens),
        unknown: sum.unknown,
    };
    days.into_iter().rev().map(row).collect()
}
