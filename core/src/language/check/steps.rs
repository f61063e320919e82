//! The first pass over steps: each by itself.

use std::sync::Arc;

use super::super::document::{Data, Node, Place};
use super::super::keys;
use super::super::task::Task;
use super::super::workflow::{
    Agree, Block, ForEach, ModelChoice, OnError, Policy, Step, Work, Workflow,
};
use super::Checker;
use super::models::{Models, Providers};
use super::reader::Fields;
use crate::action::Brought;
use crate::ids::StepId;
use crate::template::Template;

/// What steps take from the rest of the workflow.
pub(super) struct Context<'c> {
    pub(super) models: &'c Models,
    pub(super) providers: &'c Providers,
    pub(super) defaults: &'c Defaults,
}

/// The policies of steps that set none.
#[derive(Default)]
pub(super) struct Defaults {
    pub(super) policy: Policy,
    pub(super) models: Option<Vec<ModelChoice>>,
}

/// A step that was read by itself: what it refers to is not known yet.
pub(super) struct Draft {
    pub(super) id: StepId,
    pub(super) place: Place,
    name: Option<String>,
    pub(super) work: DraftWork,
    pub(super) needs: Vec<(String, Place)>,
    pub(super) when: Option<(Template, Place)>,
    pub(super) items: Option<(Template, Place)>,
    pub(super) item_name: String,
    pub(super) key: Option<(Template, Place)>,
    max_parallel: Option<usize>,
    on_error: OnError,
    policy: Policy,
    /// Filled in by the second pass.
    pub(super) after: Vec<usize>,
    pub(super) when_per_item: bool,
    pub(super) output_used: bool,
    pub(super) computed: Vec<String>,
}

/// What a draft does.
pub(super) enum DraftWork {
    /// Runs an action.
    Action {
        name: String,
        with: Vec<(String, Place, Template)>,
        models: Vec<ModelChoice>,
        task: Option<Arc<Task>>,
        grounded: bool,
        agree: Option<Agree>,
        brought: Option<Brought>,
    },
    /// Runs steps for each item.
    Body { steps: Vec<Draft>, collect: Option<(Template, Place)> },
    /// Runs another workflow.
    Workflow { workflow: Arc<Workflow>, inputs: Template, place: Place },
    /// Could not be read; a fault says why.
    Unknown,
}

impl Draft {
    /// The finished step.
    pub(super) fn finish(self) -> Step {
        let work = match self.work {
            DraftWork::Action { name, with, models, task, grounded, agree, brought } => {
                let with = with.into_iter().map(|(key, _, value)| (key, value)).collect();
                let (with, computed) = (Template::map(with), self.computed);
                Work::Action { name, with, computed, models, task, grounded, agree, brought }
            }
            DraftWork::Body { steps, collect } => {
                let steps = steps.into_iter().map(Self::finish).collect();
                let collect = collect.map(|(collect, _)| collect);
                Work::Body { block: Arc::new(Block::new(steps)), collect }
            }
            DraftWork::Workflow { workflow, inputs, .. } => {
                Work::Workflow { workflow, inputs, computed: self.computed }
            }
            DraftWork::Unknown => Work::Body { block: Arc::default(), collect: None },
        };
        let (max_parallel, item_name) = (self.max_parallel, self.item_name);
        let key = self.key.map(|(key, _)| key);
        Step {
            id: self.id,
            name: self.name,
            after: self.after,
            when: self.when.map(|(when, _)| when),
            when_per_item: self.when_per_item,
            for_each: self.items.map(|(items, _)| ForEach { items, item_name, key, max_parallel }),
            work,
            on_error: self.on_error,
            policy: self.policy,
            output_used: self.output_used,
            line: self.place.line,
        }
    }
}

