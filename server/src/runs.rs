//! The runs of this process: the one way that anything starts, answers or stops one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flow_core::engine::{
    Answer, Backend, Embedded, EngineError, Observer, Program, Progress, Resume, RunHandle,
    Submission,
};
use flow_core::ids::{InstancePath, RunId};
use flow_core::store::{LockError, RunStatus, Store};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::workplace::Workplace;

/// News that wait for a slow listener; one that is further behind is told that it missed some.
const NEWS: usize = 4096;

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Started {
    /// It is durable, and driven.
    New,
    /// There is a run of this id already.
    Already,
}

/// Why a run does not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The engine does not take it.
    #[error(transparent)]
    Engine(#[from] EngineError),
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

/// What happened in a run.
#[derive(Clone, Debug)]
pub struct News {
    /// The run.
    pub run: RunId,
    /// Name of its workflow.
    pub workflow: Arc<str>,
    /// What. [`Progress::Run`] is the last of a life of the run.
    pub what: Progress,
}

/// The runs of this process.
#[derive(Clone)]
pub struct Runs {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Embedded,
    workplace: Arc<dyn Workplace>,
    news: broadcast::Sender<News>,
    live: Mutex<HashMap<RunId, Live>>,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

/// A run that is driven here.
#[derive(Default)]
struct Live {
    /// Whether something was answered that its driver may not have seen.
    answered: bool,
}

impl Runs {
    /// Makes them, with none at work.
    pub fn new(engine: Embedded, workplace: Arc<dyn Workplace>) -> Self {
        let shared = Shared {
            engine,
            workplace,
            news: broadcast::channel(NEWS).0,
            live: Mutex::default(),
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The store.
    pub fn store(&self) -> &Store {
        self.shared.engine.store()
    }

    /// The machine's side.
    pub fn workplace(&self) -> &dyn Workplace {
        &*self.shared.workplace
    }

    /// Listens to all runs of this process, from now on.
    pub fn listen(&self) -> broadcast::Receiver<News> {
        self.shared.news.subscribe()
    }

    /// How many are driven now.
    pub fn at_work(&self) -> usize {
        self.shared.live().len()
    }

    /// Starts a run. When this returns it is durable, and is driven until it is settled.
    ///
    /// Dropping the future starts it or not.
    pub async fn start(&self, start: Start) -> Result<Started, StartError> {
        let Start { id, program, inputs, cause: _ } = start;
        self.shared.may_begin()?;
        if self.store().run(&id).await.map_err(EngineError::from)?.is_some() {
            return Ok(Started::Already);
        }
        let observer = self.shared.observer(&id, &program);
        let submission = Submission { id: id.clone(), program: program.clone(), inputs, observer };
        let handle = match self.shared.engine.submit(submission).await {
            Ok(handle) => handle,
            // Another request for the same run is on its way.
            Err(EngineError::Lock(LockError::Held { .. })) => return Ok(Started::Already),
            Err(error) => return Err(error.into()),
        };
        self.drive(program, handle);
        Ok(Started::New)
    }

    /// Takes a run up again with the definition that it was kept with.
    ///
    /// Dropping the future does it or not.
    pub async fn resume(&self, run: &RunId) -> Result<(), StartError> {
        self.shared.may_begin()?;
        let (program, handle) = self.shared.resumed(run).await?;
        self.drive(program, handle);
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
    /// Dropping the future answers it or not, and the run may have to be resumed.
    pub async fn approve(
        &self,
        run: &RunId,
        path: &InstancePath,
        answer: Answer,
    ) -> Result<(), StartError> {
        self.shared.engine.approve(run, path, answer).await?;
        if let Some(live) = self.shared.live().get_mut(run) {
            live.answered = true;
            return Ok(());
        }
        match self.resume(run).await {
            // Another process drives it, and looks for answers itself.
            Err(StartError::Engine(EngineError::Lock(LockError::Held { .. }))) => Ok(()),
            other => other,
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

    fn drive(&self, program: Program, handle: RunHandle) {
        let shared = Arc::clone(&self.shared);
        shared.live().insert(handle.id().clone(), Live::default());
        let driving = Arc::clone(&shared);
        shared.tasks.spawn(async move { driving.to_the_end(program, handle).await });
    }
}

impl Shared {
    fn live(&self) -> std::sync::MutexGuard<'_, HashMap<RunId, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn may_begin(&self) -> Result<(), StartError> {
        if self.tasks.is_closed() { Err(StartError::Stopping) } else { Ok(()) }
    }

    fn observer(&self, run: &RunId, program: &Program) -> Arc<dyn Observer> {
        let workflow = program.workflow.name.as_str().into();
        Arc::new(Teller { run: run.clone(), workflow, news: self.news.clone() })
    }

    async fn resumed(&self, run: &RunId) -> Result<(Program, RunHandle), StartError> {
        let store = self.engine.store();
        let row = store.run(run).await.map_err(EngineError::from)?;
        let row = row.ok_or_else(|| EngineError::UnknownRun { run: run.clone() })?;
        let program = self.workplace.resumed(store, &row).await;
        let program = program.map_err(|why| StartError::Definition { run: run.clone(), why })?;
        let observer = self.observer(run, &program);
        let resume = Resume { id: run.clone(), program: program.clone(), observer };
        Ok((program, self.engine.resume(resume).await?))
    }

    /// Drives a run until it is settled, waits for a person, or the server stops.
    async fn to_the_end(&self, mut program: Program, mut handle: RunHandle) {
        let id = handle.id().clone();
        loop {
            let report = tokio::select! {
                report = handle.wait() => report,
                () = self.stopping.cancelled() => {
                    handle.interrupt();
                    handle.wait().await
                }
            };
            let status = match report {
                Ok(report) => report.run.status,
                Err(error) => {
                    tracing::error!(run = %id, "{error}");
                    self.live().remove(&id);
                    return;
                }
            };
            if status.has_ended() {
                for line in self.workplace.tidy(&program, self.engine.store(), &id).await {
                    tracing::warn!(run = %id, "{line}");
                }
            }
            let goes_on = {
                let mut live = self.live();
                let answered = live.get(&id).is_some_and(|live| live.answered);
                let goes_on = status == RunStatus::Waiting && answered;
                if goes_on {
                    live.insert(id.clone(), Live::default());
                } else {
                    live.remove(&id);
                }
                goes_on
            };
            if !goes_on {
                return;
            }
            match self.resumed(&id).await {
                Ok(next) => (program, handle) = next,
                Err(error) => {
                    tracing::error!(run = %id, "{error}");
                    self.live().remove(&id);
                    return;
                }
            }
        }
    }
}

/// Passes on what happens in a run.
struct Teller {
    run: RunId,
    workflow: Arc<str>,
    news: broadcast::Sender<News>,
}

impl Observer for Teller {
    fn progress(&self, progress: &Progress) {
        // Nobody may listen.
        let _ = self.news.send(News {
            run: self.run.clone(),
            workflow: Arc::clone(&self.workflow),
            what: progress.clone(),
        });
    }
}
