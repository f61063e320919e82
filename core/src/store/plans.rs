//! How `SQLite` finds what it is asked for: the plan of each statement, kept as a snapshot, so
//! that one which goes through a large table is seen before anybody waits for it.

use std::collections::BTreeSet;

use serde_json::json;
use sqlx::{AssertSqlSafe, ConnectOptions, Row, SqliteConnection};

use super::encode::Statement;
use super::prune::{REFERENCES, statements};
use super::{LogFilter, Retention, RunFilter, RunStatus, Store, open};
use crate::batches::{Asker, BatchLedger};
use crate::content::ContentHash;
use crate::ids::{InstancePath, RunId};
use crate::uploads::{Keep, UploadKey, UploadLedger};

/// What may be gone through: parameters, and in a view of SQL those that it is made for.
const SCANNED: [&str; 3] = ["json_each", "jsonb_each", "pragma_"];

async fn plan(connection: &mut SqliteConnection, sql: &str) -> String {
    let query = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")));
    let rows = query.fetch_all(connection).await.unwrap();
    let mut nested = std::collections::HashMap::from([(0_i64, 0_usize)]);
    let mut text = String::new();
    for row in rows {
        let depth = nested[&row.get::<i64, _>("parent")] + 1;
        nested.insert(row.get("id"), depth);
        text.push_str(&format!("{:1$}{2}\n", "", depth * 2, row.get::<&str, _>("detail")));
    }
    text
}

/// The plans of statements, each below its text.
async fn plans(store: &Store, statements: impl IntoIterator<Item = String>) -> String {
    let mut connection = open::options(store.file()).connect().await.unwrap();
    let mut text = String::new();
    for sql in statements {
        let plan = plan(&mut connection, &sql).await;
        let sql = sql.split_whitespace().collect::<Vec<_>>().join(" ");
        text.push_str(&format!("{sql}\n{plan}\n"));
    }
    text
}

/// Fails where a table is gone through, row by row.
#[track_caller]
fn none_goes_through_a_table(plans: &str) {
    for line in plans.lines().map(str::trim_start) {
        let Some(scanned) = line.strip_prefix("SCAN ") else { continue };
        let is_small = SCANNED.iter().any(|small| scanned.contains(small))
            || scanned.starts_with("CONSTANT ROW")
            || scanned.starts_with("(subquery")
            || scanned == "done"
            || scanned == "unfinished"
            || scanned == "k VIRTUAL TABLE INDEX 1:";
        assert!(is_small, "{line} in\n{plans}");
    }
}

/// Asks everything that the commands ask, and gives back the statements.
async fn everything_asked(store: &Store) -> BTreeSet<String> {
    let run = RunId::from_parts(1, 1);
    let path = InstancePath::from_stored("a");
    let hash = ContentHash::of_bytes(b"a");
    store.definition(&hash).await.unwrap();
    store.run(&run).await.unwrap();
    store.find_run("01").await.unwrap_err();
    for (workflow, status) in [(false, false), (true, false), (false, true), (true, true)] {
        let filter = RunFilter {
            workflow: workflow.then(|| "w".to_owned()),
            status: status.then_some(RunStatus::Failed),
            limit: Some(20),
            before: None,
        };
        store.runs(&filter).await.unwrap();
    }
    store.cancel_requested(&run).await.unwrap_err();
    let asker = Asker { run: run.clone(), path: path.clone(), attempt: 1 };
    store.find(&asker, hash).await.unwrap();
    store.knows("batch_1").await.unwrap();
    store.is_waited_for("n", &run).await.unwrap();
    store.open_batches(&run).await.unwrap();
    store.approval(&run, &path).await.unwrap();
    store.approvals(&run).await.unwrap();
    store.open_approvals(&run).await.unwrap();
    store.step(&run, &path).await.unwrap();
    store.steps_by_path(&run, std::slice::from_ref(&path)).await.unwrap();
    store.steps(&run, None, None, 10).await.unwrap();
    store.outputs_of(&run, &path, None, 10).await.unwrap();
    store.step_counts(&run, Some(&path)).await.unwrap();
    store.attempts(&run, &path).await.unwrap();
    store.attempts_of_run(&run, None, 10).await.unwrap();
    store.cached(&[hash]).await.unwrap();
    store.last_seq(&run).await.unwrap();
    store.events(&run, 0, 10).await.unwrap();
    for path in [None, Some(&path)] {
        let filter = LogFilter { path: path.cloned(), attempt: None };
        store.logs(&run, &filter, 0, 10).await.unwrap();
        store.place_of_last_logs(&run, path, 10).await.unwrap();
        store.count_logs(&run, path, 10).await.unwrap();
    }
    let uploads = store.uploads(run.clone());
    let key = UploadKey { account: hash, content: hash };
    uploads.find(&key, Keep::Run, 0).await.unwrap();
    uploads.unneeded(&hash, 0).await.unwrap();
    store.unneeded_uploads(&hash).await.unwrap();
    store.start_of(&run).await.unwrap();
    store.unfinished_starts(None, 10).await.unwrap();
    store.answered_starts(10).await.unwrap();
    store.usage(0).await.unwrap();
    store.schedules_of("w").await.unwrap();
    store.watched_files("w", std::slice::from_ref(&"a".to_owned())).await.unwrap();
    store.open_watched_files("w", 10).await.unwrap();
    store.delivery("h", "k").await.unwrap();
    store.followed_until("w").await.unwrap();
    store.ended_since("w", 0, None, 10).await.unwrap();
    store.depth_of(&run).await.unwrap();
    store.integrity_check().await.unwrap();
    store.space().await.unwrap();
    let mut asked: BTreeSet<_> = store.inner.asked.lock().unwrap().drain(..).collect();
    // The check reads everything, as it is to.
    asked.retain(|sql| !sql.contains("integrity_check") && !sql.contains("foreign_key_check"));
    asked
}

