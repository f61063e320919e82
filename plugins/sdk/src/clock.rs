//! The time.

use std::time::Duration;

use crate::bindings::base::flow::plugin::clock;

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    clock::now_ms()
}

/// What is left of the time of this call.
pub fn left() -> Option<Duration> {
    clock::deadline_left_ms().map(Duration::from_millis)
}
