//! Local models: the files they are, and llama.cpp that runs them.
//!
//! Dependencies point inwards: this crate knows core's `Provider` seam and nothing of HTTP, of
//! the command line or of workflows. What a name stands for is asked of [`LocalModels`].

mod model;

pub use model::{LocalModel, LocalModels};
