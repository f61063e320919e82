//! What a model's files say of themselves: checked before llama.cpp sees them, and then the few
//! numbers that tell how much memory they take.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::gguf::{Gguf, Kind};
use crate::model::LocalModel;
use crate::store::{StoreError, about};

/// What the files of a model say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// Bytes of its weights, in all their files.
    pub(crate) size: u64,
    /// Bytes of its projector.
    pub(crate) projector: u64,
    /// The tokens it was trained to look back at.
    pub(crate) trained: u32,
    /// Bytes that a token of its context takes, with two bytes a number.
    pub(crate) bytes_per_token: u64,
    /// How wide it is.
    pub(crate) embedding: u64,
    /// How many tokens it knows.
    pub(crate) vocabulary: u64,
}

/// What files say of themselves, each read once as long as it does not change.
#[derive(Default)]
pub(crate) struct Headers(Mutex<HashMap<PathBuf, (Stamp, Arc<Read>)>>);

/// What tells a file from another one in its place.
type Stamp = (u64, Option<SystemTime>);

/// What was read of a file.
struct Read {
    bytes: u64,
    kind: Kind,
}

impl Headers {
    /// What the files of a model say; the error names the file that cannot be used, and why.
    pub(crate) fn of(&self, model: &LocalModel) -> Result<Header, StoreError> {
        let weights = self.read(&model.weights)?;
        let Kind::Model(facts) = &weights.kind else {
            return Err(StoreError::IsProjector(model.weights.clone()));
        };
        let projector = match &model.projector {
            None => 0,
            Some(path) => {
                let read = self.read(path)?;
                match read.kind {
                    Kind::Projector(_) => read.bytes,
                    Kind::Model(_) => return Err(StoreError::IsModel(path.clone())),
                }
            }
        };
        Ok(Header {
            size: weights.bytes,
            projector,
            trained: facts.context,
            bytes_per_token: facts.kv_bytes,
            embedding: facts.embedding.into(),
            vocabulary: facts.vocabulary.unwrap_or(0),
        })
    }

    fn read(&self, path: &Path) -> Result<Arc<Read>, StoreError> {
        let about = about(path)?;
        let stamp = (about.len(), about.modified().ok());
        let known = self.known().get(path).cloned();
        if let Some((_, read)) = known.filter(|(then, _)| *then == stamp) {
            return Ok(read);
        }
        let gguf = Gguf::open(path)?;
        let kind = gguf.verify()?;
        let sizes = gguf.parts().iter().map(|part| Ok(self::about(part)?.len()));
        let bytes = sizes.sum::<Result<_, StoreError>>()?;
        let read = Arc::new(Read { bytes, kind });
        self.known().insert(path.to_path_buf(), (stamp, Arc::clone(&read)));
        Ok(read)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<PathBuf, (Stamp, Arc<Read>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
