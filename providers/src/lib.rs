//! What steps do: document actions, and the providers that serve model calls.

mod actions;
mod agreeing;
mod anthropic;
mod asking;
mod auto;
mod catalog;
mod command;
mod content;
pub mod documents;
mod embed;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod gemini;
mod generate;
mod grounding;
mod http;
mod hub;
mod limits;
mod local;
mod media;
mod ollama;
mod openai;
mod part_kind;
mod pictures;
mod plugged;
mod plugin_http;
mod random;
mod redact;
mod registry;
mod service;
mod structured;
mod survey;
mod tape;
mod written;

use std::sync::Arc;

use flow_core::action::ActionRegistry;

pub use actions::ModelFolder;
pub use hub::{Expected, Fetched, Hub, Offer, Told, Wanted};
pub use plugin_http::PluginHttp;
pub use registry::Providers;
pub use survey::{ModelPrice, Surveyed, SurveyedModel};
pub use tape::{Counts, Tape, TapeError};

/// Adds the actions of this crate. `models` is where the OCR models are, `threads` how many
/// threads recognition may use.
pub fn register(
    registry: &mut ActionRegistry,
    providers: Arc<Providers>,
    models: ModelFolder,
    threads: usize,
) {
    actions::register(registry, models, threads);
    registry.add(Arc::new(embed::Embed::new(Arc::clone(&providers))));
    registry.add(Arc::new(generate::Generate::new(providers)));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_action_has_an_input_schema_that_can_be_used_and_refuses_what_it_does_not_know() {
        let mut registry = ActionRegistry::default();
        flow_core::actions::register(&mut registry);
        let models = ModelFolder::new(std::path::PathBuf::new());
        register(&mut registry, Arc::new(Providers::new(BTreeMap::new())), models, 1);
        let names: Vec<_> = registry.specs().map(|spec| spec.name).collect();
        assert!(names.contains(&"model.generate") && names.contains(&"value.set"), "{names:?}");
        for name in names {
            let refused = registry.check_input(name, &serde_json::json!([]));
            assert!(refused.is_err(), "`{name}` takes a list as its input");
        }
    }
}
