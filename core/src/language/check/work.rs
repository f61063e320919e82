//! What a step does: an action, a loop's body, or another workflow.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::super::bind::fits;
use super::super::document::{Node, Place};
use super::super::keys;
use super::super::workflow::{ModelChoice, Workflow};
use super::reader::Fields;
use super::steps::{Context, DraftWork};
use super::tasks::Found;
use super::{Checker, DEEPEST, listing};
use crate::ids::StepId;
use crate::template::Template;

/// Keys that say nothing of a step which only holds others.
const NO_EFFECT: &[&str] =
    &["timeout", "deadline", "retry", "cache", "budget", "on_lost", "agree", "require_grounded"];

/// The keys of what a schema describes.
fn fields_of(schema: &Value) -> impl Iterator<Item = &str> {
    schema["properties"].as_object().into_iter().flatten().map(|(key, _)| key.as_str())
}

/// What `with` holds literally; what is computed is null.
fn skeleton_of(with: &[(String, Place, Template)]) -> Value {
    let parts = with.iter().map(|(key, _, template)| (key.clone(), template.skeleton()));
    Value::Object(parts.collect())
}

impl Checker<'_> {
    pub(super) fn work(
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
                for entry in ["with", "model"].iter().filter_map(|key| fields.entry(key)) {
                    let message = format!("`{}` needs `uses`", entry.key);
                    self.error(entry.place, message, None);
                }
                self.no_policies(fields, "a loop's body");
                let collect =
                    fields.get("collect").and_then(|node| Some((self.template(node)?, node.place)));
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
            if let Some(model) = fields.get("model") {
                let hint = Some("its steps name the models they ask".to_owned());
                self.error(model.place, "`workflow.run` asks no model", hint);
            }
            self.no_policies(fields, "`workflow.run`");
            return self.sub_workflow(node, fields);
        }
        if let Some(task) = name.strip_prefix("task.") {
            return self.task_step(node, task, fields, context);
        }
        let brought = match name.strip_prefix("plugin.") {
            Some(plugin) => match self.plugin_step(node, plugin) {
                Some(brought) => Some(brought),
                None => return DraftWork::Unknown,
            },
            None => None,
        };
        let action = match &brought {
            Some(brought) => Some(Arc::clone(brought.action())),
            None => self.environment.actions.get(name).cloned(),
        };
        let Some(action) = action else {
            let names = || self.environment.actions.specs().map(|spec| spec.name);
            let hint = self.meant(name, names().chain(["workflow.run"]));
            let hint = hint.or_else(|| self.meant_task(name));
            let hint = hint.unwrap_or_else(|| listing("actions are", names()));
            self.error(node.place, format!("unknown action `{name}`"), Some(hint));
            return DraftWork::Unknown;
        };
        let spec = action.spec();
        let with = self.with(node, fields, &spec.input, name);
        for (key, failure) in action.literal_faults(&skeleton_of(&with)) {
            let place = with.iter().find(|(name, ..)| name == key).map_or(node.place, |at| at.1);
            self.error(place, failure.message, failure.hint);
        }
        let can_agree = spec.takes_model && action.agreement().is_some();
        let answer = || action.output_schema(&skeleton_of(&with));
        let (models, agree) = match self.agree(fields, can_agree, answer, context) {
            Some((models, agree)) => (models, agree),
            None => (self.asked(node, fields, (name, spec.takes_model), context), None),
        };
        let can_ground =
            spec.takes_model.then(|| fields_of(&spec.input).any(|key| key == "ground"));
        let pages = with.iter().any(|(key, ..)| key == "ground");
        let grounded = self.grounded(fields, can_ground.unwrap_or(false).then_some(pages));
        let name = name.to_owned();
        DraftWork::Action { name, with, models, task: None, grounded, agree, brought }
    }

    /// A step that runs a task.
    fn task_step(
        &mut self,
        node: &Node,
        name: &str,
        fields: &Fields<'_>,
        context: &Context<'_>,
    ) -> DraftWork {
        let task = match self.session.task(name, self.environment) {
            Found::Task(task) => task,
            Found::Faulty => return DraftWork::Unknown,
            Found::Nothing => {
                let tasks: Vec<_> = self.environment.actions.tasks().collect();
                let meant = self.meant(name, tasks.iter().copied());
                let hint = meant.unwrap_or_else(|| listing("tasks are", tasks));
                let hint =
                    format!("{hint}; one of your own stands in `tasks/` beside the workflow");
                self.error(node.place, format!("unknown task `{name}`"), Some(hint));
                return DraftWork::Unknown;
            }
        };
        let uses = format!("task.{name}");
        let with = self.with(node, fields, &task.input, &uses);
        let literal = |key: &String| with.iter().find(|(name, ..)| name == key);
        let given: Vec<_> = task.one_of.iter().filter_map(literal).collect();
        let sure = given.iter().filter(|(_, _, value)| value.literal().is_some()).count();
        if !task.one_of.is_empty() && (given.is_empty() || (sure > 0 && given.len() > 1)) {
            self.error(node.place, format!("of `{uses}` {}", task.one_of_rule()), None);
        }
        let answer = || task.output_schema(&skeleton_of(&with));
        let (models, agree) = match self.agree(fields, true, answer, context) {
            Some((models, agree)) => (models, agree),
            None => (self.asked(node, fields, (&uses, true), context), None),
        };
        if task.parts.is_some() {
            self.in_parts(fields, &uses, &models);
        }
        let grounded = self.grounded(fields, Some(task.ground.is_some()));
        let task = Some(task);
        DraftWork::Action { name: uses, with, models, task, grounded, agree, brought: None }
    }

    /// What a task that is asked in parts cannot have: who answers once, for all of it.
    fn in_parts(&mut self, fields: &Fields<'_>, uses: &str, models: &[ModelChoice]) {
        if let Some(entry) = fields.entry("agree") {
            let message = format!("`{uses}` is asked in parts, and `agree` is for one answer");
            self.error(entry.place, message, None);
        }
        if let Some(node) =
            fields.get("model").filter(|_| models.iter().any(ModelChoice::is_person))
        {
            let message = format!("`{uses}` is asked in parts, and `human` answers once");
            self.error(node.place, message, None);
        }
    }

    /// Whether values must stand on the page. `pages` says whether there are pages to look on,
    /// of a step that asks a model.
    fn grounded(&mut self, fields: &Fields<'_>, pages: Option<bool>) -> bool {
        let Some(node) = fields.get("require_grounded") else { return false };
        let wanted = self.boolean(node, "`require_grounded`").unwrap_or(false);
        match pages {
            None => {
                let message = "`require_grounded` is for steps that ask a model for data";
                self.error(node.place, message, None);
            }
            Some(false) if wanted => {
                let message = "`require_grounded` needs pages to look for values on";
                let hint = Some("give pages with words: `with: { ground: … }`".to_owned());
                self.error(node.place, message, hint);
            }
            Some(_) => {}
        }
        wanted
    }

    /// What was meant by an action that is none, where it is a task.
    fn meant_task(&self, wrong: &str) -> Option<String> {
        let tasks = self.environment.actions.tasks();
        let same = tasks.into_iter().find(|task| *task == wrong)?;
        Some(format!("did you mean `task.{same}`?"))
    }

    /// The models that an action asks.
    fn asked(
        &mut self,
        uses: &Node,
        fields: &Fields<'_>,
        (name, takes_model): (&str, bool),
        context: &Context<'_>,
    ) -> Vec<ModelChoice> {
        match (fields.get("model"), takes_model) {
            (Some(model), true) => {
                self.chain(model, context.models, context.providers).unwrap_or_default()
            }
            (Some(model), false) => {
                let message = format!("`{name}` asks no model");
                self.error(model.place, message, None);
                Vec::new()
            }
            (None, true) => {
                if context.defaults.models.is_none() {
                    let hint = Some("e.g. `model: auto`, or one under `defaults:`".to_owned());
                    self.error(uses.place, format!("`{name}` needs a `model`"), hint);
                }
                context.defaults.models.clone().unwrap_or_default()
            }
            (None, false) => Vec::new(),
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
                let names = || properties.into_iter().flat_map(|p| p.keys().map(String::as_str));
                let hint = self.meant(&entry.key, names());
                let hint = hint.unwrap_or_else(|| listing("it takes", names()));
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

    /// Policies are of steps that do something themselves: of what only holds others they
    /// would say nothing.
    fn no_policies(&mut self, fields: &Fields<'_>, what: &str) {
        for key in NO_EFFECT {
            if let Some(entry) = fields.entry(key) {
                let hint = Some("set it on the steps in it, or under `defaults:`".to_owned());
                self.error(entry.place, format!("`{key}` has no effect on {what}"), hint);
            }
        }
    }

    fn sub_workflow(&mut self, uses: &Node, fields: &Fields<'_>) -> DraftWork {
        const KEYS: &[keys::Key] = &[("workflow", "Its file."), ("inputs", "Its inputs.")];
        let with = fields.get("with").and_then(|node| self.fields(node, "`with`", KEYS));
        let Some(file) = with.as_ref().and_then(|with| with.get("workflow")) else {
            self.error(uses.place, "`workflow.run` needs `with: { workflow: FILE }`", None);
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
        if self.session.open.iter().any(|open| open == path) {
            let chain = self.session.open.join(" → ");
            let message = format!("workflows run each other: {chain} → {path}");
            self.error(file.place, message, None);
            return DraftWork::Unknown;
        }
        if self.session.open.len() > DEEPEST {
            let message = format!("workflows nest deeper than {DEEPEST} levels");
            self.error(file.place, message, None);
            return DraftWork::Unknown;
        }
        let Some(workflow) = self.checked(file, path) else {
            return DraftWork::Unknown;
        };
        let inputs = with.as_ref().and_then(|with| with.get("inputs"));
        let template = inputs.and_then(|inputs| self.template(inputs));
        let place = inputs.map_or(uses.place, |inputs| inputs.place);
        let inputs = template.unwrap_or(Template::Literal(Value::Object(serde_json::Map::new())));
        self.sub_inputs(&workflow, &inputs, place);
        DraftWork::Workflow { workflow, inputs, place }
    }

    /// A sub-workflow, checked the first time it is run.
    fn checked(&mut self, node: &Node, path: &str) -> Option<Arc<Workflow>> {
        if let Some(workflow) = self.session.checked.get(path) {
            return workflow.clone();
        }
        let text = self.read_file(node, path)?;
        let environment = self.environment;
        let workflow = self.session.workflow(path, text.as_bytes(), environment);
        self.session.checked.insert(path.to_owned(), workflow.clone());
        workflow
    }

    /// Checks the inputs of a sub-workflow: their names, and the values that are written.
    fn sub_inputs(&mut self, workflow: &Workflow, inputs: &Template, place: Place) {
        let given: BTreeMap<&str, Option<&Value>> = match inputs {
            Template::Map(entries) => {
                entries.iter().map(|(key, value)| (key.as_str(), value.literal())).collect()
            }
            Template::Literal(Value::Object(map)) => {
                map.iter().map(|(key, value)| (key.as_str(), Some(value))).collect()
            }
            Template::Literal(_) | Template::List(_) | Template::Text(_) => {
                self.error(place, "`inputs` is a map", None);
                return;
            }
            Template::Expression(_) => return,
        };
        for name in given.keys() {
            if !workflow.inputs.iter().any(|input| input.name == *name) {
                let names = workflow.inputs.iter().map(|input| input.name.as_str());
                let hint = self.meant(name, names);
                let message = format!("workflow `{}` has no input `{name}`", workflow.name);
                self.error(place, message, hint);
            }
        }
        for input in &workflow.inputs {
            let name = input.name.as_str();
            match given.get(name) {
                None if input.required => {
                    let message = format!("workflow `{}` needs input `{name}`", workflow.name);
                    self.error(place, message, None);
                }
                Some(Some(value)) => {
                    if let Err(why) = fits(&input.kind, value) {
                        self.error(place, format!("input `{name}` {why}"), None);
                    }
                }
                None | Some(None) => {}
            }
        }
    }
}
