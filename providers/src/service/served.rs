//! The provider that every dialect is: what is the same whoever answers.

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_core::action::{Admission, Quote};
use flow_core::error::{ErrorClass, Failure};
use flow_core::provider::{Answer, CallContext, Capabilities, Lane, Part, Provider, Request};
use flow_core::uploads::Upload;
use jiff::Timestamp;
use reqwest::header::HeaderMap;

use super::batch::Batches;
use super::came::{Came, is_whole};
use super::dialect::Dialect;
use super::fetch::Outside;
use super::files;
use super::fit::{Fit, Fitted};
use super::fitting::Fitting;
use super::told::Fault;
use super::upload::Uploader;
use super::{Ask, Endpoint, Flights, UploadOptions};
use crate::catalog::{Catalog, Day, ModelFacts};
use crate::http::{Http, Reply, retry_after};
use crate::limits::{Amount, Limits, Turn};

/// The most pages of a list of models that are asked for.
const LIST_PAGES: usize = 50;

/// A model service.
pub(crate) struct Service {
    pub(crate) endpoint: Endpoint,
    pub(crate) dialect: Arc<dyn Dialect>,
    pub(crate) http: Http,
    pub(crate) catalog: Catalog,
    pub(crate) outside: Outside,
    pub(crate) limits: Limits,
    pub(crate) fitting: Fitting,
    pub(crate) flights: Flights,
    pub(crate) batches: Batches,
}

#[async_trait]
impl Provider for Service {
    fn capabilities(&self, model: &str) -> Capabilities {
        self.facts(model).capabilities
    }

    fn fits(&self, request: &Request) -> Option<bool> {
        crate::catalog::fits(request, &self.facts_of(request))
    }

    fn quote(&self, request: &Request) -> Quote {
        crate::catalog::quote(request, &self.facts_of(request))
    }

    fn lane(&self, request: &Request, left: Duration) -> Lane {
        self.lane_of(request, left)
    }

    async fn admit(&self, request: &Request, order: u64) -> Result<Admission, Failure> {
        let amount = crate::catalog::amount(request, &self.facts(&request.model));
        Ok(Admission::held_by(self.turn(&request.model, order, amount).await))
    }

    async fn generate(
        &self,
        request: &Request,
        context: &CallContext<'_>,
    ) -> Result<Answer, Failure> {
        if let (true, Some(access)) = (request.by_batch, context.batches)
            && let Some(answer) = self.by_batch(request, context, access).await?
        {
            return Ok(answer);
        }
        if let Some(turn) = context.turn.holder::<Turn>() {
            turn.begun();
        }
        let facts = self.facts(&request.model);
        self.refuse_retired(&request.model, &facts)?;
        let request = &*match self.dialect.takes_urls() {
            true => Cow::Borrowed(request),
            false => self.outside.fetched(&self.endpoint.name, request, context).await?,
        };
        let fitted = self.fitted(request, &facts, context).await?;
        let request = &*fitted.request;
        let options = UploadOptions::read(&request.options)?;
        let Some(files) = self.dialect.files() else {
            return self.ask(request, &[], &facts, context).await;
        };
        let uploader = Uploader::new(self, files, options, context);
        let uploads = files::uploaded(request, &uploader, &facts).await?;
        let answer = self.ask(request, &uploads, &facts, context).await;
        // A file may be deleted there before it expires. Once more is enough to know.
        let gone: Vec<_> = match &answer {
            Err(failure) => uploads.iter().filter(|upload| is_gone(upload, failure)).collect(),
            Ok(_) => Vec::new(),
        };
        if gone.is_empty() {
            return answer;
        }
        for upload in gone {
            uploader.forget(upload).await?;
        }
        let uploads = files::uploaded(request, &uploader, &facts).await?;
        self.ask(request, &uploads, &facts, context).await
    }

    async fn embed(
        &self,
        model: &str,
        parts: &[Part],
        context: &CallContext<'_>,
    ) -> Result<Vec<Vec<Vec<f32>>>, Failure> {
        self.vectors(model, parts, context).await
    }

