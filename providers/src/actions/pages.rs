//! `document.pages`: opens a document and yields its pages.

use std::sync::Arc;

use async_trait::async_trait;
use flow_core::action::{Action, ActionSpec, Effect, Outcome, StepContext};
use flow_core::artifact::ArtifactRef;
use flow_core::error::{ErrorClass, Failure};
use serde_json::{Value, json};

use super::{artifact, blocking, bytes, image_schema, word_schema};
use crate::documents::{Limits, OpenDocument, Page, PageSelection, Rendered, encode_png};

/// Pixels an inch where the step does not say.
const DPI: f64 = 150.0;

/// Opens a document.
pub(super) struct Pages(ActionSpec);

impl Pages {
    pub(super) fn new() -> Self {
        Self(ActionSpec {
            name: "document.pages",
            version: 1,
            summary: "Opens a PDF, image or office document: pages with pixels, text and words.",
            effect: Effect::Pure,
            cacheable: true,
            takes_model: false,
            input: json!({
                "type": "object",
                "properties": {
                    "file": { "x-file": true, "description": "The document." },
                    "dpi": {
                        "type": "number", "minimum": 20, "maximum": 1200,
                        "description": "Pixels an inch; 150 where it is not given.",
                    },
                    "pages": {
                        "type": ["string", "integer"],
                        "description": "Which pages, e.g. `1-3,7,9-`; all where it is not given.",
                    },
                },
                "required": ["file"],
                "additionalProperties": false,
            }),
            output: output_schema(),
        })
    }
}

fn output_schema() -> Value {
    json!({
        "type": "object",
        "properties": { "pages": { "type": "array", "items": {
            "type": "object",
            "properties": {
                "number": { "type": "integer" },
                "width": { "type": "number" },
                "height": { "type": "number" },
                "image": image_schema(),
                "text": { "type": "string" },
                "words": { "type": "array", "items": word_schema() },
            },
            "additionalProperties": false,
        } } },
        "additionalProperties": false,
    })
}

#[async_trait]
impl Action for Pages {
    fn spec(&self) -> &ActionSpec {
        &self.0
    }

    async fn run(&self, input: Value, context: &StepContext) -> Result<Outcome, Failure> {
        let file = artifact(&input, "file")?;
        let dpi = input["dpi"].as_f64().unwrap_or(DPI) as f32;
        let name = file.name.clone();
        let bytes = bytes(context, &file).await?;
        let document = blocking(move || Ok(OpenDocument::open(&name, bytes, &Limits::default())?));
        let document = Arc::new(document.await?);
        let mut pages = Vec::new();
        for number in selected(&input["pages"], document.page_count())? {
            if context.cancel.is_cancelled() {
                return Err(Failure::new(ErrorClass::Cancelled, "the run was stopped"));
            }
            let opened = Arc::clone(&document);
            let (page, drawn) =
                blocking(move || Ok((opened.page(number)?, draw(&opened, number, dpi)?))).await?;
            let image = match drawn {
                Some(drawn) => Some(keep(context, &file.name, number, drawn).await?),
                None => None,
            };
            pages.push(page_json(&page, image.as_ref()));
        }
        Ok(Outcome::Done(json!({ "pages": pages })))
    }
}

/// A page's pixels, encoded.
struct Drawn {
    png: Vec<u8>,
    width: u32,
    height: u32,
    dpi: f32,
}

fn draw(document: &OpenDocument, number: u32, dpi: f32) -> Result<Option<Drawn>, Failure> {
    let Some(Rendered { image, dpi }) = document.render(number, dpi)? else {
        return Ok(None);
    };
    let (width, height) = image.dimensions();
    Ok(Some(Drawn { png: encode_png(&image, Some(dpi)), width, height, dpi }))
}

async fn keep(
    context: &StepContext,
    name: &str,
    number: u32,
    drawn: Drawn,
) -> Result<ArtifactRef, Failure> {
    let kept = context.intake.keep(drawn.png, &format!("{name}-{number}.png")).await?;
    Ok(ArtifactRef {
        width: Some(drawn.width),
        height: Some(drawn.height),
        dpi: Some(drawn.dpi),
        page: Some(number),
        ..kept
    })
}

fn selected(pages: &Value, count: u32) -> Result<Vec<u32>, Failure> {
    let text = match pages {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let selection =
        if text.is_empty() { Ok(PageSelection::default()) } else { text.parse::<PageSelection>() };
    selection
        .and_then(|selection| selection.select(count))
        .map_err(|error| Failure::input(format!("`pages`: {error}")))
}

fn page_json(page: &Page, image: Option<&ArtifactRef>) -> Value {
    json!({
        "number": page.number,
        "width": page.width,
        "height": page.height,
        "image": image.map(ArtifactRef::to_value),
        "text": page.text,
        "words": page.words,
    })
}
