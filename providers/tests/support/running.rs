//! Workflows that are run as the binary runs them: the real engine and the real store.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use flow_core::action::ActionRegistry;
use flow_core::content::ContentHash;
use flow_core::engine::{
    Backend, Clock, Embedded, Observer, Program, Progress, RunReport, Setup, Submission,
    SystemClock,
};
use flow_core::ids::{InstancePath, RunId};
use flow_core::language::{Environment, Files, Instead, check};
use flow_core::store::{AttemptRow, Store};
use flow_providers::documents::sniff;
use flow_providers::{ModelFolder, Providers};
use serde_json::{Map, Value, json};

/// A folder with a store, in which workflows are checked and run.
pub(crate) struct Running {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) store: Store,
    pub(crate) providers: Arc<Providers>,
    /// The time that runs go by.
    pub(crate) clock: Arc<dyn Clock>,
    actions: ActionRegistry,
}

/// What a run came to.
pub(crate) struct Ran {
    pub(crate) report: RunReport,
    /// Lines of all steps' logs.
    pub(crate) log: Vec<String>,
}

#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl Observer for Lines {
    fn progress(&self, progress: &Progress) {
        if let Progress::Line { text, .. } = progress {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(text.clone());
        }
    }
}

struct NoFiles;

impl Files for NoFiles {
    fn read(&self, path: &str) -> Result<String, String> {
        Err(format!("{path} is not there"))
    }
}

impl Running {
    /// A folder in which these secrets are known.
    pub(crate) async fn new(secrets: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("store")).await.expect("a store");
        let secrets: BTreeMap<_, _> =
            secrets.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let providers = Arc::new(Providers::new(secrets));
        let actions = actions(&providers);
        Self { folder, store, providers, clock: Arc::new(SystemClock), actions }
    }

    /// The same as another process has it: what is in the store is all that is left.
    pub(crate) fn in_another_process(self, secrets: &[(&str, &str)]) -> Self {
        let secrets = secrets.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let providers = Arc::new(Providers::new(secrets.collect()));
        Self { actions: actions(&providers), providers, ..self }
    }

    /// What the checker says of a workflow; nothing where it is fine.
    pub(crate) fn faults(&self, text: &str) -> String {
        self.checked(text).diagnostics.to_string()
    }

    fn checked(&self, text: &str) -> flow_core::language::Checked {
        let environment = Environment {
            actions: &self.actions,
            providers: &Providers::known(),
            files: &NoFiles,
            instead: &Instead::default(),
        };
        check("w.yaml", text.as_bytes(), environment)
    }

    /// Runs a workflow without inputs to its end.
    pub(crate) async fn run(&self, text: &str) -> Ran {
        self.run_as(1, text).await
    }

    /// The same as the run of this number.
    pub(crate) async fn run_as(&self, number: u128, text: &str) -> Ran {
        let checked = self.checked(text);
        let faults = checked.diagnostics.to_string();
        let workflow = checked.workflow.unwrap_or_else(|| panic!("{faults}"));
        let bundle = json!({ "text": text });
        let definition = ContentHash::of_json(&bundle);
        let folder = self.folder.path().to_path_buf();
        let lines = Arc::new(Lines::default());
        let engine = Embedded::new(Setup {
            store: self.store.clone(),
            actions: self.actions.clone(),
            clock: Arc::clone(&self.clock),
            sniff,
            parallel: 2,
            use_cache: false,
        });
        let submission = Submission {
            id: RunId::from_parts(1, number),
            program: Program { workflow, definition, bundle, folder },
            inputs: Map::new(),
            observer: Arc::clone(&lines) as Arc<dyn Observer>,
        };
        let mut handle = engine.submit(submission).await.expect("it begins");
        let report = handle.wait().await.expect("it ends");
        let log = lines.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ran { report, log }
    }

    /// The attempts of a step.
    pub(crate) async fn attempts(&self, step: &str) -> Vec<AttemptRow> {
        let path = InstancePath::from_stored(step);
        self.store.attempts(&RunId::from_parts(1, 1), &path).await.expect("a store")
    }
}

fn actions(providers: &Arc<Providers>) -> ActionRegistry {
    let mut actions = ActionRegistry::default();
    let models = ModelFolder::new(PathBuf::from("none"));
    flow_providers::register(&mut actions, Arc::clone(providers), models, 1);
    flow_core::actions::register(&mut actions);
    actions
}

impl Ran {
    /// The output of a step.
    pub(crate) fn output(&self, step: &str) -> Value {
        let view = self.report.steps.get(step).expect("it is settled");
        (*view.output).clone()
    }

    /// Why the run failed.
    pub(crate) fn failure(&self) -> &str {
        self.report.failure.as_ref().map_or("", |failure| &failure.message)
    }
}
