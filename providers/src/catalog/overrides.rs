//! What the user says of a provider's models: the setting `models`.
//!
//! ```yaml
//! providers:
//!   gpu:
//!     type: openai
//!     base_url: http://gpu-1:8000/v1
//!     models:
//!       "*": { price: { input: 0, output: 0 } }
//!       qwen2.5-vl-7b: { documents: false, context: 32768 }
//! ```
//!
//! Limits may stand there as well (`concurrency`, `requests_per_minute`, …): they hold for each
//! model that the name means, beside those of the provider.
//!
//! A name may end in `*`; what is said of a name goes before what is said of many. Prices are
//! in USD a million tokens, as the services write them.

use std::collections::BTreeMap;
use std::fmt;

use flow_core::error::Failure;
use serde_json::{Map, Value};

use super::known::{Known, WrittenPrice};
use super::names;
use super::{Day, MediaTypes, ModelFacts};
use crate::limits::LimitSettings;

/// What may be said of a model.
const KEYS: &[&str] = &[
    "images",
    "documents",
    "video",
    "audio",
    "schema",
    "temperature",
    "reasoning",
    "price",
    "context",
    "max_output",
    "image_types",
    "image_side",
    "image_bytes",
    "max_images",
    "document_types",
    "document_pages",
    "document_bytes",
    "request_bytes",
    "inline_bytes",
    "concurrency",
    "requests_per_second",
    "requests_per_minute",
    "tokens_per_minute",
];

/// What makes up a price.
const RATES: &[&str] = &["input", "cache_read", "cache_write", "output"];

/// What the user says of models, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Overrides {
    known: BTreeMap<String, Known>,
    limits: BTreeMap<String, LimitSettings>,
}

impl Overrides {
    /// Reads the setting `models` of a provider.
    pub(crate) fn read(provider: &str, models: &BTreeMap<String, Value>) -> Result<Self, Failure> {
        let mut overrides = Self::default();
        for (model, said) in models {
            let place = Place { provider, model };
            let said = place.map(said)?;
            overrides.known.insert(model.clone(), place.known(said)?);
            let limits = LimitSettings::read(&place.to_string(), said)?;
            overrides.limits.insert(model.clone(), limits);
        }
        Ok(overrides)
    }

    /// How much may be asked of a model.
    pub(crate) fn limits(&self, model: &str) -> LimitSettings {
        let all = self.limits.get("*").copied().unwrap_or_default();
        names::find(&self.limits, model).map_or(all, |own| own.or(all))
    }

    /// Puts what the user says in the place of what was known.
    pub(super) fn tell(&self, model: &str, facts: &mut ModelFacts, today: Day) {
        if let Some(all) = self.known.get("*") {
            all.tell(facts, today);
        }
        if let Some(known) = names::find(&self.known, model) {
            facts.listed = true;
            known.tell(facts, today);
        }
    }
}

/// Where something is said, for messages.
struct Place<'p> {
    provider: &'p str,
    model: &'p str,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "provider `{}`: model `{}`", self.provider, self.model)
    }
}

