//! What a plugin asks for, what it is granted, and what of both it may do.
//!
//! ```yaml
//! http: [{ host: api.example.com, methods: [POST], secret_header: { Authorization: EXAMPLE_KEY } }]
//! models: { names: [reader], max_calls: 5, max_cost: 0.10 USD }
//! kv: { max_bytes: 1MiB }
//! dirs: [{ path: ./rules, mode: ro }]
//! ```
//!
//! The same words stand in a plugin's manifest, where they ask, and in a workflow, where they
//! grant. What counts is in both: a plugin gets nothing that it did not ask for, whatever the
//! workflow says, and nothing that was not granted, whatever it asks for.

use std::collections::{BTreeMap, BTreeSet};

use flow_core::units::Money;
use serde_json::{Map, Value, json};

use super::folder::FolderRule;
use super::limits::size;
use super::{Host, PolicyFault};

/// The most bytes that a plugin may remember.
const MOST_KV: u64 = 64 << 20;

/// The most model calls of one call of a plugin.
const MOST_CALLS: u64 = 1_000;

/// The methods that a host is granted where none are named.
const USUAL_METHODS: &[&str] = &["GET", "HEAD"];

/// Methods that can be granted.
const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

/// What may be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Hosts that may be asked.
    pub http: Vec<HttpRule>,
    /// Models that may be asked.
    pub models: Option<ModelRule>,
    /// What may be remembered.
    pub kv: Option<KvRule>,
    /// Folders that may be read.
    pub dirs: Vec<FolderRule>,
}

/// A host that may be asked, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRule {
    /// Name or address, and the port where it is not the usual one.
    pub host: Host,
    /// The methods, in capitals.
    pub methods: BTreeSet<String>,
    /// Header fields that the host fills in, and the secret that each holds. What stands before
    /// the secret's name is written as it is: `Bearer EXAMPLE_KEY`.
    pub secret_headers: BTreeMap<String, String>,
    /// Whether its addresses may be of a private network, or of this machine.
    pub private: bool,
}

/// Models that may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelRule {
    /// Their names under `models:` of the workflow.
    pub names: BTreeSet<String>,
    /// Calls of them in one call of the plugin.
    pub max_calls: u64,
    /// What they may cost in one call of the plugin; not bounded by the plugin's own grant
    /// where it is not said, but by the run's budget.
    pub max_cost: Option<Money>,
}

/// What may be remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvRule {
    /// Bytes of keys and values together.
    pub max_bytes: u64,
}

impl Capabilities {
    /// Reads them from a manifest or a workflow. `at` is where they stand, for faults.
    pub fn read(value: &Value, at: &str) -> Result<Self, PolicyFault> {
        let map = map(value, &[at], at)?;
        let mut read = Self::default();
        for (key, value) in map {
            match key.as_str() {
                "http" => {
                    let rules = list(value, &[at, key], key)?;
                    read.http =
                        rules.iter().map(|rule| http(rule, at)).collect::<Result<_, _>>()?;
                }
                "models" => read.models = Some(models(value, at)?),
                "kv" => read.kv = Some(kv(value, at)?),
                "dirs" => {
                    let place = [at, key];
                    let rules = list(value, &place, key)?;
                    let rules = rules.iter().map(|rule| FolderRule::read(rule, &place));
                    read.dirs = rules.collect::<Result<_, _>>()?;
                }
                _ => {
                    let known = ["http", "models", "kv", "dirs"];
                    return Err(PolicyFault::unknown(&[at], key, at, &known));
                }
            }
        }
        Ok(read)
    }

