//! The second pass: what refers to what.
//!
//! Every reference is followed to what it names. From references and `needs` come the edges
//! of each block; an order of the block gives the types of outputs one after another, and
//! with them the faults that only types show.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::{Value, json};

use super::super::document::Place;
use super::super::suggest::closest;
use super::super::workflow::Input;
use super::steps::{Draft, DraftWork};
use super::{Checker, types};
use crate::template::{Reference, Segment, StepView, Template};

/// What names stand for at a place in the workflow.
struct Names<'n> {
    around: Option<&'n Names<'n>>,
    /// Steps in reach, with the types of their outputs where they are known by now.
    steps: HashMap<String, Value>,
    /// The item and `index`, with their types.
    items: Vec<(String, Value)>,
    /// Whether the item is computed by a step.
    computed_items: bool,
    /// The inputs, as one type.
    inputs: &'n Value,
    /// Whether a step of another workflow may have computed them.
    computed_inputs: bool,
    /// Whether `run.status` and `run.error` are there.
    after_steps: bool,
}

impl Names<'_> {
    fn step(&self, id: &str) -> Option<&Value> {
        self.steps.get(id).or_else(|| self.around?.step(id))
    }

    fn item(&self, name: &str) -> Option<(&Value, bool)> {
        let own = self.items.iter().find(|(item, _)| item == name);
        match own {
            Some((_, kind)) => Some((kind, self.computed_items)),
            None => self.around?.item(name),
        }
    }

    fn step_ids(&self) -> Vec<&str> {
        let mut ids: Vec<_> = self.steps.keys().map(String::as_str).collect();
        ids.extend(self.around.map(Names::step_ids).unwrap_or_default());
        ids.sort_unstable();
        ids
    }

    fn roots(&self) -> Vec<&str> {
        let mut roots = vec!["inputs", "steps", "run"];
        let mut names = Some(self);
        while let Some(here) = names {
            roots.extend(here.items.iter().map(|(name, _)| name.as_str()));
            names = here.around;
        }
        roots
    }
}

