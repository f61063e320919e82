//! A plugin that is ready to be called.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use flow_core::content::ContentHash;
use flow_core::provider::Request;
use flow_core::units::Money;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::call::{Call, Came, Did, Task, call};
use crate::descriptor::{self, Descriptor};
use crate::fault::{CallFault, LoadError};
use crate::host::read_answer;
use crate::inspect::{Interface, Kind};
use crate::policy::{Granted, Limits};
use crate::sandbox::{Linked, Sandbox};
use crate::seams::Alone;

/// A plugin that is ready to be called.
pub struct Plugin {
    sandbox: Arc<Sandbox>,
    hash: ContentHash,
    interface: Interface,
    linked: Linked,
    descriptor: Descriptor,
    size: usize,
    output: OnceLock<Option<jsonschema::Validator>>,
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Descriptor { name, version, .. } = &self.descriptor;
        write!(f, "Plugin({name}@{version}, {})", self.hash)
    }
}

/// What a provider plugin answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Completion {
    /// The text.
    pub text: String,
    /// Why it ended.
    pub finish: Option<String>,
    /// Tokens read, as it says.
    pub input_tokens: Option<u64>,
    /// Tokens written, as it says.
    pub output_tokens: Option<u64>,
    /// What it cost, as it says.
    pub cost: Option<Money>,
}

impl Plugin {
    pub(crate) fn new(
        sandbox: Arc<Sandbox>,
        hash: ContentHash,
        interface: Interface,
        linked: Linked,
        size: usize,
    ) -> Result<Self, LoadError> {
        let kind = interface.kind;
        let known = sandbox.known_descriptor(&hash);
        let known = known.and_then(|text| Descriptor::read(&text, kind).ok());
        let descriptor = match known {
            Some(descriptor) => descriptor,
            None => {
                let text = describe(&sandbox, &linked)?;
                let descriptor = Descriptor::read(&text, kind)?;
                sandbox.keep_descriptor(&hash, &text)?;
                descriptor
            }
        };
        let output = OnceLock::new();
        Ok(Self { sandbox, hash, interface, linked, descriptor, size, output })
    }

    /// What it says of itself.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// What it imports and exports.
    pub fn interface(&self) -> &Interface {
        &self.interface
    }

    /// What it does.
    pub fn kind(&self) -> Kind {
        self.interface.kind
    }

    /// The hash of its file.
    pub fn hash(&self) -> &ContentHash {
        &self.hash
    }

    /// Bytes of its file.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Runs it as a step. Its input is the caller's to check; its output is checked here.
    ///
    /// Dropping the future stops it where it stands.
    pub async fn run(&self, by: &Call<'_>, input: &Value) -> Came<Value> {
        let Came { result, used } =
            call(&self.sandbox, &self.linked, by, Task::Step { input }).await;
        let result = result.and_then(|did| match did {
            Did::Output(value) => self.checked(value),
            Did::Text(_) | Did::Answer(_) => Err(not_its_kind(Kind::Step)),
        });
        Came { result, used }
    }

    /// Asks it as a provider.
    ///
    /// Dropping the future stops it where it stands.
    pub async fn complete(&self, by: &Call<'_>, request: &Request) -> Came<Completion> {
        let Came { result, used } =
            call(&self.sandbox, &self.linked, by, Task::Complete { request }).await;
        let result = result.and_then(|did| match did {
            Did::Answer(response) => {
                let text = read_answer(&response)
                    .ok_or_else(|| CallFault::Output("its answer is no text".into()))?;
                Ok(completion(text, &response.finish, &response.extra))
            }
            Did::Text(_) | Did::Output(_) => Err(not_its_kind(Kind::Provider)),
        });
        Came { result, used }
    }

    /// Asks a provider for the names of its models.
    ///
    /// Dropping the future stops it where it stands.
    pub async fn models(&self, by: &Call<'_>) -> Came<Vec<String>> {
        let Came { result, used } = call(&self.sandbox, &self.linked, by, Task::Models).await;
        let result = result.and_then(|did| match did {
            Did::Text(text) => serde_json::from_str(&text).map_err(|error| {
                CallFault::Output(format!("its models are no list of names: {error}"))
            }),
            Did::Output(_) | Did::Answer(_) => Err(not_its_kind(Kind::Provider)),
        });
        Came { result, used }
    }

    /// Holds an output against the schema that the plugin gave for it.
    fn checked(&self, value: Value) -> Result<Value, CallFault> {
        let validator = self.output.get_or_init(|| {
            let schema = &self.descriptor.output;
            (*schema != Value::Bool(true)).then(|| jsonschema::validator_for(schema).ok()).flatten()
        });
        let Some(validator) = validator else { return Ok(value) };
        if let Some(error) = validator.iter_errors(&value).next() {
            let place = error.instance_path().to_string();
            let place = place.trim_start_matches('/').replace('/', ".");
            let of = if place.is_empty() { String::new() } else { format!(" `{place}`") };
            let message = format!("its output{of} is not what it says it yields: {error}");
            return Err(CallFault::Output(message));
        }
        Ok(value)
    }
}

fn not_its_kind(kind: Kind) -> CallFault {
    CallFault::Output(format!("it is no {kind}"))
}

/// What it says of its answer. Its word on money is taken where it is an amount.
fn completion(text: String, finish: &str, extra: &str) -> Completion {
    let extra: Value = serde_json::from_str(extra).unwrap_or_default();
    let cost = extra["cost"].as_f64().filter(|cost| cost.is_finite() && (0.0..1e9).contains(cost));
    Completion {
        text,
        finish: (!finish.is_empty()).then(|| finish.to_owned()),
        input_tokens: extra["input_tokens"].as_u64(),
        output_tokens: extra["output_tokens"].as_u64(),
        cost: cost.map(|usd| Money::from_micros((usd * 1e6).round() as i64)),
    }
}

/// Asks a plugin what it is, with nothing granted and little time.
///
/// Checking a workflow is not async: the call has a thread and a runtime of its own.
fn describe(sandbox: &Arc<Sandbox>, linked: &Linked) -> Result<String, LoadError> {
    let granted = Granted { limits: Limits::DESCRIBE, ..Granted::nothing("it") };
    let asked = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| LoadError::Sandbox(error.to_string()))?;
            let by = Call {
                run: "",
                step: "",
                attempt: 1,
                granted: &Arc::new(granted),
                config: &Arc::new(BTreeMap::new()),
                intake: None,
                log: Arc::new(|_| {}),
                memory: None,
                outside: &Alone,
                cancel: CancellationToken::new(),
            };
            let described = call(sandbox, linked, &by, Task::Describe);
            Ok::<_, LoadError>(runtime.block_on(described))
        });
        thread.join()
    });
    let came = asked.map_err(|_| LoadError::Sandbox("asking it what it is failed".into()))??;
    match came.result.map_err(|fault| LoadError::Describe(Box::new(fault)))? {
        Did::Text(text) if text.len() > descriptor::LARGEST => {
            Err(descriptor::DescriptorFault::TooLarge.into())
        }
        Did::Text(text) => Ok(text),
        Did::Output(_) | Did::Answer(_) => Err(LoadError::Sandbox("it described nothing".into())),
    }
}
