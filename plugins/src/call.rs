//! One call of a guest: a store of its own, within its limits, from its first instruction to
//! its last.
//!
//! ```text
//! slot ─▶ store ─▶ instantiate ─▶ call ─▶ what it gave back
//!          │         └──────┬───────┘
//!          │    in turn, until the deadline, or somebody says stop
//!          └─ meanwhile what it asks of its caller is answered here, outside of the guest
//! ```
//!
//! After a trap a store is dead, so that none is used twice; with memory reserved beforehand a
//! new one costs microseconds. The deadline counts from before the instantiation, for a module
//! may loop in its `start`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flow_core::action::LogSink;
use flow_core::artifact::{ArtifactRef, for_each_artifact};
use flow_core::intake::Intake;
use flow_core::plugin::PluginMemory;
use flow_core::provider::Request;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wasmtime::{Store, UpdateDeadline, WasmBacktrace};

use crate::bindings::{chat, content, provider, step, types};
use crate::fault::{CallFault, Ceiling, Trap};
use crate::host::{Asked, Guest, Making, chat_request};
use crate::output;
use crate::policy::Granted;
use crate::policy::limits::fixed;
use crate::sandbox::{Linked, Sandbox};
use crate::seams::Outside;
use crate::turns::InTurn;
use crate::usage::Used;

tokio::task_local! {
    /// How many plugins called each other, through models, to come to this one.
    static DEPTH: usize;
}

/// Functions of the stack that are kept of a trap.
const FRAMES: usize = 12;

/// Who calls, and with what.
pub struct Call<'c> {
    /// The run; empty where there is none.
    pub run: &'c str,
    /// The step; empty where there is none.
    pub step: &'c str,
    /// From 1.
    pub attempt: u32,
    /// What the plugin may do and use.
    pub granted: &'c Arc<Granted>,
    /// Its settings: texts as they are, anything else as JSON text.
    pub config: &'c Arc<BTreeMap<String, String>>,
    /// Where its files are; none where it has none.
    pub intake: Option<&'c Intake>,
    /// Takes its lines.
    pub log: LogSink,
    /// What it remembers; none where nothing is.
    pub memory: Option<Arc<dyn PluginMemory>>,
    /// What it reaches of the run.
    pub outside: &'c dyn Outside,
    /// Cancelled when it must end.
    pub cancel: CancellationToken,
}

/// What a call came to, and what it used, whichever way it ended.
#[derive(Debug)]
pub struct Came<T> {
    /// How it ended.
    pub result: Result<T, CallFault>,
    /// What it used.
    pub used: Used,
}

