//! The model `auto`: the first that works of what this machine has.
//!
//! A service whose key is in the environment, in the order of [`Kind::ALL`], with the model
//! that the catalogue names for it; else the Ollama that answers, else the models of this
//! machine: of each the first model that takes images, or its first. Which it is stands beside
//! every attempt, and `flow doctor` shows what there is. Nobody is asked before the first call.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_core::action::{Admission, Quote};
use flow_core::error::{ErrorClass, Failure};
use flow_core::provider::{Answer, CallContext, Capabilities, Lane, Part, Provider, Request};
use tokio::sync::OnceCell;

use crate::catalog::Catalog;
use crate::registry::Providers;
use crate::service::Kind;

/// What was found, or where to look for it.
pub(crate) struct Auto {
    /// What is asked which models it has, one after the other.
    places: Vec<Arc<dyn Provider>>,
    found: OnceCell<Found>,
}

/// A model, and who serves it.
struct Found {
    provider: Arc<dyn Provider>,
    model: String,
}

impl Auto {
    /// Looks for what the environment has a key of. Where there is none, Ollama and this
    /// machine's own models are asked before the first call.
    pub(crate) fn find(providers: &Providers) -> Result<Self, Failure> {
        for kind in Kind::ALL {
            if let Some(model) = Catalog::usual_model(kind)
                && providers.may_answer(kind)
                && let Ok(service) = providers.service(kind, &providers.usual(kind))
            {
                let found = Found { provider: service, model: model.to_owned() };
                return Ok(Self { places: Vec::new(), found: OnceCell::from(found) });
            }
        }
        if let Some((provider, model)) = providers.taped_local() {
            let found = OnceCell::from(Found { provider, model });
            return Ok(Self { places: Vec::new(), found });
        }
        let ollama = providers.service(Kind::Ollama, &providers.usual(Kind::Ollama))?;
        let mut places = vec![ollama as Arc<dyn Provider>];
        places.extend(providers.own_models());
        Ok(Self { places, found: OnceCell::new() })
    }

    async fn found(&self) -> Result<&Found, Failure> {
        self.found.get_or_try_init(|| self.look()).await
    }

    async fn look(&self) -> Result<Found, Failure> {
        let mut why = Vec::new();
        for place in &self.places {
            match place.models().await {
                Ok(models) => {
                    let sees = models.iter().find(|model| place.capabilities(model).images);
                    if let Some(model) = sees.or(models.first()).cloned() {
                        return Ok(Found { provider: Arc::clone(place), model });
                    }
                }
                Err(failure) => why.push(failure.message),
            }
        }
        if why.is_empty() {
            why.push("the Ollama that answers has none".to_owned());
        }
        let keys = Kind::ALL.into_iter().flat_map(Kind::keys).collect::<Vec<_>>();
        let message = format!("`auto` found no model: {}", why.join("; "));
        Err(Failure::new(ErrorClass::NotFound, message).with_hint(format!(
            "set one of {}, run Ollama, `flow model pull` one, or name a model; `flow doctor` says what there is",
            keys.join(", ")
        )))
    }

    /// Who is asked as far as that is known before anybody was.
    fn foreseen(&self) -> Option<(&Arc<dyn Provider>, &str)> {
        match self.found.get() {
            Some(found) => Some((&found.provider, &found.model)),
            None => self.places.first().map(|place| (place, "")),
        }
    }
}

impl Found {
    /// The request with the model's own name.
    fn named(&self, request: &Request) -> Request {
        Request { model: self.model.clone(), ..request.clone() }
    }
}

#[async_trait]
impl Provider for Auto {
    fn capabilities(&self, _model: &str) -> Capabilities {
        self.foreseen()
            .map_or_else(Capabilities::default, |(provider, model)| provider.capabilities(model))
    }

    fn fits(&self, request: &Request) -> Option<bool> {
        let found = self.found.get()?;
        found.provider.fits(&found.named(request))
    }

    fn quote(&self, request: &Request) -> Quote {
        self.foreseen().map_or(Quote::Free, |(provider, model)| {
            provider.quote(&Request { model: model.to_owned(), ..request.clone() })
        })
    }

    fn lane(&self, request: &Request, left: Duration) -> Lane {
        match self.foreseen() {
            Some((provider, _)) => provider.lane(request, left),
            None => Lane::Usual { why: None },
        }
    }

    async fn admit(&self, request: &Request, order: u64) -> Result<Admission, Failure> {
        match self.found().await {
            Ok(found) => found.provider.admit(&found.named(request), order).await,
            // Asking says why, and another model of the chain may be asked then.
            Err(_) => Ok(Admission::free()),
        }
    }

    async fn generate(
        &self,
        request: &Request,
        context: &CallContext<'_>,
    ) -> Result<Answer, Failure> {
        let found = self.found().await?;
        found.provider.generate(&found.named(request), context).await
    }

    async fn embed(
        &self,
        _model: &str,
        parts: &[Part],
        context: &CallContext<'_>,
    ) -> Result<Vec<Vec<Vec<f32>>>, Failure> {
        let found = self.found().await?;
        found.provider.embed(&found.model, parts, context).await
    }

    async fn models(&self) -> Result<Vec<String>, Failure> {
        self.found().await?.provider.models().await
    }

    async fn health(&self) -> Result<(), Failure> {
        self.found().await?.provider.health().await
    }
}
