//! The functions that a guest may call, and what they see of the call it works for.
//!
//! Each asks the grants itself, counts itself, and hands nothing of the store to anybody. What
//! a guest is not granted comes back to it as an error of code `denied`; what would hurt the
//! host ends the call.

pub(crate) mod artifacts;
mod http;
mod kv;
mod llm;
mod small;
mod wasi;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use flow_core::action::{CallUsage, LogSink};
use flow_core::error::Failure;
use flow_core::intake::Intake;
use flow_core::plugin::PluginMemory;
use flow_core::provider::{Answer, Request};
use flow_core::units::Money;
use tokio::sync::{mpsc, oneshot};
use wasmtime::component::{HasSelf, Linker, ResourceTable};
use wasmtime_wasi::WasiCtx;

use crate::bindings::types::Error;
use crate::bindings::{self, provider, step};
use crate::fault::{Ceiling, code_of};
use crate::limiter::Limiter;
use crate::policy::limits::fixed;
use crate::policy::{Denial, Granted};
use crate::seams::Services;
use crate::usage::Used;
use artifacts::FilesOfCall;
pub(crate) use llm::{chat_request, read_answer};
pub(crate) use wasi::Captured;

/// What a guest asks of those who called it, and where the answer goes. While it waits, it does
/// not run; so whoever serves it may call another guest.
pub(crate) enum Asked {
    /// A question to a model.
    Model {
        model: String,
        request: Box<Request>,
        most: Option<Money>,
        answer: oneshot::Sender<Result<(Answer, CallUsage), Failure>>,
    },
    /// A piece of an answer.
    Delta { text: String, answer: oneshot::Sender<bool> },
}

/// What a store holds: one call of one guest.
pub(crate) struct Guest {
    pub(crate) table: ResourceTable,
    wasi: Option<WasiCtx>,
    pub(crate) captured: Captured,
    pub(crate) limiter: Limiter,
    pub(crate) used: Used,
    pub(crate) granted: Arc<Granted>,
    config: Arc<BTreeMap<String, String>>,
    pub(crate) files: FilesOfCall,
    log: LogSink,
    /// The last that it said was an error.
    pub(crate) said: Option<String>,
    memory: Option<Arc<dyn PluginMemory>>,
    services: Services,
    outside: mpsc::UnboundedSender<Asked>,
    pub(crate) deadline: Instant,
    /// The last that it was not granted.
    pub(crate) denied: Option<Denial>,
}

/// What a guest is made of.
pub(crate) struct Making {
    pub(crate) granted: Arc<Granted>,
    pub(crate) config: Arc<BTreeMap<String, String>>,
    pub(crate) intake: Option<Intake>,
    pub(crate) checked: artifacts::Checked,
    pub(crate) log: LogSink,
    pub(crate) memory: Option<Arc<dyn PluginMemory>>,
    pub(crate) services: Services,
    pub(crate) outside: mpsc::UnboundedSender<Asked>,
    pub(crate) deadline: Instant,
}

impl Guest {
    pub(crate) fn new(making: Making) -> Self {
        let Making { granted, config, intake, checked, log, memory, services, outside, deadline } =
            making;
        let mut table = ResourceTable::new();
        table.set_max_capacity(fixed::HANDLES);
        Self {
            table,
            wasi: None,
            captured: Captured::default(),
            limiter: Limiter::new(granted.limits.memory),
            used: Used::nothing(),
            granted,
            config,
            files: FilesOfCall::new(intake, checked),
            log,
            said: None,
            memory,
            services,
            outside,
            deadline,
            denied: None,
        }
    }

    /// Counts a call of the host.
    fn count(&mut self) -> wasmtime::Result<()> {
        self.used.host_calls += 1;
        match self.used.host_calls > fixed::HOST_CALLS {
            true => Err(Ceiling::HostCalls.into()),
            false => Ok(()),
        }
    }

    /// Notes that something was not granted; the error that the guest is told.
    fn deny(&mut self, denial: Denial) -> Error {
        if self.used.denied.len() < 20 {
            self.used.denied.push(denial.to_string());
        }
        let message = match denial.hint() {
            Some(hint) => format!("{denial}; {hint}"),
            None => denial.to_string(),
        };
        self.denied = Some(denial);
        error("denied", message)
    }
}

/// An error as a guest sees it.
fn error(code: &str, message: impl Into<String>) -> Error {
    Error {
        code: code.into(),
        message: message.into(),
        retryable: false,
        retry_after_ms: None,
        extra: "{}".into(),
    }
}

/// A failure of the host's side as a guest sees it.
fn told(failure: &Failure) -> Error {
    let retryable = matches!(code_of(failure.class), "rate-limited" | "timeout" | "unavailable");
    Error {
        code: code_of(failure.class).into(),
        message: failure.message.clone(),
        retryable,
        retry_after_ms: failure.retry_after.map(|wait| wait.as_millis() as u64),
        extra: "{}".into(),
    }
}

/// Says that too many handles are held, or what else is wrong with one.
fn of_table(error: wasmtime::component::ResourceTableError) -> wasmtime::Error {
    match error {
        wasmtime::component::ResourceTableError::Full => Ceiling::Handles.into(),
        other => other.into(),
    }
}

/// Links what every plugin may import.
fn base(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    type Own = HasSelf<Guest>;
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    bindings::types::add_to_linker::<_, Own>(linker, |guest| guest)?;
    bindings::content::add_to_linker::<_, Own>(linker, |guest| guest)?;
    bindings::chat::add_to_linker::<_, Own>(linker, |guest| guest)?;
    bindings::artifacts::add_to_linker::<_, Own>(linker, |guest| guest)?;
    bindings::log::add_to_linker::<_, Own>(linker, |guest| guest)?;
    bindings::config::add_to_linker::<_, Own>(linker, |guest| guest)?;
    bindings::clock::add_to_linker::<_, Own>(linker, |guest| guest)?;
    bindings::kv::add_to_linker::<_, Own>(linker, |guest| guest)?;
    bindings::http::add_to_linker::<_, Own>(linker, |guest| guest)?;
    bindings::llm::add_to_linker::<_, Own>(linker, |guest| guest)
}

/// What a step may import.
pub(crate) fn for_steps(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    base(&mut linker)?;
    Ok(linker)
}

/// What a provider may import.
pub(crate) fn for_providers(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    base(&mut linker)?;
    provider::flow::plugin::progress::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |g| g)?;
    Ok(linker)
}

// Interfaces that hold types alone.
impl step::flow::plugin::types::Host for Guest {}
impl step::flow::plugin::content::Host for Guest {}
impl step::flow::plugin::chat::Host for Guest {}
