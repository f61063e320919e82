//! Files that are uploaded for questions, each in one request.
//!
//! They expire two days after they were uploaded, should nobody come to remove them.

use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use crate::http::{Body, Call, Form};
use crate::part_kind::PartKind;
use crate::service::{Endpoint, Fault, FileService, Outgoing, RemoteFile, RemoteState, Way, parse};

/// How long a file is kept: as long as Gemini keeps one.
const SECONDS: &str = "172800";

/// Keeps files, as they can be named in one of the interfaces.
#[derive(Debug)]
pub(super) struct Files {
    /// Whether images can be named.
    pub(super) images: bool,
}

/// A file as it is told of.
#[derive(Debug, Deserialize)]
struct File {
    id: String,
    #[serde(default)]
    expires_at: Option<i64>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    status_details: Option<Value>,
}

impl FileService for Files {
    /// Not every server of the protocol keeps files.
    fn by_itself(&self, endpoint: &Endpoint) -> bool {
        endpoint.is_usual()
    }

    fn takes(&self, kind: PartKind, media_type: &str) -> bool {
        match kind {
            PartKind::Document => true,
            PartKind::Image => self.images && media_type.starts_with("image/"),
            PartKind::Video | PartKind::Audio => false,
        }
    }

    fn upload<'s>(&'s self, endpoint: &Endpoint, file: &Outgoing<'_>) -> Way<'s> {
        let image = file.media_type.starts_with("image/");
        let form = Form::new()
            .text("purpose", if image { "vision" } else { "user_data" })
            .text("expires_after[anchor]", "created_at")
            .text("expires_after[seconds]", SECONDS)
            .file("file", file.name, file.media_type, file.part.clone());
        Way::Whole(endpoint.call(Method::POST, "/files", form.into_body()))
    }

    fn look(&self, endpoint: &Endpoint, id: &str) -> Call {
        endpoint.call(Method::GET, &format!("/files/{id}"), Body::Empty)
    }

    fn read(&self, body: &[u8]) -> Result<RemoteFile, Fault> {
        let File { id, expires_at, status, status_details } = parse(body)?;
        let state = match status.as_deref() {
            Some("error") => RemoteState::Failed(match status_details {
                Some(Value::String(why)) => why,
                Some(_) | None => "no reason".to_owned(),
            }),
            Some(_) | None => RemoteState::Ready,
        };
        let expires = expires_at.and_then(|at| jiff::Timestamp::from_second(at).ok());
        Ok(RemoteFile { uri: id.clone(), id, state, expires })
    }

    fn delete(&self, endpoint: &Endpoint, id: &str) -> Call {
        endpoint.call(Method::DELETE, &format!("/files/{id}"), Body::Empty)
    }
}
