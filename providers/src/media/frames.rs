//! Frames of a video, with the times at which they are shown.

use std::path::{Path, PathBuf};

use flow_core::error::{ErrorClass, Failure};

use super::{Info, ONLY, plain, run};

/// Which frames are taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pick {
    /// The first, and then the first of every so many seconds.
    Every(f64),
    /// So many, spread evenly.
    Count(u32),
    /// The first, and then each that differs from the one before by this share.
    Scene(f64),
}

/// A frame that was taken.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Taken {
    /// Where its image lies.
    pub(crate) file: PathBuf,
    /// When it is shown, in seconds from the beginning.
    pub(crate) time: f64,
    /// Width and height in pixels.
    pub(crate) size: (u32, u32),
}

/// The distance of two times that are the same: less than any frame is shown.
const SLACK: f64 = 0.000_5;

/// Takes frames of a video into a folder, as JPEG, at most `most` of them and none wider or higher
/// than `side` pixels. More than that is an error, for a part of them would tell another story.
///
/// Dropping the future kills the program that takes them.
pub(crate) async fn take(
    (file, name): (&Path, &str),
    info: &Info,
    pick: Pick,
    (most, side): (u32, u32),
    folder: &Path,
) -> Result<Vec<Taken>, Failure> {
    let scale =
        format!("scale=w='min({side},iw)':h='min({side},ih)':force_original_aspect_ratio=decrease");
    let filter = format!("select='{}',{scale},showinfo", condition(pick, info));
    let mut arguments: Vec<String> =
        ["-hide_banner", "-nostdin", "-v", "info", "-threads", "2"].map(str::to_owned).into();
    arguments.extend(ONLY.iter().map(|word| (*word).to_owned()));
    let limit = most.saturating_add(1).to_string();
    let (input, output) = (plain(file), plain(&folder.join("%06d.jpg")));
    arguments.extend(
        [
            "-i",
            &input,
            "-map",
            "0:v:0",
            "-an",
            "-sn",
            "-dn",
            "-vf",
            &filter,
            "-fps_mode",
            "passthrough",
            "-frames:v",
            &limit,
            "-q:v",
            "3",
            "-f",
            "image2",
            &output,
        ]
        .map(str::to_owned),
    );
    let said = run("ffmpeg", arguments, name).await?;
    let told = said.stderr.lines().filter_map(shown).enumerate();
    let taken = told.map(|(at, (time, size))| Taken {
        file: folder.join(format!("{:06}.jpg", at + 1)),
        time,
        size,
    });
    let mut taken: Vec<_> = taken.filter(|frame| frame.file.exists()).collect();
    if taken.len() > most as usize {
        let message = format!("`{name}` yields more than {most} frames");
        return Err(Failure::new(ErrorClass::Limit, message)
            .with_hint("take fewer (`every`, `count`), or raise `most`"));
    }
    if let Pick::Count(count) = pick {
        // What is shown longer than a share of the video is the frame of each of those.
        taken.truncate(count as usize);
    }
    Ok(taken)
}

/// The filter's condition for a frame to be taken. `t` is the frame's time, `prev_selected_t` that
/// of the one that was taken before.
fn condition(pick: Pick, info: &Info) -> String {
    // The first of each part: parts are told apart by their number.
    let parts = |length: f64, shift: f64| {
        let part = |of: &str| format!("floor(({of}-{shift:.6}+{SLACK})/{length:.6})");
        let (here, before) = (part("t"), part("prev_selected_t"));
        format!("gte(t,{:.6})*(isnan(prev_selected_t)+gt({here},{before}))", shift - SLACK)
    };
    match pick {
        Pick::Every(seconds) => parts(seconds, 0.0),
        Pick::Count(count) => {
            // The frame nearest to the middle of each part.
            let length = (info.duration / f64::from(count.max(1))).max(0.001);
            let frame = info.fps.map_or(0.0, |fps| 1.0 / fps);
            parts(length, ((length - frame) / 2.0).max(0.0))
        }
        Pick::Scene(share) => format!("eq(n,0)+gt(scene,{share:.6})"),
    }
}

/// The time and the size of the frame that a line of `showinfo` tells of.
fn shown(line: &str) -> Option<(f64, (u32, u32))> {
    if !line.contains("showinfo") {
        return None;
    }
    let value = |key: &str| {
        let (_, rest) = line.split_once(key)?;
        rest.split_whitespace().next()
    };
    let time = value(" pts_time:")?.parse().ok().filter(|time: &f64| time.is_finite())?;
    let (width, height) = value(" s:")?.split_once('x')?;
    Some((time, (width.parse().ok()?, height.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_frame_is_read_from_what_the_filter_says() {
        let line = "[Parsed_showinfo_2 @ 0x5] n:   3 pts:  38400 pts_time:3.04    duration:512 fmt:yuv420p cl:left sar:1/1 s:320x240 i:P";
        assert_eq!(shown(line), Some((3.04, (320, 240))));
        assert_eq!(shown("[Parsed_showinfo_2 @ 0x5] config in time_base: 1/12800"), None);
        assert_eq!(shown("frame= 3 pts_time:9 s:1x1"), None);
    }
}
