//! Reading runs: what they are, how they stand, what they ask.

use std::fmt;

use serde_json::Value;

use super::decode;
use super::{ApprovalRow, RunRow, RunStatus, Store, StoreError};
use crate::content::ContentHash;
use crate::ids::{InstancePath, RunId};

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

macro_rules! approval_columns {
    ($rest:literal) => {
        concat!(
            "SELECT r.id AS run, a.path, a.show, a.asked, a.answered, a.approved, a.comment, \
             a.output ",
            "FROM approvals a JOIN runs r ON r.key = a.run ",
            $rest
        )
    };
}

macro_rules! listed_runs {
    ($which:literal) => {
        concat!(
            "SELECT * FROM runs WHERE pruned = 0 AND ",
            $which,
            " AND (started, id) < (SELECT started, id FROM runs WHERE id = ?3 \
             UNION ALL SELECT 9223372036854775807, '' WHERE ?3 IS NULL) \
             ORDER BY started DESC, id DESC LIMIT ?4"
        )
    };
}

/// Dropping the futures of these queries does nothing.
impl Store {
    /// Reads a definition, if it is known.
    pub async fn definition(&self, hash: &ContentHash) -> Result<Option<Value>, StoreError> {
        let sql = "SELECT bundle FROM definitions WHERE hash = unhex(?)";
        let query = sqlx::query(sql).bind(hash.hex());
        self.one(query, |row| decode::json(row, "bundle")).await
    }

    /// Reads a run, if there is one of this id.
    pub async fn run(&self, run: &RunId) -> Result<Option<RunRow>, StoreError> {
        let sql = "SELECT * FROM runs WHERE id = ? AND pruned = 0";
        self.one(sqlx::query(sql).bind(run.as_str()), decode::run).await
    }

    /// Finds the one run whose id begins or ends like this.
    ///
    /// Fails with [`StoreError::UnknownRun`] or [`StoreError::AmbiguousRun`].
    pub async fn find_run(&self, part: &str) -> Result<RunRow, StoreError> {
        // Ids are of letters and digits, before `~`: what begins like a text is a range. The
        // end of an id is the beginning of it backwards.
        let sql = "SELECT * FROM runs WHERE key IN (\
                   SELECT key FROM (SELECT key FROM runs WHERE id >= ?1 AND id < ?1 || '~' \
                   AND pruned = 0 ORDER BY id DESC LIMIT ?3) UNION \
                   SELECT key FROM (SELECT key FROM runs WHERE backwards >= ?2 \
                   AND backwards < ?2 || '~' AND pruned = 0 LIMIT ?3)) \
                   ORDER BY id DESC LIMIT ?3";
        let part = part.to_ascii_lowercase();
        if part.is_empty() {
            return Err(self.unknown(&part));
        }
        let backwards: String = part.chars().rev().collect();
        let query = sqlx::query(sql).bind(&part).bind(&backwards).bind(CANDIDATES as i64 + 1);
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
        // Each has an index of its own, so that a list is as long as what is listed.
        let sql = match (&filter.workflow, filter.status) {
            (None, None) => listed_runs!("?1 IS NULL AND ?2 IS NULL"),
            (Some(_), None) => listed_runs!("workflow = ?1 AND ?2 IS NULL"),
            (None, Some(_)) => listed_runs!("?1 IS NULL AND status = ?2"),
            (Some(_), Some(_)) => listed_runs!("workflow = ?1 AND +status = ?2"),
        };
        let query = sqlx::query(sql)
            .bind(filter.workflow.clone())
            .bind(filter.status.map(RunStatus::as_str))
            .bind(filter.before.as_ref().map(|run| run.as_str().to_owned()))
            .bind(filter.limit.map_or(-1, i64::from));
        self.all(query, decode::run).await
    }

    /// Whether somebody asked for the run to stop.
    pub async fn cancel_requested(&self, run: &RunId) -> Result<bool, StoreError> {
        let sql = "SELECT cancel_requested FROM runs WHERE id = ? AND pruned = 0";
        let wanted = self.one(sqlx::query(sql).bind(run.as_str()), decode::flag).await?;
        wanted.ok_or_else(|| self.unknown(run.as_str()))
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
        self.all(sqlx::query(sql).bind(run.as_str()), decode::approval).await
    }

    /// Lists the questions that a run still asks, the oldest first: nobody answered them, the
    /// step that asked still waits, and the run has not ended.
    pub async fn open_approvals(&self, run: &RunId) -> Result<Vec<ApprovalRow>, StoreError> {
        let sql = approval_columns!(
            "JOIN steps s ON s.run = a.run AND s.path = a.path WHERE r.id = ? \
             AND r.status IN ('running', 'waiting', 'interrupted') AND a.answered IS NULL \
             AND s.status = 'waiting' ORDER BY a.asked, a.path"
        );
        self.all(sqlx::query(sql).bind(run.as_str()), decode::approval).await
    }

    pub(super) fn unknown(&self, id: &str) -> StoreError {
        StoreError::UnknownRun { id: id.into(), file: self.file().to_path_buf() }
    }
}
