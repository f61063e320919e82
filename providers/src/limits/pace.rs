//! The rate that is kept to after a refusal nobody could foresee.
//!
//! A service that says "too many" without ever having said how many are too many is asked at
//! half the rate at which it refused (multiplicative decrease). The rate then grows by as much
//! as it was cut to every twenty seconds (additive increase), so that it is back after twenty
//! and the pace is forgotten after a minute, unless the service refuses again. Calls that
//! were on their way when it refused say nothing new: only one that was let go at the new
//! rate can lower it further.

use std::collections::VecDeque;
use std::time::Duration;

use super::Wait;
use super::window::Spacing;

/// The time in which the rate grows by what it was cut to.
const GROWTH: Duration = Duration::from_secs(20);

/// After so long without a refusal there is no pace any more.
const FORGOTTEN: Duration = Duration::from_mins(1);

/// The lowest rate, in calls a second.
const LOWEST: f64 = 1.0 / 60.0;

/// The time over which the rate of calls is measured.
const MEASURED: Duration = Duration::from_secs(1);

/// How fast a lane's calls go, and may go.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    cut: Option<Cut>,
    spacing: Spacing,
    /// When calls of the last second were let go.
    recent: VecDeque<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Cut {
    /// Calls a second that were left.
    rate: f64,
    at: Duration,
    /// The last call that was let go before.
    last: u64,
}

impl Cut {
    fn rate(self, now: Duration) -> f64 {
        self.rate * (1.0 + now.saturating_sub(self.at).as_secs_f64() / GROWTH.as_secs_f64())
    }
}

impl Pace {
    /// When the next call may go.
    pub(super) fn wait(&mut self, now: Duration) -> Wait {
        self.cut = self.cut.filter(|cut| now.saturating_sub(cut.at) < FORGOTTEN);
        if self.cut.is_some() { self.spacing.wait(now) } else { Wait::Over }
    }

    /// A call is let go.
    pub(super) fn take(&mut self, now: Duration) {
        self.recent.push_back(now);
        self.forget_old(now);
        if let Some(cut) = self.cut {
            self.spacing.take(Duration::from_secs_f64(1.0 / cut.rate(now)), now);
        }
    }

    /// The service refused the call of this number; `last` is that of the last one let go.
    pub(super) fn refused(&mut self, number: u64, last: u64, now: Duration) {
        if self.cut.is_some_and(|cut| number <= cut.last) {
            return;
        }
        self.forget_old(now);
        let rate = match self.cut {
            Some(cut) => cut.rate(now),
            None => self.recent.len().max(1) as f64 / MEASURED.as_secs_f64(),
        };
        let rate = (rate / 2.0).max(LOWEST);
        self.cut = Some(Cut { rate, at: now, last });
        self.spacing = Spacing::default();
        self.spacing.take(Duration::from_secs_f64(1.0 / rate), now);
    }

    fn forget_old(&mut self, now: Duration) {
        while self.recent.front().is_some_and(|at| *at + MEASURED <= now) {
            self.recent.pop_front();
        }
    }
}
