//! How fast the store is, and how large: `cargo test -p flow-core --test store -- --ignored rates`.

use std::io::Write;
use std::time::{Duration, Instant};

use flow_core::ids::RunId;
use flow_core::store::{Batch, Store};

use crate::support::{event, instance, path, run_id, say, store_with, turn};

const ROWS: u64 = 1_000_000;
const BATCH: u64 = 1_000;
const COMMITS: u64 = 1_000;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn rates_of_large_batches() {
    let folder = tempfile::tempdir().unwrap();
    let run = run_id(1);
    let store = store_with(folder.path(), std::slice::from_ref(&run)).await;
    let mut took = Duration::ZERO;
    for group in 0..ROWS / BATCH / 100 {
        let batches: Vec<Batch> =
            (0..100).map(|batch| large_batch(&run, (group * 100 + batch) * BATCH)).collect();
        let start = Instant::now();
        let commits = batches.into_iter().map(|batch| store.commit(batch));
        futures::future::try_join_all(commits).await.unwrap();
        took += start.elapsed();
    }
    let took = took.as_secs_f64();
    read(&store, &run).await;
    store.close().await;
    let size = std::fs::metadata(folder.path().join("flow.db")).unwrap().len();
    say(&format!(
        "{ROWS} steps and as many events in batches of {BATCH}: {took:.2} s, {:.0} rows/s, {} bytes a step with its event",
        2.0 * ROWS as f64 / took,
        size / ROWS
    ));
}

fn large_batch(run: &RunId, first: u64) -> Batch {
    let numbers = first..first + BATCH;
    let steps = numbers.clone().map(|n| {
        let mut step = instance(run, scatter(n));
        step.ordinal = Some(n);
        step
    });
    Batch {
        steps: steps.collect(),
        events: numbers.map(|n| event(run, n + 1)).collect(),
        ..Batch::default()
    }
}

async fn read(store: &Store, run: &RunId) {
    let pages = path("pages");
    let start = Instant::now();
    let counts = store.step_counts(run, Some(&pages)).await.unwrap();
    assert_eq!(counts.values().sum::<u64>(), ROWS);
    say(&format!("counting them by status: {:?}", start.elapsed()));

    let start = Instant::now();
    let (mut after, mut outputs) = (None, 0);
    loop {
        let page = store.outputs_of(run, &pages, after, 1000).await.unwrap();
        outputs += page.rows.len() as u64;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(outputs, ROWS);
    say(&format!("reading all outputs in order: {:?}", start.elapsed()));

    let start = Instant::now();
    let paths: Vec<_> = (0..1000).map(|n| instance(run, scatter(n * 997)).path).collect();
    let found = store.steps_by_path(run, &paths).await.unwrap();
    assert_eq!(found.len(), 1000);
    say(&format!("looking up 1000 paths: {:?}", start.elapsed()));
}

/// Numbers whose keys come in no order, as hashes do.
fn scatter(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 1
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn rates_of_single_commits_against_a_bare_fdatasync() {
    let folder = tempfile::tempdir().unwrap();
    let run = run_id(1);
    let store = store_with(folder.path(), std::slice::from_ref(&run)).await;
    let mut commits = Vec::new();
    for number in 1..=COMMITS {
        let start = Instant::now();
        store.commit(turn(&run, number)).await.unwrap();
        commits.push(start.elapsed());
    }
    let mut file = std::fs::File::create(folder.path().join("bare")).unwrap();
    let mut syncs = Vec::new();
    for _ in 0..COMMITS {
        let start = Instant::now();
        file.write_all(&[1; 4096]).unwrap();
        file.sync_data().unwrap();
        syncs.push(start.elapsed());
    }
    let (commit, sync) = (median(commits), median(syncs));
    say(&format!(
        "a commit of one step: {commit:?}; a bare fdatasync of 4 KB: {sync:?}; ratio {:.2}",
        commit.as_secs_f64() / sync.as_secs_f64()
    ));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn rates_of_many_tasks_that_commit_a_step_each() {
    let folder = tempfile::tempdir().unwrap();
    let run = run_id(1);
    let store = store_with(folder.path(), std::slice::from_ref(&run)).await;
    let start = Instant::now();
    let tasks = (0..64).map(|task| {
        let (store, run) = (store.clone(), run.clone());
        tokio::spawn(async move {
            for number in 0..200 {
                store.commit(turn(&run, task * 200 + number + 1)).await.unwrap();
            }
        })
    });
    futures::future::join_all(tasks).await;
    let took = start.elapsed().as_secs_f64();
    say(&format!("64 tasks, a step a commit: {:.0} commits/s", 64.0 * 200.0 / took));
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
