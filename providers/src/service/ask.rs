//! A request whose files are ready to be sent.

use flow_core::provider::{Request, Role};

use super::Endpoint;
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
