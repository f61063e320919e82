//! Actions: what a step can do.
//!
//! An action says beforehand what it takes, what it yields and what it does to the world
//! ([`ActionSpec`]), so that a workflow is checked before it runs and the engine knows what
//! must be durable before the action acts. It sees resolved input only, never the
//! workflow around it.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::agreement::Agreement;
use crate::batches::BatchAccess;
use crate::error::Failure;
use crate::intake::Intake;
use crate::language::ModelChoice;
use crate::plugin::{Caller, Plugins};
use crate::units::Money;
use crate::uploads::UploadLedger;

/// The most an attempt may take where neither the workflow nor the action says otherwise.
pub const USUAL_TIMEOUT: Duration = Duration::from_mins(5);

/// What running an action does to the world, and so what must be durable before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Only computes; running it again is invisible.
    Pure,
    /// Changes something, but twice is the same as once.
    Idempotent,
    /// Acts on the outside, perhaps for money: its sending is recorded before it is sent.
    External,
}

/// What is known of an action before it runs.
#[derive(Clone, Debug)]
pub struct ActionSpec {
    /// Its name in `uses`.
    pub name: &'static str,
    /// Grows when the same input would yield another output; part of the content hash.
    pub version: u32,
    /// One line for people.
    pub summary: &'static str,
    /// What it does to the world.
    pub effect: Effect,
    /// Whether the step cache may answer for it unless the step says otherwise. Only for
    /// actions whose output follows from their input, or is worth as much a second time.
    pub cacheable: bool,
    /// Whether `model` may stand beside it.
    pub takes_model: bool,
    /// JSON Schema of `with`. A property with `"x-file": true` takes a file, at the top or
    /// within lists and maps: a path given there, or in a list there, is an artifact by the
    /// time the action runs.
    pub input: Value,
    /// JSON Schema of the output.
    pub output: Value,
}

/// An action that steps can use.
#[async_trait]
pub trait Action: Send + Sync {
    /// What is known of it before it runs.
    fn spec(&self) -> &ActionSpec;

    /// What makes it what it is besides its name and version: part of the content hash.
    fn identity(&self) -> Value {
        Value::Null
    }

    /// JSON Schema of the output, given what `with` holds literally (computed values are
    /// null); the one of the spec where the input makes no difference.
    fn output_schema(&self, _with: &Value) -> Value {
        self.spec().output.clone()
    }

    /// What is wrong with what `with` holds literally (computed values are null) that the
    /// schema of the input cannot say, with the key it stands under.
    fn literal_faults(&self, _with: &Value) -> Vec<(&'static str, Failure)> {
        Vec::new()
    }

    /// What this input makes it do to the world.
    fn effect(&self, _input: &Value) -> Effect {
        self.spec().effect
    }

    /// What one attempt with this input may cost at most. Asked before an external action
    /// is sent when a budget is set; must not act.
    fn quote(&self, _input: &Value, _context: &StepContext) -> Quote {
        Quote::Free
    }

    /// Waits until it is this attempt's turn, where others want the same and only so many may.
    ///
    /// Asked before an attempt is announced, before its time begins, and in the order in which
    /// steps became ready; what it returns is held until the attempt has ended. Dropping the
    /// future gives the turn up.
    async fn admit(&self, _input: &Value, _context: &StepContext) -> Result<Admission, Failure> {
        Ok(Admission::free())
    }

    /// The most an attempt with this input may take where the workflow does not say.
    fn usual_timeout(&self, _input: &Value) -> Duration {
        USUAL_TIMEOUT
    }

    /// Whether an answer that is not what was asked for is worth one more question, which says
    /// what was wrong with it ([`StepContext::earlier`]).
    fn asks_again(&self) -> bool {
        false
    }

    /// Whether an attempt with this input goes by a batch of a service, which answers within
    /// hours: it takes no place among those at work, waits for no turn, and its step's
    /// `deadline` is all that ends it. Asked before the attempt is announced; must not act.
    fn goes_by_batch(&self, _input: &Value, _context: &StepContext) -> bool {
        false
    }

    /// Whether a question with this input surely fits what a model reads at once, with room for
    /// the answer; none where nobody knows. Must not act.
    fn fits(&self, _input: &Value, _model: &ModelChoice, _folder: &Path) -> Option<bool> {
        None
    }

    /// How two answers are held against each other (`agree`); none of an action that asks no
    /// model for data.
    fn agreement(&self) -> Option<&dyn Agreement> {
        None
    }

