//! The ledger of uploads in the store.
//!
//! Who finds a file becomes its user in one transaction, and what nobody uses is taken out in
//! another, so that of two processes one comes first: either the file has one more user and
//! stays, or it is not found any more. Every file that lies at a service has a row of its own,
//! also where two processes uploaded the same bytes at the same time.

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::decode::{self, Decoded};
use super::encode::Encoded;
use super::{Store, StoreError};
use crate::content::ContentHash;
use crate::error::Failure;
use crate::ids::RunId;
use crate::uploads::{Keep, Upload, UploadKey, UploadLedger, UploadState};

macro_rules! columns {
    ($rest:literal) => {
        concat!(
            "SELECT account, content, provider, id, uri, name, media_type, size, state, keep, ",
            "uploaded, expires ",
            $rest
        )
    };
}

/// The ledger of uploads, for a run.
#[derive(Clone, Debug)]
pub struct RunUploads {
    store: Store,
    run: RunId,
}

impl Store {
    /// The ledger of uploads, for a run.
    pub fn uploads(&self, run: RunId) -> RunUploads {
        RunUploads { store: self.clone(), run }
    }
}

impl RunUploads {
    /// The file, and whether the run uses it already.
    async fn look(&self, key: &UploadKey, until: i64) -> Result<Option<(Upload, bool)>, Failure> {
        let sql = columns!(
            ", EXISTS (SELECT 1 FROM remote_file_uses u WHERE u.file = f.key \
             AND u.run = (SELECT key FROM runs WHERE id = ?)) AS used \
             FROM remote_files f WHERE account = unhex(?) AND content = unhex(?) \
             AND state <> 'deleting' AND coalesce(expires, ?) >= ? \
             ORDER BY used DESC, uploaded DESC LIMIT 1"
        );
        let query = sqlx::query(sql)
            .bind(self.run.as_str())
            .bind(key.account.hex())
            .bind(key.content.hex())
            .bind(i64::MAX)
            .bind(until);
        let read = |row: &SqliteRow| Ok((upload(row)?, row.try_get("used")?));
        Ok(self.store.one(query, read).await?)
    }
}

#[async_trait]
impl UploadLedger for RunUploads {
    async fn find(
        &self,
        key: &UploadKey,
        keep: Keep,
        until: i64,
    ) -> Result<Option<Upload>, Failure> {
        let Some((found, used)) = self.look(key, until).await? else { return Ok(None) };
        let keeps = found.keep == keep || found.keep == Keep::Expiry;
        if used && keeps {
            return Ok(Some(found));
        }
        self.store.write(Encoded::used_upload(&self.run, &found, keep)).await?;
        // It may have been taken out meanwhile, and then it has no user more.
        Ok(self.look(key, until).await?.filter(|(_, used)| *used).map(|(found, _)| found))
    }

    async fn note(&self, upload: &Upload) -> Result<(), Failure> {
        Ok(self.store.write(Encoded::upload(&self.run, upload)).await?)
    }

    async fn forget(&self, account: &ContentHash, id: &str) -> Result<(), Failure> {
        Ok(self.store.write(Encoded::forgotten_upload(account, id)).await?)
    }

    async fn unneeded(&self, account: &ContentHash, now: i64) -> Result<Vec<Upload>, Failure> {
        // Most runs upload nothing, and need write nothing at their end.
        if !self.store.has_uploads(account).await? {
            return Ok(Vec::new());
        }
        self.store.write(Encoded::unneeded_uploads(account, now)).await?;
        Ok(self.store.unneeded_uploads(account).await?)
    }
}

impl Store {
    async fn has_uploads(&self, account: &ContentHash) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM remote_files WHERE account = unhex(?) LIMIT 1";
        let found = self.one(sqlx::query(sql).bind(account.hex()), |_| Ok(())).await?;
        Ok(found.is_some())
    }

    pub(super) async fn unneeded_uploads(
        &self,
        account: &ContentHash,
    ) -> Result<Vec<Upload>, StoreError> {
        let sql = columns!(
            "FROM remote_files WHERE account = unhex(?) AND state = 'deleting' ORDER BY key"
        );
        self.all(sqlx::query(sql).bind(account.hex()), upload).await
    }
}

fn upload(row: &SqliteRow) -> Decoded<Upload> {
    let key = UploadKey {
        account: decode::hash(row, "account")?,
        content: decode::hash(row, "content")?,
    };
    Ok(Upload {
        key,
        provider: row.try_get("provider")?,
        id: row.try_get("id")?,
        uri: row.try_get("uri")?,
        name: row.try_get("name")?,
        media_type: row.try_get("media_type")?,
        size: decode::unsigned(row, "size")?.unwrap_or_default(),
        state: match row.try_get("state")? {
            "processing" => UploadState::Processing,
            _ => UploadState::Ready,
        },
        keep: decode::parsed(row, "keep", Keep::from_name)?,
        uploaded: row.try_get("uploaded")?,
        expires: row.try_get("expires")?,
    })
}
