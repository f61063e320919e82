//! The document actions: what steps see of the readers.
//!
//! Each takes artifacts, does its work on a blocking thread, and yields plain data: pages
//! with words and boxes, so that a step behind it needs to know nothing of formats.

mod fields;
mod image;
mod ocr;
mod pages;
mod text;
mod video;

use std::path::PathBuf;
use std::sync::Arc;

use flow_core::action::{ActionRegistry, StepContext};
use flow_core::artifact::ArtifactRef;
use flow_core::error::{ErrorClass, Failure};
use serde_json::{Value, json};

use crate::documents::{DocumentError, Fault, OcrRuntime};

/// The folder of the OCR models, and what runs them. They are loaded when the first page needs
/// them.
#[derive(Clone, Debug)]
pub struct ModelFolder {
    folder: PathBuf,
    runtime: OcrRuntime,
}

impl ModelFolder {
    /// Names the folder. The models are run by `rten`.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, runtime: OcrRuntime::Rten }
    }

    /// Names what runs them.
    #[must_use]
    pub fn run_by(self, runtime: OcrRuntime) -> Self {
        Self { runtime, ..self }
    }
}

pub(crate) fn register(registry: &mut ActionRegistry, models: ModelFolder, threads: usize) {
    let reader = Arc::new(ocr::Reader::new(models, threads));
    registry.add(Arc::new(pages::Pages::new()));
    registry.add(Arc::new(ocr::Ocr::new(Arc::clone(&reader))));
    registry.add(Arc::new(text::Text::new(reader)));
    registry.add(Arc::new(fields::Extract::new()));
    image::register(registry);
    registry.add(Arc::new(video::VideoInfo::new()));
    registry.add(Arc::new(video::Frames::new()));
}

/// The artifact given under a key.
fn artifact(input: &Value, key: &str) -> Result<ArtifactRef, Failure> {
    ArtifactRef::from_value(&input[key]).ok_or_else(|| {
        Failure::input(format!("`{key}`: `{}` is no file", input[key]))
            .with_hint("a file is an input of type `file`, a path, or a step's artifact")
    })
}

/// The bytes of an artifact.
async fn bytes(context: &StepContext, artifact: &ArtifactRef) -> Result<Vec<u8>, Failure> {
    Ok(context.intake.artifacts().get(&artifact.hash).await?)
}

/// Does work that keeps a core busy where it holds nobody else up.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Failure::internal(format!("reading failed: {error}")))?
}

impl From<DocumentError> for Failure {
    fn from(error: DocumentError) -> Self {
        let class = match &error.fault {
            Fault::TimedOut { .. } | Fault::Crashed { .. } => ErrorClass::Limit,
            _ => ErrorClass::Input,
        };
        let hint = error.hint().to_owned();
        Self::new(class, error.to_string()).with_hint(hint)
    }
}

/// JSON Schema of a word or a line.
fn word_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "text": { "type": "string" },
            "box": { "type": "array", "items": { "type": "number" } },
            "confidence": { "type": "number" },
        },
        "additionalProperties": false,
    })
}

/// JSON Schema of an artifact that shows a page; null where a page has no pixels.
fn image_schema() -> Value {
    let mut image = flow_core::artifact::schema();
    image["type"] = json!(["object", "null"]);
    image
}
