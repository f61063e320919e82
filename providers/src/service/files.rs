//! Makes the files of a request ready to be sent.

use std::collections::BTreeMap;

use flow_core::error::Failure;
use flow_core::provider::{CallContext, Media, Part, Request};

use super::{Content, Endpoint, Place, ReadyFile, Turn};
use crate::catalog::ModelFacts;
use crate::http::{FilePart, Source};

/// The conversation of a request with its files ready.
///
/// Dropping the future leaves nothing behind but what was uploaded by then.
pub(super) async fn ready(
    request: &Request,
    endpoint: &Endpoint,
    facts: &ModelFacts,
    context: &CallContext<'_>,
) -> Result<Vec<Turn>, Failure> {
    let mut turns = Vec::with_capacity(request.messages.len());
    for message in &request.messages {
        let mut parts = Vec::with_capacity(message.parts.len());
        for part in &message.parts {
            parts.push(match part {
                Part::Text(text) => Content::Text(text.clone()),
                Part::Image(media) => Content::Image(file(media, endpoint, facts, context)?),
                Part::Document(media) => Content::Document(file(media, endpoint, facts, context)?),
                Part::Video(media) => Content::Video(file(media, endpoint, facts, context)?),
                Part::Audio(media) => Content::Audio(file(media, endpoint, facts, context)?),
            });
        }
        turns.push(Turn { role: message.role, parts });
    }
    Ok(turns)
}

fn file(
    media: &Media,
    _endpoint: &Endpoint,
    _facts: &ModelFacts,
    context: &CallContext<'_>,
) -> Result<ReadyFile, Failure> {
    Ok(match media {
        Media::Url(url) => {
            let name = url.rsplit('/').next().unwrap_or_default();
            let name = name.split(['?', '#']).next().unwrap_or_default().to_owned();
            let media_type = crate::documents::media_of_name(&name).unwrap_or_default().to_owned();
            ReadyFile { media_type, name, place: Place::Url(url.clone()), options: BTreeMap::new() }
        }
        Media::Artifact(artifact) => {
            let path = context.intake.artifacts().local_path(&artifact.hash)?;
            let part = FilePart::whole(Source::Path(path), artifact.size);
            ReadyFile {
                media_type: artifact.media_type.clone(),
                name: artifact.name.clone(),
                place: Place::Inline(part),
                options: BTreeMap::new(),
            }
        }
    })
}
