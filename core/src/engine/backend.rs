//! The seam between those who want runs and what drives them.
//!
//! A [`Backend`] takes a checked workflow and brings it to its end; [`Embedded`] is the one
//! there is. Nothing here assumes where a run is driven: it is named by its id, an answer or a
//! wish to stop goes through the backend, and what it came to is a value.
//!
//! [`Embedded`]: super::Embedded

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::content::ContentHash;
use crate::engine::observer::Observer;
use crate::error::Failure;
use crate::ids::{InstancePath, RunId};
use crate::language::Workflow;
use crate::state::IllegalTransition;
use crate::store::{ApprovalRow, LockError, RunRow, RunStatus, StoreError};
use crate::template::StepView;

/// Takes workflows to their end.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Starts a run. When this returns the run is durable and will be driven as long as the
    /// handle lives.
    ///
    /// Dropping the future leaves the run started and driven by nobody, or no run at all.
    async fn submit(&self, submission: Submission) -> Result<RunHandle, EngineError>;

    /// Takes a run up again, whether it failed, was interrupted, waits, or lost its process.
    ///
    /// Dropping the future leaves the run as it was, or as one whose process died.
    async fn resume(&self, resume: Resume) -> Result<RunHandle, EngineError>;

    /// Waits until nobody drives the run any more, and says how it stands then.
    ///
    /// Dropping the future changes nothing.
    async fn attach(&self, run: &RunId) -> Result<RunRow, EngineError>;

    /// Asks whoever drives the run to stop it; what is driven by nobody is cancelled here.
    ///
    /// Dropping the future does it or not.
    async fn cancel(&self, run: &RunId) -> Result<(), EngineError>;

    /// Answers a question of the run. It goes on when it is resumed.
    ///
    /// Dropping the future answers it or not.
    async fn approve(
        &self,
        run: &RunId,
        path: &InstancePath,
        answer: Answer,
    ) -> Result<(), EngineError>;
}

/// A workflow that passed the checker, and all it was made from.
#[derive(Clone, Debug)]
pub struct Program {
    /// The workflow.
    pub workflow: Arc<Workflow>,
    /// Hash of its definition.
    pub definition: ContentHash,
    /// Its definition, kept with the run so that it can be checked again.
    pub bundle: Value,
    /// The folder that its paths are relative to.
    pub folder: PathBuf,
}

/// A run to be started.
pub struct Submission {
    /// Its id.
    pub id: RunId,
    /// What it runs.
    pub program: Program,
    /// Its inputs, bound to the workflow's types; files as paths.
    pub inputs: Map<String, Value>,
    /// Who watches it.
    pub observer: Arc<dyn Observer>,
}

/// A run to be taken up again.
pub struct Resume {
    /// Its id.
    pub id: RunId,
    /// What it goes on with.
    pub program: Program,
    /// Who watches it.
    pub observer: Arc<dyn Observer>,
}

/// A person's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether the person approves.
    pub approved: bool,
    /// What the person wrote beside it.
    pub comment: Option<String>,
    /// The output of the step, where that is what it asks for.
    pub output: Option<Value>,
}

impl Answer {
    /// Whether it is one to the question: with the output that is asked for, or without.
    pub(super) fn fits(&self, question: &ApprovalRow) -> Result<(), EngineError> {
        let (run, path) = (question.run.clone(), question.path.clone());
        match (question.output_schema().filter(|_| self.approved), &self.output) {
            (None, None) => Ok(()),
            (None, Some(_)) => Err(EngineError::NoOutputWanted { run, path }),
            (Some(_), None) => Err(EngineError::OutputWanted { run, path }),
            (Some(schema), Some(output)) => {
                // The workflow's check has seen the schema.
                let validator = jsonschema::validator_for(schema)
                    .map_err(|error| Failure::internal(format!("the schema is none: {error}")))?;
                let faults: Vec<_> = validator
                    .iter_errors(output)
                    .take(3)
                    .map(|fault| {
                        let place = fault.instance_path().to_string();
                        if place.is_empty() {
                            fault.to_string()
                        } else {
                            format!("at `{place}`: {fault}")
                        }
                    })
                    .collect();
                match faults.is_empty() {
                    true => Ok(()),
                    false => Err(EngineError::Unfit { run, path, why: faults.join("; ") }),
                }
            }
        }
    }
}

