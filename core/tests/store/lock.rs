//! A run is driven by one process at a time.

use std::process::Stdio;

use flow_core::store::{LockError, RunLock, Store};

use crate::crash::child;
use crate::support::run_id;

#[tokio::test]
async fn a_living_owner_is_named_and_a_released_lock_is_free() {
    let folder = tempfile::tempdir().unwrap();
    Store::open(folder.path()).await.unwrap();
    let run = run_id(1);
    let lock = RunLock::acquire(folder.path(), &run).unwrap();
    let error = RunLock::acquire(folder.path(), &run).unwrap_err();
    let LockError::Held { owner, .. } = &error else {
        panic!("{error}");
    };
    assert!(owner.starts_with(&format!("process {} on ", std::process::id())), "{owner}");
    assert_eq!(error.to_string(), format!("run {run} is driven by {owner}"));
    assert_eq!(error.hint(), Some("wait for it, or stop it with `flow cancel RUN`"));
    RunLock::acquire(folder.path(), &run_id(2)).unwrap();
    drop(lock);
    let file = folder.path().join(format!("locks/{run}.lock"));
    assert!(!file.exists());
    RunLock::acquire(folder.path(), &run).unwrap();
}

#[tokio::test]
async fn looking_who_drives_a_run_takes_nothing_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    Store::open(folder.path()).await.unwrap();
    let run = run_id(1);
    assert!(!RunLock::is_held(folder.path(), &run));
    assert!(!folder.path().join(format!("locks/{run}.lock")).exists());
    let lock = RunLock::acquire(folder.path(), &run).unwrap();
    assert!(RunLock::is_held(folder.path(), &run));
    assert!(RunLock::is_held(folder.path(), &run));
    drop(lock);
    assert!(!RunLock::is_held(folder.path(), &run));
    RunLock::acquire(folder.path(), &run).unwrap();
}

#[tokio::test]
async fn a_dead_owner_is_replaced_at_once() {
    let folder = tempfile::tempdir().unwrap();
    Store::open(folder.path()).await.unwrap();
    let mut owner = child("own", folder.path(), 0).stdout(Stdio::piped()).spawn().unwrap();
    crate::crash::first_line(&mut owner);
    let error = RunLock::acquire(folder.path(), &run_id(0)).unwrap_err();
    assert!(error.to_string().contains(&format!("process {} on ", owner.id())), "{error}");
    owner.kill().unwrap();
    owner.wait().unwrap();
    RunLock::acquire(folder.path(), &run_id(0)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn never_two_own_a_run_however_they_race() {
    use std::sync::atomic::{AtomicU32, Ordering};
    let folder = tempfile::tempdir().unwrap();
    Store::open(folder.path()).await.unwrap();
    let (owners, turns) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while turns.load(Ordering::SeqCst) < 500 {
                    if let Ok(lock) = RunLock::acquire(folder.path(), &run_id(1)) {
                        assert_eq!(owners.fetch_add(1, Ordering::SeqCst), 0);
                        turns.fetch_add(1, Ordering::SeqCst);
                        owners.fetch_sub(1, Ordering::SeqCst);
                        drop(lock);
                    }
                }
            });
        }
    });
}

/// A process that dies before its run is kept leaves a file that nobody will ever ask for.
#[tokio::test]
async fn whoever_opens_the_store_removes_what_dead_owners_left() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let mut owner = child("own", folder.path(), 0).stdout(Stdio::piped()).spawn().unwrap();
    crate::crash::first_line(&mut owner);
    let held = RunLock::acquire(folder.path(), &run_id(1)).unwrap();
    let files = || {
        let entries = std::fs::read_dir(folder.path().join("locks")).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let [dead, living] = [0, 1].map(|run| format!("{}.lock", run_id(run)));
    owner.kill().unwrap();
    owner.wait().unwrap();
    assert_eq!(files(), [dead.as_str(), &living, "open.lock"]);
    store.close().await;
    Store::open(folder.path()).await.unwrap().close().await;
    assert_eq!(files(), [living.as_str(), "open.lock"]);
    drop(held);
    assert_eq!(files(), ["open.lock"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_kept_out_by_those_who_open_the_store() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let folder = tempfile::tempdir().unwrap();
    Store::open(folder.path()).await.unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..200 {
                // As a dead owner leaves it: to be taken over, or removed.
                let left = folder.path().join(format!("locks/{}.lock", run_id(1)));
                std::fs::write(left, "process 1 on nowhere").unwrap();
                RunLock::acquire(folder.path(), &run_id(1)).unwrap();
            }
            over.store(true, Ordering::SeqCst);
        });
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.unwrap();
            while !over.load(Ordering::SeqCst) {
                let store = runtime.block_on(Store::open(folder.path())).unwrap();
                runtime.block_on(store.close());
            }
        });
    });
}
