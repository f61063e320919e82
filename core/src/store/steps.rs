//! Reading steps: alone, below their parent, by their content, with their attempts.

use std::collections::HashMap;
use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use serde_json::Value;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::decode::{self, Decoded};
use super::encode::Encoded;
use super::queries::{Page, full, json_list, page};
use super::{AttemptRow, CacheRow, StepRow, StepStatus, Store, StoreError};
use crate::content::ContentHash;
use crate::ids::{InstancePath, RunId};

/// An entry of the cache that was of use is written again when so much time went by.
pub(super) const USE_NOTED_MS: i64 = 86_400_000;

/// A place in a list of steps, to go on behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepCursor {
    ordinal: i64,
    key: i64,
}

impl fmt::Display for StepCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.ordinal, self.key)
    }
}

impl FromStr for StepCursor {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        let (ordinal, key) = text.split_once('.').unwrap_or((text, ""));
        Ok(Self { ordinal: ordinal.parse()?, key: key.parse()? })
    }
}

/// The columns of a step, with its run's id and not its key.
macro_rules! step_columns {
    ($rest:literal) => {
        concat!(
            "SELECT r.id AS run, s.key, s.path, s.parent, s.step, s.ordinal, s.status, s.hash, ",
            "s.output, s.meta, s.error_class, s.error, s.attempts, s.cached, s.started, s.ended ",
            "FROM steps s JOIN runs r ON r.key = s.run ",
            $rest
        )
    };
}

macro_rules! attempt_columns {
    ($rest:literal) => {
        concat!(
            "SELECT r.id AS run, a.path, a.number, a.status, a.provider, a.model, a.error_class, ",
            "a.error, a.input_tokens, a.output_tokens, a.cost, a.reserved, a.latency_ms, ",
            "a.request_id, a.raw, a.started, a.ended, a.batch, a.speed, a.plugin ",
            "FROM attempts a JOIN runs r ON r.key = a.run ",
            $rest
        )
    };
}

/// Dropping the futures of these queries does nothing.
impl Store {
    /// Reads the step or instance at a path.
    pub async fn step(
        &self,
        run: &RunId,
        path: &InstancePath,
    ) -> Result<Option<StepRow>, StoreError> {
        let sql = step_columns!("WHERE r.id = ? AND s.path = ?");
        let query = sqlx::query(sql).bind(run.as_str()).bind(path.as_str());
        self.one(query, decode::step).await
    }

    /// Reads the steps and instances at these paths, those that there are, in one query.
    pub async fn steps_by_path(
        &self,
        run: &RunId,
        paths: &[InstancePath],
    ) -> Result<HashMap<InstancePath, StepRow>, StoreError> {
        let sql = step_columns!(
            "WHERE s.run = (SELECT key FROM runs WHERE id = ?) \
             AND s.path IN (SELECT value FROM json_each(?))"
        );
        let paths = json_list(paths.iter().map(InstancePath::as_str));
        let query = sqlx::query(sql).bind(run.as_str()).bind(paths);
        let steps = self.all(query, decode::step).await?;
        Ok(steps.into_iter().map(|step| (step.path.clone(), step)).collect())
    }

    /// Lists the steps directly below `parent` (none for the top), instances in item order,
    /// others in the order they were first written.
    pub async fn steps(
        &self,
        run: &RunId,
        parent: Option<&InstancePath>,
        after: Option<StepCursor>,
        limit: u32,
    ) -> Result<Page<StepRow, StepCursor>, StoreError> {
        let sql = step_columns!(
            "WHERE s.run = (SELECT key FROM runs WHERE id = ?) AND s.parent IS ? \
             AND (s.ordinal, s.key) > (?, ?) ORDER BY s.ordinal, s.key LIMIT ?"
        );
        let after = after.unwrap_or(StepCursor { ordinal: i64::MIN, key: 0 });
        let query = sqlx::query(sql)
            .bind(run.as_str())
            .bind(parent.map(InstancePath::as_str))
            .bind(after.ordinal)
            .bind(after.key)
            .bind(i64::from(limit));
        let found = self.all(query, |row| Ok((decode::step(row)?, cursor(row)?))).await?;
        Ok(page(found, limit))
    }

    /// Lists what the instances of `parent` yielded, in item order; null where one has no
    /// output.
    pub async fn outputs_of(
        &self,
        run: &RunId,
        parent: &InstancePath,
        after: Option<StepCursor>,
        limit: u32,
    ) -> Result<Page<Value, StepCursor>, StoreError> {
        let sql = "SELECT key, ordinal, coalesce(output, 'null') AS output FROM steps \
                   WHERE run = (SELECT key FROM runs WHERE id = ?) AND parent IS ? \
                   AND (ordinal, key) > (?, ?) ORDER BY ordinal, key LIMIT ?";
        // Behind all that is no instance. A second condition on the ordinal would make
        // `SQLite` seek by that one, and walk over all the pages before.
        let after = after.unwrap_or(StepCursor { ordinal: -1, key: i64::MAX });
        let query = sqlx::query(sql)
            .bind(run.as_str())
            .bind(parent.as_str())
            .bind(after.ordinal)
            .bind(after.key)
            .bind(i64::from(limit));
        let read = |row: &SqliteRow| Ok((decode::json(row, "output")?, cursor(row)?));
        Ok(page(self.all(query, read).await?, limit))
    }