/// What driving a run came to.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// The run as it stands.
    pub run: RunRow,
    /// The failure that decided, of a failed run.
    pub failure: Option<Failure>,
    /// The workflow's own steps that are settled, by id.
    pub steps: BTreeMap<String, Arc<StepView>>,
}

/// Why the engine cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The store failed; the run can be resumed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Somebody else drives the run, or the lock cannot be had.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The run cannot begin.
    #[error(transparent)]
    Input(#[from] Failure),
    /// The run is not known.
    #[error("there is no run `{run}`")]
    UnknownRun {
        /// Its id.
        run: RunId,
    },
    /// Nobody asked that.
    #[error("run {run} asks nothing at `{path}`")]
    NothingAsked {
        /// The run.
        run: RunId,
        /// The instance.
        path: InstancePath,
    },
    /// It was answered before.
    #[error("the question of run {run} at `{path}` is answered already")]
    Answered {
        /// The run.
        run: RunId,
        /// The instance.
        path: InstancePath,
    },
    /// The output that a step asks for was not given.
    #[error("run {run} asks for the output of `{path}`")]
    OutputWanted {
        /// The run.
        run: RunId,
        /// The instance.
        path: InstancePath,
    },
    /// An output was given that nobody asked for.
    #[error("run {run} asks for a yes or a no at `{path}`, not for an output")]
    NoOutputWanted {
        /// The run.
        run: RunId,
        /// The instance.
        path: InstancePath,
    },
    /// The output that was given does not fit.
    #[error("the output of `{path}` is not what is asked for: {why}")]
    Unfit {
        /// The run.
        run: RunId,
        /// The instance.
        path: InstancePath,
        /// What is wrong.
        why: String,
    },
    /// The run has ended, and there is nothing to stop.
    #[error("run {run} is {status} already")]
    Ended {
        /// The run.
        run: RunId,
        /// How it ended.
        status: RunStatus,
    },
    /// flow is at fault: an event did not fit.
    #[error("internal error: {0}")]
    Illegal(#[from] IllegalTransition),
    /// flow is at fault: nothing may begin, and the run has not ended.
    #[error("internal error: run {run} cannot go on")]
    Stuck {
        /// The run.
        run: RunId,
    },
}

impl EngineError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint().map(str::to_owned),
            Self::Lock(error) => error.hint().map(str::to_owned),
            Self::Input(failure) => failure.hint.clone(),
            Self::UnknownRun { .. } => Some("`flow runs` lists the runs".into()),
            Self::NothingAsked { run, .. } => Some(format!("`flow show {run}` lists what it asks")),
            Self::Answered { run, .. } => Some(format!("`flow resume {run}` goes on")),
            Self::OutputWanted { .. } => {
                Some("give it by `--output JSON`, or `--reject` for none".into())
            }
            Self::NoOutputWanted { .. } => Some("leave `--output` out".into()),
            Self::Unfit { run, .. } => {
                Some(format!("`flow show {run} --json` shows what is asked for"))
            }
            Self::Ended { .. } => None,
            Self::Illegal(_) | Self::Stuck { .. } => Some("please report it".into()),
        }
    }
}

/// A run that is being driven. Dropping it stops driving where it stands.
pub struct RunHandle {
    pub(super) id: RunId,
    pub(super) task: AbortOnDropHandle<Result<RunReport, EngineError>>,
    pub(super) cancel: CancellationToken,
    pub(super) interrupted: Arc<AtomicBool>,
}

impl RunHandle {
    /// The run's id.
    pub fn id(&self) -> &RunId {
        &self.id
    }

    /// Asks the run to stop so that it can be taken up again.
    pub fn interrupt(&self) {
        self.interrupted.store(true, Ordering::SeqCst);
        self.cancel.cancel();
    }

    /// Waits until the run is settled, waits for a person, or is stopped.
    ///
    /// Answers once. Dropping the future before changes nothing: the run is driven as long as
    /// the handle lives, and can be waited for again.
    pub async fn wait(&mut self) -> Result<RunReport, EngineError> {
        match (&mut self.task).await {
            Ok(report) => report,
            Err(_) => Err(EngineError::Stuck { run: self.id.clone() }),
        }
    }
}
