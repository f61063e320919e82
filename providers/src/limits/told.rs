//! What a service said is left of a limit of its own.
//!
//! Taken for a window that is full again when it resets, which is the careful reading: a
//! service that refills little by little allows no less by then. What is on its way is
//! subtracted until its answer says what is left. A limit that was used up and
//! whose reset nobody told lets one call through to ask.

use std::time::Duration;

use super::Wait;
use super::rules::Amount;

/// A limit that takes longer to reset is the service's to refuse.
const PATIENCE: Duration = Duration::from_hours(1);

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Measure {
    /// Calls.
    Requests,
    /// Tokens read and written.
    Tokens,
    /// Tokens read.
    Input,
    /// Tokens written.
    Output,
}

/// What an answer says of a limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Left {
    /// What may be used until it resets.
    pub(crate) limit: f64,
    /// What is left of it.
    pub(crate) remaining: f64,
    /// After which time it resets.
    pub(crate) reset: Option<Duration>,
}

/// A limit as far as it was told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    limit: f64,
    left: f64,
    resets: Option<Duration>,
    /// The number of the last call that was let go when it was told.
    let_go: u64,
}

impl Told {
    pub(super) fn new(left: Left, let_go: u64, now: Duration) -> Self {
        let resets = left.reset.map(|reset| now + reset);
        Self { limit: left.limit, left: left.remaining, resets, let_go }
    }

    /// The call of this number is told something else. Where it was on its way when this was
    /// told, nobody knows which of the two the service counted first, and the lower holds.
    pub(super) fn hear(&mut self, number: u64, other: Self) {
        if number > self.let_go {
            *self = other;
        } else if other.left < self.left {
            (self.left, self.resets) = (other.left, other.resets);
        } else if other.left <= self.left {
            self.resets = self.resets.max(other.resets);
        }
    }

    /// When so much may go; `flying` is what is on its way and perhaps not counted, none where
    /// nothing is.
    pub(super) fn wait(&mut self, amount: f64, flying: Option<f64>, now: Duration) -> Wait {
        if self.resets.is_some_and(|resets| resets <= now) {
            (self.left, self.resets) = (self.limit, None);
        }
        let amount = amount.min(self.limit);
        if self.left - flying.unwrap_or_default() >= amount {
            return Wait::Over;
        }
        match (self.resets, flying) {
            (Some(resets), _) if resets <= now + PATIENCE => Wait::Until(resets),
            (Some(_), _) | (None, None) => Wait::Over,
            (None, Some(_)) => Wait::Event,
        }
    }

    /// A call ended that was told nothing.
    pub(super) fn ended(&mut self, amount: f64) {
        self.left -= amount;
    }
}

impl Measure {
    /// How much of it a call takes.
    pub(super) fn of(self, amount: Amount) -> f64 {
        match self {
            Self::Requests => 1.0,
            Self::Tokens => (amount.input + amount.output) as f64,
            Self::Input => amount.input as f64,
            Self::Output => amount.output as f64,
        }
    }
}
