//! One upload at a time of the same file to the same account: who wants it meanwhile waits for
//! it, and finds it in the ledger.
//!
//! This holds in one process. Two processes may upload the same file at the same time; the
//! ledger knows both then.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flow_core::error::{ErrorClass, Failure};
use flow_core::uploads::UploadKey;

/// The uploads under way in a process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flights(Arc<Mutex<HashMap<UploadKey, Arc<Flight>>>>);

/// An upload under way. Whoever holds the lock does the work, across every wait of it: that is
/// what the others wait for. What it failed with is theirs as well.
type Flight = tokio::sync::Mutex<Option<Failure>>;

impl Flights {
    /// Does the work when nobody else does it; with the failure of who did it before, where
    /// this waited for that.
    ///
    /// Dropping the future leaves the work to the next who waits for it.
    pub(super) async fn alone<T>(
        &self,
        key: UploadKey,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let flight = Arc::clone(self.flights().entry(key).or_default());
        let mut failed = flight.lock().await;
        if let Some(failure) = &*failed {
            return Err(failure.clone());
        }
        let done = work.await;
        *failed = done.as_ref().err().filter(|failure| is_shared(failure.class)).cloned();
        // Who comes after a failure begins anew, and the last one tidies up.
        let mut flights = self.flights();
        let current = flights.get(&key).is_some_and(|current| Arc::ptr_eq(current, &flight));
        if current && (failed.is_some() || Arc::strong_count(&flight) <= 2) {
            flights.remove(&key);
        }
        done
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<UploadKey, Arc<Flight>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a failure says something of the upload, and not of who happened to do it.
fn is_shared(class: ErrorClass) -> bool {
    class != ErrorClass::Cancelled
}

#[cfg(test)]
mod tests {
    use flow_core::content::ContentHash;
    use tokio::sync::Notify;

    use super::*;

    fn key() -> UploadKey {
        let hash = ContentHash::of_bytes(b"a");
        UploadKey { account: hash, content: hash }
    }

    fn failure(class: ErrorClass) -> Failure {
        Failure::new(class, "it broke")
    }

    #[tokio::test]
    async fn who_waits_shares_the_failure_and_who_comes_later_begins_anew() {
        for (class, second) in [
            (ErrorClass::Connection, Err(failure(ErrorClass::Connection))),
            (ErrorClass::Cancelled, Ok(2)),
        ] {
            let (flights, go) = (Flights::default(), Notify::new());
            let first = flights.alone(key(), async {
                go.notified().await;
                Err::<i32, _>(failure(class))
            });
            let waits = flights.alone(key(), async { Ok(2) });
            let begin = async { go.notify_one() };
            let (first, waited, ()) = tokio::join!(first, waits, begin);
            assert_eq!(first, Err(failure(class)));
            assert_eq!(waited, second);
            assert_eq!(flights.alone(key(), async { Ok(3) }).await, Ok(3));
            assert_eq!(flights.flights().len(), 0);
        }
    }

    #[tokio::test]
    async fn work_that_is_dropped_is_left_to_the_next() {
        let flights = Flights::default();
        let mut dropped = Box::pin(flights.alone(key(), std::future::pending::<Result<i32, _>>()));
        assert!(futures::poll!(&mut dropped).is_pending());
        let mut next = Box::pin(flights.alone(key(), async { Ok(2) }));
        assert!(futures::poll!(&mut next).is_pending());
        drop(dropped);
        assert_eq!(next.await, Ok(2));
    }
}
