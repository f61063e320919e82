//! `image.crop`: the part of an image within a box.

use async_trait::async_trait;
use flow_core::action::{Action, ActionSpec, Effect, Outcome, StepContext};
use flow_core::error::Failure;
use serde_json::{Value, json};

use super::super::image_schema;
use super::{image_input, keep, picture, place, place_fault, place_inputs};

/// Cuts a part out of an image.
pub(super) struct Crop(ActionSpec);

impl Crop {
    pub(super) fn new() -> Self {
        let (corners, region) = place_inputs();
        Self(ActionSpec {
            name: "image.crop",
            version: 1,
            summary: "Cuts the part of an image out that a box names.",
            effect: Effect::Pure,
            cacheable: true,
            takes_model: false,
            input: json!({
                "type": "object",
                "properties": {
                    "image": image_input(),
                    "box": corners,
                    "region": region,
                    "margin": { "type": "number", "minimum": 0, "maximum": 10_000, "description": "Points around it that are kept, 0 where nothing is said." },
                },
                "required": ["image"],
                "additionalProperties": false,
            }),
            output: json!({
                "type": "object",
                "properties": {
                    "image": image_schema(),
                    "box": { "type": "array", "items": { "type": "number" } },
                },
                "additionalProperties": false,
            }),
        })
    }
}

#[async_trait]
impl Action for Crop {
    fn spec(&self) -> &ActionSpec {
        &self.0
    }

    fn literal_faults(&self, with: &Value) -> Vec<(&'static str, Failure)> {
        place_fault(with).map(|fault| ("image", fault)).into_iter().collect()
    }

    async fn run(&self, input: Value, context: &StepContext) -> Result<Outcome, Failure> {
        let (image, picture) = picture(&input, context).await?;
        let mut area = place(&input, &picture)?;
        let margin = input["margin"].as_f64().unwrap_or(0.0);
        let window = (area.x1 > area.x0 && area.y1 > area.y0).then(|| {
            area.x0 -= margin;
            area.y0 -= margin;
            area.x1 += margin;
            area.y1 += margin;
            picture.window(&area)
        });
        let Some(window) = window.flatten() else {
            let message = format!(
                "the box {} shows nothing of `{}`, which is {}",
                area.to_json(),
                image.name,
                picture.area().to_json()
            );
            return Err(Failure::input(message)
                .with_hint("a box is `[x0, y0, x1, y1]` in points from the top left"));
        };
        let shown = picture.area_of(&window).to_json();
        let image = keep(context, &image, "part", picture.cut(&window)).await?;
        Ok(Outcome::Done(json!({ "image": image, "box": shown })))
    }
}
