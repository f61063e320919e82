//! The transactions of a pruning: each takes the write lock once, for a bounded time.

use sqlx::{Connection, Row, SqliteConnection};

use super::Retention;
use crate::content::ContentHash;
use crate::store::RunStatus;
use crate::store::queries::json_list;

/// As many rows of a table go in one transaction.
const ROWS: u64 = 5_000;

/// As many entries of the cache, which are larger.
const ENTRIES: u32 = 1_000;

/// Which runs a retention is about, by `?1` and `?2`.
macro_rules! forgettable {
    () => {
        "status IN (SELECT value FROM json_each(?1)) AND coalesce(ended, (SELECT at FROM events \
         WHERE run = runs.key ORDER BY seq DESC LIMIT 1), started) < ?2"
    };
}
pub(super) use forgettable;

const HIDE: &str = concat!(
    "UPDATE runs SET pruned = 1 WHERE key IN (SELECT value FROM json_each(?3)) AND pruned = 0 AND ",
    forgettable!(),
    " AND (?4 IS NULL OR workflow = ?4) RETURNING key"
);

/// A table that is keyed by the run and something else: a range of it goes at a time. A list
/// of keys would do, but `SQLite` goes through the whole run for each.
struct Ranged {
    /// The run and the place in it of the row by this number.
    bound: &'static str,
    /// Removes what is of runs before one.
    whole: &'static str,
    /// Removes what is of a run up to a place.
    part: &'static str,
}

macro_rules! ranged {
    ($table:literal, $place:literal) => {
        Ranged {
            bound: concat!(
                "SELECT t.run, '' || t.",
                $place,
                " FROM json_each(?1) k CROSS JOIN ",
                $table,
                " t ON t.run = k.value LIMIT 1 OFFSET ?2"
            ),
            whole: concat!(
                "DELETE FROM ",
                $table,
                " WHERE run IN (SELECT value FROM json_each(?1) WHERE value < ?2)"
            ),
            part: concat!("DELETE FROM ", $table, " WHERE run = ?1 AND ", $place, " <= ?2"),
        }
    };
}

const RANGED: [Ranged; 3] =
    [ranged!("attempts", "path"), ranged!("events", "seq"), ranged!("batch_items", "path")];

/// Tables of rows with a key of their own, which are found on an index and removed by it: a
/// condition on the run in the outer statement would make `SQLite` go by that.
const LISTED: [&str; 2] = [
    "DELETE FROM logs WHERE key IN (SELECT l.key \
     FROM json_each(?1) k CROSS JOIN logs l INDEXED BY logs_by_run ON l.run = k.value LIMIT ?2)",
    "DELETE FROM steps WHERE key IN (SELECT s.key \
     FROM json_each(?1) k CROSS JOIN steps s INDEXED BY steps_by_parent ON s.run = k.value \
     LIMIT ?2)",
];

/// Questions are few.
const REMOVE_APPROVALS: &str =
    "DELETE FROM approvals WHERE run IN (SELECT value FROM json_each(?1))";

const REMOVE_STARTS: &str = "DELETE FROM starts WHERE run IN (SELECT id FROM runs \
     WHERE key IN (SELECT value FROM json_each(?1)))";

const REMOVE_RUNS: &str =
    "DELETE FROM runs WHERE key IN (SELECT value FROM json_each(?1)) AND pruned = 1";

const FORGET_CACHED: &str =
    "DELETE FROM cache WHERE key IN (SELECT key FROM cache WHERE at < ?1 LIMIT ?2)";

const FORGET_DEFINITIONS: &str = "DELETE FROM definitions WHERE hash IN \
     (SELECT unhex(value) FROM json_each(?1)) \
     AND NOT EXISTS (SELECT 1 FROM runs WHERE definition = definitions.hash)";

const FORGET_ARTIFACTS: &str =
    "DELETE FROM artifacts WHERE hash IN (SELECT unhex(value) FROM json_each(?1))";

