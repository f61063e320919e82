//! Tasks: steps that ask a model, kept as data.
//!
//! A task is a file: what it takes, what it says to the model, and the schema of the answer.
//! With the input of a step it becomes the input of `model.generate`, so that everything that
//! holds of a question to a model holds of a task. Its texts are rendered once; what they are
//! filled with is data and stays so.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::artifact::ArtifactRef;
use crate::error::Failure;
use crate::template::{Scope, Segment, Template, is_true};

/// The action that a task becomes.
pub(crate) const ASKS_BY: &str = "model.generate";

/// A task whose file has passed every check.
#[derive(Debug)]
pub struct Task {
    /// Its name, as in `uses: task.NAME`.
    pub name: String,
    /// Grows when the same input would yield another output; part of the content hash.
    pub version: u32,
    /// One line for people.
    pub summary: String,
    /// What a model must take to do it: `images`, `documents`, `video`, `audio`.
    pub needs: Vec<String>,
    /// JSON Schema of `with`, the settings that every task has among it.
    pub input: Value,
    /// Keys of `with` of which exactly one is given; empty where it makes no difference.
    pub one_of: Vec<String>,
    /// The file, as it is written.
    pub text: String,
    /// What `input` says, for checking a step's input.
    pub(crate) validator: jsonschema::Validator,
    /// System text.
    pub(crate) system: Option<Template>,
    /// What is asked, in order.
    pub(crate) content: Vec<Part>,
    /// Schema of the answer; text where there is none.
    pub(crate) output: Option<Template>,
    /// The pages that values of the answer are looked for on.
    pub(crate) ground: Option<Template>,
    /// Settings of the request, where the step gives none.
    pub(crate) settings: Map<String, Value>,
    /// The most an attempt may take where the workflow does not say.
    pub(crate) timeout: Option<Duration>,
    /// How it is asked in parts, where it is about as many documents as there are.
    pub(crate) parts: Option<Parts>,
    /// What is computed from the answer and stands beside its keys.
    pub(crate) adds: Vec<(String, Template)>,
}

/// How a task about many documents is asked in parts.
#[derive(Debug)]
pub(crate) struct Parts {
    /// Keys of the input, of which the one that is given holds the documents.
    pub(crate) of: Vec<String>,
    /// The key of the answer that holds a record for each, with its number as `document`.
    pub(crate) into: String,
}

/// A part of what is asked.
#[derive(Debug)]
pub(crate) struct Part {
    /// Whether it is there at all.
    pub(crate) when: Option<Template>,
    /// The items it is repeated for, and their name.
    pub(crate) items: Option<(Template, String)>,
    /// What it is.
    pub(crate) what: What,
}

/// What a part is.
#[derive(Debug)]
pub(crate) enum What {
    /// A text.
    Text(Template),
    /// A file, or a list of them, under the key that says its kind; null is left out.
    File(&'static str, Template),
    /// Several parts.
    Parts(Vec<Part>),
}

/// Keys of parts that are files. A `file` is what its media type says.
pub(crate) const FILES: &[&str] = &["image", "document", "video", "audio", "file"];

/// Settings of the request that a step may give to every task.
pub(crate) fn settings() -> Map<String, Value> {
    let settings = json!({
        "temperature": { "type": "number", "minimum": 0, "description": "Sampling temperature." },
        "top_p": { "type": "number", "minimum": 0, "maximum": 1, "description": "Nucleus sampling." },
        "max_tokens": { "type": "integer", "minimum": 1, "description": "The most tokens to write." },
        "seed": { "type": "integer", "description": "Seed of the sampling." },
        "detail": { "type": "string", "description": "How closely images are looked at." },
        "options": { "type": "object", "description": "Fields of the provider's own." },
    });
    match settings {
        Value::Object(settings) => settings,
        _ => Map::new(),
    }
}

impl Task {
    /// Whether a key of `with` is a setting that every task takes.
    pub fn is_setting(key: &str) -> bool {
        settings().contains_key(key)
    }

    /// The schema of the answer as it is written; null where the answer is text.
    pub fn output_source(&self) -> Value {
        self.output.as_ref().map(Template::source).unwrap_or_default()
    }

