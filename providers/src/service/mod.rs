//! Model services that are reached over HTTP: what they share, and the seam to what differs.
//!
//! ```text
//! Request ─► fit ─► ready files ─► Dialect::generate ─► Http ─► raw reply kept ─► Dialect::read ─► Told
//!        (scale,   (upload,       (the service's       (one      (before it is      (what it said,
//!         convert)  inline)        wire types)          path)     parsed)            and what it took)
//! ```
//!
//! A file that a question cannot hold, or that many ask about, is uploaded first
//! ([`FileService`] is the seam, [`upload`] the way, [`files`] decides).
//!
//! A [`Dialect`] holds the wire types of a service and nothing else: it writes requests and
//! reads answers, without a clock, a network or a file. [`Service`] does the rest the same way
//! for all: it is the one [`Provider`](flow_core::provider::Provider) of this module, decides
//! what is sent inline and what is uploaded, keeps the raw reply, and turns what the dialect
//! was [told](Told) into an answer or a failure of the one vocabulary.

mod ask;
pub(crate) mod batch;
mod came;
mod dialect;
mod embed;
mod endpoint;
mod fetch;
mod file_service;
mod files;
mod fit;
mod fitting;
mod flights;
mod options;
mod picture;
mod scale;
mod sending;
mod served;
mod shown;
mod status;
mod tidy;
mod told;
mod upload;
mod upload_options;

pub(crate) use ask::{Ask, Content, Place, ReadyFile, Turn};
pub(crate) use dialect::{Dialect, Framing, Listed, Pieces};
pub(crate) use endpoint::{Endpoint, Kind};
pub(crate) use fetch::{Outside, not_public};
pub(crate) use file_service::{
    FileService, InChunks, Outgoing, Received, RemoteFile, RemoteState, Session, Way,
};
pub(crate) use fit::Fit;
pub(crate) use fitting::Fitting;
pub(crate) use flights::Flights;
pub(crate) use options::overlay;
pub(crate) use served::Service;
pub(crate) use status::{class_of_status, cut_off, fault_of_status, heeding_should_retry, parse};
pub(crate) use told::{Fault, Finish, Tokens, Told};
pub(crate) use upload_options::UploadOptions;
