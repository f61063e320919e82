//! What a server keeps: which runs are its own and why, what opens it, and that it is alone.

use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::decode::{self, Decoded};
use super::encode::Encoded;
use super::lock::{FileLock, file_of};
use super::{RunRow, RunStatus, Store, StoreError};
use crate::content::ContentHash;
use crate::ids::RunId;

/// The name of the server's lock.
const SERVER: &str = "server";

/// What opens a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// Its name, unique.
    pub name: String,
    /// SHA-256 of the token.
    ///
    /// A hash that is slow on purpose would protect a password that can be guessed. 256 random
    /// bits cannot, however fast a guess is, and a slow one would be paid with every request.
    pub hash: ContentHash,
    /// What it allows, as those who check it call it.
    pub scope: String,
    /// When it was made, in milliseconds since 1970.
    pub created: i64,
    /// Until when it opens.
    pub expires: Option<i64>,
}

/// What calls of a model came to on a day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UsageRow {
    /// The UTC day of their start, as `2026-01-31`.
    pub day: String,
    /// The workflow.
    pub workflow: String,
    /// Who was asked.
    pub provider: Option<String>,
    /// The model.
    pub model: String,
    /// How many calls.
    pub calls: u64,
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// What they cost in USD, as far as it is known.
    pub cost: f64,
    /// How many have a cost that nobody knows.
    pub unknown_cost_calls: u64,
}

/// How many runs of a workflow stand so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunCount {
    /// The workflow.
    pub workflow: String,
    /// How they stand.
    pub status: RunStatus,
    /// How many.
    pub runs: u64,
}

/// That this process is the server of a store, until it is dropped or the process dies.
#[derive(Debug)]
pub struct ServerLock {
    lock: FileLock,
}

/// Why this process cannot be the server of a store.
#[derive(Debug, thiserror::Error)]
pub enum ServerLockError {
    /// A living process is.
    #[error("the store in {} is served by {owner}", folder.display())]
    Held {
        /// The folder of the store.
        folder: std::path::PathBuf,
        /// What the owner wrote about itself: `process PID on HOST, at ADDRESS`.
        owner: String,
    },
    /// The lock file cannot be used.
    #[error("cannot lock {}: {source}", path.display())]
    Io {
        /// The lock file.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl ServerLockError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Held { .. } => {
                Some("stop it first, or serve another store with --store or FLOW_STORE")
            }
            Self::Io { .. } => None,
        }
    }
}

impl ServerLock {
    /// Takes the right to be the server of the store in a folder, at once or not at all.
    pub fn acquire(folder: &Path) -> Result<Self, ServerLockError> {
        let path = file_of(folder, SERVER);
        match FileLock::take(&path) {
            Ok(Ok(lock)) => Ok(Self { lock }),
            Ok(Err(owner)) => Err(ServerLockError::Held { folder: folder.to_path_buf(), owner }),
            Err(source) => Err(ServerLockError::Io { path, source }),
        }
    }

    /// Writes where the server listens into the lock, for those who meet it.
    pub fn listens_at(&mut self, address: &str) -> std::io::Result<()> {
        self.lock.renew()?;
        write!(self.lock.file(), ", at {address}")
    }
}

/// Dropping the futures of the queries does nothing; of the others, it does what they do or not.
impl Store {
    /// Keeps why a server starts a run, or that it took one up again: none. What is kept
    /// already stays.
    pub async fn put_start(
        &self,
        run: &RunId,
        cause: Option<&Value>,
        at: i64,
    ) -> Result<(), StoreError> {
        self.write(Encoded::start(run, cause, at)).await
    }

    /// Forgets a start that came to nothing.
    pub async fn forget_start(&self, run: &RunId) -> Result<(), StoreError> {
        self.write(Encoded::no_start(run)).await
    }

    /// Why a server started the run; none where no server did.
    pub async fn start_of(&self, run: &RunId) -> Result<Option<Value>, StoreError> {
        let query = sqlx::query("SELECT cause FROM starts WHERE run = ?").bind(run.as_str());
        Ok(self.one(query, |row| decode::maybe_json(row, "cause")).await?.flatten())
    }

    /// Lists runs of servers that are to go on: whose process died or was stopped, behind
    /// `after`. Those that somebody drives are among them.
    pub async fn unfinished_starts(
        &self,
        after: Option<&RunId>,
        limit: u32,
    ) -> Result<Vec<RunRow>, StoreError> {
        let sql = "SELECT r.* FROM runs r INDEXED BY runs_by_status \
                   CROSS JOIN starts s ON s.run = r.id WHERE r.status IN ('running', 'interrupted') AND r.pruned = 0 AND r.id > ?1 \
                   ORDER BY r.id LIMIT ?2";
        let query = sqlx::query(sql).bind(after.map_or("", RunId::as_str)).bind(i64::from(limit));
        self.all(query, decode::run).await
    }

