//! Makes the files of a request such as its model takes them.
//!
//! ```text
//! image     ─┬─ fits ───────────────────────────────────▶ as it is, only its head is read
//!            └─ too large, or of a type not taken ──────▶ scaled, converted; a page each
//! document  ─┬─ of a type that is taken ────────────────▶ as it is, if it is not too long
//!            ├─ PDF or TIFF, or `pages` are chosen ─────▶ images of its pages, in order
//!            └─ anything else ──────────────────────────▶ refused, `document.text` reads it
//! ```
//!
//! What is changed is kept as an artifact and said in the step's log, from what to what. What
//! cannot be made to fit is refused before anything is sent. Where a file is sent inline and
//! where it is uploaded is decided after this, of what came out.

use std::borrow::Cow;

use flow_core::artifact::ArtifactRef;
use flow_core::error::{ErrorClass, Failure};
use flow_core::provider::{CallContext, Media, MediaFile, Message, Part, Request};
use serde_json::Value;

use super::fitting::{Fitting, Made, MadePage, Work};
use super::picture::Size;
use crate::catalog::{ImageLimits, MediaTypes, ModelFacts};
use crate::documents::{Limits, PageSelection, format_of, image_size, reads_text};
use crate::part_kind::described;

/// The most pages of a file that are sent as images, where nothing is known of the model.
const MOST_PAGES: u32 = 100;

/// Bytes of a PDF that are at least a page. One that is too small to have too many pages is
/// not opened.
const PAGE: u64 = 256;

/// The option that chooses pages of a file.
const PAGES: &str = "pages";

/// Fields of a part that its images have not.
const OF_DOCUMENTS: &[&str] = &[PAGES, "title", "context", "citations"];

const BY_PAGES: &str = "ask page by page: `document.pages`, and a loop over its images";

/// Who is asked, and what it takes.
pub(crate) struct Fit<'a> {
    pub(crate) provider: &'a str,
    pub(crate) model: &'a str,
    pub(crate) facts: &'a ModelFacts,
    pub(crate) fitting: &'a Fitting,
    pub(crate) context: &'a CallContext<'a>,
}

/// A request that fits.
pub(crate) struct Fitted<'r> {
    /// The request; as it was where all of it fitted.
    pub(crate) request: Cow<'r, Request>,
    /// What was made for it: as long as this is held, nobody makes it again.
    _made: Vec<Made>,
}

/// What became of the files of a request.
#[derive(Default)]
struct Changes {
    lines: Vec<String>,
    made: Vec<Made>,
    /// Pages of the documents that are sent as documents.
    pages: u32,
}

