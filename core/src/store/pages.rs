//! What a page shows of many runs or steps: little of each row, and sums over many.
//!
//! Every query goes by an index and is bounded: by a page of rows, by the time that is asked
//! for, or by the children of what is asked for.

use std::collections::{BTreeMap, HashMap};

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::decode::{self, Decoded};
use super::queries::json_list;
use super::{RunRow, RunStatus, StepStatus, Store, StoreError};
use crate::error::ErrorClass;
use crate::ids::{InstancePath, RunId};
use crate::units::Money;

/// How many steps stand how.
pub type Counts = BTreeMap<StepStatus, u64>;

/// Which runs to list.
#[derive(Clone, Debug, Default)]
pub struct RunSearch {
    /// Only those of this workflow.
    pub workflow: Option<String>,
    /// Only those that stand so.
    pub status: Option<RunStatus>,
    /// Only those whose id, workflow or error holds this text.
    pub text: Option<String>,
    /// Only those that started then or later, in milliseconds since 1970.
    pub since: Option<i64>,
    /// Only those that started before.
    pub until: Option<i64>,
    /// Only those before this one in the list, to page.
    pub before: Option<RunId>,
}

/// What a list shows of a step or an instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Brief {
    /// Its path.
    pub path: InstancePath,
    /// Id of the step in the workflow.
    pub step: String,
    /// Position of the item, from 0, of an instance.
    pub ordinal: Option<u64>,
    /// How it stands.
    pub status: StepStatus,
    /// Class of the failure.
    pub error_class: Option<ErrorClass>,
    /// The failure, for people.
    pub error: Option<String>,
    /// Attempts so far.
    pub attempts: u32,
    /// Whether the output came from an earlier run.
    pub cached: bool,
    /// When it started, in milliseconds since 1970.
    pub started: Option<i64>,
    /// When it was settled.
    pub ended: Option<i64>,
}

/// Which steps to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepList<'l> {
    /// Those directly below this one; those of the workflow itself where there is none.
    pub parent: Option<&'l InstancePath>,
    /// Only those that stand so.
    pub status: Option<StepStatus>,
    /// So many are left out before.
    pub skip: u32,
    /// At most so many.
    pub limit: u32,
}

/// What the calls of a model in a workflow cost on a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallCosts {
    /// The day on which they began, in UTC, as `2026-11-24`.
    pub day: String,
    /// The workflow.
    pub workflow: String,
    /// Who was asked, and for what.
    pub model: String,
    /// How many calls there were.
    pub calls: u64,
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// What is known of their cost.
    pub cost: Money,
    /// Calls whose cost nobody knows.
    pub unknown: u64,
}

macro_rules! searched_runs {
    ($which:literal) => {
        concat!(
            "SELECT * FROM runs WHERE pruned = 0 AND ",
            $which,
            " AND started >= ?5 AND started < ?6 \
             AND (started, id) < (SELECT started, id FROM runs WHERE id = ?3 \
             UNION ALL SELECT 9223372036854775807, '' WHERE ?3 IS NULL) \
             AND (?7 IS NULL OR instr(id, ?7) OR instr(lower(workflow), ?7) \
             OR instr(lower(coalesce(error, '')), ?7)) \
             ORDER BY started DESC, id DESC LIMIT ?4"
        )
    };
}

macro_rules! briefs {
    ($which:literal) => {
        concat!(
            "SELECT path, step, ordinal, status, error_class, error, attempts, cached, started, \
             ended FROM steps WHERE run = (SELECT key FROM runs WHERE id = ?1) AND parent IS ?2 ",
            $which,
            " ORDER BY ordinal, key LIMIT ?4 OFFSET ?5"
        )
    };
}

/// Dropping the futures of these queries does nothing.
impl Store {
    /// Searches for runs, the latest first, at most `limit`.
    pub async fn search_runs(
        &self,
        search: &RunSearch,
        limit: u32,
    ) -> Result<Vec<RunRow>, StoreError> {
        let sql = match (&search.workflow, search.status) {
            (None, None) => searched_runs!("?1 IS NULL AND ?2 IS NULL"),
            (Some(_), None) => searched_runs!("workflow = ?1 AND ?2 IS NULL"),
            (None, Some(_)) => searched_runs!("?1 IS NULL AND status = ?2"),
            (Some(_), Some(_)) => searched_runs!("workflow = ?1 AND +status = ?2"),
        };
        let query = sqlx::query(sql)
            .bind(search.workflow.clone())
            .bind(search.status.map(RunStatus::as_str))
            .bind(search.before.as_ref().map(|run| run.as_str().to_owned()))
            .bind(i64::from(limit))
            .bind(search.since.unwrap_or(0))
            .bind(search.until.unwrap_or(i64::MAX))
            .bind(search.text.as_ref().map(|text| text.to_lowercase()));
        self.all(query, decode::run).await
    }

