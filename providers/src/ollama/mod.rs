//! Ollama's own interface: `/api/chat`, `/api/embed`, `/api/tags`.
//!
//! Images travel as bare base64 beside the text of their turn; where they stand between texts,
//! the marker `[img]` says so. Ollama fetches nothing: an image at an address is fetched
//! before (`service/fetch.rs`). A schema is held by its grammar (`format`). There is no word
//! for documents, video, sound and `detail`: the first three are refused, the last is a wish
//! and left out. Left out as well: tools, thoughts (they are not part of the answer), pulling
//! models.
//!
//! `options` of a step may hold what Ollama names `options` (`num_ctx`, `top_k`, …) and what
//! stands beside it (`keep_alive`, `think`, …); each goes where it belongs.

mod address;
mod read;
mod wire;
mod write;

use flow_core::error::Failure;
use reqwest::Method;

use crate::catalog::ModelFacts;
use crate::http::{Body, Call, Reply};
use crate::service::{Ask, Dialect, Endpoint, Fault, Framing, Listed, Pieces, Tokens, Told};

pub(crate) use address::full;

/// How Ollama is spoken to.
#[derive(Debug)]
pub(crate) struct Ollama;

impl Dialect for Ollama {
    fn takes_urls(&self) -> bool {
        false
    }

    fn generate(&self, ask: Ask<'_>) -> Result<Call, Failure> {
        let body = write::chat(&ask)?;
        Ok(ask.endpoint.call(Method::POST, "/api/chat", body))
    }

    fn read(&self, body: &[u8]) -> Result<Told, Fault> {
        read::answer(body)
    }

    fn pieces(&self) -> (Framing, Box<dyn Pieces>) {
        (Framing::Lines, Box::<read::Lines>::default())
    }

    fn refusal(&self, _endpoint: &Endpoint, reply: &Reply) -> Fault {
        read::refusal(reply)
    }

    fn list(&self, endpoint: &Endpoint, _after: Option<&str>) -> Call {
        endpoint.call(Method::GET, "/api/tags", Body::Empty)
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
        let request = wire::Embed { model, input: texts };
        Some(endpoint.call(Method::POST, "/api/embed", Body::json(&request)))
    }

    fn read_embed(&self, body: &[u8]) -> Result<(Vec<Vec<f32>>, Tokens), Fault> {
        read::vectors(body)
    }
}
