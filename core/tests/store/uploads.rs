//! The ledger of uploads: who finds a file, and when it is needed no more.

use flow_core::content::ContentHash;
use flow_core::store::{Batch, Retention, RunRow, RunStatus, Store};
use flow_core::uploads::{Keep, Upload, UploadKey, UploadLedger, UploadState};

use crate::support::{NOW, run_id, run_row, store_with};

fn account() -> ContentHash {
    ContentHash::of_bytes(b"an account")
}

fn key() -> UploadKey {
    UploadKey { account: account(), content: ContentHash::of_bytes(b"a video") }
}

fn upload(id: &str) -> Upload {
    Upload {
        key: key(),
        provider: "gemini".into(),
        id: id.into(),
        uri: format!("https://x/{id}"),
        name: "clip.mp4".into(),
        media_type: "video/mp4".into(),
        size: 3_000_000_000,
        state: UploadState::Processing,
        keep: Keep::Run,
        uploaded: NOW,
        expires: Some(NOW + 1000),
    }
}

async fn end(store: &Store, number: u64, status: RunStatus) {
    let row = RunRow { status, ended: Some(NOW), ..run_row(&run_id(number)) };
    store.commit(Batch { runs: vec![row], ..Batch::default() }).await.unwrap();
}

fn ids(uploads: &[Upload]) -> Vec<&str> {
    uploads.iter().map(|upload| upload.id.as_str()).collect()
}

#[tokio::test]
async fn a_file_is_found_as_it_was_noted_until_it_expires() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with(folder.path(), &[run_id(1), run_id(2)]).await;
    let (first, second) = (store.uploads(run_id(1)), store.uploads(run_id(2)));
    assert_eq!(first.find(&key(), Keep::Run, NOW).await, Ok(None));
    first.note(&upload("a")).await.unwrap();
    let ready = Upload { state: UploadState::Ready, ..upload("a") };
    assert_eq!(second.find(&key(), Keep::Run, NOW).await, Ok(Some(upload("a"))));
    first.note(&ready).await.unwrap();
    assert_eq!(second.find(&key(), Keep::Run, NOW + 1000).await, Ok(Some(ready)));
    assert_eq!(second.find(&key(), Keep::Run, NOW + 1001).await, Ok(None));
    let other = UploadKey { account: ContentHash::of_bytes(b"another"), ..key() };
    assert_eq!(second.find(&other, Keep::Run, NOW).await, Ok(None));
    first.forget(&account(), "a").await.unwrap();
    assert_eq!(first.find(&key(), Keep::Run, NOW).await, Ok(None));
}

#[tokio::test]
async fn a_file_is_needed_while_a_run_that_uses_it_can_go_on() {
    for status in [RunStatus::Running, RunStatus::Waiting, RunStatus::Interrupted] {
        let folder = tempfile::tempdir().unwrap();
        let store = store_with(folder.path(), &[run_id(1), run_id(2)]).await;
        let (first, second) = (store.uploads(run_id(1)), store.uploads(run_id(2)));
        first.note(&upload("a")).await.unwrap();
        second.find(&key(), Keep::Run, NOW).await.unwrap().expect("it is there");
        end(&store, 1, RunStatus::Succeeded).await;
        end(&store, 2, status).await;
        assert_eq!(first.unneeded(&account(), NOW).await, Ok(vec![]), "{status}");
        end(&store, 2, RunStatus::Failed).await;
        let unneeded = first.unneeded(&account(), NOW).await.unwrap();
        assert_eq!(ids(&unneeded), ["a"]);
        // It is told again until it is forgotten, and nobody finds or revives it.
        assert_eq!(second.find(&key(), Keep::Run, NOW).await, Ok(None));
        second.note(&upload("a")).await.unwrap();
        second.note(&upload("b")).await.unwrap();
        assert_eq!(ids(&second.unneeded(&account(), NOW).await.unwrap()), ["a", "b"]);
        second.forget(&account(), "a").await.unwrap();
        assert_eq!(ids(&second.unneeded(&account(), NOW).await.unwrap()), ["b"]);
    }
}

#[tokio::test]
async fn what_one_run_keeps_until_it_expires_no_other_takes_away() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with(folder.path(), &[run_id(1), run_id(2)]).await;
    let (first, second) = (store.uploads(run_id(1)), store.uploads(run_id(2)));
    first.note(&upload("a")).await.unwrap();
    let kept = second.find(&key(), Keep::Expiry, NOW).await.unwrap().expect("it is there");
    assert_eq!(kept.keep, Keep::Expiry);
    let found = first.find(&key(), Keep::Run, NOW).await.unwrap().expect("it is there");
    assert_eq!(found.keep, Keep::Expiry);
    end(&store, 1, RunStatus::Succeeded).await;
    end(&store, 2, RunStatus::Succeeded).await;
    assert_eq!(first.unneeded(&account(), NOW + 1000).await, Ok(vec![]));
    first.find(&key(), Keep::Run, NOW).await.unwrap().expect("it is there");
    // It is forgotten when it has expired.
    assert_eq!(first.unneeded(&account(), NOW + 1001).await, Ok(vec![]));
    assert_eq!(first.find(&key(), Keep::Run, NOW).await, Ok(None));
}

#[tokio::test]
async fn a_run_that_is_pruned_uses_nothing_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with(folder.path(), &[run_id(1), run_id(2)]).await;
    store.uploads(run_id(1)).note(&upload("a")).await.unwrap();
    end(&store, 1, RunStatus::Interrupted).await;
    let second = store.uploads(run_id(2));
    assert_eq!(second.unneeded(&account(), NOW).await, Ok(vec![]));
    let statuses = vec![RunStatus::Interrupted];
    let retention = Retention { before: i64::MAX, statuses, keep: 0, workflow: None };
    let mut pruning = store.prune(retention).await.unwrap();
    while pruning.step().await.unwrap() {}
    assert_eq!(pruning.freed().runs, 1);
    assert_eq!(ids(&second.unneeded(&account(), NOW).await.unwrap()), ["a"]);
    store.integrity_check().await.unwrap();
}