    /// What becomes of an answer that a person gave in the place of a model.
    fn completed(&self, answer: Value) -> Result<Value, Failure> {
        Ok(answer)
    }

    /// Runs one attempt.
    ///
    /// Ends soon after the context's token is cancelled. Dropping the future stops the work
    /// where it stands; what it started outside (a child process, a blocking task) must end
    /// by itself then.
    async fn run(&self, input: Value, context: &StepContext) -> Result<Outcome, Failure>;
}

/// A turn that an attempt was given; dropping it lets the next one in.
#[derive(Default)]
pub struct Admission(Option<Box<dyn Any + Send + Sync>>);

impl Admission {
    /// A turn that nobody waits for.
    pub fn free() -> Self {
        Self::default()
    }

    /// A turn that ends when what holds it is dropped.
    pub fn held_by(turn: impl Any + Send + Sync) -> Self {
        Self(Some(Box::new(turn)))
    }

    /// What holds the turn, for whoever gave it.
    pub fn holder<T: Any>(&self) -> Option<&T> {
        self.0.as_ref()?.downcast_ref()
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Admission(held)" } else { "Admission(free)" })
    }
}

/// How the attempt before ended, of the same model, when its answer was not what was asked for.
#[derive(Clone, Debug)]
pub struct Earlier {
    /// What was wrong with it.
    pub failure: Failure,
    /// What the model said, where it said something.
    pub reply: Option<String>,
}

/// What an attempt may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quote {
    /// Nothing.
    Free,
    /// At most this.
    AtMost(Money),
    /// Nobody knows.
    Unknown,
}

/// How an attempt ended well.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// With an output.
    Done(Value),
    /// It waits for a person, who is shown this.
    Wait {
        /// What the person is shown.
        show: Value,
    },
}

/// What a call to a model took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CallUsage {
    /// The provider that answered.
    pub provider: String,
    /// The model that answered.
    pub model: String,
    /// Tokens read.
    #[serde(default)]
    pub input_tokens: Option<u64>,
    /// Tokens written.
    #[serde(default)]
    pub output_tokens: Option<u64>,
    /// The price; none where nobody knows.
    #[serde(default)]
    pub cost: Option<Money>,
    /// Why the model stopped, e.g. `stop` or `length`.
    #[serde(default)]
    pub finish: Option<String>,
    /// The provider's id of the request.
    #[serde(default)]
    pub request_id: Option<String>,
    /// The reply as it came, kept before it was parsed.
    #[serde(default)]
    pub raw: Option<Value>,
    /// Whether nobody was asked: the answer came from a recording.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
    /// How fast a model of this machine was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<Speed>,
    /// The plugin that did it, what it was granted and what it used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<Value>,
}

impl CallUsage {
    /// Whether a model was asked; what else is called is a plugin.
    pub(crate) fn asked_a_model(&self) -> bool {
        !self.model.is_empty() || !self.provider.is_empty()
    }
}

/// How fast a model of this machine was, in tokens a second; none where there were no tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    /// Tokens of text that were read.
    pub prompt: Option<f64>,
    /// Tokens of images that were looked at.
    pub image: Option<f64>,
    /// Tokens that were written.
    pub generation: Option<f64>,
    /// How many tokens were known from an earlier request, and not read again.
    pub reused: u64,
    /// The most requests whose tokens were computed at once with those of this one.
    pub together: u32,
}

/// What an attempt may use.
pub struct StepContext {
    /// Path of the instance, for messages.
    pub path: String,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Where the instance stands in the order in which those of the process became ready.
    pub order: u64,
    /// The turn that the attempt was given; a free one while it waits for it.
    pub turn: Admission,
    /// Cancelled when the attempt must end: time is up, or somebody said so.
    pub cancel: CancellationToken,
    /// Takes files in, and reads those that were taken in.
    pub intake: Intake,
    /// Knows what was uploaded to services, and keeps what is.
    pub uploads: Arc<dyn UploadLedger>,
    /// The model to ask, of the step's chain; none where the step names none.
    pub model: Option<ModelChoice>,
    /// Which paths it may touch.
    pub paths: PathPolicy,
    /// Takes lines for the run's log.
    pub log: LogSink,
    /// Takes text as it comes, for whoever watches; it is kept nowhere.
    pub text: LogSink,
    /// The attempt before, when this one asks again.
    pub earlier: Option<Earlier>,
    /// Whether every value of the answer must stand on the pages that are named for it.
    pub require_grounded: bool,
    /// What it may do where it can wait for a batch; none where its step has no `deadline`.
    pub batches: Option<BatchAccess>,
    /// Who works for the run, as plugins are told; none where there is no run.
    pub caller: Option<Arc<Caller>>,
    /// What calls of this attempt took, kept whether it succeeds or fails.
    pub usage: UsageSlot,
}

