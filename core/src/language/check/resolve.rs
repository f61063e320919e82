//! The second pass: what refers to what.
//!
//! Every reference is followed to what it names. From references and `needs` come the edges
//! of each block; an order of the block gives the types of outputs one after another, and
//! with them the faults that only types show.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Value, json};

use super::super::document::Place;
use super::super::task::Task;
use super::super::workflow::Input;
use super::super::workflow::Workflow;
use super::follow::{Gathered, Names, is_computed};
use super::steps::{Draft, DraftWork};
use super::{Checker, types};
use crate::action::Action;
use crate::template::Template;

/// What takes the input of a step.
enum Callee {
    Action(Arc<dyn Action>),
    Task(Arc<Task>),
}

impl Callee {
    fn input(&self) -> &Value {
        match self {
            Self::Action(action) => &action.spec().input,
            Self::Task(task) => &task.input,
        }
    }

    fn output_schema(&self, with: &Value) -> Value {
        match self {
            Self::Action(action) => action.output_schema(with),
            Self::Task(task) => task.output_schema(with),
        }
    }
}

impl Checker<'_> {
    pub(super) fn resolve(
        &mut self,
        inputs: &[(Input, Place)],
        main: &mut [Draft],
        on_failure: &mut [Draft],
        finally: &mut [Draft],
        outputs: &[(String, Place, Template)],
    ) {
        let mut gathered = Gathered::default();
        let mut first = HashMap::new();
        for block in [&*main, &*on_failure, &*finally] {
            self.unique_ids(block, None, &mut first, &mut gathered.inside);
        }
        let parts =
            inputs.iter().map(|(input, _)| (input.name.clone(), types::of_input(&input.kind)));
        let inputs_type = json!({
            "type": "object",
            "properties": parts.collect::<serde_json::Map<_, _>>(),
            "additionalProperties": false,
        });
        let mut names = Names {
            around: None,
            steps: HashMap::new(),
            items: Vec::new(),
            computed_items: false,
            inputs: &inputs_type,
            computed_inputs: self.session.open.len() > 1 || self.environment.instead.from_request,
            after_steps: false,
        };
        self.resolve_block(main, &mut names, &mut gathered);
        for (_, place, template) in outputs {
            self.follow_all(*place, template, &names, &mut gathered);
        }
        names.after_steps = true;
        self.resolve_block(on_failure, &mut names, &mut gathered);
        self.resolve_block(finally, &mut names, &mut gathered);
        for block in [main, on_failure, finally] {
            mark_used(block, &gathered);
        }
        for (input, place) in inputs {
            if !gathered.all_inputs && !gathered.used_inputs.contains(&input.name) {
                let hint = Some("remove it, or refer to it by `inputs.NAME`".to_owned());
                self.warning(*place, format!("input `{}` is not used", input.name), hint);
            }
        }
    }

    /// Ids name one step each, over all blocks: what a reference means never depends on
    /// where it stands.
    fn unique_ids(
        &mut self,
        block: &[Draft],
        within: Option<&str>,
        first: &mut HashMap<String, Place>,
        inside: &mut BTreeMap<String, String>,
    ) {
        for draft in block {
            let id = draft.id.as_str();
            if let Some(earlier) = first.insert(id.to_owned(), draft.place) {
                let hint = Some(format!("the first is on line {}", earlier.line));
                self.error(draft.place, format!("two steps have the id `{id}`"), hint);
            }
            if let Some(within) = within {
                inside.insert(id.to_owned(), within.to_owned());
            }
            if let DraftWork::Body { steps, .. } = &draft.work {
                self.unique_ids(steps, Some(within.unwrap_or(id)), first, inside);
            }
        }
    }

    fn resolve_block(
        &mut self,
        block: &mut [Draft],
        names: &mut Names<'_>,
        gathered: &mut Gathered,
    ) {
        let index: HashMap<String, usize> =
            block.iter().enumerate().map(|(at, draft)| (draft.id.to_string(), at)).collect();
        for draft in block.iter() {
            names.steps.insert(draft.id.to_string(), types::unknown());
        }
        for (at, draft) in block.iter_mut().enumerate() {
            draft.after = self.edges(draft, at, &index, names);
        }
        for at in self.in_order(block) {
            let output = self.resolve_step(&mut block[at], names, gathered);
            let output = gathered.remembered(output);
            names.steps.insert(block[at].id.to_string(), output);
        }
    }

    /// Follows what a step refers to; the type of its output.
    fn resolve_step(
        &mut self,
        draft: &mut Draft,
        names: &Names<'_>,
        gathered: &mut Gathered,
    ) -> Value {
        let Some(items) = &draft.items else {
            if let Some((when, place)) = &draft.when {
                self.follow_all(*place, when, names, gathered);
            }
            return self.resolve_work(draft, names, gathered);
        };
        let mut inner = self.instance(items, &draft.item_name, names, gathered);
        if let Some((when, place)) = &draft.when {
            self.follow_all(*place, when, &inner, gathered);
            draft.when_per_item = when
                .references()
                .iter()
                .any(|reference| reference.root == draft.item_name || reference.root == "index");
        }
        if let Some((key, place)) = &draft.key {
            self.follow_all(*place, key, &inner, gathered);
        }
        let output = match &mut draft.work {
            DraftWork::Body { .. } => self.resolve_body(draft, &mut inner, gathered),
            DraftWork::Action { .. } | DraftWork::Workflow { .. } | DraftWork::Unknown => {
                self.resolve_work(draft, &inner, gathered)
            }
        };
        types::list_of(&output)
    }

    /// What names stand for in an instance of a loop.
    fn instance<'n>(
        &mut self,
        (items, place): &(Template, Place),
        item_name: &str,
        names: &'n Names<'n>,
        gathered: &mut Gathered,
    ) -> Names<'n> {
        let kind = self.follow_all(*place, items, names, gathered);
        if let Some(kind @ ("string" | "boolean" | "null")) = types::kind_of(&kind) {
            let hint = Some("it takes a list, a count, or a file of JSON lines".to_owned());
            let message = format!("`for_each` cannot run over {}", types::article(kind));
            self.error(*place, message, hint);
        }
        Names {
            around: Some(names),
            steps: HashMap::new(),
            items: vec![
                (item_name.to_owned(), types::item_of(&kind)),
                ("index".into(), json!({ "type": "integer" })),
            ],
            // What a file holds is nobody's word, whoever named the file.
            computed_items: is_computed(items, names) || types::is_file(&kind),
            inputs: names.inputs,
            computed_inputs: names.computed_inputs,
            after_steps: names.after_steps,
        }
    }

    /// Follows what a step does; the type of what one instance yields.
    fn resolve_work(
        &mut self,
        draft: &mut Draft,
        names: &Names<'_>,
        gathered: &mut Gathered,
    ) -> Value {
        match &draft.work {
            DraftWork::Action { name, with, task, brought, .. } => {
                let brought = brought.as_ref().map(|brought| Arc::clone(brought.action()));
                let action = || brought.or_else(|| self.environment.actions.get(name).cloned());
                let callee = task.clone().map(Callee::Task);
                let Some(callee) = callee.or_else(|| action().map(Callee::Action)) else {
                    return types::unknown();
                };
                let (output, computed) = self.resolve_with(&callee, with, names, gathered);
                draft.computed = computed;
                output
            }
            DraftWork::Workflow { workflow, inputs, place } => {
                self.follow_all(*place, inputs, names, gathered);
                draft.computed = computed_inputs(workflow, inputs, names);
                types::of_outputs(workflow)
            }
            // Steps without a loop around them are a fault that was told.
            DraftWork::Body { .. } | DraftWork::Unknown => types::unknown(),
        }
    }

    /// Follows the steps of a loop; the type of what an instance yields.
    fn resolve_body(
        &mut self,
        draft: &mut Draft,
        inner: &mut Names<'_>,
        gathered: &mut Gathered,
    ) -> Value {
        let DraftWork::Body { steps, collect } = &mut draft.work else {
            return types::unknown();
        };
        self.resolve_block(steps, inner, gathered);
        match (collect, steps.last()) {
            (Some((collect, place)), _) => self.follow_all(*place, collect, inner, gathered),
            (None, Some(last)) => {
                let last = last.id.as_str();
                gathered.used_outputs.insert(last.to_owned());
                inner.step(last).cloned().unwrap_or_else(types::unknown)
            }
            (None, None) => {
                let message = format!("the loop `{}` has no steps", draft.id);
                self.error(draft.place, message, None);
                types::unknown()
            }
        }
    }

    /// Follows what an action's input refers to; the type of its output, and the keys whose
    /// value a step computes.
    fn resolve_with(
        &mut self,
        callee: &Callee,
        with: &[(String, Place, Template)],
        names: &Names<'_>,
        gathered: &mut Gathered,
    ) -> (Value, Vec<String>) {
        let (mut computed, mut skeleton) = (Vec::new(), serde_json::Map::new());
        let mut kinds = HashMap::new();
        for (key, place, template) in with {
            let given = self.follow_all(*place, template, names, gathered);
            if is_computed(template, names) {
                computed.push(key.clone());
            }
            let wanted = &callee.input()["properties"][key];
            if template.literal().is_none() && !types::may_be(&given, wanted) {
                let (given, wanted) = (types::kind_of(&given), types::kind_of(wanted));
                let message = format!(
                    "`{key}` takes {}, and this is {}",
                    types::article(wanted.unwrap_or_default()),
                    types::article(given.unwrap_or_default())
                );
                self.error(*place, message, None);
            }
            skeleton.insert(key.clone(), template.skeleton());
            kinds.insert(key.as_str(), given);
        }
        let output = callee.output_schema(&Value::Object(skeleton));
        let same = output["x-same-as"].as_str();
        match same.and_then(|key| kinds.remove(key)) {
            Some(kind) => (kind, computed),
            None => (output, computed),
        }
    }
}

/// The inputs of a sub-workflow whose value a step or an item computes.
fn computed_inputs(workflow: &Workflow, inputs: &Template, names: &Names<'_>) -> Vec<String> {
    match inputs {
        Template::Map(entries) => {
            let computed = entries.iter().filter(|(_, value)| is_computed(value, names));
            computed.map(|(name, _)| name.clone()).collect()
        }
        whole if is_computed(whole, names) => {
            workflow.inputs.iter().map(|input| input.name.clone()).collect()
        }
        _ => Vec::new(),
    }
}

/// Marks the steps whose output something refers to.
fn mark_used(block: &mut [Draft], gathered: &Gathered) {
    for draft in block {
        draft.output_used =
            gathered.all_outputs || gathered.used_outputs.contains(draft.id.as_str());
        if let DraftWork::Body { steps, .. } = &mut draft.work {
            mark_used(steps, gathered);
        }
    }
}
