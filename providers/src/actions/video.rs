//! `video.info` and `video.frames`: what a video is, and pictures out of it.

use std::path::PathBuf;

use async_trait::async_trait;
use flow_core::action::{Action, ActionSpec, Effect, Outcome, StepContext};
use flow_core::artifact::ArtifactRef;
use flow_core::error::{ErrorClass, Failure};
use serde_json::{Value, json};

use super::{artifact, image_schema};
use crate::media::{self, Pick};

/// The most frames that a step may ask for.
const MOST: u32 = 10_000;

/// Tells what a video is.
pub(super) struct VideoInfo(ActionSpec);

impl VideoInfo {
    pub(super) fn new() -> Self {
        Self(ActionSpec {
            name: "video.info",
            version: 1,
            summary: "Tells how long a video is, how large and how fast; needs ffmpeg.",
            effect: Effect::Pure,
            cacheable: true,
            takes_model: false,
            input: json!({
                "type": "object",
                "properties": { "video": { "x-file": true, "description": "The video." } },
                "required": ["video"],
                "additionalProperties": false,
            }),
            output: json!({
                "type": "object",
                "properties": {
                    "duration": { "type": "number" },
                    "width": { "type": "integer" },
                    "height": { "type": "integer" },
                    "fps": { "type": ["number", "null"] },
                    "codec": { "type": ["string", "null"] },
                    "audio": { "type": "boolean" },
                },
                "additionalProperties": false,
            }),
        })
    }
}

#[async_trait]
impl Action for VideoInfo {
    fn spec(&self) -> &ActionSpec {
        &self.0
    }

    async fn run(&self, input: Value, context: &StepContext) -> Result<Outcome, Failure> {
        let (file, video) = local(&input, context)?;
        let info = until_stopped(context, media::info(&file, &video.name)).await?;
        Ok(Outcome::Done(json!({
            "duration": info.duration,
            "width": info.width,
            "height": info.height,
            "fps": info.fps,
            "codec": info.codec,
            "audio": info.audio,
        })))
    }
}

/// Takes frames of a video.
pub(super) struct Frames(ActionSpec);

impl Frames {
    pub(super) fn new() -> Self {
        Self(ActionSpec {
            name: "video.frames",
            version: 1,
            summary: "Takes frames of a video, each with its time; needs ffmpeg.",
            effect: Effect::Pure,
            cacheable: true,
            takes_model: false,
            input: json!({
                "type": "object",
                "properties": {
                    "video": { "x-file": true, "description": "The video." },
                    "every": { "type": "number", "exclusiveMinimum": 0, "description": "One for every so many seconds." },
                    "count": { "type": "integer", "minimum": 1, "maximum": MOST, "description": "So many, spread evenly." },
                    "scene": { "type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1, "description": "One where the picture changes by this share, e.g. 0.3." },
                    "most": { "type": "integer", "minimum": 1, "maximum": MOST, "description": "The most frames, 500 where nothing is said; more are an error." },
                    "side": { "type": "integer", "minimum": 16, "maximum": 8192, "description": "The most pixels of a side, 1024 where nothing is said." },
                },
                "required": ["video"],
                "additionalProperties": false,
            }),
            output: json!({
                "type": "object",
                "properties": {
                    "duration": { "type": "number" },
                    "frames": { "type": "array", "items": {
                        "type": "object",
                        "properties": {
                            "index": { "type": "integer" },
                            "time": { "type": "number" },
                            "image": image_schema(),
                        },
                        "additionalProperties": false,
                    } },
                },
                "additionalProperties": false,
            }),
        })
    }
}

#[async_trait]
impl Action for Frames {
    fn spec(&self) -> &ActionSpec {
        &self.0
    }

    fn literal_faults(&self, with: &Value) -> Vec<(&'static str, Failure)> {
        let given = PICKS.iter().filter(|key| with.get(**key).is_some());
        match given.count() {
            1 => Vec::new(),
            _ => vec![("video", which())],
        }
    }

    async fn run(&self, input: Value, context: &StepContext) -> Result<Outcome, Failure> {
        let (file, video) = local(&input, context)?;
        let pick = pick(&input)?;
        let number = |key: &str, usual: u32| {
            input[key].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(usual)
        };
        let bounds = (number("most", 500), number("side", 1024));
        let name = video.name.as_str();
        let folder = tempfile::tempdir().map_err(|error| {
            Failure::new(ErrorClass::Io, format!("cannot make a folder for frames: {error}"))
        })?;
        let (info, taken) = until_stopped(context, async {
            let info = media::info(&file, name).await?;
            let taken = media::take((&file, name), &info, pick, bounds, folder.path()).await?;
            Ok((info, taken))
        })
        .await?;
        let mut frames = Vec::with_capacity(taken.len());
        for (index, frame) in taken.iter().enumerate() {
            let named = format!("{name} at {:.3} s", frame.time);
            let image = context.intake.take(&named, &frame.file).await?;
            let (width, height) = frame.size;
            let image = ArtifactRef { width: Some(width), height: Some(height), ..image };
            frames.push(json!({ "index": index, "time": frame.time, "image": image.to_value() }));
        }
        Ok(Outcome::Done(json!({ "duration": info.duration, "frames": frames })))
    }
}

/// The keys that say which frames, of which one is given.
const PICKS: &[&str] = &["every", "count", "scene"];

fn which() -> Failure {
    Failure::input("`video.frames` takes exactly one of `every`, `count` and `scene`")
        .with_hint("e.g. `every: 5`, one frame for every five seconds")
}

fn pick(input: &Value) -> Result<Pick, Failure> {
    let number = |key: &str| input[key].as_f64();
    match (number("every"), number("count"), number("scene")) {
        (Some(seconds), None, None) => Ok(Pick::Every(seconds)),
        (None, Some(count), None) => Ok(Pick::Count(count as u32)),
        (None, None, Some(share)) => Ok(Pick::Scene(share)),
        _ => Err(which()),
    }
}

/// The video, and where its bytes lie.
fn local(input: &Value, context: &StepContext) -> Result<(PathBuf, ArtifactRef), Failure> {
    let video = artifact(input, "video")?;
    if !video.media_type.starts_with("video/") && video.media_type != "image/gif" {
        let message = format!("`video`: `{}` is {}, and no video", video.name, video.media_type);
        return Err(Failure::input(message)
            .with_hint("the type is read from the file's bytes, not its name"));
    }
    Ok((context.intake.artifacts().local_path(&video.hash)?, video))
}

/// Does work until somebody says stop; the program that does it is killed then.
async fn until_stopped<T>(
    context: &StepContext,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        done = work => done,
        () = context.cancel.cancelled() => {
            Err(Failure::new(ErrorClass::Cancelled, "the step was stopped"))
        }
    }
}
