//! The processes that hold models: which of them there are, and who may ask them.
//!
//! A model is loaded once and shared by all runs of this process. What fits into memory stays;
//! for what does not, the model that was used longest ago leaves. Why a model has a process of
//! its own: llama.cpp ends its process on input that it does not expect, and its memory comes
//! back only when that is gone.

mod memory;
mod process;
mod turns;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flow_core::error::Failure;
use tokio::sync::{OnceCell, oneshot};

pub use memory::Machine;
pub(crate) use memory::{Need, planned};
pub use process::HostProgram;
pub(crate) use process::{Answering, Process};
use turns::{Granted, Key, Turns, Want};

use crate::protocol::Load;

/// The models that are there, shared by all who ask them.
#[derive(Clone)]
pub(crate) struct Hosts(Arc<Shared>);

struct Shared {
    program: HostProgram,
    state: Mutex<State>,
}

struct State {
    turns: Turns,
    waiting: HashMap<u64, oneshot::Sender<()>>,
    /// Where the process of a model is, or will be.
    places: HashMap<Key, Place>,
    /// Processes that were ended, and whose memory may not be free yet.
    leaving: Vec<Arc<Process>>,
    next: u64,
}

/// The process of a model, once somebody has started it.
type Place = Arc<OnceCell<Arc<Process>>>;

/// A turn to ask a model; it is over when it is dropped.
pub(crate) struct Turn {
    hosts: Hosts,
    id: u64,
    load: Load,
    key: Key,
}

impl Hosts {
    /// None yet; they may take `budget` bytes together.
    pub(crate) fn new(program: HostProgram, budget: u64) -> Self {
        let state = State {
            turns: Turns::new(budget),
            waiting: HashMap::new(),
            places: HashMap::new(),
            leaving: Vec::new(),
            next: 0,
        };
        Self(Arc::new(Shared { program, state: Mutex::new(state) }))
    }

    /// Waits until a model may be asked, which takes `need` bytes. Of those that wait for it
    /// the one of the lowest `order` goes first.
    ///
    /// Dropping the future gives the turn up.
    pub(crate) async fn turn(&self, load: &Load, need: u64, order: u64) -> Turn {
        let key = serde_json::to_string(load).unwrap_or_default();
        let (go, may_go) = oneshot::channel();
        let turn = {
            let mut state = self.state();
            let id = state.next;
            state.next += 1;
            let want = Want { key: key.clone(), need, most: load.sequences };
            state.turns.ask(id, order, want);
            state.waiting.insert(id, go);
            state.let_go();
            Turn { hosts: self.clone(), id, load: load.clone(), key }
        };
        // The other end is kept until it is told.
        let _ = may_go.await;
        turn
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Lets everybody go who may.
    fn let_go(&mut self) {
        while let Some(Granted { id, leave }) = self.turns.next() {
            for process in leave.iter().filter_map(|key| self.places.remove(key)?.get().cloned()) {
                process.kill();
                self.leaving.push(process);
            }
            if let Some(go) = self.waiting.remove(&id) {
                // One who is gone gives the turn back when it is dropped.
                let _ = go.send(());
            }
        }
    }

    /// The place of a model; a new one where its process has died.
    fn place(&mut self, key: &Key) -> Place {
        let place = self.places.entry(key.clone()).or_default();
        if place.get().is_some_and(|process| process.is_dead()) {
            *place = Place::default();
        }
        Arc::clone(place)
    }
}

impl Turn {
    /// The model's process; it is started where there is none.
    ///
    /// Dropping the future leaves starting it to the next who asks.
    pub(crate) async fn process(&self) -> Result<Arc<Process>, Failure> {
        let place = self.hosts.state().place(&self.key);
        let process = place.get_or_try_init(|| async {
            let leaving = self.hosts.state().leaving.clone();
            for process in &leaving {
                process.ended().await;
            }
            self.hosts.state().leaving.retain(|process| !process.is_dead());
            let program = &self.hosts.0.program;
            Process::start(program, self.load.clone()).await.map(Arc::new)
        });
        process.await.cloned()
    }

    /// Whether it is for this model, loaded like this.
    pub(crate) fn is_for(&self, load: &Load) -> bool {
        self.load == *load
    }

    /// Whether nobody else has a turn of this model.
    pub(crate) fn is_alone(&self) -> bool {
        self.hosts.state().turns.held(&self.key) <= 1
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.hosts.state();
        if state.waiting.remove(&self.id).is_some() {
            state.turns.withdraw(self.id);
        } else {
            // It was given, whether or not who waited has seen that.
            state.turns.end(&self.key);
        }
        state.let_go();
    }
}
