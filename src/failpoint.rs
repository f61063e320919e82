//! A way for tests to kill the process between any two events of a run.
//!
//! `FLOW_TEST_KILL_AFTER=N` aborts the process as soon as the Nth thing a watcher is told
//! has happened. Not in release builds. No destructor runs, nothing is flushed, as under `kill -9`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flow_core::engine::{Observer, Progress};

struct KillAfter {
    left: AtomicU64,
    inner: Arc<dyn Observer>,
}

impl Observer for KillAfter {
    fn progress(&self, progress: &Progress) {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            std::process::abort();
        }
        self.inner.progress(progress);
    }
}

/// Puts the failpoint before a watcher, if the environment asks for it.
pub(crate) fn guard(observer: Arc<dyn Observer>) -> Arc<dyn Observer> {
    if !cfg!(debug_assertions) {
        return observer;
    }
    let asked = std::env::var("FLOW_TEST_KILL_AFTER").ok();
    match asked.and_then(|after| after.parse().ok()) {
        Some(after) => Arc::new(KillAfter {
            left: AtomicU64::new(after),
            inner: observer,
        }),
        None => observer,
    }
}
