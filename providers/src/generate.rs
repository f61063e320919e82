//! `model.generate`: asks a model.
//!
//! The step's input becomes a [`Request`], the provider answers, and where there is a
//! schema the answer is data that fits it or the attempt has failed. The raw reply is kept
//! before it is read.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use flow_core::action::{Action, ActionSpec, Admission, Effect, Outcome, Quote, StepContext};
use flow_core::artifact::ArtifactRef;
use flow_core::error::{ErrorClass, Failure};
use flow_core::language::ModelChoice;
use flow_core::provider::{
    CallContext, Capabilities, Media, MediaFile, Message, Part, Request, Role,
};
use serde_json::{Value, json};

use crate::registry::Providers;
use crate::written::Written;

/// Asks a model.
pub(crate) struct Generate {
    spec: ActionSpec,
    providers: Arc<Providers>,
}

impl Generate {
    pub(crate) fn new(providers: Arc<Providers>) -> Self {
        Self { spec: spec(), providers }
    }
}

fn spec() -> ActionSpec {
    let file = |what: &str| json!({ "x-file": true, "description": what });
    ActionSpec {
        name: "model.generate",
        version: 1,
        summary: "Asks a model; with a schema the answer is data that fits it.",
        effect: Effect::External,
        cacheable: true,
        takes_model: true,
        input: json!({
            "type": "object",
            "properties": {
                "system": { "type": "string", "description": "System text." },
                "prompt": { "type": "string", "description": "What is asked." },
                "image": file("An image: a file, an artifact, or a URL."),
                "images": file("Several images."),
                "document": file("A PDF."),
                "documents": file("Several PDFs."),
                "video": file("A video."),
                "audio": file("A sound."),
                "content": { "type": "array", "description": "Texts and files in order." },
                "messages": { "type": "array", "description": "A conversation of `{role, content}`." },
                "schema": { "x-schema": true, "description": "JSON Schema of the answer." },
                "temperature": { "type": "number", "minimum": 0 },
                "top_p": { "type": "number", "minimum": 0, "maximum": 1 },
                "max_tokens": { "type": "integer", "minimum": 1 },
                "stop": { "type": ["string", "array"], "description": "Texts that end the answer." },
                "seed": { "type": "integer" },
                "detail": { "type": "string", "description": "How closely images are looked at." },
                "options": { "type": "object", "description": "Fields of the provider's own." },
            },
            "additionalProperties": false,
        }),
        output: json!(true),
    }
}

#[async_trait]
impl Action for Generate {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    fn output_schema(&self, with: &Value) -> Value {
        match &with["schema"] {
            Value::Object(schema) => Value::Object(schema.clone()),
            Value::Null if with.get("schema").is_none() => json!({ "type": "string" }),
            _ => json!(true),
        }
    }

    fn quote(&self, input: &Value, context: &StepContext) -> Quote {
        let Ok((choice, request)) = prepared(input, context) else {
            return Quote::Free;
        };
        match self.providers.of(choice, &context.paths.folder) {
            Ok(provider) => provider.quote(&request),
            // What cannot be asked costs nothing.
            Err(_) => Quote::Free,
        }
    }

    async fn admit(&self, input: &Value, context: &StepContext) -> Result<Admission, Failure> {
        let asked = prepared(input, context)
            .and_then(|(choice, r)| Ok((self.providers.of(choice, &context.paths.folder)?, r)));
        match asked {
            Ok((provider, request)) => provider.admit(&request, context.order).await,
            // Running it says why, and another model of the chain may be asked then.
            Err(_) => Ok(Admission::free()),
        }
    }

    async fn run(&self, input: Value, context: &StepContext) -> Result<Outcome, Failure> {
        let (choice, request) = prepared(&input, context)?;
        let provider = self.providers.of(choice, &context.paths.folder)?;
        refuse_what_it_cannot_take(choice, &request, provider.capabilities(&request.model))?;
        let written = Written::new(&context.text, &context.log);
        let call = CallContext {
            intake: &context.intake,
            turn: &context.turn,
            order: context.order,
            cancel: context.cancel.clone(),
            sink: &|text| written.take(text),
            log: &*context.log,
            note: &|usage| context.usage.note(usage),
        };
        let answer = provider.generate(&request, &call).await;
        written.end();
        let answer = answer?;
        if answer.text.trim().is_empty() {
            let message = format!("model `{}/{}` answered nothing", choice.provider, choice.model);
            return Err(Failure::new(ErrorClass::Empty, message));
        }
        let Some(schema) = &request.schema else {
            return Ok(Outcome::Done(Value::String(answer.text)));
        };
        Ok(Outcome::Done(structured(&answer.text, schema)?))
    }
}

