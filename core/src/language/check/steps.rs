//! The first pass over steps: each by itself.

use std::sync::Arc;

use serde_json::Value;

use super::super::document::{Data, Node, Place};
use super::super::keys;
use super::super::suggest::closest;
use super::super::workflow::{Block, ForEach, ModelChoice, OnError, Policy, Step, Work, Workflow};
use super::models::{Models, Providers};
use super::reader::Fields;
use super::{Checker, DEEPEST};
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
    },
    /// Runs steps for each item.
    Body {
        steps: Vec<Draft>,
        collect: Option<(Template, Place)>,
    },
    /// Runs another workflow.
    Workflow {
        workflow: Arc<Workflow>,
        inputs: Template,
        place: Place,
    },
    /// Could not be read; a fault says why.
    Unknown,
}

impl Draft {
    /// The finished step.
    pub(super) fn finish(self) -> Step {
        let work = match self.work {
            DraftWork::Action { name, with, models } => {
                let with = with
                    .into_iter()
                    .map(|(key, _, value)| (key, value))
                    .collect();
                Work::Action {
                    name,
                    with: Template::map(with),
                    computed: self.computed,
                    models,
                }
            }
            DraftWork::Body { steps, collect } => {
                let steps = steps.into_iter().map(Self::finish).collect();
                let collect = collect.map(|(collect, _)| collect);
                Work::Body {
                    block: Arc::new(Block::new(steps)),
                    collect,
                }
            }
            DraftWork::Workflow {
                workflow, inputs, ..
            } => Work::Workflow { workflow, inputs },
            DraftWork::Unknown => Work::Body {
                block: Arc::default(),
                collect: None,
            },
        };
        let (max_parallel, item_name) = (self.max_parallel, self.item_name);
        let key = self.key.map(|(key, _)| key);
        Step {
            id: self.id,
            name: self.name,
            after: self.after,
            when: self.when.map(|(when, _)| when),
            when_per_item: self.when_per_item,
            for_each: self.items.map(|(items, _)| ForEach {
                items,
                item_name,
                key,
                max_parallel,
            }),
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
        items
            .iter()
            .filter_map(|item| self.step(item, context))
            .collect()
    }

    fn step(&mut self, node: &Node, context: &Context<'_>) -> Option<Draft> {
        let fields = self.fields(node, "a step", keys::STEP)?;
        let Some(id_node) = fields.get("id") else {
            self.error(
                node.place,
                "the step has no `id`",
                Some("e.g. `id: pages`".into()),
            );
            return None;
        };
        let id = self.text(id_node, "`id`")?;
        let id: StepId = match id.parse() {
            Ok(id) => id,
            Err(_) => {
                let hint = suggested_id(id);
                let message = format!("`{id}` cannot name a step");
                self.error(id_node.place, message, Some(hint));
                return None;
            }
        };
        let work = self.work(node, &fields, &id, context);
        let located = |template: Option<Template>, node: &Node| Some((template?, node.place));
        let for_each = fields.get("for_each");
        let items = for_each.and_then(|node| {
            let template = match node.data {
                Data::Text(_) => self.expression(node),
                _ => self.template(node),
            };
            located(template, node)
        });
        let when = fields
            .get("when")
            .and_then(|node| located(self.expression(node), node));
        let key = fields
            .get("key")
            .and_then(|node| located(self.expression(node), node));
        for loop_key in ["as", "key", "max_parallel", "collect"] {
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

    fn needs(&mut self, fields: &Fields<'_>) -> Vec<(String, Place)> {
        let Some(node) = fields.get("needs") else {
            return Vec::new();
        };
        if let Some(id) = node.text() {
            return vec![(id.to_owned(), node.place)];
        }
        let items = self.list(node, "`needs`");
        let read = |item| {
            self.text(item, "an element of `needs`")
                .map(|id| (id.to_owned(), item.place))
        };
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
            self.error(
                node.place,
                format!("`as: {name}` would hide `{name}`"),
                None,
            );
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
            Some([entry]) if entry.key == "value" => OnError::Value(entry.value.to_json()),
            _ => {
                let message = "`on_error` is `fail`, `continue` or `{value: …}`";
                self.error(node.place, message, None);
                OnError::Fail
            }
        }
    }

    fn work(
        &mut self,
        node: &Node,
        fields: &Fields<'_>,
        id: &StepId,
        context: &Context<'_>,
    ) -> DraftWork {
        match (fields.get("uses"), fields.get("steps")) {
            (Some(uses), None) => self.uses(uses, fields, context),
            (None, Some(steps)) => {
                if fields.get("for_each").is_none() {
                    let hint = Some("steps outside a loop stand beside each other".to_owned());
                    self.error(steps.place, "`steps` within a step needs `for_each`", hint);
                }
                if let Some(entry) = fields.entry("with").or_else(|| fields.entry("model")) {
                    let message = format!("`{}` needs `uses`", entry.key);
                    self.error(entry.place, message, None);
                }
                let collect = fields
                    .get("collect")
                    .and_then(|node| Some((self.template(node)?, node.place)));
                let steps = self.block(Some(steps), context);
                DraftWork::Body { steps, collect }
            }
            (Some(uses), Some(_)) => {
                self.error(uses.place, "a step has `uses` or `steps`, not both", None);
                DraftWork::Unknown
            }
            (None, None) => {
                let hint = Some("e.g. `uses: document.pages`".to_owned());
                self.error(node.place, format!("step `{id}` has no `uses`"), hint);
                DraftWork::Unknown
            }
        }
    }

    fn uses(&mut self, node: &Node, fields: &Fields<'_>, context: &Context<'_>) -> DraftWork {
        let Some(name) = self.text(node, "`uses`") else {
            return DraftWork::Unknown;
        };
        if let Some(entry) = fields.entry("collect") {
            let hint = Some("an action's instance yields the action's output".to_owned());
            self.error(entry.place, "`collect` needs `steps`", hint);
        }
        if name == "workflow.run" {
            return self.sub_workflow(node, fields);
        }
        for family in ["plugin.", "task."] {
            if name.starts_with(family) {
                let hint = Some("leave it out until it is".to_owned());
                self.error(node.place, format!("`uses: {name}` is not built yet"), hint);
                return DraftWork::Unknown;
            }
        }
        let Some(action) = self.environment.actions.get(name).cloned() else {
            let names = || self.environment.actions.specs().map(|spec| spec.name);
            let hint = match closest(name, names().chain(["workflow.run"])) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("actions are: {}", names().collect::<Vec<_>>().join(", ")),
            };
            self.error(node.place, format!("unknown action `{name}`"), Some(hint));
            return DraftWork::Unknown;
        };
        let spec = action.spec();
        let with = self.with(node, fields, &spec.input, name);
        let models = match fields.get("model") {
            Some(model) if spec.takes_model => self
                .chain(model, context.models, context.providers)
                .unwrap_or_default(),
            Some(model) => {
                self.error(model.place, format!("`{name}` asks no model"), None);
                Vec::new()
            }
            None if spec.takes_model => match &context.defaults.models {
                Some(models) => models.clone(),
                None => {
                    let hint = Some("e.g. `model: auto`, or one under `defaults:`".to_owned());
                    self.error(node.place, format!("`{name}` needs a `model`"), hint);
                    Vec::new()
                }
            },
            None => Vec::new(),
        };
        DraftWork::Action {
            name: name.to_owned(),
            with,
            models,
        }
    }

    /// Reads the input of an action against its schema.
    fn with(
        &mut self,
        uses: &Node,
        fields: &Fields<'_>,
        schema: &Value,
        action: &str,
    ) -> Vec<(String, Place, Template)> {
        let properties = schema["properties"].as_object();
        let entries = match fields.get("with") {
            Some(node) => self.map(node, "`with`").unwrap_or_default(),
            None => &[],
        };
        let mut with = Vec::new();
        for entry in entries {
            let known = properties.and_then(|properties| properties.get(&entry.key));
            if known.is_none() && schema["additionalProperties"] == false {
                let names = || {
                    properties
                        .into_iter()
                        .flat_map(|p| p.keys().map(String::as_str))
                };
                let hint = match closest(&entry.key, names()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("it takes: {}", names().collect::<Vec<_>>().join(", ")),
                };
                let message = format!("`{action}` takes no `{}`", entry.key);
                self.error(entry.place, message, Some(hint));
                continue;
            }
            let Some(template) = self.template(&entry.value) else {
                continue;
            };
            if let (Some(value), Some(property)) = (template.literal(), known) {
                self.literal_fits(&entry.key, entry.value.place, value, property);
            }
            with.push((entry.key.clone(), entry.value.place, template));
        }
        for required in schema["required"].as_array().into_iter().flatten() {
            let required = required.as_str().unwrap_or_default();
            if !entries.iter().any(|entry| entry.key == required) {
                let message = format!("`{action}` needs `with: {{ {required}: … }}`");
                self.error(uses.place, message, None);
            }
        }
        with
    }

    fn literal_fits(&mut self, key: &str, place: Place, value: &Value, property: &Value) {
        if property["x-schema"] == true {
            self.valid_schema(place, value);
            return;
        }
        let Ok(validator) = jsonschema::validator_for(property) else {
            return;
        };
        if let Err(error) = validator.validate(value) {
            self.error(place, format!("`{key}` is wrong: {error}"), None);
        }
    }

    fn sub_workflow(&mut self, uses: &Node, fields: &Fields<'_>) -> DraftWork {
        const KEYS: &[keys::Key] = &[("workflow", "Its file."), ("inputs", "Its inputs.")];
        let with = fields
            .get("with")
            .and_then(|node| self.fields(node, "`with`", KEYS));
        let Some(file) = with.as_ref().and_then(|with| with.get("workflow")) else {
            self.error(
                uses.place,
                "`workflow.run` needs `with: { workflow: FILE }`",
                None,
            );
            return DraftWork::Unknown;
        };
        let Some(path) = self.text(file, "`workflow`") else {
            return DraftWork::Unknown;
        };
        if path.contains("{{") {
            let hint = Some("write the path of the file".to_owned());
            self.error(file.place, "`workflow` cannot be computed", hint);
            return DraftWork::Unknown;
        }
        if self.session.open.iter().any(|open| open == path) || self.session.open.len() > DEEPEST {
            let chain = self.session.open.join(" → ");
            self.error(
                file.place,
                format!("workflows run each other: {chain} → {path}"),
                None,
            );
            return DraftWork::Unknown;
        }
        let Some(text) = self.read_file(file, path) else {
            return DraftWork::Unknown;
        };
        let environment = self.environment;
        let Some(workflow) = self.session.workflow(path, text.as_bytes(), environment) else {
            return DraftWork::Unknown;
        };
        let inputs = with.as_ref().and_then(|with| with.get("inputs"));
        let template = inputs.and_then(|inputs| self.template(inputs));
        let place = inputs.map_or(uses.place, |inputs| inputs.place);
        let inputs = template.unwrap_or(Template::Literal(Value::Object(serde_json::Map::new())));
        self.sub_inputs(&workflow, &inputs, place);
        DraftWork::Workflow {
            workflow,
            inputs,
            place,
        }
    }

    /// Checks the names of a sub-workflow's inputs.
    fn sub_inputs(&mut self, workflow: &Workflow, inputs: &Template, place: Place) {
        let given: Vec<String> = match inputs {
            Template::Map(entries) => entries.iter().map(|(key, _)| key.clone()).collect(),
            Template::Literal(Value::Object(map)) => map.keys().cloned().collect(),
            Template::Literal(_) | Template::List(_) => {
                self.error(place, "`inputs` is a map", None);
                return;
            }
            Template::Expression(_) | Template::Text(_) => return,
        };
        for name in &given {
            if !workflow.inputs.iter().any(|input| input.name == *name) {
                let names = workflow.inputs.iter().map(|input| input.name.as_str());
                let hint = closest(name, names).map(|near| format!("did you mean `{near}`?"));
                let message = format!("workflow `{}` has no input `{name}`", workflow.name);
                self.error(place, message, hint);
            }
        }
        for input in workflow.inputs.iter().filter(|input| input.required) {
            if !given.contains(&input.name) {
                let message = format!("workflow `{}` needs input `{}`", workflow.name, input.name);
                self.error(place, message, None);
            }
        }
    }
}

/// A step id like the one that cannot be.
fn suggested_id(id: &str) -> String {
    let mut spelt: String = id
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .take(64)
        .collect();
    if !crate::ids::is_identifier(&spelt) {
        spelt.insert(0, '_');
        spelt.truncate(64);
    }
    format!("an id is letters, digits and `_`: `{spelt}`")
}
