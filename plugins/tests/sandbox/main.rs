//! The sandbox against guests that mean it well, and those that do not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod attacks;
mod authoring;
mod calls;
mod files;
mod grants;
mod guests;
mod loading;
