//! Trying a plugin without a workflow: by hand, and by its own cases.
//!
//! ```text
//! path ─ manifest, component ─▶ Tried ─┬─ perform ─▶ what it yields      (`flow plugin run`)
//!                                      └─ a case ─▶ as expected, or not  (`flow plugin test`)
//! ```
//!
//! It runs in the same sandbox as in a run, under the same grants and limits. What a case says
//! that models and servers answer is what they answer; nobody else is asked.

mod case;
mod difference;
mod files;
mod judge;
mod recorded;

pub use case::{Case, CaseError, Expected, cases_in};
pub use judge::{Verdict, judge};
pub use recorded::Recorded;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flow_core::intake::Intake;
use flow_core::plugin::PluginFault;
use flow_core::provider::{Message, Part, Request, Role};
use serde_json::{Value, json};

use crate::call::{Call, Came};
use crate::fault::CallFault;
use crate::inspect::Kind;
use crate::loader::{config, of_load, of_policy, place_of};
use crate::plugin::Plugin;
use crate::policy::{Capabilities, Granted, Limits, Manifest};
use crate::sandbox::Sandbox;
use crate::usage::Used;

/// A plugin that is tried.
pub struct Tried {
    /// It.
    pub plugin: Arc<Plugin>,
    /// What stands beside it, where something does.
    pub manifest: Option<Manifest>,
    /// Its file.
    pub component: PathBuf,
}

impl Tried {
    /// Loads it from a `.wasm` file, a `plugin.yaml`, or the folder of that.
    ///
    /// Blocks while it is compiled for the first time.
    pub fn load(sandbox: &Arc<Sandbox>, place: &Path) -> Result<Self, PluginFault> {
        let name = place.display().to_string();
        let (manifest, component) = place_of(&name, place)?;
        let built = manifest.is_some() && !component.exists();
        let plugin = sandbox.load_file(&component).map_err(|error| {
            let fault = of_load(&name, &error);
            match built {
                true => PluginFault { hint: Some("`flow plugin build` makes it".into()), ..fault },
                false => fault,
            }
        })?;
        Ok(Self { plugin, manifest, component })
    }

    /// Its name: as its manifest says, else as it says itself.
    pub fn name(&self) -> &str {
        self.manifest.as_ref().map_or(&self.plugin.descriptor().name, |manifest| &manifest.name)
    }

    /// What it asks to do.
    pub fn asks(&self) -> &Capabilities {
        let own = &self.plugin.descriptor().capabilities;
        self.manifest.as_ref().map_or(own, |manifest| &manifest.capabilities)
    }

    /// How much it asks to use.
    pub fn limits(&self) -> Limits {
        let own = self.plugin.descriptor().limits;
        self.manifest.as_ref().map_or(own, |manifest| manifest.limits)
    }

    /// What it may do where this is granted, and as much as it asks to use.
    pub fn granted(&self, grant: &Capabilities) -> Granted {
        let limits = self.limits();
        Granted::of(self.name(), self.asks().clone(), grant, limits, Some(limits))
    }

    /// Its settings, held against its own schema.
    pub fn settings(&self, given: &Value) -> Result<BTreeMap<String, String>, PluginFault> {
        let given = Some(given).filter(|given| !given.is_null());
        config(given, &self.plugin.descriptor().config).map_err(of_policy)
    }

    /// The input as the plugin is given it: with the files that it names, relative to a folder.
    ///
    /// Dropping the future leaves at most files in the store that nothing names.
    pub async fn input(
        &self,
        mut input: Value,
        folder: &Path,
        intake: &Intake,
    ) -> Result<Value, PluginFault> {
        if self.plugin.kind() == Kind::Provider {
            return Ok(input);
        }
        let schema = &self.plugin.descriptor().input;
        files::take(schema, &mut input, folder, intake).await?;
        let Ok(validator) = jsonschema::validator_for(schema) else { return Ok(input) };
        let wrong: Vec<_> = validator
            .iter_errors(&input)
            .map(|error| {
                let place = error.instance_path().to_string();
                let place = place.trim_start_matches('/').replace('/', ".");
                if place.is_empty() { error.to_string() } else { format!("`{place}`: {error}") }
            })
            .collect();
        match wrong.is_empty() {
            true => Ok(input),
            false => Err(said(format!("the input is wrong: {}", wrong.join("; ")))),
        }
    }

    /// Calls it: a step with its input, a provider with `{model, prompt}` or `{model, messages}`.
    ///
    /// Dropping the future stops it where it stands.
    pub async fn perform(&self, by: &Call<'_>, input: &Value) -> Came<Value> {
        match self.plugin.kind() {
            Kind::Step => self.plugin.run(by, input).await,
            Kind::Provider => {
                let request = match request(input) {
                    Ok(request) => request,
                    Err(why) => {
                        return Came { result: Err(CallFault::Output(why)), used: Used::nothing() };
                    }
                };
                let Came { result, used } = self.plugin.complete(by, &request).await;
                let result = result.map(|answer| {
                    json!({
                        "text": answer.text,
                        "finish": answer.finish,
                        "input_tokens": answer.input_tokens,
                        "output_tokens": answer.output_tokens,
                        "cost": answer.cost.map(flow_core::units::Money::usd),
                    })
                });
                Came { result, used }
            }
        }
    }
}

/// What a provider is asked, as its author writes it.
fn request(input: &Value) -> Result<Request, String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let model = text(&input["model"]).ok_or("the input of a provider has a `model`")?;
    let (mut system, mut messages) = (text(&input["system"]), Vec::new());
    if let Some(prompt) = text(&input["prompt"]) {
        messages.push(Message { role: Role::User, parts: vec![Part::Text(prompt)] });
    }
    for message in input["messages"].as_array().into_iter().flatten() {
        let said = text(&message["text"]).ok_or("a message has a `text`")?;
        match message["role"].as_str() {
            Some("system") => system = Some(said),
            Some("user") => {
                messages.push(Message { role: Role::User, parts: vec![Part::Text(said)] });
            }
            Some("assistant") => {
                messages.push(Message { role: Role::Assistant, parts: vec![Part::Text(said)] });
            }
            _ => return Err("the `role` of a message is system, user or assistant".into()),
        }
    }
    if messages.is_empty() {
        return Err("the input of a provider has a `prompt`, or `messages`".into());
    }
    let params = &input["params"];
    Ok(Request {
        model,
        system,
        messages,
        temperature: params["temperature"].as_f64(),
        top_p: params["top_p"].as_f64(),
        max_tokens: params["max_tokens"].as_u64(),
        seed: params["seed"].as_i64(),
        schema: params.get("schema").cloned(),
        ..Request::default()
    })
}

/// A fault of what somebody wrote.
pub(crate) fn said(message: impl Into<String>) -> PluginFault {
    PluginFault { at: Vec::new(), message: message.into(), hint: None }
}
