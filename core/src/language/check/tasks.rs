//! Tasks: from a file to a task that steps can use, or every fault of it.
//!
//! ```yaml
//! name: caption
//! version: 1
//! summary: Says in one sentence what an image shows.
//! needs: [images]
//! input:
//!   properties: { image: { x-file: true, description: The image. } }
//!   required: [image]
//! system: You describe images.
//! content:
//!   - image: "{{ input.image }}"
//!   - text: Say in one sentence what it shows.
//! output: { type: object, … }
//! ```
//!
//! A file `tasks/NAME.yaml` beside the workflow is its owner's word and goes before the task of
//! that name which is built in. Its texts see `input`, the items of their own loops, and under
//! `adds` also `answer`.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::super::diagnostic::{Diagnostics, Lines};
use super::super::document::{Node, Place};
use super::super::task::{FILES, Part, Parts, Task, What, settings};
use super::super::{keys, parse};
use super::reader::Fields;
use super::{Checker, Environment, Files, Instead, KnownProviders, Session, listing, types};
use crate::action::ActionRegistry;
use crate::template::Template;

/// The most levels that parts may nest.
const DEEPEST: usize = 8;

/// Reads one task: the file of that name beside the workflow, else the one that is built in.
/// None where there is neither; every fault where it cannot be used.
pub fn task(
    name: &str,
    actions: &ActionRegistry,
    files: &dyn Files,
) -> Result<Option<Arc<Task>>, Diagnostics> {
    let providers = KnownProviders::default();
    let instead = Instead::default();
    let environment = Environment { actions, providers: &providers, files, instead: &instead };
    let mut session = Session::default();
    let task = session.task(name, environment);
    match task {
        Found::Task(task) if session.faults.is_empty() => Ok(Some(task)),
        Found::Nothing if session.faults.is_empty() => Ok(None),
        Found::Task(_) | Found::Nothing | Found::Faulty => {
            Err(Diagnostics::sorted(session.faults, session.more))
        }
    }
}

/// What looking for a task came to.
#[derive(Clone)]
pub(super) enum Found {
    /// It can be used.
    Task(Arc<Task>),
    /// It cannot; faults say why.
    Faulty,
    /// There is none of that name.
    Nothing,
}

/// Whether this can be the name of a task, and so of its file.
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !name.is_empty() && name.len() <= 64 && name.bytes().all(plain)
}

impl Session {
    /// Finds a task and reads it, the first time it is asked for.
    pub(super) fn task(&mut self, name: &str, environment: Environment<'_>) -> Found {
        if !is_name(name) {
            return Found::Nothing;
        }
        if let Some(found) = self.tasks.get(name) {
            return found.clone();
        }
        let found = self.read_task(name, environment);
        self.tasks.insert(name.to_owned(), found.clone());
        found
    }

    fn read_task(&mut self, name: &str, environment: Environment<'_>) -> Found {
        let path = format!("tasks/{name}.yaml");
        let text = match (environment.files.read_if_any(&path), environment.actions.task(name)) {
            (Ok(Some(text)), _) => text,
            (Ok(None), Some(built_in)) => built_in.to_owned(),
            (Ok(None), None) => return Found::Nothing,
            (Err(why), _) => {
                let lines = Lines::new(&path, "");
                let severity = super::Severity::Error;
                let message = format!("cannot read it: {why}");
                self.faults.push(lines.fault(severity, Place::default(), message, None));
                return Found::Faulty;
            }
        };
        // Kept with the definition, so that a run goes on with the task it was begun with.
        self.files.insert(path.clone(), text.clone());
        let lines = Lines::new(&path, &text);
        let root = match parse::text(&path, text.as_bytes()).and_then(|t| parse::parse(&lines, t)) {
            Ok(root) => root,
            Err(fault) => {
                self.faults.push(*fault);
                return Found::Faulty;
            }
        };
        let before = self.faults.len() + self.more;
        let mut checker = Checker::new(self, environment, lines);
        let task = checker.task_file(name, &root, &text);
        match task {
            Some(task) if self.faults.len() + self.more == before => Found::Task(Arc::new(task)),
            Some(_) | None => Found::Faulty,
        }
    }
}

/// What names stand for in the texts of a task.
struct Known {
    names: Vec<(String, Value)>,
}

impl Known {
    fn of_input(input: &Value) -> Self {
        Self { names: vec![("input".to_owned(), input.clone())] }
    }

