//! Where a service is, who we are there, and how much we may ask of it.
//!
//! Made from the settings of a provider: those of the workflow before those of the user's
//! file, those before the usual variables, and those before what the service's own library
//! takes for granted. A key is a header field marked sensitive from the moment it is read.

use std::collections::BTreeMap;

use flow_core::content::ContentHash;
use flow_core::error::{ErrorClass, Failure};
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::batch::BatchSettings;
use crate::catalog::Overrides;
use crate::http::{Body, Call, Patience};
use crate::limits::LimitSettings;
use crate::redact::Redactor;

/// A kind of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// OpenAI, and whatever speaks its protocol.
    OpenAi,
    /// Anthropic.
    Anthropic,
    /// Gemini.
    Gemini,
    /// Ollama.
    Ollama,
}

/// What is taken for granted of a kind, as its own library does.
struct Usual {
    name: &'static str,
    base_url: &'static str,
    /// Variables that may hold the key, the first that is set counts.
    keys: &'static [&'static str],
    /// The variable that may hold the address.
    address: Option<&'static str>,
    /// Whether nothing can be asked without a key.
    needs_key: bool,
}

impl Kind {
    /// Every kind.
    pub(crate) const ALL: [Self; 4] = [Self::OpenAi, Self::Anthropic, Self::Gemini, Self::Ollama];

    /// The variables that may hold its key.
    pub(crate) fn keys(self) -> impl Iterator<Item = String> {
        let usual = self.usual();
        let keys = if usual.needs_key { usual.keys } else { &[] };
        keys.iter().map(|key| format!("`{key}`"))
    }

    /// Whether a variable may hold its key.
    pub(crate) fn is_key(self, variable: &str) -> bool {
        self.usual().keys.contains(&variable)
    }

    /// The kind of this name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Its name, as `type` of a provider says it.
    pub(crate) fn as_str(self) -> &'static str {
        self.usual().name
    }

    fn usual(self) -> Usual {
        match self {
            Self::OpenAi => Usual {
                name: "openai",
                base_url: "https://api.openai.com/v1",
                keys: &["OPENAI_API_KEY"],
                address: Some("OPENAI_BASE_URL"),
                needs_key: true,
            },
            Self::Anthropic => Usual {
                name: "anthropic",
                base_url: "https://api.anthropic.com",
                keys: &["ANTHROPIC_API_KEY"],
                address: Some("ANTHROPIC_BASE_URL"),
                needs_key: true,
            },
            Self::Gemini => Usual {
                name: "gemini",
                base_url: "https://generativelanguage.googleapis.com/v1beta",
                keys: &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
                address: Some("GEMINI_BASE_URL"),
                needs_key: true,
            },
            Self::Ollama => Usual {
                name: "ollama",
                base_url: "http://127.0.0.1:11434",
                keys: &["OLLAMA_API_KEY"],
                address: Some("OLLAMA_HOST"),
                needs_key: false,
            },
        }
    }

    /// The header field that carries the key, and the key as it stands there.
    fn authorization(self, key: &str, version: Option<&str>) -> (&'static str, String) {
        match self {
            // From its version of October 2026 on, Anthropic takes a bearer token.
            Self::Anthropic if version.is_none_or(|version| version < "2026-10-21") => {
                ("x-api-key", key.to_owned())
            }
            Self::OpenAi | Self::Anthropic | Self::Ollama => {
                ("authorization", format!("Bearer {key}"))
            }
            Self::Gemini => ("x-goog-api-key", key.to_owned()),
        }
    }
}

/// A service as it is set up.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    /// The provider's name in the workflow.
    pub(crate) name: String,
    /// What kind of service it is.
    pub(crate) kind: Kind,
    /// Its address, without a slash at the end.
    pub(crate) base_url: String,
    /// Header fields of every call, the key among them.
    headers: HeaderMap,
    /// The version of its interface that is spoken, where that is set.
    pub(crate) version: Option<String>,
    /// Which of its interfaces is spoken, e.g. `responses`, where that is set.
    pub(crate) api: Option<String>,
    /// How much may be asked of it.
    pub(crate) limits: LimitSettings,
    /// How long is waited for it.
    pub(crate) patience: Patience,
    /// Whether and how requests go there in batches.
    pub(crate) batch: BatchSettings,
    /// What the user says of its models.
    pub(crate) models: Overrides,
    /// Knows what must not be told.
    pub(crate) redactor: Redactor,
}

