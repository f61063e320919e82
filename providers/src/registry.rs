//! From the name of a provider to the provider.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use flow_core::error::{ErrorClass, Failure};
use flow_core::language::{KnownProviders, ModelChoice, ProviderConfig};
use flow_core::plugin::PluginSlot;
use flow_core::provider::Provider;
use flow_core::template::{Reference, Scope, Segment, Template};
use flow_core::units::Money;
use flow_core::uploads::UploadLedger;
use flow_llama::{Llama, LocalModel, LocalModels, Runtime, WithPaths};
use serde_json::{Map, Value, json};

use crate::anthropic::Anthropic;
use crate::auto::Auto;
use crate::catalog::Catalog;
use crate::command::Program;
use crate::gemini::Gemini;
use crate::http::Http;
use crate::limits::Limits;
use crate::local::{self, Local};
use crate::ollama::Ollama;
use crate::openai;
use crate::plugged::Plugged;
use crate::random;
use crate::redact::Redactor;
use crate::service::batch::Batches;
use crate::service::{Dialect, Endpoint, Fitting, Flights, Kind, Outside, Service};
use crate::tape::{Replayed, Tape};

/// The providers there are, and the secrets that their settings may name.
pub struct Providers {
    secrets: Arc<Value>,
    /// What the user set up for every workflow, by name.
    configured: BTreeMap<String, Arc<ProviderConfig>>,
    catalog: Catalog,
    /// The one way to every server, made when it is first needed.
    http: OnceLock<Http>,
    /// Services that were set up, by name and settings: what they share (limits) lasts as
    /// long as the process.
    services: Mutex<BTreeMap<String, Arc<Service>>>,
    /// What `auto` stands for, once it was looked for.
    auto: OnceLock<Arc<Auto>>,
    /// The limits of those who are asked, by account: services of several names may be one.
    limits: Mutex<BTreeMap<String, Limits>>,
    /// What makes files fit for all of them.
    fitting: Fitting,
    /// What becomes of exchanges with them.
    tape: Tape,
    /// The uploads under way, whichever name of a service they go by.
    flights: Flights,
    /// What runs the models of this machine.
    runtime: Runtime,
    /// Who knows those of them that have a name.
    models: Option<Arc<dyn LocalModels>>,
}

/// What stands for a secret that is not there and not needed: answers come from a cassette.
const NO_SECRET: &str = "no-secret-on-replay";

impl Providers {
    /// The kinds of providers that are built in.
    pub const KINDS: &[&str] = &["command", "llama", "openai", "anthropic", "gemini", "ollama"];

    /// What a workflow may name of them, before the user's own.
    pub fn known() -> KnownProviders {
        let settings = Kind::ALL.map(|kind| (kind.as_str(), Endpoint::SETTINGS));
        let local = [(local::KIND, flow_llama::Settings::KEYS)];
        let settings = settings.into_iter().chain(local).collect();
        KnownProviders { kinds: Self::KINDS, settings, configured: BTreeMap::new() }
    }

    /// The secret of a name; none where there is none, or an empty one.
    pub fn secret(&self, name: &str) -> Option<&str> {
        self.secrets[name].as_str().filter(|value| !value.is_empty())
    }

    /// Makes the registry. A secret is read when a call is made, and never kept elsewhere.
    pub fn new(secrets: BTreeMap<String, String>) -> Self {
        let secrets = secrets.into_iter().map(|(name, value)| (name, Value::String(value)));
        Self {
            secrets: Arc::new(Value::Object(secrets.collect())),
            configured: BTreeMap::new(),
            catalog: Catalog::default(),
            http: OnceLock::new(),
            services: Mutex::default(),
            auto: OnceLock::new(),
            limits: Mutex::default(),
            fitting: Fitting::default(),
            tape: Tape::default(),
            flights: Flights::default(),
            runtime: Runtime::new(None),
            models: None,
        }
    }

