//! Frames of a real video: how many, and when.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::process::Command;

use serde_json::{Value, json};
use support::{World, say};

/// A folder with a video of ten seconds, 25 frames each, whose picture changes wholly at 4 s; none
/// where there is no ffmpeg.
fn world() -> Option<World> {
    let world = World::new();
    let source = "testsrc=duration=4:size=320x240:rate=25[a];color=c=red:duration=6:size=320x240:rate=25[b];[a][b]concat=n=2:v=1:a=0";
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-filter_complex", source, "-pix_fmt", "yuv420p", "-y"])
        .arg(world.path("clip.mp4"))
        .status();
    if !made.is_ok_and(|status| status.success()) {
        say("skipped: there is no ffmpeg to make a video with");
        return None;
    }
    Some(world)
}

fn run(world: &World, with: &str) -> support::Output {
    world.write(
        "w.yaml",
        &format!("steps: [{{id: a, uses: video.frames, with: {{video: clip.mp4, {with}}}}}]\noutputs: {{a: '{{{{ steps.a.output }}}}'}}\n"),
    );
    world.flow(&["run", "w.yaml", "--json"])
}

fn times(world: &World, with: &str) -> Vec<f64> {
    let output = run(world, with).exits(0).json();
    let frames = output["outputs"]["a"]["frames"].as_array().unwrap().clone();
    for (at, frame) in frames.iter().enumerate() {
        assert_eq!(frame["index"], json!(at));
        assert_eq!(frame["image"]["media_type"], "image/jpeg");
    }
    frames.iter().map(|frame| frame["time"].as_f64().unwrap()).collect()
}

#[test]
fn frames_are_as_many_as_asked_and_at_their_times() {
    let Some(world) = world() else { return };
    assert_eq!(times(&world, "every: 2"), [0.0, 2.0, 4.0, 6.0, 8.0]);
    assert_eq!(times(&world, "every: 0.5").len(), 20);
    assert_eq!(times(&world, "every: 60"), [0.0]);
    assert_eq!(times(&world, "count: 5"), [1.0, 3.0, 5.0, 7.0, 9.0]);
    assert_eq!(times(&world, "count: 1"), [5.0]);
    assert_eq!(times(&world, "count: 250, most: 250").len(), 250, "every frame there is");
    assert_eq!(times(&world, "scene: 0.3"), [0.0, 4.0]);
}

#[test]
fn a_frame_is_no_larger_than_asked() {
    let Some(world) = world() else { return };
    let output = run(&world, "count: 1, side: 100").exits(0).json();
    let image = &output["outputs"]["a"]["frames"][0]["image"];
    assert_eq!((&image["width"], &image["height"]), (&json!(100), &json!(75)));
}

#[test]
fn more_frames_than_allowed_are_an_error_and_not_a_part_of_them() {
    let Some(world) = world() else { return };
    let output = run(&world, "every: 1, most: 3").exits(1).json();
    assert_eq!(output["steps"]["a"]["error"]["class"], "limit");
    assert_eq!(output["steps"]["a"]["error"]["message"], "`clip.mp4` yields more than 3 frames");
}

#[test]
fn what_a_video_is_is_told() {
    let Some(world) = world() else { return };
    world.write(
        "w.yaml",
        "steps: [{id: a, uses: video.info, with: {video: clip.mp4}}]\noutputs: {a: '{{ steps.a.output }}'}\n",
    );
    let output = world.flow(&["run", "w.yaml", "--json"]).exits(0).json();
    let mut info = output["outputs"]["a"].clone();
    assert!(info["codec"].is_string());
    info["codec"] = Value::Null;
    assert_eq!(
        info,
        json!({ "duration": 10.0, "width": 320, "height": 240, "fps": 25.0, "codec": null, "audio": false })
    );
}

#[test]
fn frames_are_shown_to_a_model_with_their_times() {
    let Some(world) = world() else { return };
    world.script("model.sh", "#!/bin/sh\ncat > asked\ncat answer\n");
    let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/workflows/tasks/cases/video.json");
    let cases: Value = serde_json::from_str(&std::fs::read_to_string(cases).unwrap()).unwrap();
    world.write("answer", &cases["good"][0].to_string());
    world.write(
        "w.yaml",
        "providers: {mine: {type: command, command: [./model.sh]}}\nsteps:\n  \
         - {id: frames, uses: video.frames, with: {video: clip.mp4, every: 5}}\n  \
         - {id: video, uses: task.video, model: mine/m, with: {frames: '{{ steps.frames.output.frames }}'}}\n",
    );
    world.flow(&["run", "w.yaml", "--json"]).exits(0);
    let asked: Value =
        serde_json::from_str(&std::fs::read_to_string(world.path("asked")).unwrap()).unwrap();
    let parts = asked["messages"][0]["content"].as_array().unwrap();
    assert_eq!(parts[0], json!({ "text": "At 0.0 s:" }));
    assert!(parts[1]["image"].is_object());
    assert_eq!(parts[2], json!({ "text": "At 5.0 s:" }));
}

#[test]
fn what_cannot_be_read_is_said() {
    let Some(world) = world() else { return };
    let fault = |name: &str, bytes: &[u8]| {
        std::fs::write(world.path("clip.mp4"), bytes).unwrap();
        let output = run(&world, "every: 1").exits(1).json();
        let error = output["steps"]["a"]["error"].clone();
        assert_eq!(error["class"], "input", "{name}: {error}");
        error["message"].as_str().unwrap().to_owned()
    };
    let broken = fault("a broken video", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom");
    assert!(broken.starts_with("`ffprobe` cannot read `clip.mp4`: "), "{broken}");
    let playlist = fault("a playlist", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n");
    assert_eq!(playlist, "`video`: `clip.mp4` is text/plain, and no video");
}

#[test]
fn which_frames_is_said_once() {
    let world = World::new();
    for with in ["every: 1, count: 2", "most: 5"] {
        let output = run(&world, with).exits(2);
        assert!(
            output
                .stderr
                .contains("`video.frames` takes exactly one of `every`, `count` and `scene`"),
            "{}",
            output.stderr
        );
    }
}

#[test]
fn without_ffmpeg_it_says_how_to_get_it() {
    let world = World::new();
    std::fs::write(world.path("clip.mp4"), b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom").unwrap();
    world.write(
        "w.yaml",
        "steps: [{id: a, uses: video.frames, with: {video: clip.mp4, every: 1}}]\n",
    );
    let mut command = world.command(&["run", "w.yaml"]);
    let output = support::run(command.env("PATH", "/nowhere")).exits(1);
    assert!(output.stderr.contains("`ffprobe` is not installed"), "{}", output.stderr);
    assert!(
        output.stderr.contains("it comes with ffmpeg, e.g. `apt-get install ffmpeg`"),
        "{}",
        output.stderr
    );
}
