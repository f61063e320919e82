//! A soak of seconds finds nothing, and finds every fault that is planted. `make soak` does
//! the same for an hour.
#![cfg(target_os = "linux")]

mod support;

use std::path::Path;
use std::process::Command;

use support::{run, say};

/// A script of the soak, with the binary it drives; none where there is no Python.
fn script(name: &str) -> Option<Command> {
    if Command::new("python3").arg("--version").output().is_err() {
        say("skipped: the soak needs python3");
        return None;
    }
    let mut command = Command::new("python3");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("soak").join(name));
    command.arg("--flow").arg(assert_cmd::cargo::cargo_bin!("flow"));
    Some(command)
}

#[test]
fn a_soak_of_seconds_finds_nothing() {
    let Some(mut soak) = script("run") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    soak.args(["--seconds", "8", "--seed", "3", "--no-scans", "--folder"]);
    let soaked = run(soak.arg(folder.path().join("soak"))).exits(0);
    assert!(soaked.stdout.ends_with("nothing found\n"), "{soaked:#?}");
}

#[test]
fn the_soak_finds_every_fault_that_is_planted() {
    let Some(mut faults) = script("faults") else { return };
    let planted = run(&mut faults).exits(0);
    assert!(planted.stdout.ends_with("each was found\n"), "{planted:#?}");
}
