//! One exchange while it is recorded.

use std::sync::Arc;

use bytes::Bytes;
use flow_core::error::{ErrorClass, Failure};
use reqwest::header::HeaderMap;
use tokio_util::sync::CancellationToken;

use super::Asked;
use super::exchange::{Exchange, Heard, Origin, Response};
use super::recorder::Recorder;
use crate::redact::Redactor;

/// Takes down what comes of a call.
///
/// It is kept when the answer has ended or broken off, or when whoever reads it has read enough
/// and drops it. One that flow itself stopped is not kept: what it would have been nobody knows.
pub(crate) struct Take {
    recorder: Arc<Recorder>,
    number: u64,
    redactor: Redactor,
    cancel: CancellationToken,
    /// None once it is kept.
    asked: Option<Asked>,
    heard: Option<Heard>,
}

impl Take {
    pub(super) fn new(
        recorder: Arc<Recorder>,
        asked: Asked,
        redactor: Redactor,
        cancel: CancellationToken,
    ) -> Self {
        let number = recorder.next();
        Self { recorder, number, redactor, cancel, asked: Some(asked), heard: None }
    }

    /// The head of the answer is there.
    pub(crate) fn answered(&mut self, status: u16, headers: &HeaderMap) {
        let headers = headers.clone();
        self.heard = Some(Heard { status, headers, ..Heard::default() });
    }

    /// The next bytes are there, or the end, or what broke the answer off.
    pub(crate) fn came(&mut self, next: Option<&Result<Bytes, Failure>>) {
        match (next, &mut self.heard) {
            (Some(Ok(bytes)), Some(heard)) => heard.pieces.push(bytes.clone()),
            (Some(Ok(_)), None) => {}
            (Some(Err(failure)), _) => self.keep(Some(failure)),
            (None, _) => self.keep(None),
        }
    }

    /// All of the answer is there.
    pub(crate) fn whole(mut self, heard: Heard) {
        self.heard = Some(heard);
        self.keep(None);
    }

    /// There is no answer.
    pub(crate) fn broke(mut self, failure: &Failure) {
        self.keep(Some(failure));
    }

    fn keep(&mut self, failure: Option<&Failure>) {
        let (Some(asked), heard) = (self.asked.take(), self.heard.take()) else { return };
        let stopped = failure.is_some_and(|failure| failure.class == ErrorClass::Cancelled);
        if stopped || self.cancel.is_cancelled() {
            return;
        }
        let redactor = &self.redactor;
        let failure = failure.map(|failure| Failure {
            hint: failure.hint.as_deref().map(|hint| redactor.text(hint)),
            ..Failure::new(failure.class, redactor.text(&failure.message))
        });
        let response = heard.map(|heard| Response::of(heard, redactor));
        let exchange = Exchange { origin: Origin::Recorded, asked, response, failure };
        self.recorder.keep(self.number, &exchange);
    }
}

impl Drop for Take {
    fn drop(&mut self) {
        // Before the head is there, a call is only dropped with its step.
        if self.heard.is_some() {
            self.keep(None);
        }
    }
}