    /// Lists runs of servers that wait, and one of whose questions was answered meanwhile.
    pub async fn answered_starts(&self, limit: u32) -> Result<Vec<RunId>, StoreError> {
        let sql = "SELECT r.id FROM runs r INDEXED BY runs_by_status \
                   CROSS JOIN starts s ON s.run = r.id WHERE r.status = 'waiting' AND r.pruned = 0 AND EXISTS (\
                   SELECT 1 FROM approvals a CROSS JOIN steps t ON t.run = a.run \
                   AND t.path = a.path WHERE a.run = r.key AND a.answered IS NOT NULL \
                   AND t.status = 'waiting') LIMIT ?";
        self.all(sqlx::query(sql).bind(limit), |row| decode::run_id(row, "id")).await
    }

    /// Keeps a token; says whether there was none of its name.
    pub async fn put_token(&self, token: &TokenRow) -> Result<bool, StoreError> {
        if self.tokens().await?.iter().any(|known| known.name == token.name) {
            return Ok(false);
        }
        match self.write(Encoded::token(token)).await {
            // Somebody else was faster.
            Err(StoreError::Rejected { .. }) => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// Lists the tokens by name.
    pub async fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        self.all(sqlx::query("SELECT * FROM tokens ORDER BY name"), token).await
    }

    /// Removes a token; says whether there was one of this name.
    pub async fn remove_token(&self, name: &str) -> Result<bool, StoreError> {
        let known = self.tokens().await?.iter().any(|token| token.name == name);
        self.write(Encoded::no_token(name)).await?;
        Ok(known)
    }

    /// Lists what calls of models came to since a time, in milliseconds since 1970, by day,
    /// workflow and model.
    pub async fn usage(&self, since: i64) -> Result<Vec<UsageRow>, StoreError> {
        let sql = "SELECT date(a.started / 1000, 'unixepoch') AS day, r.workflow, a.provider, \
                   a.model, count(*) AS calls, coalesce(sum(a.input_tokens), 0) AS input_tokens, \
                   coalesce(sum(a.output_tokens), 0) AS output_tokens, \
                   coalesce(sum(a.cost), 0) / 1e6 AS cost, sum(a.cost IS NULL) AS unknown \
                   FROM attempts a INDEXED BY attempts_by_start JOIN runs r ON r.key = a.run \
                   WHERE a.model IS NOT NULL AND a.started >= ? AND r.pruned = 0 \
                   GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4";
        self.all(sqlx::query(sql).bind(since), usage).await
    }

    /// Counts the runs of each workflow by how they stand. Goes through all of them.
    pub async fn run_counts(&self) -> Result<Vec<RunCount>, StoreError> {
        let sql = "SELECT workflow, status, count(*) AS runs FROM runs WHERE pruned = 0 \
                   GROUP BY 1, 2 ORDER BY 1, 2";
        self.all(sqlx::query(sql), run_count).await
    }

    /// Fails where nothing can be written now: takes the right to write, and changes nothing.
    pub async fn try_write(&self) -> Result<(), StoreError> {
        self.write(Encoded::no_token("")).await
    }
}

fn unsigned(row: &SqliteRow, column: &str) -> Decoded<u64> {
    let number: i64 = row.try_get(column)?;
    Ok(number.unsigned_abs())
}

fn token(row: &SqliteRow) -> Decoded<TokenRow> {
    Ok(TokenRow {
        name: row.try_get("name")?,
        hash: decode::hash(row, "hash")?,
        scope: row.try_get("scope")?,
        created: row.try_get("created")?,
        expires: row.try_get("expires")?,
    })
}

fn usage(row: &SqliteRow) -> Decoded<UsageRow> {
    Ok(UsageRow {
        day: row.try_get("day")?,
        workflow: row.try_get("workflow")?,
        provider: row.try_get("provider")?,
        model: row.try_get("model")?,
        calls: unsigned(row, "calls")?,
        input_tokens: unsigned(row, "input_tokens")?,
        output_tokens: unsigned(row, "output_tokens")?,
        cost: row.try_get("cost")?,
        unknown_cost_calls: unsigned(row, "unknown")?,
    })
}

fn run_count(row: &SqliteRow) -> Decoded<RunCount> {
    Ok(RunCount {
        workflow: row.try_get("workflow")?,
        status: decode::parsed(row, "status", RunStatus::from_name)?,
        runs: unsigned(row, "runs")?,
    })
}
