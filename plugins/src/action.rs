//! A step that is a plugin.
//!
//! What it may do decides what it does to the world: one that may act outside of its call is
//! `external`, so that the run knows beforehand that it will; one that only computes is `pure`,
//! and the step cache may answer for it. What was granted is part of its identity, as its bytes
//! and its settings are.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use flow_core::action::{Action, ActionSpec, CallUsage, Effect, Outcome, Quote, StepContext};
use flow_core::error::Failure;
use flow_core::language::ModelChoice;
use flow_core::plugin::Models;
use flow_core::provider::{Answer, CallContext, Request};
use flow_core::units::Money;
use serde_json::{Value, json};

use crate::call::{Call, Came};
use crate::loader::Ready;
use crate::seams::Outside;
use crate::usage::Used;

/// A step that is a plugin.
pub(crate) struct PluginStep {
    spec: ActionSpec,
    ready: Ready,
}

impl PluginStep {
    pub(crate) fn new(ready: Ready) -> Self {
        let descriptor = ready.plugin.descriptor();
        let pure = !ready.granted.acts_outside();
        let spec = ActionSpec {
            name: "plugin",
            version: 1,
            // The text lives as long as the process: so do the actions that are built in, and
            // a plugin says it nowhere but in `describe`.
            summary: "Runs a plugin.",
            effect: if pure { Effect::Pure } else { Effect::External },
            cacheable: pure,
            takes_model: false,
            input: descriptor.input.clone(),
            output: descriptor.output.clone(),
        };
        Self { spec, ready }
    }
}

#[async_trait]
impl Action for PluginStep {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    fn identity(&self) -> Value {
        self.ready.identity()
    }

    fn usual_timeout(&self, _input: &Value) -> Duration {
        // Its own deadline comes first, and says what to raise.
        self.ready.granted.limits.deadline + Duration::from_secs(5)
    }

    fn quote(&self, _input: &Value, _context: &StepContext) -> Quote {
        match &self.ready.granted.may.models {
            None => Quote::Free,
            Some(rule) => rule.max_cost.map_or(Quote::Unknown, Quote::AtMost),
        }
    }

    async fn run(&self, input: Value, context: &StepContext) -> Result<Outcome, Failure> {
        let Ready { plugin, granted, config, models, services, .. } = &self.ready;
        let name = &granted.name;
        let caller = context.caller.as_deref();
        let outside = Asking {
            ready: &self.ready,
            models: services,
            chains: models,
            context,
            spent: Mutex::new(Spent { cost: Some(Money::ZERO), ..Spent::default() }),
        };
        let run = caller.map(|caller| caller.run.to_string()).unwrap_or_default();
        let call = Call {
            run: &run,
            step: &context.path,
            attempt: context.attempt,
            granted,
            config,
            intake: Some(&context.intake),
            log: Arc::clone(&context.log),
            memory: caller.map(|caller| caller.memories.of(&plugin.descriptor().name)),
            outside: &outside,
            cancel: context.cancel.clone(),
        };
        let Came { result, used } = plugin.run(&call, &input).await;
        context.usage.note(outside.usage(Some(&used)));
        result.map(Outcome::Done).map_err(|fault| fault.into_failure(name))
    }
}

/// What a step reaches through its plugin: the models that it was granted.
struct Asking<'c> {
    ready: &'c Ready,
    models: &'c Arc<dyn Models>,
    chains: &'c BTreeMap<String, Vec<ModelChoice>>,
    context: &'c StepContext,
    spent: Mutex<Spent>,
}

/// What questions took so far.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    cost: Option<Money>,
    input_tokens: u64,
    output_tokens: u64,
}

impl Asking<'_> {
    /// What the attempt took so far, as it is kept.
    fn usage(&self, used: Option<&Used>) -> CallUsage {
        let spent = *self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        CallUsage {
            cost: spent.cost,
            input_tokens: (spent.input_tokens > 0).then_some(spent.input_tokens),
            output_tokens: (spent.output_tokens > 0).then_some(spent.output_tokens),
            plugin: Some(self.ready.record(used)),
            ..CallUsage::default()
        }
    }

    fn spend(&self, usage: &CallUsage) {
        {
            let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
            spent.cost = spent.cost.zip(usage.cost).map(|(all, own)| all + own);
            spent.input_tokens += usage.input_tokens.unwrap_or_default();
            spent.output_tokens += usage.output_tokens.unwrap_or_default();
        }
        // As soon as it is known: the plugin may be cut off before it ends.
        self.context.usage.note(self.usage(None));
    }

    fn folder(&self) -> &Path {
        &self.context.paths.folder
    }
}

#[async_trait]
impl Outside for Asking<'_> {
    async fn ask(
        &self,
        model: &str,
        request: Request,
        most: Option<Money>,
    ) -> Result<(Answer, CallUsage), Failure> {
        let chain = self.chains.get(model).map(Vec::as_slice).unwrap_or_default();
        if chain.is_empty() {
            return Err(Failure::input(format!("the workflow has no model `{model}`")));
        }
        let context = self.context;
        let call = CallContext {
            intake: &context.intake,
            uploads: &*context.uploads,
            turn: &context.turn,
            order: context.order,
            cancel: context.cancel.clone(),
            batches: None,
            sink: &|_| {},
            log: &*context.log,
            caller: context.caller.as_deref(),
            note: &|_| {},
        };
        match self.models.ask(chain, &request, most, self.folder(), &call).await {
            Ok((answer, usage)) => {
                self.spend(&usage);
                Ok((answer, usage))
            }
            Err((failure, usage)) => {
                usage.iter().for_each(|usage| self.spend(usage));
                Err(failure)
            }
        }
    }

    fn delta(&self, text: &str) -> bool {
        (self.context.text)(text);
        !self.context.cancel.is_cancelled()
    }
}

impl Ready {
    /// What is kept of a call with its attempt.
    pub(crate) fn record(&self, used: Option<&Used>) -> Value {
        let descriptor = self.plugin.descriptor();
        let mut record = json!({
            "name": self.granted.name,
            "plugin": format!("{}@{}", descriptor.name, descriptor.version),
            "sha256": self.plugin.hash().hex(),
            "granted": self.granted.to_json(),
        });
        if let Some(used) = used {
            record["used"] = used.to_json();
        }
        record
    }
}
