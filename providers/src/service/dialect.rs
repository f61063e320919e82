//! The seam to what differs between services.

use flow_core::error::Failure;

use super::batch::BatchDialect;
use super::told::Fault;
use super::{Ask, Endpoint, FileService, Told};
use crate::catalog::ModelFacts;
use crate::http::{Call, Event, Reply};

/// How a service is spoken to: pure functions between our words and its wire.
///
/// A dialect never decides what follows a failure, never counts money, and never sees a key
/// but to put it into a header field.
pub(crate) trait Dialect: Send + Sync {
    /// Whether the service fetches files by address; where it does not, they are fetched for
    /// it and sent.
    fn takes_urls(&self) -> bool {
        true
    }

    /// How files are uploaded to the service; none where it keeps no files.
    fn files(&self) -> Option<&dyn FileService> {
        None
    }

    /// Writes a request.
    fn generate(&self, ask: Ask<'_>) -> Result<Call, Failure>;

    /// Reads an answer that came whole. A success that is an error in disguise is a fault.
    fn read(&self, body: &[u8]) -> Result<Told, Fault>;

    /// How an answer comes in pieces, and what reads them.
    fn pieces(&self) -> (Framing, Box<dyn Pieces>);

    /// How the service is spoken to about batches; none where it has none.
    fn batches(&self) -> Option<&'static dyn BatchDialect> {
        None
    }

    /// Classifies an answer whose status is no success.
    fn refusal(&self, endpoint: &Endpoint, reply: &Reply) -> Fault;

    /// Writes the question for the models there are; from where an earlier answer left off.
    fn list(&self, endpoint: &Endpoint, after: Option<&str>) -> Call;

    /// Reads the models there are.
    fn read_list(&self, body: &[u8]) -> Result<Listed, Fault>;

    /// Writes a request for the vectors of texts; none where the service makes none.
    fn embed(
        &self,
        _endpoint: &Endpoint,
        _model: &str,
        _texts: &[String],
        _facts: &ModelFacts,
    ) -> Option<Call> {
        None
    }

    /// Reads the vectors, in the order of the texts, and what they took.
    fn read_embed(&self, _body: &[u8]) -> Result<(Vec<Vec<f32>>, super::Tokens), Fault> {
        Ok((Vec::new(), super::Tokens::default()))
    }
}

/// How the pieces of an answer are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Server-sent events.
    Events,
    /// JSON lines.
    Lines,
}

/// Reads an answer that comes in pieces.
pub(crate) trait Pieces: Send {
    /// Takes a piece, and says what it adds to the text. An error within the stream is a
    /// fault, whatever the status was.
    fn take(&mut self, event: &Event) -> Result<String, Fault>;

    /// What was said, once the stream has ended. One that ended before its last word is a
    /// fault of class `connection`.
    fn finish(&mut self) -> Result<Told, Fault>;

    /// What is known of the tokens so far, for a stream that broke off.
    fn tokens(&self) -> super::Tokens;
}

/// Models there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Their names.
    pub(crate) models: Vec<String>,
    /// Where the next answer goes on, if there are more.
    pub(crate) next: Option<String>,
}
