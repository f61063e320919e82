//! What is remembered of schedules, watched folders, webhooks and workflows that follow others.
//!
//! All of it serves one promise: what was to start a run starts it once. A row that names a
//! run is written before the run is, so that whoever comes after a crash asks for the same run
//! again, and is told that it is there already. Of schedules it is the other way round: the id
//! of a run follows from its tick, and the row says which ticks need no look any more.

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::decode::{self, Decoded};
use super::encode::{Encoded, Row, Statement};
use super::queries::json_list;
use super::{RunRow, RunStatus, Store, StoreError};
use crate::content::ContentHash;
use crate::ids::RunId;

/// A schedule, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleRow {
    /// The file of its workflow, without the ending.
    pub workflow: String,
    /// What makes it this one: when it ticks, and what its runs are given.
    pub definition: ContentHash,
    /// Its place among the triggers of the file when it was last seen, from 0.
    pub place: u32,
    /// Whether a person paused it.
    pub paused: bool,
    /// When it was first seen, in milliseconds since 1970, as are all times here.
    pub seen: i64,
    /// The last tick that needs no look any more.
    pub handled: i64,
    /// Ticks up to this one wait for an earlier run to end.
    pub due: i64,
    /// The run that it started last.
    pub last_run: Option<RunId>,
    /// Ticks that were left out, because an earlier run went on or nobody was there.
    pub skipped: u64,
}

/// How a schedule goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScheduleMove {
    /// The last tick that needs no look any more.
    pub handled: i64,
    /// Ticks up to this one wait.
    pub due: i64,
    /// The run that was started.
    pub run: Option<RunId>,
    /// Ticks more that were left out.
    pub skipped: u64,
    /// Its place in the file, where that is another one now.
    pub place: Option<u32>,
    /// Whether times may go back: the clock had been ahead.
    pub back: bool,
}

/// A file of a watched folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedFile {
    /// Its path, as the watch finds it.
    pub path: String,
    /// The hash of its bytes.
    pub content: ContentHash,
    /// Its size in bytes when it was taken.
    pub size: u64,
    /// When it was changed last before that, by the file system, in milliseconds since 1970.
    pub modified: i64,
    /// The run that it starts.
    pub run: RunId,
    /// When it was taken.
    pub at: i64,
    /// Whether there may be something left to do.
    pub open: bool,
    /// Why it starts no run.
    pub error: Option<String>,
}

/// A delivery to a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The hash of its body.
    pub content: ContentHash,
    /// The run that it starts.
    pub run: RunId,
}

/// A run that has ended, and when.
#[derive(Clone, Debug)]
pub struct EndedRun {
    /// The run.
    pub run: RunRow,
    /// When it ended.
    pub ended: i64,
}

/// Dropping the futures of what reads does nothing; what writes is written then, or not.
impl Store {
    /// The schedules of a workflow.
    pub async fn schedules_of(&self, workflow: &str) -> Result<Vec<ScheduleRow>, StoreError> {
        let sql = "SELECT * FROM schedules WHERE workflow = ? ORDER BY definition";
        self.all(sqlx::query(sql).bind(workflow), schedule).await
    }

    /// Keeps a schedule that is new; one that is known gets its place.
    pub async fn put_schedule(&self, row: &ScheduleRow) -> Result<(), StoreError> {
        let columns = named(&row.workflow, &row.definition)
            .int(row.place.into())
            .flag(Some(row.paused))
            .int(row.seen)
            .int(row.handled)
            .maybe_text(row.last_run.as_ref().map(RunId::as_str));
        self.write_row(Statement::Schedules, columns).await
    }

    /// Forgets a schedule that is in no file any more.
    pub async fn forget_schedule(
        &self,
        workflow: &str,
        definition: &ContentHash,
    ) -> Result<(), StoreError> {
        self.write_row(Statement::ScheduleGone, named(workflow, definition)).await
    }