impl Checker<'_> {
    /// Reads the steps of a block.
    pub(super) fn block(&mut self, node: Option<&Node>, context: &Context<'_>) -> Vec<Draft> {
        let Some(node) = node else { return Vec::new() };
        let items = self.list(node, "`steps`");
        items.iter().filter_map(|item| self.step(item, context)).collect()
    }

    fn step(&mut self, node: &Node, context: &Context<'_>) -> Option<Draft> {
        let fields = self.fields(node, "a step", keys::STEP)?;
        let Some(id_node) = fields.get("id") else {
            self.error(node.place, "the step has no `id`", Some("e.g. `id: pages`".into()));
            return None;
        };
        let id = self.text(id_node, "`id`")?;
        let Ok(id) = id.parse::<StepId>() else {
            let hint = suggested_id(id);
            let message = format!("`{id}` cannot name a step");
            self.error(id_node.place, message, Some(hint));
            return None;
        };
        let work = self.work(node, &fields, &id, context);
        let located = |template: Option<Template>, node: &Node| Some((template?, node.place));
        let for_each = fields.get("for_each");
        let items = for_each.and_then(|node| located(self.items(node), node));
        let when = fields.get("when").and_then(|node| located(self.condition(node), node));
        let key = fields.get("key").and_then(|node| located(self.expression(node), node));
        for loop_key in ["as", "key", "max_parallel"] {
            if let (None, Some(entry)) = (for_each, fields.entry(loop_key)) {
                let message = format!("`{loop_key}` needs `for_each`");
                self.error(entry.place, message, None);
            }
        }
        Some(Draft {
            place: id_node.place,
            name: self.optional_text(&fields, "name"),
            work,
            needs: self.needs(&fields),
            when,
            items,
            item_name: self.item_name(&fields),
            key,
            max_parallel: self.optional_count(&fields, "max_parallel"),
            on_error: self.on_error(&fields),
            policy: self.policy(&fields, &context.defaults.policy),
            after: Vec::new(),
            when_per_item: false,
            output_used: false,
            computed: Vec::new(),
            id,
        })
    }

    /// A list, a count, or an expression that yields one.
    fn items(&mut self, node: &Node) -> Option<Template> {
        match &node.data {
            Data::Text(_) => self.expression(node),
            Data::List(_) => self.template(node),
            Data::Number(count) if count.is_u64() => self.template(node),
            Data::Null | Data::Bool(_) | Data::Number(_) | Data::Map(_) => {
                let hint = Some("it takes a list, a count, or a file of JSON lines".to_owned());
                let message = match &node.data {
                    Data::Number(number) => format!("`for_each` cannot run {number} times"),
                    _ => format!("`for_each` cannot run over {}", node.kind()),
                };
                self.error(node.place, message, hint);
                None
            }
        }
    }

    /// `true`, `false`, or one expression.
    fn condition(&mut self, node: &Node) -> Option<Template> {
        if let Data::Null | Data::Number(_) | Data::List(_) | Data::Map(_) = &node.data {
            let message = format!("`when` is an expression, and this is {}", node.kind());
            self.error(node.place, message, None);
            return None;
        }
        let condition = self.expression(node)?;
        if let Template::Text(_) = condition {
            let hint = Some("write one expression, e.g. `when: inputs.a and inputs.b`".to_owned());
            self.error(node.place, "`when` is text, which is never false", hint);
            return None;
        }
        Some(condition)
    }

    fn needs(&mut self, fields: &Fields<'_>) -> Vec<(String, Place)> {
        let Some(node) = fields.get("needs") else {
            return Vec::new();
        };
        if let Some(id) = node.text() {
            return vec![(id.to_owned(), node.place)];
        }
        let items = self.list(node, "`needs`");
        let read =
            |item| self.text(item, "an element of `needs`").map(|id| (id.to_owned(), item.place));
        items.iter().filter_map(read).collect()
    }

    fn item_name(&mut self, fields: &Fields<'_>) -> String {
        let Some(node) = fields.get("as") else {
            return "item".into();
        };
        let Some(name) = self.text(node, "`as`") else {
            return "item".into();
        };
        let taken = ["inputs", "steps", "run", "secrets", "index", "loop"];
        if taken.contains(&name) {
            self.error(node.place, format!("`as: {name}` would hide `{name}`"), None);
        } else if !crate::ids::is_identifier(name) {
            let hint = Some("use letters, digits and `_`".to_owned());
            self.error(node.place, format!("`{name}` cannot name an item"), hint);
        }
        name.to_owned()
    }

    fn on_error(&mut self, fields: &Fields<'_>) -> OnError {
        let Some(node) = fields.get("on_error") else {
            return OnError::Fail;
        };
        match node.text() {
            Some("fail") => return OnError::Fail,
            Some("continue") => return OnError::Continue,
            _ => {}
        }
        match node.entries() {
            Some([entry]) if entry.key == "value" => {
                let template = self.template(&entry.value);
                if let Some(value) = template.as_ref().and_then(Template::literal) {
                    return OnError::Value(value.clone());
                }
                if template.is_some() {
                    let hint =
                        Some("`continue`, and fill in the value in a step behind".to_owned());
                    self.error(
                        entry.value.place,
                        "the value of `on_error` cannot be computed",
                        hint,
                    );
                }
                OnError::Fail
            }
            _ => {
                let message = "`on_error` is `fail`, `continue` or `{value: …}`";
                self.error(node.place, message, None);
                OnError::Fail
            }
        }
    }
}

/// A step id like the one that cannot be.
fn suggested_id(id: &str) -> String {
    let mut spelt: String =
        id.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(64).collect();
    if !crate::ids::is_identifier(&spelt) {
        spelt.insert(0, '_');
        spelt.truncate(64);
    }
    format!("an id is letters, digits and `_`: `{spelt}`")
}
