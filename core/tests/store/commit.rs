//! What is committed is there, all of it or nothing.

use flow_core::store::{Batch, Store, StoreError};

use crate::support::{event, instance, path, run_id, store_with, turn};

#[tokio::test]
async fn rows_come_back_as_they_were_written() {
    let folder = tempfile::tempdir().unwrap();
    let run = run_id(1);
    let store = store_with(folder.path(), std::slice::from_ref(&run)).await;
    store.commit(turn(&run, 1)).await.unwrap();
    store.close().await;

    let store = Store::open(folder.path()).await.unwrap();
    let step = instance(&run, 1);
    assert_eq!(store.step(&run, &step.path).await.unwrap(), Some(step));
    assert_eq!(store.events(&run, 0, 10).await.unwrap(), [event(&run, 1)]);
    assert_eq!(store.last_seq(&run).await.unwrap(), 1);
    let page = store.steps(&run, Some(&path("pages")), None, 10).await.unwrap();
    assert_eq!(page.rows, [instance(&run, 1)]);
    assert_eq!(store.run(&run).await.unwrap().unwrap().id, run);
}

#[tokio::test]
async fn a_faulty_batch_fails_alone() {
    let folder = tempfile::tempdir().unwrap();
    let run = run_id(1);
    let store = store_with(folder.path(), std::slice::from_ref(&run)).await;
    store.commit(turn(&run, 1)).await.unwrap();
    let again = Batch { events: vec![event(&run, 1)], ..Batch::default() };
    let (bad, good, stranger) = tokio::join!(
        store.commit(again),
        store.commit(turn(&run, 2)),
        store.commit(turn(&run_id(9), 1)),
    );
    good.unwrap();
    assert_eq!(
        bad.unwrap_err().to_string(),
        "the store refused a batch: UNIQUE constraint failed: events.run, events.seq"
    );
    assert_eq!(
        stranger.unwrap_err().to_string(),
        "the store refused a batch: NOT NULL constraint failed: steps.run"
    );
    assert_eq!(store.last_seq(&run).await.unwrap(), 2);
}

/// Compiles only if the futures of the store may move between threads.
#[tokio::test]
async fn every_future_of_the_store_can_be_spawned() {
    fn spawnable<T: Send + 'static>(_: T) {}
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_path_buf();
    let run = run_id(1);
    let store = store_with(folder.path(), std::slice::from_ref(&run)).await;
    spawnable(async move { Store::open_existing(&place).await.map(drop) });
    spawnable(async move {
        let artifact = store.artifacts().put_bytes("x", "text/plain", "x").await?;
        store.artifacts().put_file("x".as_ref(), "text/plain", "x").await?;
        store.artifacts().get(&artifact.hash).await?;
        let value = store.unpack(store.pack(artifact.to_value()).await?).await?;
        store.put_definition(&artifact.hash, "x", &value).await?;
        store.request_cancel(&run).await?;
        store.steps(&run, None, None, 1).await?;
        store.integrity_check().await?;
        store.close().await;
        Ok::<(), StoreError>(())
    });
}
