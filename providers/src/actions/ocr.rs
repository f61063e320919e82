//! `document.ocr`: recognises the text on an image.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use flow_core::action::{Action, ActionSpec, Effect, Outcome, StepContext};
use flow_core::artifact::ArtifactRef;
use flow_core::error::{ErrorClass, Failure};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{ModelFolder, artifact, blocking, bytes, word_schema};
use crate::documents::{Limits, OcrEngine, OcrError, OcrModels, OcrPage, decode_image};

/// The recogniser of the process: loaded once, when the first page needs it.
pub(super) struct Reader {
    models: ModelFolder,
    threads: usize,
    engine: Mutex<Option<Arc<OcrEngine>>>,
    /// A page keeps every core busy; several at once would only take each other's time.
    turn: Arc<Semaphore>,
}

impl Reader {
    pub(super) fn new(models: ModelFolder, threads: usize) -> Self {
        Self { models, threads, engine: Mutex::new(None), turn: Arc::new(Semaphore::new(1)) }
    }

    fn engine(&self) -> Result<Arc<OcrEngine>, Failure> {
        let mut engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = &*engine {
            return Ok(Arc::clone(engine));
        }
        let models = OcrModels::in_folder(&self.models.folder);
        let loaded = Arc::new(OcrEngine::load(&models, &self.models.runtime, self.threads)?);
        *engine = Some(Arc::clone(&loaded));
        Ok(loaded)
    }

    /// Recognises the text on an image.
    pub(super) async fn read(
        self: &Arc<Self>,
        image: &ArtifactRef,
        context: &StepContext,
    ) -> Result<OcrPage, Failure> {
        let bytes = bytes(context, image).await?;
        let stopped = || Failure::new(ErrorClass::Cancelled, "the run was stopped");
        let turn = tokio::select! {
            turn = Arc::clone(&self.turn).acquire_owned() => turn.map_err(|_| stopped())?,
            () = context.cancel.cancelled() => return Err(stopped()),
        };
        let (reader, name, known) = (Arc::clone(self), image.name.clone(), image.dpi);
        // Dropping the future must stop the work: the token is cancelled with it.
        let dropped = context.cancel.child_token();
        let _guard = dropped.clone().drop_guard();
        blocking(move || {
            let _turn = turn;
            reader.read_bytes(&name, &bytes, known, &dropped)
        })
        .await
    }

    fn read_bytes(
        &self,
        name: &str,
        bytes: &[u8],
        known: Option<f32>,
        cancel: &CancellationToken,
    ) -> Result<OcrPage, Failure> {
        let engine = self.engine()?;
        let (image, dpi) = decode_image(name, bytes, &Limits::default())?;
        Ok(engine.read(&image, known.or(dpi), &|| cancel.is_cancelled())?)
    }
}

impl From<OcrError> for Failure {
    fn from(error: OcrError) -> Self {
        let class = match &error {
            OcrError::Cancelled => ErrorClass::Cancelled,
            OcrError::Run(_) => ErrorClass::Internal,
            OcrError::Missing(_)
            | OcrError::Damaged { .. }
            | OcrError::Unreadable { .. }
            | OcrError::NotBuiltIn(_)
            | OcrError::NoLibrary(_)
            | OcrError::Library { .. } => ErrorClass::NotFound,
        };
        let hint = error.hint().map(str::to_owned);
        let failure = Self::new(class, error.to_string());
        match hint {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}

/// Recognises the text on an image.
pub(super) struct Ocr {
    spec: ActionSpec,
    reader: Arc<Reader>,
}

impl Ocr {
    pub(super) fn new(reader: Arc<Reader>) -> Self {
        let spec = ActionSpec {
            name: "document.ocr",
            version: 1,
            summary: "Recognises the text on an image: lines and words with boxes.",
            effect: Effect::Pure,
            cacheable: true,
            takes_model: false,
            input: json!({
                "type": "object",
                "properties": { "image": { "x-file": true, "description": "The image." } },
                "required": ["image"],
                "additionalProperties": false,
            }),
            output: json!({
                "type": "object",
                "properties": {
                    "text": { "type": "string" },
                    "lines": { "type": "array", "items": word_schema() },
                    "words": { "type": "array", "items": word_schema() },
                },
                "additionalProperties": false,
            }),
        };
        Self { spec, reader }
    }
}

#[async_trait]
impl Action for Ocr {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn run(&self, input: Value, context: &StepContext) -> Result<Outcome, Failure> {
        let page = self.reader.read(&artifact(&input, "image")?, context).await?;
        Ok(Outcome::Done(json!({ "text": page.text, "lines": page.lines, "words": page.words })))
    }
}
