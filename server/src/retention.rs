//! Forgetting runs that ended long ago, as each workflow says by `keep`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flow_core::store::{Pruned, Retention, RunStatus, StoreError};
use tokio_util::sync::CancellationToken;

use crate::folder::Folder;
use crate::runs::Runs;

/// How often it is done.
const EVERY: Duration = Duration::from_hours(24);

/// How long after the server's start it is done first.
const FIRST: Duration = Duration::from_mins(5);

/// The longest that who waits for the lock of the database lets pass before the next look.
const LOOK: Duration = Duration::from_millis(100);

/// How long the names of deliveries to webhooks are kept, in milliseconds.
const DELIVERIES_MS: i64 = 30 * 24 * 3_600_000;

/// Forgets runs every day until it is told to stop. Dropping the future stops it: what it was
/// about to forget the next one forgets.
pub async fn every_day(runs: Runs, folder: Arc<Folder>, stop: CancellationToken) {
    let mut wait = FIRST;
    while stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
        wait = EVERY;
        match stop.run_until_cancelled(once(&runs, &folder)).await {
            Some(Ok(pruned)) if pruned.runs > 0 => {
                tracing::info!("forgot {} runs and {} files", pruned.runs, pruned.files);
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => tracing::warn!("old runs are not forgotten: {error}"),
            None => return,
        }
    }
}

/// Forgets what is to be forgotten now, in small steps between which others can write.
///
/// Dropping the future stops it between two of them.
pub async fn once(runs: &Runs, folder: &Folder) -> Result<Pruned, StoreError> {
    let now = runs.workplace().now();
    let store = runs.store();
    let mut freed = Pruned::default();
    for (workflow, keep) in kept(folder) {
        let retention = Retention {
            before: now.saturating_sub(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX)),
            statuses: vec![RunStatus::Succeeded, RunStatus::Failed, RunStatus::Cancelled],
            keep: 0,
            workflow: Some(workflow),
        };
        let mut pruning = store.prune(retention).await?;
        loop {
            let begun = Instant::now();
            if !pruning.step().await? {
                break;
            }
            // Who waits for the lock has to find it free as often as it is taken.
            tokio::time::sleep((begun.elapsed() / 2).min(LOOK)).await;
        }
        freed.runs += pruning.freed().runs;
        freed.files += pruning.freed().files;
        freed.file_bytes += pruning.freed().file_bytes;
        freed.definitions += pruning.freed().definitions;
    }
    store.forget_deliveries(now - DELIVERIES_MS).await?;
    Ok(freed)
}

/// How long runs of each workflow are kept: the longest, where two files have one name.
fn kept(folder: &Folder) -> BTreeMap<String, Duration> {
    let mut kept = BTreeMap::<String, Option<Duration>>::new();
    for listed in folder.workflows() {
        let Some(program) = listed.reading.as_ref().ok().and_then(|read| read.program.as_ref())
        else {
            continue;
        };
        let keep = program.workflow.keep;
        kept.entry(program.workflow.name.clone())
            .and_modify(|longest| *longest = longest.zip(keep).map(|(a, b)| a.max(b)))
            .or_insert(keep);
    }
    kept.into_iter().filter_map(|(name, keep)| Some((name, keep?))).collect()
}
