//! Gemini's `generateContent` and its kin.
//!
//! The version of the interface (`v1`, `v1beta`) is part of the provider's `base_url`. A schema
//! goes as `responseJsonSchema`; `detail` is the resolution of media, and a video takes `fps`,
//! `start` and `end`. Safety settings, thinking and tools are `options`. A prompt that is
//! blocked is a success without an answer there, and a fault here. Left out: continuing an
//! answer that was cut by the limit of one request, which is told as cut.

mod batch;
mod fault;
mod files;
mod pieces;
mod read;
mod schema;
mod wire;
mod write;

use flow_core::error::Failure;
use reqwest::Method;

use crate::catalog::ModelFacts;
use crate::http::{Body, Call, Reply};
use crate::service::batch::BatchDialect;
use crate::service::{
    Ask, Dialect, Endpoint, Fault, FileService, Framing, Listed, Pieces, Tokens, Told,
};

/// Models on a page of the list: the most that are given.
const PAGE: u32 = 1000;

/// How Gemini is spoken to.
#[derive(Debug)]
pub(crate) struct Gemini;

impl Dialect for Gemini {
    fn files(&self) -> Option<&dyn FileService> {
        Some(self)
    }

    fn generate(&self, ask: Ask<'_>) -> Result<Call, Failure> {
        let method = if ask.stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
        let path = path_of(&ask.request.model, method);
        Ok(ask.endpoint.call(Method::POST, &path, write::body(&ask)?))
    }

    fn read(&self, body: &[u8]) -> Result<Told, Fault> {
        read::answer(body)
    }

    fn pieces(&self) -> (Framing, Box<dyn Pieces>) {
        (Framing::Events, Box::new(pieces::Pieces::default()))
    }

    fn batches(&self) -> Option<&'static dyn BatchDialect> {
        Some(&batch::Batches)
    }

    fn refusal(&self, endpoint: &Endpoint, reply: &Reply) -> Fault {
        fault::refusal(&endpoint.name, reply)
    }

    fn list(&self, endpoint: &Endpoint, after: Option<&str>) -> Call {
        let after = after.map(|token| format!("&pageToken={}", in_path(token))).unwrap_or_default();
        let path = format!("/models?pageSize={PAGE}{after}");
        let call = endpoint.call(Method::GET, &path, Body::Empty);
        // Its own library says so of every request.
        call.header("content-type", "application/json")
    }

    fn read_list(&self, body: &[u8]) -> Result<Listed, Fault> {
        read::models(body)
    }

    fn embed(
        &self,
        endpoint: &Endpoint,
        model: &str,
        texts: &[String],
        _facts: &ModelFacts,
    ) -> Option<Call> {
        let path = path_of(model, "batchEmbedContents");
        Some(endpoint.call(Method::POST, &path, write::embed(model, texts)))
    }

    fn read_embed(&self, body: &[u8]) -> Result<(Vec<Vec<f32>>, Tokens), Fault> {
        read::embedded(body)
    }
}

fn path_of(model: &str, method: &str) -> String {
    format!("/{}:{method}", in_path(&write::full_name(model)))
}

/// A text as it stands in an address, slashes left alone.
fn in_path(text: &str) -> String {
    let mut path = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'-' | b'.' | b'_' | b'~' | b'/' => path.push(byte.into()),
            _ if byte.is_ascii_alphanumeric() => path.push(byte.into()),
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
    path
}
