//! Providers and models: who answers, and in which order they are asked.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::document::{Data, Node, Place};
use super::super::keys;
use super::super::workflow::{ModelChoice, PERSON, ProviderConfig};
use super::reader::Fields;
use super::{Checker, KnownProviders};
use crate::template::Template;
use crate::units::Money;

pub(super) type Models = BTreeMap<String, Vec<ModelChoice>>;
pub(super) type Providers = BTreeMap<String, Arc<ProviderConfig>>;

/// The most models a chain may have.
const LONGEST_CHAIN: usize = 32;

impl Checker<'_> {
    pub(super) fn providers(&mut self, fields: &Fields<'_>) -> Providers {
        let mut providers = Providers::new();
        let Some(node) = fields.get("providers") else {
            return providers;
        };
        for entry in self.map(node, "`providers`").unwrap_or_default() {
            let Some(settings) = self.map(&entry.value, "a provider") else {
                continue;
            };
            let kind = settings.iter().find(|setting| setting.key == "type");
            let (name, place) = match kind {
                Some(kind) => match self.text(&kind.value, "`type`") {
                    Some(name) => (name.to_owned(), kind.value.place),
                    None => continue,
                },
                None => (entry.key.clone(), entry.place),
            };
            if name == "plugin" {
                if let Some(config) = self.plugin_provider(&entry.key, &entry.value) {
                    providers.insert(entry.key.clone(), Arc::new(config));
                }
                continue;
            }
            let kinds = self.environment.providers.kinds;
            let known = kinds.contains(&name.as_str());
            if !known {
                let hint = self.meant(&name, kinds.iter().copied());
                let hint =
                    hint.unwrap_or_else(|| format!("set `type` to one of: {}", kinds.join(", ")));
                self.error(place, format!("there is no kind of provider `{name}`"), Some(hint));
            }
            let has = self.environment.providers.settings.get(name.as_str()).copied();
            let mut templates = BTreeMap::new();
            for setting in settings.iter().filter(|setting| setting.key != "type") {
                if let Some(has) = has.filter(|has| !has.contains(&setting.key.as_str())) {
                    let hint = self.meant(&setting.key, has.iter().copied());
                    let hint = hint.unwrap_or_else(|| format!("it has: {}", has.join(", ")));
                    let key = &setting.key;
                    let message = format!("a provider of type `{name}` has no setting `{key}`");
                    self.error(setting.place, message, Some(hint));
                    continue;
                }
                if let Some(template) = self.template(&setting.value) {
                    self.only_secrets(&setting.value, &template);
                    templates.insert(setting.key.clone(), template);
                }
            }
            if name == "command" {
                self.command(&entry.value);
            }
            self.take_over(&entry.key, &name, &mut templates);
            let config = ProviderConfig { kind: name, settings: templates, plugin: None };
            providers.insert(entry.key.clone(), Arc::new(config));
        }
        providers
    }

    /// Adds what the user set for a provider of this name to what the workflow leaves open.
    ///
    /// Not where the workflow says the address: the user's key is not for another place.
    fn take_over(&self, name: &str, kind: &str, settings: &mut BTreeMap<String, Template>) {
        let configured = self.environment.providers.configured.get(name);
        if let Some(configured) = configured.filter(|configured| configured.kind == kind)
            && !settings.contains_key("base_url")
            && kind != "command"
        {
            for (key, setting) in &configured.settings {
                settings.entry(key.clone()).or_insert_with(|| setting.clone());
            }
        }
    }

    /// Checks the settings of a program that answers.
    fn command(&mut self, node: &Node) {
        let Some(fields) = self.fields(node, "a provider of type `command`", keys::COMMAND) else {
            return;
        };
        let computed = |node: &Node| node.text().is_some_and(|text| text.contains("{{"));
        match fields.get("command") {
            None => {
                let hint = Some("e.g. `command: [python3, answer.py]`".to_owned());
                self.error(node.place, "the provider has no `command`", hint);
            }
            Some(command) => {
                let empty = match &command.data {
                    Data::List(words) => words.is_empty(),
                    Data::Text(text) => text.is_empty(),
                    Data::Null | Data::Bool(_) | Data::Number(_) | Data::Map(_) => true,
                };
                if empty {
                    let message = "`command` is a list: the program and its arguments";
                    self.error(command.place, message, None);
                } else if let Data::List(words) = &command.data {
                    for word in words {
                        self.text(word, "an element of `command`");
                    }
                }
            }
        }
        if let Some(price) = fields.get("price").filter(|price| !computed(price)) {
            self.unit(price, "price", str::parse::<Money>);
        }
    }

    /// Settings of a provider may refer to secrets and to nothing else.
    fn only_secrets(&mut self, node: &Node, template: &Template) {
        for reference in template.references() {
            if reference.root != "secrets" {
                let message = format!("settings of a provider cannot refer to `{reference}`");
                let hint = Some("only `secrets.NAME` has a value there".to_owned());
                self.error(node.place, message, hint);
            }
        }
    }

    pub(super) fn models(&mut self, fields: &Fields<'_>, providers: &Providers) -> Models {
        let mut models = Models::new();
        let Some(node) = fields.get("models") else {
            return models;
        };
        for entry in self.map(node, "`models`").unwrap_or_default() {
            let replaced = self.environment.instead.models.get(&entry.key);
            let node =
                replaced.map_or_else(|| entry.value.clone(), |text| written(text, entry.place));
            // A name whose model is at fault is still a name: one fault is enough.
            let chain = self.bounded(&node, &Models::new(), providers);
            models.insert(entry.key.clone(), chain.unwrap_or_default());
        }
        models
    }

    /// Says which replacements replace nothing.
    pub(super) fn replacements(&mut self, root: &Node, models: &Models) {
        for name in self.environment.instead.models.keys().filter(|name| *name != "*") {
            if !models.contains_key(name) {
                let hint = self.meant(name, models.keys().map(String::as_str));
                let hint = hint.unwrap_or_else(|| "`*=…` replaces every model".to_owned());
                let message = format!("`--model {name}=…`: the workflow names no model `{name}`");
                self.error(root.place, message, Some(hint));
            }
        }
    }

    /// The chain of an action: the one it names, or the one that replaces every model.
    pub(super) fn chain(
        &mut self,
        node: &Node,
        models: &Models,
        providers: &Providers,
    ) -> Option<Vec<ModelChoice>> {
        match self.environment.instead.models.get("*") {
            Some(text) => self.model(&written(text, node.place), &Models::new(), providers),
            None => self.bounded(node, models, providers),
        }
    }

    /// A chain of as many models as are worth asking.
    fn bounded(
        &mut self,
        node: &Node,
        models: &Models,
        providers: &Providers,
    ) -> Option<Vec<ModelChoice>> {
        let chain = self.model(node, models, providers)?;
        if chain.len() > LONGEST_CHAIN {
            let message =
                format!("a chain has at most {LONGEST_CHAIN} models, and this has {}", chain.len());
            self.error(node.place, message, None);
            return None;
        }
        Some(chain)
    }

    /// A model: a name, `provider/model`, an object, or a list of them.
    pub(super) fn model(
        &mut self,
        node: &Node,
        models: &Models,
        providers: &Providers,
    ) -> Option<Vec<ModelChoice>> {
        match &node.data {
            Data::List(items) => {
                if items.is_empty() {
                    self.error(node.place, "a chain of models needs at least one", None);
                    return None;
                }
                let chains: Vec<_> =
                    items.iter().map(|item| self.model(item, models, providers)).collect();
                let chains = chains.into_iter().collect::<Option<Vec<_>>>()?;
                let chain: Vec<_> = chains.into_iter().flatten().collect();
                if let Some(at) = chain.iter().position(ModelChoice::is_person)
                    && at + 1 < chain.len()
                {
                    let message = format!("`{PERSON}` is the last of a chain");
                    let hint = "a person answers or declines: nobody is asked after that";
                    self.error(node.place, message, Some(hint.to_owned()));
                    return None;
                }
                Some(chain)
            }
            Data::Text(text) => self.named_model(node, text, models, providers),
            Data::Map(_) => self.model_object(node, providers).map(|choice| vec![choice]),
            Data::Null | Data::Bool(_) | Data::Number(_) => {
                let message = format!("a model is `provider/model`, and this is {}", node.kind());
                self.error(node.place, message, None);
                None
            }
        }
    }

    fn named_model(
        &mut self,
        node: &Node,
        text: &str,
        models: &Models,
        providers: &Providers,
    ) -> Option<Vec<ModelChoice>> {
        if let Some(chain) = models.get(text) {
            return Some(chain.clone());
        }
        if matches!(text, "auto" | PERSON) {
            let config = ProviderConfig { kind: text.into(), ..ProviderConfig::default() };
            return Some(vec![choice(text, text, Arc::new(config))]);
        }
        let Some((provider, model)) = text.split_once('/') else {
            let names = models.keys().map(String::as_str);
            let hint = self.meant(text, names);
            let hint =
                hint.unwrap_or_else(|| "name it under `models:`, or write `provider/model`".into());
            self.error(node.place, format!("there is no model `{text}`"), Some(hint));
            return None;
        };
        let config = self.known_provider(node, provider, providers)?;
        if model.is_empty() {
            self.error(node.place, format!("`{text}` names no model"), None);
            return None;
        }
        Some(vec![choice(provider, model, config)])
    }

    fn known_provider(
        &mut self,
        node: &Node,
        name: &str,
        providers: &Providers,
    ) -> Option<Arc<ProviderConfig>> {
        if let Some(config) = providers.get(name) {
            return Some(Arc::clone(config));
        }
        if let Some(config) = self.plugin_as_provider(name) {
            self.serves_models(node, name);
            return Some(Arc::new(config));
        }
        let KnownProviders { kinds, configured, .. } = self.environment.providers;
        if let Some(config) = configured.get(name) {
            return Some(Arc::clone(config));
        }
        if name == "command" && kinds.contains(&name) {
            let hint = "name it under `providers:` with its `command`".to_owned();
            let message = "provider `command` needs settings";
            self.error(node.place, message, Some(hint));
            return None;
        }
        if kinds.contains(&name) {
            let config = ProviderConfig { kind: name.to_owned(), ..ProviderConfig::default() };
            return Some(Arc::new(config));
        }
        let names = providers.keys().chain(configured.keys()).map(String::as_str);
        let names = names.chain(kinds.iter().copied());
        let hint = self.meant(name, names);
        let hint = hint.unwrap_or_else(|| "name it under `providers:` with its `type`".into());
        self.error(node.place, format!("there is no provider `{name}`"), Some(hint));
        None
    }

    fn model_object(&mut self, node: &Node, providers: &Providers) -> Option<ModelChoice> {
        let fields = self.fields(node, "a model", keys::MODEL)?;
        let provider = self.optional_text(&fields, "provider");
        let path = self.optional_text(&fields, "path");
        let Some(provider) = provider else {
            self.error(node.place, "a model has a `provider`", None);
            return None;
        };
        let at = fields.get("provider").unwrap_or(node);
        let config = self.known_provider(at, &provider, providers)?;
        let model = self.optional_text(&fields, "model");
        let Some(model) = model.or_else(|| path.clone()) else {
            self.error(node.place, "a model has a `model` or a `path`", None);
            return None;
        };
        let options = fields.get("options").map(|options| {
            String::from_utf8(crate::content::canonical(&options.to_json())).unwrap_or_default()
        });
        let projector = self.optional_text(&fields, "projector");
        Some(ModelChoice { provider, config, model, path, projector, options })
    }
}

fn choice(provider: &str, model: &str, config: Arc<ProviderConfig>) -> ModelChoice {
    let (provider, model) = (provider.to_owned(), model.to_owned());
    ModelChoice { provider, config, model, path: None, projector: None, options: None }
}

/// A model that was named on the command line.
fn written(text: &str, place: Place) -> Node {
    Node { data: Data::Text(text.to_owned()), place }
}
