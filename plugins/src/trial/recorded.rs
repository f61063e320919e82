//! Servers and models that answer as a case says, and nobody else.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use flow_core::action::CallUsage;
use flow_core::error::{ErrorClass, Failure};
use flow_core::plugin::{HttpClient, HttpRequest, HttpResponse};
use flow_core::provider::{Answer, Part, Request};
use flow_core::units::Money;
use serde_json::Value;

use super::case::{Case, Exchange, Reply};
use crate::seams::Outside;

/// Answers for the case that is tried, each once.
#[derive(Clone, Default)]
pub struct Recorded(Arc<Mutex<Answers>>);

#[derive(Default)]
struct Answers {
    http: Vec<Exchange>,
    models: Vec<Reply>,
    /// What was asked, and nobody answers.
    missed: Vec<String>,
}

impl Recorded {
    /// Takes the answers of a case.
    pub(super) fn begin(&self, case: &Case) {
        let (http, models) = (case.http.clone(), case.models.clone());
        *self.answers() = Answers { http, models, missed: Vec::new() };
    }

    /// What was asked and has no answer, and what answers were not asked for.
    pub(super) fn end(&self) -> Vec<String> {
        let answers = std::mem::take(&mut *self.answers());
        let unasked = answers.http.iter().map(|exchange| {
            format!("http: nobody asked for {} {}", exchange.request.method, exchange.request.url)
        });
        let silent =
            answers.models.iter().map(|reply| format!("models: nobody asked `{}`", reply.model));
        answers.missed.iter().cloned().chain(unasked).chain(silent).collect()
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a question without an answer, with the answers that there are.
    fn miss(&self, asked: &str, known: &[String]) -> Failure {
        let known = match known {
            [] => "the case has no answer left".to_owned(),
            known => format!("the case answers {}", known.join(", ")),
        };
        let line = format!("{asked}: {known}");
        self.answers().missed.push(line.clone());
        Failure::new(ErrorClass::NotFound, line)
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Whether a body is what a case says: by its data where it is JSON.
fn same_body(wanted: &Value, sent: Option<&[u8]>) -> bool {
    let sent = sent.unwrap_or_default();
    match wanted {
        Value::String(text) => text.as_bytes() == sent,
        data => serde_json::from_slice::<Value>(sent).is_ok_and(|sent| sent == *data),
    }
}

#[async_trait]
impl HttpClient for Recorded {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, Failure> {
        let mut answers = self.answers();
        let found = answers.http.iter().position(|exchange| {
            let Exchange { request: asked, .. } = exchange;
            asked.method == request.method
                && asked.url == request.url
                && asked.body.as_ref().is_none_or(|body| same_body(body, request.body.as_deref()))
        });
        let Some(found) = found else {
            let known = answers.http.iter().map(|exchange| {
                let body = exchange.request.body.as_ref().map(|body| format!(" with {body}"));
                let asked = &exchange.request;
                format!("{} {}{}", asked.method, asked.url, body.unwrap_or_default())
            });
            let known: Vec<_> = known.collect();
            drop(answers);
            let body = request.body.as_deref().map(String::from_utf8_lossy);
            let body = body.map(|body| format!(" with {body}")).unwrap_or_default();
            let line = format!("http: no answer for {} {}{body}", request.method, request.url);
            return Err(self.miss(&line, &known));
        };
        let Exchange { response, .. } = answers.http.remove(found);
        let headers = response.headers.into_iter();
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        let body =
            if response.body.is_null() { Vec::new() } else { text_of(&response.body).into() };
        Ok(HttpResponse { status: response.status, headers, body })
    }
}

#[async_trait]
impl Outside for Recorded {
    async fn ask(
        &self,
        model: &str,
        request: Request,
        _most: Option<Money>,
    ) -> Result<(Answer, CallUsage), Failure> {
        let parts = request.messages.iter().flat_map(|message| &message.parts);
        let asked: Vec<_> = parts
            .filter_map(|part| match part {
                Part::Text(text) => Some(text.as_str()),
                Part::Image(_) | Part::Document(_) | Part::Video(_) | Part::Audio(_) => None,
            })
            .collect();
        let asked = asked.join("\n");
        let mut answers = self.answers();
        let found = answers.models.iter().position(|reply| {
            reply.model == model && reply.prompt.as_ref().is_none_or(|text| asked.contains(text))
        });
        let Some(found) = found else {
            let known: Vec<_> =
                answers.models.iter().map(|reply| format!("`{}`", reply.model)).collect();
            drop(answers);
            return Err(self.miss(&format!("models: no answer of `{model}` to {asked:?}"), &known));
        };
        let reply = answers.models.remove(found);
        let usage = CallUsage { cost: Some(Money::ZERO), ..CallUsage::default() };
        Ok((Answer { text: text_of(&reply.answer) }, usage))
    }

    fn delta(&self, _text: &str) -> bool {
        true
    }
}
