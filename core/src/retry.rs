//! When a failed attempt is followed by another, and after which wait.
//!
//! Pure: the randomness of the jitter is passed in, and time is the caller's.

use std::time::Duration;

use crate::error::{ErrorClass, Failure};
use crate::language::Retry;

/// The wait before the attempt after `attempt` (from 1), or none when it was the last.
///
/// A wait that the other side asked for is kept even where it is longer than `max`, but
/// beyond `PATIENCE` it counts as a refusal. `random` is between 0 and 1.
pub fn next_wait(retry: &Retry, attempt: u32, failure: &Failure, random: f64) -> Option<Duration> {
    if attempt >= retry.attempts || !may_retry(failure.class) || !retry.on.contains(&failure.class)
    {
        return None;
    }
    let doublings = if retry.exponential { (attempt - 1).min(31) } else { 0 };
    let wait = retry.initial.saturating_mul(1 << doublings).min(retry.max);
    let wait = wait.mul_f64(1.0 + retry.jitter * (2.0 * random - 1.0));
    match failure.retry_after {
        Some(asked) if asked > PATIENCE => None,
        Some(asked) => Some(asked.max(wait)),
        None => Some(wait),
    }
}

/// The longest wait taken on another's word.
pub const PATIENCE: Duration = Duration::from_hours(1);

/// Whether another attempt with the same input can end otherwise. A workflow may narrow
/// this by `retry.on`, never widen it.
fn may_retry(class: ErrorClass) -> bool {
    match class {
        ErrorClass::RateLimit
        | ErrorClass::Overloaded
        | ErrorClass::Timeout
        | ErrorClass::Connection
        | ErrorClass::Server
        | ErrorClass::Truncated
        | ErrorClass::Empty
        | ErrorClass::InvalidOutput
        | ErrorClass::Refusal
        | ErrorClass::Io
        | ErrorClass::Plugin
        | ErrorClass::Limit => true,
        ErrorClass::Quota
        | ErrorClass::Auth
        | ErrorClass::BadRequest
        | ErrorClass::NotFound
        | ErrorClass::TooLarge
        | ErrorClass::ContentFilter
        | ErrorClass::Budget
        | ErrorClass::Input
        | ErrorClass::Cancelled
        | ErrorClass::Internal => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn retry(attempts: u32) -> Retry {
        Retry { attempts, on: ErrorClass::ALL.to_vec(), ..Retry::default() }
    }

    #[test]
    fn what_cannot_end_otherwise_is_not_tried_again() {
        for class in [ErrorClass::Auth, ErrorClass::Budget, ErrorClass::Cancelled] {
            assert_eq!(next_wait(&retry(9), 1, &Failure::new(class, "x"), 0.5), None);
        }
    }

    #[test]
    fn the_wait_that_was_asked_for_is_kept_but_not_for_ever() {
        let mut failure = Failure::new(ErrorClass::RateLimit, "slow down");
        failure.retry_after = Some(Duration::from_secs(90));
        assert_eq!(next_wait(&retry(9), 1, &failure, 0.5), Some(Duration::from_secs(90)));
        failure.retry_after = Some(PATIENCE + Duration::from_secs(1));
        assert_eq!(next_wait(&retry(9), 1, &failure, 0.5), None);
    }

    proptest! {
        #[test]
        fn waits_grow_within_their_bounds(attempt in 1u32..200, random in 0.0f64..1.0) {
            let retry = retry(200);
            let failure = Failure::new(ErrorClass::Server, "x");
            let wait = next_wait(&retry, attempt, &failure, random);
            prop_assert_eq!(wait.is_some(), attempt < 200);
            if let Some(wait) = wait {
                prop_assert!(wait <= retry.max.mul_f64(1.0 + retry.jitter));
                prop_assert!(wait >= retry.initial.mul_f64(1.0 - retry.jitter));
            }
        }
    }
}