/// What a guest is to do.
pub(crate) enum Task<'t> {
    Describe,
    Models,
    Step { input: &'t Value },
    Complete { request: &'t Request },
}

/// What it gave back.
enum Given {
    Text(String),
    Step(Result<(String, Vec<content::Part>), types::Error>),
    Answer(Result<chat::Response, types::Error>),
}

/// What a guest did, as its caller wants it.
pub(crate) enum Did {
    /// It said something.
    Text(String),
    /// Its output, with the files in it.
    Output(Value),
    /// It answered.
    Answer(chat::Response),
}

/// The end of a call's time, as an error that stops the guest.
#[derive(Debug, thiserror::Error)]
#[error("out of time")]
struct OutOfTime;

/// Makes a call.
///
/// Dropping the future stops the guest where it stands.
pub(crate) async fn call(
    sandbox: &Sandbox,
    linked: &Linked,
    call: &Call<'_>,
    task: Task<'_>,
) -> Came<Did> {
    let began = Instant::now();
    let depth = DEPTH.try_with(|depth| *depth).unwrap_or(0);
    if depth >= fixed::DEPTH {
        return Came { result: Err(CallFault::Ceiling(Ceiling::Depth)), used: Used::nothing() };
    }
    let limit = call.granted.limits.deadline;
    let _slot = tokio::select! {
        slot = sandbox.slot(depth) => slot,
        () = call.cancel.cancelled() => return stopped(),
    };
    let (outside, mut asked) = mpsc::unbounded_channel();
    let deadline = Instant::now() + limit;
    let mut store = store(sandbox, call, outside, deadline);
    let _ticking = sandbox.ticker.tick();
    let (result, at_work) = {
        let guest = InTurn::new(run(&mut store, linked, call, task), &sandbox.seats);
        let mut guest = std::pin::pin!(guest);
        let mut timer = std::pin::pin!(tokio::time::sleep_until(deadline.into()));
        let mut serving = std::pin::pin!(DEPTH.scope(depth + 1, serve(call.outside, &mut asked)));
        tokio::select! {
            biased;
            (result, at_work) = &mut guest => (result.map_err(Stop::Wasm), at_work),
            () = &mut serving => (Err(Stop::Cancelled), Duration::ZERO),
            () = &mut timer => (Err(Stop::Time), began.elapsed()),
            () = call.cancel.cancelled() => (Err(Stop::Cancelled), began.elapsed()),
        }
    };
    let result = match result {
        Ok(given) => did(given, store.data_mut()).await,
        Err(stop) => Err(fault(stop, store.data(), limit)),
    };
    let guest = store.data_mut();
    guest.tell_captured(&call.log);
    let mut used = std::mem::take(&mut guest.used);
    used.memory = guest.limiter.memory();
    (used.time, used.at_work) = (began.elapsed(), at_work);
    Came { result, used }
}

/// Makes of what a guest gave back what its caller wants, while its files can still be told
/// from others.
async fn did(given: Given, guest: &mut Guest) -> Result<Did, CallFault> {
    match given {
        Given::Text(text) => {
            guest.count_output(text.len())?;
            Ok(Did::Text(text))
        }
        Given::Step(Ok((value, parts))) => {
            output::read(guest, &value, parts).await.map(Did::Output)
        }
        Given::Answer(Ok(response)) => Ok(Did::Answer(response)),
        Given::Step(Err(error)) | Given::Answer(Err(error)) => Err(CallFault::Said {
            code: error.code,
            message: error.message,
            retryable: error.retryable,
            retry_after: error.retry_after_ms.map(Duration::from_millis),
            denied: guest.denied.take(),
        }),
    }
}

fn stopped<T>() -> Came<T> {
    Came { result: Err(CallFault::Stopped), used: Used::nothing() }
}

/// Answers what the guest asks, for as long as it may ask.
async fn serve(outside: &dyn Outside, asked: &mut mpsc::UnboundedReceiver<Asked>) {
    while let Some(asked) = asked.recv().await {
        // Who asked may have been stopped meanwhile; the answer is then nobody's.
        match asked {
            Asked::Delta { text, answer } => drop(answer.send(outside.delta(&text))),
            Asked::Model { model, request, most, answer } => {
                drop(answer.send(outside.ask(&model, *request, most).await));
            }
        }
    }
    // Only the guest can end the call.
    std::future::pending::<()>().await;
}

fn store(
    sandbox: &Sandbox,
    call: &Call<'_>,
    outside: mpsc::UnboundedSender<Asked>,
    deadline: Instant,
) -> Store<Guest> {
    let guest = Guest::new(Making {
        granted: Arc::clone(call.granted),
        config: Arc::clone(call.config),
        intake: call.intake.cloned(),
        checked: Arc::clone(&sandbox.checked),
        log: Arc::clone(&call.log),
        memory: call.memory.clone(),
        services: sandbox.services.clone(),
        outside,
        deadline,
    });
    let mut store = Store::new(&sandbox.engine, guest);
    store.limiter(|guest| &mut guest.limiter);
    store.set_hostcall_fuel(fixed::HOSTCALL);
    store.set_max_component_handles(fixed::HANDLES);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| {
        if Instant::now() >= deadline {
            return Err(OutOfTime.into());
        }
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
    });
    store
}

async fn run(
    store: &mut Store<Guest>,
    linked: &Linked,
    call: &Call<'_>,
    task: Task<'_>,
) -> wasmtime::Result<Given> {
    match linked {
        Linked::Step(plugin) => {
            let plugin = plugin.instantiate_async(&mut *store).await?;
            match task {
                Task::Step { input } => run_step(store, &plugin, call, input).await,
                Task::Describe | Task::Models | Task::Complete { .. } => {
                    let text = plugin.flow_plugin_meta().call_describe(store).await?;
                    Ok(Given::Text(text))
                }
            }
        }
        Linked::Provider(plugin) => {
            let plugin = plugin.instantiate_async(&mut *store).await?;
            match task {
                Task::Complete { request } => complete(store, &plugin, call, request).await,
                Task::Models => {
                    let text = plugin.flow_plugin_provider().call_models(store).await?;
                    Ok(Given::Text(text))
                }
                Task::Describe | Task::Step { .. } => {
                    let text = plugin.flow_plugin_meta().call_describe(store).await?;
                    Ok(Given::Text(text))
                }
            }
        }
    }
}

async fn run_step(
    store: &mut Store<Guest>,
    plugin: &step::StepPlugin,
    call: &Call<'_>,
    input: &Value,
) -> wasmtime::Result<Given> {
    use step::exports::flow::plugin::step::Context;
    let parts = parts_of(store.data_mut(), input)?;
    let context = Context {
        run_id: call.run.to_owned(),
        step_id: call.step.to_owned(),
        attempt: call.attempt,
        extra: "{}".into(),
    };
    let input = input.to_string();
    let ran = plugin.flow_plugin_step().call_run(store, &context, &input, &parts).await?;
    Ok(Given::Step(ran.map(|output| (output.value, output.parts))))
}

