//! The runs of this process: the one way that anything starts, answers or stops one.
//!
//! Who wants to drive a run takes its *seat* first, and has it until the run is settled: so
//! nothing in this process drives a run twice, and an answer that comes while a run is being
//! taken up is not overheard. Among processes the lock of the run decides.

mod live;
mod news;
mod take_up;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flow_core::engine::{
    Answer, Backend, Embedded, EngineError, Load, Program, RunHandle, Submission,
};
use flow_core::ids::{InstancePath, RunId};
use flow_core::intake::Intake;
use flow_core::store::{LockError, Store, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::workplace::Workplace;

pub use news::{Counters, News};

use live::{Live, Seat};

/// Why a run was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Cause {
    /// A person on the page.
    Page,
    /// A request, with the name of the token that it had.
    Request {
        /// None on loopback, where no token is needed.
        token: Option<String>,
    },
    /// A schedule ticked.
    Schedule {
        /// Its place among the workflow's triggers, from 0.
        trigger: usize,
        /// For when, in milliseconds since 1970.
        tick: i64,
    },
    /// A file came into a watched folder.
    File {
        /// The trigger's place, from 0.
        trigger: usize,
        /// The file, relative to the workflow's folder.
        path: String,
    },
    /// A webhook was called.
    Webhook {
        /// The trigger's place, from 0.
        trigger: usize,
    },
    /// Another run ended.
    After {
        /// The trigger's place, from 0.
        trigger: usize,
        /// That run.
        run: RunId,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Page => f.write_str("a person on the page"),
            Self::Request { token: None } => f.write_str("a request"),
            Self::Request { token: Some(token) } => write!(f, "a request with token `{token}`"),
            Self::Schedule { trigger, tick } => {
                write!(f, "schedule {} for {}", trigger + 1, crate::api::timestamp(*tick))
            }
            Self::File { trigger, path } => write!(f, "trigger {}: file `{path}`", trigger + 1),
            Self::Webhook { trigger } => write!(f, "trigger {}: a webhook", trigger + 1),
            Self::After { trigger, run } => {
                write!(f, "trigger {}: the end of run {run}", trigger + 1)
            }
        }
    }
}

/// A run to be started.
pub struct Start {
    /// Its id. One that follows from its cause makes it start once, however often it is asked.
    pub id: RunId,
    /// What it runs.
    pub program: Program,
    /// Its inputs, bound to the workflow's types.
    pub inputs: Map<String, Value>,
    /// Why.
    pub cause: Cause,
}

/// What asking for a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// It is durable, and driven.
    New,
    /// There is a run of this id already, and it is durable.
    Already,
}

/// Why a run does not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The engine does not take it.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// This server drives it.
    #[error("run {run} is driven by this server")]
    Here {
        /// The run.
        run: RunId,
    },
    /// What it was kept with cannot be run.
    #[error("run {run} cannot go on: {why}")]
    Definition {
        /// The run.
        run: RunId,
        /// What is wrong.
        why: String,
    },
    /// The server is about to end.
    #[error("the server is stopping and starts no run")]
    Stopping,
}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> Self {
        Self::Engine(error.into())
    }
}

impl StartError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Engine(error) => error.hint(),
            Self::Here { .. } => Some("wait for it, or cancel it".into()),
            Self::Definition { run, .. } => Some(format!(
                "`flow resume {run} --from-file FILE` goes on with a changed workflow"
            )),
            Self::Stopping => Some("ask again when it is up".into()),
        }
    }

    /// Whether somebody else drives the run, here or in another process.
    pub fn is_driven(&self) -> bool {
        match self {
            Self::Here { .. } | Self::Engine(EngineError::Lock(LockError::Held { .. })) => true,
            Self::Engine(_) | Self::Definition { .. } | Self::Stopping => false,
        }
    }
}

