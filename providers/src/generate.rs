//! `model.generate`: asks a model.
//!
//! The step's input becomes a [`Request`], the provider answers, and where there is a
//! schema the answer is data that fits it or the attempt has failed. The raw reply is kept
//! before it is read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use flow_core::action::{
    Action, ActionSpec, Admission, Earlier, Effect, Outcome, Quote, StepContext, USUAL_TIMEOUT,
};
use flow_core::agreement::Agreement;
use flow_core::error::{ErrorClass, Failure};
use flow_core::language::ModelChoice;
use flow_core::provider::{CallContext, Lane, Part, Provider, Request};
use serde_json::{Value, json};

use crate::content;
use crate::grounding;
use crate::registry::Providers;
use crate::service::UploadOptions;
use crate::structured::{Structured, once_more, structured};
use crate::written::Written;

/// The most that an answer about a video may take where the workflow does not say.
const VIDEO_TIMEOUT: Duration = Duration::from_mins(15);

/// Asks a model.
pub(crate) struct Generate {
    spec: ActionSpec,
    providers: Arc<Providers>,
    /// Why requests that could wait do not go by batches, as far as it was told.
    told: Mutex<BTreeSet<String>>,
}

/// What is asked, and whom.
struct Asked<'c> {
    choice: &'c ModelChoice,
    provider: Arc<dyn Provider>,
    request: Request,
    /// Why it does not go by a batch though it could wait.
    why: Option<String>,
}

impl Generate {
    pub(crate) fn new(providers: Arc<Providers>) -> Self {
        Self { spec: spec(), providers, told: Mutex::default() }
    }

    fn asked<'c>(&self, input: &Value, context: &'c StepContext) -> Result<Asked<'c>, Failure> {
        let (choice, mut request) = prepared(input, context)?;
        let provider = self.providers.of(choice, &context.paths.folder)?;
        let left = context.batches.as_ref().map(|access| access.left);
        let why = match left.map(|left| provider.lane(&request, left)) {
            None => None,
            Some(Lane::Usual { why }) => why,
            Some(Lane::Batch) => {
                request.by_batch = true;
                None
            }
        };
        Ok(Asked { choice, provider, request, why })
    }

    /// Whether something is said for the first time.
    fn is_news(&self, why: &str) -> bool {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(why.to_owned())
    }
}

