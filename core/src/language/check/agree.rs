//! `agree`: two models, and the fields of an answer that they must agree on.

use serde_json::Value;

use super::super::document::{Data, Node};
use super::super::keys;
use super::super::workflow::{Agree, ModelChoice};
use super::reader::Fields;
use super::steps::Context;
use super::{Checker, listing};

impl Checker<'_> {
    /// The models of a step with `agree`: the first, and what the second is asked about; none of
    /// a step without it. `can` says whether the step asks a model for data, `answer` yields the
    /// schema of that as far as it is known.
    pub(super) fn agree(
        &mut self,
        fields: &Fields<'_>,
        can: bool,
        answer: impl Fn() -> Value,
        context: &Context<'_>,
    ) -> Option<(Vec<ModelChoice>, Option<Agree>)> {
        let node = fields.get("agree")?;
        if !can {
            let message = "`agree` is for steps that ask a model for data";
            self.error(node.place, message, None);
            return None;
        }
        if let Some(model) = fields.entry("model") {
            let hint = Some("leave `model` out: the first of the two is asked for all".to_owned());
            self.error(model.place, "`agree` names the models of the step", hint);
        }
        let nothing = || Some((Vec::new(), None));
        let Some(settings) = self.fields(node, "`agree`", keys::AGREE) else { return nothing() };
        for (key, example) in [("models", "[a, b]"), ("on", "[total, date]")] {
            if settings.get(key).is_none() {
                self.error(node.place, format!("`agree` needs `{key}: {example}`"), None);
            }
        }
        let on = settings.get("on").map(|on| self.agreed_fields(on, &answer()));
        let models = settings.get("models").and_then(|models| self.two_models(models, context));
        match (on, models) {
            (Some(on), Some([first, second])) => Some((first, Some(Agree { second, on }))),
            _ => nothing(),
        }
    }

    fn two_models(&mut self, node: &Node, context: &Context<'_>) -> Option<[Vec<ModelChoice>; 2]> {
        let (Data::List(items), hint) = (&node.data, "e.g. `models: [reader, second]`") else {
            let message = format!("`models` is a list of two, and this is {}", node.kind());
            self.error(node.place, message, None);
            return None;
        };
        let [one, other] = items.as_slice() else {
            let message = format!("`agree` compares two models, and these are {}", items.len());
            self.error(node.place, message, Some(hint.to_owned()));
            return None;
        };
        if one.text().is_some() && one.text() == other.text() {
            let hint = Some("a model that is asked twice errs twice".to_owned());
            self.error(other.place, "`agree` compares a model with itself", hint);
        }
        let [first, second] = [one, other].map(|node| {
            let chain = self.chain(node, context.models, context.providers)?;
            if chain.iter().any(ModelChoice::is_person) {
                let hint = Some("a person is asked where two models differ".to_owned());
                self.error(node.place, "`agree` compares models, and `human` is none", hint);
            }
            Some(chain)
        });
        Some([first?, second?])
    }

    /// The fields that are named, each of which the answer has as far as its schema is known.
    fn agreed_fields(&mut self, node: &Node, answer: &Value) -> Vec<String> {
        let items = self.list(node, "`on`");
        if items.is_empty() && matches!(node.data, Data::List(_)) {
            let hint = Some("e.g. `on: [total, date]`".to_owned());
            self.error(node.place, "`on` names no field of the answer", hint);
        }
        if answer["type"] == "string" {
            let hint = Some("give it a `schema`".to_owned());
            self.error(node.place, "the answer is text, and has no fields to agree on", hint);
            return Vec::new();
        }
        let known = answer["properties"].as_object();
        let mut on: Vec<String> = Vec::new();
        for item in items {
            let Some(field) = self.text(item, "an element of `on`") else { continue };
            if let Some(known) = known.filter(|known| !known.contains_key(field)) {
                let names = || known.keys().map(String::as_str);
                let hint = self.meant(field, names());
                let hint = hint.unwrap_or_else(|| listing("its fields are", names()));
                self.error(item.place, format!("the answer has no field `{field}`"), Some(hint));
            } else if on.iter().any(|known| known == field) {
                self.error(item.place, format!("`{field}` stands here twice"), None);
            } else {
                on.push(field.to_owned());
            }
        }
        on
    }
}
