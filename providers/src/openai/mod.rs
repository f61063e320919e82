//! OpenAI, and whatever speaks its protocol: vLLM, llama-server, LM Studio, gateways.
//!
//! ```text
//! api: chat (default)   POST /chat/completions   chat.rs       wire.rs   pieces.rs
//! api: responses        POST /responses          responses.rs
//! both                  POST /embeddings, GET /models, /files, errors, the rewriting of schemas
//! ```
//!
//! What is sent is what the official library sends for the same question. Answers are read
//! leniently, for servers that speak the protocol leave fields out. Left out: calls of tools,
//! and several choices.

mod batch;
mod chat;
mod embeddings;
mod fault;
mod files;
mod models;
mod pieces;
mod responses;
mod responses_wire;
mod schema;
mod wire;

use std::sync::Arc;

use flow_core::error::{ErrorClass, Failure};

use crate::http::Attachments;
use crate::service::{Ask, Dialect, Endpoint, Place, ReadyFile};

/// How an endpoint is spoken to, by its `api`.
pub(crate) fn dialect(endpoint: &Endpoint) -> Result<Arc<dyn Dialect>, Failure> {
    match endpoint.api.as_deref() {
        None | Some("chat") => Ok(Arc::new(chat::Chat)),
        Some("responses") => Ok(Arc::new(responses::Responses)),
        Some(other) => {
            let name = &endpoint.name;
            let message = format!("provider `{name}`: `api: {other}` is not spoken");
            Err(Failure::input(message).with_hint("it is `chat` or `responses`"))
        }
    }
}

/// The bytes of a file as an address that holds them; none where it is elsewhere.
fn data_url(file: &ReadyFile, files: &mut Attachments) -> Option<String> {
    match &file.place {
        Place::Inline(part) => {
            Some(format!("data:{};base64,{}", file.media_type, files.base64(part.clone())))
        }
        Place::Url(_) | Place::Uploaded(_) => None,
    }
}

/// How closely an image is looked at: what its part says, else the step.
fn detail(file: &ReadyFile, ask: &Ask<'_>) -> Option<String> {
    let own = file.options.get("detail").and_then(serde_json::Value::as_str);
    own.or(ask.request.detail.as_deref()).map(str::to_owned)
}

/// Says that something cannot be sent in this protocol.
fn cannot(ask: &Ask<'_>, what: &str) -> Failure {
    let name = format!("{}/{}", ask.endpoint.name, ask.request.model);
    Failure::new(ErrorClass::BadRequest, format!("model `{name}` takes no {what}"))
}
