//! Reading what happened in a run, and what its steps wrote about it.

use super::decode;
use super::encode::signed;
use super::queries::{Page, page};
use super::{EventRow, LogRow, Store, StoreError};
use crate::ids::{InstancePath, RunId};

/// Which lines of a log to read.
#[derive(Clone, Debug, Default)]
pub struct LogFilter {
    /// Only those of this instance.
    pub path: Option<InstancePath>,
    /// Only those of this attempt.
    pub attempt: Option<u32>,
}

/// Dropping the futures of these queries does nothing.
impl Store {
    /// The place of the latest event of a run; 0 where there is none.
    pub async fn last_seq(&self, run: &RunId) -> Result<u64, StoreError> {
        let sql = "SELECT coalesce(max(seq), 0) AS seq FROM events \
                   WHERE run = (SELECT key FROM runs WHERE id = ?)";
        let query = sqlx::query(sql).bind(run.as_str());
        let seq = self.one(query, |row| decode::unsigned(row, "seq")).await?;
        Ok(seq.flatten().unwrap_or_default())
    }

    /// Lists the events of a run behind a place in its history.
    pub async fn events(
        &self,
        run: &RunId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<EventRow>, StoreError> {
        let sql = "SELECT r.id AS run, e.seq, e.at, e.path, e.kind, e.body FROM events e \
                   JOIN runs r ON r.key = e.run \
                   WHERE e.run = (SELECT key FROM runs WHERE id = ?) AND e.seq > ? \
                   ORDER BY e.seq LIMIT ?";
        let query = sqlx::query(sql).bind(run.as_str()).bind(signed(after)).bind(i64::from(limit));
        self.all(query, decode::event).await
    }

    /// Lists the lines that a run's steps wrote, in the order they were committed.
    pub async fn logs(
        &self,
        run: &RunId,
        filter: &LogFilter,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Page<LogRow, i64>, StoreError> {
        let sql = "SELECT r.id AS run, l.key, l.at, l.path, l.attempt, l.line FROM logs l \
                   JOIN runs r ON r.key = l.run \
                   WHERE l.run = (SELECT key FROM runs WHERE id = ?1) AND l.key > ?2 \
                   AND (?3 IS NULL OR l.path = ?3) AND (?4 IS NULL OR l.attempt = ?4) \
                   ORDER BY l.key LIMIT ?5";
        let query = sqlx::query(sql)
            .bind(run.as_str())
            .bind(after.unwrap_or_default())
            .bind(filter.path.as_ref().map(InstancePath::as_str))
            .bind(filter.attempt)
            .bind(i64::from(limit));
        let found = self.all(query, |row| Ok((decode::log(row)?, decode::key(row)?))).await?;
        Ok(page(found, limit))
    }
}
