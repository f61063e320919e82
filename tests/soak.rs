//! A soak of seconds finds nothing, and every fault that is planted into what it leaves is
//! found. `make soak` does the same for an hour.
#![cfg(target_os = "linux")]

mod support;

use std::path::Path;
use std::process::Command;

use support::{run, say};

fn script(name: &str) -> Command {
    let mut command = Command::new("python3");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("soak").join(name));
    command
}

#[test]
fn a_short_soak_finds_nothing_but_what_is_planted() {
    if Command::new("python3").arg("--version").output().is_err() {
        return say("skipped: the soak needs python3");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let world = folder.path().join("soak");
    let mut soak = script("run");
    soak.args(["--seconds", "8", "--seed", "3", "--no-scans", "--keep"])
        .arg("--flow")
        .arg(assert_cmd::cargo::cargo_bin!("flow"))
        .arg("--folder")
        .arg(&world);
    let soaked = run(&mut soak).exits(0);
    assert!(soaked.stdout.contains("nothing found"), "{soaked:#?}");
    let planted = run(script("faults").arg(&world)).exits(0);
    assert!(planted.stdout.ends_with("each was found\n"), "{planted:#?}");
}
