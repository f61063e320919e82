//! What ended long ago is forgotten, with what only it needed; everything else stays.

use std::path::Path;
use std::time::{Duration, SystemTime};

use flow_core::content::ContentHash;
use flow_core::ids::RunId;
use flow_core::store::{
    ApprovalRow, Batch, CacheRow, LogFilter, LogRow, Pruned, Retention, RunLock, RunRow, RunStatus,
    Store, StoreError,
};
use serde_json::{Value, json};
use sqlx::{ConnectOptions, Connection};

use crate::support::{NOW, bundle, instance, path, run_id, run_row, store_with, turn};

const HOUR: Duration = Duration::from_hours(1);

/// A run that ended so long after [`NOW`].
fn ended(number: u64, status: RunStatus, after: i64) -> RunRow {
    RunRow { status, ended: Some(NOW + after), ..run_row(&run_id(number)) }
}

/// What ended before [`NOW`] and a second, and succeeded.
fn retention() -> Retention {
    Retention { before: NOW + 1000, statuses: vec![RunStatus::Succeeded], keep: 0, workflow: None }
}

async fn pruned(store: &Store, retention: Retention) -> Pruned {
    let foreseen = store.would_prune(&retention).await.unwrap();
    let mut pruning = store.prune(retention).await.unwrap();
    while pruning.step().await.unwrap() {}
    assert_eq!(&foreseen, pruning.freed());
    store.integrity_check().await.unwrap();
    foreseen
}

async fn ids(store: &Store) -> Vec<RunId> {
    let runs = store.runs(&flow_core::store::RunFilter::default()).await.unwrap();
    let mut ids: Vec<_> = runs.into_iter().map(|run| run.id).collect();
    ids.sort();
    ids
}

fn numbers(numbers: &[u64]) -> Vec<RunId> {
    numbers.iter().copied().map(run_id).collect()
}

async fn count(folder: &Path, table: &str) -> i64 {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.join("flow.db"));
    let mut connection = options.connect().await.unwrap();
    let sql = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
    let count = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    count
}

/// Makes a file as old as if it was last taken in so long ago.
fn age(file: &Path, by: Duration) {
    let file = std::fs::File::open(file).unwrap();
    file.set_modified(SystemTime::now() - by).unwrap();
}

#[tokio::test]
async fn only_what_ended_long_ago_and_stands_as_asked_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with(folder.path(), &[]).await;
    let runs = vec![
        ended(1, RunStatus::Succeeded, 0),
        ended(2, RunStatus::Succeeded, 2000),
        ended(3, RunStatus::Failed, 0),
        ended(4, RunStatus::Cancelled, 0),
        RunRow { status: RunStatus::Waiting, ..run_row(&run_id(5)) },
        RunRow { status: RunStatus::Interrupted, ..run_row(&run_id(6)) },
        run_row(&run_id(7)),
    ];
    store.commit(Batch { runs, ..Batch::default() }).await.unwrap();
    for number in 1..=7 {
        store.commit(turn(&run_id(number), 1)).await.unwrap();
    }
    // Something happened to a run that has not ended.
    let mut later = turn(&run_id(6), 2);
    later.events[0].at = NOW + 5000;
    store.commit(later).await.unwrap();

    assert_eq!(pruned(&store, retention()).await.runs, 1);
    assert_eq!(ids(&store).await, numbers(&[2, 3, 4, 5, 6, 7]));
    let statuses = vec![RunStatus::Failed, RunStatus::Waiting, RunStatus::Interrupted];
    assert_eq!(pruned(&store, Retention { statuses, ..retention() }).await.runs, 2);
    assert_eq!(ids(&store).await, numbers(&[2, 4, 6, 7]));
    for (table, rows) in [("steps", 5), ("events", 5), ("runs", 4)] {
        assert_eq!(count(folder.path(), table).await, rows, "{table}");
    }
    assert_eq!(pruned(&store, retention()).await, Pruned::default());
}

#[tokio::test]
async fn the_latest_runs_of_each_workflow_stay_where_asked() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with(folder.path(), &[]).await;
    let of = |workflow: &str, number: u64| RunRow {
        workflow: workflow.into(),
        started: NOW + number as i64,
        ..ended(number, RunStatus::Succeeded, 0)
    };
    let mut runs: Vec<_> = (1..=4).map(|number| of("a", number)).collect();
    runs.push(of("b", 0));
    // One that is not forgotten anyway counts as well.
    runs.push(RunRow { status: RunStatus::Failed, ..of("a", 5) });
    store.commit(Batch { runs, ..Batch::default() }).await.unwrap();
    pruned(&store, Retention { keep: 2, ..retention() }).await;
    assert_eq!(ids(&store).await, numbers(&[0, 4, 5]));
}

