//! Everything of a workflow but its steps and triggers: inputs, policies, budget, outputs.

use serde_json::Value;

use super::super::document::{Data, Node, Place};
use super::super::keys;
use super::super::workflow::{Budget, Input, InputType, OnLost, Policy, Retry};
use super::reader::Fields;
use super::{Checker, listing};
use crate::error::ErrorClass;
use crate::ids::is_identifier;
use crate::template::Template;
use crate::units::Money;

/// Words for what becomes of a lost call.
const ON_LOST: &[(&str, OnLost)] =
    &[("resend", OnLost::Resend), ("ask", OnLost::Ask), ("fail", OnLost::Fail)];

/// The most inputs a workflow may have.
const MOST_INPUTS: usize = 1_000;

impl Checker<'_> {
    pub(super) fn inputs(&mut self, fields: &Fields<'_>) -> Vec<(Input, Place)> {
        let Some(node) = fields.get("inputs") else {
            return Vec::new();
        };
        let Some(entries) = self.map(node, "`inputs`") else {
            return Vec::new();
        };
        if entries.len() > MOST_INPUTS {
            let message = format!(
                "a workflow has at most {MOST_INPUTS} inputs, and this has {}",
                entries.len()
            );
            self.error(node.place, message, Some("pass many values as one list".into()));
            return Vec::new();
        }
        let mut inputs = Vec::new();
        for entry in entries {
            if !is_identifier(&entry.key) {
                let hint = Some("use letters, digits and `_`".to_owned());
                self.error(entry.place, format!("`{}` cannot name an input", entry.key), hint);
                continue;
            }
            if let Some(input) = self.input(&entry.key, &entry.value) {
                inputs.push((input, entry.place));
            }
        }
        inputs
    }

    fn input(&mut self, name: &str, node: &Node) -> Option<Input> {
        if let Data::Text(_) = &node.data {
            let kind = self.input_type(node, &[], Vec::new(), None)?;
            let name = name.to_owned();
            return Some(Input { name, kind, description: None, default: None, required: true });
        }
        let fields = self.fields(node, "an input", keys::INPUT)?;
        let description = self.optional_text(&fields, "description");
        let media = self.words(&fields, "media");
        let choices = self.words(&fields, "enum");
        let schema = fields.get("schema").and_then(|node| self.schema(node));
        let Some(kind) = fields.get("type") else {
            let known = keys::INPUT_TYPES.join(", ");
            self.error(
                node.place,
                format!("input `{name}` has no `type`"),
                Some(format!("types are: {known}")),
            );
            return None;
        };
        let kind = self.input_type(kind, &media, choices, schema)?;
        self.only_keys_of(&kind, &fields);
        let default = fields.get("default").map(Node::to_json);
        if let (Some(value), Some(at)) = (&default, fields.get("default"))
            && let Err(why) = super::super::bind::fits(&kind, value)
        {
            self.error(at.place, format!("the default of input `{name}` {why}"), None);
        }
        let required = self.optional_boolean(&fields, "required").unwrap_or(true);
        let required = required && default.is_none();
        Some(Input { name: name.to_owned(), kind, description, default, required })
    }

    /// Refuses keys that say nothing about values of a type.
    fn only_keys_of(&mut self, kind: &InputType, fields: &Fields<'_>) {
        let (is_text, is_file, is_json) = match kind {
            InputType::String { .. } => (true, false, false),
            InputType::File { .. } | InputType::Files { .. } => (false, true, false),
            InputType::Json { .. } => (false, false, true),
            InputType::Integer | InputType::Number | InputType::Boolean | InputType::Array => {
                (false, false, false)
            }
        };
        for (key, fits, types) in [
            ("enum", is_text, "`string`"),
            ("media", is_file, "`file` or `files`"),
            ("schema", is_json, "`object` or `json`"),
        ] {
            if let (false, Some(entry)) = (fits, fields.entry(key)) {
                let message = format!("`{key}` is for an input of type {types}");
                self.error(entry.place, message, None);
            }
        }
    }

    fn input_type(
        &mut self,
        node: &Node,
        media: &[String],
        choices: Vec<String>,
        schema: Option<Value>,
    ) -> Option<InputType> {
        let name = self.text(node, "`type`")?;
        let media = media.to_vec();
        Some(match name {
            "string" => InputType::String { choices },
            "integer" => InputType::Integer,
            "number" => InputType::Number,
            "boolean" => InputType::Boolean,
            "file" => InputType::File { media },
            "files" => InputType::Files { media },
            "array" => InputType::Array,
            "object" | "json" => InputType::Json { schema: schema.unwrap_or(Value::Bool(true)) },
            _ => {
                let types = || keys::INPUT_TYPES.iter().copied();
                let hint = self.meant(name, types());
                let hint = hint.unwrap_or_else(|| listing("types are", types()));
                self.error(node.place, format!("there is no type `{name}`"), Some(hint));
                return None;
            }
        })
    }

    /// A word or a list of words.
    pub(super) fn words(&mut self, fields: &Fields<'_>, key: &str) -> Vec<String> {
        let Some(node) = fields.get(key) else {
            return Vec::new();
        };
        if let Some(word) = node.text() {
            return vec![word.to_owned()];
        }
        let items = self.list(node, &format!("`{key}`"));
        let what = format!("an element of `{key}`");
        items.iter().filter_map(|item| self.text(item, &what).map(str::to_owned)).collect()
    }

    /// A JSON Schema, inline or in a file.
    fn schema(&mut self, node: &Node) -> Option<Value> {
        let schema = self.template(node)?.literal().cloned()?;
        self.valid_schema(node.place, &schema);
        Some(schema)
    }

    /// Says where a JSON Schema is none.
    pub(super) fn valid_schema(&mut self, place: Place, schema: &Value) {
        if let Err(error) = jsonschema::validator_for(schema) {
            let hint = Some("see json-schema.org for what a schema may say".to_owned());
            self.error(place, format!("the schema is not a JSON Schema: {error}"), hint);
        }
    }

    /// The policies of steps that set none, and the model.
    pub(super) fn defaults(
        &mut self,
        fields: &Fields<'_>,
        models: &super::models::Models,
        providers: &super::models::Providers,
    ) -> super::steps::Defaults {
        let mut defaults = super::steps::Defaults::default();
        let Some(node) = fields.get("defaults") else {
            return defaults;
        };
        let Some(fields) = self.fields(node, "`defaults`", keys::DEFAULTS) else {
            return defaults;
        };
        defaults.policy = self.policy(&fields, &Policy::default());
        defaults.models =
            fields.get("model").map(|node| self.chain(node, models, providers).unwrap_or_default());
        defaults
    }

    /// The policies that a map sets, over those it is given.
    pub(super) fn policy(&mut self, fields: &Fields<'_>, base: &Policy) -> Policy {
        Policy {
            timeout: self.optional_duration(fields, "timeout").or(base.timeout),
            deadline: self.optional_duration(fields, "deadline").or(base.deadline),
            retry: match fields.get("retry") {
                Some(node) => self.retry(node, &base.retry),
                None => base.retry.clone(),
            },
            cache: self.optional_boolean(fields, "cache").or(base.cache),
            budget: fields.get("budget").and_then(|node| self.budget(node)).or(base.budget),
            on_lost: self.word(fields, "on_lost", ON_LOST).unwrap_or(base.on_lost),
        }
    }

    fn retry(&mut self, node: &Node, base: &Retry) -> Retry {
        let mut retry = base.clone();
        if let Data::Bool(false) = node.data {
            retry.attempts = 1;
            return retry;
        }
        let Some(fields) = self.fields(node, "`retry`", keys::RETRY) else {
            return retry;
        };
        if let Some(attempts) = self.optional_count(&fields, "attempts") {
            retry.attempts = attempts as u32;
        }
        let words = [("exponential", true), ("constant", false)];
        retry.exponential = self.word(&fields, "backoff", &words).unwrap_or(retry.exponential);
        retry.initial = self.optional_duration(&fields, "initial").unwrap_or(retry.initial);
        retry.max = self.optional_duration(&fields, "max").unwrap_or(retry.max);
        if let Some(node) = fields.get("jitter") {
            match node.to_json().as_f64().filter(|share| (0.0..=1.0).contains(share)) {
                Some(share) => retry.jitter = share,
                None => self.error(node.place, "`jitter` is a number from 0 to 1", None),
            }
        }
        if let Some(node) = fields.get("on") {
            retry.on = self.classes(node);
        }
        retry
    }

    fn classes(&mut self, node: &Node) -> Vec<ErrorClass> {
        let mut classes = Vec::new();
        for item in self.list(node, "`on`") {
            let Some(name) = self.text(item, "a class of errors") else {
                continue;
            };
            if let Some(class) = ErrorClass::from_name(name) {
                if !classes.contains(&class) {
                    classes.push(class);
                }
            } else {
                let names = || ErrorClass::ALL.iter().map(|class| class.as_str());
                let hint = self.meant(name, names());
                let hint = hint.unwrap_or_else(|| listing("classes are", names()));
                let message = format!("there is no class of errors `{name}`");
                self.error(item.place, message, Some(hint));
            }
        }
        classes
    }

    pub(super) fn budget(&mut self, node: &Node) -> Option<Budget> {
        if let Data::Text(_) = &node.data {
            let cost = self.unit(node, "budget", str::parse::<Money>)?;
            return Some(Budget { cost, allow_unknown: false });
        }
        let fields = self.fields(node, "`budget`", keys::BUDGET)?;
        let Some(cost) = fields.get("cost") else {
            self.error(node.place, "`budget` has no `cost`", Some("e.g. `cost: 0.50 USD`".into()));
            return None;
        };
        let cost = self.unit(cost, "cost", str::parse::<Money>)?;
        let allow_unknown = self.optional_boolean(&fields, "allow_unknown").unwrap_or(false);
        Some(Budget { cost, allow_unknown })
    }

    pub(super) fn outputs(&mut self, fields: &Fields<'_>) -> Vec<(String, Place, Template)> {
        let Some(node) = fields.get("outputs") else {
            return Vec::new();
        };
        let Some(entries) = self.map(node, "`outputs`") else {
            return Vec::new();
        };
        let mut outputs = Vec::new();
        for entry in entries {
            if let Some(template) = self.template(&entry.value) {
                outputs.push((entry.key.clone(), entry.value.place, template));
            }
        }
        outputs
    }
}
