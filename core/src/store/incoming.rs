//! Files that come in pieces, from wherever: into the store without ever being whole in memory.

use std::io::Write;

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::artifacts::{Artifacts, blocking, reference};
use super::error::StoreError;
use crate::artifact::ArtifactRef;
use crate::content::ContentHash;

/// As many bytes are gathered before they are written.
const PIECE: usize = 256 << 10;

/// A file on its way in. Dropping it leaves nothing behind.
#[derive(Debug)]
pub struct Incoming {
    artifacts: Artifacts,
    gathered: Vec<u8>,
    rest: Option<Box<Written>>,
    size: u64,
}

#[derive(Debug)]
struct Written {
    draft: NamedTempFile,
    hasher: Sha256,
}

impl Artifacts {
    /// Begins to take a file in.
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn incoming(&self) -> Result<Incoming, StoreError> {
        let artifacts = self.clone();
        let draft = blocking(move || artifacts.draft()).await?;
        let rest = Some(Box::new(Written { draft, hasher: Sha256::new() }));
        Ok(Incoming { artifacts: self.clone(), gathered: Vec::new(), rest, size: 0 })
    }
}

impl Incoming {
    /// How many bytes came.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Takes the next bytes.
    ///
    /// After an error, and when the future is dropped, nothing more can be taken.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.size += bytes.len() as u64;
        self.gathered.extend_from_slice(bytes);
        match self.gathered.len() {
            0..PIECE => Ok(()),
            _ => self.flush().await,
        }
    }

    /// Keeps what came, and returns when it is durable.
    ///
    /// Dropping the future keeps it or not.
    pub async fn finish(mut self, media_type: &str, name: &str) -> Result<ArtifactRef, StoreError> {
        self.flush().await?;
        let rest = self.rest.take().ok_or(StoreError::Closed)?;
        let artifacts = self.artifacts.clone();
        let hash = blocking(move || {
            let Written { draft, hasher } = *rest;
            let hash = ContentHash::from_digest(hasher.finalize().into());
            if !artifacts.holds(&hash) {
                artifacts.publish(draft, &hash)?;
            }
            Ok(hash)
        })
        .await?;
        Ok(reference(hash, self.size, media_type, name))
    }

    async fn flush(&mut self) -> Result<(), StoreError> {
        let mut rest = self.rest.take().ok_or(StoreError::Closed)?;
        let bytes = std::mem::take(&mut self.gathered);
        let rest = blocking(move || {
            rest.hasher.update(&bytes);
            let path = rest.draft.path().to_path_buf();
            rest.draft.write_all(&bytes).map_err(|error| StoreError::io(&path, error))?;
            Ok(rest)
        })
        .await?;
        self.rest = Some(rest);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Store;

    #[tokio::test]
    async fn a_file_that_comes_in_pieces_is_the_one_that_comes_whole() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let bytes: Vec<u8> = (0..700_000_u32).map(|at| (at * 7) as u8).collect();
        let mut incoming = store.artifacts().incoming().await.unwrap();
        for piece in bytes.chunks(1234) {
            incoming.write(piece).await.unwrap();
        }
        let kept = incoming.finish("a/b", "name").await.unwrap();
        assert_eq!(kept, store.artifacts().put_bytes(bytes.clone(), "a/b", "name").await.unwrap());
        assert_eq!(store.artifacts().get(&kept.hash).await.unwrap(), bytes);
    }

    #[tokio::test]
    async fn what_breaks_off_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let mut incoming = store.artifacts().incoming().await.unwrap();
        incoming.write(&vec![1; 500_000]).await.unwrap();
        drop(incoming);
        let left = std::fs::read_dir(folder.path().join("artifacts")).unwrap().count();
        assert_eq!(left, 0);
    }
}