#[tokio::test]
async fn a_run_that_is_driven_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with(folder.path(), &[]).await;
    let runs = vec![ended(1, RunStatus::Succeeded, 0), ended(2, RunStatus::Succeeded, 0)];
    store.commit(Batch { runs, ..Batch::default() }).await.unwrap();
    let lock = RunLock::acquire(folder.path(), &run_id(1)).unwrap();
    let freed = pruned(&store, retention()).await;
    assert_eq!((freed.runs, freed.driven), (1, 1));
    assert_eq!(ids(&store).await, numbers(&[1]));

    // One that is taken up only after it was chosen is left as well.
    drop(lock);
    let mut pruning = store.prune(retention()).await.unwrap();
    pruning.step().await.unwrap();
    let lock = RunLock::acquire(folder.path(), &run_id(1)).unwrap();
    while pruning.step().await.unwrap() {}
    assert_eq!((pruning.freed().runs, pruning.freed().driven), (0, 1));
    assert_eq!(ids(&store).await, numbers(&[1]));

    // And so is one that was taken up meanwhile, and stands otherwise now.
    drop((lock, pruning));
    let mut pruning = store.prune(retention()).await.unwrap();
    pruning.step().await.unwrap();
    store.commit(Batch { runs: vec![run_row(&run_id(1))], ..Batch::default() }).await.unwrap();
    while pruning.step().await.unwrap() {}
    assert_eq!(pruning.freed(), &Pruned::default());
    assert_eq!(ids(&store).await, numbers(&[1]));
}

/// A run of more rows than one transaction removes.
async fn large(store: &Store, number: u64, steps: u64) -> RunId {
    let run = run_id(number);
    let logs = (0..10).map(|n| LogRow {
        run: run.clone(),
        at: NOW,
        path: None,
        attempt: None,
        line: format!("line {n}"),
    });
    let batch = Batch {
        runs: vec![ended(number, RunStatus::Succeeded, 0)],
        steps: (0..steps).map(|n| instance(&run, n)).collect(),
        events: (1..=steps).map(|n| crate::support::event(&run, n)).collect(),
        logs: logs.collect(),
        ..Batch::default()
    };
    store.commit(batch).await.unwrap();
    run
}

#[tokio::test]
async fn a_large_run_is_gone_at_once_and_removed_in_parts_by_whoever_comes() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with(folder.path(), &[]).await;
    let run = large(&store, 1, 12_000).await;
    let other = large(&store, 2, 100).await;
    let stays = RunRow { status: RunStatus::Failed, ..ended(2, RunStatus::Failed, 0) };
    store.commit(Batch { runs: vec![stays], ..Batch::default() }).await.unwrap();
    let mut pruning = store.prune(retention()).await.unwrap();
    let mut steps = 0;
    while store.run(&run).await.unwrap().is_some() {
        assert!(pruning.step().await.unwrap());
    }
    // It is found nowhere from the first transaction on, and its rows are whole.
    assert_eq!(ids(&store).await, std::slice::from_ref(&other));
    for part in [run.as_str(), &run.as_str()[20..]] {
        let error = store.find_run(part).await.unwrap_err();
        assert!(matches!(error, StoreError::UnknownRun { .. }), "{error}");
    }
    let gone = store.request_cancel(&run).await.unwrap_err();
    assert!(matches!(gone, StoreError::UnknownRun { .. }), "{gone}");
    assert_eq!(count(folder.path(), "run_summary").await, 1);
    assert_eq!(count(folder.path(), "steps").await, 12_100);
    pruning.step().await.unwrap();
    assert_eq!(count(folder.path(), "runs").await, 2);
    assert!(count(folder.path(), "events").await > 0);
    store.integrity_check().await.unwrap();

    // Its process dies here. The next one removes the rest, whatever it is asked.
    drop(pruning);
    let young = Retention { before: 0, ..retention() };
    let mut pruning = store.prune(young).await.unwrap();
    while pruning.step().await.unwrap() {
        steps += 1;
        store.integrity_check().await.unwrap();
    }
    assert!(steps > 5, "{steps}");
    assert_eq!(pruning.freed().runs, 0);
    for (table, rows) in [("runs", 1), ("steps", 100), ("events", 100), ("logs", 10)] {
        assert_eq!(count(folder.path(), table).await, rows, "{table}");
    }
    assert_eq!(store.logs(&other, &LogFilter::default(), 0, 99).await.unwrap().rows.len(), 10);
}

#[tokio::test]
async fn only_one_process_prunes() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with(folder.path(), &[]).await;
    let _first = store.prune(retention()).await.unwrap();
    let error = store.prune(retention()).await.unwrap_err();
    let text = error.to_string();
    let owner =
        format!("{} is being pruned by process {}", folder.path().display(), std::process::id());
    assert!(text.starts_with(&format!("{owner} on ")), "{text}");
    assert_eq!(error.hint(), Some("wait for it; what it removes need not be removed again"));
}

