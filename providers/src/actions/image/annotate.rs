//! `image.annotate`: boxes and labels drawn on an image.

use async_trait::async_trait;
use flow_core::action::{Action, ActionSpec, Effect, Outcome, StepContext};
use flow_core::error::Failure;
use serde_json::{Value, json};

use super::super::{blocking, image_schema};
use super::{image_input, keep, picture, place, place_inputs};
use crate::pictures::{Mark, Picture, annotate};

/// The most boxes of an image.
const MOST: usize = 5_000;

/// Colours of boxes that say none, one after the other; told apart by most eyes.
const COLOURS: [[u8; 3]; 6] =
    [[213, 94, 0], [0, 114, 178], [0, 158, 115], [204, 121, 167], [86, 80, 190], [120, 94, 16]];

/// Draws on an image.
pub(super) struct Annotate(ActionSpec);

impl Annotate {
    pub(super) fn new() -> Self {
        let (corners, region) = place_inputs();
        Self(ActionSpec {
            name: "image.annotate",
            version: 1,
            summary: "Draws boxes and labels on an image.",
            effect: Effect::Pure,
            cacheable: true,
            takes_model: false,
            input: json!({
                "type": "object",
                "properties": {
                    "image": image_input(),
                    "boxes": { "type": "array", "maxItems": MOST, "description": "What is drawn, the later over the earlier.", "items": {
                        "type": "object",
                        "properties": {
                            "box": corners,
                            "region": region,
                            "label": { "type": ["string", "number", "null"], "description": "What stands above it." },
                            "colour": { "type": "string", "pattern": "^#[0-9a-fA-F]{6}$", "description": "As `#d55e00`." },
                        },
                        "additionalProperties": false,
                    } },
                },
                "required": ["image", "boxes"],
                "additionalProperties": false,
            }),
            output: json!({
                "type": "object",
                "properties": { "image": image_schema() },
                "additionalProperties": false,
            }),
        })
    }
}

#[async_trait]
impl Action for Annotate {
    fn spec(&self) -> &ActionSpec {
        &self.0
    }

    async fn run(&self, input: Value, context: &StepContext) -> Result<Outcome, Failure> {
        let (image, mut picture) = picture(&input, context).await?;
        let boxes = input["boxes"].as_array().map(Vec::as_slice).unwrap_or_default();
        let marks = boxes.iter().enumerate().map(|(at, given)| mark(at, given, &picture));
        let marks = marks.collect::<Result<Vec<_>, _>>()?;
        let picture = blocking(move || {
            annotate(&mut picture, &marks);
            Ok(picture)
        })
        .await?;
        let image = keep(context, &image, "marked", picture).await?;
        Ok(Outcome::Done(json!({ "image": image })))
    }
}

fn mark(at: usize, given: &Value, picture: &Picture) -> Result<Mark, Failure> {
    let area = place(given, picture).map_err(|fault| Failure {
        message: format!("`boxes.{at}`: {}", fault.message),
        ..fault
    })?;
    let label = match &given["label"] {
        Value::String(label) => Some(label.clone()),
        Value::Number(label) => Some(label.to_string()),
        _ => None,
    };
    let colour = given["colour"].as_str().and_then(colour);
    Ok(Mark { area, label, colour: colour.unwrap_or(COLOURS[at % COLOURS.len()]) })
}

/// A colour as `#d55e00`.
fn colour(text: &str) -> Option<[u8; 3]> {
    let digits = u32::from_str_radix(text.strip_prefix('#')?, 16).ok()?;
    let [_, red, green, blue] = digits.to_be_bytes();
    Some([red, green, blue])
}
