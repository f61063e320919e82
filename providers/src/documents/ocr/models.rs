//! The files of the networks: where they are, and whether they are what they should be.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// The name, length and SHA-256 of the network that finds text.
const DETECTOR: (&str, u64, &str) = (
    "PP-OCRv6_det_small.onnx",
    9_929_594,
    "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f",
);

/// The name, length and SHA-256 of the network that reads it.
const RECOGNISER: (&str, u64, &str) = (
    "PP-OCRv6_rec_small.onnx",
    21_234_383,
    "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884",
);

/// Why nothing can be read.
#[derive(Debug, thiserror::Error)]
pub enum OcrError {
    /// A file is not there.
    #[error("the OCR model `{}` is missing", .0.display())]
    Missing(PathBuf),
    /// A file is not what it should be.
    #[error("the OCR model `{}` is damaged: {why}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What differs.
        why: String,
    },
    /// A file cannot be read.
    #[error("cannot read the OCR model `{}`: {source}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// ONNX Runtime is to be used, and this program was built without it.
    #[error("this build of flow cannot use ONNX Runtime (`{}`)", .0.display())]
    NotBuiltIn(PathBuf),
    /// The library of ONNX Runtime is not there.
    #[error("the library of ONNX Runtime `{}` is missing", .0.display())]
    NoLibrary(PathBuf),
    /// The library of ONNX Runtime cannot be used.
    #[error("cannot use the library of ONNX Runtime `{}`: {why}", file.display())]
    Library {
        /// The file.
        file: PathBuf,
        /// What the loader said.
        why: String,
    },
    /// A network failed on an image.
    #[error("recognition failed: {0}")]
    Run(String),
    /// Somebody said stop.
    #[error("recognition was stopped")]
    Cancelled,
}

impl OcrError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Missing(_) | Self::Damaged { .. } => Some(
                "`make models` fetches it; or put the files of the `rapidocr` 3.10.0 wheel there",
            ),
            Self::NotBuiltIn(_) => Some(
                "build it with `cargo build --features ort`, or unset `FLOW_ONNXRUNTIME` to read by rten",
            ),
            Self::NoLibrary(_) | Self::Library { .. } => Some(
                "`scripts/fetch-onnxruntime` fetches it; or unset `FLOW_ONNXRUNTIME` to read by rten",
            ),
            Self::Unreadable { .. } | Self::Run(_) | Self::Cancelled => None,
        }
    }
}

/// The files of the networks.
#[derive(Clone, Debug)]
pub struct OcrModels {
    folder: PathBuf,
}

impl OcrModels {
    /// Names the folder they are in.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Checks that every file is there and is, byte for byte, what it should be.
    pub fn verify(&self) -> Result<(), OcrError> {
        self.verified(DETECTOR).and_then(|_| self.verified(RECOGNISER)).map(drop)
    }

    /// The network that finds text.
    pub(super) fn detector(&self) -> Result<ModelFile, OcrError> {
        self.verified(DETECTOR)
    }

    /// The network that reads it.
    pub(super) fn recogniser(&self) -> Result<ModelFile, OcrError> {
        self.verified(RECOGNISER)
    }

    fn verified(&self, (name, size, hash): (&str, u64, &str)) -> Result<ModelFile, OcrError> {
        let file = self.folder.join(name);
        let bytes = read(&file)?;
        if bytes.len() as u64 != size {
            let why = format!("it has {} bytes instead of {size}", bytes.len());
            return Err(OcrError::Damaged { file, why });
        }
        let mut found = String::with_capacity(64);
        for byte in Sha256::digest(&bytes) {
            write!(found, "{byte:02x}").expect("a string takes all");
        }
        if found != hash {
            let why = format!("its SHA-256 is {found} instead of {hash}");
            return Err(OcrError::Damaged { file, why });
        }
        Ok(ModelFile { file, bytes })
    }
}

/// The bytes of a network, which are what they should be.
pub(super) struct ModelFile {
    pub(super) file: PathBuf,
    pub(super) bytes: Vec<u8>,
}

impl ModelFile {
    /// Says that a runtime does not take the network.
    pub(super) fn damaged(&self, why: &impl ToString) -> OcrError {
        OcrError::Damaged { file: self.file.clone(), why: why.to_string() }
    }
}

fn read(file: &Path) -> Result<Vec<u8>, OcrError> {
    std::fs::read(file).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => OcrError::Missing(file.to_path_buf()),
        _ => OcrError::Unreadable { file: file.to_path_buf(), source },
    })
}
