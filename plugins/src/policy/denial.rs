//! What a plugin is told that it may not, and what its user may write so that it can.

use std::fmt;

use super::{Granted, Target};

/// Something that was not granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// What was refused.
    message: String,
    /// What to write, and where.
    yaml: Option<String>,
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Denial {
    /// What to write, and where, for it to be granted; none where it never is.
    pub fn hint(&self) -> Option<&str> {
        self.yaml.as_deref()
    }

    /// One that nothing can be written against.
    pub(crate) fn never(message: String) -> Self {
        Self { message, yaml: None }
    }

    /// A request to a host, by a method, that is not in the grants.
    pub(crate) fn http(granted: &Granted, target: &Target, method: &str) -> Self {
        let (name, host) = (&granted.name, &target.host);
        let rule = format!("http: [{{ host: \"{host}\", methods: [{method}] }}]");
        let asks = granted
            .asked
            .http
            .iter()
            .any(|rule| rule.host.covers(target) && rule.methods.contains(method));
        Self {
            message: format!("plugin `{name}` may not send {method} to `{host}`"),
            yaml: Some(wanted(granted, &rule, asks)),
        }
    }

    /// A question to a model that is not in the grants.
    pub(crate) fn model(granted: &Granted, model: &str) -> Self {
        let name = &granted.name;
        let rule = format!("models: {{ names: [{model}], max_calls: 1, max_cost: 0.10 USD }}");
        let asks = granted.asked.models.as_ref();
        let asks = asks.is_some_and(|rule| rule.names.contains(model) || rule.names.contains("*"));
        Self {
            message: format!("plugin `{name}` may not ask model `{model}`"),
            yaml: Some(wanted(granted, &rule, asks)),
        }
    }

    /// One model call too many.
    pub(crate) fn calls(granted: &Granted, most: u64) -> Self {
        let message =
            format!("plugin `{}` may ask models {most} times in a call, and did", granted.name);
        let rule = format!("models: {{ max_calls: {} }}", most.saturating_mul(2));
        let asks = granted.asked.models.as_ref().is_some_and(|rule| rule.max_calls > most);
        Self { message, yaml: Some(wanted(granted, &rule, asks)) }
    }

    /// The use of a memory that was not granted.
    pub(crate) fn kv(granted: &Granted) -> Self {
        Self {
            message: format!("plugin `{}` may not remember anything", granted.name),
            yaml: Some(wanted(granted, "kv: { max_bytes: 1MiB }", granted.asked.kv.is_some())),
        }
    }
}

/// The lines to write: in the workflow, and in the manifest where that does not ask for it.
fn wanted(granted: &Granted, rule: &str, asks: bool) -> String {
    let name = &granted.name;
    let workflow = format!("in the workflow:\nplugins:\n  {name}:\n    grant:\n      {rule}");
    if asks {
        return format!("grant it {workflow}");
    }
    format!(
        "the plugin does not ask for it: in its plugin.yaml:\ncapabilities:\n  {rule}\nand {workflow}"
    )
}
