//! Waiting for a turn, and telling what became of it.
//!
//! There is no task that lets calls go: whoever changes something lets those go that may, and
//! one of those who wait, the watcher, does so when time alone has changed something.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flow_core::error::{ErrorClass, Failure};
use flow_core::retry::PATIENCE;
use jiff::Timestamp;
use reqwest::header::HeaderMap;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::Instant;

use super::headers::left_of;
use super::limiter::{Limiter, Next};
use super::rules::{Amount, LimitSettings};

/// The limits of a service, shared by all who ask it.
#[derive(Clone)]
pub(crate) struct Limits(Arc<Shared>);

struct Shared {
    began: Instant,
    state: Mutex<State>,
    /// Told when the watcher has to look at another time.
    changed: Notify,
    /// Who watches.
    watch: Semaphore,
    /// Whether nothing counts.
    none: bool,
}

struct State {
    limiter: Limiter,
    waiting: HashMap<u64, oneshot::Sender<()>>,
    /// When somebody may go though nothing happens before.
    next: Option<Duration>,
}

/// A turn; it is over when it is dropped.
pub(crate) struct Turn {
    limits: Limits,
    id: u64,
}

impl Limits {
    pub(crate) fn new(settings: LimitSettings) -> Self {
        Self::of(settings, false)
    }

    /// No limits, whatever a model's are and whatever a service says: nobody is asked.
    pub(crate) fn none() -> Self {
        Self::of(LimitSettings::default(), true)
    }

    fn of(settings: LimitSettings, none: bool) -> Self {
        let limiter = Limiter::new(settings);
        let state = State { limiter, waiting: HashMap::new(), next: None };
        Self(Arc::new(Shared {
            began: Instant::now(),
            state: Mutex::new(state),
            changed: Notify::new(),
            watch: Semaphore::new(1),
            none,
        }))
    }

    /// Waits until a call of a model may be sent. `own` are the limits of the model; of those
    /// that wait for it the one of the lowest `order` goes first.
    ///
    /// Dropping the future gives the turn up.
    pub(crate) async fn admit(
        &self,
        model: &str,
        own: LimitSettings,
        order: u64,
        amount: Amount,
    ) -> Turn {
        let own = if self.0.none { LimitSettings::default() } else { own };
        let (go, mut may_go) = oneshot::channel();
        let turn = {
            let mut state = self.state();
            let id = state.limiter.ask(model, own, order, amount);
            state.waiting.insert(id, go);
            self.let_go(&mut state);
            Turn { limits: self.clone(), id }
        };
        tokio::select! {
            biased;
            // The other end is kept until it is told.
            _ = &mut may_go => turn,
            never = self.watch() => match never {},
        }
    }

    /// Watches the time for all who wait, once the one who watches now is gone.
    async fn watch(&self) -> Infallible {
        let _watching = self.0.watch.acquire().await;
        loop {
            let next = self.state().next;
            let time = async {
                match next {
                    Some(next) => tokio::time::sleep_until(self.0.began + next).await,
                    None => std::future::pending().await,
                }
            };
            // A change since `next` was read is remembered.
            tokio::select! {
                () = time => {}
                () = self.0.changed.notified() => {}
            }
            let mut state = self.state();
            self.let_go(&mut state);
        }
    }

    /// Lets everybody go who may.
    fn let_go(&self, state: &mut State) {
        let next = loop {
            match state.limiter.next(self.now()) {
                Next::Go(id) => {
                    if let Some(go) = state.waiting.remove(&id) {
                        // One who is gone gives the turn back when it is dropped.
                        let _ = go.send(());
                    }
                }
                Next::Nobody(next) => break next,
            }
        };
        if state.next != next {
            state.next = next;
            self.0.changed.notify_one();
        }
    }

    fn now(&self) -> Duration {
        self.0.began.elapsed()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Whether it was given by these limits.
    pub(crate) fn is_of(&self, limits: &Limits) -> bool {
        Arc::ptr_eq(&self.limits.0, &limits.0)
    }

    /// The call is made ready from now on.
    pub(crate) fn begun(&self) {
        self.tell(|limiter, now| limiter.begun(self.id, now));
    }

    /// The call is sent now.
    pub(crate) fn sent(&self) {
        self.tell(|limiter, now| limiter.sent(self.id, now));
    }

    /// The head of the answer is there.
    pub(crate) fn answered(&self, headers: &HeaderMap) {
        let said = if self.limits.0.none { Vec::new() } else { left_of(headers, Timestamp::now()) };
        self.tell(|limiter, now| limiter.answered(self.id, &said, now));
    }

    /// The call took so many tokens.
    pub(crate) fn used(&self, amount: Amount) {
        self.tell(|limiter, _| limiter.used(self.id, amount));
    }

    /// The call failed: what that says of the limits counts.
    pub(crate) fn refused(&self, failure: &Failure) {
        let too_many = failure.class == ErrorClass::RateLimit;
        let is_busy = too_many || failure.class == ErrorClass::Overloaded;
        if is_busy && !self.limits.0.none {
            // Who asks for longer than anybody waits is not waited for.
            let pause = failure.retry_after.filter(|pause| *pause <= PATIENCE);
            self.tell(|limiter, now| limiter.refused(self.id, too_many, pause, now));
        }
    }

    fn tell(&self, what: impl FnOnce(&mut Limiter, Duration)) {
        let mut state = self.limits.state();
        what(&mut state.limiter, self.limits.now());
        self.limits.let_go(&mut state);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.limits.state();
        state.waiting.remove(&self.id);
        let now = self.limits.now();
        state.limiter.end(self.id, now);
        self.limits.let_go(&mut state);
    }
}