    fn and(&self, name: &str, kind: Value) -> Self {
        let mut names = self.names.clone();
        names.push((name.to_owned(), kind));
        Self { names }
    }

    fn kind(&self, name: &str) -> Option<&Value> {
        self.names.iter().rev().find(|(known, _)| known == name).map(|(_, kind)| kind)
    }
}

impl Checker<'_> {
    fn task_file(&mut self, name: &str, root: &Node, text: &str) -> Option<Task> {
        let fields = self.fields(root, "a task", keys::TASK)?;
        self.task_name(name, root, &fields);
        let version = match fields.get("version") {
            None => {
                let hint = Some("e.g. `version: 1`; it grows with what the answer is".to_owned());
                self.error(root.place, "the task has no `version`", hint);
                1
            }
            Some(_) => self.optional_count(&fields, "version").unwrap_or(1) as u32,
        };
        let summary = self.optional_text(&fields, "summary").unwrap_or_default();
        let (input, validator) = self.task_input(root, &fields)?;
        let one_of = self.one_of(&fields, &input);
        let known = Known::of_input(&input);
        let system = self.task_text(&fields, "system", &known);
        let mut content = match fields.get("content") {
            Some(node) => self.parts(node, &known, 0),
            None => Vec::new(),
        };
        if let Some(prompt) = self.task_text(&fields, "prompt", &known) {
            content.push(Part { when: None, items: None, what: What::Text(prompt) });
        }
        if fields.get("content").is_none() && fields.get("prompt").is_none() {
            let hint = Some("give `content`, or a `prompt`".to_owned());
            self.error(root.place, "the task asks nothing", hint);
        }
        let needs = self.needs_of_task(&fields, &content);
        let output = self.task_output(&fields, &known);
        let ground = fields.get("ground").and_then(|node| self.known_expression(node, &known));
        let adds = self.adds(&fields, &known, output.as_ref());
        let parts = self.parts_of_task(&fields, &input);
        Some(Task {
            name: name.to_owned(),
            version,
            summary,
            needs,
            input,
            one_of,
            text: text.to_owned(),
            validator,
            system,
            content,
            output,
            ground,
            settings: self.task_settings(&fields),
            timeout: self.optional_duration(&fields, "timeout"),
            parts,
            adds,
        })
    }

    fn task_name(&mut self, name: &str, root: &Node, fields: &Fields<'_>) {
        match fields.get("name") {
            None => {
                self.error(root.place, "the task has no `name`", Some(format!("`name: {name}`")));
            }
            Some(node) => {
                if let Some(own) = self.text(node, "`name`")
                    && own != name
                {
                    let hint = Some("a task is named as its file".to_owned());
                    self.error(node.place, format!("`{own}` stands in `{name}.yaml`"), hint);
                }
            }
        }
    }

    /// The schema of `with`, with the settings that every task takes.
    fn task_input(
        &mut self,
        root: &Node,
        fields: &Fields<'_>,
    ) -> Option<(Value, jsonschema::Validator)> {
        let (mut properties, mut required) = (Map::new(), Vec::new());
        if let Some(node) = fields.get("input") {
            let own = self.fields(node, "`input`", keys::TASK_INPUT)?;
            for entry in own
                .get("properties")
                .map_or(Some(&[][..]), |node| self.map(node, "`properties`"))?
            {
                if Task::is_setting(&entry.key) {
                    let hint = Some("every task takes it".to_owned());
                    self.error(entry.place, format!("`{}` is taken", entry.key), hint);
                }
                properties.insert(entry.key.clone(), entry.value.to_json());
            }
            let items = own.get("required").map_or(&[][..], |node| self.list(node, "`required`"));
            for item in items {
                match self.text(item, "an element of `required`") {
                    Some(key) if properties.contains_key(key) => required.push(key.to_owned()),
                    Some(key) => self.error(item.place, format!("`input` has no `{key}`"), None),
                    None => {}
                }
            }
        }
        properties.extend(settings());
        let schema = json!({
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        });
        let place = fields.get("input").map_or(root.place, |node| node.place);
        match jsonschema::validator_for(&schema) {
            Ok(validator) => Some((schema, validator)),
            Err(_) => {
                self.valid_schema(place, &schema);
                None
            }
        }
    }

    fn one_of(&mut self, fields: &Fields<'_>, input: &Value) -> Vec<String> {
        let Some(node) = fields.get("one_of") else { return Vec::new() };
        let mut names = Vec::new();
        for item in self.list(node, "`one_of`") {
            let Some(key) = self.text(item, "an element of `one_of`") else { continue };
            if input["properties"].get(key).is_none() {
                self.error(item.place, format!("`input` has no `{key}`"), None);
            }
            names.push(key.to_owned());
        }
        names
    }

    fn parts_of_task(&mut self, fields: &Fields<'_>, input: &Value) -> Option<Parts> {
        let node = fields.get("parts")?;
        let own = self.fields(node, "`parts`", keys::TASK_PARTS)?;
        let mut of = Vec::new();
        for item in own.get("of").map_or(&[][..], |node| self.list(node, "`of`")) {
            let Some(key) = self.text(item, "an element of `of`") else { continue };
            if input["properties"].get(key).is_none() {
                self.error(item.place, format!("`input` has no `{key}`"), None);
            }
            of.push(key.to_owned());
        }
        let into = self.optional_text(&own, "into");
        if of.is_empty() || into.is_none() {
            let hint = Some("e.g. `parts: {of: [files], into: records}`".to_owned());
            self.error(node.place, "`parts` needs `of` and `into`", hint);
        }
        Some(Parts { of, into: into? })
    }

    /// What a model must take: as it is written, which must be what the parts are.
    fn needs_of_task(&mut self, fields: &Fields<'_>, content: &[Part]) -> Vec<String> {
        const NEEDS: &[(&str, &str)] = &[
            ("images", "image"),
            ("documents", "document"),
            ("video", "video"),
            ("audio", "audio"),
        ];
        let Some(node) = fields.get("needs") else { return Vec::new() };
        let mut kinds = Vec::new();
        kinds_of(content, &mut kinds);
        let mut needs = Vec::new();
        for item in self.list(node, "`needs`") {
            let Some(need) = self.text(item, "an element of `needs`") else { continue };
            match NEEDS.iter().find(|(name, _)| *name == need) {
                None => {
                    let names = || NEEDS.iter().map(|(name, _)| *name);
                    let hint = self.meant(need, names());
                    let hint = hint.unwrap_or_else(|| listing("known are", names()));
                    self.error(item.place, format!("`{need}` is nothing to need"), Some(hint));
                }
                Some((_, kind)) if !kinds.contains(kind) && !kinds.contains(&"file") => {
                    let message = format!("`needs` has `{need}`, and no part is one");
                    self.error(item.place, message, None);
                }
                Some(_) => needs.push(need.to_owned()),
            }
        }
        needs
    }

    fn task_settings(&mut self, fields: &Fields<'_>) -> Map<String, Value> {
        let known = settings();
        let mut given = Map::new();
        for key in ["temperature", "max_tokens"] {
            let Some(node) = fields.get(key) else { continue };
            let value = node.to_json();
            let fits = jsonschema::validator_for(&known[key])
                .ok()
                .map(|v| v.validate(&value).map_err(|error| error.to_string()));
            if let Some(Err(why)) = fits {
                self.error(node.place, format!("`{key}` is wrong: {why}"), None);
            }
            given.insert(key.to_owned(), value);
        }
        given
    }

    fn task_output(&mut self, fields: &Fields<'_>, known: &Known) -> Option<Template> {
        let node = fields.get("output")?;
        let template = self.template(node)?;
        self.known_names(node.place, &template, known);
        match &template {
            Template::Literal(schema) => self.valid_schema(node.place, schema),
            Template::Text(_) => {
                self.error(node.place, "`output` is a schema, and this is text", None);
            }
            Template::Expression(_) | Template::List(_) | Template::Map(_) => {}
        }
        Some(template)
    }

    /// What is computed from the answer, which must be a map for it to stand beside its keys.
    fn adds(
        &mut self,
        fields: &Fields<'_>,
        known: &Known,
        output: Option<&Template>,
    ) -> Vec<(String, Template)> {
        let Some(node) = fields.get("adds") else { return Vec::new() };
        let answer = match output {
            Some(Template::Literal(schema)) if schema["type"] == "object" => schema.clone(),
            Some(Template::Map(_)) => types::unknown(),
            Some(_) | None => {
                let hint = Some("give `output` a schema of an object".to_owned());
                self.error(node.place, "`adds` stands beside the keys of the answer", hint);
                return Vec::new();
            }
        };
        let mut adds = Vec::new();
        for entry in self.map(node, "`adds`").unwrap_or_default() {
            if answer["properties"].get(&entry.key).is_some() {
                let message = format!("the answer has a `{}` of its own", entry.key);
                self.error(entry.place, message, None);
            }
            let known = known.and("answer", answer.clone());
            if let Some(template) = self.template(&entry.value) {
                self.known_names(entry.value.place, &template, &known);
                adds.push((entry.key.clone(), template));
            }
        }
        adds
    }

    fn task_text(&mut self, fields: &Fields<'_>, key: &str, known: &Known) -> Option<Template> {
        let node = fields.get(key)?;
        self.text(node, &format!("`{key}`"))?;
        let template = self.template(node)?;
        self.known_names(node.place, &template, known);
        Some(template)
    }

    fn known_expression(&mut self, node: &Node, known: &Known) -> Option<Template> {
        let template = self.expression(node)?;
        self.known_names(node.place, &template, known);
        Some(template)
    }

    fn parts(&mut self, node: &Node, known: &Known, depth: usize) -> Vec<Part> {
        if depth > DEEPEST {
            let message = format!("parts nest deeper than {DEEPEST} levels");
            self.error(node.place, message, None);
            return Vec::new();
        }
        let items = self.list(node, "`content`");
        items.iter().filter_map(|item| self.task_part(item, known, depth)).collect()
    }

    fn task_part(&mut self, node: &Node, known: &Known, depth: usize) -> Option<Part> {
        let fields = self.fields(node, "a part", keys::TASK_PART)?;
        let items = fields.get("for_each").and_then(|node| self.known_expression(node, known));
        let name = self.optional_text(&fields, "as").unwrap_or_else(|| "item".to_owned());
        let inner = items.as_ref().map(|items| {
            let kind = types::item_of(&self.known_names(node.place, items, known));
            known.and(&name, kind).and("index", json!({ "type": "integer" }))
        });
        let known = inner.as_ref().unwrap_or(known);
        let when = fields.get("when").and_then(|node| self.known_expression(node, known));
        let kinds = || ["text", "content"].into_iter().chain(FILES.iter().copied());
        let mut given = kinds().filter_map(|key| Some((key, fields.get(key)?)));
        let what = match (given.next(), given.next()) {
            (Some((key, node)), None) => self.what(key, node, known, depth)?,
            (None, _) => {
                self.error(
                    node.place,
                    "the part is nothing",
                    Some(listing("it is one of", kinds())),
                );
                return None;
            }
            (Some((one, _)), Some((other, place))) => {
                let message = format!("a part is one thing, and this is `{one}` and `{other}`");
                self.error(place.place, message, None);
                return None;
            }
        };
        Some(Part { when, items: items.map(|items| (items, name)), what })
    }

    fn what(&mut self, key: &str, node: &Node, known: &Known, depth: usize) -> Option<What> {
        match FILES.iter().find(|kind| **kind == key) {
            Some(kind) => self.known_expression(node, known).map(|file| What::File(kind, file)),
            None if key == "content" => Some(What::Parts(self.parts(node, known, depth + 1))),
            None => {
                self.text(node, "`text`")?;
                let template = self.template(node)?;
                self.known_names(node.place, &template, known);
                Some(What::Text(template))
            }
        }
    }

    /// Follows what a text of a task refers to; the type of its value.
    fn known_names(&mut self, place: Place, template: &Template, known: &Known) -> Value {
        let mut found = types::unknown();
        for reference in template.references() {
            let root = reference.root.as_str();
            let Some(kind) = known.kind(root) else {
                let names = || known.names.iter().map(|(name, _)| name.as_str());
                let hint = self.meant(root, names());
                let hint = hint.unwrap_or_else(|| listing("a task knows", names()));
                self.error(place, format!("there is no `{root}` in a task"), Some(hint));
                continue;
            };
            let kind = kind.clone();
            let part = types::follow(&kind, root, &reference.segments);
            let kind = self.found(place, reference, part);
            if let Template::Expression(expression) = template
                && expression.plain() == Some(reference)
            {
                found = kind;
            }
        }
        found
    }
}

/// The kinds of files among parts.
fn kinds_of<'p>(parts: &'p [Part], into: &mut Vec<&'p str>) {
    for part in parts {
        match &part.what {
            What::Text(_) => {}
            What::File(kind, _) => into.push(kind),
            What::Parts(parts) => kinds_of(parts, into),
        }
    }
}
