//! `flow serve`, by the real binary and real HTTP on loopback.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api;
mod client;
mod doors;
mod files;
mod follow;
mod lives;
#[path = "../support/mod.rs"]
mod support;