    /// The names of the workflows that have runs, at most `limit`.
    pub async fn workflows_with_runs(&self, limit: u32) -> Result<Vec<String>, StoreError> {
        // From name to name on the index, however many runs each has.
        let sql = "WITH RECURSIVE names (name) AS (\
                   SELECT (SELECT min(workflow) FROM runs) UNION ALL \
                   SELECT (SELECT min(workflow) FROM runs WHERE workflow > name) FROM names \
                   WHERE name IS NOT NULL LIMIT ?1) \
                   SELECT name FROM names WHERE name IS NOT NULL";
        self.all(sqlx::query(sql).bind(i64::from(limit)), |row| row.try_get("name")).await
    }

    /// Lists steps or instances, in item order or in the order they were first written.
    pub async fn briefs(&self, run: &RunId, list: StepList<'_>) -> Result<Vec<Brief>, StoreError> {
        let sql = match list.status {
            None => briefs!("AND ?3 IS NULL"),
            Some(StepStatus::Succeeded) => briefs!("AND +status = ?3"),
            Some(_) => briefs!("AND status = ?3 AND status <> 'succeeded'"),
        };
        let query = sqlx::query(sql)
            .bind(run.as_str())
            .bind(list.parent.map(InstancePath::as_str))
            .bind(list.status.map(StepStatus::as_str))
            .bind(i64::from(list.limit))
            .bind(i64::from(list.skip));
        self.all(query, brief).await
    }

    /// Counts what is directly below each of these by how it stands, in two queries.
    pub async fn counts_below(
        &self,
        run: &RunId,
        parents: &[InstancePath],
    ) -> Result<HashMap<InstancePath, Counts>, StoreError> {
        // As with `step_counts`, those that succeeded are what is left of all.
        let unfinished = "SELECT s.parent AS path, s.status, count(*) AS steps FROM json_each(?2) k \
                          JOIN steps s ON s.run = (SELECT key FROM runs WHERE id = ?1) \
                          AND s.parent = k.value AND s.status <> 'succeeded' GROUP BY 1, 2";
        let all = "SELECT s.parent AS path, 'succeeded' AS status, count(*) AS steps \
                   FROM json_each(?2) k JOIN steps s \
                   ON s.run = (SELECT key FROM runs WHERE id = ?1) AND s.parent = k.value \
                   GROUP BY 1";
        let list = json_list(parents.iter().map(InstancePath::as_str));
        let mut counts: HashMap<InstancePath, Counts> = HashMap::new();
        let query = sqlx::query(unfinished).bind(run.as_str()).bind(list.clone());
        for (path, status, steps) in self.all(query, counted).await? {
            *counts.entry(path).or_default().entry(status).or_default() += steps;
        }
        let query = sqlx::query(all).bind(run.as_str()).bind(list);
        for (path, _, steps) in self.all(query, counted).await? {
            let below = counts.entry(path).or_default();
            let done = steps.saturating_sub(below.values().sum());
            if done > 0 {
                below.insert(StepStatus::Succeeded, done);
            }
        }
        Ok(counts)
    }

    /// Counts the steps within a loop's body or a sub-workflow, however deep, by their id and how
    /// they stand. Instances are not counted, only the steps in them.
    pub async fn counts_within(
        &self,
        run: &RunId,
        path: &InstancePath,
    ) -> Result<HashMap<String, Counts>, StoreError> {
        let sql = "SELECT step, status, count(*) AS steps FROM steps \
                   WHERE run = (SELECT key FROM runs WHERE id = ?1) \
                   AND path > ?2 AND path < ?3 AND ordinal < 0 GROUP BY step, status";
        // What is within begins with the path and `/` or `[`; ids of other steps go on with
        // letters, which stand elsewhere.
        let mut counts: HashMap<String, Counts> = HashMap::new();
        for (from, to) in [('/', '0'), ('[', '\\')] {
            let query = sqlx::query(sql)
                .bind(run.as_str())
                .bind(format!("{path}{from}"))
                .bind(format!("{path}{to}"));
            let read = |row: &SqliteRow| Ok((row.try_get("step")?, decode::count(row)?));
            for (step, (status, steps)) in self.all(query, read).await? {
                let step: String = step;
                *counts.entry(step).or_default().entry(status).or_default() += steps;
            }
        }
        Ok(counts)
    }