#[tokio::test]
async fn entries_of_the_cache_outlive_their_run_as_long_as_they_are_of_use() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with(folder.path(), &[]).await;
    let day = 86_400_000;
    let entry = |name: &str, at| CacheRow {
        hash: ContentHash::of_bytes(name.as_bytes()),
        output: json!(name),
        meta: None,
        run: Some(run_id(1)),
        at,
    };
    let (young, old) = (entry("young", NOW), entry("old", NOW - day - 1));
    let runs = vec![ended(1, RunStatus::Succeeded, 0)];
    let cache = vec![young.clone(), old.clone()];
    store.commit(Batch { runs, cache, ..Batch::default() }).await.unwrap();
    let freed = pruned(&store, Retention { before: NOW + 1, ..retention() }).await;
    assert_eq!((freed.runs, freed.cached), (1, 1));
    let found = store.cached(&[young.hash, old.hash]).await.unwrap();
    let expected = CacheRow { run: None, ..young.clone() };
    assert_eq!(found, [(young.hash, expected)].into());
}

#[tokio::test]
async fn definitions_that_no_run_has_go_when_nothing_is_driven() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with(folder.path(), &[]).await;
    let hash = ContentHash::of_json(&bundle());
    let runs = vec![ended(1, RunStatus::Succeeded, 0), ended(2, RunStatus::Succeeded, 2000)];
    store.commit(Batch { runs, ..Batch::default() }).await.unwrap();
    let unused = json!({ "workflow": "unused" });
    let other = ContentHash::of_json(&unused);
    store.put_definition(&other, "unused", &unused).await.unwrap();
    // Somebody who is driven may have kept it, and come to write its run next.
    let lock = RunLock::acquire(folder.path(), &run_id(9)).unwrap();
    let mut pruning = store.prune(retention()).await.unwrap();
    while pruning.step().await.unwrap() {}
    assert_eq!(pruning.freed().definitions, 0);
    assert!(store.definition(&other).await.unwrap().is_some());
    drop((pruning, lock));
    assert_eq!(pruned(&store, retention()).await.definitions, 1);
    assert!(store.definition(&other).await.unwrap().is_none());
    assert!(store.definition(&hash).await.unwrap().is_some());
}

/// Keeps a text as a file that was last taken in so long ago.
async fn file(store: &Store, text: &str, by: Duration) -> Value {
    let kept = store.artifacts().put_bytes(text, "text/plain", "x").await.unwrap();
    age(&store.artifacts().local_path(&kept.hash).unwrap(), by);
    kept.to_value()
}

fn is_there(store: &Store, file: &Value) -> bool {
    let hash = file["$artifact"].as_str().unwrap().parse().unwrap();
    store.artifacts().local_path(&hash).is_ok()
}

#[tokio::test]
async fn files_go_that_no_row_points_to_however_it_points() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with(folder.path(), &[]).await;
    let old = 3 * HOUR;
    let (stays, goes) = (run_id(1), run_id(2));
    let mut kept = Vec::new();
    let mut of = async |name: &str| {
        let value = file(&store, name, old).await;
        kept.push(value.clone());
        value
    };
    let mut run = ended(1, RunStatus::Succeeded, 5000);
    run.inputs = json!({ "file": of("input").await });
    run.outputs = Some(json!([of("output").await]));
    let mut direct = instance(&stays, 1);
    direct.output = Some(json!({ "image": of("direct").await }));
    // A part of a reference holds the file as well.
    let mut part = instance(&stays, 2);
    part.output = Some(of("part").await["$artifact"].clone());
    let filler = "x".repeat(40_000);
    let mut nested = instance(&stays, 3);
    let large = json!({ "filler": filler, "image": of("nested").await });
    nested.output = Some(store.pack(large).await.unwrap());
    // As a version before wrote it.
    let mut older = instance(&stays, 4);
    let large = json!({ "filler": filler, "older": of("older").await });
    older.output = Some(store.pack(large).await.unwrap());
    older.output.as_mut().unwrap().as_object_mut().unwrap().remove("holds");
    let approval = ApprovalRow {
        run: stays.clone(),
        path: path("ask"),
        show: of("shown").await,
        asked: NOW,
        answered: None,
        approved: None,
        comment: None,
        output: None,
    };
    let cache = CacheRow {
        hash: ContentHash::of_bytes(b"c"),
        output: of("cached").await,
        meta: None,
        run: Some(goes.clone()),
        at: NOW + 5000,
    };
    let (only, shared) = (file(&store, "only", old).await, kept[0].clone());
    let mut gone = instance(&goes, 1);
    gone.output = Some(json!([only, shared]));
    let nobodys = file(&store, "nobody's", old).await;
    let young = file(&store, "young", HOUR / 2).await;
    store
        .commit(Batch {
            runs: vec![run, ended(2, RunStatus::Succeeded, 0)],
            steps: vec![direct, part, nested, older, gone],
            approvals: vec![approval],
            cache: vec![cache],
            ..Batch::default()
        })
        .await
        .unwrap();
    for spilled in std::fs::read_dir(folder.path().join("artifacts")).unwrap() {
        for file in std::fs::read_dir(spilled.unwrap().path()).unwrap() {
            let file = file.unwrap().path();
            if std::fs::metadata(&file).unwrap().len() > 40_000 {
                age(&file, old);
            }
        }
    }
    let rows = count(folder.path(), "artifacts").await;
    let freed = pruned(&store, retention()).await;
    assert_eq!((freed.runs, freed.files, freed.file_bytes), (1, 2, 12));
    assert_eq!(count(folder.path(), "artifacts").await, rows - 1, "it has one of the two");
    for file in kept.iter().chain([&young]) {
        assert!(is_there(&store, file), "{file}");
    }
    for file in [&only, &nobodys] {
        assert!(!is_there(&store, file), "{file}");
    }
    // Two are whole that hold others.
    assert_eq!(count(folder.path(), "steps WHERE output LIKE '%$spilled%'").await, 2);
}

