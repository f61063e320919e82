//! Following references to what they name, and to its type.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};

use super::super::document::Place;
use super::types::{self, NoSuchPart};
use super::{Checker, listing};
use crate::template::{Reference, Segment, StepView, Template};

/// The most that the types of all outputs may come to, in values. Beyond it nothing is
/// known of outputs, which a run does not need.
const ALL_TYPES: usize = 4_000_000;

/// What names stand for at a place in the workflow.
pub(super) struct Names<'n> {
    pub(super) around: Option<&'n Names<'n>>,
    /// Steps in reach, with the types of their outputs where they are known by now.
    pub(super) steps: HashMap<String, Value>,
    /// The item and `index`, with their types.
    pub(super) items: Vec<(String, Value)>,
    /// Whether the item is computed by a step.
    pub(super) computed_items: bool,
    /// The inputs, as one type.
    pub(super) inputs: &'n Value,
    /// Whether a step of another workflow may have computed them, or a request gave them.
    pub(super) computed_inputs: bool,
    /// Whether `run.status` and `run.error` are there.
    pub(super) after_steps: bool,
}

impl Names<'_> {
    pub(super) fn step(&self, id: &str) -> Option<&Value> {
        self.steps.get(id).or_else(|| self.around?.step(id))
    }

    fn item(&self, name: &str) -> Option<(&Value, bool)> {
        let own = self.items.iter().find(|(item, _)| item == name);
        match own {
            Some((_, kind)) => Some((kind, self.computed_items)),
            None => self.around?.item(name),
        }
    }

    fn step_ids(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        let around = self.around.into_iter().flat_map(Names::step_ids);
        Box::new(self.steps.keys().map(String::as_str).chain(around))
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
pub(super) struct Gathered {
    /// The loop that each step stands in, for those that stand in one.
    pub(super) inside: BTreeMap<String, String>,
    /// Inputs that something refers to.
    pub(super) used_inputs: BTreeSet<String>,
    /// Steps whose output something refers to.
    pub(super) used_outputs: BTreeSet<String>,
    /// Whether something refers to steps or inputs as a whole.
    pub(super) all_outputs: bool,
    pub(super) all_inputs: bool,
    /// How large the types of outputs are, all together.
    types: usize,
}

impl Gathered {
    /// The type of an output, for as long as there is room to remember one.
    pub(super) fn remembered(&mut self, kind: Value) -> Value {
        self.types += types::size(&kind);
        if self.types > ALL_TYPES {
            return types::unknown();
        }
        kind
    }
}

impl Checker<'_> {
    /// Follows every reference of a template; the type of its value.
    pub(super) fn follow_all(
        &mut self,
        place: Place,
        template: &Template,
        names: &Names<'_>,
        gathered: &mut Gathered,
    ) -> Value {
        match template {
            Template::Literal(value) => types::bounded(&types::of_literal(value)),
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
                let (mut parts, mut size) = (serde_json::Map::new(), 0);
                for (key, value) in entries {
                    let kind = self.follow_all(place, value, names, gathered);
                    size += types::size(&kind);
                    let kind = if size > types::LARGEST { types::unknown() } else { kind };
                    parts.insert(key.clone(), kind);
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
            "run" => {
                let kind = run_type(names.after_steps);
                let found = types::follow(&kind, "run", parts);
                return self.found(place, reference, found);
            }
            "secrets" => {
                let message = "`secrets` has a value only under `providers:`";
                let hint = Some("a secret never reaches a step".to_owned());
                self.error(place, message, hint);
                return types::unknown();
            }
            root => {
                if let Some((kind, _)) = names.item(root) {
                    types::follow(kind, root, parts)
                } else {
                    let message = match root {
                        "item" | "index" => format!("`{root}` has a value only within `for_each`"),
                        _ => format!("there is no `{root}`"),
                    };
                    let hint = self.meant(root, names.roots());
                    self.error(place, message, hint);
                    return types::unknown();
                }
            }
        };
        self.found(place, reference, found)
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
                None => self.meant(id, names.step_ids()),
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
            "status" => return json!({ "type": "string" }),
            "error" | "meta" => return types::unknown(),
            _ => {
                let hint = self.meant(field, StepView::FIELDS);
                let hint = hint.unwrap_or_else(|| listing("it has", StepView::FIELDS));
                self.error(place, format!("a step has no `{field}`"), Some(hint));
                return types::unknown();
            }
        };
        self.found(place, reference, found)
    }

    /// The type that was found, or a fault that says why there is none.
    pub(super) fn found(
        &mut self,
        place: Place,
        reference: &Reference,
        found: Result<&Value, NoSuchPart<'_>>,
    ) -> Value {
        match found {
            Ok(kind) => return types::bounded(kind),
            Err(_) if reference.optional => {}
            Err(fault) => {
                let hint = fault.known.and_then(|(key, properties)| {
                    let names = || properties.keys().map(String::as_str);
                    let listed = || listing("it has", names());
                    let any = !properties.is_empty();
                    self.meant(key, names()).or_else(|| any.then(listed))
                });
                self.error(place, fault.message, hint.or(fault.hint));
            }
        }
        types::unknown()
    }
}

/// Whether a value depends on what a step came to.
pub(super) fn is_computed(template: &Template, names: &Names<'_>) -> bool {
    template.references().iter().any(|reference| match reference.root.as_str() {
        "inputs" => names.computed_inputs,
        "run" => false,
        "steps" => true,
        item => names.item(item).is_none_or(|(_, computed)| computed),
    })
}

fn run_type(after_steps: bool) -> Value {
    let mut parts = json!({ "id": { "type": "string" }, "workflow": { "type": "string" } });
    if after_steps {
        parts["status"] = json!({ "type": "string" });
        parts["error"] = types::unknown();
    }
    json!({ "type": "object", "properties": parts, "additionalProperties": false })
}
