//! The same work as the sample guest's `echo`: reads its input as JSON and answers in JSON.

use extism_pdk::{FnResult, plugin_fn};
use serde_json::{Value, json};

#[plugin_fn]
pub fn run(input: String) -> FnResult<String> {
    let input: Value = serde_json::from_str(&input)?;
    Ok(json!({ "echo": input["text"], "greeting": null }).to_string())
}
