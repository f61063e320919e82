//! From what a workflow says of a plugin to a step or a provider.
//!
//! Here the parts come together: the file and its manifest, what they ask for, what the workflow
//! grants, and the settings, held against the plugin's own schema. Files are local; nothing is
//! fetched. What was compiled and described once is known by its hash.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flow_core::language::ModelChoice;
use flow_core::plugin::{
    LoadedPlugin, Models, PluginDoes, PluginFault, PluginSource, PluginUse, Plugins as CorePlugins,
};
use serde_json::{Map, Value, json};

use crate::action::PluginStep;
use crate::fault::LoadError;
use crate::inspect::Kind;
use crate::plugin::Plugin;
use crate::policy::{Capabilities, Granted, Limits, Manifest, ManifestError, PolicyFault};
use crate::provider::PluginProvider;
use crate::sandbox::{Sandbox, Setup};

/// The name of a manifest.
pub const MANIFEST: &str = "plugin.yaml";

/// Finds plugins that were installed.
pub trait Installed: Send + Sync {
    /// The component or the manifest of a plugin; a message where there is none.
    fn find(&self, name: &str, version: &str) -> Result<PathBuf, PluginFault>;
}

/// None is installed.
pub struct NoneInstalled;

impl Installed for NoneInstalled {
    fn find(&self, name: &str, version: &str) -> Result<PathBuf, PluginFault> {
        Err(PluginFault {
            at: vec!["use".into()],
            message: format!("plugin `{name}@{version}` is not installed"),
            hint: Some("name its file by `path`".into()),
        })
    }
}

/// The plugins of a process. The sandbox is set up when the first one is named.
pub struct Plugins {
    setup: std::sync::Mutex<Option<Setup>>,
    sandbox: std::sync::OnceLock<Arc<Sandbox>>,
    models: Arc<dyn Models>,
    installed: Arc<dyn Installed>,
}

/// A plugin with all that a call of it needs, as one workflow uses it.
#[derive(Clone)]
pub(crate) struct Ready {
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) granted: Arc<Granted>,
    pub(crate) config: Arc<BTreeMap<String, String>>,
    /// The models that it may ask, by their names in the workflow.
    pub(crate) models: BTreeMap<String, Vec<ModelChoice>>,
    pub(crate) services: Arc<dyn Models>,
}

impl Ready {
    /// What makes it what it is: its bytes, what it may do, its settings and its models.
    ///
    /// Limits have no part in it, as timeouts have none: they decide whether there is an output,
    /// not which.
    pub(crate) fn identity(&self) -> Value {
        let models = self.models.iter().map(|(name, chain)| {
            let chain: Vec<_> = chain.iter().map(|m| json!([m.provider, m.model])).collect();
            (name.clone(), Value::Array(chain))
        });
        json!({
            "sha256": self.plugin.hash().hex(),
            "may": self.granted.may.to_json(),
            "config": *self.config,
            "models": models.collect::<Map<_, _>>(),
        })
    }
}

impl Plugins {
    /// The plugins of a process, none of which is loaded yet.
    pub fn new(setup: Setup, models: Arc<dyn Models>, installed: Arc<dyn Installed>) -> Self {
        let setup = std::sync::Mutex::new(Some(setup));
        Self { setup, sandbox: std::sync::OnceLock::new(), models, installed }
    }

    /// The sandbox, set up when it is first asked for.
    pub fn sandbox(&self) -> Result<Arc<Sandbox>, LoadError> {
        if let Some(sandbox) = self.sandbox.get() {
            return Ok(Arc::clone(sandbox));
        }
        let mut setup = self.setup.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(sandbox) = self.sandbox.get() {
            return Ok(Arc::clone(sandbox));
        }
        let Some(setup) = setup.take() else {
            return Err(LoadError::Sandbox("it could not be set up before".into()));
        };
        let sandbox = Sandbox::new(setup)?;
        Ok(Arc::clone(self.sandbox.get_or_init(|| sandbox)))
    }

    fn ready(&self, wanted: &PluginUse<'_>) -> Result<Ready, Vec<PluginFault>> {
        let (manifest, plugin) = self.found(wanted).map_err(|fault| vec![fault])?;
        let descriptor = plugin.descriptor();
        let (asked, asked_limits) = match &manifest {
            Some(manifest) => (manifest.capabilities.clone(), manifest.limits),
            None => (descriptor.capabilities.clone(), descriptor.limits),
        };
        let mut faults = Vec::new();
        let mut keep = |fault: PolicyFault| faults.push(of_policy(fault));
        let granted = wanted.settings.get("grant").map(|value| Capabilities::read(value, "grant"));
        let granted = granted.transpose().unwrap_or_else(|fault| {
            keep(fault);
            None
        });
        let limits = wanted.settings.get("limits").map(|value| Limits::read(value, Limits::USUAL));
        let limits = limits.transpose().unwrap_or_else(|fault| {
            keep(fault);
            None
        });
        let granted =
            Granted::of(wanted.name, asked, &granted.unwrap_or_default(), asked_limits, limits)
                .within(wanted.folder);
        for rule in &granted.may.dirs {
            if let Err(fault) = rule.place(wanted.folder) {
                keep(fault);
            }
        }
        let mut models = BTreeMap::new();
        for name in granted.may.models.iter().flat_map(|rule| &rule.names) {
            match wanted.models.get(name) {
                Some(chain) => drop(models.insert(name.clone(), chain.clone())),
                None => keep(
                    PolicyFault::new(&["grant", "models"], format!("there is no model `{name}`"))
                        .hint("grant names of `models:`"),
                ),
            }
        }
        let config = match config(wanted.settings.get("config"), &descriptor.config) {
            Ok(config) => config,
            Err(fault) => {
                keep(fault);
                BTreeMap::new()
            }
        };
        if !faults.is_empty() {
            return Err(faults);
        }
        let (granted, config) = (Arc::new(granted), Arc::new(config));
        Ok(Ready { plugin, granted, config, models, services: Arc::clone(&self.models) })
    }

