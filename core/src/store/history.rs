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

macro_rules! log_lines {
    ($path:literal) => {
        concat!(
            "SELECT r.id AS run, l.key, l.at, l.path, l.attempt, l.line FROM logs l \
             JOIN runs r ON r.key = l.run \
             WHERE l.run = (SELECT key FROM runs WHERE id = ?1) AND ",
            $path,
            " AND (?3 IS NULL OR l.attempt = ?3) AND l.key > ?4 ORDER BY l.key LIMIT ?5"
        )
    };
}

macro_rules! lines_of {
    ($what:literal, $which:literal) => {
        concat!(
            "SELECT ",
            $what,
            " FROM logs WHERE run = (SELECT key FROM runs WHERE id = ?1) AND ",
            $which
        )
    };
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

    /// Lists the lines that a run's steps wrote, in the order they were committed, those
    /// behind `after`. The next page is that behind the last line, also where there is none
    /// yet.
    pub async fn logs(
        &self,
        run: &RunId,
        filter: &LogFilter,
        after: i64,
        limit: u32,
    ) -> Result<Page<LogRow, i64>, StoreError> {
        let sql = match &filter.path {
            None => log_lines!("?2 IS NULL"),
            Some(_) => log_lines!("l.path = ?2"),
        };
        let query = sqlx::query(sql)
            .bind(run.as_str())
            .bind(filter.path.as_ref().map(InstancePath::as_str))
            .bind(filter.attempt)
            .bind(after)
            .bind(i64::from(limit));
        let found = self.all(query, |row| Ok((decode::log(row)?, decode::key(row)?))).await?;
        Ok(page(found, 1))
    }

    /// The place behind which the last lines are, so many, of a run or of one instance; the
    /// beginning where there are no more.
    pub async fn place_of_last_logs(
        &self,
        run: &RunId,
        path: Option<&InstancePath>,
        lines: u32,
    ) -> Result<i64, StoreError> {
        let sql = match path {
            None => lines_of!("key", "?2 IS NULL ORDER BY key DESC LIMIT 1 OFFSET ?3"),
            Some(_) => lines_of!("key", "path = ?2 ORDER BY key DESC LIMIT 1 OFFSET ?3"),
        };
        let query = sqlx::query(sql)
            .bind(run.as_str())
            .bind(path.map(InstancePath::as_str))
            .bind(i64::from(lines));
        Ok(self.one(query, decode::key).await?.unwrap_or_default())
    }

    /// Counts the lines of a run or of one instance up to a place.
    pub async fn count_logs(
        &self,
        run: &RunId,
        path: Option<&InstancePath>,
        until: i64,
    ) -> Result<u64, StoreError> {
        let sql = match path {
            None => lines_of!("count(*) AS lines", "?2 IS NULL AND key <= ?3"),
            Some(_) => lines_of!("count(*) AS lines", "path = ?2 AND key <= ?3"),
        };
        let query =
            sqlx::query(sql).bind(run.as_str()).bind(path.map(InstancePath::as_str)).bind(until);
        let lines = self.one(query, |row| decode::unsigned(row, "lines")).await?;
        Ok(lines.flatten().unwrap_or_default())
    }
}
