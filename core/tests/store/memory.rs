//! What plugins remember: within bounds, whoever writes at the same time.

use flow_core::plugin::PluginMemories;
use flow_core::store::Store;

use crate::support::NOW;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_that_write_at_once_stay_within_the_bound_together() {
    let folder = tempfile::tempdir().unwrap();
    // Two stores of one folder: two processes.
    let stores =
        [Store::open(folder.path()).await.unwrap(), Store::open(folder.path()).await.unwrap()];
    let writing = (0..40).map(|number| {
        let memory = stores[number % 2].of("p");
        tokio::spawn(async move {
            let key = format!("key-{number:02}");
            // Ten bytes with the key.
            let kept = memory.set(&key, vec![b'x'; 4], None, 100, NOW).await.unwrap();
            (key, kept)
        })
    });
    let memory = stores[0].of("p");
    let mut kept = 0;
    for written in writing.collect::<Vec<_>>() {
        let (key, was_kept) = written.await.unwrap();
        assert_eq!(memory.get(&key, NOW).await.unwrap().is_some(), was_kept, "{key}");
        kept += u32::from(was_kept);
    }
    assert_eq!(kept, 10);
    // What is there already may be put anew, by as much as is free.
    assert!(!memory.set("new", vec![b'x'; 4], None, 100, NOW).await.unwrap());
    memory.delete("key-00").await.unwrap();
    let mine = stores[1].of("other");
    assert!(mine.set("new", vec![b'x'; 97], None, 100, NOW).await.unwrap());
    assert!(!mine.set("more", vec![b'x'; 1], None, 100, NOW).await.unwrap());
    assert!(mine.set("new", vec![b'y'; 97], None, 100, NOW).await.unwrap());
    assert_eq!(mine.get("new", NOW).await.unwrap().unwrap(), vec![b'y'; 97]);
}
