//! Questions that somebody else asks for a step: a plugin that was granted models.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use flow_core::action::{CallUsage, Quote};
use flow_core::error::{ErrorClass, Failure};
use flow_core::language::ModelChoice;
use flow_core::plugin::Models;
use flow_core::provider::{Answer, CallContext, Request};
use flow_core::units::Money;

use crate::generate::refuse_what_it_cannot_take;
use crate::registry::Providers;

/// There is no other try of a model, for the step around it has those.
#[async_trait]
impl Models for Providers {
    async fn ask(
        &self,
        chain: &[ModelChoice],
        request: &Request,
        most: Option<Money>,
        folder: &Path,
        context: &CallContext<'_>,
    ) -> Result<(Answer, CallUsage), (Failure, Option<CallUsage>)> {
        let mut last = (Failure::internal("the chain of models is empty"), None);
        for choice in chain {
            match self.ask_one(choice, request, most, folder, context).await {
                Ok(answered) => return Ok(answered),
                Err(failed) => last = failed,
            }
            // What was taken is paid, and nobody would add up what several took.
            if last.1.is_some() || context.cancel.is_cancelled() {
                break;
            }
        }
        Err(last)
    }
}

impl Providers {
    async fn ask_one(
        &self,
        choice: &ModelChoice,
        request: &Request,
        most: Option<Money>,
        folder: &Path,
        context: &CallContext<'_>,
    ) -> Result<(Answer, CallUsage), (Failure, Option<CallUsage>)> {
        let free = |failure| (failure, None);
        let provider = self.of(choice, folder).map_err(free)?;
        let request = Request { model: choice.model.clone(), ..request.clone() };
        refuse_what_it_cannot_take(choice, &request, &*provider).map_err(free)?;
        affordable(choice, provider.quote(&request), most).map_err(free)?;
        let turn = provider.admit(&request, context.order).await.map_err(free)?;
        let noted = Mutex::new(None);
        let note = |usage| *noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(usage);
        let call = CallContext {
            turn: &turn,
            batches: None,
            note: &note,
            cancel: context.cancel.clone(),
            ..*context
        };
        let answer = provider.generate(&request, &call).await;
        let usage = noted.into_inner().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(answer) => Ok((answer, usage.unwrap_or_default())),
            Err(failure) => Err((failure, usage)),
        }
    }
}

/// Refuses a question that may cost more than there is for it.
fn affordable(choice: &ModelChoice, quote: Quote, most: Option<Money>) -> Result<(), Failure> {
    let Some(most) = most else { return Ok(()) };
    let model = format!("`{}/{}`", choice.provider, choice.model);
    let message = match quote {
        Quote::Free => return Ok(()),
        Quote::AtMost(cost) if cost <= most => return Ok(()),
        Quote::AtMost(cost) => {
            format!("a question to {model} may cost {cost}, and {most} is left of `max_cost`")
        }
        Quote::Unknown => format!("the price of {model} is unknown, and there is a `max_cost`"),
    };
    Err(Failure::new(ErrorClass::Budget, message))
}
