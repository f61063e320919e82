//! What calls of models came to.

#![expect(unused_qualifications, reason = "utoipa spells the paths of types out")]

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Query;
use crate::problem::Problem;
use crate::state::Site;

/// Milliseconds of a day.
const DAY: i64 = 24 * 60 * 60 * 1000;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// Since so many days before now, 1 to 3660 [default: 30].
    #[param(minimum = 1, maximum = 3660)]
    days: Option<u16>,
}

/// What calls of a model came to on a day.
#[derive(Serialize, ToSchema)]
pub(super) struct Usage {
    /// The UTC day of their start, as `2026-01-31`.
    day: String,
    workflow: String,
    provider: Option<String>,
    model: String,
    calls: u64,
    input_tokens: u64,
    output_tokens: u64,
    /// In USD, as far as it is known.
    cost: f64,
    /// How many have a cost that nobody knows.
    unknown_cost_calls: u64,
}

/// Says what calls of models came to, by day, workflow and model.
#[utoipa::path(get, path = "/api/v1/usage", tag = "usage", params(Asked),
    responses((status = 200, body = Vec<Usage>), (status = 400, body = Problem)))]
pub(super) async fn get(
    State(site): State<Site>,
    Query(asked): Query<Asked>,
) -> Result<Json<Vec<Usage>>, Problem> {
    let days = asked.days.unwrap_or(30);
    if !(1..=3660).contains(&days) {
        return Err(Problem::bad("`days` is 1 to 3660"));
    }
    let since = site.runs.workplace().now() - i64::from(days) * DAY;
    let rows = site.runs.store().usage(since).await?.into_iter().map(|row| Usage {
        day: row.day,
        workflow: row.workflow,
        provider: row.provider,
        model: row.model,
        calls: row.calls,
        input_tokens: row.input_tokens,
        output_tokens: row.output_tokens,
        cost: row.cost,
        unknown_cost_calls: row.unknown_cost_calls,
    });
    Ok(Json(rows.collect()))
}
