//! What was acknowledged is there, whatever is killed and when.
//!
//! A child is this test binary again, run with the role it is to play in its environment.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use flow_core::store::{RunLock, Store};

use crate::support::{run_id, store_with, turn};

const ROLE: &str = "FLOW_STORE_TEST_ROLE";
const FOLDER: &str = "FLOW_STORE_TEST_FOLDER";
const NUMBER: &str = "FLOW_STORE_TEST_NUMBER";

/// A child that plays a role on the store in `folder`, for the run of this number.
pub(crate) fn child(role: &str, folder: &Path, number: u64) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "crash::plays_its_role", "--nocapture"])
        .env(ROLE, role)
        .env(FOLDER, folder)
        .env(NUMBER, number.to_string());
    command
}

/// Waits until a child says the first thing for us.
pub(crate) fn first_line(child: &mut Child) {
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    for line in lines {
        if line.unwrap().contains("ack ") {
            return;
        }
    }
    panic!("the child ended without a word");
}

fn acknowledge(number: u64) {
    let mut out = std::io::stdout().lock();
    // One write: a line is whole or not there. Nobody listens any more in the end.
    let _ = out.write_all(format!("\nack {number}\n").as_bytes());
    let _ = out.flush();
}

/// What a child does; nothing in the test process itself.
#[tokio::test(flavor = "multi_thread")]
async fn plays_its_role() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let folder = std::env::var_os(FOLDER).unwrap();
    let folder = Path::new(&folder);
    let number: u64 = std::env::var(NUMBER).unwrap().parse().unwrap();
    match role.as_str() {
        "own" => {
            let _lock = RunLock::acquire(folder, &run_id(number)).unwrap();
            acknowledge(0);
            std::future::pending::<()>().await;
        }
        "commit" => commit(folder, number, u64::MAX, 4).await,
        "finish" => commit(folder, number, 500, 8).await,
        other => panic!("no role {other}"),
    }
}

/// Commits steps of one run from several tasks, and says each when it is durable.
async fn commit(folder: &Path, number: u64, last: u64, tasks: u64) {
    let store = Store::open(folder).await.unwrap();
    let run = run_id(number);
    let begin = store.last_seq(&run).await.unwrap();
    let tasks = (0..tasks).map(|task| {
        let (store, run) = (store.clone(), run.clone());
        tokio::spawn(async move {
            // Each task has numbers of its own, above all those of children before.
            let mut seq = begin + 1 + task;
            while seq <= last {
                store.commit(turn(&run, seq)).await.unwrap();
                acknowledge(seq);
                seq += tasks;
            }
        })
    });
    for ended in futures::future::join_all(tasks).await {
        ended.unwrap();
    }
    store.close().await;
}

#[tokio::test]
async fn acknowledged_batches_survive_sigkill_at_any_time() {
    let folder = tempfile::tempdir().unwrap();
    store_with(folder.path(), &[run_id(0)]).await.close().await;
    let mut acknowledged = Vec::new();
    for round in 0..25_u32 {
        let mut child = child("commit", folder.path(), 0).stdout(Stdio::piped()).spawn().unwrap();
        let before = acknowledged.len();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Killed after a number of acknowledgements that differs every round; what it said
        // until it died counts too.
        let enough = 1 + (round as usize * 37) % 150;
        while let Some(Ok(line)) = lines.next() {
            if let Some(seq) = line.strip_prefix("ack ") {
                acknowledged.push(seq.parse::<u64>().unwrap());
            }
            if acknowledged.len() == before + enough {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();

        let store = Store::open(folder.path()).await.unwrap();
        let events = store.events(&run_id(0), 0, u32::MAX).await.unwrap();
        let paths: Vec<_> = events.iter().map(|event| event.path.clone().unwrap()).collect();
        let steps = store.steps_by_path(&run_id(0), &paths).await.unwrap();
        let there: HashSet<u64> = events.iter().map(|event| event.seq).collect();
        for seq in &acknowledged {
            assert!(there.contains(seq), "{seq} was acknowledged and is lost");
        }
        assert_eq!(steps.len(), events.len(), "half a batch was written");
        store.integrity_check().await.unwrap();
        store.close().await;
    }
    assert!(acknowledged.len() > 1000);
}

#[tokio::test]
async fn several_processes_write_beside_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let runs: Vec<_> = (0..4).map(run_id).collect();
    let store = store_with(folder.path(), &runs).await;
    let children: Vec<Child> = (0..3)
        .map(|number| child("finish", folder.path(), number).stdout(Stdio::null()).spawn().unwrap())
        .collect();
    // And we read and write while they do.
    for number in 1..=200 {
        store.commit(turn(&run_id(3), number)).await.unwrap();
        store.last_seq(&run_id(1)).await.unwrap();
    }
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    for (run, expected) in runs.iter().zip([500, 500, 500, 200]) {
        let events = store.events(run, 0, u32::MAX).await.unwrap();
        assert_eq!(events.len(), expected);
    }
    store.integrity_check().await.unwrap();
}

#[tokio::test]
async fn several_may_create_the_store_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let opens = (0..8).map(|_| {
        let folder = folder.path().to_path_buf();
        tokio::spawn(async move { Store::open(&folder).await.map(drop) })
    });
    for opened in futures::future::join_all(opens).await {
        opened.unwrap().unwrap();
    }
}
