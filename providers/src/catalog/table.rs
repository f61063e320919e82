//! The table of models, and who reads it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::known::Known;
use super::{Day, ModelFacts, Price, names};
use crate::service::{Endpoint, Kind};

/// The table as it is in the file. It is read when a model is first asked about.
static TABLE: LazyLock<Table> = LazyLock::new(|| {
    serde_json::from_str(include_str!("models.json")).expect("a test reads the same table")
});

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    date: Day,
    #[expect(dead_code, reason = "for who reads the file")]
    sources: Vec<String>,
    kinds: BTreeMap<String, OfKind>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfKind {
    /// What is assumed of a model that is not listed, and of a listed one where its own entry
    /// is silent.
    unlisted: Known,
    /// The model that `auto` stands for where there is a key of the service.
    #[serde(default)]
    usual: Option<String>,
    models: BTreeMap<String, Known>,
    /// What a request in a batch costs, in percent of the usual price.
    #[serde(default)]
    batch: Option<u64>,
}

/// Knows models.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Catalog(&'static LazyLock<Table>);

impl Default for Catalog {
    fn default() -> Self {
        Self(&TABLE)
    }
}

impl Catalog {
    /// The day the facts were written down.
    pub(crate) fn date(self) -> Day {
        self.0.date
    }

    /// The model that `auto` stands for at a service; none where it has to be asked.
    pub(crate) fn usual_model(kind: Kind) -> Option<&'static str> {
        TABLE.kinds.get(kind.as_str())?.usual.as_deref()
    }

    /// What is known of a model at a service on a day.
    pub(crate) fn facts(self, endpoint: &Endpoint, model: &str, today: Day) -> ModelFacts {
        let mut facts = ModelFacts::default();
        if let Some(kind) = self.0.kinds.get(endpoint.kind.as_str()) {
            facts.batch = kind.batch;
            kind.unlisted.tell(&mut facts, today);
            if let Some(known) = names::find(&kind.models, model) {
                facts.listed = true;
                known.tell(&mut facts, today);
            }
        }
        if costs_nothing(endpoint, model) {
            facts.price = Some(Price::FREE);
        }
        endpoint.models.tell(model, &mut facts, today);
        facts
    }

    /// What serves in the place of a model that is gone, where that is known.
    pub(crate) fn successor(self, endpoint: &Endpoint, model: &str) -> Option<String> {
        let kind = self.0.kinds.get(endpoint.kind.as_str())?;
        names::find(&kind.models, model)?.retired.as_ref()?.successor.clone()
    }
}

/// Whether a model runs on this machine. Ollama passes some on to its own service, and their
/// names say so.
fn costs_nothing(endpoint: &Endpoint, model: &str) -> bool {
    let passed_on = model.ends_with(":cloud") || model.ends_with("-cloud");
    endpoint.kind == Kind::Ollama && endpoint.is_here() && !passed_on
}

#[cfg(test)]
mod tests {
    use flow_core::units::Money;
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::redact::Redactor;
    use crate::service::Tokens;

    const TODAY: &str = "2026-11-24";

    fn endpoint(kind: &str, settings: Value) -> Endpoint {
        let kind = Kind::from_name(kind).unwrap();
        let settings: Map<String, Value> = serde_json::from_value(settings).unwrap();
        let variable = |name: &str| name.ends_with("KEY").then(|| "a-key".to_owned());
        Endpoint::new("p", kind, settings, &variable, Redactor::default()).unwrap()
    }

    fn facts_on(kind: &str, model: &str, today: &str) -> ModelFacts {
        Catalog::default().facts(&endpoint(kind, json!({})), model, today.parse().unwrap())
    }

    fn facts(kind: &str, model: &str) -> ModelFacts {
        facts_on(kind, model, TODAY)
    }

    #[test]
    fn the_table_has_every_kind_and_its_successors_are_listed_and_served() {
        for kind in Kind::ALL {
            let of_kind = &TABLE.kinds[kind.as_str()];
            assert!(!of_kind.models.is_empty(), "{kind:?}");
            for (name, known) in &of_kind.models {
                let retired = known.retired.as_ref();
                let Some(successor) = retired.and_then(|retired| retired.successor.as_ref()) else {
                    continue;
                };
                let next = of_kind.models.get(successor);
                let next = next.unwrap_or_else(|| panic!("{name}: there is no {successor}"));
                assert!(next.retired.is_none(), "{name}: {successor} is retired itself");
            }
        }
        assert_eq!(Catalog::default().date().to_string(), TODAY);
    }

