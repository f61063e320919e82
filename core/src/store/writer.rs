//! The one writer of a process: a task that owns a connection and commits groups.
//!
//! ```text
//! commit ──► queue ──► [ everything that waits ] ──► BEGIN … COMMIT ──► each hears of it
//! ```
//!
//! While one group is on its way to the disk, the next one gathers; so one fsync serves
//! all who came meanwhile, and who comes alone waits for nobody. A group goes to `SQLite` in
//! one call. A group that fails is undone and written one by one, so that a faulty batch
//! harms no other.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::encode::{CHUNK, Encoded};
use super::error::{StoreError, result_code};
use super::open::BUSY_TIMEOUT;
use super::statements::{BEGIN, COMMIT};

/// As many may wait for the writer before those behind them wait to be let in.
const QUEUE: usize = 1024;

/// Something to write, and who waits for it.
pub(super) struct Job {
    writes: Encoded,
    done: oneshot::Sender<Result<(), StoreError>>,
}

/// The way into the writer's queue.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    queue: mpsc::Sender<Job>,
}

impl Writer {
    /// Starts the writer on its connection; it ends when `closed` says so or the last clone
    /// is gone, after all that was queued by then.
    pub(super) fn start(
        file: PathBuf,
        options: SqliteConnectOptions,
        connection: SqliteConnection,
        closed: CancellationToken,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let task = Task { file, options, connection: Some(connection), patience: BUSY_TIMEOUT };
        (Self { queue }, tokio::spawn(task.serve(jobs, closed)))
    }

    /// Writes, and returns when it is durable.
    pub(super) async fn write(&self, writes: Encoded) -> Result<(), StoreError> {
        self.send(writes).await?.durable().await
    }

    /// Puts something into the queue, and returns when it is there.
    pub(super) async fn send(&self, writes: Encoded) -> Result<Commit, StoreError> {
        let (done, result) = oneshot::channel();
        let job = Job { writes, done };
        self.queue.send(job).await.map_err(|_| StoreError::Closed)?;
        Ok(Commit { result })
    }
}

/// A write on its way to the disk. Dropping it does not call the write back.
#[derive(Debug)]
pub(crate) struct Commit {
    result: oneshot::Receiver<Result<(), StoreError>>,
}

impl Commit {
    /// Returns when it is durable or has failed; asked once. Dropping the future changes
    /// nothing, it can be asked again.
    pub(crate) async fn durable(&mut self) -> Result<(), StoreError> {
        (&mut self.result).await.map_err(|_| StoreError::Closed)?
    }
}

struct Task {
    file: PathBuf,
    options: SqliteConnectOptions,
    /// None after a failure that leaves its state in doubt.
    connection: Option<SqliteConnection>,
    /// How long other processes' locks are waited for.
    patience: Duration,
}

impl Task {
    async fn serve(mut self, mut jobs: mpsc::Receiver<Job>, closed: CancellationToken) {
        loop {
            let next = tokio::select! {
                job = jobs.recv() => job,
                () = closed.cancelled(), if !jobs.is_closed() => {
                    jobs.close();
                    continue;
                }
            };
            let Some(first) = next else { break };
            let mut size = first.writes.size();
            let mut group = vec![first];
            while size < CHUNK
                && let Ok(job) = jobs.try_recv()
            {
                size += job.writes.size();
                group.push(job);
            }
            self.commit(group).await;
        }
        if let Some(connection) = self.connection {
            // Nothing is lost when this fails: the WAL is read at the next opening.
            let _ = connection.close().await;
        }
    }

    async fn commit(&mut self, group: Vec<Job>) {
        let together = match group.as_slice() {
            [only] => self.write(&only.writes).await,
            several => {
                let mut all = Encoded::default();
                for job in several {
                    all.append(&job.writes);
                }
                self.write(&all).await
            }
        };
        let faulty = matches!(together, Err(StoreError::Rejected { .. }));
        for job in group {
            let result = match &together {
                Err(_) if faulty => self.write(&job.writes).await,
                Ok(()) | Err(_) => together.clone(),
            };
            // Who dropped the future does not want to know.
            let _ = job.done.send(result);
        }
    }

    /// Writes a group, again and again while other processes hold the lock.
    async fn write(&mut self, writes: &Encoded) -> Result<(), StoreError> {
        let start = Instant::now();
        loop {
            let error = match self.attempt(writes).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let busy = result_code(&error).is_some_and(|code| code & 0xff == 5);
            if !busy || start.elapsed() >= self.patience {
                return Err(StoreError::database(&self.file, error));
            }
        }
    }