    /// Counts the steps directly below `parent` by how they stand.
    pub async fn step_counts(
        &self,
        run: &RunId,
        parent: Option<&InstancePath>,
    ) -> Result<HashMap<StepStatus, u64>, StoreError> {
        // Those that succeeded are what is left of all: a million are counted on the index of
        // parents alone, without a look at their rows.
        let sql = "WITH unfinished AS (SELECT status, count(*) AS steps FROM steps \
                   WHERE run = (SELECT key FROM runs WHERE id = ?1) AND parent IS ?2 \
                   AND status <> 'succeeded' GROUP BY status), \
                   done AS (SELECT count(*) - (SELECT coalesce(sum(steps), 0) FROM unfinished) \
                   AS steps FROM steps \
                   WHERE run = (SELECT key FROM runs WHERE id = ?1) AND parent IS ?2) \
                   SELECT status, steps FROM unfinished \
                   UNION ALL SELECT 'succeeded', steps FROM done WHERE steps > 0";
        let query = sqlx::query(sql).bind(run.as_str()).bind(parent.map(InstancePath::as_str));
        let counts = self.all(query, decode::count).await?;
        Ok(counts.into_iter().collect())
    }

    /// Lists the attempts at one instance, the first one first.
    pub async fn attempts(
        &self,
        run: &RunId,
        path: &InstancePath,
    ) -> Result<Vec<AttemptRow>, StoreError> {
        let sql = attempt_columns!("WHERE r.id = ? AND a.path = ? ORDER BY a.number");
        let query = sqlx::query(sql).bind(run.as_str()).bind(path.as_str());
        self.all(query, decode::attempt).await
    }

    /// Lists the attempts of a run by path and number, those behind `after`.
    pub async fn attempts_of_run(
        &self,
        run: &RunId,
        after: Option<(InstancePath, u32)>,
        limit: u32,
    ) -> Result<Page<AttemptRow, (InstancePath, u32)>, StoreError> {
        let sql = attempt_columns!(
            "WHERE a.run = (SELECT key FROM runs WHERE id = ?) AND (a.path, a.number) > (?, ?) \
             ORDER BY a.path, a.number LIMIT ?"
        );
        let (path, number) = match &after {
            Some((path, number)) => (path.as_str(), *number),
            None => ("", 0),
        };
        let query =
            sqlx::query(sql).bind(run.as_str()).bind(path).bind(number).bind(i64::from(limit));
        let rows = self.all(query, decode::attempt).await?;
        let next = full(&rows, limit).map(|last| (last.path.clone(), last.number));
        Ok(Page { rows, next })
    }

    /// Lists the attempts of a run that were sent and have not ended, by path and number,
    /// those behind `after`.
    pub async fn sent_attempts(
        &self,
        run: &RunId,
        after: Option<&(InstancePath, u32)>,
        limit: u32,
    ) -> Result<Page<AttemptRow, (InstancePath, u32)>, StoreError> {
        let sql = attempt_columns!(
            "WHERE a.run = (SELECT key FROM runs WHERE id = ?) AND a.status = 'sent' \
             AND (a.path, a.number) > (?, ?) ORDER BY a.path, a.number LIMIT ?"
        );
        let (path, number) = after.map_or(("", 0), |(path, number)| (path.as_str(), *number));
        let query =
            sqlx::query(sql).bind(run.as_str()).bind(path).bind(number).bind(i64::from(limit));
        let rows = self.all(query, decode::attempt).await?;
        let next = full(&rows, limit).map(|last| (last.path.clone(), last.number));
        Ok(Page { rows, next })
    }

    /// Reads the cached outputs of these hashes, those that there are, in one query.
    pub async fn cached(
        &self,
        hashes: &[ContentHash],
    ) -> Result<HashMap<ContentHash, CacheRow>, StoreError> {
        let sql = "SELECT c.hash, c.output, c.meta, r.id AS run, c.at FROM cache c \
                   LEFT JOIN runs r ON r.key = c.run \
                   WHERE c.hash IN (SELECT unhex(value) FROM json_each(?))";
        let hashes = json_list(hashes.iter().map(ContentHash::hex));
        let rows = self.all(sqlx::query(sql).bind(hashes), decode::cache).await?;
        Ok(rows.into_iter().map(|row| (row.hash, row)).collect())
    }

    /// Notes that an entry of the cache was of use, once a day at most: what is of use is
    /// kept, and a night's look-ups are no night's writes.
    ///
    /// Does not wait until that is durable. Dropping the future notes it or not.
    pub(crate) async fn used_cached(&self, row: &CacheRow, now: i64) -> Result<(), StoreError> {
        if now - row.at >= USE_NOTED_MS {
            self.writer()?.send(Encoded::used_cache(&row.hash, now)).await?;
        }
        Ok(())
    }
}

fn cursor(row: &SqliteRow) -> Decoded<StepCursor> {
    Ok(StepCursor { ordinal: row.try_get("ordinal")?, key: row.try_get("key")? })
}