    /// The same with what runs the models of this machine, and who knows them by name; without,
    /// a request to one of them says how to get that.
    #[must_use]
    pub fn with_local(self, runtime: Runtime, models: Option<Arc<dyn LocalModels>>) -> Self {
        Self { runtime, models, ..self }
    }

    /// The same with what the user set up for every workflow, by name.
    #[must_use]
    pub fn with_configured(self, configured: BTreeMap<String, Arc<ProviderConfig>>) -> Self {
        Self { configured, ..self }
    }

    /// What the user set up for every workflow, by name.
    pub(crate) fn configured(&self) -> &BTreeMap<String, Arc<ProviderConfig>> {
        &self.configured
    }

    /// A kind of service as it is where no workflow says more: as the user set it up, or with
    /// what is usual.
    pub(crate) fn usual(&self, kind: Kind) -> ModelChoice {
        let name = kind.as_str();
        let set = self.configured.get(name).filter(|config| config.kind == name).cloned();
        choice(
            name,
            set.unwrap_or_else(|| {
                Arc::new(ProviderConfig { kind: name.into(), ..ProviderConfig::default() })
            }),
        )
    }

    /// The same with what becomes of exchanges with them. Answers from a cassette need no keys
    /// and no other secrets, and nobody waits for a turn.
    #[must_use]
    pub fn with_tape(self, tape: Tape) -> Self {
        Self { tape, ..self }
    }

    /// Whether a service of this kind can answer, as far as a cassette decides.
    pub(crate) fn may_answer(&self, kind: Kind) -> bool {
        self.tape.may_answer(kind.as_str())
    }

    /// The provider of a model. `folder` is the workflow's.
    pub(crate) fn of(
        &self,
        choice: &ModelChoice,
        folder: &Path,
    ) -> Result<Arc<dyn Provider>, Failure> {
        let provider = self.asked(choice, folder)?;
        match self.tape.is_replaying() {
            true => Ok(Arc::new(Replayed(provider))),
            false => Ok(provider),
        }
    }

    fn asked(&self, choice: &ModelChoice, folder: &Path) -> Result<Arc<dyn Provider>, Failure> {
        match choice.config.kind.as_str() {
            "command" => self.command(choice, folder),
            local::KIND => self.local(choice, folder),
            "auto" => match self.auto.get() {
                Some(auto) => Ok(Arc::clone(auto) as Arc<dyn Provider>),
                None => {
                    let found = Arc::new(Auto::find(self)?);
                    Ok(Arc::clone(self.auto.get_or_init(|| found)) as Arc<dyn Provider>)
                }
            },
            "plugin" => self.plugged(choice),
            kind => match Kind::from_name(kind) {
                Some(kind) => Ok(self.service(kind, choice)? as Arc<dyn Provider>),
                None => Err(Failure::new(
                    ErrorClass::NotFound,
                    format!("provider `{}`: there is no kind `{kind}`", choice.provider),
                )),
            },
        }
    }

    /// The models that a provider serves now, by asking it. `folder` is the workflow's.
    ///
    /// Dropping the future ends the call.
    pub async fn models(
        &self,
        choice: &ModelChoice,
        folder: &Path,
    ) -> Result<Vec<String>, Failure> {
        self.of(choice, folder)?.models().await
    }

    /// The service that a model is asked at.
    pub(crate) fn service(
        &self,
        kind: Kind,
        choice: &ModelChoice,
    ) -> Result<Arc<Service>, Failure> {
        let name = &choice.provider;
        let settings = self.settings(name, &choice.config)?;
        let key = format!("{name} {} {}", kind.as_str(), Value::Object(settings.clone()));
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(service) = services.get(&key) {
            return Ok(Arc::clone(service));
        }
        let variable = |name: &str| {
            let value = self.secrets[name].as_str().filter(|value| !value.is_empty());
            let needless = || self.tape.is_replaying() && kind.is_key(name);
            value.or_else(|| needless().then_some(NO_SECRET)).map(str::to_owned)
        };
        let redactor = self.redactor(&choice.config);
        let computed = Computed::of(&choice.config, &settings);
        let endpoint = Endpoint::new(name, kind, settings, &variable, redactor)
            .map_err(|failure| computed.unquoted(name, failure))?;
        let http = self.http.get_or_init(|| Http::new(self.tape.clone())).clone();
        let dialect = dialect(&endpoint)?;
        let catalog = self.catalog;
        let limits = self.limits(&endpoint);
        let outside = Outside::new(self.tape.clone());
        let (fitting, flights) = (self.fitting.clone(), self.flights.clone());
        let batches = Batches::default();
        let service = Service {
            endpoint,
            dialect,
            http,
            catalog,
            outside,
            limits,
            fitting,
            flights,
            batches,
        };
        let service = Arc::new(service);
        services.insert(key, Arc::clone(&service));
        Ok(service)
    }

