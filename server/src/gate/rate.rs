//! How many requests somebody may make: a bucket of tokens for each, filled as time goes by.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use axum::http::StatusCode;

use crate::problem::Problem;

/// As many buckets are kept before the full ones are thrown away.
const KEPT: usize = 10_000;

/// The buckets of all who ask.
pub struct Rates {
    /// Requests a second.
    rate: f64,
    buckets: Mutex<HashMap<String, Bucket>>,
}

struct Bucket {
    left: f64,
    since: Instant,
}

impl Rates {
    /// Lets each make so many requests a second, and twice as many at once.
    pub fn new(rate: u32) -> Self {
        Self { rate: f64::from(rate.max(1)), buckets: Mutex::default() }
    }

    /// Takes from somebody's bucket, or says when there is enough in it.
    pub fn take(&self, who: &str, cost: f64) -> Result<(), Problem> {
        let (now, most) = (Instant::now(), self.rate * 2.0);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= KEPT {
            buckets.retain(|_, bucket| bucket.at(now, self.rate) < most);
        }
        let bucket = buckets.entry(who.to_owned()).or_insert(Bucket { left: most, since: now });
        bucket.left = bucket.at(now, self.rate).min(most);
        bucket.since = now;
        if bucket.left < cost.min(most) {
            let wait = ((cost - bucket.left) / self.rate).ceil().max(1.0) as u64;
            let detail = format!("more than {} requests a second", self.rate);
            let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, detail);
            return Err(problem.hint(format!("ask again in {wait} s")).after(wait));
        }
        bucket.left -= cost;
        Ok(())
    }
}

impl Bucket {
    fn at(&self, now: Instant, rate: f64) -> f64 {
        self.left + now.duration_since(self.since).as_secs_f64() * rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_and_what_is_more_is_told_when_to_come_again() {
        let rates = Rates::new(1);
        rates.take("a", 1.0).unwrap();
        rates.take("a", 1.0).unwrap();
        let problem = rates.take("a", 1.0).unwrap_err();
        assert_eq!(problem.detail, "more than 1 requests a second");
        assert_eq!((problem.status, problem.retry_after), (429, Some(1)));
        rates.take("b", 1.0).unwrap();
    }
}