    async fn attempt(&mut self, writes: &Encoded) -> Result<(), sqlx::Error> {
        // Taken out, so that a failed connection, or one left in a transaction by a
        // dropped future, is never used again.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.options.connect().await?,
        };
        let result = transaction(&mut connection, writes).await;
        let usable = result.is_ok() || clean(&mut connection).await;
        if usable {
            self.connection = Some(connection);
        }
        result
    }
}

/// Leaves a transaction that failed; says whether the connection can be used again.
async fn clean(connection: &mut SqliteConnection) -> bool {
    // `SQLite` may have rolled back by itself, and then there is nothing to leave.
    let _ = sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await;
    let probe = sqlx::raw_sql("BEGIN; COMMIT").execute(connection).await;
    probe.is_ok()
}

/// Sends a group to `SQLite` in one call: every way to its thread and back costs as much as
/// several rows.
async fn transaction(
    connection: &mut SqliteConnection,
    writes: &Encoded,
) -> Result<(), sqlx::Error> {
    let mut sql = String::from(BEGIN);
    let mut parameters = Vec::new();
    for (statement, chunks) in &writes.0 {
        for chunk in chunks {
            sql.push_str(statement.sql());
            parameters.push(format!("[{chunk}]"));
        }
    }
    sql.push_str(COMMIT);
    // A text with a statement repeated will not come again soon.
    let common = parameters.len() == writes.0.len();
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for parameter in parameters {
        query = query.bind(parameter);
    }
    query.persistent(common).execute(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::open::{self, Layout};
    use super::*;
    use crate::content::ContentHash;

    async fn task(folder: &std::path::Path) -> Task {
        let layout = Layout::new(folder);
        layout.create().unwrap();
        let connection = open::connect(&layout).await.unwrap();
        Task {
            options: open::options(&layout.database),
            file: layout.database,
            connection: Some(connection),
            patience: BUSY_TIMEOUT,
        }
    }

    fn definition(number: u32, size: usize) -> Encoded {
        let bundle = json!({ "number": number, "filler": "x".repeat(size) });
        Encoded::definition(&ContentHash::of_json(&bundle), "big", &bundle)
    }

    fn job(writes: Encoded) -> (Job, oneshot::Receiver<Result<(), StoreError>>) {
        let (done, result) = oneshot::channel();
        (Job { writes, done }, result)
    }

    #[tokio::test]
    async fn a_full_disk_is_told_to_everybody_and_writing_goes_on_when_there_is_space() {
        let folder = tempfile::tempdir().unwrap();
        let mut task = task(folder.path()).await;
        let limited = task.options.clone().pragma("max_page_count", "64");
        task.connection = Some(limited.connect().await.unwrap());

        let ((first, heard), (second, heard_too)) =
            (job(definition(1, 200_000)), job(definition(2, 200_000)));
        task.commit(vec![first, second]).await;
        for result in [heard.await.unwrap(), heard_too.await.unwrap()] {
            let error = result.unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("cannot write to {}: the disk is full", task.file.display())
            );
            assert_eq!(
                error.hint(),
                Some("free some space, then `flow resume RUN`: what was acknowledged is kept")
            );
        }
        task.write(&definition(3, 10)).await.unwrap();
        task.connection = None;
        task.write(&definition(1, 200_000)).await.unwrap();
    }

    #[tokio::test]
    async fn a_lock_that_is_never_released_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut task = task(folder.path()).await;
        let mut other = task.options.connect().await.unwrap();
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
        task.patience = Duration::ZERO;
        task.options = task.options.busy_timeout(Duration::ZERO);
        task.connection = None;
        let error = task.write(&definition(1, 10)).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{} has been locked by another process for 30 s", task.file.display())
        );
        assert_eq!(error.hint(), Some("see whether another flow or a database tool hangs"));
        sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
        task.write(&definition(1, 10)).await.unwrap();
    }

    #[tokio::test]
    async fn more_rows_than_one_parameter_holds_are_written_together() {
        let folder = tempfile::tempdir().unwrap();
        let mut task = task(folder.path()).await;
        let mut all = Encoded::default();
        for number in 0..5 {
            all.append(&definition(number, CHUNK / 2));
        }
        task.write(&all).await.unwrap();
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM definitions")
            .fetch_one(task.connection.as_mut().unwrap())
            .await
            .unwrap();
        assert_eq!(count, 5);
    }
}
