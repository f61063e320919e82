//! From a document to a workflow: every fault of a file at once.
//!
//! The checker goes through the document twice. The first pass reads each part by itself:
//! keys, types, expressions. The second knows every step, and follows what refers to what:
//! edges, cycles, names out of reach, and the types of outputs as far as schemas tell.
//! Neither stops at a fault: what cannot be read is left out and the rest is checked.

mod agree;
mod edges;
mod follow;
mod models;
mod plugins;
mod reader;
mod resolve;
mod settings;
mod steps;
mod tasks;
mod triggers;
mod types;
mod user;
mod work;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::diagnostic::{Diagnostic, Diagnostics, KEPT, LISTED, Lines, Severity};
use super::document::{Data, Node, Place};
use super::parse;
use super::suggest::closest;
use super::workflow::{Block, Budget, ProviderConfig, Workflow};
use crate::action::ActionRegistry;
use crate::content::ContentHash;
use crate::plugin::PluginPin;
use crate::units::Money;
use reader::Fields;

pub use tasks::task;
pub use user::user_providers;

/// The most levels that sub-workflows may nest.
const DEEPEST: usize = 8;

/// Reads the files that a workflow refers to, by their path relative to it.
pub trait Files {
    /// The text of a file, or why it cannot be read.
    fn read(&self, path: &str) -> Result<String, String>;

    /// The text of a file that need not be there; none where it is not. Who can tell a file
    /// that is not there from one that cannot be read says why it cannot.
    fn read_if_any(&self, path: &str) -> Result<Option<String>, String> {
        Ok(self.read(path).ok())
    }

    /// Where a file is on the disk.
    fn place(&self, path: &str) -> PathBuf {
        path.into()
    }

    /// The hash of the plugin that was found there when the definition was kept.
    fn pinned(&self, _plugin: &str) -> Option<&str> {
        None
    }
}

/// What a workflow is checked against.
#[derive(Clone, Copy)]
pub struct Environment<'e> {
    /// The actions there are.
    pub actions: &'e ActionRegistry,
    /// The providers there are besides those it sets up.
    pub providers: &'e KnownProviders,
    /// The files it may refer to.
    pub files: &'e dyn Files,
    /// What counts instead of what it says.
    pub instead: &'e Instead,
}

/// What counts instead of what a workflow says: what was said when it was run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instead {
    /// Models to ask instead of those it names, by name; `*` for all.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<String, String>,
    /// What the run may cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Money>,
    /// Whether its inputs come from a request: they are no more the owner's than what a step
    /// computed, so that a path among them is confined.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub from_request: bool,
}

impl Instead {
    /// The same, with what is said now before what was said then.
    #[must_use]
    pub fn and(mut self, now: Self) -> Self {
        self.models.extend(now.models);
        Self {
            models: self.models,
            budget: now.budget.or(self.budget),
            from_request: self.from_request || now.from_request,
        }
    }
}

/// The providers there are before a workflow sets up its own.
#[derive(Clone, Debug, Default)]
pub struct KnownProviders {
    /// The kinds that are built in; each is a provider of that name, too.
    pub kinds: &'static [&'static str],
    /// The settings that a provider of a kind has; of a kind that is not here, any.
    pub settings: BTreeMap<&'static str, &'static [&'static str]>,
    /// Those that the user set up for every workflow, by name.
    pub configured: BTreeMap<String, Arc<ProviderConfig>>,
}

/// A definition with all it refers to: enough to check it again anywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// The workflow's file.
    pub entry: String,
    /// Every text that was read, by name.
    pub files: BTreeMap<String, String>,
    /// The plugins that it was checked with, by their paths as they are written.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub plugins: BTreeMap<String, PluginPin>,
    /// What counts instead of what the entry says.
    #[serde(flatten)]
    pub instead: Instead,
}

impl Bundle {
    /// The identity of the definition.
    pub fn hash(&self) -> ContentHash {
        ContentHash::of_json(&self.to_value())
    }

    /// The bundle as it is stored.
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("a bundle has string keys")
    }
}

impl Files for Bundle {
    fn read(&self, path: &str) -> Result<String, String> {
        self.files.get(path).cloned().ok_or_else(|| "it is not part of the definition".into())
    }