    /// What is in both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let pairs = self.http.iter().flat_map(|own| other.http.iter().map(move |its| (own, its)));
        let models = self.models.as_ref().zip(other.models.as_ref());
        let kv = self.kv.zip(other.kv);
        let dirs = self.dirs.iter().flat_map(|own| other.dirs.iter().map(move |its| (own, its)));
        Self {
            http: pairs.filter_map(|(own, its)| own.and(its)).collect(),
            models: models.map(|(own, its)| own.and(its)),
            kv: kv.map(|(own, its)| KvRule { max_bytes: own.max_bytes.min(its.max_bytes) }),
            dirs: dirs.filter_map(|(own, its)| own.and(its)).collect(),
        }
    }

    /// Whether nothing may be done that acts outside of the call.
    pub fn is_empty(&self) -> bool {
        self.http.is_empty() && self.models.is_none() && self.kv.is_none() && self.dirs.is_empty()
    }

    /// As it stands in a file.
    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        if !self.http.is_empty() {
            map.insert("http".into(), self.http.iter().map(HttpRule::to_json).collect());
        }
        if let Some(models) = &self.models {
            let mut rule = json!({ "names": models.names, "max_calls": models.max_calls });
            if let Some(cost) = models.max_cost {
                rule["max_cost"] = json!(cost.to_string());
            }
            map.insert("models".into(), rule);
        }
        if let Some(kv) = &self.kv {
            map.insert("kv".into(), json!({ "max_bytes": kv.max_bytes }));
        }
        if !self.dirs.is_empty() {
            map.insert("dirs".into(), self.dirs.iter().map(FolderRule::to_json).collect());
        }
        Value::Object(map)
    }
}

impl HttpRule {
    /// What both allow of one host. A secret goes where both say that it does.
    fn and(&self, other: &Self) -> Option<Self> {
        if self.host != other.host {
            return None;
        }
        let methods: BTreeSet<_> = self.methods.intersection(&other.methods).cloned().collect();
        if methods.is_empty() {
            return None;
        }
        let secrets = self.secret_headers.iter();
        let secrets =
            secrets.filter(|(name, secret)| other.secret_headers.get(*name) == Some(secret));
        Some(Self {
            host: self.host.clone(),
            methods,
            secret_headers: secrets.map(|(name, secret)| (name.clone(), secret.clone())).collect(),
            private: self.private && other.private,
        })
    }

    fn to_json(&self) -> Value {
        let mut rule = json!({ "host": self.host.to_string(), "methods": self.methods });
        if !self.secret_headers.is_empty() {
            rule["secret_header"] = json!(self.secret_headers);
        }
        if self.private {
            rule["private"] = json!(true);
        }
        rule
    }
}

impl ModelRule {
    fn and(&self, other: &Self) -> Self {
        let cost = match (self.max_cost, other.max_cost) {
            (Some(own), Some(its)) => Some(own.min(its)),
            (own, its) => own.or(its),
        };
        // A manifest cannot know how a workflow calls its models: `*` asks for those granted.
        let names = match (self.names.contains("*"), other.names.contains("*")) {
            (true, _) => other.names.clone(),
            (_, true) => self.names.clone(),
            (false, false) => self.names.intersection(&other.names).cloned().collect(),
        };
        Self { names, max_calls: self.max_calls.min(other.max_calls), max_cost: cost }
    }
}

fn http(value: &Value, at: &str) -> Result<HttpRule, PolicyFault> {
    let place = [at, "http"];
    let rule = map(value, &place, "an element of `http`")?;
    let mut host = None;
    let mut methods = None;
    let (mut secret_headers, mut private) = (BTreeMap::new(), false);
    for (key, value) in rule {
        match key.as_str() {
            "host" => host = Some(Host::read(text(value, &place, "`host`")?, &place)?),
            "methods" => methods = Some(methods_of(value, &place)?),
            "secret_header" => secret_headers = secrets(value, &place)?,
            "private" => {
                private = value
                    .as_bool()
                    .ok_or_else(|| PolicyFault::new(&place, "`private` is `true` or `false`"))?;
            }
            _ => {
                let known = ["host", "methods", "secret_header", "private"];
                return Err(PolicyFault::unknown(&place, key, "an element of `http`", &known));
            }
        }
    }
    let host = host.ok_or_else(|| PolicyFault::new(&place, "an element of `http` has a `host`"))?;
    let methods =
        methods.unwrap_or_else(|| USUAL_METHODS.iter().map(|name| (*name).to_owned()).collect());
    Ok(HttpRule { host, methods, secret_headers, private })
}