    async fn models(&self) -> Result<Vec<String>, Failure> {
        let (mut models, mut after) = (Vec::new(), None);
        for _ in 0..LIST_PAGES {
            let call = self.dialect.list(&self.endpoint, after.as_deref());
            let reply = self.http.send(call, &tokio_util::sync::CancellationToken::new()).await?;
            if !(200..300).contains(&reply.status) {
                return Err(self.refused(&reply, ""));
            }
            let listed = self.dialect.read_list(&reply.body);
            let listed =
                listed.map_err(|fault| self.failure(fault, &reply.headers, reply.status))?;
            models.extend(listed.models);
            after = listed.next;
            if after.is_none() {
                break;
            }
        }
        Ok(models)
    }

    async fn health(&self) -> Result<(), Failure> {
        self.models().await.map(drop)
    }
}

impl Service {
    /// Asks, with the files of `uploads` named and the others within the request.
    async fn ask(
        &self,
        request: &Request,
        uploads: &[Upload],
        facts: &ModelFacts,
        context: &CallContext<'_>,
    ) -> Result<Answer, Failure> {
        let turns = files::ready(request, uploads, context).await?;
        let stream = request.options.get("stream").and_then(serde_json::Value::as_bool);
        let stream = stream.unwrap_or(false);
        let ask = Ask { endpoint: &self.endpoint, request, turns, facts, stream };
        let call = self.dialect.generate(ask)?;
        self.refuse_too_large(&request.model, facts, call.body.length())?;
        let amount = || crate::catalog::amount(request, facts);
        let turn = &*self.turn_of(context, &request.model, amount).await?;
        turn.sent();
        let incoming = self.http.open(call, &context.cancel).await?;
        turn.answered(&incoming.headers);
        let came = Came { service: self, request, context, facts, turn: Some(turn) };
        let reading = async {
            match stream && incoming.is_success() && !is_whole(&incoming.headers) {
                true => came.in_pieces(incoming).await,
                false => came.whole(incoming).await,
            }
        };
        let answer = tokio::select! {
            answer = reading => answer,
            () = context.cancel.cancelled() => return Err(stopped()),
        };
        answer.inspect_err(|failure| turn.refused(failure))
    }

    pub(super) fn name(&self) -> &str {
        &self.endpoint.name
    }

    async fn turn(&self, model: &str, order: u64, amount: Amount) -> Turn {
        self.limits.admit(model, self.endpoint.models.limits(model), order, amount).await
    }