    fn place(&self, path: &str) -> PathBuf {
        self.plugins.get(path).map_or_else(|| path.into(), |pin| pin.place.clone())
    }

    fn pinned(&self, plugin: &str) -> Option<&str> {
        self.plugins.get(plugin).map(|pin| pin.sha256.as_str())
    }
}

/// What checking came to.
#[derive(Debug)]
pub struct Checked {
    /// The workflow, if there is no error in it.
    pub workflow: Option<Arc<Workflow>>,
    /// Every fault.
    pub diagnostics: Diagnostics,
    /// Every text that was read.
    pub bundle: Bundle,
}

/// Checks a workflow. `file` names it in messages; its bytes are passed in.
pub fn check(file: &str, bytes: &[u8], environment: Environment<'_>) -> Checked {
    let mut session = Session::default();
    let workflow = session.workflow(file, bytes, environment);
    let instead = environment.instead.clone();
    let bundle =
        Bundle { entry: file.to_owned(), files: session.files, plugins: session.plugins, instead };
    let diagnostics = Diagnostics::sorted(session.faults, session.more);
    let workflow = workflow.filter(|_| !diagnostics.has_errors());
    Checked { workflow, diagnostics, bundle }
}

/// Checks a definition again from its bundle.
pub fn check_bundle(
    bundle: &Bundle,
    actions: &ActionRegistry,
    providers: &KnownProviders,
) -> Checked {
    let text = bundle.files.get(&bundle.entry).cloned().unwrap_or_default();
    let environment = Environment { actions, providers, files: bundle, instead: &bundle.instead };
    check(&bundle.entry, text.as_bytes(), environment)
}

/// What checking a file and those it refers to gathers.
#[derive(Default)]
struct Session {
    faults: Vec<Diagnostic>,
    /// Errors beyond those that are kept.
    more: usize,
    files: BTreeMap<String, String>,
    /// Plugins that were loaded, by their paths as they are written.
    plugins: BTreeMap<String, PluginPin>,
    /// Sub-workflows being checked, outermost first.
    open: Vec<String>,
    /// Sub-workflows that were checked: each is once, however many steps run it.
    checked: BTreeMap<String, Option<Arc<Workflow>>>,
    /// Tasks that were looked for, by name.
    tasks: BTreeMap<String, tasks::Found>,
}

impl Session {
    fn workflow(
        &mut self,
        file: &str,
        bytes: &[u8],
        environment: Environment<'_>,
    ) -> Option<Arc<Workflow>> {
        let text = match parse::text(file, bytes) {
            Ok(text) => text,
            Err(fault) => {
                self.faults.push(*fault);
                return None;
            }
        };
        self.files.insert(file.to_owned(), text.to_owned());
        let lines = Lines::new(file, text);
        let root = match parse::parse(&lines, text) {
            Ok(root) => root,
            Err(fault) => {
                self.faults.push(*fault);
                return None;
            }
        };
        self.open.push(file.to_owned());
        let mut checker = Checker::new(self, environment, lines);
        let workflow = checker.root(file, &root);
        self.open.pop();
        workflow.map(Arc::new)
    }
}

/// Checks one file.
struct Checker<'c> {
    session: &'c mut Session,
    environment: Environment<'c>,
    lines: Lines<'c>,
    plugins: plugins::Named,
}

impl<'c> Checker<'c> {
    fn new(session: &'c mut Session, environment: Environment<'c>, lines: Lines<'c>) -> Self {
        Self { session, environment, lines, plugins: plugins::Named::default() }
    }
}

