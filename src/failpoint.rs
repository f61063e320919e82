//! Ways for tests to kill the process at any point of a run. Not in release builds.
//!
//! `FLOW_TEST_KILL_AFTER=N` aborts the process as soon as the Nth thing a watcher is told
//! has happened: after a commit, before anything follows from it.
//! `FLOW_TEST_KILL_AT_TIME=N` aborts it when the engine asks for the time the Nth time, as
//! it does for each event it writes: before a commit, with everything in flight. No
//! destructor runs and nothing is flushed, as under `kill -9`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use flow_core::engine::{Clock, Observer, Progress, SystemClock};

/// Counts down to the end of the process.
struct Countdown(AtomicU64);

impl Countdown {
    /// The countdown that a variable of the environment asks for.
    fn from(variable: &str) -> Option<Self> {
        let asked = std::env::var(variable).ok().filter(|_| cfg!(debug_assertions));
        asked?.parse().ok().map(|after| Self(AtomicU64::new(after)))
    }

    fn tick(&self) {
        if self.0.fetch_sub(1, Ordering::SeqCst) == 1 {
            std::process::abort();
        }
    }
}

struct KillAfter(Countdown, Arc<dyn Observer>);

impl Observer for KillAfter {
    fn progress(&self, progress: &Progress) {
        self.0.tick();
        self.1.progress(progress);
    }
}

struct KillAtTime(Countdown);

#[async_trait]
impl Clock for KillAtTime {
    fn now_ms(&self) -> i64 {
        self.0.tick();
        SystemClock.now_ms()
    }

    fn elapsed(&self) -> Duration {
        SystemClock.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        SystemClock.sleep(duration).await;
    }
}

/// Puts the failpoint before a watcher, if the environment asks for it.
pub(crate) fn guard(observer: Arc<dyn Observer>) -> Arc<dyn Observer> {
    match Countdown::from("FLOW_TEST_KILL_AFTER") {
        Some(countdown) => Arc::new(KillAfter(countdown, observer)),
        None => observer,
    }
}

/// What to do after each step of a pruning, if the environment asks for it.
pub(crate) fn between_steps() -> impl Fn() {
    let countdown = Countdown::from("FLOW_TEST_KILL_AFTER");
    move || {
        if let Some(countdown) = &countdown {
            countdown.tick();
        }
    }
}

/// The clock of the machine, with the failpoint in it if the environment asks for it.
pub(crate) fn clock() -> Arc<dyn Clock> {
    match Countdown::from("FLOW_TEST_KILL_AT_TIME") {
        Some(countdown) => Arc::new(KillAtTime(countdown)),
        None => Arc::new(SystemClock),
    }
}
