//! What is deployed starts: the command lines of the unit and of the container are ones that
//! this flow understands.

mod support;

use std::path::Path;

use support::World;

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name);
    std::fs::read_to_string(path).expect("a file of deploy/")
}

/// A server with these arguments gets as far as looking for its folder.
#[track_caller]
fn parses(arguments: &[String]) {
    let world = World::new();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let folder = arguments[1];
    let told = world.flow(&arguments).exits(2);
    assert!(
        told.stderr.contains(&format!("there is no folder `{folder}`")),
        "{arguments:?}: {}",
        told.stderr
    );
}

#[test]
fn the_unit_of_systemd_starts_a_server() {
    let unit = file("flow.service");
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("a command");
    let words: Vec<String> = line.split(' ').skip(1).map(str::to_owned).collect();
    assert_eq!(words[0], "serve");
    parses(&words);
    // It has longer than the runs.
    assert!(line.contains("--grace 30s") && unit.contains("TimeoutStopSec=60"));
}

#[test]
fn the_container_starts_a_server() {
    let text = file("Containerfile");
    let line = text.lines().find_map(|line| line.strip_prefix("CMD ")).expect("a command");
    let words: Vec<String> = serde_json::from_str(line).expect("a list");
    assert_eq!(words[0], "serve");
    parses(&words);
}
