//! What can go wrong with a plugin: with its file, with a call, or by its own word.

use std::path::PathBuf;
use std::time::Duration;

use flow_core::error::{ErrorClass, Failure};

use crate::compile::CompileError;
use crate::descriptor::DescriptorFault;
use crate::inspect::Unfit;
use crate::policy::{Denial, limits::fixed};

/// Why a file cannot be used as a plugin.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is no plugin for this host.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// It was not compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The compiled code cannot be kept.
    #[error(transparent)]
    Cache(#[from] flow_plugin_cache::CacheError),
    /// It wants more than any plugin is given.
    #[error("it wants {0}")]
    Ceiling(Ceiling),
    /// It does not link.
    #[error("{0}")]
    Link(String),
    /// It does not say what it is.
    #[error("its description cannot be had: {0}")]
    Describe(Box<CallFault>),
    /// What it says of itself is wrong.
    #[error("its description is wrong: {0}")]
    Descriptor(#[from] DescriptorFault),
    /// It is not what was pinned.
    #[error("its hash is sha256:{found}, and sha256:{wanted} is asked for")]
    Hash {
        /// What it is.
        found: String,
        /// What was pinned.
        wanted: String,
    },
    /// It cannot be read.
    #[error("cannot read `{}`: {why}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// wasmtime cannot be used on this machine.
    #[error("the sandbox cannot be set up: {0}")]
    Sandbox(String),
}

impl LoadError {
    /// What can be done about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unfit(unfit) => unfit.hint().map(str::to_owned),
            Self::Compile(CompileError::Refused { .. }) => Some("build it again".into()),
            Self::Compile(CompileError::Time { .. } | CompileError::Memory { .. }) => {
                Some("do not use it: plugins that are sound compile in seconds".into())
            }
            Self::Hash { .. } => Some("it was changed since it was pinned".into()),
            Self::Cache(_) => Some("see the folder `plugins` in flow's cache".into()),
            Self::Describe(fault) => fault.hint(),
            Self::Compile(CompileError::Process(_))
            | Self::Ceiling(_)
            | Self::Link(_)
            | Self::Descriptor(_)
            | Self::Read { .. }
            | Self::Sandbox(_) => None,
        }
    }
}

/// A limit that was in the way of a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ceiling {
    /// Of all memories together.
    #[error("more than {limit} bytes of memory")]
    Memory {
        /// Bytes.
        limit: u64,
    },
    /// Of all tables together.
    #[error("more than {limit} elements of tables")]
    Table {
        /// Elements.
        limit: usize,
    },
    /// Of instances, memories or tables.
    #[error(
        "more than {} instances, {} memories or {} tables",
        fixed::INSTANCES,
        fixed::MEMORIES,
        fixed::TABLES
    )]
    Instances,
    /// Of files and other handles.
    #[error("more than {} handles at once", fixed::HANDLES)]
    Handles,
    /// Of the output.
    #[error("more than {limit} bytes of output")]
    Output {
        /// Bytes.
        limit: u64,
    },
    /// Of lines for the log.
    #[error("more than {limit} bytes of log")]
    Log {
        /// Bytes.
        limit: u64,
    },
    /// Of what one call of the host brings along.
    #[error("more than {} bytes in one call of the host", fixed::HOSTCALL)]
    Hostcall,
    /// Of calls of the host.
    #[error("more than {} calls of the host", fixed::HOST_CALLS)]
    HostCalls,
    /// Of plugins that call each other through models.
    #[error("plugins that call each other more than {} deep", fixed::DEPTH)]
    Depth,
}

/// How a guest fell over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap {
    /// In wasmtime's words, without its addresses.
    pub what: String,
    /// The functions that were on the stack, the innermost first.
    pub stack: Vec<String>,
    /// The last that it wrote to stderr or to the log as an error: a panic's message, a
    /// traceback.
    pub said: Option<String>,
}

/// Why a call did not succeed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallFault {
    /// A limit was in its way.
    #[error("it wants {0}")]
    Ceiling(Ceiling),
    /// Its time is over.
    #[error("it did not end within {limit:?}")]
    Deadline {
        /// The limit.
        limit: Duration,
    },
    /// It fell over.
    #[error("{}", trapped(.0))]
    Trap(Trap),
    /// It says that it failed.
    #[error("{message}")]
    Said {
        /// Its word for what went wrong.
        code: String,
        /// What went wrong.
        message: String,
        /// Whether it may work a little later.
        retryable: bool,
        /// How long to wait before.
        retry_after: Option<Duration>,
        /// What it was not granted before it said so.
        denied: Option<Denial>,
    },
    /// What it gave back is not what was asked for.
    #[error("{0}")]
    Output(String),
    /// The run is being stopped.
    #[error("the call was stopped")]
    Stopped,
    /// The host is at fault.
    #[error("the sandbox failed: {0}")]
    Sandbox(String),
}

