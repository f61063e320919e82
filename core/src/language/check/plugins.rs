//! Plugins that a workflow names: steps and providers that are not built in.
//!
//! A plugin may be granted models, and a model may be a plugin's. So plugins are named before
//! providers and models are read, and loaded when those are known. What a file holds is not
//! known here: whoever loads it says what is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value};

use super::super::document::{Data, Node, Place};
use super::super::keys;
use super::super::workflow::ProviderConfig;
use super::models::Models;
use super::reader::Fields;
use super::{Checker, listing};
use crate::action::Brought;
use crate::ids::is_identifier;
use crate::plugin::{PluginDoes, PluginFault, PluginPin, PluginSlot, PluginSource, PluginUse};
use crate::template::Template;
use crate::units::Money;

/// The plugins of a file.
#[derive(Default)]
pub(super) struct Named {
    plugins: BTreeMap<String, Plugin>,
    used: BTreeSet<String>,
}

/// A plugin, first named and then loaded.
struct Plugin {
    place: Place,
    /// What is written of it, for the places of faults.
    node: Node,
    source: Option<PluginSource>,
    settings: Map<String, Value>,
    slot: PluginSlot,
    does: Does,
}

/// What a plugin turned out to do.
enum Does {
    /// It could not be loaded; a fault says why.
    Nothing,
    Step(Brought),
    Provider,
}