/// All that is done under the lock.
#[cfg(test)]
pub(in crate::store) fn statements() -> impl Iterator<Item = &'static str> {
    let ranged = RANGED.into_iter().flat_map(|table| [table.bound, table.whole, table.part]);
    let others = [
        REMOVE_APPROVALS,
        HIDE,
        REMOVE_STARTS,
        REMOVE_RUNS,
        FORGET_CACHED,
        FORGET_DEFINITIONS,
        FORGET_ARTIFACTS,
    ];
    ranged.chain(LISTED).chain(others)
}

/// The names of statuses, as a parameter.
pub(super) fn names(statuses: &[RunStatus]) -> String {
    json_list(statuses.iter().map(|status| status.as_str()))
}

/// Hides those of these runs that a retention is still about, and says which.
pub(super) async fn hide(
    connection: &mut SqliteConnection,
    keys: &[i64],
    retention: &Retention,
) -> Result<Vec<i64>, sqlx::Error> {
    let query = sqlx::query(HIDE)
        .bind(names(&retention.statuses))
        .bind(retention.before)
        .bind(json_list(keys.iter()))
        .bind(retention.workflow.clone());
    let rows = query.fetch_all(connection).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// Removes rows of hidden runs, up to a number, and the runs when they have no more; says
/// whether that is so.
pub(super) async fn remove(
    connection: &mut SqliteConnection,
    hidden: &[i64],
) -> Result<bool, sqlx::Error> {
    let mut hidden = hidden.to_vec();
    hidden.sort_unstable();
    let keys = json_list(hidden.iter());
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let mut left = ROWS;
    for table in RANGED {
        if left > 0 {
            left = left.saturating_sub(table.remove(&mut transaction, &keys, left).await?);
        }
    }
    for sql in LISTED {
        if left > 0 {
            let query = sqlx::query(sql).bind(&keys).bind(left as i64);
            left = left.saturating_sub(query.execute(&mut *transaction).await?.rows_affected());
        }
    }
    if left > 0 {
        for sql in [REMOVE_APPROVALS, REMOVE_STARTS, REMOVE_RUNS] {
            sqlx::query(sql).bind(&keys).execute(&mut *transaction).await?;
        }
    }
    transaction.commit().await?;
    Ok(left > 0)
}

impl Ranged {
    /// Removes rows of these runs, up to a number, and says how many.
    async fn remove(
        &self,
        connection: &mut SqliteConnection,
        keys: &str,
        limit: u64,
    ) -> Result<u64, sqlx::Error> {
        let bound = sqlx::query(self.bound).bind(keys).bind(limit as i64 - 1);
        let Some(row) = bound.fetch_optional(&mut *connection).await? else {
            let all = sqlx::query(self.whole).bind(keys).bind(i64::MAX);
            return Ok(all.execute(connection).await?.rows_affected());
        };
        let (run, place): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
        let whole = sqlx::query(self.whole).bind(keys).bind(run);
        let gone = whole.execute(&mut *connection).await?.rows_affected();
        let part = sqlx::query(self.part).bind(run).bind(place);
        Ok(gone + part.execute(connection).await?.rows_affected())
    }
}

/// Removes some entries of the cache that were last of use before a time; says how many.
pub(super) async fn forget_cached(
    connection: &mut SqliteConnection,
    before: i64,
) -> Result<u64, sqlx::Error> {
    let query = sqlx::query(FORGET_CACHED).bind(before).bind(ENTRIES);
    Ok(query.execute(connection).await?.rows_affected())
}

/// Removes those of these definitions that no run has, if nothing is driven; says how many.
pub(super) async fn forget_definitions(
    connection: &mut SqliteConnection,
    unused: &[ContentHash],
    idle: impl Fn() -> bool,
) -> Result<u64, sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    if !idle() {
        return Ok(0);
    }
    let names = json_list(unused.iter().map(ContentHash::hex));
    let query = sqlx::query(FORGET_DEFINITIONS).bind(names);
    let gone = query.execute(&mut *transaction).await?.rows_affected();
    transaction.commit().await?;
    Ok(gone)
}

/// Removes the rows of these files.
pub(super) async fn forget_artifacts(
    connection: &mut SqliteConnection,
    names: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(FORGET_ARTIFACTS).bind(names).execute(connection).await?;
    Ok(())
}
