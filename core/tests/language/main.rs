//! The language: bad files with their exact faults, good ones with what they become.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_references;
mod bad_steps;
mod bad_workflow;
mod bad_yaml;
mod good_files;
mod inputs;
mod large_files;
mod models;
mod mutations;
mod other_files;
mod rendering;
mod schema;
mod support;
mod tasks;
