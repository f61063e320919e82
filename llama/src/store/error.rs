//! What can go wrong with the store of models.

use std::io;
use std::path::{Path, PathBuf};

use flow_core::error::{ErrorClass, Failure};

use super::name::ModelName;
use crate::gguf::GgufError;
use flow_core::units::Size;

/// Why the store does not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk failed, or does not let us.
    #[error("cannot use `{}`: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is written about a model cannot be read.
    #[error("cannot read `{}`: {why}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// No model of this name is here or listed.
    #[error("there is no model `{name}`")]
    Unknown {
        /// The name.
        name: String,
        /// The name that may have been meant.
        meant: Option<String>,
    },
    /// A listed model that was not pulled.
    #[error("model `{name}` is not on this machine")]
    NotPulled {
        /// Its name.
        name: String,
        /// The bytes to be pulled, where they are known.
        size: Option<Size>,
    },
    /// A path where nothing is.
    #[error("there is no file `{}`", .0.display())]
    NoFile(PathBuf),
    /// A file of a model is gone.
    #[error("a file of model `{name}` is gone: `{}`", path.display())]
    FileGone {
        /// The model.
        name: ModelName,
        /// The file.
        path: PathBuf,
    },
    /// A file of a model is another one now.
    #[error("a file of model `{name}` has {size} bytes, and had {had}: `{}`", path.display())]
    FileChanged {
        /// The model.
        name: ModelName,
        /// The file.
        path: PathBuf,
        /// Its bytes.
        size: u64,
        /// Its bytes when it was taken in.
        had: u64,
    },
    /// The name is another model's.
    #[error("there is a model `{name}` already: {what}")]
    Taken {
        /// The name.
        name: ModelName,
        /// Where that one is from.
        what: String,
    },
    /// A file that no model can be read from.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// A projector where a model is wanted.
    #[error("`{}` is a projector, and no model", .0.display())]
    IsProjector(PathBuf),
    /// A model where a projector is wanted.
    #[error("`{}` is a model, and no projector", .0.display())]
    IsModel(PathBuf),
    /// A file whose name no model can have.
    #[error("`{}` suggests no name for the model", .0.display())]
    NoName(PathBuf),
    /// Too little room.
    #[error("`{}` has room for {free}, and {needed} are needed", folder.display())]
    NoSpace {
        /// Where.
        folder: PathBuf,
        /// What is free.
        free: Size,
        /// What is needed.
        needed: Size,
    },
}

impl StoreError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }

    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Io { .. } | Self::NoFile(_) => None,
            Self::Manifest { .. } => {
                Some("remove that file, and pull or add its model anew".to_owned())
            }
            Self::Unknown { meant: Some(meant), .. } => Some(format!("did you mean `{meant}`?")),
            Self::Unknown { meant: None, .. } => Some(
                "`flow model ls` lists those that are here, `flow model ls --catalog` those that can be pulled by name"
                    .to_owned(),
            ),
            Self::NotPulled { name, size } => {
                let size = size.map(|size| format!(" ({size})")).unwrap_or_default();
                Some(format!("run `flow model pull {name}`{size}"))
            }
            Self::FileGone { name, .. } | Self::FileChanged { name, .. } => {
                Some(format!("run `flow model rm {name}`, and pull or add it anew"))
            }
            Self::Taken { name, .. } => {
                Some(format!("call this one otherwise with `--name`, or run `flow model rm {name}`"))
            }
            Self::Gguf(error) => error.hint().map(str::to_owned),
            Self::IsProjector(_) => {
                Some("name the model's own file, and this one behind `--projector`".to_owned())
            }
            Self::IsModel(_) => Some("projectors are often named `mmproj-…`".to_owned()),
            Self::NoName(_) => Some("give it one with `--name`".to_owned()),
            Self::NoSpace { .. } => {
                Some("remove models with `flow model rm`, or name another folder in `FLOW_MODELS`".to_owned())
            }
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let class = match &error {
            StoreError::Io { .. } | StoreError::Manifest { .. } => ErrorClass::Io,
            StoreError::Unknown { .. }
            | StoreError::NotPulled { .. }
            | StoreError::NoFile(_)
            | StoreError::FileGone { .. } => ErrorClass::NotFound,
            StoreError::NoSpace { .. } => ErrorClass::Limit,
            StoreError::FileChanged { .. }
            | StoreError::Taken { .. }
            | StoreError::Gguf(_)
            | StoreError::IsProjector(_)
            | StoreError::IsModel(_)
            | StoreError::NoName(_) => ErrorClass::Input,
        };
        let failure = Self::new(class, error.to_string());
        match error.hint() {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}
