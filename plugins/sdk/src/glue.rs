//! What the macros are made of. Nothing here is for anybody else.

use std::sync::Once;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::bindings::provider::exports::flow::plugin::provider as provider_world;
use crate::bindings::step::exports::flow::plugin::step as step_world;
use crate::{Answer, Ask, Context, Error, Result, call, config, log};

pub use crate::bindings::base::flow::plugin::chat::{
    Request as ChatRequest, Response as ChatResponse,
};
pub use crate::bindings::base::flow::plugin::content::Part;
pub use crate::bindings::base::flow::plugin::types::Error as HostError;
pub use step_world::Output;

pub struct About {
    pub name: &'static str,
    pub version: &'static str,
    pub summary: &'static str,
}

/// A function that a plugin is made of, with its settings or without.
pub trait Handler<Shape> {
    type Input;
    type Output;
    fn config_schema() -> Value;
    fn call(&self, input: Self::Input) -> Result<Self::Output>;
}

impl<F, I, O> Handler<(I,)> for F
where
    F: Fn(I) -> Result<O>,
{
    type Input = I;
    type Output = O;

    fn config_schema() -> Value {
        json!({ "type": "object", "additionalProperties": false })
    }

    fn call(&self, input: I) -> Result<O> {
        self(input)
    }
}

impl<F, I, C, O> Handler<(I, C)> for F
where
    F: Fn(I, C) -> Result<O>,
    C: DeserializeOwned + JsonSchema,
{
    type Input = I;
    type Output = O;

    fn config_schema() -> Value {
        schema_of::<C>()
    }

    fn call(&self, input: I) -> Result<O> {
        self(input, config::read()?)
    }
}

/// The schema of a type, whole: it refers to nothing.
pub fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    if let Some(map) = schema.as_object_mut() {
        map.remove("title");
    }
    schema
}

fn described(about: About, kind: &str, config: Value, capabilities: Value) -> Value {
    let mut said = json!({
        "name": about.name,
        "version": about.version,
        "kind": kind,
        "summary": about.summary,
        "config": config,
    });
    if !capabilities.is_null() {
        said["capabilities"] = capabilities;
    }
    said
}

pub fn describe_step<S, H>(_: H, about: About, capabilities: Value) -> String
where
    H: Handler<S>,
    H::Input: JsonSchema,
    H::Output: JsonSchema,
{
    let mut said = described(about, "step", H::config_schema(), capabilities);
    said["input"] = schema_of::<H::Input>();
    said["output"] = schema_of::<H::Output>();
    said.to_string()
}

pub fn describe_provider<S, H>(_: H, about: About, capabilities: Value, takes: Value) -> String
where
    H: Handler<S, Input = Ask, Output = Answer>,
{
    let mut said = described(about, "provider", H::config_schema(), capabilities);
    if !takes.is_null() {
        said["takes"] = takes;
    }
    said.to_string()
}

/// A panic's message goes to the log with the place of it: nothing else leaves the sandbox.
fn tell_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| log::error(&panic.to_string())));
    });
}

pub fn run_step<S, H>(
    run: H,
    context: step_world::Context,
    input: &str,
    parts: Vec<Part>,
) -> Result<Output, HostError>
where
    H: Handler<S>,
    H::Input: DeserializeOwned,
    H::Output: Serialize,
{
    tell_panics();
    let step_world::Context { run_id, step_id, attempt, extra: _ } = context;
    call::begin(Context { run: run_id, step: step_id, attempt }, parts);
    let ran = serde_json::from_str(input)
        .map_err(|error| Error::input(error.to_string()))
        .and_then(|input| run.call(input))
        .and_then(|output| Ok(serde_json::to_string(&output)?));
    call::end();
    ran.map(|value| Output { value, parts: Vec::new() }).map_err(|error| error.to_host())
}

pub fn complete<S, H>(
    complete: H,
    context: provider_world::Context,
    request: ChatRequest,
) -> Result<ChatResponse, HostError>
where
    H: Handler<S, Input = Ask, Output = Answer>,
{
    tell_panics();
    let provider_world::Context { run_id, step_id, attempt, extra: _ } = context;
    call::begin(Context { run: run_id, step: step_id, attempt }, Vec::new());
    let answered = complete.call(Ask::of_host(request));
    call::end();
    answered.map(Answer::into_host).map_err(|error| error.to_host())
}
