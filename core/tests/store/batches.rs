//! What was given to batches of services is found again by who asked, until it is used up.

use flow_core::artifact::ArtifactRef;
use flow_core::batches::{Asker, BatchItem, BatchLedger, BatchPlace, BatchRecord};
use flow_core::content::ContentHash;
use flow_core::store::{AttemptRow, AttemptStatus, Batch, Retention, RunRow, RunStatus, Store};
use flow_core::units::Money;

use crate::support::{NOW, path, run_id, run_row, store_with};

fn asker(run: u64, attempt: u32) -> Asker {
    Asker { run: run_id(run), path: path("ask[a]"), attempt }
}

fn hash() -> ContentHash {
    ContentHash::of_bytes(b"what is asked")
}

fn record(nonce: &str, items: u64) -> BatchRecord {
    BatchRecord {
        nonce: nonce.into(),
        provider: "openai".into(),
        model: "gpt-4o".into(),
        items,
        created: NOW,
        remote: None,
        results: None,
    }
}

fn item(run: u64, number: u32) -> BatchItem {
    BatchItem { number, asker: asker(run, 1), hash: hash() }
}

async fn attempt_is(store: &Store, number: u32, status: AttemptStatus) {
    let row = AttemptRow {
        run: run_id(1),
        path: path("ask[a]"),
        number,
        status,
        provider: None,
        model: None,
        error_class: None,
        error: None,
        input_tokens: None,
        output_tokens: None,
        cost: None,
        reserved: Some(Money::ZERO),
        latency_ms: None,
        request_id: None,
        raw: None,
        started: NOW,
        ended: None,
        batch: true,
        speed: None,
        plugin: None,
    };
    store.commit(Batch { attempts: vec![row], ..Batch::default() }).await.unwrap();
}

async fn found(store: &Store, asker: &Asker) -> Option<BatchPlace> {
    store.find(asker, hash()).await.unwrap()
}

#[tokio::test]
async fn an_answer_is_used_up_only_by_an_attempt_that_came_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with(folder.path(), &[run_id(1), run_id(2)]).await;
    assert_eq!(found(&store, &asker(1, 1)).await, None);
    store.begin(&record("n", 2), &[item(1, 0), item(2, 1)]).await.unwrap();
    let place = BatchPlace { batch: record("n", 2), number: 0 };
    assert_eq!(found(&store, &asker(1, 1)).await, Some(place));
    assert_eq!(found(&store, &asker(2, 1)).await.map(|place| place.number), Some(1));
    assert_eq!(store.find(&asker(1, 1), ContentHash::of_bytes(b"else")).await.unwrap(), None);

    store.sent("n", "batch_1").await.unwrap();
    assert!(store.knows("batch_1").await.unwrap());
    assert!(!store.knows("batch_2").await.unwrap());
    let results = store.artifacts().put_bytes(b"{}\n".to_vec(), "text/plain", "a").await.unwrap();
    store.read("n", &results).await.unwrap();
    let known = found(&store, &asker(1, 1)).await.unwrap().batch;
    assert_eq!((known.remote.as_deref(), known.results), (Some("batch_1"), Some(results)));

    for (number, status, is_free) in [
        (1, AttemptStatus::Sent, false),
        (1, AttemptStatus::Lost, true),
        (2, AttemptStatus::Cancelled, true),
        (3, AttemptStatus::Failed, false),
    ] {
        attempt_is(&store, number, status).await;
        store.handed("n", &asker(1, number), hash()).await.unwrap();
        // What is written next is durable after it.
        attempt_is(&store, number, status).await;
        let found = found(&store, &asker(1, number + 1)).await;
        assert_eq!(found.is_some(), is_free, "attempt {number} {status}");
    }
}

#[tokio::test]
async fn who_waits_elsewhere_is_known_until_its_run_ends() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with(folder.path(), &[run_id(1), run_id(2)]).await;
    store.begin(&record("n", 2), &[item(1, 0), item(2, 1)]).await.unwrap();
    assert!(store.is_waited_for("n", &run_id(1)).await.unwrap());
    assert_eq!(store.open_batches(&run_id(1)).await.unwrap(), [record("n", 2)]);
    let ended = RunRow { status: RunStatus::Cancelled, ..run_row(&run_id(2)) };
    store.commit(Batch { runs: vec![ended], ..Batch::default() }).await.unwrap();
    assert!(!store.is_waited_for("n", &run_id(1)).await.unwrap());
}

#[tokio::test]
async fn a_batch_is_forgotten_when_it_was_never_sent_or_its_last_run_is_pruned() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with(folder.path(), &[run_id(1), run_id(2)]).await;
    store.begin(&record("never", 1), &[item(1, 0)]).await.unwrap();
    store.forget("never").await.unwrap();
    assert_eq!(found(&store, &asker(1, 1)).await, None);
    store.begin(&record("never", 1), &[item(1, 0)]).await.unwrap();

    let row = |run, status| RunRow { status, ended: Some(NOW), ..run_row(&run_id(run)) };
    let runs = vec![row(1, RunStatus::Succeeded)];
    store.commit(Batch { runs, ..Batch::default() }).await.unwrap();
    let kept: ArtifactRef =
        store.artifacts().put_bytes(b"answers".to_vec(), "text/plain", "a").await.unwrap();
    store.read("never", &kept).await.unwrap();
    let retention = Retention {
        before: NOW + 1000,
        statuses: vec![RunStatus::Succeeded],
        keep: 0,
        workflow: None,
    };
    let foreseen = store.would_prune(&retention).await.unwrap();
    let mut pruning = store.prune(retention).await.unwrap();
    while pruning.step().await.unwrap() {}
    assert_eq!(&foreseen, pruning.freed());
    // The name is free again: the batch went with its last request.
    store.begin(&record("never", 1), &[item(2, 0)]).await.unwrap();
    store.integrity_check().await.unwrap();
}
