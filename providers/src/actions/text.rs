//! `document.text`: the words of pages, recognised where a page has none of its own.

use std::sync::Arc;

use async_trait::async_trait;
use flow_core::action::{Action, ActionSpec, Effect, Outcome, StepContext};
use flow_core::artifact::ArtifactRef;
use flow_core::error::Failure;
use serde_json::{Value, json};

use super::ocr::Reader;
use super::{image_schema, word_schema};

/// Gives every page its words.
pub(super) struct Text {
    spec: ActionSpec,
    reader: Arc<Reader>,
}

impl Text {
    pub(super) fn new(reader: Arc<Reader>) -> Self {
        let page = json!({
            "type": "object",
            "properties": {
                "number": { "type": "integer" },
                "width": { "type": "number" },
                "height": { "type": "number" },
                "image": image_schema(),
                "text": { "type": "string" },
                "words": { "type": "array", "items": word_schema() },
                "recognised": { "type": "boolean" },
            },
            "additionalProperties": false,
        });
        let spec = ActionSpec {
            name: "document.text",
            version: 2,
            summary: "Gives a page its words: its own text layer, or recognition where it has none.",
            effect: Effect::Pure,
            cacheable: true,
            takes_model: false,
            input: json!({
                "type": "object",
                "properties": {
                    "page": { "type": "object", "description": "A page of `document.pages`." },
                    "ocr": {
                        "enum": ["auto", "always", "never"],
                        "description": "Whether to recognise; `auto` where it is not given.",
                    },
                },
                "required": ["page"],
                "additionalProperties": false,
            }),
            output: page,
        };
        Self { spec, reader }
    }
}

#[async_trait]
impl Action for Text {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn run(&self, input: Value, context: &StepContext) -> Result<Outcome, Failure> {
        let page = &input["page"];
        let has_words = page["words"].as_array().is_some_and(|words| !words.is_empty());
        let has_text = page["text"].as_str().is_some_and(|text| !text.trim().is_empty());
        let recognise = match input["ocr"].as_str() {
            Some("always") => true,
            Some("never") => false,
            _ => !has_words && !has_text,
        };
        let image = ArtifactRef::from_value(&page["image"]).filter(|_| recognise);
        let Some(image) = image else {
            return Ok(Outcome::Done(json!({
                "number": page["number"],
                "width": page["width"],
                "height": page["height"],
                "image": page["image"],
                "text": page["text"],
                "words": page["words"],
                "recognised": false,
            })));
        };
        let read = self.reader.read(&image, context).await?;
        Ok(Outcome::Done(json!({
            "number": page["number"],
            "width": page["width"],
            "height": page["height"],
            "image": page["image"],
            "text": read.text,
            "words": read.words,
            "recognised": true,
        })))
    }
}
