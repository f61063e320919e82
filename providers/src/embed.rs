//! `model.embed`: texts as vectors.
//!
//! ```yaml
//! - { id: vectors, uses: model.embed, model: openai/text-embedding-3-small, with: { texts: "{{ steps.pages.output }}" } }
//! ```
//!
//! What is asked for in one step is one call. The output is the vector of `text`, or the list
//! of the vectors of `texts`, in their order.

use std::sync::Arc;

use async_trait::async_trait;
use flow_core::action::{Action, ActionSpec, Admission, Effect, Outcome, Quote, StepContext};
use flow_core::error::Failure;
use flow_core::language::ModelChoice;
use flow_core::provider::{CallContext, Message, Part, Provider, Request, Role};
use serde_json::{Value, json};

use crate::registry::Providers;

/// Makes vectors of texts.
pub(crate) struct Embed {
    spec: ActionSpec,
    providers: Arc<Providers>,
}

impl Embed {
    pub(crate) fn new(providers: Arc<Providers>) -> Self {
        Self { spec: spec(), providers }
    }

    fn prepared<'c>(
        &self,
        input: &Value,
        context: &'c StepContext,
    ) -> Result<Prepared<'c>, Failure> {
        let choice = context.model.as_ref();
        let choice = choice.ok_or_else(|| Failure::internal("`model.embed` was given no model"))?;
        let provider = self.providers.of(choice, &context.paths.folder)?;
        let texts = match (&input["text"], &input["texts"]) {
            (Value::String(text), Value::Null) => vec![text.clone()],
            (Value::Null, Value::Array(texts)) => {
                texts.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            _ => {
                return Err(Failure::input("nothing to make vectors of")
                    .with_hint("give either `text` or `texts`"));
            }
        };
        Ok(Prepared { choice, provider, texts })
    }
}

/// What is asked of whom.
struct Prepared<'c> {
    choice: &'c ModelChoice,
    provider: Arc<dyn Provider>,
    texts: Vec<String>,
}

fn spec() -> ActionSpec {
    let vector = json!({ "type": "array", "items": { "type": "number" } });
    ActionSpec {
        name: "model.embed",
        version: 1,
        summary: "Makes vectors of texts.",
        effect: Effect::External,
        cacheable: true,
        takes_model: true,
        input: json!({
            "type": "object",
            "properties": {
                "text": { "type": "string", "description": "A text; the output is its vector." },
                "texts": {
                    "type": "array",
                    "items": { "type": "string" },
                    "description": "Texts; the output is the list of their vectors.",
                },
            },
            "additionalProperties": false,
        }),
        output: json!({ "type": "array", "items": { "anyOf": [{ "type": "number" }, vector] } }),
    }
}

/// The texts as a request that answers nothing, for who counts.
fn counted(model: &str, texts: &[String]) -> Request {
    let parts = texts.iter().cloned().map(Part::Text).collect();
    Request {
        model: model.to_owned(),
        messages: vec![Message { role: Role::User, parts }],
        max_tokens: Some(0),
        ..Request::default()
    }
}

#[async_trait]
impl Action for Embed {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    fn output_schema(&self, with: &Value) -> Value {
        let vector = json!({ "type": "array", "items": { "type": "number" } });
        match (with.get("text"), with.get("texts")) {
            (Some(_), None) => vector,
            (None, Some(_)) => json!({ "type": "array", "items": vector }),
            _ => self.spec.output.clone(),
        }
    }

    /// No texts, no call.
    fn effect(&self, input: &Value) -> Effect {
        match input["texts"].as_array() {
            Some(texts) if texts.is_empty() => Effect::Pure,
            Some(_) | None => Effect::External,
        }
    }

    fn quote(&self, input: &Value, context: &StepContext) -> Quote {
        match self.prepared(input, context) {
            Ok(Prepared { choice, provider, texts }) => {
                provider.quote(&counted(&choice.model, &texts))
            }
            // What cannot be asked costs nothing.
            Err(_) => Quote::Free,
        }
    }

    async fn admit(&self, input: &Value, context: &StepContext) -> Result<Admission, Failure> {
        match self.prepared(input, context) {
            Ok(Prepared { choice, provider, texts }) => {
                provider.admit(&counted(&choice.model, &texts), context.order).await
            }
            // Running it says why, and another model of the chain may be asked then.
            Err(_) => Ok(Admission::free()),
        }
    }

    async fn run(&self, input: Value, context: &StepContext) -> Result<Outcome, Failure> {
        let Prepared { choice, provider, texts } = self.prepared(&input, context)?;
        if texts.is_empty() {
            return Ok(Outcome::Done(json!([])));
        }
        let call = CallContext {
            intake: &context.intake,
            uploads: &*context.uploads,
            turn: &context.turn,
            order: context.order,
            cancel: context.cancel.clone(),
            batches: None,
            caller: context.caller.as_deref(),
            sink: &|_| {},
            log: &*context.log,
            note: &|usage| context.usage.note(usage),
        };
        let parts: Vec<_> = texts.into_iter().map(Part::Text).collect();
        let vectors = provider.embed(&choice.model, &parts, &call).await?;
        // A text is one part, and a part of text yields one vector.
        let mut vectors: Vec<_> = vectors.into_iter().flatten().map(listed).collect();
        let output = match (&input["text"], vectors.len()) {
            (Value::String(_), 1) => vectors.remove(0),
            _ => Value::Array(vectors),
        };
        Ok(Outcome::Done(output))
    }
}

/// A vector as a list, each number with the digits that tell it from its neighbours: widened
/// as it is, a number would have twice as many, and none of them known.
fn listed(vector: Vec<f32>) -> Value {
    vector.into_iter().map(|number| number.to_string().parse::<f64>().unwrap_or_default()).collect()
}
