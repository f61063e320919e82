//! What steps do: document actions, and the providers that serve model calls.

mod actions;
mod anthropic;
mod auto;
mod catalog;
mod command;
mod content;
pub mod documents;
mod embed;
mod gemini;
mod generate;
mod http;
mod limits;
mod ollama;
mod openai;
mod redact;
mod registry;
mod service;
mod structured;
mod survey;
mod written;

use std::sync::Arc;

use flow_core::action::ActionRegistry;

pub use actions::ModelFolder;
pub use registry::Providers;
pub use survey::{ModelPrice, Surveyed, SurveyedModel};

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
