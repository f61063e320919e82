//! `flow plugin inspect`: what a plugin is, takes, yields and asks for.

use flow_plugins::policy::Capabilities;
use flow_plugins::trial::Tried;
use serde_json::{Value, json};

use crate::cli::{Global, PluginInspect};
use crate::output;
use crate::plugins;
use crate::report::{CommandError, Exit};

pub(super) fn run(global: &Global, args: &PluginInspect) -> Result<Exit, CommandError> {
    let sandbox = plugins::alone()?;
    let tried = super::tried(&sandbox, &args.plugin)?;
    match global.json {
        true => output::json(&told(&tried)),
        false => output::data(&shown(&tried)),
    }
    Ok(Exit::Done)
}

/// What there is to say of a plugin.
pub(super) fn told(tried: &Tried) -> Value {
    let (plugin, own) = (&tried.plugin, tried.plugin.descriptor());
    json!({
        "name": tried.name(),
        "version": own.version,
        "summary": own.summary,
        "kind": plugin.kind(),
        "interface": format!("flow:plugin@{}", plugin.interface().version),
        "file": tried.component,
        "size": plugin.size(),
        "sha256": plugin.hash().hex(),
        "imports": plugin.interface().imports,
        "exports": plugin.interface().exports,
        "asks": tried.asks().to_json(),
        "limits": tried.limits().to_json(),
        "input": own.input,
        "output": own.output,
        "config": own.config,
    })
}

fn shown(tried: &Tried) -> String {
    let (plugin, own) = (&tried.plugin, tried.plugin.descriptor());
    let interface = plugin.interface();
    let mut text = format!("{}@{}, a {}\n", tried.name(), own.version, plugin.kind());
    let mut line = |key: &str, value: String| {
        text.push_str(&format!("{key:10} {value}\n"));
    };
    if !own.summary.is_empty() {
        line("", own.summary.clone());
    }
    line("interface", format!("flow:plugin@{}", interface.version));
    line("file", format!("{}, {}", tried.component.display(), output::bytes(plugin.size() as u64)));
    line("sha256", plugin.hash().hex());
    line("asks for", asks(tried.asks()));
    let limits = tried.limits();
    let (memory, most) = (output::bytes(limits.memory), output::bytes(limits.output));
    line("limits", format!("memory {memory}, deadline {:?}, output {most}", limits.deadline));
    line("imports", names(&interface.imports));
    line("exports", names(&interface.exports));
    for (key, schema) in [("input", &own.input), ("output", &own.output), ("config", &own.config)] {
        line(key, schema.to_string());
    }
    text
}

/// What a plugin asks for, as its user reads it.
pub(super) fn asks(capabilities: &Capabilities) -> String {
    if capabilities.is_empty() {
        return "nothing but to compute".into();
    }
    let mut asks = Vec::new();
    for rule in &capabilities.http {
        let methods: Vec<_> = rule.methods.iter().map(String::as_str).collect();
        let mut ask = format!("http: {} to {}", methods.join(", "), rule.host);
        for (field, secret) in &rule.secret_headers {
            ask.push_str(&format!(", with the secret `{secret}` as `{field}`"));
        }
        if rule.private {
            ask.push_str(", in a private network");
        }
        asks.push(ask);
    }
    if let Some(models) = &capabilities.models {
        let names: Vec<_> = models.names.iter().map(String::as_str).collect();
        let cost = models.max_cost.map(|cost| format!(", for {cost}")).unwrap_or_default();
        asks.push(format!("models: {}, {} times{cost}", names.join(", "), models.max_calls));
    }
    if let Some(kv) = &capabilities.kv {
        asks.push(format!("kv: to remember {}", output::bytes(kv.max_bytes)));
    }
    let dirs = capabilities.dirs.iter();
    asks.extend(dirs.map(|rule| format!("dirs: to read `{}` in the workflow's folder", rule.path)));
    asks.join("; ")
}

/// The names of interfaces, without what is the same in all.
fn names(full: &[String]) -> String {
    let short = full.iter().map(|name| {
        let own = name.strip_prefix("flow:plugin/").and_then(|rest| rest.split('@').next());
        own.unwrap_or(name)
    });
    short.collect::<Vec<_>>().join(", ")
}
