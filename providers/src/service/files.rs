//! Makes the files of a request ready to be sent.

use flow_core::error::{ErrorClass, Failure};
use flow_core::provider::{CallContext, Media, MediaFile, Part, Request};

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
                Part::Document(media) => {
                    Content::Document(read(file(media, endpoint, facts, context)?).await?)
                }
                Part::Video(media) => Content::Video(file(media, endpoint, facts, context)?),
                Part::Audio(media) => Content::Audio(file(media, endpoint, facts, context)?),
            });
        }
        turns.push(Turn { role: message.role, parts });
    }
    Ok(turns)
}

/// The largest text that is read before it is sent.
const LARGEST_TEXT: u64 = 32 << 20;

/// A document that is text, with its bytes in memory: some services take it as text and not as
/// a file. Others are left where they are.
async fn read(mut file: ReadyFile) -> Result<ReadyFile, Failure> {
    if let Place::Inline(part) = &mut file.place
        && let Source::Path(path) = &part.source
        && file.media_type.starts_with("text/")
        && part.len <= LARGEST_TEXT
    {
        let bytes = tokio::fs::read(path).await.map_err(|error| {
            Failure::new(ErrorClass::Io, format!("cannot read `{}`: {error}", file.name))
        })?;
        part.source = Source::Memory(bytes.into());
    }
    Ok(file)
}

fn file(
    media: &Media,
    _endpoint: &Endpoint,
    _facts: &ModelFacts,
    context: &CallContext<'_>,
) -> Result<ReadyFile, Failure> {
    let options = media.options.clone();
    Ok(match &media.file {
        MediaFile::Url(url) => {
            let name = url.rsplit('/').next().unwrap_or_default();
            let name = name.split(['?', '#']).next().unwrap_or_default().to_owned();
            let media_type = crate::documents::media_of_name(&name).unwrap_or_default().to_owned();
            ReadyFile { media_type, name, place: Place::Url(url.clone()), options }
        }
        MediaFile::Uploaded { id, media_type } => ReadyFile {
            media_type: media_type.clone().unwrap_or_default(),
            name: id.clone(),
            place: Place::Uploaded(id.clone()),
            options,
        },
        MediaFile::Artifact(artifact) => {
            let path = context.intake.artifacts().local_path(&artifact.hash)?;
            let part = FilePart::whole(Source::Path(path), artifact.size);
            ReadyFile {
                media_type: artifact.media_type.clone(),
                name: artifact.name.clone(),
                place: Place::Inline(part),
                options,
            }
        }
    })
}
