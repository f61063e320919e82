//! What a name of a local model stands for.

use std::path::PathBuf;

use flow_core::error::Failure;

/// A model whose files are on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalModel {
    /// What it is called: a short name of the catalogue, a name in the store, or a path.
    pub name: String,
    /// Its weights, a GGUF file (the first one where they are split).
    pub weights: PathBuf,
    /// What turns images into what it reads, a GGUF file; none for a model of text alone.
    pub projector: Option<PathBuf>,
    /// The tokens it is given room for where a workflow does not say; none for what suits it.
    pub context: Option<u32>,
}

/// Knows the local models of this machine by name.
pub trait LocalModels: Send + Sync {
    /// The files of a model. The failure says how to get it.
    fn find(&self, name: &str) -> Result<LocalModel, Failure>;

    /// All there are.
    fn all(&self) -> Result<Vec<LocalModel>, Failure>;
}
