//! `image.resize`: an image of another size that shows the same page.

use async_trait::async_trait;
use flow_core::action::{Action, ActionSpec, Effect, Outcome, StepContext};
use flow_core::error::Failure;
use serde_json::{Value, json};

use super::super::{blocking, image_schema};
use super::{image_input, keep, picture};

/// The most pixels of a side.
const MOST: u32 = 20_000;

/// The most pixels of the result, as of what may be decoded.
const MOST_PIXELS: u64 = 100_000_000;

/// What an image may be made to fit.
const SIZES: &[&str] = &["side", "width", "height"];

/// Makes an image smaller or larger.
pub(super) struct Resize(ActionSpec);

impl Resize {
    pub(super) fn new() -> Self {
        let size = |what: &str| json!({ "type": "integer", "minimum": 1, "maximum": MOST, "description": what });
        Self(ActionSpec {
            name: "image.resize",
            version: 1,
            summary: "Makes an image smaller, its shape and its boxes kept.",
            effect: Effect::Pure,
            cacheable: true,
            takes_model: false,
            input: json!({
                "type": "object",
                "properties": {
                    "image": image_input(),
                    "side": size("The most pixels of its longer side."),
                    "width": size("The most pixels of its width."),
                    "height": size("The most pixels of its height."),
                    "enlarge": { "type": "boolean", "description": "Whether a smaller one is made larger; it is left as it is where this is not said." },
                },
                "required": ["image"],
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
impl Action for Resize {
    fn spec(&self) -> &ActionSpec {
        &self.0
    }

    fn literal_faults(&self, with: &Value) -> Vec<(&'static str, Failure)> {
        let given = SIZES.iter().any(|key| with.get(*key).is_some());
        if given { Vec::new() } else { vec![("image", no_size())] }
    }

    async fn run(&self, input: Value, context: &StepContext) -> Result<Outcome, Failure> {
        let (image, picture) = picture(&input, context).await?;
        let (width, height) = wanted(&input, picture.pixels.dimensions())?;
        let resized = blocking(move || Ok(picture.resized(width, height))).await?;
        let image = keep(context, &image, &format!("{width}x{height}"), resized).await?;
        Ok(Outcome::Done(json!({ "image": image })))
    }
}

/// The size that fits all that is asked for, in the shape that the image has.
fn wanted(input: &Value, (width, height): (u32, u32)) -> Result<(u32, u32), Failure> {
    let given = |key: &str, side: u32| Some(input[key].as_f64()? / f64::from(side));
    let scales = [given("side", width.max(height)), given("width", width), given("height", height)];
    let scale = scales.into_iter().flatten().reduce(f64::min).ok_or_else(no_size)?;
    if scale >= 1.0 && input["enlarge"] != true {
        return Ok((width, height));
    }
    let scaled = |side: u32| ((f64::from(side) * scale).round() as u32).max(1);
    let (width, height) = (scaled(width), scaled(height));
    if u64::from(width) * u64::from(height) > MOST_PIXELS {
        let message =
            format!("an image of {width} x {height} pixels is too large: at most {MOST_PIXELS}");
        return Err(Failure::input(message).with_hint("ask for a smaller one"));
    }
    Ok((width, height))
}

fn no_size() -> Failure {
    Failure::input("give a size: `side`, `width` or `height`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_keeps_its_shape_and_grows_only_where_that_is_said() {
        for (input, expected) in [
            (json!({ "side": 100 }), (100, 50)),
            (json!({ "width": 100 }), (100, 50)),
            (json!({ "height": 100 }), (200, 100)),
            (json!({ "width": 100, "height": 10 }), (20, 10)),
            (json!({ "side": 4000 }), (400, 200)),
            (json!({ "side": 4000, "enlarge": true }), (4000, 2000)),
            (json!({ "side": 1 }), (1, 1)),
        ] {
            assert_eq!(wanted(&input, (400, 200)).unwrap(), expected, "{input}");
        }
        let huge = wanted(&json!({ "side": 20_000, "enlarge": true }), (300, 300)).unwrap_err();
        assert_eq!(
            huge.message,
            "an image of 20000 x 20000 pixels is too large: at most 100000000"
        );
    }
}
