//! A provider whose answers come from a cassette: nobody waits for a turn, and nothing is paid.

use std::sync::Arc;

use async_trait::async_trait;
use flow_core::action::{CallUsage, Quote};
use flow_core::error::Failure;
use flow_core::provider::{Answer, CallContext, Capabilities, Part, Provider, Request};
use flow_core::units::Money;

/// A provider that is replayed.
pub(crate) struct Replayed(pub(crate) Arc<dyn Provider>);

/// What a replayed call took: the tokens of then, and no money now.
fn replayed(usage: CallUsage) -> CallUsage {
    CallUsage { cost: Some(Money::ZERO), replayed: true, ..usage }
}

#[async_trait]
impl Provider for Replayed {
    fn capabilities(&self, model: &str) -> Capabilities {
        self.0.capabilities(model)
    }

    fn fits(&self, request: &Request) -> Option<bool> {
        self.0.fits(request)
    }

    fn quote(&self, _request: &Request) -> Quote {
        Quote::Free
    }

    async fn generate(
        &self,
        request: &Request,
        context: &CallContext<'_>,
    ) -> Result<Answer, Failure> {
        let note = |usage| (context.note)(replayed(usage));
        self.0.generate(request, &noting(context, &note)).await
    }

    async fn embed(
        &self,
        model: &str,
        parts: &[Part],
        context: &CallContext<'_>,
    ) -> Result<Vec<Vec<Vec<f32>>>, Failure> {
        let note = |usage| (context.note)(replayed(usage));
        self.0.embed(model, parts, &noting(context, &note)).await
    }

    async fn score(
        &self,
        request: &Request,
        labels: &[String],
        context: &CallContext<'_>,
    ) -> Result<Vec<f64>, Failure> {
        let note = |usage| (context.note)(replayed(usage));
        self.0.score(request, labels, &noting(context, &note)).await
    }

    async fn models(&self) -> Result<Vec<String>, Failure> {
        self.0.models().await
    }

    async fn health(&self) -> Result<(), Failure> {
        self.0.health().await
    }
}

/// The context with another place to note what a call took.
fn noting<'c>(
    context: &CallContext<'c>,
    note: &'c (dyn Fn(CallUsage) + Send + Sync),
) -> CallContext<'c> {
    CallContext {
        intake: context.intake,
        uploads: context.uploads,
        batches: context.batches,
        caller: context.caller,
        turn: context.turn,
        order: context.order,
        cancel: context.cancel.clone(),
        sink: context.sink,
        log: context.log,
        note,
    }
}
