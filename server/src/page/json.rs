//! Values as they are shown.

use flow_core::artifact::{ArtifactRef, for_each_artifact};
use flow_core::store::Store;
use serde::Serialize;
use serde_json::Value;

use super::format::bytes;
use super::render::Fault;

/// The most characters of a value that a page holds.
const LONGEST: usize = 60_000;

/// The most files of a value that are shown beside it.
const FILES: usize = 60;

/// A value, and the files it points to.
#[derive(Serialize)]
pub(super) struct Shown {
    text: String,
    /// What is left out of the text.
    left_out: Option<String>,
    pub(super) files: Vec<FileView>,
    more_files: usize,
}

/// A file of the store.
#[derive(Serialize)]
pub(super) struct FileView {
    href: String,
    name: String,
    media_type: String,
    size: String,
    /// Whether it can stand in the page as a picture.
    pub(super) image: bool,
}

impl FileView {
    pub(super) fn of(artifact: &ArtifactRef) -> Self {
        Self {
            href: address(artifact),
            name: artifact.name.clone(),
            media_type: artifact.media_type.clone(),
            size: bytes(artifact.size),
            image: is_image(&artifact.media_type),
        }
    }
}

/// Whether browsers show it as a picture, and nothing else.
pub(super) fn is_image(media_type: &str) -> bool {
    matches!(media_type, "image/png" | "image/jpeg" | "image/webp" | "image/gif")
}

/// Where a file of the store is served.
pub(super) fn address(artifact: &ArtifactRef) -> String {
    format!("/files/{}", artifact.hash.hex())
}

impl Shown {
    pub(super) fn of(value: &Value) -> Self {
        let whole = value.as_str().map_or_else(|| format!("{value:#}"), str::to_owned);
        let (text, left_out) = shortened(whole);
        let (mut files, mut more_files) = (Vec::new(), 0);
        let mut seen = std::collections::HashSet::new();
        for_each_artifact(value, &mut |artifact| {
            if !seen.insert(artifact.hash) {
                return;
            }
            match files.len() < FILES {
                true => files.push(FileView::of(&artifact)),
                false => more_files += 1,
            }
        });
        Self { text, left_out, files, more_files }
    }

    /// A value as a row holds it; none where there is none.
    pub(super) async fn packed(
        store: &Store,
        value: Option<&Value>,
    ) -> Result<Option<Self>, Fault> {
        let Some(value) = value else { return Ok(None) };
        Ok(Some(Self::of(&store.unpack(value.clone()).await?)))
    }
}

/// A text that a page can hold, and what is said of the rest.
pub(super) fn shortened(text: String) -> (String, Option<String>) {
    match text.char_indices().nth(LONGEST) {
        None => (text, None),
        Some((end, _)) => {
            let left_out = format!("{} more are not shown", bytes((text.len() - end) as u64));
            (text[..end].to_owned(), Some(left_out))
        }
    }
}

/// A value as one line of a table.
pub(super) fn line(value: &Value, most: usize) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let line = text.replace('\n', " ");
    if line.chars().count() <= most {
        line
    } else {
        line.chars().take(most.saturating_sub(1)).chain(['…']).collect()
    }
}