    /// Pauses a schedule or lets it go on from `now`.
    pub async fn pause_schedule(
        &self,
        workflow: &str,
        definition: &ContentHash,
        paused: bool,
        now: i64,
    ) -> Result<(), StoreError> {
        let columns = named(workflow, definition).flag(Some(paused)).int(now);
        self.write_row(Statement::ScheduleTold, columns).await
    }

    /// Moves a schedule on.
    pub async fn move_schedule(
        &self,
        workflow: &str,
        definition: &ContentHash,
        to: &ScheduleMove,
    ) -> Result<(), StoreError> {
        let columns = named(workflow, definition)
            .int(to.handled)
            .int(to.due)
            .maybe_text(to.run.as_ref().map(RunId::as_str))
            .unsigned(Some(to.skipped))
            .unsigned(to.place.map(u64::from))
            .flag(Some(to.back));
        self.write_row(Statement::ScheduleMoved, columns).await
    }

    /// What is known of files at these paths, whatever bytes they had.
    pub async fn watched_files(
        &self,
        watch: &str,
        paths: &[String],
    ) -> Result<Vec<WatchedFile>, StoreError> {
        let sql = "SELECT * FROM watched_files WHERE watch = ? \
                   AND path IN (SELECT value FROM json_each(?))";
        let query = sqlx::query(sql).bind(watch).bind(json_list(paths.iter()));
        self.all(query, watched_file).await
    }

    /// The files of which something may be left to do, the oldest first.
    pub async fn open_watched_files(
        &self,
        watch: &str,
        limit: u32,
    ) -> Result<Vec<WatchedFile>, StoreError> {
        let sql = "SELECT * FROM watched_files WHERE watch = ? AND open = 1 ORDER BY at LIMIT ?";
        self.all(sqlx::query(sql).bind(watch).bind(i64::from(limit)), watched_file).await
    }

    /// Keeps files that are about to start runs. Of one that is known, bytes and path, only
    /// its size and time are: it has its run.
    pub async fn put_watched_files(
        &self,
        watch: &str,
        files: &[WatchedFile],
    ) -> Result<(), StoreError> {
        let mut encoded = Encoded::default();
        for file in files {
            let columns = Row::new()
                .text(watch)
                .text(&file.path)
                .hash(Some(&file.content))
                .unsigned(Some(file.size))
                .int(file.modified)
                .text(file.run.as_str())
                .int(file.at);
            encoded.push(Statement::WatchedFiles, columns);
        }
        self.write(encoded).await
    }

    /// Says that nothing is left to do for a file, and why it starts no run if it does not.
    pub async fn close_watched_file(
        &self,
        watch: &str,
        file: &WatchedFile,
        error: Option<&str>,
    ) -> Result<(), StoreError> {
        let columns =
            Row::new().text(watch).text(&file.path).hash(Some(&file.content)).maybe_text(error);
        self.write_row(Statement::WatchedFileClosed, columns).await
    }

    /// What a delivery of this name was, if there was one.
    pub async fn delivery(&self, hook: &str, key: &str) -> Result<Option<Delivery>, StoreError> {
        let sql = "SELECT content, run FROM deliveries WHERE hook = ? AND key = ?";
        let read = |row: &SqliteRow| {
            Ok(Delivery {
                content: decode::hash(row, "content")?,
                run: decode::run_id(row, "run")?,
            })
        };
        self.one(sqlx::query(sql).bind(hook).bind(key), read).await
    }

    /// Keeps a delivery; the first of a name stays.
    pub async fn put_delivery(
        &self,
        hook: &str,
        key: &str,
        delivery: &Delivery,
        at: i64,
    ) -> Result<(), StoreError> {
        let columns = Row::new()
            .text(hook)
            .text(key)
            .hash(Some(&delivery.content))
            .text(delivery.run.as_str())
            .int(at);
        self.write_row(Statement::Deliveries, columns).await
    }