    /// The input of `model.generate` that a step's input becomes, or what is wrong with it.
    pub fn request(&self, given: &Value) -> Result<Value, Failure> {
        let input = self.filled(given)?;
        let scope = Scope::new().with("input", Arc::new(input));
        let mut request = self.settings.clone();
        for (key, _) in settings() {
            if let Some(value) = given.get(&key).filter(|value| !value.is_null()) {
                request.insert(key, value.clone());
            }
        }
        if let Some(system) = &self.system {
            request.insert("system".into(), self.render(system, &scope)?);
        }
        let mut parts = Vec::new();
        self.parts(&self.content, &scope, &mut parts)?;
        request.insert("content".into(), Value::Array(parts));
        match self.output.as_ref().map(|output| self.render(output, &scope)).transpose()? {
            None | Some(Value::Null) => {}
            Some(schema @ Value::Object(_)) => drop(request.insert("schema".into(), schema)),
            Some(other) => {
                let message = format!("task `{}`: `{other}` is no schema of an answer", self.name);
                return Err(Failure::input(message));
            }
        }
        match self.ground.as_ref().map(|ground| self.render(ground, &scope)).transpose()? {
            None | Some(Value::Null) => {}
            Some(pages) => drop(request.insert("ground".into(), pages)),
        }
        Ok(Value::Object(request))
    }

    /// An answer with what is computed from it.
    pub(crate) fn completed(&self, given: &Value, mut answer: Value) -> Result<Value, Failure> {
        if self.adds.is_empty() || !answer.is_object() {
            return Ok(answer);
        }
        let scope = Scope::new()
            .with("input", Arc::new(self.filled(given)?))
            .with("answer", Arc::new(answer.clone()));
        for (key, template) in &self.adds {
            let value = self.render(template, &scope)?;
            answer[key] = value;
        }
        Ok(answer)
    }

    /// JSON Schema of the output, given what `with` holds literally (computed values are null).
    pub(crate) fn output_schema(&self, with: &Value) -> Value {
        let Some(output) = &self.output else {
            return json!({ "type": "string" });
        };
        let computed = |key: &str| with.get(key).is_some_and(has_null);
        let unknown = output.references().iter().any(|reference| {
            reference.root != "input"
                || match reference.segments.first() {
                    Some(Segment::Key(key)) => computed(key),
                    Some(Segment::Index(_)) | None => true,
                }
        });
        let scope = Scope::new().with("input", Arc::new(self.with_defaults(with)));
        let mut schema = match output.render(&scope) {
            _ if unknown => return json!(true),
            Ok(Value::Null) => return json!({ "type": "string" }),
            Ok(schema) => schema,
            Err(_) => return json!(true),
        };
        if let (Some(_), Some(Value::Object(properties))) =
            (&self.parts, schema.get_mut("properties"))
        {
            properties.insert("failed".into(), failed_schema());
        }
        for (key, template) in &self.adds {
            let text = matches!(template, Template::Text(_));
            let kind = if text { json!({ "type": "string" }) } else { json!(true) };
            if let Some(Value::Object(properties)) = schema.get_mut("properties") {
                properties.insert(key.clone(), kind);
            }
        }
        schema
    }

    /// The input as the task's texts see it: what is not given is its default, or null.
    fn filled(&self, given: &Value) -> Result<Value, Failure> {
        let mut known = given.as_object().cloned().unwrap_or_default();
        // A value that a step computed may be null, which is to give none.
        known.retain(|_, value| !value.is_null());
        let wrong = |what: String| Failure::input(format!("the input{what}"));
        let known = Value::Object(known);
        if let Some(error) = self.validator.iter_errors(&known).next() {
            let place = error.instance_path().to_string();
            let place = place.trim_start_matches('/').replace('/', ".");
            let of = if place.is_empty() { String::new() } else { format!(" `{place}`") };
            return Err(wrong(format!("{of} of `task.{}` is wrong: {error}", self.name)));
        }
        let either = self.one_of.iter().filter(|key| known.get(key.as_str()).is_some());
        if !self.one_of.is_empty() && either.count() != 1 {
            return Err(wrong(format!(
                " of `task.{}` is wrong: {}",
                self.name,
                self.one_of_rule()
            )));
        }
        Ok(self.with_defaults(&known))
    }

