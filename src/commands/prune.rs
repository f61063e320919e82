//! `flow prune`: forgets runs that ended long ago, and what only they needed.

use std::time::{Duration, Instant};

use flow_core::store::{Pruned, Retention, RunStatus, Space, Store};
use serde_json::json;

use super::runs::status;
use crate::cli::{Global, Prune};
use crate::report::{CommandError, Exit};
use crate::{failpoint, output, world};

pub(crate) async fn run(global: &Global, args: Prune) -> Result<Exit, CommandError> {
    let retention = retention(&args)?;
    let store = world::existing_store(global).await?;
    let before = store.space().await?;
    let pruned = match args.dry_run {
        true => store.would_prune(&retention).await?,
        false => prune(&store, retention).await?,
    };
    if args.vacuum {
        store.vacuum().await?;
    }
    let after = store.space().await?;
    if global.json {
        output::json(&json!({
            "dry_run": args.dry_run,
            "runs": pruned.runs,
            "driven": pruned.driven,
            "cache": pruned.cached,
            "definitions": pruned.definitions,
            "files": pruned.files,
            "file_bytes": pruned.file_bytes,
            "database_bytes": after.bytes,
            "free_bytes": after.free,
        }));
    } else {
        output::note(&said(&args, &pruned, before, after));
    }
    Ok(Exit::Done)
}

fn retention(args: &Prune) -> Result<Retention, CommandError> {
    let named: Result<Vec<_>, _> = args.status.iter().map(|name| status(name)).collect();
    let statuses = match named? {
        none if none.is_empty() => vec![RunStatus::Succeeded],
        some => some,
    };
    let age = i64::try_from(args.older_than.as_millis()).unwrap_or(i64::MAX);
    let before = world::now().saturating_sub(age);
    Ok(Retention { before, statuses, keep: args.keep, workflow: None })
}

/// The longest that who waits for the lock of the database lets pass before the next look.
const LOOK: Duration = Duration::from_millis(100);

/// Prunes step by step. Between two of them the lock is free for half as long as it was
/// taken: who waits for it looks again and again, and has to find it so.
async fn prune(store: &Store, retention: Retention) -> Result<Pruned, CommandError> {
    let mut pruning = store.prune(retention).await?;
    let tell = failpoint::between_steps();
    loop {
        let begun = Instant::now();
        let more = pruning.step().await?;
        tell();
        if !more {
            return Ok(pruning.freed().clone());
        }
        tokio::time::sleep((begun.elapsed() / 2).min(LOOK)).await;
    }
}

fn said(args: &Prune, pruned: &Pruned, before: Space, after: Space) -> String {
    let what = if args.dry_run { "would forget" } else { "forgot" };
    let mut text = format!(
        "{what} {}, {}, {} and {} of {}\n",
        counted(pruned.runs, "run", "runs"),
        counted(pruned.cached, "entry of the cache", "entries of the cache"),
        counted(pruned.definitions, "definition", "definitions"),
        counted(pruned.files, "file", "files"),
        output::bytes(pruned.file_bytes),
    );
    if pruned.driven > 0 {
        text.push_str(&format!(
            "{} left: driven by a process\n",
            counted(pruned.driven, "run", "runs")
        ));
    }
    let size = output::bytes(after.bytes);
    if args.vacuum {
        text.push_str(&format!(
            "the database has {size}, and had {}\n",
            output::bytes(before.bytes)
        ));
    } else if after.free > 0 {
        let free = output::bytes(after.free);
        text.push_str(&format!(
            "the database has {size}, and {free} of it are free for what comes; `--vacuum` gives them back\n"
        ));
    }
    text
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
