//! A request in the slow lane: its way into a batch, and to its answer.

use std::sync::Arc;
use std::time::Duration;

use flow_core::action::CallUsage;
use flow_core::batches::{BatchAccess, BatchItem};
use flow_core::content::ContentHash;
use flow_core::error::{ErrorClass, Failure};
use flow_core::provider::{Answer, CallContext, Lane, Part, Request};
use flow_core::units::Money;
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::WINDOW;
use super::course::Course;
use super::dialect::{BatchDialect, Became, Named, Rest};
use super::lane::{Joining, News, Place};
use super::results::Kept;
use crate::catalog::ModelFacts;
use crate::http::Reply;
use crate::service::came::Came;
use crate::service::served::stopped;
use crate::service::{Ask, Service, files};

/// Bytes around a request in a batch, at most.
const AROUND: u64 = 256;
/// How long the service is given to take back what nobody waits for.
const TAKING_BACK: Duration = Duration::from_secs(3);

/// How waiting for a batch ended.
enum Waited {
    /// Its answers are here.
    Ended(Arc<Kept>),
    /// The service never had it.
    NotSent,
}

impl Service {
    /// Which way a request goes that can wait for so long.
    pub(crate) fn lane_of(&self, request: &Request, left: Duration) -> Lane {
        let name = self.name();
        let usual = |why: Option<String>| Lane::Usual { why };
        if left < WINDOW {
            return usual(None);
        }
        match (self.dialect.batches(), self.endpoint.batch.wanted) {
            (None, _) => usual(Some(format!("provider `{name}` has no batches"))),
            (Some(_), _) if self.http.is_taped() => {
                usual(Some(format!("what `{name}` is asked goes alone where cassettes are used")))
            }
            (Some(_), Some(false)) => usual(None),
            (Some(_), None) if !self.endpoint.is_usual() => usual(Some(format!(
                "provider `{name}` is at an address of its own, whose batches want `batch: true`"
            ))),
            (Some(batches), Some(true) | None) if size(request) > batches.most().bytes => {
                usual(Some(format!("a request is too large for a batch of `{name}`")))
            }
            (Some(_), Some(true) | None) => Lane::Batch,
        }
    }

    /// Asks by a batch, where the request fits into one; none where it has to go alone.
    ///
    /// Ends soon after the context's token is cancelled. Dropping the future leaves the request
    /// where it is: in a batch that was sent it is found again.
    pub(crate) async fn by_batch(
        &self,
        request: &Request,
        context: &CallContext<'_>,
        access: &BatchAccess,
    ) -> Result<Option<Answer>, Failure> {
        let Some(batches) = self.dialect.batches() else { return Ok(None) };
        let facts = self.facts_of(request);
        self.refuse_retired(&request.model, &facts)?;
        let hash = self.hash_of(request);
        let mut anew = false;
        loop {
            let known = if anew { None } else { access.ledger.find(&access.asker, hash).await? };
            let again = known.is_some();
            let mut place = match known {
                Some(place) => self.batches.again(place, || self.course(batches, context, access)),
                None => match self.join(request, context, access, &facts, batches, hash).await? {
                    Some(place) => place,
                    None => return Ok(None),
                },
            };
            if place.first {
                let name = self.name();
                (context.log)(&match again {
                    true => format!("a batch of `{name}` that was sent before is waited for again"),
                    false => format!("joined a batch of `{name}`: answers come within 24 h"),
                });
            }
            let Waited::Ended(kept) = self.waited(&mut place, batches, context, access).await?
            else {
                continue;
            };
            self.batches.remember(&place, &kept);
            let became = kept.of(place.number, batches).await?;
            // What was cancelled in an earlier life was not by whoever asks now.
            if again && became == Became::Not(Rest::Cancelled) {
                anew = true;
                continue;
            }
            let nonce = &place.batch.board.named.nonce;
            access.ledger.handed(nonce, &access.asker, hash).await?;
            let came = Came { service: self, request, context, facts: &facts, turn: None };
            return self.read(&came, became).await.map(Some);
        }
    }

    /// Identity of what is asked: the request and whom it goes to, files by their content.
    fn hash_of(&self, request: &Request) -> ContentHash {
        let endpoint = &self.endpoint;
        ContentHash::of_json(&json!({
            "to": [endpoint.kind.as_str(), endpoint.base_url, endpoint.api],
            "request": request,
        }))
    }

    fn course(
        &self,
        batches: &'static dyn BatchDialect,
        context: &CallContext<'_>,
        access: &BatchAccess,
    ) -> Course {
        Course {
            endpoint: self.endpoint.clone(),
            dialect: Arc::clone(&self.dialect),
            batches,
            http: self.http.clone(),
            ledger: Arc::clone(&access.ledger),
            intake: context.intake.clone(),
        }
    }