    /// What `one_of` asks for, in words.
    pub(crate) fn one_of_rule(&self) -> String {
        let names: Vec<_> = self.one_of.iter().map(|key| format!("`{key}`")).collect();
        format!("exactly one of {} is given", names.join(", "))
    }

    fn with_defaults(&self, given: &Value) -> Value {
        let mut input = Map::new();
        for (key, property) in self.input["properties"].as_object().into_iter().flatten() {
            let value = given.get(key).or_else(|| property.get("default"));
            input.insert(key.clone(), value.cloned().unwrap_or_default());
        }
        Value::Object(input)
    }

    fn render(&self, template: &Template, scope: &Scope) -> Result<Value, Failure> {
        let fault = |error| Failure::input(format!("task `{}`: {error}", self.name));
        template.render(scope).map_err(fault)
    }

    fn parts(&self, parts: &[Part], scope: &Scope, into: &mut Vec<Value>) -> Result<(), Failure> {
        for part in parts {
            let Some((items, name)) = &part.items else {
                self.part(part, scope, into)?;
                continue;
            };
            let items = match self.render(items, scope)? {
                Value::Array(items) => items,
                Value::Null => Vec::new(),
                one => vec![one],
            };
            for (index, item) in items.into_iter().enumerate() {
                let scope = scope.with(name, Arc::new(item)).with("index", Arc::new(json!(index)));
                self.part(part, &scope, into)?;
            }
        }
        Ok(())
    }

    fn part(&self, part: &Part, scope: &Scope, into: &mut Vec<Value>) -> Result<(), Failure> {
        if let Some(when) = &part.when
            && !is_true(&self.render(when, scope)?)
        {
            return Ok(());
        }
        match &part.what {
            What::Parts(parts) => self.parts(parts, scope, into)?,
            What::Text(text) => {
                let text = match self.render(text, scope)? {
                    Value::String(text) => text,
                    Value::Null => return Ok(()),
                    other => other.to_string(),
                };
                if !text.trim().is_empty() {
                    into.push(json!({ "text": text.trim_end() }));
                }
            }
            What::File(key, file) => match self.render(file, scope)? {
                Value::Null => {}
                Value::Array(files) => {
                    let files = files.into_iter().filter(|file| !file.is_null());
                    into.extend(files.map(|file| as_part(key, &file)));
                }
                file => into.push(as_part(key, &file)),
            },
        }
        Ok(())
    }
}

/// JSON Schema of the documents that could not be read.
fn failed_schema() -> Value {
    json!({ "type": "array", "items": {
        "type": "object",
        "properties": {
            "document": { "type": "integer" },
            "name": { "type": ["string", "null"] },
            "class": { "type": "string" },
            "message": { "type": "string" },
        },
        "additionalProperties": false,
    } })
}

/// A file as a part of `content`.
fn as_part(key: &str, file: &Value) -> Value {
    let key = if key == "file" { kind_of(file) } else { key };
    json!({ key: file })
}

/// What a file is sent as: what its bytes say, of a URL what its ending says.
fn kind_of(file: &Value) -> &'static str {
    if let Some(artifact) = ArtifactRef::from_value(file) {
        return match artifact.media_type.split('/').next() {
            Some("image") => "image",
            Some("video") => "video",
            Some("audio") => "audio",
            _ => "document",
        };
    }
    let address = file.as_str().unwrap_or_default();
    let path = address.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    let ends = |with: &[&str]| with.iter().any(|ending| path.ends_with(ending));
    if ends(&[".mp4", ".mov", ".webm", ".mkv", ".avi", ".mpeg", ".mpg"]) {
        "video"
    } else if ends(&[".mp3", ".wav", ".flac", ".ogg", ".m4a"]) {
        "audio"
    } else if ends(&[".pdf"]) {
        "document"
    } else {
        "image"
    }
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(map) => map.values().any(has_null),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
