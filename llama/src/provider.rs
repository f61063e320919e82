//! The provider `llama`: a request becomes a question to the process of its model, and what
//! that tells becomes an answer or a failure.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use flow_core::action::{Admission, CallUsage, Quote, Speed};
use flow_core::error::{ErrorClass, Failure};
use flow_core::provider::{Answer, CallContext, Capabilities, Part, Provider, Request};
use flow_core::units::Money;
use serde_json::json;

use crate::ask;
use crate::header::Headers;
use crate::hosts::{Answering, HostProgram, Hosts, Machine, Need, Process, Turn, planned};
use crate::model::{LocalModel, LocalModels};
use crate::protocol::{Finish, FromHost, Load, Took};
use crate::settings::{self, Choosing, Settings};

/// What runs local models, shared by all providers of the kind.
#[derive(Clone)]
pub struct Runtime(Arc<Shared>);

struct Shared {
    program: Option<HostProgram>,
    machine: OnceLock<Machine>,
    hosts: OnceLock<Hosts>,
    headers: Headers,
}

/// Local models.
pub struct Llama {
    /// The provider's name in the workflow.
    name: String,
    settings: Settings,
    runtime: Runtime,
    models: Arc<dyn LocalModels>,
    /// A number nobody can foresee, for requests without a seed.
    random: fn() -> u32,
}

/// A request that can be asked.
struct Prepared {
    model: LocalModel,
    load: Load,
    need: Need,
    choosing: Choosing,
}

impl Runtime {
    /// What runs models in processes of this program; none where llama.cpp is not built in.
    pub fn new(program: Option<HostProgram>) -> Self {
        let (machine, hosts) = (OnceLock::new(), OnceLock::new());
        Self(Arc::new(Shared { program, machine, hosts, headers: Headers::default() }))
    }

    /// Whether there is a program to run models in.
    pub fn is_built_in(&self) -> bool {
        self.0.program.is_some()
    }

    /// What this machine had when that was first asked.
    fn machine(&self, memory: Option<u64>) -> Machine {
        let machine = *self.0.machine.get_or_init(Machine::here);
        Machine { usable: memory.unwrap_or(machine.usable), ..machine }
    }

    fn hosts(&self, budget: u64) -> Result<&Hosts, Failure> {
        let Some(program) = &self.0.program else { return Err(not_built_in()) };
        Ok(self.0.hosts.get_or_init(|| Hosts::new(program.clone(), budget)))
    }
}

/// What a workflow is told where llama.cpp is not built in.
pub fn not_built_in() -> Failure {
    Failure::new(ErrorClass::NotFound, "this `flow` was built without local models")
        .with_hint("build it with its feature `llama`, which is the default; or ask `ollama/…`")
}

impl Llama {
    /// The provider of this name.
    pub fn new(
        name: impl Into<String>,
        settings: Settings,
        runtime: Runtime,
        models: Arc<dyn LocalModels>,
        random: fn() -> u32,
    ) -> Self {
        Self { name: name.into(), settings, runtime, models, random }
    }

    /// What is asked of which model, and what that takes; or why it cannot be.
    fn prepared(&self, request: &Request) -> Result<Prepared, Failure> {
        let (room, choosing) = settings::options(&request.options)?;
        let model = self.models.find(&request.model)?;
        let header = self.runtime.0.headers.of(&model)?;
        let machine = self.runtime.machine(self.settings.memory);
        let room = room.or(&self.settings.usual);
        let (load, need) = planned(&model, &header, &room, &machine)?;
        Ok(Prepared { model, load, need, choosing })
    }

    async fn turn(&self, prepared: &Prepared, order: u64) -> Result<Turn, Failure> {
        let budget = self.runtime.machine(self.settings.memory).usable;
        Ok(self.runtime.hosts(budget)?.turn(&prepared.load, prepared.need.total(), order).await)
    }

    /// Waits for the answer, and tells what comes of it on the way.
    async fn answered(
        &self,
        process: &Process,
        turn: &Turn,
        mut answering: Answering<'_>,
        context: &CallContext<'_>,
    ) -> Result<(String, Finish, Took), (Failure, String, Took)> {
        let (mut text, mut encoding) = (String::new(), false);
        loop {
            let told = tokio::select! {
                biased;
                () = context.cancel.cancelled() => {
                    // Nothing else stops the encoding of an image.
                    if encoding && turn.is_alone() {
                        process.kill();
                    }
                    let failure = Failure::new(ErrorClass::Cancelled, "the call was stopped");
                    return Err((failure, text, Took::default()));
                }
                told = answering.next() => told,
            };
            match told {
                Err(failure) => return Err((failure, text, Took::default())),
                Ok(FromHost::Text { text: more, .. }) => {
                    (context.sink)(&more);
                    text.push_str(&more);
                }
                Ok(FromHost::Note { line, .. }) => (context.log)(&line),
                Ok(FromHost::Encoding { now, .. }) => encoding = now,
                Ok(FromHost::Done { finish, took, .. }) => return Ok((text, finish, took)),
                Ok(FromHost::Failed { failure, took, .. }) => return Err((failure, text, took)),
                // These are told to who loads a model.
                Ok(FromHost::Loaded(_) | FromHost::Unusable { .. }) => {}
            }
        }
    }

    /// Notes what a call took, with what was said.
    async fn note(
        &self,
        request: &Request,
        context: &CallContext<'_>,
        text: &str,
        finish: Option<&'static str>,
        took: &Took,
    ) -> Result<(), Failure> {
        let raw = json!({ "text": text, "finish": finish, "took": took }).to_string();
        let raw = context.intake.keep(raw.into_bytes(), "reply").await?;
        (context.note)(CallUsage {
            provider: self.name.clone(),
            model: request.model.clone(),
            input_tokens: Some(took.input),
            output_tokens: Some(took.written.tokens),
            cost: Some(Money::ZERO),
            finish: finish.map(str::to_owned),
            raw: Some(raw.to_value()),
            speed: Some(speed(took)),
            ..CallUsage::default()
        });
        Ok(())
    }
}