#[tokio::test]
async fn files_stay_that_a_run_may_have_taken_in_since_it_is_driven() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with(folder.path(), &[]).await;
    let lock = RunLock::acquire(folder.path(), &run_id(1)).unwrap();
    age(&folder.path().join("locks").join(format!("{}.lock", run_id(1))), 5 * HOUR);
    let (before, since) =
        (file(&store, "before", 6 * HOUR).await, file(&store, "since", 4 * HOUR).await);
    assert_eq!(pruned(&store, retention()).await.files, 1);
    assert_eq!((is_there(&store, &before), is_there(&store, &since)), (false, true));
    drop(lock);
    assert_eq!(pruned(&store, retention()).await.files, 1);
    assert!(!is_there(&store, &since));
}

/// Takes files in that are old, while they are collected: whatever was taken in stays until a
/// row points to it, and every row has its file.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_taken_in_while_files_are_collected_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let run = run_id(1);
    let store = store_with(folder.path(), std::slice::from_ref(&run)).await;
    let texts: Vec<String> = (0..40).map(|n| format!("text {n}")).collect();
    for text in &texts {
        file(&store, text, 3 * HOUR).await;
    }
    let takers = (0..3_u64).map(|taker| {
        let (store, run, texts) = (store.clone(), run.clone(), texts.clone());
        tokio::spawn(async move {
            for (n, text) in (0_u64..).zip(texts.iter().skip(taker as usize * 10)) {
                let kept = store.artifacts().put_bytes(text.as_str(), "text/plain", "x");
                let mut step = instance(&run, taker * 100 + n);
                step.output = Some(kept.await.unwrap().to_value());
                tokio::task::yield_now().await;
                store.commit(Batch { steps: vec![step], ..Batch::default() }).await.unwrap();
            }
        })
    });
    let takers: Vec<_> = takers.collect();
    let mut freed = 0;
    loop {
        let over = takers.iter().all(tokio::task::JoinHandle::is_finished);
        let mut pruning = store.prune(retention()).await.unwrap();
        while pruning.step().await.unwrap() {}
        freed += pruning.freed().files;
        store.integrity_check().await.unwrap();
        if over {
            break;
        }
    }
    for taker in takers {
        taker.await.unwrap();
    }
    store.integrity_check().await.unwrap();
    assert!(freed <= 40);
    let steps = store.steps(&run, Some(&path("pages")), None, 1000).await.unwrap().rows;
    assert_eq!(steps.len(), 40 + 30 + 20);
    for step in steps {
        assert!(is_there(&store, &step.output.unwrap()));
    }
}

#[tokio::test]
async fn a_vacuum_gives_free_space_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with(folder.path(), &[]).await;
    large(&store, 1, 5_000).await;
    pruned(&store, retention()).await;
    let full = store.space().await.unwrap();
    assert!(full.free > full.bytes / 2, "{full:?}");
    store.vacuum().await.unwrap();
    let lean = store.space().await.unwrap();
    assert_eq!(lean.free, 0);
    assert!(lean.bytes <= full.bytes - full.free, "{lean:?}");
    let size = std::fs::metadata(folder.path().join("flow.db")).unwrap().len();
    assert_eq!(size, lean.bytes);
}
