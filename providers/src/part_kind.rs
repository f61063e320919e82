//! Whether a file is of the kind that its part says, by its bytes.
//!
//! Held before anybody is asked, whoever that is: what is no image would be paid for and
//! misread. What a service makes of the formats of a kind is not decided here.

use flow_core::artifact::ArtifactRef;
use flow_core::error::Failure;
use flow_core::provider::Part;

use crate::documents::media_of_name;

/// What a part says its file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PartKind {
    /// An image.
    Image,
    /// A document.
    Document,
    /// A video.
    Video,
    /// A sound.
    Audio,
}

/// Containers of video that hold a sound alone as well.
const CONTAINERS: &[&str] =
    &["video/mp4", "video/webm", "video/x-matroska", "video/quicktime", "video/3gpp"];

/// The media type of bytes that say nothing.
const ANYTHING: &str = "application/octet-stream";

impl PartKind {
    /// The kind of the file of a part; none of a text.
    pub(crate) fn of(part: &Part) -> Option<Self> {
        match part {
            Part::Text(_) => None,
            Part::Image(_) => Some(Self::Image),
            Part::Document(_) => Some(Self::Document),
            Part::Video(_) => Some(Self::Video),
            Part::Audio(_) => Some(Self::Audio),
        }
    }

    /// Refuses a file of another kind. `place` is where it stands in the step's input.
    pub(crate) fn hold(self, place: &str, file: &ArtifactRef) -> Result<(), Failure> {
        if file.size > 0 && self.takes(&file.media_type) {
            return Ok(());
        }
        let name = &file.name;
        let found = if file.size == 0 { "empty".to_owned() } else { described(&file.media_type) };
        let message = format!("`{place}`: `{name}` is {found}, not {}", self.as_noun());
        Err(Failure::input(message).with_hint(self.hint(file)))
    }

    fn takes(self, media_type: &str) -> bool {
        let of =
            |class: &str| media_type.strip_prefix(class).is_some_and(|rest| rest.starts_with('/'));
        match self {
            Self::Image => of("image"),
            // A TIFF is the pages of a scan. Text in an old encoding has no sign of its own.
            Self::Document => {
                media_type == "image/tiff"
                    || media_type == ANYTHING
                    || !(of("image") || of("audio") || of("video") || is_packed(media_type))
            }
            Self::Video => of("video") || media_type == "audio/ogg",
            Self::Audio => of("audio") || CONTAINERS.contains(&media_type),
        }
    }

    /// Its name with an article.
    pub(crate) fn as_noun(self) -> &'static str {
        match self {
            Self::Image => "an image",
            Self::Document => "a document",
            Self::Video => "a video",
            Self::Audio => "a sound",
        }
    }

    fn hint(self, file: &ArtifactRef) -> String {
        let media_type = file.media_type.as_str();
        let own = match media_type.split('/').next() {
            Some("image") => "image",
            Some("video") => "video",
            Some("audio") => "audio",
            Some(_) | None => "document",
        };
        if file.size == 0 {
            return "check the program that wrote the file, or fetch it again".into();
        }
        match (self, media_type) {
            (Self::Image, "application/pdf") => {
                "give it as `document`, or its pages by `document.pages`".into()
            }
            (_, ANYTHING) => "what a file is, its bytes say and not its name".into(),
            (_, packed) if is_packed(packed) => "unpack it, and give the file within".into(),
            _ if is_text(media_type) && media_of_name(&file.name).is_some_and(|m| !is_text(m)) => {
                "look inside: a download often saves an error page under the name of the file"
                    .into()
            }
            _ => format!("give it as `{own}`"),
        }
    }
}

fn is_packed(media_type: &str) -> bool {
    matches!(media_type, "application/zip" | "application/gzip" | "application/wasm")
}

fn is_text(media_type: &str) -> bool {
    media_type.starts_with("text/")
        || matches!(media_type, "application/json" | "application/xml" | "message/rfc822")
}

