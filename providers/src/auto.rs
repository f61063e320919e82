//! The model `auto`: the first that works of what this machine has.
//!
//! A service whose key is in the environment, in the order of [`Kind::ALL`], with the model
//! that the catalogue names for it; else the Ollama that answers, with the first of its models
//! that takes images, or its first. Which it is stands beside every attempt, and `flow doctor`
//! shows what there is. Nobody is asked before the first call.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_core::action::{Admission, Quote};
use flow_core::error::{ErrorClass, Failure};
use flow_core::provider::{Answer, CallContext, Capabilities, Lane, Part, Provider, Request};
use tokio::sync::OnceCell;

use crate::catalog::Catalog;
use crate::registry::Providers;
use crate::service::{Kind, Service};

/// The service that was found, and its model.
pub(crate) struct Auto {
    service: Arc<Service>,
    /// The model; empty until an Ollama was asked which it has.
    model: OnceCell<String>,
}

impl Auto {
    /// Looks for what the environment has a key of; where there is none, for Ollama.
    pub(crate) fn find(providers: &Providers) -> Result<Self, Failure> {
        for kind in Kind::ALL {
            if let Some(model) = Catalog::usual_model(kind)
                && providers.may_answer(kind)
                && let Ok(service) = providers.service(kind, &providers.usual(kind))
            {
                return Ok(Self { service, model: OnceCell::from(model.to_owned()) });
            }
        }
        let service = providers.service(Kind::Ollama, &providers.usual(Kind::Ollama))?;
        Ok(Self { service, model: OnceCell::new() })
    }

    async fn model(&self) -> Result<&str, Failure> {
        let asked = self.model.get_or_try_init(|| async {
            let none = |why: &str| {
                let keys = Kind::ALL.into_iter().flat_map(Kind::keys).collect::<Vec<_>>();
                let message = format!("`auto` found no model: {why}");
                Failure::new(ErrorClass::NotFound, message).with_hint(format!(
                    "set one of {}, run Ollama, or name a model; `flow doctor` says what there is",
                    keys.join(", ")
                ))
            };
            let models = self.service.models().await.map_err(|failure| none(&failure.message))?;
            let sees = models.iter().find(|model| self.service.capabilities(model).images);
            let model = sees.or(models.first()).cloned();
            model.ok_or_else(|| none("the Ollama that answers has none"))
        });
        asked.await.map(String::as_str)
    }

    /// The request with the model's own name.
    async fn named(&self, request: &Request) -> Result<Request, Failure> {
        Ok(Request { model: self.model().await?.to_owned(), ..request.clone() })
    }
}

#[async_trait]
impl Provider for Auto {
    fn capabilities(&self, _model: &str) -> Capabilities {
        self.service.capabilities(self.model.get().map_or("", String::as_str))
    }

    fn fits(&self, request: &Request) -> Option<bool> {
        let model = self.model.get()?.clone();
        self.service.fits(&Request { model, ..request.clone() })
    }

    fn quote(&self, request: &Request) -> Quote {
        let model = self.model.get().cloned().unwrap_or_default();
        self.service.quote(&Request { model, ..request.clone() })
    }

    fn lane(&self, request: &Request, left: Duration) -> Lane {
        self.service.lane(request, left)
    }

    async fn admit(&self, request: &Request, order: u64) -> Result<Admission, Failure> {
        match self.named(request).await {
            Ok(request) => self.service.admit(&request, order).await,
            // Asking says why, and another model of the chain may be asked then.
            Err(_) => Ok(Admission::free()),
        }
    }

    async fn generate(
        &self,
        request: &Request,
        context: &CallContext<'_>,
    ) -> Result<Answer, Failure> {
        self.service.generate(&self.named(request).await?, context).await
    }

    async fn embed(
        &self,
        _model: &str,
        parts: &[Part],
        context: &CallContext<'_>,
    ) -> Result<Vec<Vec<Vec<f32>>>, Failure> {
        self.service.embed(self.model().await?, parts, context).await
    }

    async fn models(&self) -> Result<Vec<String>, Failure> {
        self.service.models().await
    }

    async fn health(&self) -> Result<(), Failure> {
        self.service.health().await
    }
}