async fn complete(
    store: &mut Store<Guest>,
    plugin: &provider::ProviderPlugin,
    call: &Call<'_>,
    request: &Request,
) -> wasmtime::Result<Given> {
    use provider::exports::flow::plugin::provider::Context;
    let context = Context {
        run_id: call.run.to_owned(),
        step_id: call.step.to_owned(),
        attempt: call.attempt,
        extra: "{}".into(),
    };
    let request = chat_request(store.data_mut(), request)?;
    let answered = plugin.flow_plugin_provider().call_complete(store, &context, &request).await?;
    Ok(Given::Answer(answered))
}

/// The files that an input names, as handles: each once, in the order of their first place.
fn parts_of(guest: &mut Guest, input: &Value) -> wasmtime::Result<Vec<content::Part>> {
    use content::{Body, Part};
    let mut files: Vec<ArtifactRef> = Vec::new();
    for_each_artifact(input, &mut |artifact| {
        if !files.iter().any(|file| file.hash == artifact.hash) {
            files.push(artifact);
        }
    });
    let part = |artifact: ArtifactRef| {
        let (media_type, name) = (artifact.media_type.clone(), Some(artifact.name.clone()));
        let body = Body::Artifact(guest.handle(artifact)?);
        Ok(Part { media_type, name, body })
    };
    files.into_iter().map(part).collect()
}

/// Why a guest did not come to its end.
enum Stop {
    Wasm(wasmtime::Error),
    Time,
    Cancelled,
}

/// What it means that a guest did not come to its end.
fn fault(stop: Stop, guest: &Guest, limit: Duration) -> CallFault {
    let error = match stop {
        Stop::Wasm(error) => error,
        Stop::Time => return CallFault::Deadline { limit },
        Stop::Cancelled => return CallFault::Stopped,
    };
    if error.downcast_ref::<OutOfTime>().is_some() {
        return CallFault::Deadline { limit };
    }
    if let Some(ceiling) = error.downcast_ref::<Ceiling>() {
        return CallFault::Ceiling(ceiling.clone());
    }
    // Who was refused memory may stop in any way.
    if let Some(ceiling) = guest.limiter.hit() {
        return CallFault::Ceiling(ceiling.clone());
    }
    let words = format!("{error:#}");
    if let Some(ceiling) = ceiling_in(&words) {
        return CallFault::Ceiling(ceiling);
    }
    if error.downcast_ref::<wasmtime::PoolConcurrencyLimitError>().is_some() {
        return CallFault::Sandbox(words);
    }
    let what = match error.downcast_ref::<wasmtime::Trap>() {
        Some(trap) => trap.to_string().trim_start_matches("wasm trap: ").to_owned(),
        None => error.root_cause().to_string(),
    };
    let stack = error.downcast_ref::<WasmBacktrace>();
    let frames = stack.into_iter().flat_map(WasmBacktrace::frames);
    let named = frames.filter_map(|frame| frame.func_name().map(str::to_owned));
    let stack = named.take(FRAMES).collect();
    CallFault::Trap(Trap { what, stack, said: guest.last_words() })
}

/// The limit that wasmtime says was in the way. It has no types for these; tests hold the words.
pub(crate) fn ceiling_in(words: &str) -> Option<Ceiling> {
    if words.contains("count too high") || words.contains("exceeds the configured maximum of") {
        return Some(Ceiling::Instances);
    }
    if words.contains("store handle limit exceeded") {
        return Some(Ceiling::Handles);
    }
    words.contains("fuel allocated for hostcalls").then_some(Ceiling::Hostcall)
}

impl Guest {
    /// The last that it said of an error: to the log, else to stderr.
    fn last_words(&self) -> Option<String> {
        let text = match &self.said {
            Some(said) => said.clone(),
            None => self.captured.text(),
        };
        let text = text.trim();
        // The end of a traceback names the error, its beginning does not.
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(8)..];
        (!last.is_empty()).then(|| last.join("\n"))
    }

    /// Counts what it gave back.
    pub(crate) fn count_output(&mut self, bytes: usize) -> Result<(), CallFault> {
        self.used.output += bytes as u64;
        let limit = self.granted.limits.output;
        match self.used.output > limit {
            true => Err(CallFault::Ceiling(Ceiling::Output { limit })),
            false => Ok(()),
        }
    }

    /// Puts what it wrote to stdout and stderr into the log.
    fn tell_captured(&self, log: &LogSink) {
        for line in self.captured.text().lines() {
            log(line);
        }
    }
}
