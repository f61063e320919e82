//! `flow runs`: lists runs.

use flow_core::store::{RunFilter, RunRow, RunStatus, Store};
use serde_json::{Value, json};

use crate::cli::{Global, Runs};
use crate::report::{CommandError, Exit};
use crate::{output, world};

pub(crate) async fn run(global: &Global, args: Runs) -> Result<Exit, CommandError> {
    let status = args.status.as_deref().map(status).transpose()?;
    let runs = match Store::open_existing(&world::store_here(global)).await? {
        Some(store) => {
            let (workflow, limit) = (args.workflow, args.limit);
            store.runs(&RunFilter { workflow, status, limit: Some(limit), before: None }).await?
        }
        None => Vec::new(),
    };
    if global.json {
        output::json(&runs.iter().map(run_json).collect());
    } else if runs.is_empty() {
        output::note("no runs\n");
    } else {
        let rows: Vec<_> = runs.iter().map(row).collect();
        let heads = ["RUN", "WORKFLOW", "STATUS", "STARTED", "TOOK", "COST"];
        output::data(&output::table(&heads, &rows));
    }
    Ok(Exit::Done)
}

/// The status of this name.
pub(crate) fn status(name: &str) -> Result<RunStatus, CommandError> {
    RunStatus::from_name(name).ok_or_else(|| {
        CommandError::invalid(format!("there is no status `{name}`"))
            .hint("running, waiting, interrupted, succeeded, failed or cancelled")
    })
}

fn row(run: &RunRow) -> Vec<String> {
    vec![
        run.id.to_string(),
        run.workflow.clone(),
        run.status.to_string(),
        output::time(run.started),
        run.ended.map(|ended| output::duration(ended - run.started)).unwrap_or_default(),
        cost(run),
    ]
}

/// What a run cost, as far as anybody knows.
pub(crate) fn cost(run: &RunRow) -> String {
    if run.cost_uncertain { format!("{} + unknown", run.cost) } else { run.cost.to_string() }
}

pub(crate) fn run_json(run: &RunRow) -> Value {
    json!({
        "run": run.id,
        "workflow": run.workflow,
        "status": run.status,
        "started": timestamp(run.started),
        "ended": run.ended.map(timestamp),
        "cost": run.cost.usd(),
        "cost_uncertain": run.cost_uncertain,
    })
}

/// A time as RFC 3339.
pub(crate) fn timestamp(millis: i64) -> Value {
    jiff::Timestamp::from_millisecond(millis).map_or(Value::Null, |at| at.to_string().into())
}
