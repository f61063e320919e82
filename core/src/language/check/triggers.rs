//! What starts a workflow besides a person.

use std::time::Duration;

use serde_json::Value;

use super::super::bind::fits;
use super::super::document::{Data, Node, Place};
use super::super::keys;
use super::super::workflow::{
    Cron, Input, InputType, MissedTicks, Overlap, Proof, ProofKind, Trigger,
};
use super::reader::Fields;
use super::{Checker, listing};
use crate::template::{Segment, Template};
use crate::units::parse_duration;

/// How a run can end.
const ENDINGS: [&str; 3] = ["succeeded", "failed", "cancelled"];

/// The shortest distance of ticks.
const CLOSEST: Duration = Duration::from_secs(1);

/// How long a watched file must stay as it is, where the file does not say.
const SETTLE: Duration = Duration::from_secs(2);

/// Where a webhook's secret, its signature and its delivery are read from, if not told.
const SECRET_HEADER: &str = "x-hook-secret";
const SIGNATURE_HEADER: &str = "x-hub-signature-256";
const DELIVERY_HEADER: &str = "idempotency-key";

impl Checker<'_> {
    pub(super) fn triggers(
        &mut self,
        fields: &Fields<'_>,
        workflow: &str,
        inputs: &[(Input, Place)],
    ) -> Vec<Trigger> {
        let Some(node) = fields.get("triggers") else {
            return Vec::new();
        };
        let items = self.list(node, "`triggers`");
        items.iter().filter_map(|item| self.trigger(item, workflow, inputs)).collect()
    }

    fn trigger(
        &mut self,
        node: &Node,
        workflow: &str,
        inputs: &[(Input, Place)],
    ) -> Option<Trigger> {
        let entries = self.map(node, "a trigger")?;
        let has = |key: &str| {
            let mut entries = entries.iter().filter(|entry| entry.key == key);
            entries.any(|entry| entry.value.data != Data::Null)
        };
        if has("schedule") {
            return self.schedule(node, inputs);
        }
        if has("watch") {
            return self.watch(node, inputs);
        }
        if has("webhook") {
            return self.webhook(node, inputs);
        }
        if has("after") {
            return self.after(node, workflow, inputs);
        }
        let hint = Some("a trigger has `schedule`, `watch`, `webhook` or `after`".to_owned());
        self.error(node.place, "this is no trigger", hint);
        None
    }

    fn watch(&mut self, node: &Node, inputs: &[(Input, Place)]) -> Option<Trigger> {
        let fields = self.fields(node, "a folder watch", keys::WATCH)?;
        let pattern = self.optional_text(&fields, "watch")?;
        if let (Err(fault), Some(at)) = (glob::Pattern::new(&pattern), fields.get("watch")) {
            self.error(at.place, format!("`{pattern}` is no file pattern: {}", fault.msg), None);
        }
        let Some(at) = fields.get("input") else {
            let message = "a folder watch names the `input` that takes the file";
            self.error(node.place, message, None);
            return None;
        };
        let input = self.text(at, "`input`")?.to_owned();
        if let Some(kind) = self.known_input(at.place, &input, inputs)
            && !matches!(kind, InputType::File { .. } | InputType::Files { .. })
        {
            let message =
                format!("a watched file is for an input of type `file`, and `{input}` is not");
            self.error(at.place, message, None);
        }
        let others = self.given(&fields, inputs);
        self.all_given(node.place, inputs, |name| name == input || others.get(name).is_some());
        Some(Trigger::Watch {
            pattern,
            input,
            inputs: others,
            settle: self.optional_duration(&fields, "settle").unwrap_or(SETTLE),
            done: self.optional_text(&fields, "done"),
            failed: self.optional_text(&fields, "failed"),
        })
    }

    fn webhook(&mut self, node: &Node, inputs: &[(Input, Place)]) -> Option<Trigger> {
        let fields = self.fields(node, "a webhook", keys::WEBHOOK)?;
        let path = self.optional_text(&fields, "webhook")?;
        if !path.starts_with('/') {
            let message = format!("`webhook: {path}` must begin with `/`");
            self.error(node.place, message, None);
        }
        let proof = self.proof(node, &fields);
        let delivery = self.optional_text(&fields, "delivery").map(|name| name.to_lowercase());
        let mapped = self.mapped(&fields, &["body", "headers", "query"], inputs);
        for (input, _) in inputs {
            let is_file = matches!(input.kind, InputType::File { .. } | InputType::Files { .. });
            if is_file && input.required && input.default.is_none() {
                let message =
                    format!("a webhook brings no file, and input `{}` is one", input.name);
                self.error(node.place, message, Some("give it `required: false`".to_owned()));
            } else if mapped.as_ref().is_some_and(|mapped| !has_key(mapped, &input.name)) {
                self.must_not_miss(node.place, input);
            }
        }
        let delivery = delivery.unwrap_or_else(|| DELIVERY_HEADER.to_owned());
        Some(Trigger::Webhook { path, proof: proof?, delivery, inputs: mapped })
    }

    /// What a request must bring; a webhook that anybody may call is a fault.
    fn proof(&mut self, node: &Node, fields: &Fields<'_>) -> Option<Proof> {
        let (kind, at, usual) = match (fields.get("secret"), fields.get("hmac")) {
            (Some(at), None) => (ProofKind::Secret, at, SECRET_HEADER),
            (None, Some(at)) => (ProofKind::Hmac, at, SIGNATURE_HEADER),
            (Some(_), Some(at)) => {
                self.error(at.place, "a webhook has a `secret` or an `hmac`, not both", None);
                return None;
            }
            (None, None) => {
                let hint = "add `secret: \"{{ secrets.NAME }}\"`, or `hmac` for signed bodies";
                let message = "a webhook without a `secret` would start for anybody";
                self.error(node.place, message, Some(hint.to_owned()));
                return None;
            }
        };
        let template = self.template(at)?;
        let Some(secret) = secret_name(&template) else {
            let hint = Some("write it as `\"{{ secrets.NAME }}\"`".to_owned());
            self.error(at.place, "the secret of a webhook is named, not written down", hint);
            return None;
        };
        let header = self.optional_text(fields, "header").map(|name| name.to_lowercase());
        Some(Proof { kind, secret, header: header.unwrap_or_else(|| usual.to_owned()) })
    }

    fn after(&mut self, node: &Node, own: &str, inputs: &[(Input, Place)]) -> Option<Trigger> {
        let fields = self.fields(node, "a trigger", keys::AFTER)?;
        let workflow = self.optional_text(&fields, "after")?;
        if workflow == own {
            let message = format!("`{own}` would run after itself without end");
            self.error(node.place, message, None);
        }
        let mut status = self.words(&fields, "status");
        if let Some(node) = fields.get("status") {
            for word in &status {
                if !ENDINGS.contains(&word.as_str()) {
                    let hint = self.meant(word, ENDINGS);
                    let hint = hint.unwrap_or_else(|| listing("a run ends as", ENDINGS));
                    let message = format!("no run ends as `{word}`");
                    self.error(node.place, message, Some(hint));
                }
            }
        }
        if status.is_empty() {
            status.push("succeeded".into());
        }
        let mapped = self.mapped(&fields, &["run"], inputs);
        self.all_given(node.place, inputs, |name| {
            mapped.as_ref().is_some_and(|mapped| has_key(mapped, name))
        });
        Some(Trigger::After { workflow, status, inputs: mapped })
    }

    /// The type of an input that a trigger names.
    fn known_input<'i>(
        &mut self,
        place: Place,
        name: &str,
        inputs: &'i [(Input, Place)],
    ) -> Option<&'i InputType> {
        let known = inputs.iter().find(|(input, _)| input.name == name);
        if known.is_none() {
            let names = inputs.iter().map(|(input, _)| input.name.as_str());
            let hint = self.meant(name, names);
            self.error(place, format!("there is no input `{name}`"), hint);
        }
        known.map(|(input, _)| &input.kind)
    }

    /// The inputs that a trigger gives as they are written.
    fn given(&mut self, fields: &Fields<'_>, inputs: &[(Input, Place)]) -> Value {
        let Some(node) = fields.get("inputs") else {
            return Value::Null;
        };
        for entry in self.map(node, "`inputs`").unwrap_or_default() {
            if let Some(kind) = self.known_input(entry.place, &entry.key, inputs)
                && let Err(why) = fits(kind, &entry.value.to_json())
            {
                let message = format!("input `{}` {why}", entry.key);
                self.error(entry.value.place, message, None);
            }
        }
        node.to_json()
    }

    /// The inputs that a trigger computes from what came; none where the key is absent.
    fn mapped(
        &mut self,
        fields: &Fields<'_>,
        roots: &[&str],
        inputs: &[(Input, Place)],
    ) -> Option<Template> {
        let node = fields.get("inputs")?;
        for entry in self.map(node, "`inputs`")? {
            self.known_input(entry.place, &entry.key, inputs);
        }
        let template = self.template(node)?;
        for reference in template.references() {
            if !roots.contains(&reference.root.as_str()) {
                let message = format!("the inputs of a trigger cannot refer to `{reference}`");
                let hint = listing("they know", roots.iter().copied());
                self.error(node.place, message, Some(hint));
            }
        }
        Some(template)
    }

    /// A run that lacks an input never starts, and nobody may be there to see it.
    fn all_given(&mut self, place: Place, inputs: &[(Input, Place)], given: impl Fn(&str) -> bool) {
        for (input, _) in inputs.iter().filter(|(input, _)| !given(&input.name)) {
            self.must_not_miss(place, input);
        }
    }

    fn must_not_miss(&mut self, place: Place, input: &Input) {
        if input.required && input.default.is_none() {
            let message = format!("the trigger gives no input `{}`", input.name);
            let hint = "give it under `inputs`, or give the input a `default`";
            self.error(place, message, Some(hint.to_owned()));
        }
    }

    fn schedule(&mut self, node: &Node, inputs: &[(Input, Place)]) -> Option<Trigger> {
        let fields = self.fields(node, "a schedule", keys::SCHEDULE)?;
        let at = fields.get("schedule")?;
        let cron = self.cron(at)?;
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
        let overlaps =
            [("skip", Overlap::Skip), ("queue", Overlap::Queue), ("cancel", Overlap::Cancel)];
        let given = self.given(&fields, inputs);
        self.all_given(node.place, inputs, |name| given.get(name).is_some());
        Some(Trigger::Schedule {
            cron,
            timezone,
            catch_up: self.word(&fields, "catch_up", &missed).unwrap_or_default(),
            overlap: self.word(&fields, "overlap", &overlaps).unwrap_or_default(),
            jitter: self.optional_duration(&fields, "jitter").unwrap_or_default(),
            inputs: given,
        })
    }

    fn cron(&mut self, at: &Node) -> Option<Cron> {
        let text = self.text(at, "`schedule`")?;
        if let Some(distance) = text.strip_prefix("@every ") {
            let node = Node { data: Data::Text(distance.trim().into()), place: at.place };
            let distance = self.unit(&node, "schedule", parse_duration)?;
            if distance < CLOSEST {
                let message = "`schedule`: ticks are a second apart at least";
                self.error(at.place, message, Some("e.g. `@every 15m`".to_owned()));
            }
            return Some(Cron::Every(distance.max(CLOSEST)));
        }
        match super::super::cron::check(text) {
            Ok(()) => Some(Cron::Expression(text.to_owned())),
            Err(why) => {
                let hint = Some("e.g. `0 2 * * *` for two at night".to_owned());
                self.error(at.place, format!("`{text}` is no schedule: {why}"), hint);
                None
            }
        }
    }
}

/// The name of a secret, where a template is one and nothing else.
fn secret_name(template: &Template) -> Option<String> {
    let Template::Expression(expression) = template else { return None };
    let reference = expression.plain()?;
    match (reference.root.as_str(), reference.segments.as_slice()) {
        ("secrets", [Segment::Key(name)]) => Some(name.clone()),
        _ => None,
    }
}

/// Whether a map has a key, computed or not.
fn has_key(map: &Template, key: &str) -> bool {
    match map {
        Template::Literal(value) => value.get(key).is_some(),
        Template::Map(entries) => entries.iter().any(|(name, _)| name == key),
        Template::Expression(_) | Template::Text(_) | Template::List(_) => false,
    }
}