fn methods_of(value: &Value, place: &[&str]) -> Result<BTreeSet<String>, PolicyFault> {
    let mut methods = BTreeSet::new();
    for method in list(value, place, "methods")? {
        let method = text(method, place, "an element of `methods`")?;
        if !METHODS.contains(&method) {
            let message = format!("`methods`: `{method}` cannot be granted");
            let hint = format!("methods are: {}", METHODS.join(", "));
            return Err(PolicyFault::new(place, message).hint(hint));
        }
        methods.insert(method.to_owned());
    }
    if methods.is_empty() {
        return Err(PolicyFault::new(place, "`methods` is empty"));
    }
    Ok(methods)
}

fn secrets(value: &Value, place: &[&str]) -> Result<BTreeMap<String, String>, PolicyFault> {
    let mut headers = BTreeMap::new();
    for (name, secret) in map(value, place, "secret_header")? {
        let secret = text(secret, place, "an entry of `secret_header`")?;
        let is_name = |text: &str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        let named = secret.rsplit(' ').next().unwrap_or_default();
        if !is_name(named) || !secret.is_ascii() {
            let message = format!("`secret_header`: `{name}` names a secret, and not its value");
            let hint = "e.g. `Authorization: Bearer EXAMPLE_KEY`";
            return Err(PolicyFault::new(place, message).hint(hint));
        }
        headers.insert(name.to_ascii_lowercase(), secret.to_owned());
    }
    Ok(headers)
}

fn models(value: &Value, at: &str) -> Result<ModelRule, PolicyFault> {
    let place = [at, "models"];
    let mut rule = ModelRule { names: BTreeSet::new(), max_calls: 10, max_cost: None };
    for (key, value) in map(value, &place, "models")? {
        match key.as_str() {
            "names" => {
                for name in list(value, &place, "names")? {
                    rule.names.insert(text(name, &place, "an element of `names`")?.to_owned());
                }
            }
            "max_calls" => {
                let calls = value.as_u64().filter(|calls| (1..=MOST_CALLS).contains(calls));
                rule.max_calls = calls.ok_or_else(|| {
                    let message = format!("`max_calls` is a whole number from 1 to {MOST_CALLS}");
                    PolicyFault::new(&place, message)
                })?;
            }
            "max_cost" => {
                let cost = text(value, &place, "`max_cost`")?.parse::<Money>();
                let cost =
                    cost.map_err(|e| PolicyFault::new(&place, format!("`max_cost`: {e}")))?;
                rule.max_cost = Some(cost);
            }
            _ => {
                let known = ["names", "max_calls", "max_cost"];
                return Err(PolicyFault::unknown(&place, key, "models", &known));
            }
        }
    }
    if rule.names.is_empty() {
        return Err(PolicyFault::new(&place, "`models` has `names`"));
    }
    Ok(rule)
}

fn kv(value: &Value, at: &str) -> Result<KvRule, PolicyFault> {
    let place = [at, "kv"];
    let mut max_bytes = None;
    for (key, value) in map(value, &place, "kv")? {
        match key.as_str() {
            "max_bytes" => {
                let read = size(key, value, MOST_KV);
                max_bytes =
                    Some(read.map_err(|fault| PolicyFault { at: strings(&place), ..fault })?);
            }
            _ => return Err(PolicyFault::unknown(&place, key, "kv", &["max_bytes"])),
        }
    }
    let max_bytes = max_bytes.ok_or_else(|| PolicyFault::new(&place, "`kv` has `max_bytes`"))?;
    Ok(KvRule { max_bytes })
}

fn strings(place: &[&str]) -> Vec<String> {
    place.iter().map(|part| (*part).to_owned()).collect()
}

pub(super) fn map<'v>(
    value: &'v Value,
    place: &[&str],
    what: &str,
) -> Result<&'v Map<String, Value>, PolicyFault> {
    let what = if what.contains(' ') { what.to_owned() } else { format!("`{what}`") };
    value.as_object().ok_or_else(|| PolicyFault::new(place, format!("{what} is a map")))
}

fn list<'v>(value: &'v Value, place: &[&str], what: &str) -> Result<&'v [Value], PolicyFault> {
    let items = value.as_array().map(Vec::as_slice);
    items.ok_or_else(|| PolicyFault::new(place, format!("`{what}` is a list")))
}

pub(super) fn text<'v>(
    value: &'v Value,
    place: &[&str],
    what: &str,
) -> Result<&'v str, PolicyFault> {
    value.as_str().ok_or_else(|| PolicyFault::new(place, format!("{what} is text")))
}
