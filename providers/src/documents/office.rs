//! Documents that are text: office formats, web pages, mail and tables, as Markdown.
//!
//! docling reads them into one model, here without its network, models and pictures: what
//! a document refers to is never fetched. They have neither words with boxes nor pixels,
//! since where text stands is decided only when they are printed. A presentation and a
//! workbook have a page a slide and a sheet, anything else is one page. Packages are
//! unpacked once beforehand, for their size only: not every reader within bounds it.

use std::error::Error;
use std::sync::Arc;

use docling::{
    ConversionError, ConversionStatus, DocumentConverter, EncryptionError, ImageSources,
    InputFormat, SourceDocument,
};

use super::error::Fault;
use super::guard::fenced;
use super::open::Limits;
use super::sniff::{DOCX, EPUB, PPTX, XLSX};
use super::unpacked;

/// What the reader writes between pages; a form feed is no character of any XML.
const PAGE_BREAK: &str = "\u{c}";

/// Reads a document as Markdown, page by page; always one page or more.
pub(crate) fn read(
    bytes: Arc<[u8]>,
    media: &'static str,
    limits: &Limits,
) -> Result<Vec<String>, Fault> {
    let Some(format) = format_of(media) else {
        return Err(Fault::Unsupported { media });
    };
    let max = limits.max_pages;
    fenced("reading the document", limits.max_time, move || {
        if matches!(media, DOCX | PPTX | XLSX | EPUB) {
            unpacked::check_package(&bytes, media)?;
        }
        let source = SourceDocument::from_bytes("document", format, bytes.to_vec());
        if format == InputFormat::Text {
            let text = source.text().map_err(|e| refusal(media, &e))?;
            return Ok(vec![text.trim_start_matches('\u{feff}').to_owned()]);
        }
        let pages = convert(source, media)?;
        match u32::try_from(pages.len()) {
            Ok(count) if count <= max => Ok(pages),
            _ => Err(Fault::TooManyPages { pages: pages.len() as u64, max }),
        }
    })
}

/// Whether a document of a media type is read as text.
pub(crate) fn reads(media: &str) -> bool {
    format_of(media).is_some()
}

fn format_of(media: &str) -> Option<InputFormat> {
    Some(match media {
        DOCX => InputFormat::Docx,
        PPTX => InputFormat::Pptx,
        XLSX => InputFormat::Xlsx,
        EPUB => InputFormat::Epub,
        "text/html" => InputFormat::Html,
        "text/csv" => InputFormat::Csv,
        "message/rfc822" => InputFormat::Email,
        // Already what a model reads.
        "text/plain" | "text/markdown" | "application/json" | "application/xml" => {
            InputFormat::Text
        }
        _ => return None,
    })
}

fn convert(source: SourceDocument, media: &'static str) -> Result<Vec<String>, Fault> {
    let result = DocumentConverter::new()
        .image_sources(ImageSources::None)
        .page_break_placeholder(Some(PAGE_BREAK.to_owned()))
        .convert(source)
        .map_err(|e| refusal(media, &e))?;
    if result.status == ConversionStatus::Failure {
        let detail = result.errors.first().map_or_else(
            || "its structure cannot be read".to_owned(),
            |item| item.error_message.clone(),
        );
        return Err(Fault::damaged(media, detail));
    }
    for part in &result.errors {
        tracing::warn!(media, problem = part.error_message, "part of a document left out");
    }
    let markdown = result.document.export_to_markdown();
    Ok(markdown.split(PAGE_BREAK).map(|page| page.trim().to_owned()).collect())
}

/// Only the innermost message says what is wrong; those around it name the reader.
fn refusal(media: &'static str, error: &ConversionError) -> Fault {
    let mut cause: &dyn Error = error;
    loop {
        if cause.is::<EncryptionError>() {
            return Fault::Encrypted;
        }
        match cause.source() {
            Some(inner) => cause = inner,
            None => return Fault::damaged(media, cause),
        }
    }
}