/// The settings of a provider, as they are written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    base_url: Option<String>,
    api_key: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    version: Option<String>,
    api: Option<String>,
    organization: Option<String>,
    project: Option<String>,
    timeout: Option<String>,
    idle_timeout: Option<String>,
    batch: Option<Value>,
    #[serde(default)]
    models: BTreeMap<String, Value>,
}

impl Endpoint {
    /// The settings that a provider of a kind of service may have.
    pub(crate) const SETTINGS: &[&str] = &[
        "base_url",
        "api_key",
        "headers",
        "version",
        "api",
        "organization",
        "project",
        "concurrency",
        "requests_per_second",
        "requests_per_minute",
        "tokens_per_minute",
        "timeout",
        "idle_timeout",
        "batch",
        "models",
    ];

    /// Sets a service up. `variable` reads a variable of the environment; `redactor` knows the
    /// secrets that the settings name.
    pub(crate) fn new(
        name: &str,
        kind: Kind,
        settings: Map<String, Value>,
        variable: &dyn Fn(&str) -> Option<String>,
        redactor: Redactor,
    ) -> Result<Self, Failure> {
        if let Some(key) = settings.keys().find(|key| !Self::SETTINGS.contains(&key.as_str())) {
            let message =
                format!("provider `{name}` of type `{}` has no setting `{key}`", kind.as_str());
            return Err(
                Failure::input(message).with_hint(format!("it has: {}", Self::SETTINGS.join(", ")))
            );
        }
        let mut settings = settings;
        let limits = LimitSettings::taken(&format!("provider `{name}`"), &mut settings)?;
        let written: Written = serde_json::from_value(Value::Object(settings))
            .map_err(|error| Failure::input(format!("provider `{name}`: {error}")))?;
        let usual = kind.usual();
        // The usual address is only usual at the usual place: a server of one's own that
        // speaks the protocol needs no key of the service.
        let elsewhere = written.base_url.is_some();
        let address = written.base_url.or_else(|| variable(usual.address?));
        let base_url = address_of(name, kind, address.as_deref().unwrap_or(usual.base_url))?;
        let set = written.api_key.filter(|key| !key.is_empty());
        let key = set.or_else(|| usual.keys.iter().find_map(|key| variable(key)));
        if key.is_none() && usual.needs_key && !elsewhere {
            return Err(no_key(name, &usual));
        }
        let mut redactor = redactor;
        let mut headers = HeaderMap::new();
        if let Some(key) = &key {
            redactor.add(key.clone());
            let (field, value) = kind.authorization(key, written.version.as_deref());
            put(name, &mut headers, field, &value, true)?;
        }
        for (field, value) in
            [("openai-organization", &written.organization), ("openai-project", &written.project)]
        {
            if let Some(value) = value {
                put(name, &mut headers, field, value, false)?;
            }
        }
        for (field, value) in &written.headers {
            put(name, &mut headers, field, value, true)?;
        }
        let usual_patience = Patience::default();
        let wait = |key: &str, text: Option<String>, usual| match text {
            None => Ok(usual),
            Some(text) => flow_core::units::parse_duration(&text)
                .map_err(|error| Failure::input(format!("provider `{name}`: `{key}`: {error}"))),
        };
        Ok(Self {
            name: name.to_owned(),
            kind,
            base_url,
            headers,
            version: written.version,
            api: written.api,
            limits,
            patience: Patience {
                answer: wait("timeout", written.timeout, usual_patience.answer)?,
                pause: wait("idle_timeout", written.idle_timeout, usual_patience.pause)?,
                ..usual_patience
            },
            batch: BatchSettings::read(name, written.batch.as_ref())?,
            models: Overrides::read(name, &written.models)?,
            redactor,
        })
    }

