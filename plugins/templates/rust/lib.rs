//! Counts the words of a text.

use flow_plugin::{JsonSchema, Result};
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The text.
    text: String,
}

#[derive(Serialize, JsonSchema)]
struct Output {
    words: usize,
}

fn run(input: Input) -> Result<Output> {
    Ok(Output { words: input.text.split_whitespace().count() })
}

flow_plugin::step!(run);