fn spec() -> ActionSpec {
    let file = |what: &str| json!({ "x-file": true, "description": what });
    let part = json!({
        "type": "object",
        "description": "A text, or a file with fields of the provider's own.",
        "properties": {
            "text": { "type": "string" },
            "image": file("An image."),
            "document": file("A PDF."),
            "video": file("A video."),
            "audio": file("A sound."),
        },
    });
    let turn = json!({
        "type": "object",
        "properties": { "content": { "type": ["string", "array"], "items": part } },
    });
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
                "content": { "type": "array", "items": part, "description": "Texts and files in order." },
                "messages": { "type": "array", "items": turn, "description": "A conversation of `{role, content}`." },
                "schema": { "x-schema": true, "description": "JSON Schema of the answer." },
                "temperature": { "type": "number", "minimum": 0 },
                "top_p": { "type": "number", "minimum": 0, "maximum": 1 },
                "max_tokens": { "type": "integer", "minimum": 1 },
                "stop": { "type": ["string", "array"], "description": "Texts that end the answer." },
                "seed": { "type": "integer" },
                "detail": { "type": "string", "description": "How closely images are looked at." },
                "options": { "type": "object", "description": "Fields of the provider's own." },
                "ground": { "type": "array", "description": "Pages with words; values of the answer are looked for on them." },
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

    fn literal_faults(&self, with: &Value) -> Vec<(&'static str, Failure)> {
        let upload = UploadOptions::of(&with["options"]["upload"]);
        let upload = upload.err().map(|failure| ("options", failure));
        content::literal_faults(with).into_iter().chain(upload).collect()
    }

    /// A video is uploaded, made ready by the service and watched before anything is said.
    fn usual_timeout(&self, input: &Value) -> Duration {
        if content::has_video(input) { VIDEO_TIMEOUT } else { USUAL_TIMEOUT }
    }

    fn fits(&self, input: &Value, model: &ModelChoice, folder: &Path) -> Option<bool> {
        let request = requested(input, model).ok()?;
        self.providers.of(model, folder).ok()?.fits(&request)
    }

    fn quote(&self, input: &Value, context: &StepContext) -> Quote {
        match self.asked(input, context) {
            Ok(Asked { provider, request, .. }) => provider.quote(&request),
            // What cannot be asked costs nothing.
            Err(_) => Quote::Free,
        }
    }

    fn agreement(&self) -> Option<&dyn Agreement> {
        Some(self)
    }

    fn asks_again(&self) -> bool {
        true
    }

    fn goes_by_batch(&self, input: &Value, context: &StepContext) -> bool {
        context.batches.is_some()
            && self.asked(input, context).is_ok_and(|asked| asked.request.by_batch)
    }

    async fn admit(&self, input: &Value, context: &StepContext) -> Result<Admission, Failure> {
        match self.asked(input, context) {
            Ok(Asked { provider, request, .. }) => provider.admit(&request, context.order).await,
            // Running it says why, and another model of the chain may be asked then.
            Err(_) => Ok(Admission::free()),
        }
    }

    async fn run(&self, input: Value, context: &StepContext) -> Result<Outcome, Failure> {
        if context.model.as_ref().is_some_and(ModelChoice::is_person) {
            return Ok(Outcome::Wait { show: self.question(&input, context.earlier.as_ref()) });
        }
        let Asked { choice, provider, request, why } = self.asked(&input, context)?;
        if let Some(why) = why.filter(|why| self.is_news(why)) {
            (context.log)(&format!("{why}; asked as usual"));
        }
        refuse_what_it_cannot_take(choice, &request, &*provider)?;
        let written = Written::new(&context.text, &context.log);
        let call = CallContext {
            intake: &context.intake,
            uploads: &*context.uploads,
            turn: &context.turn,
            order: context.order,
            cancel: context.cancel.clone(),
            batches: context.batches.as_ref(),
            caller: context.caller.as_deref(),
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
        let value = match &input["schema"] {
            Value::Null => Value::String(answer.text.clone()),
            schema => read(&answer.text, schema, context)?,
        };
        if let Some(pages) = input.get("ground").filter(|pages| !pages.is_null()) {
            let schema = Some(&input["schema"]).filter(|schema| !schema.is_null());
            let held = grounding::hold(pages, &value, schema, context).await;
            held.inspect_err(|_| context.usage.note_reply(answer.text))?;
        }
        Ok(Outcome::Done(value))
    }
}

/// The answer as data that fits the schema.
fn read(text: &str, schema: &Value, context: &StepContext) -> Result<Value, Failure> {
    let Structured { value, mended } =
        structured(text, schema).inspect_err(|_| context.usage.note_reply(text.to_owned()))?;
    if !mended.is_empty() {
        (context.log)(&format!("the answer was mended: {}", mended.join(", ")));
    }
    Ok(value)
}

/// A schema as services see it: what it says to flow alone is none of their business, and some
/// refuse a keyword that they do not know.
fn without_own(schema: &Value) -> Value {
    match schema {
        Value::Array(items) => items.iter().map(without_own).collect(),
        Value::Object(map) => {
            let others = map.iter().filter(|(key, _)| *key != "x-grounded");
            others.map(|(key, value)| (key.clone(), without_own(value))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => schema.clone(),
    }
}

impl Generate {
    /// What a person is shown who answers in the place of a model.
    fn question(&self, input: &Value, earlier: Option<&Earlier>) -> Value {
        let mut asked = input.clone();
        if let Value::Object(asked) = &mut asked {
            asked.shift_remove("ground");
        }
        let mut show = json!({
            "question": "what is the answer?",
            "show": asked,
            "output_schema": self.output_schema(input),
        });
        if let Some(Earlier { failure, reply }) = earlier {
            show["question"] = "no model gave an answer that can be used: what is it?".into();
            show["why"] = failure.message.as_str().into();
            show["reply"] = json!(reply);
        }
        show
    }
}

fn prepared<'c>(
    input: &Value,
    context: &'c StepContext,
) -> Result<(&'c ModelChoice, Request), Failure> {
    let choice = context.model.as_ref();
    let choice = choice.ok_or_else(|| Failure::internal("`model.generate` was given no model"))?;
    Ok((choice, once_more(requested(input, choice)?, context.earlier.as_ref())))
}

/// What a model is asked, the first time.
fn requested(input: &Value, choice: &ModelChoice) -> Result<Request, Failure> {
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
    Ok(Request {
        model: choice.model.clone(),
        system: text("system"),
        messages: content::messages(input)?,
        schema: input.get("schema").filter(|schema| !schema.is_null()).map(without_own),
        temperature: input["temperature"].as_f64(),
        top_p: input["top_p"].as_f64(),
        max_tokens: input["max_tokens"].as_u64(),
        stop,
        seed: input["seed"].as_i64(),
        detail: text("detail"),
        options,
        by_batch: false,
    })
}

pub(crate) fn refuse_what_it_cannot_take(
    choice: &ModelChoice,
    request: &Request,
    provider: &dyn Provider,
) -> Result<(), Failure> {
    let can = provider.capabilities(&request.model);
    for part in request.messages.iter().flat_map(|message| &message.parts) {
        let (takes, what) = match part {
            Part::Text(_) => (true, "text"),
            Part::Image(_) => (can.images, "images"),
            // The pages of one may be sent as images.
            Part::Document(_) => (can.documents || can.images, "documents"),
            Part::Video(_) => (can.video, "video"),
            Part::Audio(_) => (can.audio, "sound"),
        };
        if !takes {
            let message = format!("model `{}/{}` takes no {what}", choice.provider, choice.model);
            let failure = Failure::new(ErrorClass::BadRequest, message);
            return Err(match provider.remedy(&request.model, part) {
                Some(remedy) => failure.with_hint(remedy),
                None => failure,
            });
        }
    }
    Ok(())
}
