//! Reading the store: every list is paged or bounded by what was asked for.
//!
//! Readers see what was committed when their query began, and never wait for the writer.

use std::collections::HashMap;
use std::fmt;

use serde_json::Value;
use sqlx::sqlite::SqliteRow;

use super::Store;
use super::decode::{self, Decoded};
use super::error::StoreError;
use super::rows::{
    ApprovalRow, AttemptRow, CacheRow, EventRow, LogRow, RunRow, RunStatus, StepRow, StepStatus,
};
use crate::content::ContentHash;
use crate::ids::{InstancePath, RunId};

type Query<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

/// As many candidates of an ambiguous id are named.
const CANDIDATES: usize = 5;

/// Which runs to list.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Only those of this workflow.
    pub workflow: Option<String>,
    /// Only those that stand so.
    pub status: Option<RunStatus>,
    /// At most so many; none for all.
    pub limit: Option<u32>,
    /// Only those before this one in the list, to page.
    pub before: Option<RunId>,
}

/// A place in a list of steps, to go on behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepCursor {
    ordinal: i64,
    key: i64,
}

/// A part of a list, and where it goes on.
#[derive(Clone, Debug)]
pub struct Page<T, C> {
    /// The rows.
    pub rows: Vec<T>,
    /// What to ask the next part with; none at the end.
    pub next: Option<C>,
}

/// Which lines of a log to read.
#[derive(Clone, Debug, Default)]
pub struct LogFilter {
    /// Only those of this instance.
    pub path: Option<InstancePath>,
    /// Only those of this attempt.
    pub attempt: Option<u32>,
}

/// The ids that a part of an id may mean; some of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ambiguous(pub Vec<RunId>);

impl fmt::Display for Ambiguous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, run) in self.0.iter().take(CANDIDATES).enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{run}")?;
        }
        if self.0.len() > CANDIDATES {
            f.write_str(" and more")?;
        }
        Ok(())
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
            "a.request_id, a.raw, a.started, a.ended ",
            "FROM attempts a JOIN runs r ON r.key = a.run ",
            $rest
        )
    };
}

macro_rules! approval_columns {
    ($rest:literal) => {
        concat!(
            "SELECT r.id AS run, a.path, a.show, a.asked, a.answered, a.approved, a.comment ",
            "FROM approvals a JOIN runs r ON r.key = a.run ",
            $rest
        )
    };
}

/// All queries are read-only; dropping their futures does nothing.
impl Store {
    /// Reads a definition, if it is known.
    pub async fn definition(&self, hash: &ContentHash) -> Result<Option<Value>, StoreError> {
        let sql = "SELECT bundle FROM definitions WHERE hash = unhex(?)";
        let query = sqlx::query(sql).bind(hash.hex());
        self.one(query, |row| decode::json(row, "bundle")).await
    }

    /// Reads a run, if there is one of this id.
    pub async fn run(&self, run: &RunId) -> Result<Option<RunRow>, StoreError> {
        let query = sqlx::query("SELECT * FROM runs WHERE id = ?").bind(run.as_str());
        self.one(query, decode::run).await
    }

    /// Finds the one run whose id begins or ends like this.
    ///
    /// Fails with [`StoreError::UnknownRun`] or [`StoreError::AmbiguousRun`].
    pub async fn find_run(&self, part: &str) -> Result<RunRow, StoreError> {
        let sql = "SELECT * FROM runs WHERE ?1 <> '' AND (substr(id, 1, length(?1)) = ?1 \
                   OR substr(id, -length(?1)) = ?1) ORDER BY id DESC LIMIT ?2";
        let part = part.to_ascii_lowercase();
        let query = sqlx::query(sql).bind(&part).bind(CANDIDATES as i64 + 1);
        let mut found = self.all(query, decode::run).await?;
        match found.len() {
            0 => Err(self.unknown(&part)),
            1 => Ok(found.remove(0)),
            _ => Err(StoreError::AmbiguousRun {
                part,
                candidates: Ambiguous(found.into_iter().map(|run| run.id).collect()),
            }),
        }
    }