impl Place<'_> {
    fn wrong(&self, what: &str) -> Failure {
        Failure::input(format!("{self}: {what}"))
    }

    fn map<'v>(&self, said: &'v Value) -> Result<&'v Map<String, Value>, Failure> {
        said.as_object().ok_or_else(|| {
            self.wrong("what is said of a model is a map").with_hint("e.g. `{ images: true }`")
        })
    }

    fn known(&self, said: &Map<String, Value>) -> Result<Known, Failure> {
        self.only(said, KEYS, "a model")?;
        let flag = |key: &str| match said.get(key) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(other) => Err(self.wrong(&format!("`{key}` is true or false, not `{other}`"))),
        };
        let count = |key: &str| match said.get(key) {
            None => Ok(None),
            Some(value) => match value.as_u64() {
                Some(number) if number > 0 => Ok(Some(number)),
                _ => Err(self.wrong(&format!("`{key}` is a whole number, not `{value}`"))),
            },
        };
        let small = |key: &str| {
            let number = count(key)?;
            Ok::<_, Failure>(number.map(|number| u32::try_from(number).unwrap_or(u32::MAX)))
        };
        let types = |key: &str| match said.get(key) {
            None => Ok(MediaTypes::default()),
            Some(value) => match serde_json::from_value::<Vec<String>>(value.clone()) {
                Ok(types) if !types.is_empty() && types.iter().all(|t| t.contains('/')) => {
                    Ok(MediaTypes::new(types))
                }
                Ok(_) | Err(_) => Err(self
                    .wrong(&format!("`{key}` is a list of media types, not `{value}`"))
                    .with_hint(format!("e.g. `{key}: [image/png, \"text/*\"]`"))),
            },
        };
        Ok(Known {
            images: flag("images")?,
            documents: flag("documents")?,
            video: flag("video")?,
            audio: flag("audio")?,
            schema: flag("schema")?,
            temperature: flag("temperature")?,
            reasoning: flag("reasoning")?,
            price: said.get("price").map(|price| self.price(price)).transpose()?,
            context: count("context")?,
            max_output: count("max_output")?,
            image_types: types("image_types")?,
            image_side: small("image_side")?,
            image_bytes: count("image_bytes")?,
            max_images: small("max_images")?,
            document_types: types("document_types")?,
            document_pages: small("document_pages")?,
            document_bytes: count("document_bytes")?,
            request_bytes: count("request_bytes")?,
            inline_bytes: count("inline_bytes")?,
            ..Known::default()
        })
    }

    fn price(&self, said: &Value) -> Result<WrittenPrice, Failure> {
        let hint = "e.g. `price: { input: 0.10, output: 0.40 }`, in USD a million tokens";
        let price = said.as_object().ok_or_else(|| {
            self.wrong(&format!("`price` is a map, not `{said}`")).with_hint(hint)
        })?;
        self.only(price, RATES, "a price")?;
        let rate = |key: &str| -> Result<Option<u64>, Failure> {
            let Some(value) = price.get(key) else { return Ok(None) };
            let usd = value.as_f64().filter(|usd| (0.0..=1e6).contains(usd));
            let usd = usd.ok_or_else(|| {
                self.wrong(&format!("`price`: `{key}` is a number of USD, not `{value}`"))
                    .with_hint(hint)
            })?;
            Ok(Some((usd * 1e6).round() as u64))
        };
        let needed = |key: &str| {
            rate(key)?.ok_or_else(|| self.wrong(&format!("`price` needs `{key}`")).with_hint(hint))
        };
        Ok(WrittenPrice {
            input: needed("input")?,
            cache_read: rate("cache_read")?,
            cache_write: rate("cache_write")?,
            output: needed("output")?,
            above: None,
        })
    }

    fn only(&self, said: &Map<String, Value>, keys: &[&str], of: &str) -> Result<(), Failure> {
        match said.keys().find(|key| !keys.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => Err(self
                .wrong(&format!("{of} has no `{key}`"))
                .with_hint(format!("it has: {}", keys.join(", ")))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fault(said: Value) -> (String, Option<String>) {
        let models = BTreeMap::from([("mine".to_owned(), said)]);
        let failure = Overrides::read("gpu", &models).unwrap_err();
        (failure.message, failure.hint)
    }

    #[test]
    fn what_is_said_wrongly_is_named() {
        let price = "e.g. `price: { input: 0.10, output: 0.40 }`, in USD a million tokens";
        for (said, message, hint) in [
            (
                json!({ "imges": true }),
                "provider `gpu`: model `mine`: a model has no `imges`",
                Some(
                    "it has: images, documents, video, audio, schema, temperature, reasoning, price, context, max_output, image_types, image_side, image_bytes, max_images, document_types, document_pages, document_bytes, request_bytes, inline_bytes, concurrency, requests_per_second, requests_per_minute, tokens_per_minute",
                ),
            ),
            (
                json!(true),
                "provider `gpu`: model `mine`: what is said of a model is a map",
                Some("e.g. `{ images: true }`"),
            ),
            (
                json!({ "images": "yes" }),
                "provider `gpu`: model `mine`: `images` is true or false, not `\"yes\"`",
                None,
            ),
            (
                json!({ "context": 0 }),
                "provider `gpu`: model `mine`: `context` is a whole number, not `0`",
                None,
            ),
            (
                json!({ "image_types": ["png"] }),
                "provider `gpu`: model `mine`: `image_types` is a list of media types, not `[\"png\"]`",
                Some("e.g. `image_types: [image/png, \"text/*\"]`"),
            ),
            (
                json!({ "concurrency": 0 }),
                "provider `gpu`: model `mine`: `concurrency` is a whole number from 1, not `0`",
                None,
            ),
            (
                json!({ "price": 1 }),
                "provider `gpu`: model `mine`: `price` is a map, not `1`",
                Some(price),
            ),
            (
                json!({ "price": { "input": 1 } }),
                "provider `gpu`: model `mine`: `price` needs `output`",
                Some(price),
            ),
            (
                json!({ "price": { "input": -1, "output": 1 } }),
                "provider `gpu`: model `mine`: `price`: `input` is a number of USD, not `-1`",
                Some(price),
            ),
            (
                json!({ "price": { "in": 1 } }),
                "provider `gpu`: model `mine`: a price has no `in`",
                Some("it has: input, cache_read, cache_write, output"),
            ),
        ] {
            assert_eq!(fault(said), (message.to_owned(), hint.map(str::to_owned)));
        }
    }

    #[test]
    fn limits_of_a_name_complete_those_of_all() {
        let models = BTreeMap::from([
            ("*".to_owned(), json!({ "concurrency": 2, "requests_per_minute": 60 })),
            ("qwen*".to_owned(), json!({ "concurrency": 4 })),
        ]);
        let overrides = Overrides::read("gpu", &models).unwrap();
        let limits = |model| {
            let limits = overrides.limits(model);
            (limits.concurrency, limits.requests_per_minute)
        };
        assert_eq!(limits("other"), (Some(2), Some(60.0)));
        assert_eq!(limits("qwen-vl"), (Some(4), Some(60.0)));
    }

    #[test]
    fn what_is_said_of_a_name_goes_before_what_is_said_of_many() {
        let models = BTreeMap::from([
            ("*".to_owned(), json!({ "images": false, "context": 1000 })),
            ("qwen*".to_owned(), json!({ "images": true })),
            (
                "qwen-text".to_owned(),
                json!({ "images": false, "price": { "input": 0.1, "output": 0.4 } }),
            ),
        ]);
        let overrides = Overrides::read("gpu", &models).unwrap();
        let facts = |model: &str| {
            let mut facts = ModelFacts::default();
            overrides.tell(model, &mut facts, "2026-11-24".parse().unwrap());
            facts
        };
        assert!(!facts("other").capabilities.images);
        assert!(facts("qwen-vl").capabilities.images);
        let text = facts("qwen-text");
        assert!(!text.capabilities.images);
        assert_eq!(text.context, Some(1000));
        let usual = text.price.unwrap().usual;
        assert_eq!((usual.input, usual.cache_read, usual.output), (100_000, 100_000, 400_000));
    }
}
