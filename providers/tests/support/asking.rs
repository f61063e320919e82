//! A step that asks a model through a service, as the engine would run it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use flow_core::action::{
    Action, ActionRegistry, Admission, CallUsage, LogSink, Outcome, PathPolicy, StepContext,
    UsageSlot,
};
use flow_core::artifact::ArtifactRef;
use flow_core::content::ContentHash;
use flow_core::error::Failure;
use flow_core::ids::RunId;
use flow_core::intake::Intake;
use flow_core::language::{ModelChoice, ProviderConfig};
use flow_core::store::{Batch, RunRow, RunStatus, Store};
use flow_core::template::Template;
use flow_core::units::Money;
use flow_providers::documents::sniff;
use flow_providers::{ModelFolder, Providers};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// A step with a store of its own. Its provider is named `mine`.
pub(crate) struct Asking {
    pub(crate) context: StepContext,
    pub(crate) providers: Arc<Providers>,
    action: Arc<dyn Action>,
    embed: Arc<dyn Action>,
    log: Arc<Mutex<Vec<String>>>,
    pub(crate) store: Store,
    _folder: tempfile::TempDir,
}

impl Asking {
    /// A step that asks `model` of a provider of this kind with these settings.
    pub(crate) async fn new(kind: &str, settings: &Value, model: &str) -> Self {
        Self::on(BTreeMap::new(), kind, settings, model).await
    }

    /// The same on a machine with these variables.
    pub(crate) async fn on(
        variables: BTreeMap<String, String>,
        kind: &str,
        settings: &Value,
        model: &str,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("store")).await.expect("a store");
        let run = RunId::from_parts(1, 1);
        begin(&store, &run).await;
        let mut actions = ActionRegistry::default();
        let providers = Arc::new(Providers::new(variables));
        let models = ModelFolder::new(PathBuf::from("none"));
        flow_providers::register(&mut actions, Arc::clone(&providers), models, 1);
        let action = Arc::clone(actions.get("model.generate").expect("it is registered"));
        let embed = Arc::clone(actions.get("model.embed").expect("it is registered"));
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&log);
        let sink: LogSink = Arc::new(move |line| {
            lines.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
        });
        let context = StepContext {
            path: "ask".into(),
            attempt: 1,
            order: 0,
            turn: Admission::free(),
            cancel: CancellationToken::new(),
            intake: Intake::new(store.artifacts().clone(), sniff),
            uploads: Arc::new(store.uploads(run)),
            model: Some(choice(kind, settings, model)),
            paths: PathPolicy { folder: folder.path().to_path_buf(), computed: Vec::new() },
            log: sink,
            text: Arc::new(|_: &str| {}),
            require_grounded: false,
            earlier: None,
            batches: None,
            caller: None,
            usage: UsageSlot::default(),
        };
        Self { context, providers, action, embed, log, store, _folder: folder }
    }

    /// Runs one attempt with this input, in which `@NAME` is the file of that name in the
    /// folder `fixtures`.
    pub(crate) async fn ask(&self, input: &Value, fixtures: &Path) -> Result<Value, Failure> {
        let mut input = input.clone();
        self.take_files(&mut input, fixtures).await;
        match self.action.run(input, &self.context).await? {
            Outcome::Done(value) => Ok(value),
            Outcome::Wait { .. } => panic!("a model does not wait for people"),
        }
    }

    /// Runs one attempt of `model.embed` with this input.
    pub(crate) async fn embed(&self, input: &Value) -> Result<Value, Failure> {
        match self.embed.run(input.clone(), &self.context).await? {
            Outcome::Done(value) => Ok(value),
            Outcome::Wait { .. } => panic!("a model does not wait for people"),
        }
    }

    /// Ends the run that the step belongs to, and says what it left at services.
    pub(crate) async fn end(&self) -> Vec<Failure> {
        let run = self.store.run(&RunId::from_parts(1, 1)).await.expect("a store").expect("begun");
        let ended = RunRow { status: RunStatus::Succeeded, ..run };
        self.store.commit(Batch { runs: vec![ended], ..Batch::default() }).await.expect("a store");
        self.providers.tidy([], &*self.context.uploads).await
    }

    /// What the last call took, and the reply as it was kept.
    pub(crate) async fn usage(&self) -> Option<(CallUsage, Vec<u8>)> {
        let usage = self.context.usage.take()?;
        let raw = usage.raw.as_ref().and_then(ArtifactRef::from_value).expect("it was kept");
        let bytes = self.store.artifacts().get(&raw.hash).await.expect("it is there");
        Some((usage, bytes))
    }

    /// What was streamed or logged so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn take_files(&self, value: &mut Value, fixtures: &Path) {
        match value {
            Value::String(text) => {
                if let Some(name) = text.strip_prefix('@') {
                    let file = self.context.intake.take(name, &fixtures.join(name)).await;
                    *value = file.expect("the file can be read").to_value();
                }
            }
            Value::Array(items) => {
                for item in items {
                    Box::pin(self.take_files(item, fixtures)).await;
                }
            }
            Value::Object(map) => {
                for item in map.values_mut() {
                    Box::pin(self.take_files(item, fixtures)).await;
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// Keeps a run that drives nothing, for what has to belong to one.
async fn begin(store: &Store, run: &RunId) {
    let definition = ContentHash::of_bytes(b"asking");
    store.put_definition(&definition, "asking", &Value::Null).await.expect("a store");
    let row = RunRow {
        id: run.clone(),
        workflow: "asking".into(),
        definition,
        status: RunStatus::Running,
        inputs: Value::Null,
        outputs: None,
        error: None,
        cost: Money::ZERO,
        cost_uncertain: false,
        started: 0,
        ended: None,
    };
    store.commit(Batch { runs: vec![row], ..Batch::default() }).await.expect("a store");
}

fn choice(kind: &str, settings: &Value, model: &str) -> ModelChoice {
    let settings = settings.as_object().expect("settings are an object");
    let settings =
        settings.iter().map(|(key, value)| (key.clone(), Template::Literal(value.clone())));
    ModelChoice {
        provider: "mine".into(),
        config: Arc::new(ProviderConfig {
            kind: kind.into(),
            settings: settings.collect(),
            plugin: None,
        }),
        model: model.into(),
        path: None,
        projector: None,
        options: None,
    }
}