async fn store(folder: &std::path::Path) -> Store {
    Store::open(folder).await.unwrap()
}

#[tokio::test]
async fn what_commands_ask_is_found_on_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    let asked = everything_asked(&store).await;
    let plans = plans(&store, asked).await;
    none_goes_through_a_table(&plans);
    insta::assert_snapshot!("asked", plans);
}

#[tokio::test]
async fn what_is_written_is_placed_by_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    let written = [
        Statement::Definitions,
        Statement::Runs,
        Statement::Costs,
        Statement::Steps,
        Statement::Attempts,
        Statement::Events,
        Statement::Approvals,
        Statement::Cache,
        Statement::UsedCache,
        Statement::Logs,
        Statement::Artifacts,
        Statement::RemoteFiles,
        Statement::UseRemoteFile,
        Statement::KeepRemoteFile,
        Statement::ForgetRemoteFile,
        Statement::ForgetExpired,
        Statement::TakeUnneeded,
        Statement::RequestCancel,
        Statement::ClearCancel,
        Statement::Batches,
        Statement::BatchItems,
        Statement::BatchSent,
        Statement::BatchRead,
        Statement::BatchHanded,
        Statement::BatchForgotten,
        Statement::Starts,
        Statement::ForgetStart,
        Statement::Tokens,
        Statement::ForgetToken,
        Statement::Schedules,
        Statement::ScheduleGone,
        Statement::ScheduleTold,
        Statement::ScheduleMoved,
        Statement::WatchedFiles,
        Statement::WatchedFileClosed,
        Statement::Deliveries,
        Statement::ForgetDeliveries,
        Statement::Followers,
        Statement::ChainedRuns,
    ];
    let plans = plans(&store, written.map(|statement| statement.sql().to_owned())).await;
    none_goes_through_a_table(&plans);
    insta::assert_snapshot!("written", plans);
}

/// What a pruning does under the lock goes by indexes. What it looks at beforehand, and reads
/// without a lock, may be all runs or all rows.
#[tokio::test]
async fn what_is_pruned_is_found_on_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    let pruned = plans(&store, statements().map(str::to_owned)).await;
    none_goes_through_a_table(&pruned);
    insta::assert_snapshot!("pruned", pruned);
    let retention =
        Retention { before: 0, statuses: vec![RunStatus::Succeeded], keep: 1, workflow: None };
    store.would_prune(&retention).await.unwrap();
    let mut asked: BTreeSet<_> = store.inner.asked.lock().unwrap().drain(..).collect();
    asked.insert(REFERENCES.to_owned());
    insta::assert_snapshot!("looked_at", plans(&store, asked).await);
}

/// The query of the guide over the runs: as quick as its lines are few.
#[tokio::test]
async fn the_summary_of_the_last_runs_is_found_on_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    let sql = "SELECT run, status, steps, failed_steps FROM run_summary ORDER BY run DESC LIMIT 10";
    insta::assert_snapshot!("summary", plans(&store, [sql.to_owned()]).await);
    assert_eq!(json!(store.space().await.unwrap().free), json!(0));
}
