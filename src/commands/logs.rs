//! `flow logs`: what the steps of a run wrote, or what happened to them.

use flow_core::ids::InstancePath;
use flow_core::ids::RunId;
use flow_core::store::{EventRow, LogFilter, LogRow, Store};
use serde_json::{Value, json};

use super::runs::timestamp;
use crate::cli::{Global, Logs};
use crate::report::{CommandError, Exit};
use crate::{output, world};

/// Rows read at once.
const PAGE: u32 = 1000;

pub(crate) async fn run(global: &Global, args: &Logs) -> Result<Exit, CommandError> {
    let store = world::existing_store(global).await?;
    let run = world::run_named(&store, &args.run).await?;
    if args.events {
        events(global, &store, &run.id).await?;
    } else {
        lines(global, &store, &run.id, args.step.as_deref()).await?;
    }
    Ok(Exit::Done)
}

async fn events(global: &Global, store: &Store, run: &RunId) -> Result<(), CommandError> {
    let mut after = 0;
    let mut all = Vec::new();
    loop {
        let page = store.events(run, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        for event in &page {
            if global.json {
                all.push(event_json(event));
            } else {
                let path = event.path.as_ref().map_or("", InstancePath::as_str);
                let time = output::time(event.at);
                output::data(&format!("{:>5}  {time}  {:16} {path}\n", event.seq, event.kind));
            }
        }
    }
    if global.json {
        output::json(&Value::Array(all));
    }
    Ok(())
}

async fn lines(
    global: &Global,
    store: &Store,
    run: &RunId,
    step: Option<&str>,
) -> Result<(), CommandError> {
    let filter = LogFilter { path: step.map(InstancePath::from_stored), attempt: None };
    let (mut after, mut all) = (None, Vec::new());
    loop {
        let page = store.logs(run, &filter, after, PAGE).await?;
        for row in &page.rows {
            if global.json {
                all.push(line_json(row));
            } else {
                let path = row.path.as_ref().map_or("", InstancePath::as_str);
                output::data(&format!("{}  {path} | {}\n", output::time(row.at), row.line));
            }
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if global.json {
        output::json(&Value::Array(all));
    }
    Ok(())
}

fn event_json(event: &EventRow) -> Value {
    json!({
        "seq": event.seq,
        "at": timestamp(event.at),
        "path": event.path,
        "kind": event.kind,
        "body": event.body,
    })
}

fn line_json(row: &LogRow) -> Value {
    json!({ "at": timestamp(row.at), "path": row.path, "attempt": row.attempt, "line": row.line })
}
