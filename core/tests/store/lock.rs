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