impl Fit<'_> {
    /// The request with files that its model takes.
    ///
    /// Dropping the future leaves behind what was kept by then; a file that is being read is
    /// read to its end.
    pub(crate) async fn request<'r>(&self, request: &'r Request) -> Result<Fitted<'r>, Failure> {
        let given = images_of(&request.messages);
        let (mut messages, mut changes) =
            self.messages(request, &self.facts.images.of(given)).await?;
        let count = images_of(&messages);
        if self.facts.images.of(count) != self.facts.images.of(given) {
            // Pages of documents made them many, and many must be smaller.
            (messages, changes) = self.messages(request, &self.facts.images.of(count)).await?;
        }
        self.refuse_too_many(count)?;
        self.refuse_too_long(changes.pages)?;
        changes.lines.iter().for_each(|line| (self.context.log)(line));
        let request = match messages == request.messages {
            true => Cow::Borrowed(request),
            false => Cow::Owned(Request { messages, ..request.clone() }),
        };
        Ok(Fitted { request, _made: changes.made })
    }

    async fn messages(
        &self,
        request: &Request,
        limits: &ImageLimits,
    ) -> Result<(Vec<Message>, Changes), Failure> {
        let mut changes = Changes::default();
        let mut messages = Vec::with_capacity(request.messages.len());
        for message in &request.messages {
            let mut parts = Vec::with_capacity(message.parts.len());
            for part in &message.parts {
                match self.part(part, request, limits, &mut changes).await? {
                    None => parts.push(part.clone()),
                    Some(others) => parts.extend(others),
                }
            }
            messages.push(Message { role: message.role, parts });
        }
        Ok((messages, changes))
    }

    /// What takes the place of a part; none where it fits.
    async fn part(
        &self,
        part: &Part,
        request: &Request,
        limits: &ImageLimits,
        changes: &mut Changes,
    ) -> Result<Option<Vec<Part>>, Failure> {
        match part {
            Part::Text(_) | Part::Video(_) | Part::Audio(_) => Ok(None),
            Part::Image(media) => {
                let MediaFile::Artifact(file) = &media.file else { return Ok(None) };
                self.image(file, media, request, limits, changes).await
            }
            Part::Document(media) => match &media.file {
                MediaFile::Artifact(file) => {
                    self.document(file, media, request, limits, changes).await
                }
                MediaFile::Url(_) | MediaFile::Uploaded { .. } if self.takes_documents() => {
                    Ok(None)
                }
                MediaFile::Url(_) | MediaFile::Uploaded { .. } => {
                    let message = self.says("takes no documents");
                    let hint = "of a PDF that is a file its pages are sent as images";
                    Err(Failure::new(ErrorClass::BadRequest, message).with_hint(hint))
                }
            },
        }
    }

    fn takes_documents(&self) -> bool {
        self.facts.capabilities.documents
    }

    /// The image in a form that is taken; none where it is so already.
    async fn image(
        &self,
        file: &ArtifactRef,
        media: &Media,
        request: &Request,
        limits: &ImageLimits,
        changes: &mut Changes,
    ) -> Result<Option<Vec<Part>>, Failure> {
        if format_of(&file.media_type).is_none() && !limits.types.takes(&file.media_type) {
            let message = format!(
                "provider `{}` takes no image of type {}: `{}`",
                self.provider, file.media_type, file.name
            );
            return Err(Failure::new(ErrorClass::BadRequest, message)
                .with_hint(format!("it takes {}: convert the file to one of them", limits.types)));
        }
        let size = self.size(file).await?;
        let excess = Excess::of(file, size, limits);
        if !excess.any() {
            return Ok(None);
        }
        let selection = match file.media_type.as_str() {
            "image/tiff" => selection(media, request)?,
            _ => None,
        };
        let made = self.made(file, selection.as_ref(), limits, size).await?;
        let pages = made.pages().unwrap_or_default();
        for page in pages {
            let place = match pages {
                [_] => String::new(),
                _ => format!(", page {}", page.number),
            };
            let line = format!(
                "image `{}`{place}: {} {} sent as {} {}: ",
                file.name,
                page.from,
                format_name(&file.media_type),
                page.to,
                format_name(&page.file.media_type),
            );
            changes.lines.push(line + &self.says(&format!("takes {}", excess.taken(limits))));
        }
        let parts = parts(&made, media);
        changes.made.push(made);
        Ok(Some(parts))
    }

    /// How large an image is, by its head; none where that is not known.
    async fn size(&self, file: &ArtifactRef) -> Result<Option<Size>, Failure> {
        let path = self.context.intake.artifacts().local_path(&file.hash)?;
        let (name, media_type) = (file.name.clone(), file.media_type.clone());
        let read = move || Ok(image_size(&name, &path, &media_type, &Limits::default())?);
        let size = self.fitting.glance(read).await?;
        Ok(size.map(|(width, height)| Size(width, height)))
    }

    /// The document in a form that is taken; none where it is so already.
    async fn document(
        &self,
        file: &ArtifactRef,
        media: &Media,
        request: &Request,
        limits: &ImageLimits,
        changes: &mut Changes,
    ) -> Result<Option<Vec<Part>>, Failure> {
        let has_pages = matches!(file.media_type.as_str(), "application/pdf" | "image/tiff");
        let chosen = selection(media, request)?;
        if chosen.is_some() && !has_pages {
            let message = format!("`{}`: only of a PDF or a TIFF `pages` can be chosen", file.name);
            return Err(Failure::input(message)
                .with_hint("leave `pages` out, or choose from the output of `document.text`"));
        }
        let taken = self.takes_documents()
            && file.media_type != "image/tiff"
            && self.facts.documents.types.takes(&file.media_type);
        if taken && chosen.is_none() {
            self.measure(file, changes).await?;
            return Ok(None);
        }
        if !has_pages || !self.facts.capabilities.images {
            return Err(self.refused_document(file));
        }
        let made = self.made(file, chosen.as_ref(), limits, None).await?;
        let count = made.pages().unwrap_or_default().len();
        let why = match (&chosen, file.media_type.as_str()) {
            (Some(pages), _) => format!("`pages: {pages}` are chosen"),
            (None, "application/pdf") => self.says("takes no documents"),
            (None, _) => "a TIFF is images".to_owned(),
        };
        let pages = counted(count as u32, "page");
        changes.lines.push(format!("document `{}`: {pages} sent as images: {why}", file.name));
        let parts = parts(&made, media);
        changes.made.push(made);
        Ok(Some(parts))
    }

    /// Counts what a document that is sent as one adds, and refuses one that is too large.
    async fn measure(&self, file: &ArtifactRef, changes: &mut Changes) -> Result<(), Failure> {
        let limits = &self.facts.documents;
        if let Some(most) = limits.bytes.filter(|most| file.size > *most) {
            let what =
                format!("takes documents of {most} bytes: `{}` has {}", file.name, file.size);
            return Err(self.too_large(&what, BY_PAGES));
        }
        let few = limits.pages.is_none_or(|most| file.size < u64::from(most) * PAGE);
        if file.media_type == "application/pdf" && !few {
            let path = self.context.intake.artifacts().local_path(&file.hash)?;
            changes.pages = changes.pages.saturating_add(self.fitting.pages(file, path).await?);
        }
        Ok(())
    }

    /// The pages of a file as images.
    async fn made(
        &self,
        file: &ArtifactRef,
        selection: Option<&PageSelection>,
        limits: &ImageLimits,
        size: Option<Size>,
    ) -> Result<Made, Failure> {
        let most = limits.most.unwrap_or(MOST_PAGES);
        let work = Work {
            name: file.name.clone(),
            path: self.context.intake.artifacts().local_path(&file.hash)?,
            media_type: file.media_type.clone(),
            selection: selection.cloned(),
            limits: limits.clone(),
            most,
        };
        let pixels = size.map(|Size(width, height)| u64::from(width) * u64::from(height));
        let made = self.fitting.make(work, pixels, self.context.intake).await?;
        match made.pages() {
            Ok(_) => Ok(made),
            Err(count) => {
                let what = format!(
                    "takes {} at once: `{}` has {}",
                    counted(most, "image"),
                    file.name,
                    counted(count, "page")
                );
                Err(self.too_large(&what, BY_PAGES))
            }
        }
    }

    fn refuse_too_many(&self, images: usize) -> Result<(), Failure> {
        match self.facts.images.most.filter(|most| images > *most as usize) {
            None => Ok(()),
            Some(most) => Err(self.too_large(
                &format!("takes {} at once: the request has {images}", counted(most, "image")),
                "ask of fewer at once, e.g. in a loop",
            )),
        }
    }

    fn refuse_too_long(&self, pages: u32) -> Result<(), Failure> {
        match self.facts.documents.pages.filter(|most| pages > *most) {
            None => Ok(()),
            Some(most) => Err(self.too_large(
                &format!("takes {} at once: the request has {pages}", counted(most, "page")),
                BY_PAGES,
            )),
        }
    }

    fn refused_document(&self, file: &ArtifactRef) -> Failure {
        let what = match self.facts.capabilities.documents {
            false => "takes no documents".to_owned(),
            true => {
                let (name, is) = (&file.name, described(&file.media_type));
                format!("takes documents of type {}: `{name}` is {is}", self.facts.documents.types)
            }
        };
        let message = self.says(&what);
        let hint = match reads_text(&file.media_type) || file.media_type == "application/pdf" {
            true => format!("give its text: `document.text` reads `{}`", file.name),
            false => "convert the file to PDF".to_owned(),
        };
        Failure::new(ErrorClass::BadRequest, message).with_hint(hint)
    }

    fn too_large(&self, what: &str, hint: &str) -> Failure {
        Failure::new(ErrorClass::TooLarge, self.says(what)).with_hint(hint)
    }

    fn says(&self, what: &str) -> String {
        format!("model `{}/{}` {what}", self.provider, self.model)
    }
}

