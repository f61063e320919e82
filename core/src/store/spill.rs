//! Large values: in the database up to a limit, beyond it as files.

use serde_json::{Value, json};

use super::{Store, StoreError};
use crate::artifact::{ArtifactRef, for_each_artifact};
use crate::content::ContentHash;

/// Values are kept in the database up to this many bytes of JSON.
const LIMIT: usize = 32 << 10;

/// The key that marks a value that lies in a file.
pub(super) const SPILLED: &str = "$spilled";

/// The key of the hashes of the files that such a value points to, so that they are known
/// without reading it.
pub(super) const HOLDS: &str = "holds";

impl Store {
    /// Turns a value into what a row may hold: itself, or where it is large
    /// `{"$spilled": ARTIFACT, "holds": HASHES}`.
    ///
    /// A value that looks like that is spilled too, so that [`Store::unpack`] gives back
    /// exactly what was packed, whoever made the value. Dropping the future keeps a file
    /// that nothing points to, or none.
    pub async fn pack(&self, value: Value) -> Result<Value, StoreError> {
        let text = value.to_string();
        if text.len() <= LIMIT && value.get(SPILLED).is_none() {
            return Ok(value);
        }
        let mut holds: Vec<ContentHash> = Vec::new();
        for_each_artifact(&value, &mut |artifact| holds.push(artifact.hash));
        let artifact = self.artifacts().put_bytes(text, "application/json", "value.json").await?;
        Ok(json!({ SPILLED: artifact.to_value(), HOLDS: holds }))
    }

    /// Turns what a row holds back into the value that was packed. Dropping the future does
    /// nothing.
    pub async fn unpack(&self, value: Value) -> Result<Value, StoreError> {
        let spilled = value.get(SPILLED).and_then(ArtifactRef::from_value);
        let Some(artifact) = spilled else {
            return Ok(value);
        };
        let bytes = self.artifacts().get(&artifact.hash).await?;
        serde_json::from_slice(&bytes).map_err(|error| StoreError::Damaged {
            file: self.file().to_path_buf(),
            detail: format!("artifact {} is no value: {error}", artifact.hash),
        })
    }
}
