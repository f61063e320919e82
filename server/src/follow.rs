//! Following a run: what happened in it so far, then what happens, each thing once.
//!
//! What is durable comes from the store, in order and by its number: the news of the process
//! only say that there is something to read. So a listener that was away for a while misses
//! nothing, and one of a run that another process drives hears as much, somewhat later. What a
//! step's model writes while it does is passed on as it comes, and is gone for who comes later.
//!
//! ```text
//!   news ──▶ tail, one a run: reads what is new ──▶ frames ──▶ listeners, however many
//!                                 store ─────────────────────▶ one that is behind
//! ```

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flow_core::engine::Progress;
use flow_core::ids::RunId;
use flow_core::store::{EventRow, StoreError};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::runs::{News, Runs};

/// Frames that wait for a slow listener; one that is further behind reads them from the store.
const FRAMES: usize = 1024;

/// Events that are read at once.
const PAGE: u32 = 500;

/// How long news are gathered before the store is read.
const GATHER: Duration = Duration::from_millis(20);

/// How often a run is looked at of which there is no news: another process may drive it.
const EVERY: Duration = Duration::from_secs(1);

/// Something that a listener is told.
#[derive(Clone, Debug)]
pub enum Frame {
    /// What happened, durably.
    Event(Arc<EventRow>),
    /// A piece of what a step's model writes.
    Text {
        /// Path of the step.
        step: Arc<str>,
        /// The next piece; a retry begins anew.
        text: Arc<str>,
    },
    /// The run has ended, and nothing more comes.
    End,
}

/// Those who follow runs. A clone is the same.
#[derive(Clone)]
pub struct Follow {
    runs: Runs,
    tails: Arc<Mutex<HashMap<RunId, broadcast::Sender<Frame>>>>,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

/// One who follows a run.
pub struct Listener {
    follow: Follow,
    run: RunId,
    frames: broadcast::Receiver<Frame>,
    ready: VecDeque<Frame>,
    /// The number of the last event that was told.
    told: u64,
    /// Whether the store may have more than was told.
    behind: bool,
    ended: bool,
}

impl Follow {
    /// Makes it; it ends when `stopping` is cancelled.
    pub fn new(runs: Runs, stopping: CancellationToken) -> Self {
        Self { runs, tails: Arc::default(), stopping, tasks: TaskTracker::new() }
    }

    /// Follows a run from behind an event; 0 is the beginning.
    pub fn run(&self, run: &RunId, after: u64) -> Listener {
        let frames = {
            let mut tails = self.tails();
            match tails.get(run) {
                Some(tail) => tail.subscribe(),
                None => {
                    let (tail, frames) = broadcast::channel(FRAMES);
                    tails.insert(run.clone(), tail);
                    let (follow, run) = (self.clone(), run.clone());
                    self.tasks.spawn(async move { follow.tail(run).await });
                    frames
                }
            }
        };
        Listener {
            follow: self.clone(),
            run: run.clone(),
            frames,
            ready: VecDeque::new(),
            told: after,
            behind: true,
            ended: false,
        }
    }

    /// Waits until nobody is told anything any more, after `stopping` was cancelled.
    pub async fn stopped(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Tells those who follow a run what is new, until there are none.
    async fn tail(&self, run: RunId) {
        let mut news = self.runs.listen_to(&run);
        // What is there by now is read by each who comes.
        let mut told = self.runs.store().last_seq(&run).await.unwrap_or_default();
        loop {
            let ended = match self.tell_new(&run, &mut told).await {
                Ok(ended) => ended,
                Err(error) => {
                    tracing::warn!(%run, "following: {error}");
                    false
                }
            };
            if ended {
                self.tell(&run, Frame::End);
                self.tails().remove(&run);
                return;
            }
            let waited = self.stopping.run_until_cancelled(self.wait(&run, &mut news)).await;
            if waited.is_none() || self.left(&run) {
                return;
            }
        }
    }

    /// Reads what is new and tells it; says whether the run has ended.
    async fn tell_new(&self, run: &RunId, told: &mut u64) -> Result<bool, StoreError> {
        // How it stands is read first: what ended it is written with that.
        let row = self.runs.store().run(run).await?;
        loop {
            let events = self.runs.store().events(run, *told, PAGE).await?;
            let more = events.len() >= PAGE as usize;
            for event in events {
                *told = event.seq;
                self.tell(run, Frame::Event(Arc::new(event)));
            }
            if !more {
                return Ok(row.is_none_or(|row| row.status.has_ended()));
            }
        }
    }

    /// Waits until something may be new, and passes on meanwhile what models write.
    async fn wait(&self, run: &RunId, news: &mut broadcast::Receiver<News>) {
        let until = tokio::time::Instant::now() + EVERY;
        loop {
            match tokio::time::timeout_at(until, news.recv()).await {
                Ok(Ok(News { what: Progress::Text { at, text }, .. })) => {
                    let (step, text) = (at.path.as_str().into(), text.into());
                    self.tell(run, Frame::Text { step, text });
                }
                Ok(Ok(_) | Err(RecvError::Lagged(_))) => {
                    tokio::time::sleep(GATHER).await;
                    return;
                }
                Ok(Err(RecvError::Closed)) => return tokio::time::sleep_until(until).await,
                Err(_) => return,
            }
        }
    }

    fn tell(&self, run: &RunId, frame: Frame) {
        if let Some(tail) = self.tails().get(run) {
            // The last listener may go meanwhile.
            let _ = tail.send(frame);
        }
    }

    /// Whether nobody follows a run any more; then it is forgotten in the same moment.
    fn left(&self, run: &RunId) -> bool {
        let mut tails = self.tails();
        let left = tails.get(run).is_none_or(|tail| tail.receiver_count() == 0);
        if left {
            tails.remove(run);
        }
        left
    }

    fn tails(&self) -> MutexGuard<'_, HashMap<RunId, broadcast::Sender<Frame>>> {
        self.tails.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    /// What is next; none after the end, and when the server stops.
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Some(frame);
            }
            if self.ended {
                return None;
            }
            if self.behind {
                if let Err(error) = self.catch_up().await {
                    tracing::warn!(run = %self.run, "following: {error}");
                    return None;
                }
                continue;
            }
            let stopping = self.follow.stopping.clone();
            let frame = stopping.run_until_cancelled(self.frames.recv()).await?;
            match frame {
                Ok(Frame::Event(event)) if event.seq <= self.told => {}
                Ok(Frame::Event(event)) if event.seq == self.told + 1 => {
                    self.told = event.seq;
                    return Some(Frame::Event(event));
                }
                Ok(text @ Frame::Text { .. }) => return Some(text),
                // Something lies in between, or before the end.
                Ok(Frame::Event(_) | Frame::End) | Err(_) => self.behind = true,
            }
        }
    }

    /// Reads from the store what was not told.
    async fn catch_up(&mut self) -> Result<(), StoreError> {
        let store = self.follow.runs.store();
        let row = store.run(&self.run).await?;
        let events = store.events(&self.run, self.told, PAGE).await?;
        self.behind = events.len() >= PAGE as usize;
        if let Some(last) = events.last() {
            self.told = last.seq;
        }
        self.ready.extend(events.into_iter().map(|event| Frame::Event(Arc::new(event))));
        if !self.behind && row.is_none_or(|row| row.status.has_ended()) {
            self.ended = true;
            self.ready.push_back(Frame::End);
        }
        Ok(())
    }
}