/// Which sides of an image do not fit.
#[derive(Clone, Copy)]
struct Excess {
    of_type: bool,
    side: bool,
    bytes: bool,
}

impl Excess {
    fn of(file: &ArtifactRef, size: Option<Size>, limits: &ImageLimits) -> Self {
        let longest = size.map_or(0, |Size(width, height)| width.max(height));
        Self {
            of_type: !limits.types.takes(&file.media_type),
            side: limits.side.is_some_and(|most| longest > most),
            bytes: limits.bytes.is_some_and(|most| file.size > most),
        }
    }

    fn any(self) -> bool {
        self.of_type || self.side || self.bytes
    }

    /// What is taken instead, in words.
    fn taken(self, limits: &ImageLimits) -> String {
        let said = [
            self.of_type.then(|| limits.types.to_string()),
            limits.side.filter(|_| self.side).map(|side| format!("{side} pixels a side")),
            limits.bytes.filter(|_| self.bytes).map(|bytes| format!("{bytes} bytes an image")),
        ];
        said.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

fn counted(count: u32, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn images_of(messages: &[Message]) -> usize {
    let parts = messages.iter().flat_map(|message| &message.parts);
    parts.filter(|part| matches!(part, Part::Image(_))).count()
}

/// The pages of a file that are meant: what its part says, else what the request says.
fn selection(media: &Media, request: &Request) -> Result<Option<PageSelection>, Failure> {
    let said = media.options.get(PAGES).or_else(|| request.options.get(PAGES));
    let text = match said {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let selection = text.parse::<PageSelection>();
    selection.map(Some).map_err(|error| Failure::input(format!("`{PAGES}`: {error}")))
}

/// What was made in the place of its file; fields that only documents have are left out.
fn parts(made: &Made, media: &Media) -> Vec<Part> {
    let mut options = media.options.clone();
    options.retain(|name, _| !OF_DOCUMENTS.contains(&name.as_str()));
    let image = |page: &MadePage| {
        let file = MediaFile::Artifact(page.file.clone());
        Part::Image(Media { file, options: options.clone() })
    };
    made.pages().unwrap_or_default().iter().map(image).collect()
}

/// The name of an image's type, as people know it.
fn format_name(media_type: &str) -> String {
    MediaTypes::new(vec![media_type.to_owned()]).to_string()
}