fn prepared<'c>(
    input: &Value,
    context: &'c StepContext,
) -> Result<(&'c ModelChoice, Request), Failure> {
    let choice = context.model.as_ref();
    let choice = choice.ok_or_else(|| Failure::internal("`model.generate` was given no model"))?;
    let text = |key: &str| input[key].as_str().map(str::to_owned);
    let stop = match &input["stop"] {
        Value::String(text) => vec![text.clone()],
        Value::Array(texts) => texts.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    let mut options: BTreeMap<String, Value> = match &choice.options {
        Some(options) => serde_json::from_str(options).unwrap_or_default(),
        None => BTreeMap::new(),
    };
    if let Value::Object(own) = &input["options"] {
        options.extend(own.clone());
    }
    let request = Request {
        model: choice.model.clone(),
        system: text("system"),
        messages: messages(input)?,
        schema: input.get("schema").filter(|schema| !schema.is_null()).cloned(),
        temperature: input["temperature"].as_f64(),
        top_p: input["top_p"].as_f64(),
        max_tokens: input["max_tokens"].as_u64(),
        stop,
        seed: input["seed"].as_i64(),
        detail: text("detail"),
        options,
    };
    Ok((choice, request))
}

/// The conversation: `messages`, and then what `content`, the files and `prompt` ask.
fn messages(input: &Value) -> Result<Vec<Message>, Failure> {
    let mut messages = Vec::new();
    for message in input["messages"].as_array().into_iter().flatten() {
        let role = match message["role"].as_str() {
            Some("user") => Role::User,
            Some("assistant") => Role::Assistant,
            _ => {
                let message = format!("`messages`: `{}` is no role", message["role"]);
                return Err(Failure::input(message).with_hint("a role is `user` or `assistant`"));
            }
        };
        messages.push(Message { role, parts: content(&message["content"])? });
    }
    let mut parts = content(&input["content"])?;
    for (key, part) in FILES {
        match &input[*key] {
            Value::Null => {}
            Value::Array(files) => {
                for file in files {
                    parts.push(part(media(key, file, BTreeMap::new())?));
                }
            }
            file => parts.push(part(media(key, file, BTreeMap::new())?)),
        }
    }
    if let Some(prompt) = input["prompt"].as_str() {
        parts.push(Part::Text(prompt.to_owned()));
    }
    if !parts.is_empty() {
        messages.push(Message { role: Role::User, parts });
    }
    if messages.is_empty() {
        let hint = "give `prompt`, `content` or `messages`";
        return Err(Failure::input("nothing is asked").with_hint(hint));
    }
    Ok(messages)
}

/// Makes a file a part.
type Wrap = fn(Media) -> Part;

/// The keys of files, in the order they are sent, and what each is.
const FILES: &[(&str, Wrap)] = &[
    ("image", Part::Image),
    ("images", Part::Image),
    ("document", Part::Document),
    ("documents", Part::Document),
    ("video", Part::Video),
    ("audio", Part::Audio),
];

fn content(value: &Value) -> Result<Vec<Part>, Failure> {
    let items = match value {
        Value::Null => return Ok(Vec::new()),
        Value::String(text) => return Ok(vec![Part::Text(text.clone())]),
        Value::Array(items) => items,
        _ => return Err(Failure::input("`content` is a text or a list")),
    };
    items.iter().map(part).collect()
}

fn part(item: &Value) -> Result<Part, Failure> {
    if let Some(text) = item["text"].as_str() {
        return Ok(Part::Text(text.to_owned()));
    }
    for (key, part) in FILES {
        if let Some(file) = item.get(*key) {
            let fields = item.as_object().into_iter().flatten();
            let own = fields.filter(|(name, _)| *name != key);
            let own = own.map(|(name, value)| (name.clone(), value.clone())).collect();
            return Ok(part(media(key, file, own)?));
        }
    }
    Err(Failure::input(format!("`content`: `{item}` is no part")).with_hint(
        "a part is `{text: …}`, `{image: …}`, `{document: …}`, `{video: …}` or `{audio: …}`",
    ))
}

fn media(key: &str, value: &Value, options: BTreeMap<String, Value>) -> Result<Media, Failure> {
    if let Some(artifact) = ArtifactRef::from_value(value) {
        return Ok(Media { file: MediaFile::Artifact(artifact), options });
    }
    if let Some(id) = value["file_id"].as_str() {
        let media_type = value["media_type"].as_str().map(str::to_owned);
        return Ok(Media { file: MediaFile::Uploaded { id: id.to_owned(), media_type }, options });
    }
    match value.as_str() {
        Some(url) if url.starts_with("http://") || url.starts_with("https://") => {
            Ok(Media { file: MediaFile::Url(url.to_owned()), options })
        }
        _ => Err(Failure::input(format!("`{key}`: `{value}` is no file"))
            .with_hint("a file is an input, a step's artifact, a URL, or `{file_id: …}`")),
    }
}

fn refuse_what_it_cannot_take(
    choice: &ModelChoice,
    request: &Request,
    can: Capabilities,
) -> Result<(), Failure> {
    for part in request.messages.iter().flat_map(|message| &message.parts) {
        let (takes, what) = match part {
            Part::Text(_) => (true, "text"),
            Part::Image(_) => (can.images, "images"),
            Part::Document(_) => (can.documents, "documents"),
            Part::Video(_) => (can.video, "video"),
            Part::Audio(_) => (can.audio, "sound"),
        };
        if !takes {
            let message = format!("model `{}/{}` takes no {what}", choice.provider, choice.model);
            return Err(Failure::new(ErrorClass::BadRequest, message));
        }
    }
    Ok(())
}

/// Reads an answer as data that fits a schema. Fences around it are taken off.
fn structured(text: &str, schema: &Value) -> Result<Value, Failure> {
    let invalid = |why: String| Failure::new(ErrorClass::InvalidOutput, why);
    let bare = without_fence(text);
    let value: Value = serde_json::from_str(bare)
        .map_err(|error| invalid(format!("the answer is not JSON: {error}")))?;
    let validator = jsonschema::validator_for(schema)
        .map_err(|error| Failure::input(format!("`schema` is not a JSON Schema: {error}")))?;
    let Err(error) = validator.validate(&value) else { return Ok(value) };
    let bare = without_nulls(&value, &validator);
    if validator.is_valid(&bare) {
        return Ok(bare);
    }
    let place = error.instance_path().to_string();
    Err(invalid(format!("the answer does not fit the schema at `{place}`: {error}")))
}

/// The value without each null that the schema does not want where it stands. A service that
/// requires every property is told that one that may be missing may be null.
fn without_nulls(value: &Value, validator: &jsonschema::Validator) -> Value {
    let mut bare = value.clone();
    let places = validator.iter_errors(value).map(|error| error.instance_path().to_string());
    for place in places {
        let Some((above, name)) = place.rsplit_once('/') else { continue };
        let name = name.replace("~1", "/").replace("~0", "~");
        if let Some(Value::Object(fields)) = bare.pointer_mut(above)
            && fields.get(&name) == Some(&Value::Null)
        {
            fields.remove(&name);
        }
    }
    bare
}

fn without_fence(text: &str) -> &str {
    let text = text.trim();
    let Some(inner) = text.strip_prefix("```").and_then(|text| text.strip_suffix("```")) else {
        return text;
    };
    inner.split_once('\n').map_or(inner, |(_, body)| body).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_data_that_fits_or_says_why_not() {
        let schema = json!({ "type": "object", "required": ["total"], "properties": { "total": { "type": "number" } } });
        let read = |text: &str| structured(text, &schema).map_err(|failure| failure.message);
        assert_eq!(read("```json\n{\"total\": 4.11}\n```"), Ok(json!({ "total": 4.11 })));
        assert_eq!(
            read("I think 4.11"),
            Err("the answer is not JSON: expected value at line 1 column 1".into())
        );
        assert_eq!(
            read("{\"total\": \"4.11\"}"),
            Err("the answer does not fit the schema at `/total`: \"4.11\" is not of type \"number\"".into())
        );
    }

    #[test]
    fn parts_keep_their_order_and_their_own_fields() {
        let input = json!({ "content": [{ "text": "a" }, { "image": "https://x/y.png", "detail": "low" }, { "text": "b" }], "prompt": "c" });
        let messages = messages(&input).unwrap();
        let text = |text: &str| Part::Text(text.into());
        let options = BTreeMap::from([("detail".to_owned(), json!("low"))]);
        let image = Part::Image(Media { file: MediaFile::Url("https://x/y.png".into()), options });
        assert_eq!(messages[0].parts, [text("a"), image, text("b"), text("c")]);
    }
}