    /// Lists runs, the latest first.
    pub async fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRow>, StoreError> {
        let sql = "SELECT * FROM runs WHERE (?1 IS NULL OR workflow = ?1) \
                   AND (?2 IS NULL OR status = ?2) \
                   AND (?3 IS NULL OR (started, id) < (SELECT started, id FROM runs WHERE id = ?3)) \
                   ORDER BY started DESC, id DESC LIMIT ?4";
        let query = sqlx::query(sql)
            .bind(filter.workflow.clone())
            .bind(filter.status.map(RunStatus::as_str))
            .bind(filter.before.as_ref().map(|run| run.as_str().to_owned()))
            .bind(filter.limit.map_or(-1, i64::from));
        self.all(query, decode::run).await
    }

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
        Ok(steps
            .into_iter()
            .map(|step| (step.path.clone(), step))
            .collect())
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
        let after = after.unwrap_or(StepCursor {
            ordinal: i64::MIN,
            key: 0,
        });
        let query = sqlx::query(sql)
            .bind(run.as_str())
            .bind(parent.map(InstancePath::as_str))
            .bind(after.ordinal)
            .bind(after.key)
            .bind(i64::from(limit));
        let found = self
            .all(query, |row| Ok((decode::step(row)?, cursor(row)?)))
            .await?;
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
        let after = after.unwrap_or(StepCursor {
            ordinal: -1,
            key: i64::MAX,
        });
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
        let sql = "SELECT status, count(*) AS steps FROM steps \
                   WHERE run = (SELECT key FROM runs WHERE id = ?) AND parent IS ? GROUP BY status";
        let query = sqlx::query(sql)
            .bind(run.as_str())
            .bind(parent.map(InstancePath::as_str));
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
        let query = sqlx::query(sql)
            .bind(run.as_str())
            .bind(path)
            .bind(number)
            .bind(i64::from(limit));
        let rows = self.all(query, decode::attempt).await?;
        let next = full(&rows, limit).map(|last| (last.path.clone(), last.number));
        Ok(Page { rows, next })
    }

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
        let query = sqlx::query(sql)
            .bind(run.as_str())
            .bind(super::encode::signed(after))
            .bind(i64::from(limit));
        self.all(query, decode::event).await
    }

    /// Reads the question that was asked at a path, if one was.
    pub async fn approval(
        &self,
        run: &RunId,
        path: &InstancePath,
    ) -> Result<Option<ApprovalRow>, StoreError> {
        let sql = approval_columns!("WHERE r.id = ? AND a.path = ?");
        let query = sqlx::query(sql).bind(run.as_str()).bind(path.as_str());
        self.one(query, decode::approval).await
    }

    /// Lists the questions of a run, the oldest first.
    pub async fn approvals(&self, run: &RunId) -> Result<Vec<ApprovalRow>, StoreError> {
        let sql = approval_columns!("WHERE r.id = ? ORDER BY a.asked, a.path");
        self.all(sqlx::query(sql).bind(run.as_str()), decode::approval)
            .await
    }

    /// Lists the questions of all runs that nobody answered, the oldest first.
    pub async fn open_approvals(&self) -> Result<Vec<ApprovalRow>, StoreError> {
        let sql = approval_columns!("WHERE a.answered IS NULL ORDER BY a.asked, a.path");
        self.all(sqlx::query(sql), decode::approval).await
    }

    /// Reads the cached outputs of these hashes, those that there are, in one query.
    pub async fn cached(
        &self,
        hashes: &[ContentHash],
    ) -> Result<HashMap<ContentHash, CacheRow>, StoreError> {
        let sql = "SELECT c.hash, c.output, c.meta, r.id AS run, c.at FROM cache c \
                   JOIN runs r ON r.key = c.run \
                   WHERE c.hash IN (SELECT unhex(value) FROM json_each(?))";
        let hashes = json_list(hashes.iter().map(ContentHash::hex));
        let rows = self
            .all(sqlx::query(sql).bind(hashes), decode::cache)
            .await?;
        Ok(rows.into_iter().map(|row| (row.hash, row)).collect())
    }

    /// Whether somebody asked for the run to stop.
    pub async fn cancel_requested(&self, run: &RunId) -> Result<bool, StoreError> {
        let sql = "SELECT cancel_requested FROM runs WHERE id = ?";
        let wanted = self
            .one(sqlx::query(sql).bind(run.as_str()), decode::flag)
            .await?;
        wanted.ok_or_else(|| self.unknown(run.as_str()))
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
        let found = self
            .all(query, |row| Ok((decode::log(row)?, decode::key(row)?)))
            .await?;
        Ok(page(found, limit))
    }

    pub(super) fn unknown(&self, id: &str) -> StoreError {
        StoreError::UnknownRun {
            id: id.into(),
            file: self.file().to_path_buf(),
        }
    }

    pub(super) async fn all<T>(
        &self,
        query: Query<'_>,
        read: impl Fn(&SqliteRow) -> Decoded<T>,
    ) -> Result<Vec<T>, StoreError> {
        let rows = query.fetch_all(self.readers()).await;
        rows.and_then(|rows| rows.iter().map(read).collect())
            .map_err(|error| StoreError::database(self.file(), error))
    }

    async fn one<T>(
        &self,
        query: Query<'_>,
        read: impl Fn(&SqliteRow) -> Decoded<T>,
    ) -> Result<Option<T>, StoreError> {
        let row = query.fetch_optional(self.readers()).await;
        row.and_then(|row| row.as_ref().map(read).transpose())
            .map_err(|error| StoreError::database(self.file(), error))
    }
}

fn cursor(row: &SqliteRow) -> Decoded<StepCursor> {
    use sqlx::Row;
    Ok(StepCursor {
        ordinal: row.try_get("ordinal")?,
        key: row.try_get("key")?,
    })
}

/// The last row, if the list may go on behind it.
fn full<T>(rows: &[T], limit: u32) -> Option<&T> {
    rows.last().filter(|_| rows.len() >= limit as usize)
}

fn page<T, C: Copy>(found: Vec<(T, C)>, limit: u32) -> Page<T, C> {
    let next = full(&found, limit).map(|(_, cursor)| *cursor);
    let rows = found.into_iter().map(|(row, _)| row).collect();
    Page { rows, next }
}

fn json_list<T: serde::Serialize>(items: impl Iterator<Item = T>) -> String {
    serde_json::to_string(&items.collect::<Vec<_>>()).expect("texts serialize")
}
