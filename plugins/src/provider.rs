//! A provider that is a plugin.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use flow_core::action::{CallUsage, Quote};
use flow_core::error::{ErrorClass, Failure};
use flow_core::provider::{Answer, CallContext, Capabilities, Provider, Request};
use flow_core::units::Money;
use tokio_util::sync::CancellationToken;

use crate::call::{Call, Came};
use crate::loader::Ready;
use crate::seams::{Alone, Outside};

/// A provider that is a plugin.
pub(crate) struct PluginProvider(pub(crate) Ready);

#[async_trait]
impl Provider for PluginProvider {
    fn capabilities(&self, _model: &str) -> Capabilities {
        let takes = self.0.plugin.descriptor().takes;
        Capabilities {
            images: takes.images,
            documents: takes.documents,
            video: takes.video,
            audio: takes.audio,
            schema: takes.schema,
        }
    }

    /// Nobody knows what a plugin's call costs, unless it can reach nothing that costs.
    fn quote(&self, _request: &Request) -> Quote {
        match self.0.granted.acts_outside() {
            true => Quote::Unknown,
            false => Quote::Free,
        }
    }

    async fn generate(
        &self,
        request: &Request,
        context: &CallContext<'_>,
    ) -> Result<Answer, Failure> {
        let Ready { plugin, granted, config, .. } = &self.0;
        let caller = context.caller;
        let outside = Answering { ready: &self.0, context, spent: Mutex::new(Some(Money::ZERO)) };
        let run = caller.map(|caller| caller.run.to_string()).unwrap_or_default();
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let gathered = Arc::clone(&lines);
        let call = Call {
            run: &run,
            step: caller.map_or("", |caller| &caller.path),
            attempt: caller.map_or(1, |caller| caller.attempt),
            granted,
            config,
            intake: Some(context.intake),
            // A sink of the call cannot outlive it, and a guest's might: lines are told when it
            // has ended.
            log: Arc::new(move |line: &str| {
                gathered.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
            }),
            memory: caller.map(|caller| caller.memories.of(&plugin.descriptor().name)),
            outside: &outside,
            cancel: context.cancel.clone(),
        };
        let Came { result, used } = plugin.complete(&call, request).await;
        let lines = std::mem::take(&mut *lines.lock().unwrap_or_else(PoisonError::into_inner));
        lines.iter().for_each(|line| (context.log)(line));
        let asked = *outside.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let mut usage = CallUsage {
            provider: granted.name.clone(),
            model: request.model.clone(),
            plugin: Some(self.0.record(Some(&used))),
            cost: asked,
            ..CallUsage::default()
        };
        let completion = match result {
            Ok(completion) => completion,
            Err(fault) => {
                (context.note)(usage);
                return Err(fault.into_failure(&granted.name));
            }
        };
        let raw = context.intake.keep(completion.text.clone().into_bytes(), "reply").await?;
        usage.raw = Some(raw.to_value());
        usage.input_tokens = completion.input_tokens;
        usage.output_tokens = completion.output_tokens;
        usage.finish = completion.finish;
        // One that can reach nothing costs nothing, whatever it says.
        if granted.acts_outside() {
            usage.cost = completion.cost.zip(asked).map(|(own, asked)| own + asked);
        }
        (context.note)(usage);
        Ok(Answer { text: completion.text })
    }

    async fn models(&self) -> Result<Vec<String>, Failure> {
        let Ready { plugin, granted, config, .. } = &self.0;
        let call = Call {
            run: "",
            step: "",
            attempt: 1,
            granted,
            config,
            intake: None,
            log: Arc::new(|_| {}),
            memory: None,
            outside: &Alone,
            cancel: CancellationToken::new(),
        };
        plugin.models(&call).await.result.map_err(|fault| fault.into_failure(&granted.name))
    }

    async fn health(&self) -> Result<(), Failure> {
        self.models().await.map(drop)
    }
}

/// What a provider reaches of the call that it answers.
struct Answering<'c> {
    ready: &'c Ready,
    context: &'c CallContext<'c>,
    spent: Mutex<Option<Money>>,
}

#[async_trait]
impl Outside for Answering<'_> {
    async fn ask(
        &self,
        model: &str,
        request: Request,
        most: Option<Money>,
    ) -> Result<(Answer, CallUsage), Failure> {
        let chain = self.ready.models.get(model).map(Vec::as_slice).unwrap_or_default();
        if chain.is_empty() {
            let message = format!("the workflow has no model `{model}`");
            return Err(Failure::new(ErrorClass::Input, message));
        }
        let context = CallContext {
            cancel: self.context.cancel.clone(),
            sink: &|_| {},
            note: &|_| {},
            ..*self.context
        };
        let asked = self.ready.services.ask(chain, &request, most, Path::new("."), &context).await;
        let usage = match &asked {
            Ok((_, usage)) => Some(usage),
            Err((_, usage)) => usage.as_ref(),
        };
        if let Some(usage) = usage {
            let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
            *spent = spent.zip(usage.cost).map(|(all, own)| all + own);
        }
        asked.map_err(|(failure, _)| failure)
    }

    fn delta(&self, text: &str) -> bool {
        (self.context.sink)(text);
        !self.context.cancel.is_cancelled()
    }
}
