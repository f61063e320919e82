//! A provider that is a plugin, under the name that the workflow gives it.
//!
//! The plugin is whoever runs it; here it is given the name that rows and messages show, and the
//! price that the workflow says, for a plugin's own word on money binds nobody.

use std::time::Duration;

use std::sync::Arc;

use async_trait::async_trait;
use flow_core::action::{Admission, CallUsage, Quote};
use flow_core::error::Failure;
use flow_core::provider::{Answer, CallContext, Capabilities, Lane, Part, Provider, Request};
use flow_core::units::Money;

use crate::service::batch::WINDOW;

/// A plugin as a provider of a workflow.
pub(crate) struct Plugged {
    name: String,
    plugin: Arc<dyn Provider>,
    price: Option<Money>,
}

impl Plugged {
    pub(crate) fn new(name: String, plugin: Arc<dyn Provider>, price: Option<Money>) -> Self {
        Self { name, plugin, price }
    }

    /// What a call took, under the workflow's name and at its price.
    fn booked(&self, usage: CallUsage) -> CallUsage {
        let cost = self.price.or(usage.cost);
        CallUsage { provider: self.name.clone(), cost, ..usage }
    }
}

#[async_trait]
impl Provider for Plugged {
    fn capabilities(&self, model: &str) -> Capabilities {
        self.plugin.capabilities(model)
    }

    fn quote(&self, request: &Request) -> Quote {
        self.price.map_or_else(|| self.plugin.quote(request), Quote::AtMost)
    }

    fn lane(&self, _request: &Request, left: Duration) -> Lane {
        let why = || format!("provider `{}` has no batches", self.name);
        Lane::Usual { why: (left >= WINDOW).then(why) }
    }

    async fn admit(&self, request: &Request, order: u64) -> Result<Admission, Failure> {
        self.plugin.admit(request, order).await
    }

    async fn generate(
        &self,
        request: &Request,
        context: &CallContext<'_>,
    ) -> Result<Answer, Failure> {
        let note = |usage: CallUsage| (context.note)(self.booked(usage));
        self.plugin.generate(request, &CallContext { note: &note, ..again(context) }).await
    }

    async fn embed(
        &self,
        model: &str,
        parts: &[Part],
        context: &CallContext<'_>,
    ) -> Result<Vec<Vec<Vec<f32>>>, Failure> {
        self.plugin.embed(model, parts, context).await
    }

    async fn models(&self) -> Result<Vec<String>, Failure> {
        self.plugin.models().await
    }

    async fn health(&self) -> Result<(), Failure> {
        self.plugin.health().await
    }
}

fn again<'c>(context: &CallContext<'c>) -> CallContext<'c> {
    CallContext { cancel: context.cancel.clone(), ..*context }
}