/// What a file of a media type is, in words.
pub(crate) fn described(media_type: &str) -> String {
    use crate::documents::{DOCX, EPUB, PPTX, XLSX};
    let known = match media_type {
        "application/pdf" => "a PDF",
        "text/plain" => "text",
        "text/html" => "a web page",
        "text/csv" => "a table of text",
        "application/json" => "JSON",
        "application/xml" => "XML",
        "message/rfc822" => "mail",
        "application/zip" => "a ZIP archive",
        "application/gzip" => "a gzip archive",
        "application/wasm" => "a program",
        DOCX => "a Word document",
        PPTX => "a presentation",
        XLSX => "a workbook",
        EPUB => "a book",
        ANYTHING => "of no known type",
        other => return format!("of type {}", if other.is_empty() { ANYTHING } else { other }),
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use flow_core::content::ContentHash;

    use super::*;

    fn file(name: &str, media_type: &str, size: u64) -> ArtifactRef {
        ArtifactRef {
            hash: ContentHash::of_bytes(b""),
            media_type: media_type.into(),
            name: name.into(),
            size,
            width: None,
            height: None,
            dpi: None,
            page: None,
        }
    }

    #[test]
    fn a_file_of_another_kind_is_named_with_what_it_is_and_what_to_do() {
        use PartKind::{Audio, Document, Image, Video};
        let unpack = "unpack it, and give the file within";
        let inside = "look inside: a download often saves an error page under the name of the file";
        for (kind, name, media_type, message, hint) in [
            (Image, "invoice.png", "text/plain", "`invoice.png` is text, not an image", inside),
            (Image, "a.png", "text/html", "`a.png` is a web page, not an image", inside),
            (
                Image,
                "notes.txt",
                "text/plain",
                "`notes.txt` is text, not an image",
                "give it as `document`",
            ),
            (
                Image,
                "a.png",
                "application/pdf",
                "`a.png` is a PDF, not an image",
                "give it as `document`, or its pages by `document.pages`",
            ),
            (
                Image,
                "a.png",
                "application/octet-stream",
                "`a.png` is of no known type, not an image",
                "what a file is, its bytes say and not its name",
            ),
            (
                Image,
                "a.png",
                "video/mp4",
                "`a.png` is of type video/mp4, not an image",
                "give it as `video`",
            ),
            (
                Document,
                "a.pdf",
                "image/png",
                "`a.pdf` is of type image/png, not a document",
                "give it as `image`",
            ),
            (
                Document,
                "a.pdf",
                "application/zip",
                "`a.pdf` is a ZIP archive, not a document",
                unpack,
            ),
            (
                Video,
                "a.mp4",
                "image/gif",
                "`a.mp4` is of type image/gif, not a video",
                "give it as `image`",
            ),
            (Audio, "a.mp3", "application/gzip", "`a.mp3` is a gzip archive, not a sound", unpack),
        ] {
            let failure = kind.hold("part", &file(name, media_type, 1)).unwrap_err();
            assert_eq!(failure.message, format!("`part`: {message}"));
            assert_eq!(failure.hint.as_deref(), Some(hint), "{message}");
        }
        let failure =
            Image.hold("image", &file("a.png", "application/octet-stream", 0)).unwrap_err();
        assert_eq!(failure.message, "`image`: `a.png` is empty, not an image");
    }

    #[test]
    fn what_may_be_of_the_kind_passes() {
        use PartKind::{Audio, Document, Image, Video};
        for (kind, media_type) in [
            (Image, "image/heic"),
            (Image, "image/svg+xml"),
            (Document, "application/pdf"),
            (Document, "image/tiff"),
            (Document, "text/plain"),
            (Document, "application/x-ole-storage"),
            (Document, "application/octet-stream"),
            (Video, "video/webm"),
            (Video, "audio/ogg"),
            (Audio, "audio/wav"),
            (Audio, "video/mp4"),
        ] {
            assert_eq!(kind.hold("part", &file("a", media_type, 1)), Ok(()), "{media_type}");
        }
    }
}