/// The runs of this process. A clone is the same.
#[derive(Clone)]
pub struct Runs {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Embedded,
    workplace: Arc<dyn Workplace>,
    /// To those who listen to all runs.
    news: broadcast::Sender<News>,
    /// To those who listen to one.
    followed: Mutex<HashMap<RunId, broadcast::Sender<News>>>,
    live: Mutex<HashMap<RunId, Live>>,
    /// A seat was left, or its run became durable.
    moved: Notify,
    programs: take_up::Programs,
    counters: Counters,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

impl Runs {
    /// Makes them, with none at work.
    pub fn new(engine: Embedded, workplace: Arc<dyn Workplace>) -> Self {
        let shared = Shared {
            engine,
            workplace,
            news: news::channel(),
            followed: Mutex::default(),
            live: Mutex::default(),
            moved: Notify::new(),
            programs: take_up::Programs::default(),
            counters: Counters::default(),
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The store.
    pub fn store(&self) -> &Store {
        self.shared.engine.store()
    }

    /// The way of files into the store.
    pub fn intake(&self) -> Intake {
        self.shared.engine.intake()
    }

    /// The machine's side.
    pub fn workplace(&self) -> &dyn Workplace {
        &*self.shared.workplace
    }

    /// How many are driven now.
    pub fn at_work(&self) -> usize {
        self.shared.live().len()
    }

    /// Whether this process drives the run, or is about to.
    pub fn is_here(&self, run: &RunId) -> bool {
        self.shared.live().contains_key(run)
    }

    /// How much of the engine is at work.
    pub fn load(&self) -> Load {
        self.shared.engine.load()
    }

    /// What happened in this process so far.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Starts a run. When this returns it is durable, and is driven until it is settled; where
    /// another request starts the same run, this one waits for it.
    ///
    /// Dropping the future changes nothing: it is started all the same.
    pub async fn start(&self, start: Start) -> Result<Started, StartError> {
        let (runs, run) = (self.clone(), start.id.clone());
        // Who asked may go away in the middle, and the run must not be left to nobody.
        let starting = self.shared.tasks.spawn(async move { runs.begin(start).await });
        starting.await.unwrap_or_else(|_| Err(EngineError::Stuck { run }.into()))
    }

    async fn begin(&self, start: Start) -> Result<Started, StartError> {
        let Start { id, program, inputs, cause } = start;
        let _busy = self.shared.begin()?;
        let Some(seat) = self.shared.seat_of_new(&id).await? else {
            return Ok(Started::Already);
        };
        let why = serde_json::to_value(&cause).expect("a cause has string keys");
        self.store().put_start(&id, Some(&why), self.workplace().now()).await?;
        let observer = self.shared.observer(&id, &program);
        let submission = Submission { id: id.clone(), program: program.clone(), inputs, observer };
        match self.shared.engine.submit(submission).await {
            Ok(handle) => {
                tracing::info!(run = %id, workflow = program.workflow.name, %cause, "started");
                self.shared.drive(program, handle, seat);
                Ok(Started::New)
            }
            Err(error) => match self.store().run(&id).await? {
                // Another process was faster.
                Some(_) => Ok(Started::Already),
                None => {
                    self.store().forget_start(&id).await?;
                    Err(error.into())
                }
            },
        }
    }

    /// Takes a run up again with the definition that it was kept with.
    ///
    /// Dropping the future changes nothing: it is taken up all the same.
    pub async fn resume(&self, run: &RunId) -> Result<(), StartError> {
        let (runs, id) = (self.clone(), run.clone());
        let resuming = self.shared.tasks.spawn(async move { runs.take_up(&id).await });
        resuming.await.unwrap_or_else(|_| Err(EngineError::Stuck { run: run.clone() }.into()))
    }

    async fn take_up(&self, run: &RunId) -> Result<(), StartError> {
        let _busy = self.shared.begin()?;
        let Some(seat) = Seat::take(&self.shared, run) else {
            return Err(StartError::Here { run: run.clone() });
        };
        let (program, handle) = self.shared.resumed(run).await?;
        // From now on it is the server's, and goes on when the server is started again.
        self.store().put_start(run, None, self.workplace().now()).await?;
        tracing::info!(run = %run, workflow = program.workflow.name, "taken up again");
        self.shared.drive(program, handle, seat);
        Ok(())
    }

    /// Asks whoever drives the run to stop it; what is driven by nobody is cancelled here.
    ///
    /// Dropping the future does it or not.
    pub async fn cancel(&self, run: &RunId) -> Result<(), EngineError> {
        self.shared.engine.cancel(run).await
    }

    /// Answers a question of the run, which goes on.
    ///
    /// Dropping the future answers it or not; an answered run goes on in a moment.
    pub async fn approve(
        &self,
        run: &RunId,
        path: &InstancePath,
        answer: Answer,
    ) -> Result<(), StartError> {
        self.shared.engine.approve(run, path, answer).await?;
        loop {
            if self.shared.tell_of_answer(run) {
                return Ok(());
            }
            match self.resume(run).await {
                // Somebody took its seat just now, and has to hear of the answer.
                Err(StartError::Here { .. }) => {}
                // Another process drives it, and looks for answers itself.
                Err(error) if error.is_driven() => return Ok(()),
                // The answer is kept, and the run goes on when the server is up again.
                Err(StartError::Stopping) => return Ok(()),
                other => return other,
            }
        }
    }

    /// Starts nothing more, and lets what works end within `grace`; then interrupts the rest so
    /// that it can be resumed, and waits until all of it is durable.
    pub async fn stop(&self, grace: Duration) {
        self.shared.tasks.close();
        if tokio::time::timeout(grace, self.shared.tasks.wait()).await.is_err() {
            self.shared.stopping.cancel();
            self.shared.tasks.wait().await;
        }
    }
}

impl Shared {
    /// Says that something begins; whoever stops waits until it is over.
    fn begin(&self) -> Result<TaskTrackerToken, StartError> {
        // Taken before it is asked, so that a stop in between waits for it.
        let token = self.tasks.token();
        if self.tasks.is_closed() { Err(StartError::Stopping) } else { Ok(token) }
    }

    /// Drives a run that is durable until it is settled.
    fn drive(self: &Arc<Self>, program: Program, handle: RunHandle, seat: Seat) {
        self.moved.notify_waiters();
        self.tell_of_begin(handle.id(), &program);
        // The text of the definition is in the store, and not once more with each run.
        let program = Program { bundle: Value::Null, ..program };
        let shared = Arc::clone(self);
        self.tasks.spawn(async move { shared.to_the_end(program, handle, seat).await });
    }
}