impl Checker<'_> {
    /// Reads the names of plugins and what is written of them.
    pub(super) fn name_plugins(&mut self, fields: &Fields<'_>) {
        let Some(entry) = fields.entry("plugins") else { return };
        if self.environment.actions.plugins().is_none() {
            let hint = "get one with them: build it with the feature `plugins`";
            self.error(entry.place, "this flow was built without plugins", Some(hint.into()));
            return;
        }
        for entry in self.map(&entry.value, "`plugins`").unwrap_or_default() {
            if !is_plugin_name(&entry.key) {
                let hint = Some("use lower-case letters, digits and `-`".to_owned());
                self.error(entry.place, format!("`{}` cannot name a plugin", entry.key), hint);
                continue;
            }
            let (source, settings) = self.plugin_entry(&entry.value);
            let plugin = Plugin {
                place: entry.place,
                node: entry.value.clone(),
                source,
                settings,
                slot: PluginSlot::default(),
                does: Does::Nothing,
            };
            self.plugins.plugins.insert(entry.key.clone(), plugin);
        }
    }

    fn plugin_entry(&mut self, node: &Node) -> (Option<PluginSource>, Map<String, Value>) {
        if let Data::Text(text) = &node.data {
            let source = match is_installed(text) {
                true => self.installed(node, text),
                false => Some(self.at_path(text)),
            };
            return (source, Map::new());
        }
        let Some(fields) = self.fields(node, "a plugin", keys::PLUGIN) else {
            return (None, Map::new());
        };
        let source = match (fields.get("path"), fields.get("use")) {
            (Some(path), None) => self.text(path, "`path`").map(str::to_owned),
            (None, Some(name)) => {
                let text = self.text(name, "`use`").map(str::to_owned);
                let source = text.and_then(|text| self.installed(name, &text));
                return (source, self.plugin_settings(&fields));
            }
            (Some(_), Some(name)) => {
                self.error(name.place, "a plugin has `path` or `use`, not both", None);
                None
            }
            (None, None) => {
                let hint = Some("e.g. `path: ./totals.wasm`".to_owned());
                self.error(node.place, "a plugin has a `path`, or a `use`", hint);
                None
            }
        };
        let source = source.map(|path| self.at_path(&path));
        (source, self.plugin_settings(&fields))
    }

    fn at_path(&self, written: &str) -> PluginSource {
        let files = self.environment.files;
        PluginSource::Path {
            written: written.to_owned(),
            place: files.place(written),
            pinned: files.pinned(written).map(str::to_owned),
        }
    }

    fn installed(&mut self, node: &Node, text: &str) -> Option<PluginSource> {
        let parts = text.split_once('@').filter(|(name, _)| is_plugin_name(name));
        let Some((name, version)) = parts.filter(|(_, version)| !version.is_empty()) else {
            let hint = Some("e.g. `use: invoice-parse@1.2.0`".to_owned());
            self.error(node.place, format!("`{text}` names no installed plugin"), hint);
            return None;
        };
        let pinned = self.environment.files.pinned(text).map(str::to_owned);
        let (name, version) = (name.to_owned(), version.to_owned());
        Some(PluginSource::Installed { name, version, pinned })
    }

    /// What is written besides where it is. None of it is computed: what a plugin may do is
    /// decided before a run.
    fn plugin_settings(&mut self, fields: &Fields<'_>) -> Map<String, Value> {
        let mut settings = Map::new();
        for key in ["grant", "limits", "config"] {
            let Some(node) = fields.get(key) else { continue };
            match self.template(node).as_ref().map(Template::literal) {
                Some(Some(value)) => drop(settings.insert(key.to_owned(), value.clone())),
                Some(None) => {
                    let hint = "pass what is computed by `with`".to_owned();
                    let message = format!("`{key}` of a plugin cannot be computed");
                    self.error(node.place, message, Some(hint));
                }
                None => {}
            }
        }
        settings
    }

    /// Loads every plugin that was named.
    pub(super) fn load_plugins(&mut self, models: &Models) {
        let Some(loader) = self.environment.actions.plugins().cloned() else { return };
        let folder = self.environment.files.place(".");
        let mut named = std::mem::take(&mut self.plugins.plugins);
        for (name, plugin) in &mut named {
            let Some(source) = &plugin.source else { continue };
            let (settings, folder) = (&plugin.settings, &*folder);
            let wanted = PluginUse { name, source, settings, models, folder };
            let loaded = match loader.load(&wanted) {
                Ok(loaded) => loaded,
                Err(faults) => {
                    for fault in faults {
                        let place = place_of(&plugin.node, &fault.at);
                        let PluginFault { message, hint, .. } = fault;
                        self.error(place, message, hint);
                    }
                    continue;
                }
            };
            let (written, place) = match source {
                PluginSource::Path { written, place, .. } => (written.clone(), place.clone()),
                PluginSource::Installed { name, version, .. } => {
                    (format!("{name}@{version}"), std::path::PathBuf::new())
                }
            };
            let pin = PluginPin { sha256: loaded.sha256, place };
            self.session.plugins.insert(written, pin);
            plugin.does = match loaded.does {
                PluginDoes::Step(action) => Does::Step(Brought::new(action)),
                PluginDoes::Provider(provider, identity) => {
                    plugin.slot.fill(provider, identity);
                    Does::Provider
                }
            };
        }
        self.plugins.plugins = named;
        self.only_providers_serve();
    }

    /// Says which plugins are named as providers, before any step was read, and are none.
    fn only_providers_serve(&mut self) {
        let used: Vec<_> = self.plugins.used.iter().cloned().collect();
        for name in used {
            if let Some(node) = self.plugins.plugins.get(&name).map(|plugin| plugin.node.clone()) {
                self.serves_models(&node, &name);
            }
        }
    }

    /// Says that a plugin which is asked for a model is a step.
    pub(super) fn serves_models(&mut self, node: &Node, name: &str) {
        if let Some(Plugin { does: Does::Step(_), .. }) = self.plugins.plugins.get(name) {
            let hint = Some(format!("use it as a step: `uses: plugin.{name}`"));
            self.error(node.place, format!("plugin `{name}` serves no models"), hint);
        }
    }

    /// The step that a plugin is; a fault where it is none.
    pub(super) fn plugin_step(&mut self, node: &Node, name: &str) -> Option<Brought> {
        self.plugins.used.insert(name.to_owned());
        let Some(plugin) = self.plugins.plugins.get(name) else {
            // A flow without plugins has said so.
            if self.environment.actions.plugins().is_none() {
                let hint = "get one with them: build it with the feature `plugins`";
                self.error(node.place, "this flow was built without plugins", Some(hint.into()));
                return None;
            }
            let hint = self.meant(name, self.plugins.plugins.keys().map(String::as_str));
            let hint = hint.unwrap_or_else(|| {
                format!("name it under `plugins:`, e.g. `plugins: {{ {name}: ./{name}.wasm }}`")
            });
            self.error(node.place, format!("there is no plugin `{name}`"), Some(hint));
            return None;
        };
        match &plugin.does {
            Does::Step(brought) => Some(brought.clone()),
            Does::Nothing => None,
            Does::Provider => {
                let hint = Some(format!("ask it for a model: `model: {name}/MODEL`"));
                self.error(node.place, format!("plugin `{name}` is no step"), hint);
                None
            }
        }
    }

    /// The provider that a plugin of this name is, or turns out to be.
    pub(super) fn plugin_as_provider(&mut self, name: &str) -> Option<ProviderConfig> {
        let slot = self.plugins.plugins.get(name)?.slot.clone();
        self.plugins.used.insert(name.to_owned());
        Some(ProviderConfig {
            kind: "plugin".into(),
            settings: BTreeMap::new(),
            plugin: Some(slot),
        })
    }

    /// A provider of type `plugin`, with what a workflow says of it.
    pub(super) fn plugin_provider(&mut self, own: &str, node: &Node) -> Option<ProviderConfig> {
        let fields = self.fields(node, "a provider of type `plugin`", keys::PLUGIN_PROVIDER)?;
        let name = self.optional_text(&fields, "plugin").unwrap_or_else(|| own.to_owned());
        let Some(mut config) = self.plugin_as_provider(&name) else {
            let at = fields.get("plugin").unwrap_or(node).place;
            let names = || self.plugins.plugins.keys().map(String::as_str);
            let hint = self.meant(&name, names());
            let hint = hint.unwrap_or_else(|| listing("plugins are", names()));
            self.error(at, format!("there is no plugin `{name}`"), Some(hint));
            return None;
        };
        if let Some(price) = fields.get("price")
            && let Some(cost) = self.unit(price, "price", str::parse::<Money>)
        {
            let price = Template::Literal(Value::String(cost.to_string()));
            config.settings.insert("price".into(), price);
        }
        Some(config)
    }

    /// Says which plugins nothing uses.
    pub(super) fn unused_plugins(&mut self) {
        let unused = self.plugins.plugins.iter();
        let unused = unused.filter(|(name, _)| !self.plugins.used.contains(*name));
        let unused: Vec<_> = unused.map(|(name, plugin)| (name.clone(), plugin.place)).collect();
        for (name, place) in unused {
            self.warning(place, format!("plugin `{name}` is not used"), None);
        }
    }
}

/// Whether a text names an installed plugin and not a file.
fn is_installed(text: &str) -> bool {
    let is_file = Path::new(text).extension().is_some_and(|end| end == "wasm");
    text.contains('@') && !text.contains(['/', '\\']) && !is_file
}

/// Lower-case letters, digits and `-`, as in `uses: plugin.NAME`.
fn is_plugin_name(name: &str) -> bool {
    let spelt = name.replace('-', "_");
    is_identifier(&spelt) && !name.contains('_') && name.to_ascii_lowercase() == name
}

/// The place that keys lead to, as far as they are there.
fn place_of(node: &Node, at: &[String]) -> Place {
    let Some((key, rest)) = at.split_first() else { return node.place };
    let entry = node.entries().and_then(|entries| entries.iter().find(|entry| entry.key == *key));
    match entry {
        Some(entry) if rest.is_empty() => entry.place,
        Some(entry) => place_of(&entry.value, rest),
        None => node.place,
    }
}