    /// What the attempts at these instances themselves cost, as far as it is known.
    pub async fn costs_of(
        &self,
        run: &RunId,
        paths: &[InstancePath],
    ) -> Result<HashMap<InstancePath, Money>, StoreError> {
        let sql = "SELECT a.path, sum(a.cost) AS cost FROM json_each(?2) k JOIN attempts a \
                   ON a.run = (SELECT key FROM runs WHERE id = ?1) AND a.path = k.value \
                   WHERE a.cost IS NOT NULL GROUP BY a.path";
        let list = json_list(paths.iter().map(InstancePath::as_str));
        let query = sqlx::query(sql).bind(run.as_str()).bind(list);
        let costs = self.all(query, |row| {
            Ok((decode::path(row, "path")?, decode::money(row, "cost")?.unwrap_or_default()))
        });
        Ok(costs.await?.into_iter().collect())
    }

    /// What was said at the failures of attempts at an instance, the last one last: number of the
    /// attempt and what to do about it. Reads the events of the run.
    pub async fn hints_of(
        &self,
        run: &RunId,
        path: &InstancePath,
    ) -> Result<Vec<(u32, String)>, StoreError> {
        let sql = "SELECT json_extract(body, '$.attempt') AS attempt, \
                   json_extract(body, '$.failure.hint') AS hint FROM events \
                   WHERE run = (SELECT key FROM runs WHERE id = ?1) AND path = ?2 \
                   AND kind IN ('attempt_failed', 'step_failed') \
                   AND json_extract(body, '$.failure.hint') IS NOT NULL ORDER BY seq";
        let query = sqlx::query(sql).bind(run.as_str()).bind(path.as_str());
        self.all(query, |row| Ok((row.try_get("attempt")?, row.try_get("hint")?))).await
    }

    /// What the calls of models cost that began from `since` and before `until`, in milliseconds
    /// since 1970, by day, workflow and model.
    pub async fn call_costs(&self, since: i64, until: i64) -> Result<Vec<CallCosts>, StoreError> {
        let sql = "SELECT date(a.started / 1000, 'unixepoch') AS day, r.workflow AS workflow, \
                   coalesce(a.provider || '/', '') || a.model AS model, count(*) AS calls, \
                   sum(a.input_tokens) AS input_tokens, sum(a.output_tokens) AS output_tokens, \
                   sum(a.cost) AS cost, sum(a.cost IS NULL) AS unknown \
                   FROM attempts a JOIN runs r ON r.key = a.run \
                   WHERE a.started >= ?1 AND a.started < ?2 AND a.model IS NOT NULL \
                   AND r.pruned = 0 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3";
        let read = |row: &SqliteRow| {
            let number = |column| Ok::<_, sqlx::Error>(decode::unsigned(row, column)?.unwrap_or(0));
            Ok(CallCosts {
                day: row.try_get("day")?,
                workflow: row.try_get("workflow")?,
                model: row.try_get("model")?,
                calls: number("calls")?,
                input_tokens: number("input_tokens")?,
                output_tokens: number("output_tokens")?,
                cost: decode::money(row, "cost")?.unwrap_or_default(),
                unknown: number("unknown")?,
            })
        };
        self.all(sqlx::query(sql).bind(since).bind(until), read).await
    }
}

fn brief(row: &SqliteRow) -> Decoded<Brief> {
    Ok(Brief {
        path: decode::path(row, "path")?,
        step: row.try_get("step")?,
        ordinal: decode::unsigned(row, "ordinal")?,
        status: decode::parsed(row, "status", StepStatus::from_name)?,
        error_class: decode::class(row)?,
        error: row.try_get("error")?,
        attempts: row.try_get("attempts")?,
        cached: row.try_get("cached")?,
        started: row.try_get("started")?,
        ended: row.try_get("ended")?,
    })
}

fn counted(row: &SqliteRow) -> Decoded<(InstancePath, StepStatus, u64)> {
    let (status, steps) = decode::count(row)?;
    Ok((decode::path(row, "path")?, status, steps))
}