    /// Forgets deliveries that came before a time.
    pub async fn forget_deliveries(&self, before: i64) -> Result<(), StoreError> {
        self.write_row(Statement::ForgetDeliveries, Row::new().int(before)).await
    }

    /// Up to when a follower has looked at ended runs; none if it never did.
    pub async fn followed_until(&self, follower: &str) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT until FROM followers WHERE follower = ?";
        self.one(sqlx::query(sql).bind(follower), |row| row.try_get("until")).await
    }

    /// Keeps up to when a follower has looked.
    pub async fn follow_until(&self, follower: &str, until: i64) -> Result<(), StoreError> {
        self.write_row(Statement::Followers, Row::new().text(follower).int(until)).await
    }

    /// Runs of a workflow that ended at a time or later, those behind `after` in the order of
    /// their ends.
    pub async fn ended_since(
        &self,
        workflow: &str,
        since: i64,
        after: Option<&RunId>,
        limit: u32,
    ) -> Result<Vec<EndedRun>, StoreError> {
        let sql = "SELECT * FROM runs WHERE ended IS NOT NULL AND pruned = 0 \
                   AND +workflow = ?1 AND (ended, id) > (?2, ?3) ORDER BY ended, id LIMIT ?4";
        // Without a run to go on behind, those that ended at that very time count.
        let after = after.map(RunId::as_str).unwrap_or_default();
        let query = sqlx::query(sql).bind(workflow).bind(since).bind(after).bind(i64::from(limit));
        let read =
            |row: &SqliteRow| Ok(EndedRun { run: decode::run(row)?, ended: row.try_get("ended")? });
        self.all(query, read).await
    }

    /// How many runs led to this one, each started by the end of the one before.
    pub async fn depth_of(&self, run: &RunId) -> Result<u32, StoreError> {
        let sql = "SELECT depth FROM chained_runs WHERE run = ?";
        let depth = self.one(sqlx::query(sql).bind(run.as_str()), |row| row.try_get("depth"));
        Ok(depth.await?.unwrap_or_default())
    }

    /// Keeps that a run is started by the end of another.
    pub async fn put_chained(
        &self,
        run: &RunId,
        after: &RunId,
        depth: u32,
    ) -> Result<(), StoreError> {
        let columns = Row::new().text(run.as_str()).text(after.as_str()).int(depth.into());
        self.write_row(Statement::ChainedRuns, columns).await
    }

    /// How a run stands; none where there is none, or no more.
    pub async fn status_of(&self, run: &RunId) -> Result<Option<RunStatus>, StoreError> {
        Ok(self.run(run).await?.map(|row| row.status))
    }

    async fn write_row(&self, statement: Statement, columns: Row) -> Result<(), StoreError> {
        let mut encoded = Encoded::default();
        encoded.push(statement, columns);
        self.write(encoded).await
    }
}

fn named(workflow: &str, definition: &ContentHash) -> Row {
    Row::new().text(workflow).hash(Some(definition))
}

fn schedule(row: &SqliteRow) -> Decoded<ScheduleRow> {
    Ok(ScheduleRow {
        workflow: row.try_get("workflow")?,
        definition: decode::hash(row, "definition")?,
        place: row.try_get("place")?,
        paused: row.try_get("paused")?,
        seen: row.try_get("seen")?,
        handled: row.try_get("handled")?,
        due: row.try_get("due")?,
        last_run: decode::maybe_run_id(row, "last_run")?,
        skipped: decode::unsigned(row, "skipped")?.unwrap_or_default(),
    })
}

fn watched_file(row: &SqliteRow) -> Decoded<WatchedFile> {
    Ok(WatchedFile {
        path: row.try_get("path")?,
        content: decode::hash(row, "content")?,
        size: decode::unsigned(row, "size")?.unwrap_or_default(),
        modified: row.try_get("modified")?,
        run: decode::run_id(row, "run")?,
        at: row.try_get("at")?,
        open: row.try_get("open")?,
        error: row.try_get("error")?,
    })
}
