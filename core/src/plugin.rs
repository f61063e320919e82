//! Plugins: the seams to whoever runs them, and to what they reach: what they remember, servers,
//! models.
//!
//! Core knows what a workflow says of a plugin and where it is used; what is in its file, what
//! it may do and how it is kept from doing more is the business of whoever implements
//! [`Plugins`]. What that makes of it is an [`Action`] or a [`Provider`] like any other.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::action::{Action, CallUsage};
use crate::error::Failure;
use crate::ids::RunId;
use crate::language::ModelChoice;
use crate::provider::{Answer, CallContext, Provider, Request};
use crate::units::Money;

/// Makes the plugins that a workflow names usable.
pub trait Plugins: Send + Sync {
    /// Loads a plugin. Reads files of this machine and asks no network; may take seconds the
    /// first time that a file is seen.
    fn load(&self, wanted: &PluginUse<'_>) -> Result<LoadedPlugin, Vec<PluginFault>>;
}

/// What a workflow says of a plugin.
#[derive(Clone, Copy, Debug)]
pub struct PluginUse<'u> {
    /// Its name under `plugins:`.
    pub name: &'u str,
    /// Where it is.
    pub source: &'u PluginSource,
    /// Everything else that is written of it: `grant`, `limits`, `config`.
    pub settings: &'u Map<String, Value>,
    /// The models that it may be granted, by their names in the workflow.
    pub models: &'u BTreeMap<String, Vec<ModelChoice>>,
    /// The workflow's folder.
    pub folder: &'u Path,
}

/// Where a plugin is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginSource {
    /// In a file, or a folder with a manifest.
    Path {
        /// As it is written.
        written: String,
        /// Where that is.
        place: PathBuf,
        /// The hash of the component that a kept definition was checked with.
        pinned: Option<String>,
    },
    /// Among those that were installed.
    Installed {
        /// Its name.
        name: String,
        /// Its version.
        version: String,
        /// The hash of the component that a kept definition was checked with.
        pinned: Option<String>,
    },
}

/// A plugin that can be used.
#[derive(Clone)]
pub struct LoadedPlugin {
    /// What it does.
    pub does: PluginDoes,
    /// SHA-256 of its component, in hexadecimal digits.
    pub sha256: String,
}

/// What a plugin does.
#[derive(Clone)]
pub enum PluginDoes {
    /// It is a step.
    Step(Arc<dyn Action>),
    /// It serves model calls. The value is what makes it what it is.
    Provider(Arc<dyn Provider>, Value),
}

/// What is wrong with a plugin, or with what a workflow says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginFault {
    /// The keys under its name that lead to the fault; empty for the plugin itself.
    pub at: Vec<String>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// The place of a provider that is a plugin: known by its name before it is loaded, for a
/// plugin may be granted models, and models name providers.
#[derive(Clone, Default)]
pub struct PluginSlot(Arc<OnceLock<(Arc<dyn Provider>, Value)>>);

impl PluginSlot {
    /// Puts the provider there, once.
    pub(crate) fn fill(&self, provider: Arc<dyn Provider>, identity: Value) {
        let _ = self.0.set((provider, identity));
    }

    /// The provider; none where it could not be loaded.
    pub fn provider(&self) -> Option<&Arc<dyn Provider>> {
        self.0.get().map(|(provider, _)| provider)
    }

    /// What makes it what it is.
    pub(crate) fn identity(&self) -> Option<&Value> {
        self.0.get().map(|(_, identity)| identity)
    }
}

impl fmt::Debug for PluginSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.get().is_some() { "PluginSlot(loaded)" } else { "PluginSlot" })
    }
}

/// A plugin as a definition was checked with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginPin {
    /// SHA-256 of its component, in hexadecimal digits.
    pub sha256: String,
    /// Where it was; empty for one that was installed.
    #[serde(default)]
    pub place: PathBuf,
}

/// Who works for a run, as a plugin is told, and where it may remember something.
#[derive(Clone)]
pub struct Caller {
    /// The run.
    pub run: RunId,
    /// The instance.
    pub path: String,
    /// From 1.
    pub attempt: u32,
    /// What plugins remember.
    pub memories: Arc<dyn PluginMemories>,
}

/// The memories of plugins, each apart from the others.
pub trait PluginMemories: Send + Sync {
    /// The memory of the plugin of this name.
    fn of(&self, plugin: &str) -> Arc<dyn PluginMemory>;
}

/// What a plugin remembers from call to call. Times are milliseconds since 1970.
///
/// When a future returns, what it wrote is durable. Dropping one writes or not.
#[async_trait]
pub trait PluginMemory: Send + Sync {
    /// What is under a key and has not expired.
    async fn get(&self, key: &str, now: i64) -> Result<Option<Vec<u8>>, Failure>;

    /// Puts something under a key, unless all that is remembered would then be more than `most`
    /// bytes; says whether it did.
    async fn set(
        &self,
        key: &str,
        value: Vec<u8>,
        expires: Option<i64>,
        most: u64,
        now: i64,
    ) -> Result<bool, Failure>;

    /// Forgets what is under a key.
    async fn delete(&self, key: &str) -> Result<(), Failure>;
}

/// Sends a plugin's requests.
///
/// Whoever implements it looks a name up once and connects to the address that it found,
/// refuses addresses that are not public (but for those of private networks and this machine,
/// where [`HttpRequest::private`] allows them), follows no redirect, and keeps secrets out of
/// what comes back.
#[async_trait]
pub trait HttpClient: Send + Sync {
    /// Sends a request and reads the answer to its end.
    ///
    /// Dropping the future ends the exchange; the request may have been taken by then.
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, Failure>;
}

/// A request of a plugin, checked against its grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    /// The name of the plugin, for messages.
    pub plugin: String,
    /// In capitals.
    pub method: String,
    /// Where to; its authority is one that was granted.
    pub url: String,
    /// Header fields of the plugin's.
    pub headers: Vec<(String, String)>,
    /// Header fields with secrets: name, what stands before the secret, the secret's name.
    pub secrets: Vec<(String, String, String)>,
    /// What is sent; none for no body.
    pub body: Option<Vec<u8>>,
    /// The most it may take.
    pub timeout: Duration,
    /// The most bytes of an answer that are taken.
    pub most: u64,
    /// Whether a private address may be asked.
    pub private: bool,
}

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpResponse {
    /// The status, whatever it is.
    pub status: u16,
    /// Its header fields.
    pub headers: Vec<(String, String)>,
    /// Its body, whole.
    pub body: Vec<u8>,
}

/// Asks models for plugins.
#[async_trait]
pub trait Models: Send + Sync {
    /// Asks a chain of models: the first that answers. `most` is what an answer may cost,
    /// `folder` the workflow's. What was taken is returned with the failure, too, and not noted.
    ///
    /// Dropping the future ends the call.
    async fn ask(
        &self,
        chain: &[ModelChoice],
        request: &Request,
        most: Option<Money>,
        folder: &Path,
        context: &CallContext<'_>,
    ) -> Result<(Answer, CallUsage), (Failure, Option<CallUsage>)>;
}
