//! Anthropic's Messages interface.
//!
//! Both of its versions are spoken: `2023-06-01`, which is the usual one, and those from
//! `2026-10-21` on (`version:` of the provider), which differ in how the key is sent and in
//! what the service takes. Sampling settings are sent only where they were set, and refused
//! where the catalogue knows that a model takes none. There is no seed and no `detail`: the
//! one is refused, the other is a wish and left out. Left out as well: tools of the user's
//! own (but as `options`), thoughts, citations.

mod batch;
mod files;
mod pieces;
mod read;
mod schema;
mod wire;
mod write;

use flow_core::error::Failure;
use reqwest::Method;

use crate::http::{Body, Call, Reply};
use crate::service::batch::BatchDialect;
use crate::service::{
    Ask, Content, Dialect, Endpoint, Fault, FileService, Framing, Listed, Pieces, Place, Told,
};

/// The version that is spoken where the settings name none.
const VERSION: &str = "2023-06-01";
/// The version from which on files that were uploaded are no trial any more.
const FILES_VERSION: &str = "2026-10-21";
/// Models on a page of the list: the most that are given.
const PAGE: u32 = 1000;

/// How Anthropic is spoken to.
#[derive(Debug)]
pub(crate) struct Anthropic;

impl Dialect for Anthropic {
    fn files(&self) -> Option<&dyn FileService> {
        Some(self)
    }

    fn generate(&self, ask: Ask<'_>) -> Result<Call, Failure> {
        let body = write::body(&ask)?;
        let is_trial = version(ask.endpoint) < FILES_VERSION && names_uploaded_files(&ask);
        let path = if is_trial { "/v1/messages?beta=true" } else { "/v1/messages" };
        let call = called(ask.endpoint, Method::POST, path, body);
        Ok(if is_trial { trial(call) } else { call })
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
        read::refusal(&endpoint.name, reply)
    }

    fn list(&self, endpoint: &Endpoint, after: Option<&str>) -> Call {
        let after = after.map(|id| format!("&after_id={id}")).unwrap_or_default();
        let path = format!("/v1/models?limit={PAGE}{after}");
        called(endpoint, Method::GET, &path, Body::Empty)
    }

    fn read_list(&self, body: &[u8]) -> Result<Listed, Fault> {
        read::models(body)
    }
}

fn version(endpoint: &Endpoint) -> &str {
    endpoint.version.as_deref().unwrap_or(VERSION)
}

fn called(endpoint: &Endpoint, method: Method, path: &str, body: Body) -> Call {
    endpoint.call(method, path, body).header("anthropic-version", version(endpoint))
}

/// Says that files which were uploaded are spoken of, which is a trial in the older version.
fn trial(call: Call) -> Call {
    call.header("anthropic-beta", "files-api-2025-04-14")
}

fn names_uploaded_files(ask: &Ask<'_>) -> bool {
    ask.turns.iter().flat_map(|turn| &turn.parts).any(|part| match part {
        Content::Text(_) => false,
        Content::Image(file)
        | Content::Document(file)
        | Content::Video(file)
        | Content::Audio(file) => matches!(file.place, Place::Uploaded(_)),
    })
}
