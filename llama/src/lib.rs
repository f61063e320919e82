//! Local models: the files they are, and llama.cpp that runs them.
//!
//! Dependencies point inwards: this crate knows core's `Provider` seam and nothing of HTTP, of
//! the command line or of workflows. What a name stands for is asked of [`LocalModels`].
//!
//! ```text
//!   Llama (Provider) ─▶ hosts: whose turn, which fit ─▶ Process ═stdin/stdout═▶ host: llama.cpp
//!         this process                                             a process of its own
//! ```
//!
//! The right side is there with the feature `cpp` only.

mod ask;
pub mod catalog;
#[cfg(test)]
#[path = "../tests/support/gguf.rs"]
mod forge;
pub mod gguf;
mod header;
#[cfg(feature = "cpp")]
pub mod host;
mod hosts;
mod model;
mod protocol;
mod provider;
mod settings;
pub mod store;
#[cfg(feature = "cpp")]
mod stream;
#[cfg(feature = "cpp")]
mod watch;

pub use hosts::{HostProgram, Machine};
pub use model::{LocalModel, LocalModels};
pub use protocol::Device;
pub use provider::{Llama, Runtime, WithPaths, not_built_in};
pub use settings::Settings;
