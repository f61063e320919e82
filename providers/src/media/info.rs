//! What a video is: how long, how large, how fast.

use std::path::Path;

use flow_core::error::Failure;
use serde_json::Value;

use super::{ONLY, plain, run};

/// What is known of a video.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Info {
    /// Length in seconds.
    pub(crate) duration: f64,
    /// Width in pixels.
    pub(crate) width: u64,
    /// Height in pixels.
    pub(crate) height: u64,
    /// Frames a second, on average.
    pub(crate) fps: Option<f64>,
    /// What it is coded by, e.g. `h264`.
    pub(crate) codec: Option<String>,
    /// Whether there is sound.
    pub(crate) audio: bool,
}

/// Reads what a video is. Dropping the future kills the program that looks.
pub(crate) async fn info(file: &Path, name: &str) -> Result<Info, Failure> {
    let mut arguments: Vec<String> = ["-v", "error"].map(str::to_owned).into();
    arguments.extend(ONLY.iter().map(|word| (*word).to_owned()));
    arguments
        .extend(["-of", "json", "-show_format", "-show_streams", &plain(file)].map(str::to_owned));
    let said = run("ffprobe", arguments, name).await?;
    let told: Value = serde_json::from_str(&said.stdout)
        .map_err(|error| Failure::internal(format!("`ffprobe` said no JSON: {error}")))?;
    of(&told).ok_or_else(|| {
        Failure::input(format!("`{name}` holds no pictures that move"))
            .with_hint("a sound is heard by models that take `audio`")
    })
}

fn of(told: &Value) -> Option<Info> {
    let streams = told["streams"].as_array()?;
    let kind = |stream: &&Value, kind: &str| stream["codec_type"] == kind;
    let video = streams.iter().find(|stream| kind(stream, "video"))?;
    let seconds = |value: &Value| value.as_str()?.parse().ok().filter(|s: &f64| s.is_finite());
    let length = seconds(&video["duration"]).or_else(|| seconds(&told["format"]["duration"]));
    let rate = video["avg_frame_rate"].as_str().and_then(|rate| {
        let (frames, seconds) = rate.split_once('/')?;
        let (frames, seconds): (f64, f64) = (frames.parse().ok()?, seconds.parse().ok()?);
        (seconds > 0.0 && frames > 0.0).then(|| frames / seconds)
    });
    Some(Info {
        duration: length.unwrap_or_default(),
        width: video["width"].as_u64()?,
        height: video["height"].as_u64()?,
        fps: rate,
        codec: video["codec_name"].as_str().map(str::to_owned),
        audio: streams.iter().any(|stream| kind(&stream, "audio")),
    })
}