    /// Removes files that no run needs any more from the services of these models and from
    /// those that were asked before, and says what could not be removed; that is tried again
    /// when this is called again.
    ///
    /// Takes half a minute a service at most. Dropping the future leaves some of them there.
    pub async fn tidy(
        &self,
        models: impl IntoIterator<Item = &ModelChoice>,
        uploads: &dyn UploadLedger,
    ) -> Vec<Failure> {
        for choice in models {
            if let Some(kind) = Kind::from_name(&choice.config.kind) {
                // One that cannot be asked keeps what it has.
                let _ = self.service(kind, choice);
            }
        }
        let services: Vec<_> = {
            let services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
            services.values().cloned().collect()
        };
        let mut left = Vec::new();
        for service in services {
            left.extend(service.tidy(uploads).await);
        }
        left
    }

    fn limits(&self, endpoint: &Endpoint) -> Limits {
        if self.tape.is_replaying() {
            return Limits::none();
        }
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        limits.entry(endpoint.account()).or_insert_with(|| Limits::new(endpoint.limits)).clone()
    }

    fn local(&self, choice: &ModelChoice, folder: &Path) -> Result<Arc<dyn Provider>, Failure> {
        let name = &choice.provider;
        let settings = self.settings(name, &choice.config)?;
        let computed = Computed::of(&choice.config, &settings);
        let settings = flow_llama::Settings::read(name, &settings.into_iter().collect())
            .map_err(|failure| computed.unquoted(name, failure))?;
        let named = choice.path.as_ref().map(|path| LocalModel {
            name: choice.model.clone(),
            weights: folder.join(path),
            projector: choice.projector.as_ref().map(|projector| folder.join(projector)),
            context: None,
        });
        let models = WithPaths { folder: folder.to_path_buf(), named, others: self.models.clone() };
        let (runtime, models) = (self.runtime.clone(), Arc::new(models));
        let llama = Llama::new(name, settings, runtime, models, random::number);
        let redactor = self.redactor(&choice.config);
        let (fitting, tape) = (self.fitting.clone(), self.tape.clone());
        Ok(Arc::new(Local { name: name.clone(), llama, fitting, tape, redactor }))
    }

    /// The models of this machine, for `auto`; none where flow has no llama.cpp, or nobody knows
    /// them.
    pub(crate) fn own_models(&self) -> Option<Arc<dyn Provider>> {
        self.models.as_ref().filter(|_| self.runtime.is_built_in())?;
        self.local(&self.usual_local(), Path::new("")).ok()
    }

    /// The local model of a cassette that answers come from, for `auto`.
    pub(crate) fn taped_local(&self) -> Option<(Arc<dyn Provider>, String)> {
        let model = self.tape.model_of(local::KIND)?;
        Some((self.local(&self.usual_local(), Path::new("")).ok()?, model.to_owned()))
    }

    /// Local models as they are where no workflow says more.
    fn usual_local(&self) -> ModelChoice {
        let set = self.configured.get(local::KIND).filter(|config| config.kind == local::KIND);
        let usual = || Arc::new(ProviderConfig { kind: local::KIND.into(), ..<_>::default() });
        choice(local::KIND, set.cloned().unwrap_or_else(usual))
    }