    /// The file that a workflow names, with its manifest where it has one.
    fn found(
        &self,
        wanted: &PluginUse<'_>,
    ) -> Result<(Option<Manifest>, Arc<Plugin>), PluginFault> {
        let (place, pinned) = match wanted.source {
            PluginSource::Path { place, pinned, .. } => (place.clone(), pinned.as_deref()),
            PluginSource::Installed { name, version, pinned } => {
                (self.installed.find(name, version)?, pinned.as_deref())
            }
        };
        let failed = |error: LoadError| of_load(wanted.name, &error);
        let (manifest, component) = place_of(wanted.name, &place)?;
        let sandbox = self.sandbox().map_err(failed)?;
        let found = sandbox.load_file(&component);
        let hash = manifest.as_ref().and_then(|manifest| manifest.sha256.as_deref());
        let plugin = match (found, pinned) {
            (Ok(plugin), None) => plugin,
            (Ok(plugin), Some(pin)) if plugin.hash().hex() == pin => plugin,
            // A run goes on with the plugin that it began with, whatever became of the file.
            (found, Some(pin)) => match sandbox.load_kept(pin).map_err(failed)? {
                Some(plugin) => return Ok((manifest, plugin)),
                None => {
                    let found = found.map_err(failed)?.hash().hex();
                    return Err(failed(LoadError::Hash { found, wanted: pin.to_owned() }));
                }
            },
            (Err(error), None) => return Err(failed(error)),
        };
        match hash {
            Some(hash) if plugin.hash().hex() != hash => {
                let (found, wanted) = (plugin.hash().hex(), hash.to_owned());
                Err(failed(LoadError::Hash { found, wanted }))
            }
            Some(_) | None => Ok((manifest, plugin)),
        }
    }
}

impl CorePlugins for Plugins {
    fn load(&self, wanted: &PluginUse<'_>) -> Result<LoadedPlugin, Vec<PluginFault>> {
        let ready = self.ready(wanted)?;
        let sha256 = ready.plugin.hash().hex();
        let does = match ready.plugin.kind() {
            Kind::Step => PluginDoes::Step(Arc::new(PluginStep::new(ready))),
            Kind::Provider => {
                let identity = ready.identity();
                PluginDoes::Provider(Arc::new(PluginProvider(ready)), identity)
            }
        };
        Ok(LoadedPlugin { does, sha256 })
    }
}

/// The component that a path means, and its manifest: a folder or a manifest names its
/// component, and a component may have a manifest beside it that names it.
pub(crate) fn place_of(
    name: &str,
    place: &Path,
) -> Result<(Option<Manifest>, PathBuf), PluginFault> {
    let beside = match place.extension().is_some_and(|end| end == "wasm") {
        true => place.with_file_name(MANIFEST),
        false if place.is_dir() => place.join(MANIFEST),
        false => place.to_path_buf(),
    };
    let is_component = place.extension().is_some_and(|end| end == "wasm");
    let bytes = match std::fs::read(&beside) {
        Ok(bytes) => bytes,
        Err(_) if is_component => return Ok((None, place.to_path_buf())),
        Err(error) => {
            let why = match error.kind() {
                std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
                _ => error.to_string(),
            };
            return Err(PluginFault {
                at: Vec::new(),
                message: format!("plugin `{name}`: cannot read `{}`: {why}", beside.display()),
                hint: Some("name its `.wasm` file, or the folder of its `plugin.yaml`".into()),
            });
        }
    };
    let manifest = Manifest::read(&bytes).map_err(|error| PluginFault {
        at: Vec::new(),
        message: format!("plugin `{name}`: `{}`: {error}", beside.display()),
        hint: match error {
            ManifestError::Wrong(fault) => fault.hint,
            ManifestError::TooLarge | ManifestError::Yaml(_) => None,
        },
    })?;
    let component = beside.with_file_name(&manifest.file);
    if is_component && component != *place {
        return Ok((None, place.to_path_buf()));
    }
    Ok((Some(manifest), component))
}

/// The settings as the plugin reads them: texts as they are, anything else as JSON text.
pub(crate) fn config(
    given: Option<&Value>,
    schema: &Value,
) -> Result<BTreeMap<String, String>, PolicyFault> {
    let empty = Value::Object(Map::new());
    let given = given.unwrap_or(&empty);
    let Some(map) = given.as_object() else {
        return Err(PolicyFault::new(&["config"], "`config` is a map"));
    };
    if let Ok(validator) = jsonschema::validator_for(schema)
        && let Some(error) = validator.iter_errors(given).next()
    {
        let place = error.instance_path().to_string();
        let key = place.trim_start_matches('/').split('/').next().unwrap_or_default().to_owned();
        let of = if key.is_empty() { String::new() } else { format!(" `{key}`") };
        let at: Vec<&str> = if key.is_empty() { vec!["config"] } else { vec!["config", &key] };
        return Err(PolicyFault::new(&at, format!("the setting{of} is wrong: {error}")));
    }
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Ok(map.iter().map(|(key, value)| (key.clone(), text(value))).collect())
}

pub(crate) fn of_policy(fault: PolicyFault) -> PluginFault {
    let PolicyFault { at, message, hint } = fault;
    PluginFault { at, message, hint }
}

/// What is wrong with the file of a plugin that is called so.
pub(crate) fn of_load(name: &str, error: &LoadError) -> PluginFault {
    PluginFault { at: Vec::new(), message: format!("plugin `{name}`: {error}"), hint: error.hint() }
}
