//! Makes the files of a request ready to be sent: within it, or uploaded before.
//!
//! A file goes within the request where it fits. It is uploaded where the step says so
//! (`options: {upload: …}`), and, at services that are known to keep files, where the files of
//! a request are more than it may hold: the largest ones then. A file that is asked about often
//! is not uploaded for that alone: what is uploaded lies at the service, which not every account
//! allows, and so is for its owner to say.

use flow_core::artifact::ArtifactRef;
use flow_core::error::{ErrorClass, Failure};
use flow_core::provider::{CallContext, Media, MediaFile, Part, Request};
use flow_core::uploads::Upload;

use super::upload::Uploader;
use super::{Content, Place, ReadyFile, Turn};
use crate::catalog::ModelFacts;
use crate::http::{FilePart, Source};
use crate::part_kind::PartKind;

/// The files of a request that lie at the service by now.
///
/// Ends soon after the context's token is cancelled. Dropping the future leaves nothing behind
/// but what was uploaded by then.
pub(super) async fn uploaded(
    request: &Request,
    uploader: &Uploader<'_>,
    facts: &ModelFacts,
) -> Result<Vec<Upload>, Failure> {
    let (files, service) = (uploader.files, uploader.service);
    // What a request holds at most is not all for its files.
    let most = facts.request_bytes.map(|most| most - most / 32);
    let limit = facts.inline_bytes.or(most).filter(|_| files.by_itself(&service.endpoint));
    let all = artifacts(request);
    let takes = |kind, artifact: &ArtifactRef| files.takes(kind, &artifact.media_type);
    if uploader.options.wanted {
        for (kind, artifact) in all.iter().filter(|(kind, artifact)| !takes(*kind, artifact)) {
            let (name, what, provider) = (&artifact.name, kind.as_noun(), service.name());
            (uploader.context.log)(&format!(
                "{name} is not uploaded: {provider} takes {what} of its type within a request only"
            ));
        }
    }
    let mut uploads = Vec::new();
    for artifact in chosen(&all, uploader.options.wanted, limit, takes) {
        uploads.push(uploader.there(artifact).await?);
    }
    Ok(uploads)
}

/// The files of a request that are to be uploaded, each once: all that can be where that is
/// wanted, else the largest until the rest fits.
fn chosen<'r>(
    all: &[(PartKind, &'r ArtifactRef)],
    wanted: bool,
    limit: Option<u64>,
    takes: impl Fn(PartKind, &ArtifactRef) -> bool,
) -> Vec<&'r ArtifactRef> {
    let mut can: Vec<&ArtifactRef> = Vec::new();
    for (kind, artifact) in all {
        if takes(*kind, artifact) && !can.iter().any(|other| other.hash == artifact.hash) {
            can.push(artifact);
        }
    }
    if wanted {
        return can;
    }
    let sent = |artifact: &ArtifactRef| artifact.size.div_ceil(3).saturating_mul(4);
    let mut left = all.iter().map(|(_, artifact)| sent(artifact)).fold(0, u64::saturating_add);
    can.sort_by_key(|artifact| std::cmp::Reverse(artifact.size));
    let needed = |artifact: &&ArtifactRef| {
        let over = limit.is_some_and(|limit| left > limit);
        let times = all.iter().filter(|(_, other)| other.hash == artifact.hash).count() as u64;
        left = left.saturating_sub(sent(artifact).saturating_mul(times));
        over
    };
    can.into_iter().take_while(needed).collect()
}

/// The files of a request that are in the store.
fn artifacts(request: &Request) -> Vec<(PartKind, &ArtifactRef)> {
    let parts = request.messages.iter().flat_map(|message| &message.parts);
    parts.filter_map(|part| Some((PartKind::of(part)?, part.artifact()?))).collect()
}

/// The conversation of a request with its files ready; those of `uploads` are named.
///
/// Dropping the future leaves nothing behind.
pub(super) async fn ready(
    request: &Request,
    uploads: &[Upload],
    context: &CallContext<'_>,
) -> Result<Vec<Turn>, Failure> {
    let mut turns = Vec::with_capacity(request.messages.len());
    for message in &request.messages {
        let mut parts = Vec::with_capacity(message.parts.len());
        for part in &message.parts {
            parts.push(match part {
                Part::Text(text) => Content::Text(text.clone()),
                Part::Image(media) => Content::Image(file(media, uploads, context)?),
                Part::Document(media) => {
                    Content::Document(read(file(media, uploads, context)?).await?)
                }
                Part::Video(media) => Content::Video(file(media, uploads, context)?),
                Part::Audio(media) => Content::Audio(file(media, uploads, context)?),
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
    uploads: &[Upload],
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
            let uploaded = uploads.iter().find(|upload| upload.key.content == artifact.hash);
            if let Some(upload) = uploaded {
                return Ok(ReadyFile {
                    media_type: artifact.media_type.clone(),
                    name: artifact.name.clone(),
                    place: Place::Uploaded(upload.uri.clone()),
                    options,
                });
            }
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

#[cfg(test)]
mod tests {
    use flow_core::content::ContentHash;

    use super::*;

    fn file(name: &str, size: u64) -> ArtifactRef {
        ArtifactRef {
            hash: ContentHash::of_bytes(name.as_bytes()),
            media_type: "video/mp4".into(),
            name: name.into(),
            size,
            width: None,
            height: None,
            dpi: None,
            page: None,
        }
    }

    #[test]
    fn the_largest_files_are_uploaded_until_the_rest_fits() {
        let (a, b, c) = (file("a", 30), file("b", 300), file("c", 60));
        let video = |artifact| (PartKind::Video, artifact);
        let names = |all: &[(PartKind, &ArtifactRef)], wanted, limit, taken: &[&str]| {
            let takes = |_, artifact: &ArtifactRef| taken.contains(&artifact.name.as_str());
            let chosen = chosen(all, wanted, limit, takes);
            chosen.into_iter().map(|artifact| artifact.name.clone()).collect::<Vec<_>>()
        };
        let all = [video(&a), video(&b), video(&c)];
        let any = ["a", "b", "c"];
        // In base64 they are 40, 400 and 80 bytes.
        assert_eq!(names(&all, false, Some(520), &any), [""; 0]);
        assert_eq!(names(&all, false, Some(519), &any), ["b"]);
        assert_eq!(names(&all, false, Some(119), &any), ["b", "c"]);
        assert_eq!(names(&all, false, Some(0), &any), ["b", "c", "a"]);
        assert_eq!(names(&all, false, Some(439), &["a", "c"]), ["c", "a"], "b cannot be");
        assert_eq!(names(&all, false, None, &any), [""; 0]);
        assert_eq!(names(&all, true, None, &["a", "b"]), ["a", "b"]);
        let twice = [video(&c), video(&c), video(&a)];
        assert_eq!(names(&twice, false, Some(199), &any), ["c"]);
    }
}
