//! How much may go out within any span of time, and at which distance.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Wait;

/// The longest that a call is taken to be on its way to the service.
const LONGEST_WAY: Duration = Duration::from_secs(1);

/// The longest that a place is kept for a call that began to be made ready and is not sent yet.
/// One that takes longer uploads a file, and nobody is kept waiting for that.
const LONGEST_PREPARATION: Duration = Duration::from_secs(2);

/// So much within any span of time, wherever the span begins.
///
/// What counts is when a call reaches the service, and that is not known: it is some time
/// after the call was let go, before its answer came, and, it is taken, within a quarter of the
/// span (a second at most) after it was sent. So a call counts until the span has gone by
/// after the earlier of the last two. Of any calls beyond `most`, the one that was let go last
/// then reaches the service a whole span after one of the others did.
#[derive(Clone, Debug)]
pub(super) struct Window {
    most: f64,
    span: Duration,
    sum: f64,
    /// What each call counts as, and until when.
    calls: BTreeMap<u64, (f64, Duration)>,
    ends: BTreeSet<(Duration, u64)>,
}

impl Window {
    pub(super) fn new(most: f64, span: Duration) -> Self {
        Self { most, span, sum: 0.0, calls: BTreeMap::new(), ends: BTreeSet::new() }
    }

    /// When so much may go. What is more than ever may go at once goes alone.
    pub(super) fn wait(&mut self, amount: f64, now: Duration) -> Wait {
        while let Some((until, call)) = self.ends.first().copied().filter(|(end, _)| *end <= now) {
            self.ends.remove(&(until, call));
            self.sum -= self.calls.remove(&call).map_or(0.0, |(amount, _)| amount);
        }
        if self.calls.is_empty() {
            self.sum = 0.0;
        }
        let amount = amount.min(self.most);
        let mut sum = self.sum;
        let fits = |sum: f64| sum + amount <= self.most + 1e-6;
        if fits(sum) {
            return Wait::Over;
        }
        for (until, call) in &self.ends {
            sum -= self.calls.get(call).map_or(0.0, |(amount, _)| *amount);
            if fits(sum) {
                return if *until == Duration::MAX { Wait::Event } else { Wait::Until(*until) };
            }
        }
        Wait::Event
    }

    /// Counts a call that is let go.
    pub(super) fn take(&mut self, call: u64, amount: f64) {
        self.count(call, amount, Duration::MAX);
    }

    /// The call is announced, and is made ready from now on.
    pub(super) fn begun(&mut self, call: u64, amount: f64, now: Duration) {
        self.count(call, amount, now + LONGEST_PREPARATION + self.way() + self.span);
    }

    /// The call is sent now.
    pub(super) fn sent(&mut self, call: u64, amount: f64, now: Duration) {
        self.count(call, amount, now + self.way() + self.span);
    }

    /// The call has reached the service: its answer is there.
    pub(super) fn reached(&mut self, call: u64, now: Duration) {
        if let Some((amount, until)) = self.calls.get(&call).copied() {
            self.count(call, amount, until.min(now + self.span));
        }
    }

    /// The call took so much.
    pub(super) fn correct(&mut self, call: u64, amount: f64) {
        if let Some((_, until)) = self.calls.get(&call).copied() {
            self.count(call, amount, until);
        }
    }

    fn count(&mut self, call: u64, amount: f64, until: Duration) {
        self.forget(call);
        self.sum += amount;
        self.calls.insert(call, (amount, until));
        self.ends.insert((until, call));
    }

    /// The call does not count.
    pub(super) fn forget(&mut self, call: u64) {
        if let Some((amount, until)) = self.calls.remove(&call) {
            self.sum -= amount;
            self.ends.remove(&(until, call));
        }
    }

    fn way(&self) -> Duration {
        (self.span / 4).min(LONGEST_WAY)
    }
}

/// How late a timer may fire without the next call being late as well.
const LATE: Duration = Duration::from_millis(20);

/// One call at a time, each at a distance from the one before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spacing {
    next: Duration,
}

impl Spacing {
    pub(super) fn wait(self, now: Duration) -> Wait {
        if self.next <= now { Wait::Over } else { Wait::Until(self.next) }
    }

    pub(super) fn take(&mut self, distance: Duration, now: Duration) {
        self.next = self.next.max(now.saturating_sub(LATE)) + distance;
    }
}