    /// What says whose limits count: the address, who asks, and the limits that were set.
    pub(crate) fn account(&self) -> String {
        let mut account = format!("{} {:?} {:?}", self.base_url, self.limits, self.models);
        for (field, value) in &self.headers {
            let value = String::from_utf8_lossy(value.as_bytes());
            account.push_str(&format!("\n{field}: {value}"));
        }
        account
    }

    /// What stands for the account in the ledger of uploads: a hash of who is asked by whom.
    pub(crate) fn fingerprint(&self) -> ContentHash {
        let mut account = format!("{} {}", self.kind.as_str(), self.base_url);
        for (field, value) in &self.headers {
            account.push_str(&format!("\n{field}: {}", String::from_utf8_lossy(value.as_bytes())));
        }
        ContentHash::of_bytes(account.as_bytes())
    }

    /// Whether it is where its kind usually is, and so has the models of its kind.
    pub(crate) fn is_usual(&self) -> bool {
        self.base_url == self.kind.usual().base_url
    }

    /// Whether it runs on this machine.
    pub(crate) fn is_here(&self) -> bool {
        let url = reqwest::Url::parse(&self.base_url).ok();
        match url.as_ref().and_then(reqwest::Url::host_str) {
            Some("localhost") => true,
            Some(host) => {
                let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
                address.is_ok_and(|address| address.is_loopback())
            }
            None => false,
        }
    }

    /// A call of the service; `path` follows its address and begins with a slash.
    pub(crate) fn call(&self, method: Method, path: &str, body: Body) -> Call {
        self.call_to(method, format!("{}{path}", self.base_url), body)
    }

    /// A call of an address of the service.
    pub(crate) fn call_to(&self, method: Method, url: String, body: Body) -> Call {
        Call { headers: self.headers.clone(), ..self.bare_call(method, url, body) }
    }

    /// A call of an address that the service named, which may be anybody's: without the key.
    pub(crate) fn bare_call(&self, method: Method, url: String, body: Body) -> Call {
        Call {
            provider: self.name.clone(),
            kind: self.kind.as_str(),
            base_url: self.base_url.clone(),
            method,
            url,
            headers: HeaderMap::new(),
            body,
            patience: self.patience,
            redactor: self.redactor.clone(),
        }
    }
}

fn no_key(name: &str, usual: &Usual) -> Failure {
    let message =
        format!("provider `{name}` has no key: `{}` is not set", usual.keys.join("` or `"));
    Failure::new(ErrorClass::Auth, message).with_hint(format!(
        "set it, or write `api_key: \"{{{{ secrets.NAME }}}}\"` under `providers: {name}:`"
    ))
}

/// An address in the form in which paths can follow it.
fn address_of(name: &str, kind: Kind, text: &str) -> Result<String, Failure> {
    let full = match kind {
        Kind::Ollama => crate::ollama::full(text),
        Kind::OpenAi | Kind::Anthropic | Kind::Gemini if text.contains("://") => text.to_owned(),
        Kind::OpenAi | Kind::Anthropic | Kind::Gemini => format!("http://{text}"),
    };
    let full = full.trim_end_matches('/').to_owned();
    match reqwest::Url::parse(&full) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(full),
        _ => Err(Failure::input(format!("provider `{name}`: `base_url: {text}` is no address"))
            .with_hint("e.g. `http://127.0.0.1:8080/v1`")),
    }
}

fn put(
    provider: &str,
    headers: &mut HeaderMap,
    field: &str,
    value: &str,
    secret: bool,
) -> Result<(), Failure> {
    let (Ok(name), Ok(value)) = (HeaderName::try_from(field), HeaderValue::from_str(value)) else {
        // The value is not shown: it may hold a secret.
        let message = format!("provider `{provider}`: `{field}` cannot be sent as a header field");
        return Err(Failure::input(message)
            .with_hint("a field's name has no spaces, and its value no line breaks"));
    };
    let mut value = value;
    value.set_sensitive(secret);
    headers.insert(name, value);
    Ok(())
}
