//! `flow logs`: what the steps of a run wrote, or what happened to them.
//!
//! The last lines are printed, so that a run of a million is answered at once; what is not
//! shown is said on stderr. Pages are printed as they are read, whatever their number.

use std::time::Duration;

use flow_core::ids::{InstancePath, RunId};
use flow_core::store::{EventRow, LogFilter, LogRow, RunLock, RunStatus, Store, StoreError};
use serde_json::{Value, json};

use super::runs::timestamp;
use crate::cli::{Global, Logs};
use crate::output::Array;
use crate::report::{CommandError, Exit};
use crate::{output, world};

/// Rows read at once.
const PAGE: u32 = 1000;

/// How often a run that is followed is looked at.
const POLL: Duration = Duration::from_millis(200);

pub(crate) async fn run(global: &Global, args: &Logs) -> Result<Exit, CommandError> {
    let store = world::existing_store(global).await?;
    let run = world::run_named(&store, &args.run).await?;
    let filter =
        LogFilter { path: args.step.as_deref().map(InstancePath::from_stored), attempt: None };
    let source = if args.events { Source::Events } else { Source::Lines(filter) };
    let array = global.json.then(Array::begin);
    let mut reader = Reader { store: &store, run: &run.id, source, after: 0, array };
    let before = if args.all { 0 } else { reader.skip_to_last(args.limit).await? };
    reader.print().await?;
    let exit = if args.follow { reader.follow().await? } else { Exit::Done };
    if let Some(array) = reader.array {
        array.end();
    }
    if before > 0 {
        let what = if args.events { "event" } else { "line" };
        let lines = if before == 1 { what.to_owned() } else { format!("{what}s") };
        output::note(&format!(
            "{before} earlier {lines} not shown: `--limit N` shows the last N, `--all` all\n"
        ));
    }
    Ok(exit)
}

/// What is printed.
enum Source {
    Events,
    Lines(LogFilter),
}

/// Reads what is to be printed from a place on.
struct Reader<'s> {
    store: &'s Store,
    run: &'s RunId,
    source: Source,
    after: i64,
    /// The array that is printed, under `--json`.
    array: Option<Array>,
}

impl Reader<'_> {
    /// Goes to where the last lines begin, so many; says how many are before them.
    async fn skip_to_last(&mut self, limit: u32) -> Result<u64, StoreError> {
        match &self.source {
            Source::Events => {
                // They are numbered from 1 without a gap.
                let before = self.store.last_seq(self.run).await?.saturating_sub(limit.into());
                self.after = before as i64;
                Ok(before)
            }
            Source::Lines(filter) => {
                let path = filter.path.as_ref();
                self.after = self.store.place_of_last_logs(self.run, path, limit).await?;
                match self.after {
                    0 => Ok(0),
                    after => self.store.count_logs(self.run, path, after).await,
                }
            }
        }
    }

    /// Prints all there is behind the place, and moves it there.
    async fn print(&mut self) -> Result<(), StoreError> {
        loop {
            let printed = match &self.source {
                Source::Events => {
                    let page = self.store.events(self.run, self.after as u64, PAGE).await?;
                    self.after = page.last().map_or(self.after, |event| event.seq as i64);
                    show(&mut self.array, &page, event_json, event_line)
                }
                Source::Lines(filter) => {
                    let page = self.store.logs(self.run, filter, self.after, PAGE).await?;
                    self.after = page.next.unwrap_or(self.after);
                    show(&mut self.array, &page.rows, line_json, log_line)
                }
            };
            if printed < PAGE as usize {
                return Ok(());
            }
        }
    }

    /// Prints what comes, until nobody drives the run any more.
    async fn follow(&mut self) -> Result<Exit, CommandError> {
        loop {
            // Asked before what there is is read: what it wrote until then is all there.
            let row = self.store.run(self.run).await?;
            let running = row.is_some_and(|row| row.status == RunStatus::Running);
            let driven = running && RunLock::is_held(self.store.folder(), self.run);
            self.print().await?;
            if !driven {
                return Ok(Exit::Done);
            }
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                _ = tokio::signal::ctrl_c() => return Ok(Exit::Interrupted),
            }
        }
    }
}

/// Prints a page at once, and says how long it was.
fn show<T>(
    array: &mut Option<Array>,
    rows: &[T],
    json: impl Fn(&T) -> Value,
    line: impl Fn(&T) -> String,
) -> usize {
    match array {
        Some(array) => array.push(rows.iter().map(json)),
        None => output::data(&rows.iter().map(line).collect::<String>()),
    }
    rows.len()
}

fn event_line(event: &EventRow) -> String {
    let path = event.path.as_ref().map_or("", InstancePath::as_str);
    format!("{:>5}  {}  {:16} {path}\n", event.seq, output::time(event.at), event.kind)
}

fn log_line(row: &LogRow) -> String {
    let path = row.path.as_ref().map_or("", InstancePath::as_str);
    format!("{}  {path} | {}\n", output::time(row.at), row.line)
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
