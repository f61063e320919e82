//! What starts a workflow besides a person.

use serde_json::Value;

use super::super::bind::fits;
use super::super::document::{Data, Node, Place};
use super::super::keys;
use super::super::workflow::{Cron, Input, InputType, MissedTicks, Overlap, Trigger};
use super::reader::Fields;
use super::{Checker, listing};
use crate::units::parse_duration;

/// How a run can end.
const ENDINGS: [&str; 3] = ["succeeded", "failed", "cancelled"];

impl Checker<'_> {
    pub(super) fn triggers(
        &mut self,
        fields: &Fields<'_>,
        inputs: &[(Input, Place)],
    ) -> Vec<Trigger> {
        let Some(node) = fields.get("triggers") else {
            return Vec::new();
        };
        let items = self.list(node, "`triggers`");
        items.iter().filter_map(|item| self.trigger(item, inputs)).collect()
    }

    fn trigger(&mut self, node: &Node, inputs: &[(Input, Place)]) -> Option<Trigger> {
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
            return self.webhook(node);
        }
        if has("after") {
            return self.after(node);
        }
        let hint = Some("a trigger has `schedule`, `watch`, `webhook` or `after`".to_owned());
        self.error(node.place, "this is no trigger", hint);
        None
    }

    fn watch(&mut self, node: &Node, inputs: &[(Input, Place)]) -> Option<Trigger> {
        let fields = self.fields(node, "a folder watch", keys::WATCH)?;
        let pattern = self.optional_text(&fields, "watch")?;
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
        Some(Trigger::Watch { pattern, input })
    }

    fn webhook(&mut self, node: &Node) -> Option<Trigger> {
        let fields = self.fields(node, "a webhook", keys::WEBHOOK)?;
        let path = self.optional_text(&fields, "webhook")?;
        if !path.starts_with('/') {
            let message = format!("`webhook: {path}` must begin with `/`");
            self.error(node.place, message, None);
        }
        Some(Trigger::Webhook { path })
    }

    fn after(&mut self, node: &Node) -> Option<Trigger> {
        let fields = self.fields(node, "a trigger", keys::AFTER)?;
        let workflow = self.optional_text(&fields, "after")?;
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
        Some(Trigger::After { workflow, status })
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

    /// The inputs that a schedule gives; whether they are all is known when it ticks.
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

    fn schedule(&mut self, node: &Node, inputs: &[(Input, Place)]) -> Option<Trigger> {
        let fields = self.fields(node, "a schedule", keys::SCHEDULE)?;
        let at = fields.get("schedule")?;
        let text = self.text(at, "`schedule`")?;
        let cron = match text.strip_prefix("@every ") {
            Some(distance) => Cron::Every(self.unit(
                &Node { data: Data::Text(distance.trim().into()), place: at.place },
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
        let overlaps =
            [("skip", Overlap::Skip), ("queue", Overlap::Queue), ("cancel", Overlap::Cancel)];
        Some(Trigger::Schedule {
            cron,
            timezone,
            catch_up: self.word(&fields, "catch_up", &missed).unwrap_or_default(),
            overlap: self.word(&fields, "overlap", &overlaps).unwrap_or_default(),
            jitter: self.optional_duration(&fields, "jitter").unwrap_or_default(),
            inputs: self.given(&fields, inputs),
        })
    }
}