/// Holds what an attempt's call took, and what the model said.
#[derive(Clone, Debug, Default)]
pub struct UsageSlot(Arc<Mutex<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    usage: Option<CallUsage>,
    reply: Option<String>,
    meta: Option<Value>,
}

impl UsageSlot {
    /// Notes what a call took, as soon as it is known.
    pub fn note(&self, usage: CallUsage) {
        self.noted().usage = Some(usage);
    }

    /// Takes what was noted of the call.
    pub fn take(&self) -> Option<CallUsage> {
        self.noted().usage.take()
    }

    /// Notes what the model said that cannot be used, for the attempt that asks again.
    pub fn note_reply(&self, text: String) {
        self.noted().reply = Some(text);
    }

    /// Takes what the model said.
    pub fn take_reply(&self) -> Option<String> {
        self.noted().reply.take()
    }

    /// Notes what is to be known of the output beside it, as keys of `steps.X.meta`.
    pub fn note_meta(&self, meta: Value) {
        self.noted().meta = Some(meta);
    }

    /// Takes what was noted of the output.
    pub fn take_meta(&self) -> Option<Value> {
        self.noted().meta.take()
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a line for the log of the step, or a piece of text.
pub type LogSink = Arc<dyn Fn(&str) + Send + Sync>;

/// Decides which paths of the disk an attempt may touch.
///
/// A path that the workflow's owner wrote is trusted and relative to the workflow's folder.
/// A path computed from a step, a model or a request is confined to that folder.
#[derive(Clone, Debug, Default)]
pub struct PathPolicy {
    /// The workflow's folder.
    pub folder: PathBuf,
    /// Top-level input keys whose value is computed.
    pub computed: Vec<String>,
}

impl PathPolicy {
    /// Resolves the path given under `key`, or says why it may not be touched.
    ///
    /// A computed path must stay within the workflow's folder after every symbolic link on
    /// the way is followed; the file itself need not exist.
    pub fn resolve(&self, key: &str, path: &str) -> Result<PathBuf, Failure> {
        let joined = self.folder.join(path);
        if !self.computed.iter().any(|k| k == key) {
            return Ok(joined);
        }
        let refused = || {
            Failure::input(format!(
                "`{key}: {path}` is outside the workflow's folder `{}`",
                self.folder.display()
            ))
            .with_hint("a path computed by a step may only name files in the workflow's folder")
        };
        let root = self.folder.canonicalize().map_err(|_| refused())?;
        let real = canonicalize_existing(&joined).ok_or_else(refused)?;
        if real.starts_with(&root) { Ok(real) } else { Err(refused()) }
    }
}

/// Follows the links of the longest part of `path` that exists and joins the rest, which
/// must not climb.
fn canonicalize_existing(path: &Path) -> Option<PathBuf> {
    let mut missing = Vec::new();
    let mut existing = path;
    loop {
        if let Ok(real) = existing.canonicalize() {
            return Some(missing.iter().rev().fold(real, |real, part| real.join(part)));
        }
        if existing.symlink_metadata().is_ok() {
            return None; // a dangling link: where it leads cannot be known
        }
        missing.push(existing.file_name()?);
        existing = existing.parent()?;
    }
}

/// The actions that workflows can use, by name, the tasks, and where the plugins come from that
/// workflows bring.
#[derive(Clone, Default)]
pub struct ActionRegistry {
    actions: BTreeMap<&'static str, Registered>,
    /// Files of the tasks that are built in, by name.
    tasks: BTreeMap<&'static str, &'static str>,
    plugins: Option<Arc<dyn Plugins>>,
}

/// An action that a workflow brings along: a plugin.
#[derive(Clone)]
pub struct Brought(Registered);

impl Brought {
    /// An action whose input schema is a JSON Schema.
    pub fn new(action: Arc<dyn Action>) -> Self {
        Self(Registered { action, input: Arc::default() })
    }

    /// The action.
    pub fn action(&self) -> &Arc<dyn Action> {
        &self.0.action
    }

    /// Says what is wrong with an input of this action, which the workflow calls `name`.
    pub fn check_input(&self, name: &str, input: &Value) -> Result<(), Failure> {
        self.0.check_input(name, input)
    }
}

impl fmt::Debug for Brought {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Brought({})", self.0.action.spec().name)
    }
}

#[derive(Clone)]
struct Registered {
    action: Arc<dyn Action>,
    /// Compiled when an input is first checked: a process uses few of the actions there are.
    input: Arc<OnceLock<jsonschema::Validator>>,
}

impl Registered {
    fn input(&self) -> &jsonschema::Validator {
        self.input.get_or_init(|| {
            jsonschema::validator_for(&self.action.spec().input)
                .expect("the input schema of an action is a valid JSON Schema")
        })
    }

