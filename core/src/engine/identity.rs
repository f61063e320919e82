//! What makes two pieces of work the same.
//!
//! A step's identity is a hash of what it does and of its resolved input; retry, timeouts
//! and secrets have no part in it. A file counts by its bytes, not by its name, so that a
//! page that was renamed is not paid for again.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::action::Action;
use crate::content::ContentHash;
use crate::language::{Agree, ModelChoice, Task};
use crate::plugin::PluginSlot;

/// The identity of running an action with an input, for a task, and where values must stand on
/// the page.
pub(crate) fn of_action(
    action: &dyn Action,
    models: &[ModelChoice],
    input: &Value,
    task: Option<Value>,
    grounded: bool,
) -> ContentHash {
    let mut whole = json!({
        "action": action.spec().name,
        "version": action.spec().version,
        "models": of_models(models),
        "input": without_names(input),
    });
    // What does without them keeps the identity that it had before there were any.
    let own = action.identity();
    if !own.is_null() {
        whole["identity"] = own;
    }
    if let Some(task) = task {
        whole["task"] = task;
    }
    if grounded {
        whole["grounded"] = true.into();
    }
    ContentHash::of_json(&whole)
}

fn of_models(models: &[ModelChoice]) -> Value {
    let of_model = |m: &ModelChoice| {
        json!([m.provider, m.model, m.path, m.projector, m.options, served_by(m)])
    };
    models.iter().map(of_model).collect()
}

/// The identity of what two models must agree on, given that of what the first is asked.
pub(crate) fn of_agreement(first: ContentHash, agree: &Agree) -> ContentHash {
    let second = of_models(&agree.second);
    ContentHash::of_json(&json!({ "first": first, "second": second, "on": agree.on }))
}

/// What a task adds to the identity of what it asks: its texts and its schema are in the
/// question, the rest is here.
pub(crate) fn of_task(task: &Task, given: &Value) -> Value {
    let adds: Vec<Value> =
        task.adds.iter().map(|(key, value)| json!([key, value.source()])).collect();
    let given = if adds.is_empty() { Value::Null } else { without_names(given) };
    json!([task.name, task.version, adds, given])
}

/// Settings of a provider that do not decide what a model answers: how much may be asked, what
/// it costs, and who pays.
const HOW_MUCH: &[&str] = &[
    "api_key",
    "batch",
    "concurrency",
    "idle_timeout",
    "models",
    "organization",
    "price",
    "project",
    "requests_per_minute",
    "requests_per_second",
    "tokens_per_minute",
    "timeout",
];

/// Who serves a model: two files may mean different programs by the same name. Secrets count
/// by their names, as they are written.
fn served_by(model: &ModelChoice) -> Value {
    let settings = model.config.settings.iter();
    let settings = settings.filter(|(key, _)| !HOW_MUCH.contains(&key.as_str()));
    let written: serde_json::Map<_, _> =
        settings.map(|(key, value)| (key.clone(), value.source())).collect();
    match model.config.plugin.as_ref().and_then(PluginSlot::identity) {
        Some(plugin) => json!([model.config.kind, written, plugin]),
        None => json!([model.config.kind, written]),
    }
}

/// The value with its artifacts reduced to what their bytes decide.
fn without_names(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(without_names).collect()),
        Value::Object(map) => match map.get("$artifact") {
            Some(hash) => json!({ "$artifact": hash, "page": map.get("page") }),
            None => Value::Object(map.iter().map(|(k, v)| (k.clone(), without_names(v))).collect()),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// Gives every item of a loop a key of its own: the key that the file asks for or the
/// item's content, and from the second equal one on its occurrence.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    seen: HashMap<String, u64>,
}

impl Keys {
    /// The key of the next item.
    pub(crate) fn of_content(&mut self, item: &Value) -> String {
        self.unique(content_key(item))
    }

    /// The key of the next item, given what `key` yields for it.
    pub(crate) fn of_value(&mut self, key: &Value) -> String {
        self.unique(match key {
            Value::String(text) => readable(text).unwrap_or_else(|| content_key(key)),
            Value::Number(number) => number.to_string(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => content_key(key),
        })
    }

    fn unique(&mut self, key: String) -> String {
        let seen = self.seen.entry(key.clone()).or_default();
        *seen += 1;
        if *seen == 1 { key } else { format!("{key}~{seen}") }
    }
}

/// A short number or name as it is, an artifact by its bytes, anything else by its hash.
fn content_key(item: &Value) -> String {
    match item {
        Value::Number(number) => number.to_string(),
        Value::String(text) => readable(text).unwrap_or_else(|| short_hash(item)),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            short_hash(&without_names(item))
        }
    }
}

fn short_hash(value: &Value) -> String {
    ContentHash::of_json(value).hex()[..16].to_owned()
}

/// The text, where it can stand in a path without confusion.
fn readable(text: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (!text.is_empty() && text.len() <= 64 && text.bytes().all(plain)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_items_are_told_apart_by_their_occurrence() {
        let mut keys = Keys::default();
        let (a, b) = (json!({"n": 1}), json!({"n": 2}));
        let (first, other, second) =
            (keys.of_content(&a), keys.of_content(&b), keys.of_content(&a));
        assert_ne!(first, other);
        assert_eq!(second, format!("{first}~2"));
    }

    #[test]
    fn a_renamed_file_is_the_same_item() {
        let file = |name: &str| json!({"$artifact": "sha256:00", "name": name, "size": 1});
        assert_eq!(content_key(&file("a.pdf")), content_key(&file("b.pdf")));
    }

    #[test]
    fn a_name_that_could_be_mistaken_for_a_path_is_hashed() {
        assert_eq!(content_key(&json!("page-1.png")), "page-1.png");
        for odd in ["a/b", "a[0]", "", "a~2", "é"] {
            assert_eq!(content_key(&json!(odd)).len(), 16, "{odd}");
        }
    }
}