    /// The turn that a call was given; one it waits for now, where it came without.
    pub(super) async fn turn_of<'c>(
        &self,
        context: &CallContext<'c>,
        model: &str,
        amount: impl FnOnce() -> Amount + Send,
    ) -> Result<Held<'c>, Failure> {
        match context.turn.holder::<Turn>().filter(|turn| turn.is_of(&self.limits)) {
            Some(turn) => Ok(Held::Given(turn)),
            None => tokio::select! {
                turn = self.turn(model, context.order, amount()) => Ok(Held::Own(turn)),
                () = context.cancel.cancelled() => Err(stopped()),
            },
        }
    }

    /// What is known of a model today.
    pub(crate) fn facts(&self, model: &str) -> ModelFacts {
        self.catalog.facts(&self.endpoint, model, today())
    }

    /// The request with its files made such as the model takes them.
    pub(super) async fn fitted<'r>(
        &self,
        request: &'r Request,
        facts: &ModelFacts,
        context: &CallContext<'_>,
    ) -> Result<Fitted<'r>, Failure> {
        let fit = Fit {
            provider: &self.endpoint.name,
            model: &request.model,
            facts,
            fitting: &self.fitting,
            context,
        };
        tokio::select! {
            fitted = fit.request(request) => fitted,
            () = context.cancel.cancelled() => Err(stopped()),
        }
    }

    /// Refuses a request of so many bytes where the model takes fewer. Files that lie at the
    /// service are no part of it.
    fn refuse_too_large(
        &self,
        model: &str,
        facts: &ModelFacts,
        length: u64,
    ) -> Result<(), Failure> {
        let Some(most) = facts.request_bytes.filter(|most| length > *most) else {
            return Ok(());
        };
        let message = format!(
            "model `{}/{model}` takes requests of {most} bytes: this one has {length}",
            self.endpoint.name
        );
        let hint = "send fewer or smaller files at once; in base64 a file is a third larger";
        Err(Failure::new(ErrorClass::TooLarge, message).with_hint(hint))
    }

    /// What is known of the model of a request today, with the price that the request has.
    pub(super) fn facts_of(&self, request: &Request) -> ModelFacts {
        let facts = self.facts(&request.model);
        if request.by_batch { facts.in_batch() } else { facts }
    }

    pub(super) fn refuse_retired(&self, model: &str, facts: &ModelFacts) -> Result<(), Failure> {
        // What a model answered outlives it.
        let asked = self.endpoint.is_usual() && !self.http.is_replaying();
        let Some(retired) = facts.gone(today()).filter(|_| asked) else {
            return Ok(());
        };
        let name = &self.endpoint.name;
        let message = format!("model `{name}/{model}` was retired on {}", retired.since);
        let failure = Failure::new(ErrorClass::NotFound, message);
        Err(match &retired.successor {
            Some(successor) => failure.with_hint(format!("its successor is `{name}/{successor}`")),
            None => failure,
        })
    }

    /// The failure of a status that is no success.
    pub(super) fn refused(&self, reply: &Reply, model: &str) -> Failure {
        let fault = self.dialect.refusal(&self.endpoint, reply);
        let missing = fault.class == ErrorClass::NotFound && fault.hint.is_none();
        let mut failure = self.failure(fault, &reply.headers, reply.status);
        if missing && !model.is_empty() {
            failure.hint = self
                .catalog
                .successor(&self.endpoint, model)
                .map(|successor| format!("its successor is `{}/{successor}`", self.endpoint.name));
        }
        failure
    }

    pub(super) fn failure(&self, fault: Fault, headers: &HeaderMap, status: u16) -> Failure {
        self.endpoint.failure(fault, headers, status)
    }
}

impl Endpoint {
    /// A fault in the words of everybody: who, what, and how long to wait.
    pub(super) fn failure(&self, fault: Fault, headers: &HeaderMap, status: u16) -> Failure {
        let Fault { class, message, hint, retry_after: asked } = fault;
        let message = self.redactor.text(&message);
        let mut failure = Failure::new(class, format!("provider `{}`: {message}", self.name));
        failure.hint = hint;
        failure.retry_after = asked.or_else(|| retry_after(headers, Timestamp::now()));
        failure.status = Some(status);
        failure.request_id = self.request_id(headers);
        failure
    }

    /// The id of a request, as the services name it in a header field.
    pub(super) fn request_id(&self, headers: &HeaderMap) -> Option<String> {
        let names = ["x-request-id", "request-id", "x-goog-request-id"];
        let value = names.iter().find_map(|name| headers.get(*name))?;
        value.to_str().ok().map(|id| self.redactor.text(id))
    }
}

/// A turn that was given, or waited for here.
pub(super) enum Held<'c> {
    Given(&'c Turn),
    Own(Turn),
}

impl Deref for Held<'_> {
    type Target = Turn;

    fn deref(&self) -> &Turn {
        match self {
            Self::Given(turn) => turn,
            Self::Own(turn) => turn,
        }
    }
}

pub(super) fn stopped() -> Failure {
    Failure::new(ErrorClass::Cancelled, "the call was stopped")
}

/// Whether a failure says that a file is not there: it names it, and services differ in whether
/// one is missing or forbidden.
fn is_gone(upload: &Upload, failure: &Failure) -> bool {
    let name = upload.id.rsplit('/').next().unwrap_or_default();
    let named = !name.is_empty() && failure.message.contains(name);
    named && matches!(failure.status, Some(403 | 404 | 410))
}

/// The day, by which prices and ends of service count.
fn today() -> Day {
    Day::of(Timestamp::now())
}
