//! Whose turn it is to compute.
//!
//! Guests compute on the threads that drive everything else. So that many of them at once leave
//! room for the rest, a guest computes only while it has one of a few seats, and gives it back
//! at every tick: those that wait come first then, in the order in which they came.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio_util::sync::PollSemaphore;

/// A guest that computes when it has a seat.
///
/// Dropping it stops the guest where it stands.
pub(crate) struct InTurn<F> {
    guest: Pin<Box<F>>,
    seats: PollSemaphore,
    at_work: Duration,
}

impl<F: Future> InTurn<F> {
    pub(crate) fn new(guest: F, seats: &Arc<Semaphore>) -> Self {
        let seats = PollSemaphore::new(Arc::clone(seats));
        Self { guest: Box::pin(guest), seats, at_work: Duration::ZERO }
    }
}

impl<F: Future> Future for InTurn<F> {
    type Output = (F::Output, Duration);

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let seat = match this.seats.poll_acquire(context) {
            Poll::Ready(seat) => seat,
            Poll::Pending => return Poll::Pending,
        };
        let began = Instant::now();
        let polled = this.guest.as_mut().poll(context);
        this.at_work += began.elapsed();
        drop(seat);
        polled.map(|output| (output, this.at_work))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_for_a_seat_gets_it_at_the_next_tick() {
        let seats = Arc::new(Semaphore::new(1));
        let order = std::sync::Mutex::new(Vec::new());
        let guest = |name: &'static str| {
            let order = &order;
            InTurn::new(
                async move {
                    for _ in 0..3 {
                        order.lock().unwrap().push(name);
                        tokio::task::yield_now().await;
                    }
                },
                &seats,
            )
        };
        tokio::join!(guest("a"), guest("b"));
        // Nobody comes a second time before the other came once.
        let order = order.into_inner().unwrap();
        assert!(order.chunks(2).all(|pair| pair[0] != pair[1]), "{order:?}");
    }
}