    /// A plugin that serves models, at the price that the workflow says.
    fn plugged(&self, choice: &ModelChoice) -> Result<Arc<dyn Provider>, Failure> {
        let name = &choice.provider;
        let plugin = choice.config.plugin.as_ref().and_then(PluginSlot::provider);
        let plugin = plugin.ok_or_else(|| {
            Failure::new(ErrorClass::NotFound, format!("plugin `{name}` serves no models"))
        })?;
        let settings = self.settings(name, &choice.config)?;
        let price = settings.get("price").and_then(Value::as_str);
        let price = price.and_then(|price| price.parse::<Money>().ok());
        Ok(Arc::new(Plugged::new(name.clone(), Arc::clone(plugin), price)))
    }

    fn command(&self, choice: &ModelChoice, folder: &Path) -> Result<Arc<dyn Provider>, Failure> {
        let name = &choice.provider;
        let mut settings = self.settings(name, &choice.config)?;
        let computed = Computed::of(&choice.config, &settings);
        let command = match settings.remove("command") {
            Some(Value::String(program)) => vec![program],
            Some(Value::Array(words)) => {
                words.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            Some(_) | None => Vec::new(),
        };
        if command.is_empty() {
            let message =
                format!("provider `{name}` needs `command`, the program and its arguments");
            return Err(Failure::input(message));
        }
        let price = match settings.remove("price") {
            None => None,
            Some(price) => {
                Some(price.as_str().unwrap_or_default().parse::<Money>().map_err(|error| {
                    let message = format!("provider `{name}`: `price`: {error}");
                    computed.unquoted(name, Failure::input(message))
                })?)
            }
        };
        if let Some(key) = settings.keys().next() {
            let message = format!("provider `{name}` of type `command` has no setting `{key}`");
            return Err(Failure::input(message).with_hint("it has: command, price"));
        }
        let folder = folder.to_path_buf();
        let redactor = self.redactor(&choice.config);
        let (name, tape) = (name.clone(), self.tape.clone());
        Ok(Arc::new(Program { name, command, folder, price, redactor, tape }))
    }

    /// Knows the secrets that the settings of a provider name, and what is made of them there.
    fn redactor(&self, config: &ProviderConfig) -> Redactor {
        let references = config.settings.values().flat_map(Template::references);
        let names = references.filter_map(|reference| match reference.segments.first() {
            Some(Segment::Key(name)) if reference.root == "secrets" => Some(name),
            _ => None,
        });
        let secrets = names.filter_map(|name| self.secrets[name].as_str().map(str::to_owned));
        let mut redactor = Redactor::new(secrets);
        let mut made = Vec::new();
        for template in config.settings.values() {
            made_of_secrets(template, &self.scope(), &mut made);
        }
        made.into_iter().for_each(|text| redactor.add(text));
        redactor
    }

    /// The secrets that a provider's settings name, with something for each that is not there.
    fn secrets_of(&self, config: &ProviderConfig) -> Arc<Value> {
        let mut secrets = Value::clone(&self.secrets);
        for reference in config.settings.values().flat_map(Template::references) {
            if let Some(Segment::Key(name)) = reference.segments.first()
                && reference.root == "secrets"
                && secrets[name].is_null()
            {
                secrets[name] = json!(NO_SECRET);
            }
        }
        Arc::new(secrets)
    }

    fn scope(&self) -> Scope {
        Scope::new().with("secrets", Arc::clone(&self.secrets))
    }

    fn settings(&self, name: &str, config: &ProviderConfig) -> Result<Map<String, Value>, Failure> {
        let scope = match self.tape.is_replaying() {
            true => Scope::new().with("secrets", self.secrets_of(config)),
            false => self.scope(),
        };
        let mut settings = Map::new();
        for (key, template) in &config.settings {
            let value = template.render(&scope).map_err(|error| {
                // What a filter says of a secret that it cannot take may quote it.
                let why = match self.has_all(template) {
                    true => "it cannot be computed from its secrets".to_owned(),
                    false => error.message,
                };
                // The names of the environment are nobody's business.
                Failure::input(format!("provider `{name}`: `{key}`: {why}"))
                    .with_hint("a secret comes from the environment or from `--secrets FILE`")
            })?;
            settings.insert(key.clone(), value);
        }
        Ok(settings)
    }

    /// Whether every secret that a setting names is there, and it names one.
    fn has_all(&self, template: &Template) -> bool {
        let mut secrets = template.references().into_iter().filter(|name| name.root == "secrets");
        let is_there = |reference: &Reference| match reference.segments.first() {
            Some(Segment::Key(name)) => self.secrets.get(name).is_some(),
            Some(Segment::Index(_)) | None => true,
        };
        let first = secrets.next();
        first.is_some_and(is_there) && secrets.all(is_there)
    }
}

/// Gathers the texts that a setting makes of secrets.
fn made_of_secrets(template: &Template, scope: &Scope, made: &mut Vec<String>) {
    match template {
        Template::Literal(_) => {}
        Template::Expression(_) | Template::Text(_) => {
            if template.references().iter().any(|reference| reference.root == "secrets")
                && let Ok(value) = template.render(scope)
            {
                texts(&value, made);
            }
        }
        Template::List(items) => items.iter().for_each(|item| made_of_secrets(item, scope, made)),
        Template::Map(entries) => {
            entries.iter().for_each(|(_, value)| made_of_secrets(value, scope, made));
        }
    }
}

/// Gathers the texts and numbers in a value.
fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Null | Value::Bool(_) => {}
        Value::Number(number) => found.push(number.to_string()),
        Value::String(text) => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(map) => map.values().for_each(|value| texts(value, found)),
    }
}

