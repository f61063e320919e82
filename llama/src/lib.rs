//! Local models: the files they are, and llama.cpp that runs them.
//!
//! Dependencies point inwards: this crate knows core's `Provider` seam and nothing of HTTP, of
//! the command line or of workflows. What a name stands for is asked of [`LocalModels`].

pub mod catalog;
#[cfg(test)]
#[path = "../tests/support/gguf.rs"]
mod forge;
pub mod gguf;
mod model;
mod size;
pub mod store;

pub use model::{LocalModel, LocalModels};
pub use size::Size;
