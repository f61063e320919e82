//! The provider `llama`: models of this machine, with what every provider here has. Files are
//! made to fit, and what is asked and answered is recorded and replayed like a call of a
//! service: which file a model is does not count, its name does.

use std::collections::BTreeMap;

use async_trait::async_trait;
use flow_core::action::{Admission, CallUsage, Quote};
use flow_core::error::{ErrorClass, Failure};
use flow_core::provider::{Answer, CallContext, Capabilities, Part, Provider, Request};
use flow_core::units::Money;
use flow_llama::Llama;

use crate::catalog::{ImageLimits, MediaTypes, ModelFacts};
use crate::command::request_json;
use crate::http::{FilePart, Source};
use crate::redact::Redactor;
use crate::service::{Fit, Fitting};
use crate::tape::{Asked, Heard, Played, Tape, artifact};

/// Its kind, as `type` of a provider says it.
pub(crate) const KIND: &str = "llama";

/// The types of images that a model's process reads; others are converted.
const IMAGES: &[&str] = &["image/png", "image/jpeg", "image/webp", "image/bmp", "image/gif"];

/// Models of this machine.
pub(crate) struct Local {
    /// The provider's name in the workflow.
    pub(crate) name: String,
    pub(crate) llama: Llama,
    pub(crate) fitting: Fitting,
    pub(crate) tape: Tape,
    pub(crate) redactor: Redactor,
}

#[async_trait]
impl Provider for Local {
    fn capabilities(&self, model: &str) -> Capabilities {
        self.llama.capabilities(model)
    }

    fn remedy(&self, model: &str, part: &Part) -> Option<String> {
        self.llama.remedy(model, part)
    }

    fn quote(&self, request: &Request) -> Quote {
        self.llama.quote(request)
    }

    async fn admit(&self, request: &Request, order: u64) -> Result<Admission, Failure> {
        self.llama.admit(request, order).await
    }

    async fn generate(
        &self,
        request: &Request,
        context: &CallContext<'_>,
    ) -> Result<Answer, Failure> {
        let facts = ModelFacts {
            capabilities: self.capabilities(&request.model),
            images: ImageLimits {
                types: MediaTypes::new(IMAGES.iter().map(|media| (*media).to_owned()).collect()),
                ..ImageLimits::default()
            },
            ..ModelFacts::default()
        };
        let (provider, model, fitting) = (&*self.name, &*request.model, &self.fitting);
        let fit = Fit { provider, model, facts: &facts, fitting, context };
        let fitted = tokio::select! {
            fitted = fit.request(request) => fitted?,
            () = context.cancel.cancelled() => {
                return Err(Failure::new(ErrorClass::Cancelled, "the call was stopped"));
            }
        };
        match self.tape.is_off() {
            true => self.llama.generate(&fitted.request, context).await,
            false => self.taped(&fitted.request, context).await,
        }
    }

    async fn models(&self) -> Result<Vec<String>, Failure> {
        self.llama.models().await
    }

    async fn health(&self) -> Result<(), Failure> {
        self.llama.health().await
    }
}

impl Local {
    /// Answers from a cassette, or asks the model and records that.
    async fn taped(&self, request: &Request, context: &CallContext<'_>) -> Result<Answer, Failure> {
        let asked = self.asked(request, context).await?;
        match self.tape.answer(&asked) {
            Some(Ok(Played { heard, failure: None })) => {
                let text = String::from_utf8_lossy(&heard.pieces.concat()).into_owned();
                (context.sink)(&text);
                let raw = context.intake.keep(text.clone().into_bytes(), "reply").await?;
                (context.note)(CallUsage {
                    provider: self.name.clone(),
                    model: request.model.clone(),
                    cost: Some(Money::ZERO),
                    finish: Some("stop".to_owned()),
                    raw: Some(raw.to_value()),
                    ..CallUsage::default()
                });
                return Ok(Answer { text });
            }
            Some(Ok(Played { failure: Some(failure), .. }) | Err(failure)) => return Err(failure),
            None => {}
        }
        let take = self.tape.take(asked, &self.redactor, &context.cancel);
        let answer = self.llama.generate(request, context).await;
        match (&answer, take) {
            (Ok(answer), Some(take)) => {
                let pieces = vec![self.redactor.text(&answer.text).into_bytes().into()];
                take.whole(Heard { pieces, ..Heard::default() });
            }
            (Err(failure), Some(take)) => take.broke(failure),
            (_, None) => {}
        }
        answer
    }

    /// The request as a cassette knows it, files by their hashes.
    async fn asked(&self, request: &Request, context: &CallContext<'_>) -> Result<Asked, Failure> {
        let mut hashed = BTreeMap::new();
        let parts = request.messages.iter().flat_map(|message| &message.parts);
        for file in parts.filter_map(Part::artifact) {
            let path = context.intake.artifacts().local_path(&file.hash)?;
            let part = FilePart::whole(Source::Path(path), file.size);
            let value = artifact(&part).await.map_err(|error| {
                Failure::new(ErrorClass::Io, format!("cannot read `{}`: {error}", file.name))
            })?;
            hashed.insert(file.hash, value);
        }
        let body =
            request_json(request, &|file| Ok(hashed.get(&file.hash).cloned().unwrap_or_default()))?;
        Ok(Asked::of_program(&self.name, &request.model, body, &self.redactor))
    }
}
