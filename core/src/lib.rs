//! Language, engine and store of flow.
//!
//! Core knows no HTTP, no wasm and no terminal, never prints and never reads the
//! environment. What it needs from the outside (time, files, actions, providers) is passed
//! in.

pub mod action;
pub mod actions;
pub mod agreement;
pub mod artifact;
pub mod batches;
pub mod content;
pub mod engine;
pub mod error;
pub mod ids;
pub mod intake;
pub mod language;
pub mod plugin;
pub mod provider;
pub mod retry;
pub mod state;
pub mod store;
pub mod template;
pub mod units;
pub mod uploads;
