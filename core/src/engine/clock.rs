//! Time, passed in.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;

/// Tells the time and waits.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970, for what people read. May be set back or forth.
    fn now_ms(&self) -> i64;

    /// How much time has gone by since some moment: only grows, for what is measured.
    fn elapsed(&self) -> Duration;

    /// Waits. Dropping the future ends the wait.
    async fn sleep(&self, duration: Duration);

    /// Waits between two attempts, for the sake of whom they ask; not at all where nobody is
    /// asked. Dropping the future ends the wait.
    async fn sleep_between(&self, duration: Duration) {
        self.sleep(duration).await;
    }
}

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        since.as_millis() as i64
    }

    fn elapsed(&self) -> Duration {
        START.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
