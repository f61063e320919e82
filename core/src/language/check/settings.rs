//! Everything of a workflow but its steps: inputs, policies, budget, triggers, outputs.

use serde_json::Value;

use super::super::document::{Data, Node, Place};
use super::super::keys;
use super::super::suggest::closest;
use super::super::workflow::{
    Budget, Cron, Input, InputType, MissedTicks, OnLost, Overlap, Policy, Retry, Trigger,
};
use super::Checker;
use super::reader::Fields;
use crate::error::ErrorClass;
use crate::ids::is_identifier;
use crate::template::Template;
use crate::units::{Money, parse_duration};

/// Words for what becomes of a lost call.
const ON_LOST: &[(&str, OnLost)] = &[
    ("resend", OnLost::Resend),
    ("ask", OnLost::Ask),
    ("fail", OnLost::Fail),
];

impl Checker<'_> {
    pub(super) fn inputs(&mut self, fields: &Fields<'_>) -> Vec<(Input, Place)> {
        let Some(node) = fields.get("inputs") else {
            return Vec::new();
        };
        let Some(entries) = self.map(node, "`inputs`") else {
            return Vec::new();
        };
        let mut inputs = Vec::new();
        for entry in entries {
            if !is_identifier(&entry.key) {
                let hint = Some("use letters, digits and `_`".to_owned());
                self.error(
                    entry.place,
                    format!("`{}` cannot name an input", entry.key),
                    hint,
                );
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
            return Some(Input {
                name,
                kind,
                description: None,
                default: None,
                required: true,
            });
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
        let default = fields.get("default").map(Node::to_json);
        if let (Some(value), Some(at)) = (&default, fields.get("default"))
            && let Err(why) = super::super::bind::fits(&kind, value)
        {
            self.error(
                at.place,
                format!("the default of input `{name}` {why}"),
                None,
            );
        }
        let required = self.optional_boolean(&fields, "required").unwrap_or(true);
        let required = required && default.is_none();
        Some(Input {
            name: name.to_owned(),
            kind,
            description,
            default,
            required,
        })
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
            "object" | "json" => InputType::Json {
                schema: schema.unwrap_or(Value::Bool(true)),
            },
            _ => {
                let hint = match closest(name, keys::INPUT_TYPES.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("types are: {}", keys::INPUT_TYPES.join(", ")),
                };
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
        items
            .iter()
            .filter_map(|item| self.text(item, &what).map(str::to_owned))
            .collect()
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
            self.error(
                place,
                format!("the schema is not a JSON Schema: {error}"),
                hint,
            );
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
        defaults.models = fields
            .get("model")
            .and_then(|node| self.chain(node, models, providers));
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
            budget: fields
                .get("budget")
                .and_then(|node| self.budget(node))
                .or(base.budget),
            on_lost: self
                .word(fields, "on_lost", ON_LOST)
                .unwrap_or(base.on_lost),
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
        retry.exponential = self
            .word(&fields, "backoff", &words)
            .unwrap_or(retry.exponential);
        retry.initial = self
            .optional_duration(&fields, "initial")
            .unwrap_or(retry.initial);
        retry.max = self.optional_duration(&fields, "max").unwrap_or(retry.max);
        if let Some(node) = fields.get("jitter") {
            match node
                .to_json()
                .as_f64()
                .filter(|share| (0.0..=1.0).contains(share))
            {
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
            match ErrorClass::from_name(name) {
                Some(class) => classes.push(class),
                None => {
                    let names = || ErrorClass::ALL.iter().map(|class| class.as_str());
                    let hint = match closest(name, names()) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!("classes are: {}", names().collect::<Vec<_>>().join(", ")),
                    };
                    let message = format!("there is no class of errors `{name}`");
                    self.error(item.place, message, Some(hint));
                }
            }
        }
        classes
    }

    pub(super) fn budget(&mut self, node: &Node) -> Option<Budget> {
        if let Data::Text(_) = &node.data {
            let cost = self.unit(node, "budget", |text| text.parse::<Money>())?;
            return Some(Budget {
                cost,
                allow_unknown: false,
            });
        }
        let fields = self.fields(node, "`budget`", keys::BUDGET)?;
        let Some(cost) = fields.get("cost") else {
            self.error(
                node.place,
                "`budget` has no `cost`",
                Some("e.g. `cost: 0.50 USD`".into()),
            );
            return None;
        };
        let cost = self.unit(cost, "cost", |text| text.parse::<Money>())?;
        let allow_unknown = self
            .optional_boolean(&fields, "allow_unknown")
            .unwrap_or(false);
        Some(Budget {
            cost,
            allow_unknown,
        })
    }

    pub(super) fn triggers(
        &mut self,
        fields: &Fields<'_>,
        inputs: &[(Input, Place)],
    ) -> Vec<Trigger> {
        let Some(node) = fields.get("triggers") else {
            return Vec::new();
        };
        let items = self.list(node, "`triggers`");
        items
            .iter()
            .filter_map(|item| self.trigger(item, inputs))
            .collect()
    }

    fn trigger(&mut self, node: &Node, inputs: &[(Input, Place)]) -> Option<Trigger> {
        let entries = self.map(node, "a trigger")?;
        let has = |key: &str| entries.iter().any(|entry| entry.key == key);
        if has("schedule") {
            return self.schedule(node);
        }
        if has("watch") {
            let fields = self.fields(node, "a folder watch", keys::WATCH)?;
            let pattern = self.optional_text(&fields, "watch")?;
            let Some(at) = fields.get("input") else {
                self.error(
                    node.place,
                    "a folder watch names the `input` that takes the file",
                    None,
                );
                return None;
            };
            let input = self.text(at, "`input`")?.to_owned();
            self.known_input(at, &input, inputs);
            return Some(Trigger::Watch { pattern, input });
        }
        if has("webhook") {
            let fields = self.fields(node, "a webhook", keys::WEBHOOK)?;
            let path = self.optional_text(&fields, "webhook")?;
            if !path.starts_with('/') {
                self.error(
                    node.place,
                    format!("`webhook: {path}` must begin with `/`"),
                    None,
                );
            }
            return Some(Trigger::Webhook { path });
        }
        if has("after") {
            let fields = self.fields(node, "a trigger", keys::AFTER)?;
            let workflow = self.optional_text(&fields, "after")?;
            let mut status = self.words(&fields, "status");
            if status.is_empty() {
                status.push("succeeded".into());
            }
            return Some(Trigger::After { workflow, status });
        }
        let hint = Some("a trigger has `schedule`, `watch`, `webhook` or `after`".to_owned());
        self.error(node.place, "this is no trigger", hint);
        None
    }

    fn known_input(&mut self, at: &Node, name: &str, inputs: &[(Input, Place)]) {
        if !inputs.iter().any(|(input, _)| input.name == name) {
            let names = inputs.iter().map(|(input, _)| input.name.as_str());
            let hint = closest(name, names).map(|near| format!("did you mean `{near}`?"));
            self.error(at.place, format!("there is no input `{name}`"), hint);
        }
    }

    fn schedule(&mut self, node: &Node) -> Option<Trigger> {
        let fields = self.fields(node, "a schedule", keys::SCHEDULE)?;
        let at = fields.get("schedule")?;
        let text = self.text(at, "`schedule`")?;
        let cron = match text.strip_prefix("@every ") {
            Some(distance) => Cron::Every(self.unit(
                &Node {
                    data: Data::Text(distance.trim().into()),
                    place: at.place,
                },
                "schedule",
                parse_duration,
            )?),
            None => match super::super::cron::check(text) {
                Ok(()) => Cron::Expression(text.to_owned()),
                Err(why) => {
                    let hint = Some("e.g. `0 2 * * *` for two at night".to_owned());
                    self.error(at.place, format!("`{text}` is no schedule: {why}"), hint);
                    return None;
                }
            },
        };
        let timezone = self.optional_text(&fields, "timezone");
        if let (Some(zone), Some(at)) = (&timezone, fields.get("timezone"))
            && jiff::tz::TimeZone::get(zone).is_err()
        {
            let hint = Some("e.g. `Europe/Berlin`".to_owned());
            self.error(at.place, format!("there is no time zone `{zone}`"), hint);
        }
        let missed = [
            ("all", MissedTicks::All),
            ("latest", MissedTicks::Latest),
            ("none", MissedTicks::None),
        ];
        let overlaps = [
            ("skip", Overlap::Skip),
            ("queue", Overlap::Queue),
            ("cancel", Overlap::Cancel),
        ];
        Some(Trigger::Schedule {
            cron,
            timezone,
            catch_up: self.word(&fields, "catch_up", &missed).unwrap_or_default(),
            overlap: self.word(&fields, "overlap", &overlaps).unwrap_or_default(),
            jitter: self
                .optional_duration(&fields, "jitter")
                .unwrap_or_default(),
            inputs: fields.get("inputs").map(Node::to_json).unwrap_or_default(),
        })
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
