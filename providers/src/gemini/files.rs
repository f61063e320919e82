//! Files that are uploaded for questions, in chunks.
//!
//! ```text
//! start ─► an address ─► upload, upload, … upload + finalize ─► the file, PROCESSING or ACTIVE
//!                            └ broken ─► query ─► how much has come
//! ```
//!
//! The service keeps a file for two days, and says until when. Chunks go to an address of
//! its choice without the key.

use flow_core::error::ErrorClass;
use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::wire::Error;
use super::{Gemini, in_path};
use crate::http::{Body, Call, FilePart, Reply};
use crate::part_kind::PartKind;
use crate::service::{
    Endpoint, Fault, FileService, InChunks, Outgoing, Received, RemoteFile, RemoteState, Session,
    Way, parse,
};

/// What a chunk is a multiple of where the service does not say.
const GRANULARITY: u64 = 256 << 10;

/// A file as it is told of.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct File {
    name: String,
    uri: String,
    state: String,
    expiration_time: Option<String>,
    error: Option<Error>,
}

/// What the end of an upload tells.
#[derive(Debug, Deserialize)]
struct Ended {
    file: File,
}

impl FileService for Gemini {
    /// What its questions take at all it takes as a file.
    fn takes(&self, _kind: PartKind, _media_type: &str) -> bool {
        true
    }

    fn upload<'s>(&'s self, endpoint: &Endpoint, file: &Outgoing<'_>) -> Way<'s> {
        let size = file.part.len;
        let about = json!({ "file": { "mimeType": file.media_type, "sizeBytes": size } });
        let call = endpoint
            .call_to(Method::POST, upload_address(&endpoint.base_url), Body::json(&about))
            .header("x-goog-upload-protocol", "resumable")
            .header("x-goog-upload-command", "start")
            .header("x-goog-upload-header-content-length", &size.to_string())
            .header("x-goog-upload-header-content-type", file.media_type)
            .header("x-goog-upload-file-name", file.name);
        Way::InChunks(call, self)
    }

    fn look(&self, endpoint: &Endpoint, id: &str) -> Call {
        called(endpoint, Method::GET, id)
    }

    fn read(&self, body: &[u8]) -> Result<RemoteFile, Fault> {
        remote(parse(body)?)
    }

    fn delete(&self, endpoint: &Endpoint, id: &str) -> Call {
        called(endpoint, Method::DELETE, id)
    }
}

impl InChunks for Gemini {
    fn begun(&self, reply: &Reply) -> Result<Session, Fault> {
        let url = header(reply, "x-goog-upload-url").unwrap_or_default();
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(silent("it names no address for the upload"));
        }
        let granularity = header(reply, "x-goog-upload-chunk-granularity");
        let granularity = granularity.and_then(|size| size.parse().ok()).unwrap_or(GRANULARITY);
        Ok(Session { url: url.to_owned(), granularity })
    }

    fn chunk(&self, endpoint: &Endpoint, session: &Session, part: FilePart, last: bool) -> Call {
        let command = if last { "upload, finalize" } else { "upload" };
        let offset = part.start.to_string();
        endpoint
            .bare_call(Method::POST, session.url.clone(), Body::File(part))
            .header("x-goog-upload-command", command)
            .header("x-goog-upload-offset", &offset)
    }

    fn query(&self, endpoint: &Endpoint, session: &Session) -> Call {
        endpoint
            .bare_call(Method::POST, session.url.clone(), Body::Empty)
            .header("x-goog-upload-command", "query")
    }

    fn received(&self, reply: &Reply) -> Result<Received, Fault> {
        match header(reply, "x-goog-upload-status") {
            Some("active") => {
                let size = header(reply, "x-goog-upload-size-received");
                Ok(Received::Active(size.and_then(|size| size.parse().ok())))
            }
            Some("final") if reply.body.is_empty() => Ok(Received::Final(None)),
            Some("final") => {
                let Ended { file } = parse(&reply.body)?;
                Ok(Received::Final(Some(remote(file)?)))
            }
            Some("cancelled") => Ok(Received::Cancelled),
            Some(_) | None => Err(silent("it does not say how the upload stands")),
        }
    }
}

fn remote(file: File) -> Result<RemoteFile, Fault> {
    let File { name, uri, state, expiration_time, error } = file;
    let expires = expiration_time.and_then(|time| time.parse::<Timestamp>().ok());
    if name.is_empty() || uri.is_empty() {
        return Err(silent("it does not name the file"));
    }
    let state = match state.as_str() {
        "PROCESSING" => RemoteState::Processing,
        "FAILED" => {
            let reason = error.map(|error| error.message).filter(|reason| !reason.is_empty());
            RemoteState::Failed(reason.unwrap_or_else(|| "it gives no reason".to_owned()))
        }
        // One that knows no other state has made it ready.
        _ => RemoteState::Ready,
    };
    Ok(RemoteFile { id: name, uri, state, expires })
}

fn silent(what: &str) -> Fault {
    Fault::new(ErrorClass::Server, what)
}

fn header<'r>(reply: &'r Reply, name: &str) -> Option<&'r str> {
    reply.headers.get(name)?.to_str().ok().map(str::trim)
}

/// Where uploads begin: beside the version of the interface that the address ends with.
fn upload_address(base_url: &str) -> String {
    let from = base_url.find("://").map_or(0, |at| at + 3);
    match base_url[from..].rsplit_once('/') {
        Some((host, version)) => format!("{}{host}/upload/{version}/files", &base_url[..from]),
        None => format!("{base_url}/upload/files"),
    }
}

fn called(endpoint: &Endpoint, method: Method, id: &str) -> Call {
    let call = endpoint.call(method, &format!("/{}", in_path(id)), Body::Empty);
    // Its own library says so of every request.
    call.header("content-type", "application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_begin_beside_the_version() {
        for (base, address) in [
            ("https://x/v1beta", "https://x/upload/v1beta/files"),
            ("http://x:1/a/b/v1", "http://x:1/a/b/upload/v1/files"),
            ("http://x:1", "http://x:1/upload/files"),
        ] {
            assert_eq!(upload_address(base), address);
        }
    }
}