#[async_trait]
impl Provider for Llama {
    fn capabilities(&self, model: &str) -> Capabilities {
        let images = self.models.find(model).is_ok_and(|model| model.projector.is_some());
        Capabilities { images, schema: true, ..Capabilities::default() }
    }

    fn remedy(&self, model: &str, part: &Part) -> Option<String> {
        match part {
            Part::Image(_) | Part::Document(_) => {
                let model = self.models.find(model).ok()?;
                Some(missing_projector(&model))
            }
            Part::Text(_) | Part::Video(_) | Part::Audio(_) => None,
        }
    }

    fn quote(&self, _request: &Request) -> Quote {
        Quote::Free
    }

    async fn admit(&self, request: &Request, order: u64) -> Result<Admission, Failure> {
        let turn = match self.prepared(request) {
            Ok(prepared) => self.turn(&prepared, order).await,
            Err(failure) => Err(failure),
        };
        // Asking says why, and another model of the chain may be asked then.
        Ok(turn.map_or_else(|_| Admission::free(), Admission::held_by))
    }

    async fn generate(
        &self,
        request: &Request,
        context: &CallContext<'_>,
    ) -> Result<Answer, Failure> {
        let prepared = self.prepared(request)?;
        let own;
        let turn = match context.turn.holder::<Turn>() {
            Some(turn) if turn.is_for(&prepared.load) => turn,
            Some(_) | None => {
                own = tokio::select! {
                    turn = self.turn(&prepared, context.order) => turn?,
                    () = context.cancel.cancelled() => return Err(stopped()),
                };
                &own
            }
        };
        let question = ask::of(request, &prepared.model, prepared.choosing, self.random, context)?;
        let process = tokio::select! {
            process = turn.process() => process?,
            () = context.cancel.cancelled() => return Err(stopped()),
        };
        let answering = process.ask(|id| question.numbered(id));
        let answered = self.answered(&process, turn, answering, context).await;
        let (text, finish, took) = match answered {
            Ok(answered) => answered,
            Err((failure, text, took)) => {
                self.note(request, context, &text, None, &took).await?;
                return Err(failure);
            }
        };
        self.note(request, context, &text, Some(finish.as_str()), &took).await?;
        let name = format!("{}/{}", self.name, request.model);
        match finish {
            Finish::Stop => Ok(Answer { text }),
            Finish::Length => {
                let message =
                    format!("the answer of model `{name}` was cut at its limit of tokens");
                Err(Failure::new(ErrorClass::Truncated, message).with_hint("raise `max_tokens`"))
            }
            Finish::Context => {
                let message = format!(
                    "the answer of model `{name}` was cut where its context of {} tokens was full",
                    prepared.load.context
                );
                let hint = "raise `context` in the model's `options`, or ask about less at once";
                Err(Failure::new(ErrorClass::Truncated, message).with_hint(hint))
            }
        }
    }

    async fn models(&self) -> Result<Vec<String>, Failure> {
        Ok(self.models.all()?.into_iter().map(|model| model.name).collect())
    }

    async fn health(&self) -> Result<(), Failure> {
        if self.runtime.is_built_in() { Ok(()) } else { Err(not_built_in()) }
    }
}

fn stopped() -> Failure {
    Failure::new(ErrorClass::Cancelled, "the call was stopped")
}

/// What to get so that a model can look at images.
fn missing_projector(model: &LocalModel) -> String {
    let stem = model.weights.file_stem().unwrap_or_default().to_string_lossy();
    let base = stem.split_once("-00001-of-").map_or(&*stem, |(base, _)| base);
    format!(
        "images need the projector that was made for this model: get `mmproj-{base}.gguf` (it may \
         be called `mmproj-model-f16.gguf`) from where the weights are from, and name it as \
         `projector`"
    )
}

fn speed(took: &Took) -> Speed {
    Speed {
        prompt: took.read.rate(),
        image: took.seen.rate(),
        generation: took.written.rate(),
        reused: took.reused,
        together: took.together,
    }
}

/// Models that a workflow names by the paths of their files, and beside them those that
/// another one knows by name.
pub struct WithPaths {
    /// What paths are relative to: the folder of the workflow.
    pub folder: PathBuf,
    /// The model that is named by path.
    pub named: Option<LocalModel>,
    /// Who knows the others.
    pub others: Option<Arc<dyn LocalModels>>,
}

impl LocalModels for WithPaths {
    fn find(&self, name: &str) -> Result<LocalModel, Failure> {
        if let Some(model) = self.named.as_ref().filter(|model| model.name == name) {
            return Ok(model.clone());
        }
        if Path::new(name).extension().is_some_and(|extension| extension == "gguf") {
            let weights = self.folder.join(name);
            return Ok(LocalModel { name: name.into(), weights, projector: None, context: None });
        }
        match &self.others {
            Some(others) => others.find(name),
            None => {
                Err(Failure::new(ErrorClass::NotFound, format!("there is no local model `{name}`"))
                    .with_hint(
                        "name its file under `models:`, as `{provider: llama, path: FILE.gguf}`",
                    ))
            }
        }
    }

    fn all(&self) -> Result<Vec<LocalModel>, Failure> {
        let mut all: Vec<_> = self.named.iter().cloned().collect();
        if let Some(others) = &self.others {
            all.extend(others.all()?);
        }
        Ok(all)
    }
}