/// What the second pass gathers over the whole workflow.
#[derive(Default)]
struct Gathered {
    /// The loop that each step stands in, for those that stand in one.
    inside: BTreeMap<String, String>,
    /// Inputs that something refers to.
    used_inputs: BTreeSet<String>,
    /// Steps whose output something refers to.
    used_outputs: BTreeSet<String>,
    /// Whether something refers to steps or inputs as a whole.
    all_outputs: bool,
    all_inputs: bool,
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
        let parts = inputs
            .iter()
            .map(|(input, _)| (input.name.clone(), types::of_input(&input.kind)));
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
            computed_inputs: self.session.open.len() > 1,
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
        let index: HashMap<String, usize> = block
            .iter()
            .enumerate()
            .map(|(at, draft)| (draft.id.to_string(), at))
            .collect();
        for draft in block.iter() {
            names.steps.insert(draft.id.to_string(), types::unknown());
        }
        for at in 0..block.len() {
            block[at].after = self.edges(&block[at], at, &index, names);
        }
        for at in self.in_order(block) {
            let output = self.resolve_step(&mut block[at], names, gathered);
            names.steps.insert(block[at].id.to_string(), output);
        }
    }

    /// The steps of its block that a step waits for.
    fn edges(
        &mut self,
        draft: &Draft,
        own: usize,
        index: &HashMap<String, usize>,
        names: &Names<'_>,
    ) -> Vec<usize> {
        let mut after = BTreeSet::new();
        for (need, place) in &draft.needs {
            match index.get(need) {
                Some(at) if *at == own => {
                    self.error(
                        *place,
                        format!("step `{need}` cannot wait for itself"),
                        None,
                    );
                }
                Some(at) => {
                    after.insert(*at);
                }
                None => {
                    let ids = index.keys().map(String::as_str);
                    let hint = closest(need, ids).map(|near| format!("did you mean `{near}`?"));
                    let where_ = if names.step(need).is_some() {
                        " beside it"
                    } else {
                        ""
                    };
                    self.error(*place, format!("there is no step `{need}`{where_}"), hint);
                }
            }
        }
        let mut referred = Vec::new();
        references(draft, &mut |reference| {
            if let ("steps", Some(Segment::Key(id))) =
                (reference.root.as_str(), reference.segments.first())
                && let Some(at) = index.get(id)
            {
                referred.push(*at);
            }
        });
        if referred.contains(&own) {
            let message = format!("step `{}` refers to itself", draft.id);
            self.error(draft.place, message, None);
        }
        after.extend(referred.into_iter().filter(|at| *at != own));
        after.into_iter().collect()
    }

    /// An order in which every step comes after those it waits for. Steps that wait for
    /// each other are a fault and come last.
    fn in_order(&mut self, block: &[Draft]) -> Vec<usize> {
        let mut missing: Vec<usize> = block.iter().map(|draft| draft.after.len()).collect();
        let mut behind = vec![Vec::new(); block.len()];
        for (at, draft) in block.iter().enumerate() {
            draft
                .after
                .iter()
                .for_each(|before| behind[*before].push(at));
        }
        let mut order: Vec<usize> = (0..block.len()).filter(|at| missing[*at] == 0).collect();
        let mut done = 0;
        while let Some(at) = order.get(done).copied() {
            done += 1;
            for next in &behind[at] {
                missing[*next] -= 1;
                if missing[*next] == 0 {
                    order.push(*next);
                }
            }
        }
        if order.len() < block.len() {
            let placed: HashSet<usize> = order.iter().copied().collect();
            let cycle = cycle(block, &placed);
            let names: Vec<_> = cycle.iter().map(|at| block[*at].id.as_str()).collect();
            let message = format!("steps wait for each other: {}", names.join(" → "));
            self.error(block[cycle[0]].place, message, None);
            order.extend((0..block.len()).filter(|at| !placed.contains(at)));
        }
        order
    }

    /// Follows what a step refers to; the type of its output.
    fn resolve_step(
        &mut self,
        draft: &mut Draft,
        names: &Names<'_>,
        gathered: &mut Gathered,
    ) -> Value {
        let items = draft.items.as_ref().map(|(template, place)| {
            let kind = self.follow_all(*place, template, names, gathered);
            if let Some(kind @ ("string" | "boolean" | "null")) = types::kind_of(&kind) {
                let hint = Some("it takes a list, a count, or a file of JSON lines".to_owned());
                self.error(*place, format!("`for_each` cannot run over a {kind}"), hint);
            }
            (types::item_of(&kind), is_computed(template, names))
        });
        let is_loop = items.is_some();
        let inner = match items {
            None => None,
            Some((item, computed)) => Some(Names {
                around: Some(names),
                steps: HashMap::new(),
                items: vec![
                    (draft.item_name.clone(), item),
                    ("index".into(), json!({ "type": "integer" })),
                ],
                computed_items: computed,
                inputs: names.inputs,
                computed_inputs: names.computed_inputs,
                after_steps: names.after_steps,
            }),
        };
        let mut inner = inner;
        let scope = inner.as_ref().unwrap_or(names);
        if let Some((when, place)) = &draft.when {
            self.follow_all(*place, when, scope, gathered);
            let mut per_item = false;
            for reference in when.references() {
                per_item |=
                    is_loop && (reference.root == draft.item_name || reference.root == "index");
            }
            draft.when_per_item = per_item;
        }
        if let Some((key, place)) = &draft.key {
            self.follow_all(*place, key, scope, gathered);
        }
        let output = match &mut draft.work {
            DraftWork::Action { name, with, .. } => {
                let (output, computed) = self.resolve_with(name, with, scope, gathered);
                draft.computed = computed;
                output
            }
            DraftWork::Workflow {
                workflow,
                inputs,
                place,
            } => {
                self.follow_all(*place, inputs, scope, gathered);
                types::of_outputs(workflow)
            }
            DraftWork::Body { steps, collect } => match &mut inner {
                Some(inner) => {
                    self.resolve_block(steps, inner, gathered);
                    match (collect, steps.last()) {
                        (Some((collect, place)), _) => {
                            self.follow_all(*place, collect, inner, gathered)
                        }
                        (None, Some(last)) => {
                            gathered.used_outputs.insert(last.id.to_string());
                            inner
                                .step(last.id.as_str())
                                .cloned()
                                .unwrap_or_else(types::unknown)
                        }
                        (None, None) => {
                            let message = format!("the loop `{}` has no steps", draft.id);
                            self.error(draft.place, message, None);
                            types::unknown()
                        }
                    }
                }
                None => types::unknown(),
            },
            DraftWork::Unknown => types::unknown(),
        };
        if is_loop {
            types::list_of(output)
        } else {
            output
        }
    }

    /// Follows what an action's input refers to; the type of its output, and the keys whose
    /// value a step computes.
    fn resolve_with(
        &mut self,
        action: &str,
        with: &[(String, Place, Template)],
        names: &Names<'_>,
        gathered: &mut Gathered,
    ) -> (Value, Vec<String>) {
        let Some(action) = self.environment.actions.get(action).cloned() else {
            return (types::unknown(), Vec::new());
        };
        let (mut computed, mut skeleton) = (Vec::new(), serde_json::Map::new());
        for (key, place, template) in with {
            let given = self.follow_all(*place, template, names, gathered);
            if is_computed(template, names) {
                computed.push(key.clone());
            }
            let wanted = &action.spec().input["properties"][key];
            if template.literal().is_none() && !types::may_be(&given, wanted) {
                let (given, wanted) = (types::kind_of(&given), types::kind_of(wanted));
                let message = format!(
                    "`{key}` takes {}, and this is {}",
                    article(wanted.unwrap_or_default()),
                    article(given.unwrap_or_default())
                );
                self.error(*place, message, None);
            }
            skeleton.insert(key.clone(), template.skeleton());
        }
        let mut output = action.output_schema(&Value::Object(skeleton));
        if output["x-same-as"].is_string()
            && let Some((_, place, template)) = with
                .iter()
                .find(|(key, _, _)| output["x-same-as"] == key.as_str())
        {
            output = self.follow_all(*place, template, names, gathered);
        }
        (output, computed)
    }

    /// Follows every reference of a template; the type of its value.
    fn follow_all(
        &mut self,
        place: Place,
        template: &Template,
        names: &Names<'_>,
        gathered: &mut Gathered,
    ) -> Value {
        match template {
            Template::Literal(value) => types::of_literal(value),
            Template::Expression(expression) => {
                let mut kind = types::unknown();
                for reference in expression.references() {
                    let found = self.follow(place, reference, names, gathered);
                    if expression.plain() == Some(reference) {
                        kind = found;
                    }
                }
                kind
            }
            Template::Text(expression) => {
                for reference in expression.references() {
                    self.follow(place, reference, names, gathered);
                }
                json!({ "type": "string" })
            }
            Template::List(items) => {
                for item in items {
                    self.follow_all(place, item, names, gathered);
                }
                json!({ "type": "array" })
            }
            Template::Map(entries) => {
                let mut parts = serde_json::Map::new();
                for (key, value) in entries {
                    parts.insert(key.clone(), self.follow_all(place, value, names, gathered));
                }
                json!({ "type": "object", "properties": parts, "additionalProperties": false })
            }
        }
    }

    fn follow(
        &mut self,
        place: Place,
        reference: &Reference,
        names: &Names<'_>,
        gathered: &mut Gathered,
    ) -> Value {
        let parts = &reference.segments[..];
        let found = match reference.root.as_str() {
            "inputs" => {
                match parts.first() {
                    Some(Segment::Key(name)) => drop(gathered.used_inputs.insert(name.clone())),
                    Some(Segment::Index(_)) | None => gathered.all_inputs = true,
                }
                types::follow(names.inputs, "inputs", parts)
            }
            "steps" => return self.follow_step(place, reference, names, gathered),
            "run" => types::follow(&run_type(names.after_steps), "run", parts),
            "secrets" => {
                let message = "`secrets` has a value only under `providers:`";
                let hint = Some("a secret never reaches a step".to_owned());
                self.error(place, message, hint);
                return types::unknown();
            }
            root => match names.item(root) {
                Some((kind, _)) => types::follow(kind, root, parts),
                None => {
                    let message = match root {
                        "item" | "index" => format!("`{root}` has a value only within `for_each`"),
                        _ => format!("there is no `{root}`"),
                    };
                    let hint = closest(root, names.roots().into_iter())
                        .map(|near| format!("did you mean `{near}`?"));
                    self.error(place, message, hint);
                    return types::unknown();
                }
            },
        };
        match found {
            Ok(kind) => kind,
            Err(_) if reference.optional => types::unknown(),
            Err(fault) => {
                self.error(place, fault.message, fault.hint);
                types::unknown()
            }
        }
    }

    fn follow_step(
        &mut self,
        place: Place,
        reference: &Reference,
        names: &Names<'_>,
        gathered: &mut Gathered,
    ) -> Value {
        let [Segment::Key(id), rest @ ..] = &reference.segments[..] else {
            let hint = Some("name a step: `steps.ID.output`".to_owned());
            self.error(place, "`steps` has no value as a whole", hint);
            gathered.all_outputs = true;
            return types::unknown();
        };
        let Some(output) = names.step(id) else {
            let hint = match gathered.inside.get(id) {
                Some(around) => Some(format!(
                    "it stands inside the loop `{around}`: use `steps.{around}.output`"
                )),
                None => closest(id, names.step_ids().into_iter())
                    .map(|near| format!("did you mean `{near}`?")),
            };
            self.error(place, format!("there is no step `{id}` here"), hint);
            return types::unknown();
        };
        let (field, rest) = match rest {
            [Segment::Key(field), rest @ ..] => (field.as_str(), rest),
            [] => {
                gathered.used_outputs.insert(id.clone());
                return types::unknown();
            }
            [Segment::Index(_), ..] => ("[…]", rest),
        };
        let found = match field {
            "output" => {
                gathered.used_outputs.insert(id.clone());
                types::follow(output, &format!("steps.{id}.output"), rest)
            }
            "status" => Ok(json!({ "type": "string" })),
            "error" | "meta" => Ok(types::unknown()),
            _ => {
                let hint = closest(field, StepView::FIELDS.into_iter())
                    .map_or(format!("it has: {}", StepView::FIELDS.join(", ")), |near| {
                        format!("did you mean `{near}`?")
                    });
                self.error(place, format!("a step has no `{field}`"), Some(hint));
                return types::unknown();
            }
        };
        match found {
            Ok(kind) => kind,
            Err(_) if reference.optional => types::unknown(),
            Err(fault) => {
                self.error(place, fault.message, fault.hint);
                types::unknown()
            }
        }
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

/// Whether a value depends on what a step came to.
fn is_computed(template: &Template, names: &Names<'_>) -> bool {
    template
        .references()
        .iter()
        .any(|reference| match reference.root.as_str() {
            "inputs" => names.computed_inputs,
            "run" => false,
            "steps" => true,
            item => names.item(item).is_none_or(|(_, computed)| computed),
        })
}

/// Calls `visit` with every reference of a step, those of its body included.
fn references(draft: &Draft, visit: &mut dyn FnMut(&Reference)) {
    let mut each = |template: &Template| template.references().into_iter().for_each(&mut *visit);
    let own = [&draft.when, &draft.items, &draft.key];
    own.into_iter()
        .flatten()
        .for_each(|(template, _)| each(template));
    match &draft.work {
        DraftWork::Action { with, .. } => with.iter().for_each(|(_, _, value)| each(value)),
        DraftWork::Workflow { inputs, .. } => each(inputs),
        DraftWork::Body { steps, collect } => {
            collect.iter().for_each(|(collect, _)| each(collect));
            steps.iter().for_each(|step| references(step, visit));
        }
        DraftWork::Unknown => {}
    }
}

/// A cycle among the steps that could not be placed, its first step repeated at the end.
fn cycle(block: &[Draft], placed: &HashSet<usize>) -> Vec<usize> {
    let unplaced = |at: &usize| !placed.contains(at);
    let mut way: Vec<usize> = (0..block.len()).filter(unplaced).take(1).collect();
    let mut seen: HashSet<usize> = way.iter().copied().collect();
    while let Some(next) = way
        .last()
        .and_then(|at| block[*at].after.iter().copied().find(unplaced))
    {
        if !seen.insert(next) {
            let start = way.iter().position(|at| *at == next).unwrap_or(0);
            way.drain(..start);
            way.push(next);
            break;
        }
        way.push(next);
    }
    // `after` leads backwards; people read forwards.
    way.reverse();
    way
}

fn run_type(after_steps: bool) -> Value {
    let mut parts = json!({ "id": { "type": "string" }, "workflow": { "type": "string" } });
    if after_steps {
        parts["status"] = json!({ "type": "string" });
        parts["error"] = types::unknown();
    }
    json!({ "type": "object", "properties": parts, "additionalProperties": false })
}

fn article(kind: &str) -> &str {
    match kind {
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "`true` or `false`",
        "array" => "a list",
        "object" => "a map",
        other => other,
    }
}