    fn check_input(&self, name: &str, input: &Value) -> Result<(), Failure> {
        match self.input().iter_errors(input).next() {
            None => Ok(()),
            Some(error) => {
                let place = error.instance_path().to_string();
                let place = place.trim_start_matches('/').replace('/', ".");
                let of = if place.is_empty() { String::new() } else { format!(" `{place}`") };
                Err(Failure::input(format!("the input{of} of `{name}` is wrong: {error}")))
            }
        }
    }
}

impl ActionRegistry {
    /// Adds an action; a later one of the same name replaces an earlier.
    pub fn add(&mut self, action: Arc<dyn Action>) {
        let name = action.spec().name;
        self.actions.insert(name, Registered { action, input: Arc::default() });
    }

    /// Adds a task: its name and its file.
    pub fn add_task(&mut self, name: &'static str, text: &'static str) {
        self.tasks.insert(name, text);
    }

    /// The file of the task of this name, where one is built in.
    pub fn task(&self, name: &str) -> Option<&'static str> {
        self.tasks.get(name).copied()
    }

    /// Names of the tasks that are built in, in order.
    pub fn tasks(&self) -> impl Iterator<Item = &'static str> {
        self.tasks.keys().copied()
    }

    /// The action of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Action>> {
        self.actions.get(name).map(|registered| &registered.action)
    }

    /// Says what is wrong with an input of this action.
    pub fn check_input(&self, name: &str, input: &Value) -> Result<(), Failure> {
        let Some(registered) = self.actions.get(name) else {
            return Err(Failure::internal(format!("there is no action `{name}`")));
        };
        registered.check_input(name, input)
    }

    /// Says where the plugins come from that workflows bring.
    pub fn set_plugins(&mut self, plugins: Arc<dyn Plugins>) {
        self.plugins = Some(plugins);
    }

    /// Where the plugins come from that workflows bring; none where there are none.
    pub fn plugins(&self) -> Option<&Arc<dyn Plugins>> {
        self.plugins.as_ref()
    }

    /// Names and specs of all, in order of their names.
    pub fn specs(&self) -> impl Iterator<Item = &ActionSpec> {
        self.actions.values().map(|registered| registered.action.spec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(folder: &Path) -> PathPolicy {
        PathPolicy { folder: folder.to_path_buf(), computed: vec!["path".into()] }
    }

    #[test]
    fn a_path_that_the_owner_wrote_may_lead_anywhere() {
        let folder = tempfile::tempdir().unwrap();
        let policy = policy(folder.path());
        assert_eq!(policy.resolve("file", "/etc/hosts").unwrap(), Path::new("/etc/hosts"));
        assert_eq!(policy.resolve("file", "a.txt").unwrap(), folder.path().join("a.txt"));
    }

    #[test]
    fn a_computed_path_stays_within_the_folder() {
        let around = tempfile::tempdir().unwrap();
        let folder = around.path().join("flows");
        std::fs::create_dir_all(folder.join("out")).unwrap();
        let policy = policy(&folder);
        let inside = policy.resolve("path", "out/new/a.txt").unwrap();
        assert_eq!(inside, folder.canonicalize().unwrap().join("out/new/a.txt"));
        for outside in ["/etc/passwd", "../a.txt", "out/../../a.txt", "missing/../../../a.txt"] {
            let refused = policy.resolve("path", outside).unwrap_err();
            assert_eq!(
                refused.message,
                format!(
                    "`path: {outside}` is outside the workflow's folder `{}`",
                    folder.display()
                )
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_does_not_lead_a_computed_path_out() {
        let around = tempfile::tempdir().unwrap();
        let folder = around.path().join("flows");
        std::fs::create_dir(&folder).unwrap();
        std::os::unix::fs::symlink(around.path(), folder.join("up")).unwrap();
        std::os::unix::fs::symlink(around.path().join("nothing"), folder.join("dangling")).unwrap();
        let policy = policy(&folder);
        for outside in ["up/a.txt", "up/new/a.txt", "dangling"] {
            assert!(policy.resolve("path", outside).is_err(), "{outside} was taken");
        }
    }
}
