//! Bytes of a file that are sent, read while they are.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, Stream};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

/// Bytes of a file that are read at once; a multiple of 3, so that pieces of base64 join.
const PIECE: u64 = 48 << 10;

/// Bytes from `start`, `len` of them, of something.
#[derive(Clone, Debug)]
pub(crate) struct FilePart {
    /// Where they are.
    pub(crate) source: Source,
    /// The first byte.
    pub(crate) start: u64,
    /// How many.
    pub(crate) len: u64,
}

impl FilePart {
    /// All of a file of this size.
    pub(crate) fn whole(source: Source, len: u64) -> Self {
        Self { source, start: 0, len }
    }
}

/// Where the bytes of a file are.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// On the disk.
    Path(PathBuf),
    /// In memory: what was made for this call, e.g. an image that was scaled.
    Memory(Arc<[u8]>),
}

impl FilePart {
    /// Its bytes in pieces of the same size but for the last. A file that turns out shorter
    /// than it was is an error: what is sent would not be what was announced.
    pub(crate) fn stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send {
        enum At {
            Closed(Source),
            File(tokio::fs::File),
            Memory(Arc<[u8]>),
        }
        let Self { source, start, len } = self;
        stream::try_unfold((At::Closed(source), start, len), async |(at, from, left)| {
            if left == 0 {
                return Ok(None);
            }
            let take = left.min(PIECE);
            let mut at = match at {
                At::Closed(Source::Memory(bytes)) => At::Memory(bytes),
                At::Closed(Source::Path(path)) => {
                    let mut file = tokio::fs::File::open(path).await?;
                    file.seek(io::SeekFrom::Start(from)).await?;
                    At::File(file)
                }
                open => open,
            };
            let bytes = match &mut at {
                At::File(file) => {
                    let mut bytes = vec![0; take as usize];
                    file.read_exact(&mut bytes).await?;
                    Bytes::from(bytes)
                }
                At::Memory(bytes) => {
                    let range = from as usize..(from + take) as usize;
                    let part = bytes.get(range).ok_or(io::ErrorKind::UnexpectedEof)?;
                    Bytes::copy_from_slice(part)
                }
                At::Closed(_) => return Err(io::ErrorKind::NotFound.into()),
            };
            Ok(Some((bytes, (at, from + take, left - take))))
        })
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;

    #[tokio::test]
    async fn a_file_that_shrank_breaks_the_request_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("short");
        std::fs::write(&path, b"ab").unwrap();
        let part = FilePart::whole(Source::Path(path), 3);
        let error = part.stream().try_collect::<Vec<_>>().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
