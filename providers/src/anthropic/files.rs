//! Files that are uploaded for questions, each in one request.
//!
//! The service keeps them until they are removed. In the older version of the interface they
//! are a trial, and every request says that it takes part.

use reqwest::Method;
use serde::Deserialize;

use super::write::IMAGES;
use super::{Anthropic, FILES_VERSION, called, trial, version};
use crate::http::{Body, Call, Form};
use crate::part_kind::PartKind;
use crate::service::{Endpoint, Fault, FileService, Outgoing, RemoteFile, RemoteState, Way, parse};

/// A file as it is told of.
#[derive(Debug, Deserialize)]
struct File {
    id: String,
}

impl FileService for Anthropic {
    fn takes(&self, kind: PartKind, media_type: &str) -> bool {
        match kind {
            PartKind::Image => IMAGES.contains(&media_type),
            PartKind::Document => matches!(media_type, "application/pdf" | "text/plain"),
            PartKind::Video | PartKind::Audio => false,
        }
    }

    fn upload<'s>(&'s self, endpoint: &Endpoint, file: &Outgoing<'_>) -> Way<'s> {
        let form = Form::new().file("file", file.name, file.media_type, file.part.clone());
        Way::Whole(call(endpoint, Method::POST, "/v1/files", form.into_body()))
    }

    fn look(&self, endpoint: &Endpoint, id: &str) -> Call {
        call(endpoint, Method::GET, &format!("/v1/files/{id}"), Body::Empty)
    }

    fn read(&self, body: &[u8]) -> Result<RemoteFile, Fault> {
        let File { id } = parse(body)?;
        Ok(RemoteFile { uri: id.clone(), id, state: RemoteState::Ready, expires: None })
    }

    fn delete(&self, endpoint: &Endpoint, id: &str) -> Call {
        let call = call(endpoint, Method::DELETE, &format!("/v1/files/{id}"), Body::Empty);
        // Its own library says so of this request.
        call.header("content-type", "application/json")
    }
}

fn call(endpoint: &Endpoint, method: Method, path: &str, body: Body) -> Call {
    if version(endpoint) >= FILES_VERSION {
        return called(endpoint, method, path, body);
    }
    trial(called(endpoint, method, &format!("{path}?beta=true"), body))
}
