//! What computes the networks: the one place where `rten` and ONNX Runtime differ.
//!
//! A network takes pixels and yields scores. What pixels it is given and what is made of its
//! scores is the same whoever computes, and both compute the same files.

#[cfg(feature = "ort")]
mod onnx;
mod rten;

use std::path::PathBuf;

use super::{OcrError, OcrModels};

/// What computes the networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OcrRuntime {
    /// `rten`, which is part of the program.
    #[default]
    Rten,
    /// ONNX Runtime, a shared library; for programs that are built with the feature `ort`.
    OnnxRuntime {
        /// The file of the library.
        library: PathBuf,
    },
}

impl OcrRuntime {
    /// Checks that it can be used on this machine, and says what it is.
    ///
    /// ONNX Runtime is loaded by this, and stays loaded as long as the process runs.
    pub fn verify(&self) -> Result<String, OcrError> {
        match self {
            Self::Rten => Ok("rten".to_owned()),
            #[cfg(feature = "ort")]
            Self::OnnxRuntime { library } => onnx::verify(library),
            #[cfg(not(feature = "ort"))]
            Self::OnnxRuntime { library } => Err(OcrError::NotBuiltIn(library.clone())),
        }
    }

    /// Loads the networks; together they use so many threads.
    pub(super) fn load(&self, models: &OcrModels, threads: usize) -> Result<Networks, OcrError> {
        match self {
            Self::Rten => rten::load(models, threads),
            #[cfg(feature = "ort")]
            Self::OnnxRuntime { library } => onnx::load(library, models, threads),
            #[cfg(not(feature = "ort"))]
            Self::OnnxRuntime { library } => Err(OcrError::NotBuiltIn(library.clone())),
        }
    }
}

/// The networks, ready to be run.
pub(super) struct Networks {
    /// Finds text.
    pub(super) detector: Box<dyn Network>,
    /// Read it; several, so that several batches are read at once.
    pub(super) readers: Vec<Box<dyn Network>>,
    /// The characters that the readers know, one a line.
    pub(super) characters: String,
}

/// A network. What it yields depends on the pixels only, not on the number of threads.
pub(super) trait Network: Send + Sync {
    /// Computes the scores of pixels; what went wrong, in the runtime's words.
    fn run(&self, pixels: Pixels) -> Result<Scores, String>;
}

/// What a network is given: images, planes, rows and columns.
pub(super) struct Pixels {
    pub(super) shape: [usize; 4],
    pub(super) data: Vec<f32>,
}

/// What it yields.
pub(super) struct Scores {
    pub(super) shape: Vec<usize>,
    pub(super) data: Vec<f32>,
}

/// Said where the file of the readers lacks what only it can say.
fn nameless() -> OcrError {
    OcrError::Run("the model that reads names no characters".to_owned())
}
