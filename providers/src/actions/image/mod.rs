//! `image.resize`, `image.crop`, `image.tile` and `image.annotate`: pictures as steps change
//! them, each with the scale that its boxes are read by.

mod annotate;
mod crop;
mod resize;
mod tile;

use std::sync::Arc;

use flow_core::action::{ActionRegistry, StepContext};
use flow_core::artifact::ArtifactRef;
use flow_core::error::{ErrorClass, Failure};
use serde_json::{Value, json};

use super::{artifact, blocking, bytes};
use crate::documents::encode_png;
use crate::pictures::{Area, Picture};

pub(super) fn register(registry: &mut ActionRegistry) {
    registry.add(Arc::new(resize::Resize::new()));
    registry.add(Arc::new(crop::Crop::new()));
    registry.add(Arc::new(tile::Tile::new()));
    registry.add(Arc::new(annotate::Annotate::new()));
}

/// The picture that a step is given, decoded, with its artifact.
async fn picture(input: &Value, context: &StepContext) -> Result<(ArtifactRef, Picture), Failure> {
    let image = artifact(input, "image")?;
    let bytes = bytes(context, &image).await?;
    let (name, known) = (image.name.clone(), image.dpi);
    let picture = blocking(move || Ok(Picture::decode(&name, &bytes, known)?)).await?;
    Ok((image, picture))
}

/// Keeps a picture as a PNG that knows its scale.
async fn keep(
    context: &StepContext,
    of: &ArtifactRef,
    what: &str,
    picture: Picture,
) -> Result<Value, Failure> {
    let (width, height) = picture.pixels.dimensions();
    let dpi = picture.dpi as f32;
    let png = blocking(move || Ok(encode_png(&picture.pixels, Some(dpi)))).await?;
    if context.cancel.is_cancelled() {
        return Err(Failure::new(ErrorClass::Cancelled, "the run was stopped"));
    }
    let stem = of.name.rsplit_once('.').map_or(of.name.as_str(), |(stem, _)| stem);
    let kept = context.intake.keep(png, &format!("{stem}-{what}.png")).await?;
    let (width, height, dpi) = (Some(width), Some(height), Some(dpi));
    Ok(ArtifactRef { width, height, dpi, page: of.page, ..kept }.to_value())
}

/// JSON Schema of the image that a step is given.
fn image_input() -> Value {
    json!({ "x-file": true, "description": "The image." })
}

/// JSON Schemas of the two ways to name a place.
fn place_inputs() -> (Value, Value) {
    let edge = json!({ "type": "number" });
    let region = json!({
        "type": "object",
        "properties": { "x0": edge, "y0": edge, "x1": edge, "y1": edge },
        "required": ["x0", "y0", "x1", "y1"],
        "additionalProperties": false,
        "description": "Where, in thousandths of the width and height, as tasks tell it.",
    });
    let corners = json!({
        "type": "array", "items": edge, "minItems": 4, "maxItems": 4,
        "description": "Where: `[x0, y0, x1, y1]` in points (1/72 inch) from the top left.",
    });
    (corners, region)
}

/// The place that an input names by `box` or by `region`.
fn place(input: &Value, picture: &Picture) -> Result<Area, Failure> {
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    match (&input["box"], &input["region"]) {
        (Value::Array(edges), Value::Null) => {
            let [x0, y0, x1, y1] = [0, 1, 2, 3].map(|at| edges.get(at).map_or(f64::NAN, number));
            Ok(Area { x0, y0, x1, y1 })
        }
        (Value::Null, region @ Value::Object(_)) => {
            let whole = picture.area();
            let along = |edge: &str, whole: f64| number(&region[edge]) / 1000.0 * whole;
            Ok(Area {
                x0: along("x0", whole.x1),
                y0: along("y0", whole.y1),
                x1: along("x1", whole.x1),
                y1: along("y1", whole.y1),
            })
        }
        _ => Err(one_place()),
    }
}

fn one_place() -> Failure {
    Failure::input("give one of `box` and `region`")
}

/// Whether what is written names exactly one place.
fn place_fault(with: &Value) -> Option<Failure> {
    let given = ["box", "region"].iter().filter(|key| with.get(**key).is_some());
    (given.count() != 1).then(one_place)
}