fn trapped(trap: &Trap) -> String {
    let said = trap.said.as_deref().map(|said| format!(": {said}")).unwrap_or_default();
    let stack: Vec<_> = trap.stack.iter().take(3).map(String::as_str).collect();
    let place =
        if stack.is_empty() { String::new() } else { format!(" (in {})", stack.join(" ← ")) };
    format!("it stopped with `{}`{said}{place}", trap.what)
}

impl CallFault {
    /// What can be done about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Ceiling(Ceiling::Memory { .. }) => Some(raise("memory")),
            Self::Ceiling(Ceiling::Output { .. }) => Some(raise("output")),
            Self::Ceiling(Ceiling::Log { .. }) => Some(raise("log")),
            Self::Deadline { .. } => Some(raise("deadline")),
            Self::Said { denied, .. } => denied.as_ref()?.hint().map(str::to_owned),
            Self::Trap(_) => Some("this is a fault of the plugin: tell its author".into()),
            Self::Ceiling(
                Ceiling::Table { .. }
                | Ceiling::Instances
                | Ceiling::Handles
                | Ceiling::Hostcall
                | Ceiling::HostCalls
                | Ceiling::Depth,
            )
            | Self::Output(_)
            | Self::Stopped
            | Self::Sandbox(_) => None,
        }
    }

    /// The failure of an attempt that called plugin `name`.
    pub fn into_failure(self, name: &str) -> Failure {
        let hint = self.hint();
        let class = self.class();
        let retry_after = match &self {
            Self::Said { retry_after, .. } => *retry_after,
            Self::Ceiling(_)
            | Self::Deadline { .. }
            | Self::Trap(_)
            | Self::Output(_)
            | Self::Stopped
            | Self::Sandbox(_) => None,
        };
        let failure = Failure::new(class, format!("plugin `{name}`: {self}"));
        let failure = Failure { retry_after, ..failure };
        match hint {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }

    fn class(&self) -> ErrorClass {
        match self {
            Self::Ceiling(_) => ErrorClass::Limit,
            Self::Deadline { .. } => ErrorClass::Timeout,
            Self::Trap(_) => ErrorClass::Plugin,
            Self::Said { code, retryable, .. } => class_of(code, *retryable),
            Self::Output(_) => ErrorClass::InvalidOutput,
            Self::Stopped => ErrorClass::Cancelled,
            Self::Sandbox(_) => ErrorClass::Internal,
        }
    }
}

fn raise(limit: &str) -> String {
    format!("raise `{limit}` under `limits:` of the plugin, if you trust it")
}

/// What a plugin's word means for the attempt. Whether there is another follows from the class,
/// so that its word is taken where it says that there should be none, and, among what passes by
/// itself, where it says that there should be one.
fn class_of(code: &str, retryable: bool) -> ErrorClass {
    match (code, retryable) {
        ("invalid-input", _) => ErrorClass::Input,
        ("invalid-config" | "unsupported", _) => ErrorClass::BadRequest,
        ("not-found", _) => ErrorClass::NotFound,
        ("too-large", _) => ErrorClass::TooLarge,
        ("rate-limited", true) => ErrorClass::RateLimit,
        ("timeout", true) => ErrorClass::Timeout,
        ("unavailable", true) => ErrorClass::Overloaded,
        ("denied", _) | (_, false) => ErrorClass::Plugin,
        (_, true) => ErrorClass::Server,
    }
}

/// The words of plugins for classes of failures, for what a host function says to a guest.
pub(crate) fn code_of(class: ErrorClass) -> &'static str {
    match class {
        ErrorClass::RateLimit => "rate-limited",
        ErrorClass::Timeout => "timeout",
        ErrorClass::Overloaded | ErrorClass::Connection | ErrorClass::Server => "unavailable",
        ErrorClass::NotFound => "not-found",
        ErrorClass::TooLarge | ErrorClass::Limit => "too-large",
        ErrorClass::Input => "invalid-input",
        ErrorClass::BadRequest => "unsupported",
        ErrorClass::Budget | ErrorClass::Auth | ErrorClass::Quota => "denied",
        ErrorClass::Refusal
        | ErrorClass::ContentFilter
        | ErrorClass::Truncated
        | ErrorClass::Empty
        | ErrorClass::InvalidOutput
        | ErrorClass::Io
        | ErrorClass::Plugin
        | ErrorClass::Cancelled
        | ErrorClass::Internal => "internal",
    }
}
