//! What there is to ask: every kind of service, whether it is set up and can be reached, and
//! what its models take and cost.
//!
//! This is for `flow doctor` and `flow model ls`, whose purpose is to ask; nothing else calls
//! a service before it is needed. What a model takes comes from the catalogue, the names of
//! the models from the service.

use std::sync::Arc;
use std::time::Duration;

use flow_core::error::{ErrorClass, Failure};
use flow_core::language::ModelChoice;
use flow_core::provider::Capabilities;
use serde_json::{Value, json};

use crate::catalog::{Catalog, ModelFacts, Price};
use crate::registry::{Providers, choice};
use crate::service::{Kind, Service};

/// How long a service may take to say which models it has.
const WAIT: Duration = Duration::from_secs(2);

/// A service that was looked for.
#[derive(Clone, Debug)]
pub struct Surveyed {
    /// Its name: that of its kind, or the user's own for it.
    pub name: String,
    /// Its address; none where it is not set up.
    pub address: Option<String>,
    /// Its models, or why there are none to tell.
    pub models: Result<Vec<SurveyedModel>, Failure>,
}

/// A model that a service has.
#[derive(Clone, Debug)]
pub struct SurveyedModel {
    /// Its name at the service.
    pub name: String,
    /// What it takes and does.
    pub capabilities: Capabilities,
    /// What it costs.
    pub price: ModelPrice,
    /// The most tokens it reads and writes together.
    pub context: Option<u64>,
    /// The day from which on it is not served any more.
    pub ends: Option<String>,
    /// Whether the catalogue lists it.
    pub listed: bool,
}

/// What a model costs, in USD a million tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ModelPrice {
    /// Nothing.
    Free,
    /// So much; more for long requests of some models.
    Usd {
        /// For tokens read.
        input: f64,
        /// For tokens written.
        output: f64,
    },
    /// Nobody knows.
    Unknown,
}

impl Providers {
    /// Looks for every kind of service and for those that the user set up, all at once, each for
    /// at most two seconds.
    ///
    /// Dropping the future ends the calls.
    pub async fn survey(&self) -> Vec<Surveyed> {
        let kinds = Kind::ALL.into_iter().filter(|kind| Self::KINDS.contains(&kind.as_str()));
        let usual = kinds.map(|kind| (kind, self.usual(kind)));
        let own = self.configured().iter().filter_map(|(name, config)| {
            let kind = Kind::from_name(&config.kind)?;
            (kind.as_str() != name).then(|| (kind, choice(name, Arc::clone(config))))
        });
        let asked = usual.chain(own).map(|(kind, choice)| self.surveyed(kind, choice));
        futures::future::join_all(asked).await
    }

    /// The day the catalogue's facts were written down.
    pub fn facts_date() -> String {
        Catalog::default().date().to_string()
    }

    async fn surveyed(&self, kind: Kind, choice: ModelChoice) -> Surveyed {
        let service = match self.service(kind, &choice) {
            Ok(service) => service,
            Err(failure) => {
                return Surveyed { name: choice.provider, address: None, models: Err(failure) };
            }
        };
        let models = asked(&service).await.map(|names| {
            names.into_iter().map(|name| described(name, &service)).collect::<Vec<_>>()
        });
        let address = Some(service.endpoint.base_url.clone());
        Surveyed { name: choice.provider, address, models }
    }
}

async fn asked(service: &Service) -> Result<Vec<String>, Failure> {
    use flow_core::provider::Provider as _;
    tokio::time::timeout(WAIT, service.models()).await.unwrap_or_else(|_| {
        let name = &service.endpoint.name;
        let message = format!("provider `{name}` did not answer within {WAIT:?}");
        Err(Failure::new(ErrorClass::Timeout, message))
    })
}

fn described(name: String, service: &Service) -> SurveyedModel {
    let ModelFacts { listed, capabilities, price, context, retired, .. } = service.facts(&name);
    let price = match price {
        None => ModelPrice::Unknown,
        Some(Price::FREE) => ModelPrice::Free,
        Some(price) => {
            let usd = |micros: u64| micros as f64 / 1e6;
            ModelPrice::Usd { input: usd(price.usual.input), output: usd(price.usual.output) }
        }
    };
    let ends = retired.map(|retired| retired.since.to_string());
    SurveyedModel { name, capabilities, price, context, ends, listed }
}

impl Surveyed {
    /// What was found, as data.
    pub fn to_value(&self) -> Value {
        let (reachable, failure) = match &self.models {
            Ok(_) => (true, None),
            Err(failure) => (false, Some(failure)),
        };
        let models = self.models.iter().flatten();
        json!({
            "provider": self.name,
            "configured": self.address.is_some(),
            "reachable": reachable,
            "address": self.address,
            "error": failure.map(|failure| &failure.message),
            "hint": failure.and_then(|failure| failure.hint.as_ref()),
            "models": models.map(SurveyedModel::to_value).collect::<Value>(),
        })
    }
}

impl SurveyedModel {
    /// What it takes, in the words of the catalogue.
    pub fn takes(&self) -> Vec<&'static str> {
        let can = self.capabilities;
        let all = [
            (true, "text"),
            (can.images, "images"),
            (can.documents, "documents"),
            (can.video, "video"),
            (can.audio, "audio"),
        ];
        all.into_iter().filter_map(|(takes, what)| takes.then_some(what)).collect()
    }

    fn to_value(&self) -> Value {
        let price = match self.price {
            ModelPrice::Free => json!({ "input": 0.0, "output": 0.0 }),
            ModelPrice::Usd { input, output } => json!({ "input": input, "output": output }),
            ModelPrice::Unknown => Value::Null,
        };
        json!({
            "name": self.name,
            "takes": self.takes(),
            "schema": self.capabilities.schema,
            "price": price,
            "context": self.context,
            "ends": self.ends,
            "listed": self.listed,
        })
    }
}
