//! An answer that comes in: kept before it is read, and told as it comes.

use flow_core::action::CallUsage;
use flow_core::error::{ErrorClass, Failure};
use flow_core::provider::{Answer, CallContext, Request};
use futures::StreamExt;
use reqwest::header::HeaderMap;

use super::Service;
use super::dialect::Framing;
use super::told::{Fault, Finish, Tokens, Told};
use crate::catalog::ModelFacts;
use crate::http::{Event, Incoming, Reply, events, json_lines};
use crate::limits::{Amount, Turn};
use crate::redact::Redactor;

/// Whether an answer says that it comes whole, though it was asked for in pieces.
pub(super) fn is_whole(headers: &HeaderMap) -> bool {
    let media = headers.get(reqwest::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    media.is_some_and(|media| media.starts_with("application/json"))
}

/// An answer that comes in.
pub(super) struct Came<'a> {
    pub(super) service: &'a Service,
    pub(super) request: &'a Request,
    pub(super) context: &'a CallContext<'a>,
    pub(super) facts: &'a ModelFacts,
    /// The turn of the call; none of what went by a batch.
    pub(super) turn: Option<&'a Turn>,
}

impl Came<'_> {
    pub(super) async fn whole(&self, incoming: Incoming) -> Result<Answer, Failure> {
        self.reply(incoming.read().await?).await
    }

    /// Keeps a reply, and makes an answer or a failure of it.
    pub(super) async fn reply(&self, reply: Reply) -> Result<Answer, Failure> {
        let raw = self.service.endpoint.redactor.bytes(reply.body.clone());
        let raw = self.context.intake.keep(raw, "reply").await?.to_value();
        if !(200..300).contains(&reply.status) {
            // A refusal to serve costs nothing, and its reply is kept all the same.
            let usage = CallUsage {
                cost: Some(flow_core::units::Money::ZERO),
                ..self.usage(&reply.headers)
            };
            (self.context.note)(CallUsage { raw: Some(raw), ..usage });
            self.used(Amount::default());
            return Err(self.service.refused(&reply, &self.request.model));
        }
        let told = self.service.dialect.read(&reply.body);
        self.answer(told, Tokens::default(), raw, &reply.headers, reply.status)
    }

    pub(super) async fn in_pieces(&self, incoming: Incoming) -> Result<Answer, Failure> {
        let (headers, status) = (incoming.headers.clone(), incoming.status);
        let (framing, mut pieces) = self.service.dialect.pieces();
        let mut raw = Vec::new();
        let redactor = &self.service.endpoint.redactor;
        let (mut said, mut shown) = (String::new(), redactor.pieces());
        let mut read = match framing {
            Framing::Events => events(incoming).boxed(),
            Framing::Lines => json_lines(incoming).boxed(),
        };
        let mut broken = None;
        let mut fault = None;
        while let Some(event) = read.next().await {
            match event {
                Ok(event) => {
                    keep(&mut raw, &event);
                    match pieces.take(&event) {
                        Ok(text) if text.is_empty() => {}
                        Ok(text) => {
                            said.push_str(&text);
                            tell(self.context, &shown.take(&text));
                        }
                        Err(found) => {
                            fault = Some(found);
                            break;
                        }
                    }
                }
                Err(failure) => {
                    broken = Some(failure);
                    break;
                }
            }
        }
        tell(self.context, &shown.rest());
        let raw = kept(redactor, &raw, &said);
        let raw = self.context.intake.keep(raw, "reply").await?.to_value();
        if let Some(failure) = broken {
            self.note(pieces.tokens(), None, None, raw, &headers);
            return Err(failure);
        }
        let so_far = pieces.tokens();
        let told = match fault {
            Some(fault) => Err(fault),
            None => pieces.finish(),
        };
        self.answer(told, so_far, raw, &headers, status)
    }

    /// Notes what was told, and makes an answer or a failure of it.
    fn answer(
        &self,
        told: Result<Told, Fault>,
        so_far: Tokens,
        raw: serde_json::Value,
        headers: &HeaderMap,
        status: u16,
    ) -> Result<Answer, Failure> {
        // A secret that was spelled with escapes on the wire is plain only now.
        let told = match told {
            Ok(told) => told.without_secrets(&self.service.endpoint.redactor),
            Err(fault) => {
                self.note(so_far, None, None, raw, headers);
                return Err(self.service.failure(fault, headers, status));
            }
        };
        self.note(told.tokens, told.model.clone(), Some(&told.finish), raw, headers);
        let name = format!("{}/{}", self.service.endpoint.name, self.request.model);
        let failed = |class, message| {
            let mut failure = Failure::new(class, message);
            failure.request_id = self.service.endpoint.request_id(headers);
            Err(failure)
        };
        let empty = told.text.trim().is_empty();
        match told.finish {
            Finish::Refused(words) => {
                let words = if words.is_empty() { "without a word".into() } else { words };
                failed(ErrorClass::Refusal, format!("model `{name}` declined: {words}"))
            }
            Finish::Filtered(by) => failed(
                ErrorClass::ContentFilter,
                format!("the answer of model `{name}` was withheld: {by}"),
            ),
            Finish::Length => {
                let failure = Failure::new(
                    ErrorClass::Truncated,
                    format!("the answer of model `{name}` was cut at its limit of tokens"),
                );
                Err(failure.with_hint("raise `max_tokens`"))
            }
            Finish::Stop | Finish::Other(_) if empty => {
                failed(ErrorClass::Empty, format!("model `{name}` answered nothing"))
            }
            Finish::Stop | Finish::Other(_) => Ok(Answer { text: told.text }),
        }
    }

    fn note(
        &self,
        tokens: Tokens,
        model: Option<String>,
        finish: Option<&Finish>,
        raw: serde_json::Value,
        headers: &HeaderMap,
    ) {
        let usage = self.usage(headers);
        if let Some(input) = tokens.input {
            self.used(Amount { input, output: tokens.output.unwrap_or_default() });
        }
        (self.context.note)(CallUsage {
            model: model.unwrap_or(usage.model),
            input_tokens: tokens.input,
            output_tokens: tokens.output,
            cost: self.facts.price.and_then(|price| price.of(&tokens)),
            finish: finish.map(|finish| finish.as_str().to_owned()),
            raw: Some(raw),
            ..usage
        });
    }

    fn used(&self, amount: Amount) {
        if let Some(turn) = self.turn {
            turn.used(amount);
        }
    }

    pub(super) fn usage(&self, headers: &HeaderMap) -> CallUsage {
        CallUsage {
            provider: self.service.endpoint.name.clone(),
            model: self.request.model.clone(),
            request_id: self.service.endpoint.request_id(headers),
            ..CallUsage::default()
        }
    }
}

/// Tells a piece of text to whoever watches.
fn tell(context: &CallContext<'_>, text: &str) {
    if !text.is_empty() {
        (context.sink)(text);
    }
}

/// The raw reply of a stream as it is kept. One whose text spells a secret that no piece of it
/// holds whole is not kept: it could be put together again.
fn kept(redactor: &Redactor, raw: &[u8], said: &str) -> Vec<u8> {
    let plain = redactor.bytes(raw.to_vec());
    match plain == raw && redactor.text(said) != said {
        true => b"withheld: the pieces of the reply spell a secret".to_vec(),
        false => plain,
    }
}

/// Keeps a piece as it came, so that the raw reply of a stream can be read again.
fn keep(raw: &mut Vec<u8>, event: &Event) {
    if !event.name.is_empty() {
        raw.extend_from_slice(format!("event: {}\n", event.name).as_bytes());
    }
    raw.extend_from_slice(b"data: ");
    raw.extend_from_slice(event.data.as_bytes());
    raw.extend_from_slice(b"\n\n");
}
