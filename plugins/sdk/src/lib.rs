//! Write plugins of flow: steps, and providers of models.
//!
//! ```
//! use flow_plugin::{JsonSchema, Result};
//! use serde::{Deserialize, Serialize};
//!
//! /// A text.
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Input {
//!     text: String,
//! }
//!
//! #[derive(Serialize, JsonSchema)]
//! struct Output {
//!     words: usize,
//! }
//!
//! fn run(input: Input) -> Result<Output> {
//!     Ok(Output { words: input.text.split_whitespace().count() })
//! }
//!
//! flow_plugin::step!(run);
//! # fn main() {}
//! ```
//!
//! That is a whole plugin. Its name, version and summary are those of its `Cargo.toml`; what it
//! takes and yields is said by its types, as JSON Schemas that `flow check` holds workflows
//! against. An error ends the call with its message (`?` takes any error); a panic does, too,
//! and its message and line stand in the log. Settings are a second argument:
//! `fn run(input: Input, config: Config)`. Files come and go as [`File`].
//!
//! A plugin computes. What else it wants, it asks for in its `plugin.yaml`, and has it where the
//! workflow grants it: [`http`], [`llm`], [`kv`]. [`log`], [`clock`] and its own files are
//! always there.

mod call;
pub mod clock;
mod config;
mod error;
mod file;
pub mod http;
pub mod kv;
pub mod llm;
pub mod log;
mod provide;

#[doc(hidden)]
pub mod bindings;
#[doc(hidden)]
pub mod glue;

pub use call::{Context, context};
pub use error::{Error, Result};
pub use file::{File, FileReader, FileWriter};
pub use provide::{Answer, Ask, Content, Role, Said, progress};
pub use schemars::{self, JsonSchema};
pub use serde_json::{self, Value, json};

/// Makes a step of a function: `fn(Input) -> Result<Output>`, or with settings
/// `fn(Input, Config) -> Result<Output>`.
///
/// `Input` and `Config` are [`Deserialize`](serde::Deserialize), `Output` is
/// [`Serialize`](serde::Serialize), and all are [`JsonSchema`]. What the plugin asks for may
/// stand behind it, for one that has no `plugin.yaml`:
/// `step!(run, capabilities = { "kv": { "max_bytes": "1MiB" } })`.
#[macro_export]
macro_rules! step {
    ($run:path $(, capabilities = $asks:tt)? $(,)?) => {
        struct FlowPlugin;

        impl $crate::bindings::base::exports::flow::plugin::meta::Guest for FlowPlugin {
            fn describe() -> String {
                $crate::glue::describe_step($run, $crate::about!(), $crate::asked!($($asks)?))
            }
        }

        impl $crate::bindings::step::exports::flow::plugin::step::Guest for FlowPlugin {
            fn run(
                context: $crate::bindings::step::exports::flow::plugin::step::Context,
                input: String,
                parts: Vec<$crate::glue::Part>,
            ) -> Result<$crate::glue::Output, $crate::glue::HostError> {
                $crate::glue::run_step($run, context, &input, parts)
            }
        }

        $crate::bindings::base::export_meta!(FlowPlugin with_types_in $crate::bindings::base);
        $crate::bindings::step::export_step!(FlowPlugin with_types_in $crate::bindings::step);
    };
}

/// Makes a provider of two functions: `fn(Ask) -> Result<Answer>` or, with settings,
/// `fn(Ask, Config) -> Result<Answer>`; and `fn() -> Vec<String>`, the names of its models.
///
/// What its models take besides text may stand behind them:
/// `provider!(complete, models, takes = { "images": true })`.
#[macro_export]
macro_rules! provider {
    ($complete:path, $models:path $(, takes = $takes:tt)? $(, capabilities = $asks:tt)? $(,)?) => {
        struct FlowPlugin;

        impl $crate::bindings::base::exports::flow::plugin::meta::Guest for FlowPlugin {
            fn describe() -> String {
                $crate::glue::describe_provider(
                    $complete,
                    $crate::about!(),
                    $crate::asked!($($asks)?),
                    $crate::asked!($($takes)?),
                )
            }
        }

        impl $crate::bindings::provider::exports::flow::plugin::provider::Guest for FlowPlugin {
            fn complete(
                context: $crate::bindings::provider::exports::flow::plugin::provider::Context,
                request: $crate::glue::ChatRequest,
            ) -> Result<$crate::glue::ChatResponse, $crate::glue::HostError> {
                $crate::glue::complete($complete, context, request)
            }

            fn models() -> String {
                $crate::json!($models()).to_string()
            }
        }

        $crate::bindings::base::export_meta!(FlowPlugin with_types_in $crate::bindings::base);
        $crate::bindings::provider::export_provider!(
            FlowPlugin with_types_in $crate::bindings::provider
        );
    };
}

/// What the plugin's `Cargo.toml` says of it.
#[doc(hidden)]
#[macro_export]
macro_rules! about {
    () => {
        $crate::glue::About {
            name: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            summary: env!("CARGO_PKG_DESCRIPTION"),
        }
    };
}

/// A map that may be left out.
#[doc(hidden)]
#[macro_export]
macro_rules! asked {
    () => {
        $crate::Value::Null
    };
    ($map:tt) => {
        $crate::json!($map)
    };
}
