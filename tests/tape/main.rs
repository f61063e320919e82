//! `--record` and `--replay`: what services answered once is answered again, without them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod deaths;
mod faults;
mod services;

#[expect(dead_code, reason = "what a test of services needs and these do not")]
#[path = "../../providers/tests/support/server.rs"]
mod server;
#[path = "../support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};

use serde_json::Value;

/// The exchanges of a cassette, in order, by the names of their files.
fn exchanges(folder: &Path) -> Vec<(String, Value)> {
    let mut files: Vec<PathBuf> = support::files(folder);
    files.retain(|file| file.extension().is_some_and(|end| end == "json"));
    files.sort();
    let read = files.iter().map(|file| {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        (name, serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap())
    });
    read.collect()
}