impl Checker<'_> {
    fn error(&mut self, place: Place, message: impl Into<String>, hint: Option<String>) {
        if self.session.faults.len() >= KEPT {
            self.session.more += 1;
            return;
        }
        let fault = self.lines.fault(Severity::Error, place, message.into(), hint);
        self.session.faults.push(fault);
    }

    fn warning(&mut self, place: Place, message: impl Into<String>, hint: Option<String>) {
        if self.session.faults.len() < KEPT {
            let fault = self.lines.fault(Severity::Warning, place, message.into(), hint);
            self.session.faults.push(fault);
        }
    }

    /// The hint for a name that is none: what was probably meant.
    ///
    /// Looking for it takes as long as there are names, so no more are sought than shown.
    fn meant<'n>(&self, wrong: &str, names: impl IntoIterator<Item = &'n str>) -> Option<String> {
        if self.session.faults.len() >= LISTED {
            return None;
        }
        let near = closest(wrong, names.into_iter())?;
        Some(format!("did you mean `{near}`?"))
    }

    fn root(&mut self, file: &str, root: &Node) -> Option<Workflow> {
        let fields = self.fields(root, "a workflow", super::keys::WORKFLOW)?;
        self.version(&fields);
        let name = self.optional_text(&fields, "name").unwrap_or_else(|| stem(file).to_owned());
        let description = self.optional_text(&fields, "description");
        let inputs = self.inputs(&fields);
        self.name_plugins(&fields);
        let providers = self.providers(&fields);
        let models = self.models(&fields, &providers);
        if self.session.open.len() == 1 {
            self.replacements(root, &models);
        }
        self.load_plugins(&models);
        let defaults = self.defaults(&fields, &models, &providers);
        let budget = fields.get("budget").and_then(|node| self.budget(node));
        let budget = match self.environment.instead.budget {
            Some(cost) => {
                Some(Budget { cost, allow_unknown: budget.is_some_and(|own| own.allow_unknown) })
            }
            None => budget,
        };
        if self.session.open.len() > 1 {
            self.only_by_itself(&fields);
        }
        let concurrency = self.optional_count(&fields, "concurrency");
        let triggers = self.triggers(&fields, &name, &inputs);
        let keep = self.optional_duration(&fields, "keep");
        let context =
            steps::Context { models: &models, providers: &providers, defaults: &defaults };
        let hint = || Some("a workflow has at least one step".to_owned());
        match fields.get("steps") {
            None => self.error(root.place, "`steps` is missing", hint()),
            Some(steps) if steps.data == Data::List(Vec::new()) => {
                self.error(steps.place, "`steps` is empty", hint());
            }
            Some(_) => {}
        }
        let mut main = self.block(fields.get("steps"), &context);
        let mut on_failure = self.block(fields.get("on_failure"), &context);
        let mut finally = self.block(fields.get("finally"), &context);
        self.unused_plugins();
        let outputs = self.outputs(&fields);
        self.resolve(&inputs, &mut main, &mut on_failure, &mut finally, &outputs);
        Some(Workflow {
            name,
            description,
            inputs: inputs.into_iter().map(|(input, _)| input).collect(),
            providers,
            models,
            budget,
            concurrency,
            triggers,
            keep,
            steps: Arc::new(finished(main)),
            on_failure: Arc::new(finished(on_failure)),
            finally: Arc::new(finished(finally)),
            outputs: outputs.into_iter().map(|(name, _, template)| (name, template)).collect(),
        })
    }

    /// Says which settings of a sub-workflow are not used: the run is that of the workflow
    /// around it.
    fn only_by_itself(&mut self, fields: &Fields<'_>) {
        for key in ["budget", "concurrency", "triggers", "keep"] {
            if let Some(entry) = fields.entry(key) {
                let message = format!("`{key}` counts only when the workflow is run by itself");
                self.warning(entry.place, message, None);
            }
        }
    }

    fn version(&mut self, fields: &Fields<'_>) {
        if let Some(node) = fields.get("flow")
            && node.to_json() != 1
        {
            let message = format!("version {} of the language is not known", node.to_json());
            self.error(node.place, message, Some("write `flow: 1`, or leave it out".into()));
        }
    }
}

/// The steps of a checked block. Where an error left edges out, the workflow is not used.
fn finished(drafts: Vec<steps::Draft>) -> Block {
    Block::new(drafts.into_iter().map(steps::Draft::finish).collect())
}

fn stem(file: &str) -> &str {
    let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
    name.strip_suffix(".yaml").or_else(|| name.strip_suffix(".yml")).unwrap_or(name)
}

/// The hint that lists what there is, or the first of it.
fn listing<'n>(what: &str, names: impl IntoIterator<Item = &'n str>) -> String {
    const MOST: usize = 30;
    let mut names = names.into_iter();
    let listed: Vec<_> = names.by_ref().take(MOST).collect();
    let more = if names.next().is_some() { ", …" } else { "" };
    format!("{what}: {}{more}", listed.join(", "))
}