    #[test]
    fn what_a_model_costs_is_told_exactly() {
        let tokens = Tokens {
            input: Some(1_000_000),
            output: Some(1_000_000),
            cache_read: 500_000,
            ..Tokens::default()
        };
        let micros = |kind: &str, model: &str| {
            facts(kind, model).price.and_then(|price| price.of(&tokens)).map(Money::micros)
        };
        for (kind, model, cost) in [
            ("openai", "gpt-4o", Some(1_250_000 + 625_000 + 10_000_000)),
            ("openai", "gpt-4o-2024-08-06", Some(1_250_000 + 625_000 + 10_000_000)),
            ("openai", "gpt-4o-2024-05-13", Some(5_000_000 + 15_000_000)),
            ("openai", "gpt-4o-mini", Some(75_000 + 37_500 + 600_000)),
            ("anthropic", "claude-sonnet-4-6", Some(1_500_000 + 150_000 + 15_000_000)),
            ("gemini", "models/gemini-3.5-flash-lite", Some(150_000 + 15_000 + 2_500_000)),
            // Above 272,000 tokens everything costs more.
            ("openai", "gpt-5.4", Some(2_500_000 + 250_000 + 22_500_000)),
            ("openai", "gpt-99", None),
            ("anthropic", "claude-99", None),
            ("ollama", "llava:13b", Some(0)),
            ("ollama", "gpt-oss:120b-cloud", None),
        ] {
            assert_eq!(micros(kind, model), cost, "{kind}/{model}");
        }
    }

    #[test]
    fn a_price_that_is_announced_holds_from_its_day_on() {
        let output = |today| {
            let price = facts_on("gemini", "gemini-3.8-flash", today).price.unwrap();
            price.usual.output
        };
        assert_eq!((output("2026-12-31"), output("2027-01-01")), (3_750_000, 7_500_000));
    }

    #[test]
    fn a_model_is_gone_from_its_day_on() {
        let gone = |kind, model, today: &str| {
            let facts = facts_on(kind, model, today);
            facts.gone(today.parse().unwrap()).and_then(|retired| retired.successor.clone())
        };
        assert_eq!(
            gone("anthropic", "claude-3-5-sonnet-20241022", TODAY).as_deref(),
            Some("claude-sonnet-5-5")
        );
        assert_eq!(gone("gemini", "gemini-1.5-pro", TODAY).as_deref(), Some("gemini-3.8-flash"));
        assert_eq!(gone("openai", "gpt-4-vision-preview", TODAY).as_deref(), Some("gpt-5.4"));
        assert_eq!(gone("openai", "gpt-4o", TODAY), None);
        assert_eq!(gone("openai", "gpt-4o", "2027-01-14").as_deref(), Some("gpt-5.4"));
    }

    #[test]
    fn nothing_is_refused_for_want_of_knowledge() {
        let takes = |kind, model| {
            let can = facts(kind, model).capabilities;
            [can.images, can.documents, can.video, can.audio, can.schema]
        };
        assert_eq!(takes("openai", "who-knows"), [true, true, false, true, true]);
        assert_eq!(takes("anthropic", "who-knows"), [true, true, false, false, true]);
        assert_eq!(takes("gemini", "who-knows"), [true; 5]);
        assert_eq!(takes("ollama", "who-knows"), [true, false, false, false, true]);
        assert_eq!(takes("ollama", "qwen2.5:7b"), [false, false, false, false, true]);
        assert_eq!(takes("ollama", "qwen2.5vl:7b"), [true, false, false, false, true]);
    }

    #[test]
    fn the_user_goes_before_the_table() {
        let models = json!({ "models": { "gpt-4o": { "price": { "input": 1, "output": 2.5 } }, "*": { "images": false } } });
        let endpoint = endpoint("openai", models);
        let facts = |model| Catalog::default().facts(&endpoint, model, TODAY.parse().unwrap());
        assert_eq!(facts("gpt-4o").price.unwrap().usual.output, 2_500_000);
        assert_eq!(facts("gpt-4o").context, Some(128_000));
        assert!(!facts("gpt-4.1").capabilities.images);
    }

    #[test]
    fn only_ollama_on_this_machine_is_free() {
        for (address, free) in [
            ("http://127.0.0.1:11434", true),
            ("http://localhost:11434", true),
            ("http://[::1]:11434", true),
            ("http://gpu-1:11434", false),
            ("https://ollama.com", false),
        ] {
            let endpoint = endpoint("ollama", json!({ "base_url": address }));
            let facts = Catalog::default().facts(&endpoint, "llava", TODAY.parse().unwrap());
            assert_eq!(facts.price.is_some(), free, "{address}");
        }
    }
}
