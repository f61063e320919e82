//! Errors as people read them, and the codes the process ends with.

use std::fmt;
use std::process::ExitCode;

use flow_core::engine::EngineError;
use flow_core::error::{ErrorClass, Failure};
use flow_core::store::{RunStatus, StoreError};
use flow_llama::store as models;

use crate::output;

/// The codes the process ends with; documented in `docs/cli.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// A run failed, or the command could not be carried out.
    Failed = 1,
    /// The workflow or the command line is wrong.
    Invalid = 2,
    /// A run waits for a person.
    Waiting = 3,
    /// A budget did not allow a call.
    Budget = 4,
    /// Interrupted.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// The code for how a run stands, given the class of the failure that decided.
    pub(crate) fn of_run(status: RunStatus, class: Option<ErrorClass>) -> Self {
        match status {
            RunStatus::Succeeded => Self::Done,
            RunStatus::Failed if class == Some(ErrorClass::Budget) => Self::Budget,
            RunStatus::Failed | RunStatus::Cancelled => Self::Failed,
            RunStatus::Waiting => Self::Waiting,
            RunStatus::Running | RunStatus::Interrupted => Self::Interrupted,
        }
    }
}

/// Why a command was not carried out.
#[derive(Debug)]
pub(crate) struct CommandError {
    pub(crate) exit: Exit,
    pub(crate) message: String,
    pub(crate) hints: Vec<String>,
}

impl CommandError {
    /// The command could not be carried out.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, message: message.into(), hints: Vec::new() }
    }

    /// What was asked for makes no sense.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self { exit: Exit::Invalid, message: message.into(), hints: Vec::new() }
    }

    /// Adds what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}", self.message)?;
        self.hints.iter().try_for_each(|hint| writeln!(f, "hint: {hint}"))
    }
}

impl From<EngineError> for CommandError {
    fn from(error: EngineError) -> Self {
        let exit = match &error {
            EngineError::Input(failure) if failure.class == ErrorClass::Input => Exit::Invalid,
            EngineError::UnknownRun { .. }
            | EngineError::NothingAsked { .. }
            | EngineError::Answered { .. }
            | EngineError::OutputWanted { .. }
            | EngineError::NoOutputWanted { .. }
            | EngineError::Unfit { .. }
            | EngineError::Ended { .. } => Exit::Invalid,
            EngineError::Input(_)
            | EngineError::Store(_)
            | EngineError::Lock(_)
            | EngineError::Illegal(_)
            | EngineError::Stuck { .. } => Exit::Failed,
        };
        let hints = error.hint().into_iter().collect();
        Self { exit, message: error.to_string(), hints }
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        let exit = match &error {
            StoreError::UnknownRun { .. } | StoreError::AmbiguousRun { .. } => Exit::Invalid,
            _ => Exit::Failed,
        };
        let hints = error.hint().map(str::to_owned).into_iter().collect();
        Self { exit, message: error.to_string(), hints }
    }
}

impl From<Failure> for CommandError {
    fn from(failure: Failure) -> Self {
        let wrong = failure.class == ErrorClass::Input;
        let exit = if wrong { Exit::Invalid } else { Exit::Failed };
        Self { exit, message: failure.message, hints: failure.hint.into_iter().collect() }
    }
}

impl From<models::StoreError> for CommandError {
    fn from(error: models::StoreError) -> Self {
        let wrong =
            matches!(error, models::StoreError::Unknown { .. } | models::StoreError::NoFile(_));
        let exit = if wrong { Exit::Invalid } else { Exit::Failed };
        Self { exit, message: error.to_string(), hints: error.hint().into_iter().collect() }
    }
}

impl From<std::io::Error> for CommandError {
    fn from(error: std::io::Error) -> Self {
        Self::failed(error.to_string())
    }
}

/// Reports an error and says how the process ends.
pub(crate) fn failed(error: &CommandError) -> ExitCode {
    output::note(&error.to_string());
    error.exit.into()
}

/// Reports a wrong command line, or prints the help that was asked for.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    match error.exit_code() {
        0 => Exit::Done.into(),
        _ => Exit::Invalid.into(),
    }
}
