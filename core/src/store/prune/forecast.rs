//! What a pruning finds to do; what it would do, without doing it.

use std::time::SystemTime;

use sqlx::Row;

use super::rows::{forgettable, names};
use super::{Doomed, Pruned, Retention};
use crate::content::ContentHash;
use crate::store::steps::USE_NOTED_MS;
use crate::store::{Store, StoreError, decode};

const DOOMED: &str = concat!(
    "SELECT key, id FROM runs WHERE pruned = 0 AND ",
    forgettable!(),
    " AND key NOT IN (SELECT key FROM (SELECT key, row_number() OVER (PARTITION BY workflow \
     ORDER BY started DESC, id DESC) AS place FROM runs WHERE pruned = 0) WHERE place <= ?3) \
     AND (?4 IS NULL OR workflow = ?4) ORDER BY key"
);

impl Store {
    /// Says what pruning by `retention` would remove. Dropping the future does nothing.
    pub async fn would_prune(&self, retention: &Retention) -> Result<Pruned, StoreError> {
        let (doomed, driven) = self.doomed(retention).await?;
        let mut keys: Vec<i64> = doomed.iter().map(|run| run.key).collect();
        keys.extend(self.hidden().await?);
        let cached = retention.before - USE_NOTED_MS;
        let before = self.all_younger_since(SystemTime::now())?;
        let files = self.unreferenced(before, &keys, cached).await?;
        Ok(Pruned {
            runs: doomed.len() as u64,
            driven,
            cached: match retention.workflow {
                Some(_) => 0,
                None => self.count("SELECT count(*) FROM cache WHERE at < ?", cached).await?,
            },
            definitions: if self.driven()?.is_empty() {
                self.would_be_unused(&keys).await?
            } else {
                0
            },
            files: files.len() as u64,
            file_bytes: files.values().sum(),
        })
    }

    /// The runs that a retention is about and nobody drives, and how many are driven.
    pub(super) async fn doomed(
        &self,
        retention: &Retention,
    ) -> Result<(Vec<Doomed>, u64), StoreError> {
        let query = sqlx::query(DOOMED)
            .bind(names(&retention.statuses))
            .bind(retention.before)
            .bind(retention.keep)
            .bind(retention.workflow.clone());
        let read = |row: &sqlx::sqlite::SqliteRow| {
            Ok(Doomed { key: row.try_get("key")?, id: decode::run_id(row, "id")? })
        };
        let mut doomed = self.all(query, read).await?;
        let (driven, all) = (self.driven()?, doomed.len());
        doomed.retain(|run| !driven.contains_key(&run.id));
        let left = (all - doomed.len()) as u64;
        Ok((doomed, left))
    }

    /// The runs that a pruning before this one hid and did not come to remove.
    pub(super) async fn hidden(&self) -> Result<Vec<i64>, StoreError> {
        let query = sqlx::query("SELECT key FROM runs WHERE pruned = 1");
        self.all(query, decode::key).await
    }

    /// The definitions that no run has.
    pub(super) async fn unused_definitions(&self) -> Result<Vec<ContentHash>, StoreError> {
        let sql = "SELECT hash FROM definitions WHERE NOT EXISTS \
                   (SELECT 1 FROM runs WHERE definition = definitions.hash)";
        self.all(sqlx::query(sql), |row| decode::hash(row, "hash")).await
    }

    async fn would_be_unused(&self, doomed: &[i64]) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM definitions WHERE NOT EXISTS \
                   (SELECT 1 FROM runs WHERE definition = definitions.hash \
                   AND key NOT IN (SELECT value FROM json_each(?)))";
        let query = sqlx::query(sql).bind(super::json_list(doomed.iter()));
        let count = self.one(query, |row| row.try_get::<i64, _>(0)).await?;
        Ok(count.unwrap_or_default().unsigned_abs())
    }

    async fn count(&self, sql: &'static str, value: i64) -> Result<u64, StoreError> {
        let count = self.one(sqlx::query(sql).bind(value), |row| row.try_get::<i64, _>(0)).await?;
        Ok(count.unwrap_or_default().unsigned_abs())
    }
}