    /// Joins a batch that is being gathered; none where the request is larger than a batch.
    async fn join(
        &self,
        request: &Request,
        context: &CallContext<'_>,
        access: &BatchAccess,
        facts: &ModelFacts,
        batches: &'static dyn BatchDialect,
        hash: ContentHash,
    ) -> Result<Option<Place>, Failure> {
        let fitted = self.fitted(request, facts, context).await?;
        let request = &*fitted.request;
        let turns = files::ready(request, &[], context).await?;
        let ask = Ask { endpoint: &self.endpoint, request, turns, facts, stream: false };
        let call = self.dialect.generate(ask)?;
        let bytes = call.body.length() + AROUND;
        if bytes > batches.most().bytes {
            let name = self.name();
            (context.log)(&format!(
                "too large for a batch of `{name}` ({bytes} bytes); asked as usual"
            ));
            return Ok(None);
        }
        let together = format!("{} {} {}", access.ledger.name(), request.model, call.url);
        let item = BatchItem { number: 0, asker: access.asker.clone(), hash };
        let named = || Named {
            nonce: format!("flow-{}", crate::random::name()),
            model: request.model.clone(),
        };
        let joining = Joining { item, call, bytes };
        let course = || self.course(batches, context, access);
        Ok(Some(self.batches.join(&together, joining, named, course)))
    }

    /// Waits until a batch has ended.
    async fn waited(
        &self,
        place: &mut Place,
        batches: &'static dyn BatchDialect,
        context: &CallContext<'_>,
        access: &BatchAccess,
    ) -> Result<Waited, Failure> {
        let mut news = place.batch.board.news.subscribe();
        let mut remote = None;
        loop {
            let now = news.borrow_and_update().clone();
            match now {
                News::Waiting => {}
                News::Sent { remote: id, items } => {
                    if place.first && remote.is_none() {
                        let (name, s) = (self.name(), if items == 1 { "" } else { "s" });
                        (context.log)(&format!("batch `{id}` of `{name}`: {items} request{s}"));
                    }
                    remote = Some(id);
                }
                News::Ended(kept) => return Ok(Waited::Ended(kept)),
                News::NotSent => return Ok(Waited::NotSent),
                News::Failed(failure) => return Err(failure),
            }
            tokio::select! {
                changed = news.changed() => {
                    if changed.is_err() {
                        return Err(Failure::internal("the task of a batch is gone"));
                    }
                }
                () = context.cancel.cancelled() => {
                    self.given_up(place, batches, remote, context, access).await;
                    return Err(stopped());
                }
            }
        }
    }

    /// Leaves a batch. One that nobody waits for any more is taken back, unless the run goes
    /// on later.
    async fn given_up(
        &self,
        place: &mut Place,
        batches: &'static dyn BatchDialect,
        remote: Option<String>,
        context: &CallContext<'_>,
        access: &BatchAccess,
    ) {
        let is_last = place.leave();
        let (name, Some(id)) = (self.name(), remote) else { return };
        if access.goes_on_later() {
            if place.first {
                (context.log)(&format!(
                    "batch `{id}` of `{name}` goes on: its answers are there when the run is resumed"
                ));
            }
            return;
        }
        let nonce = &place.batch.board.named.nonce;
        // Who cannot be asked whether somebody waits is taken to say so.
        let others = access.ledger.is_waited_for(nonce, &access.asker.run).await.unwrap_or(true);
        if !is_last || others {
            return;
        }
        let call = batches.cancel(&self.endpoint, &id);
        let (nobody, taking_back) = (CancellationToken::new(), TAKING_BACK);
        let sent = tokio::time::timeout(taking_back, self.http.send(call, &nobody)).await;
        (context.log)(&match sent {
            Ok(Ok(reply)) if (200..300).contains(&reply.status) => {
                format!("batch `{id}` of `{name}` was cancelled: nobody waits for it")
            }
            Ok(Ok(_) | Err(_)) | Err(_) => {
                format!("batch `{id}` of `{name}` could not be cancelled, and may be paid")
            }
        });
    }

    /// Reads what became of a request.
    async fn read(&self, came: &Came<'_>, became: Became) -> Result<Answer, Failure> {
        let name = self.name();
        let (class, why) = match became {
            Became::Answer { status, body, request_id } => {
                let mut headers = HeaderMap::new();
                let id = request_id.and_then(|id| HeaderValue::from_str(&id).ok());
                if let Some(id) = id {
                    headers.insert("x-request-id", id);
                }
                return came.reply(Reply { status, headers, body }).await;
            }
            Became::Not(Rest::Expired) => {
                (ErrorClass::Timeout, "the request expired in its batch before it was begun")
            }
            Became::Not(Rest::Cancelled) => (
                ErrorClass::Cancelled,
                "the batch of the request was cancelled before it was begun",
            ),
            Became::Not(Rest::Missing) => {
                (ErrorClass::Server, "the batch of the request ended without an answer to it")
            }
        };
        if class != ErrorClass::Server {
            // What was not begun is not billed.
            let usage = CallUsage { cost: Some(Money::ZERO), ..came.usage(&HeaderMap::new()) };
            (came.context.note)(usage);
        }
        Err(Failure::new(class, format!("provider `{name}`: {why}")))
    }
}

/// About how large a request is as it is sent, by the sizes of its files.
fn size(request: &Request) -> u64 {
    let of = |part: &Part| match (part, part.artifact()) {
        (Part::Text(text), _) => text.len() as u64,
        (_, Some(file)) => file.size.div_ceil(3).saturating_mul(4),
        (_, None) => 0,
    };
    request.messages.iter().flat_map(|message| &message.parts).map(of).sum()
}