/// The settings of a provider that are computed, with what they hold.
struct Computed(Vec<(String, Vec<String>)>);

impl Computed {
    fn of(config: &ProviderConfig, settings: &Map<String, Value>) -> Self {
        let computed = config.settings.iter().filter(|(_, template)| template.literal().is_none());
        let held = computed.map(|(key, _)| {
            let mut held = Vec::new();
            settings.get(key).iter().for_each(|value| texts(value, &mut held));
            (key.clone(), held)
        });
        Self(held.collect())
    }

    /// The failure without what was computed: that may come from secrets.
    fn unquoted(&self, provider: &str, failure: Failure) -> Failure {
        let hint = failure.hint.as_deref().unwrap_or_default();
        let quotes = |held: &String| {
            let debug = format!("{held:?}");
            let inner = debug.trim_matches('"');
            [held.as_str(), inner].iter().any(|text| {
                !text.is_empty() && (failure.message.contains(text) || hint.contains(text))
            })
        };
        let keys = self.0.iter().filter(|(_, held)| held.iter().any(quotes));
        let keys: Vec<_> = keys.map(|(key, _)| format!("`{key}`")).collect();
        if keys.is_empty() {
            return failure;
        }
        let message = format!(
            "provider `{provider}`: what is computed for {} cannot be used",
            keys.join(", ")
        );
        Failure::new(failure.class, message)
            .with_hint("its value is not shown: it may hold a secret")
    }
}

/// A provider, without saying which of its models.
pub(crate) fn choice(provider: &str, config: Arc<ProviderConfig>) -> ModelChoice {
    ModelChoice {
        provider: provider.to_owned(),
        config,
        model: String::new(),
        path: None,
        projector: None,
        options: None,
    }
}

/// How a service is spoken to.
pub(crate) fn dialect(endpoint: &Endpoint) -> Result<Arc<dyn Dialect>, Failure> {
    match endpoint.kind {
        Kind::Ollama => Ok(Arc::new(Ollama)),
        Kind::OpenAi => openai::dialect(endpoint),
        Kind::Anthropic => Ok(Arc::new(Anthropic)),
        Kind::Gemini => Ok(Arc::new(Gemini)),
    }
}

impl std::fmt::Debug for Providers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Providers").field("secrets", &json!("…")).finish()
    }
}
