//! The seam to services that keep files.
//!
//! Pure functions between our words and a service's wire, as a
//! [`Dialect`](super::Dialect) has them for questions; [`upload`](super::upload) drives them.

use jiff::Timestamp;

use super::{Endpoint, Fault};
use crate::http::{Call, FilePart, Reply};
use crate::part_kind::PartKind;

/// How files are brought to a service, looked after and removed.
pub(crate) trait FileService: Send + Sync {
    /// Whether what is too large for a request is uploaded though nobody asked for that.
    fn by_itself(&self, _endpoint: &Endpoint) -> bool {
        true
    }

    /// Whether a question may name an uploaded file of this kind and media type.
    fn takes(&self, kind: PartKind, media_type: &str) -> bool;

    /// Writes the request that an upload begins with.
    fn upload<'s>(&'s self, endpoint: &Endpoint, file: &Outgoing<'_>) -> Way<'s>;

    /// Writes the question how a file stands.
    fn look(&self, endpoint: &Endpoint, id: &str) -> Call;

    /// Reads what is said of a file.
    fn read(&self, body: &[u8]) -> Result<RemoteFile, Fault>;

    /// Writes the request to remove a file.
    fn delete(&self, endpoint: &Endpoint, id: &str) -> Call;
}

/// What follows the request that an upload begins with.
pub(crate) enum Way<'s> {
    /// Nothing: the file goes along with it.
    Whole(Call),
    /// Chunks.
    InChunks(Call, &'s dyn InChunks),
}

/// An upload in chunks, which can go on after one was broken off.
pub(crate) trait InChunks: Send + Sync {
    /// Reads where the chunks go.
    fn begun(&self, reply: &Reply) -> Result<Session, Fault>;

    /// Writes a chunk. The last one ends the upload, and may be empty.
    fn chunk(&self, endpoint: &Endpoint, session: &Session, part: FilePart, last: bool) -> Call;

    /// Writes the question how much has come.
    fn query(&self, endpoint: &Endpoint, session: &Session) -> Call;

    /// Reads the answer to a chunk or to a query. One that says nothing is a fault.
    fn received(&self, reply: &Reply) -> Result<Received, Fault>;
}

/// An upload under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    /// Where the chunks go. Whoever knows it can write there: it is told to nobody.
    pub(crate) url: String,
    /// What the length of each chunk but the last is a multiple of.
    pub(crate) granularity: u64,
}

/// How an upload in chunks stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// It goes on; so many bytes have come, where that is said.
    Active(Option<u64>),
    /// It is at its end; with the file, where the answer holds it.
    Final(Option<RemoteFile>),
    /// It was given up.
    Cancelled,
}

/// A file that is to be uploaded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing<'f> {
    /// Its bytes.
    pub(crate) part: &'f FilePart,
    /// Its name.
    pub(crate) name: &'f str,
    /// Its media type.
    pub(crate) media_type: &'f str,
}

/// A file as a service tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RemoteFile {
    /// Its id.
    pub(crate) id: String,
    /// How a question names it.
    pub(crate) uri: String,
    /// How it stands.
    pub(crate) state: RemoteState,
    /// When the service deletes it.
    pub(crate) expires: Option<Timestamp>,
}

/// How a file stands at a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RemoteState {
    /// The service is at work on it.
    Processing,
    /// It can be asked about.
    Ready,
    /// The service cannot use it, for this reason.
    Failed(String),
}
