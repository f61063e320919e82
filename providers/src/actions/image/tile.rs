//! `image.tile`: a large page in parts that a model can look at closely.

use async_trait::async_trait;
use flow_core::action::{Action, ActionSpec, Effect, Outcome, StepContext};
use flow_core::error::Failure;
use serde_json::{Value, json};

use super::super::image_schema;
use super::{image_input, keep, picture};
use crate::pictures::windows;

/// Pixels of a side where the step does not say: what most models look at unscaled.
const SIDE: u64 = 1_568;

/// The share of a side that tiles have in common where the step does not say.
const OVERLAP: f64 = 0.1;

/// The most tiles of an image.
const MOST: usize = 1_000;

/// Cuts an image into tiles.
pub(super) struct Tile(ActionSpec);

impl Tile {
    pub(super) fn new() -> Self {
        Self(ActionSpec {
            name: "image.tile",
            version: 1,
            summary: "Cuts a large image into tiles that overlap.",
            effect: Effect::Pure,
            cacheable: true,
            takes_model: false,
            input: json!({
                "type": "object",
                "properties": {
                    "image": image_input(),
                    "side": { "type": "integer", "minimum": 16, "maximum": 8192, "description": "The most pixels of a side, 1568 where nothing is said." },
                    "overlap": { "type": "number", "minimum": 0, "maximum": 0.9, "description": "The share of a side that neighbours have in common, 0.1 where nothing is said." },
                },
                "required": ["image"],
                "additionalProperties": false,
            }),
            output: json!({
                "type": "object",
                "properties": { "tiles": { "type": "array", "items": {
                    "type": "object",
                    "properties": {
                        "index": { "type": "integer" },
                        "row": { "type": "integer" },
                        "column": { "type": "integer" },
                        "image": image_schema(),
                        "box": { "type": "array", "items": { "type": "number" } },
                    },
                    "additionalProperties": false,
                } } },
                "additionalProperties": false,
            }),
        })
    }
}

#[async_trait]
impl Action for Tile {
    fn spec(&self) -> &ActionSpec {
        &self.0
    }

    async fn run(&self, input: Value, context: &StepContext) -> Result<Outcome, Failure> {
        let (image, picture) = picture(&input, context).await?;
        let side = u32::try_from(input["side"].as_u64().unwrap_or(SIDE)).unwrap_or(u32::MAX);
        let share = input["overlap"].as_f64().unwrap_or(OVERLAP);
        let overlap = (f64::from(side) * share).ceil() as u32;
        let windows = windows(picture.pixels.dimensions(), side, overlap.min(side - 1));
        if windows.len() > MOST {
            let message = format!(
                "`{}` would be cut into {} tiles, and at most {MOST} are",
                image.name,
                windows.len()
            );
            return Err(Failure::input(message).with_hint("raise `side`, or lower `overlap`"));
        }
        let mut tiles = Vec::with_capacity(windows.len());
        for (index, (row, column, window)) in windows.into_iter().enumerate() {
            let shown = picture.area_of(&window).to_json();
            let what = format!("{}-{}", row + 1, column + 1);
            let tile = keep(context, &image, &what, picture.cut(&window)).await?;
            tiles.push(json!({
                "index": index, "row": row, "column": column, "image": tile, "box": shown,
            }));
        }
        Ok(Outcome::Done(json!({ "tiles": tiles })))
    }
}
