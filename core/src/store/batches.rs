//! The ledger of batches: which request went into which batch of a service.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::decode::{self, Decoded};
use super::encode::Encoded;
use super::{Store, StoreError};
use crate::artifact::ArtifactRef;
use crate::batches::{Asker, BatchItem, BatchLedger, BatchPlace, BatchRecord};
use crate::content::ContentHash;
use crate::error::Failure;
use crate::ids::RunId;

/// An answer that was handed out is used up, unless the attempt that had it did not come to its
/// end: it is `lost` or `cancelled` then. One of this life of the run is `sent` until its end
/// is durable, and its successor must not be given the same answer.
const FIND: &str = "\
SELECT b.nonce, b.provider, b.model, b.items, b.created, b.remote, b.results, i.number \
FROM batch_items i JOIN batches b ON b.nonce = i.batch \
WHERE i.run = (SELECT key FROM runs WHERE id = ?) AND i.path = ? AND i.hash = ? \
AND (i.handed IS NULL OR EXISTS (SELECT 1 FROM attempts a WHERE a.run = i.run \
AND a.path = i.path AND a.number = i.handed AND a.status IN ('lost', 'cancelled'))) \
ORDER BY b.created DESC LIMIT 1";

const WAITED_FOR: &str = "\
SELECT EXISTS (SELECT 1 FROM batch_items i JOIN runs r ON r.key = i.run \
WHERE i.batch = ? AND i.handed IS NULL AND r.id <> ? \
AND r.status NOT IN ('succeeded', 'failed', 'cancelled'))";

const KNOWS: &str = "SELECT EXISTS (SELECT 1 FROM batches WHERE remote = ?)";

const OPEN: &str = "\
SELECT b.nonce, b.provider, b.model, b.items, b.created, b.remote, b.results \
FROM batches b WHERE b.nonce IN (SELECT batch FROM batch_items WHERE run = \
(SELECT key FROM runs WHERE id = ?) AND handed IS NULL) AND b.results IS NULL ORDER BY b.created";

#[async_trait]
impl BatchLedger for Store {
    async fn find(&self, asker: &Asker, hash: ContentHash) -> Result<Option<BatchPlace>, Failure> {
        let Asker { run, path, .. } = asker;
        let query = sqlx::query(FIND).bind(run.as_str()).bind(path.as_str());
        Ok(self.one(query.bind(hash.bytes().to_vec()), place).await?)
    }

    async fn begin(&self, batch: &BatchRecord, items: &[BatchItem]) -> Result<(), Failure> {
        Ok(self.write(Encoded::batch_begun(batch, items)).await?)
    }

    async fn sent(&self, nonce: &str, remote: &str) -> Result<(), Failure> {
        Ok(self.write(Encoded::batch_sent(nonce, remote)).await?)
    }

    async fn read(&self, nonce: &str, results: &ArtifactRef) -> Result<(), Failure> {
        Ok(self.write(Encoded::batch_read(nonce, results)).await?)
    }

    async fn handed(&self, nonce: &str, asker: &Asker, hash: ContentHash) -> Result<(), Failure> {
        // What is sent to the writer now becomes durable before what is sent later.
        let sent = self.writer()?.send(Encoded::batch_handed(nonce, asker, &hash)).await;
        Ok(sent.map(drop)?)
    }

    async fn forget(&self, nonce: &str) -> Result<(), Failure> {
        Ok(self.write(Encoded::batch_forgotten(nonce)).await?)
    }

    async fn knows(&self, remote: &str) -> Result<bool, Failure> {
        let query = sqlx::query(KNOWS).bind(remote);
        Ok(self.one(query, decode::flag).await?.unwrap_or_default())
    }

    fn name(&self) -> String {
        self.folder().display().to_string()
    }

    async fn is_waited_for(&self, nonce: &str, except: &RunId) -> Result<bool, Failure> {
        let query = sqlx::query(WAITED_FOR).bind(nonce).bind(except.as_str());
        Ok(self.one(query, decode::flag).await?.unwrap_or_default())
    }
}

impl Store {
    /// Lists the batches that a run waits for and whose answers are not here, the oldest first.
    ///
    /// Dropping the future does nothing.
    pub async fn open_batches(&self, run: &RunId) -> Result<Vec<BatchRecord>, StoreError> {
        self.all(sqlx::query(OPEN).bind(run.as_str()), record).await
    }
}

fn place(row: &SqliteRow) -> Decoded<BatchPlace> {
    Ok(BatchPlace { batch: record(row)?, number: row.try_get("number")? })
}

fn record(row: &SqliteRow) -> Decoded<BatchRecord> {
    let results = decode::maybe_json(row, "results")?;
    Ok(BatchRecord {
        nonce: row.try_get("nonce")?,
        provider: row.try_get("provider")?,
        model: row.try_get("model")?,
        items: decode::unsigned(row, "items")?.unwrap_or_default(),
        created: row.try_get("created")?,
        remote: row.try_get("remote")?,
        results: results.as_ref().and_then(ArtifactRef::from_value),
    })
}
