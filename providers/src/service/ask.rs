//! A request whose files are ready to be sent.

use std::collections::BTreeMap;

use flow_core::provider::{Request, Role};
use serde::Serialize;
use serde_json::Value;

use super::{Endpoint, overlay};
use crate::catalog::ModelFacts;
use crate::http::FilePart;

/// What a dialect writes a request from.
pub(crate) struct Ask<'a> {
    /// Whom it goes to.
    pub(crate) endpoint: &'a Endpoint,
    /// The request. Its messages are left out in favour of `turns`, whose files are ready.
    pub(crate) request: &'a Request,
    /// The conversation, the oldest turn first.
    pub(crate) turns: Vec<Turn>,
    /// What is known of the model.
    pub(crate) facts: &'a ModelFacts,
    /// Whether the answer is to come in pieces.
    pub(crate) stream: bool,
}

/// Options that say something to flow and not to a service.
const OURS: &[&str] = &["pages", "stream", "upload"];

impl Ask<'_> {
    /// The body of the request with the user's own fields laid over it.
    pub(crate) fn with_options(&self, body: &impl Serialize) -> Value {
        let mut body = serde_json::to_value(body).expect("wire types have string keys only");
        if let Value::Object(fields) = &mut body {
            let options = self.request.options.iter();
            overlay(fields, options.filter(|(name, _)| !OURS.contains(&name.as_str())));
        }
        body
    }
}

/// A turn of the conversation.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    /// Who speaks.
    pub(crate) role: Role,
    /// What is said, in order.
    pub(crate) parts: Vec<Content>,
}

/// A part of a turn.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// Text.
    Text(String),
    /// An image.
    Image(ReadyFile),
    /// A document.
    Document(ReadyFile),
    /// A video.
    Video(ReadyFile),
    /// A sound.
    Audio(ReadyFile),
}

/// A file that is ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct ReadyFile {
    /// Its media type, by its bytes; what its name says where it is at an address.
    pub(crate) media_type: String,
    /// Its name.
    pub(crate) name: String,
    /// Where the service finds it.
    pub(crate) place: Place,
    /// Fields of its part that are the service's own, e.g. `detail`.
    pub(crate) options: BTreeMap<String, Value>,
}

/// Where a service finds a file.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// In the request.
    Inline(FilePart),
    /// At an address that it fetches.
    Url(String),
    /// Among the files that were uploaded to it: its id, or its URI, as the service names it.
    Uploaded(String),
}
