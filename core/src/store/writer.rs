//! The one writer of a process: who owns the connection that writes, and when it commits.
//!
//! ```text
//! send ────────► queue ──► [ everything that waits ] ──► BEGIN … COMMIT ──► each hears of it
//! write_here ─────────────────────────────────────────► BEGIN … COMMIT   on the caller's thread
//! ```
//!
//! While one group is on its way to the disk, the next one gathers; so one fsync serves all
//! who came meanwhile. A group that fails is undone and written one by one, so that a faulty
//! batch harms no other.
//!
//! Who has nothing to do but wait for the disk, and shares it with nobody, writes on its own
//! thread: handing the group to another thread and hearing of it takes about as long as the
//! disk does. That, and a driver that answers once for a whole group, is why writing goes
//! through `rusqlite` while everything else goes through `sqlx`, which has a thread of its own
//! for each connection and answers for each statement.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, params_from_iter};
use tokio::sync::{mpsc, oneshot};

use super::encode::{Encoded, GROUP};
use super::error::{SqliteError, StoreError};
use super::open::{BUSY_TIMEOUT, PRAGMAS, path_only};
use super::statements::{BEGIN, COMMIT};

/// As many may wait for the writer before those behind them wait to be let in.
const QUEUE: usize = 1024;

/// Statements that are kept compiled: all there are.
const STATEMENTS: usize = 48;

/// What the writer's thread is sent.
enum Message {
    Write(Job),
    /// Write what is queued, then end.
    Close,
}

/// Something to write, and who waits for it.
struct Job {
    writes: Encoded,
    done: oneshot::Sender<Result<(), StoreError>>,
}

/// The way to the writer.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
    desk: Arc<Mutex<Desk>>,
    /// How many drive runs on this store in this process.
    drivers: Arc<AtomicUsize>,
}

/// Says that a run is being driven, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Driving(Arc<AtomicUsize>);

impl Drop for Driving {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Writer {
    /// Starts the thread of a connection that [`connect`] opened, which ends when it is told to
    /// or the last clone is gone, after all that was queued by then.
    pub(super) fn start(file: PathBuf, connection: Connection) -> (Self, JoinHandle<()>) {
        let (queue, messages) = mpsc::channel(QUEUE);
        let desk = Desk { file, connection: Some(connection), patience: BUSY_TIMEOUT };
        let desk = Arc::new(Mutex::new(desk));
        let serving = Arc::clone(&desk);
        let thread = std::thread::Builder::new()
            .name("flow-writer".into())
            .spawn(move || serve(&serving, messages))
            .expect("a process that runs can have a thread more");
        (Self { queue, desk, drivers: Arc::default() }, thread)
    }

    /// Writes, and returns when it is durable.
    pub(super) async fn write(&self, writes: Encoded) -> Result<(), StoreError> {
        self.send(writes).await?.durable().await
    }

    /// Puts something into the queue, and returns when it is there.
    pub(super) async fn send(&self, writes: Encoded) -> Result<Commit, StoreError> {
        let (done, result) = oneshot::channel();
        let message = Message::Write(Job { writes, done });
        self.queue.send(message).await.map_err(|_| StoreError::Closed)?;
        Ok(Commit { result })
    }

    /// Writes on the caller's thread, which stands still meanwhile; gives back what it did not
    /// even begin to write, because somebody else writes, in this process or in another.
    pub(super) fn write_here(&self, writes: Encoded) -> Result<Result<(), StoreError>, Encoded> {
        let shared = self.drivers.load(Ordering::Relaxed) > 1;
        if shared || self.queue.capacity() < QUEUE || self.queue.is_closed() {
            return Err(writes);
        }
        let Ok(mut desk) = self.desk.try_lock() else {
            return Err(writes);
        };
        match desk.attempt(&writes, Duration::ZERO) {
            Err(error) if error.is_busy() => Err(writes),
            outcome => Ok(outcome.map_err(|error| StoreError::database(&desk.file, error))),
        }
    }

    /// Says that a run is driven.
    pub(super) fn driving(&self) -> Driving {
        self.drivers.fetch_add(1, Ordering::Relaxed);
        Driving(Arc::clone(&self.drivers))
    }

    /// Tells the thread to write what is queued and to end.
    pub(super) async fn close(&self) {
        // A thread that has ended needs not be told.
        let _ = self.queue.send(Message::Close).await;
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

/// Serves the queue until it is closed.
fn serve(desk: &Mutex<Desk>, mut messages: mpsc::Receiver<Message>) {
    while let Some(message) = messages.blocking_recv() {
        let mut group = Vec::new();
        let mut size = 0;
        let mut next = Some(message);
        while let Some(message) = next.take() {
            match message {
                Message::Close => messages.close(),
                Message::Write(job) => {
                    size += job.writes.size();
                    group.push(job);
                }
            }
            if size < GROUP {
                next = messages.try_recv().ok();
            }
        }
        if !group.is_empty() {
            lock(desk).commit(group);
        }
    }
    // Nothing is lost when closing fails: the WAL is read at the next opening.
    drop(lock(desk).connection.take());
}

fn lock(desk: &Mutex<Desk>) -> std::sync::MutexGuard<'_, Desk> {
    // What a panic left of the connection is looked after as after any failure.
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where writing is done.
#[derive(Debug)]
struct Desk {
    file: PathBuf,
    /// None after a failure that leaves its state in doubt.
    connection: Option<Connection>,
    /// How long other processes' locks are waited for.
    patience: Duration,
}

impl Desk {
    fn commit(&mut self, group: Vec<Job>) {
        let together = match group.as_slice() {
            [only] => self.write(&only.writes),
            several => {
                let mut all = Encoded::default();
                for job in several {
                    all.append(&job.writes);
                }
                self.write(&all)
            }
        };
        let faulty = matches!(together, Err(StoreError::Rejected { .. }));
        for job in group {
            let result = match &together {
                Err(_) if faulty => self.write(&job.writes),
                Ok(()) | Err(_) => together.clone(),
            };
            // Who dropped the future does not want to know.
            let _ = job.done.send(result);
        }
    }

    /// Writes a group, again and again while other processes hold the lock.
    fn write(&mut self, writes: &Encoded) -> Result<(), StoreError> {
        let start = Instant::now();
        loop {
            let error = match self.attempt(writes, self.patience) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if !error.is_busy() || start.elapsed() >= self.patience {
                return Err(StoreError::database(&self.file, error));
            }
        }
    }

    fn attempt(&mut self, writes: &Encoded, wait: Duration) -> Result<(), SqliteError> {
        // Taken out, so that a connection that failed is used again only when it is clean.
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(&self.file, OpenFlags::empty())?,
        };
        connection.busy_timeout(wait)?;
        let result = transaction(&connection, writes);
        if result.is_ok() || clean(&connection) {
            self.connection = Some(connection);
        }
        Ok(result?)
    }
}

/// Opens a connection that writes; a database that is not there is made only by the flag for it.
pub(super) fn connect(file: &Path, create: OpenFlags) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | create;
    let connection = Connection::open_with_flags(path_only(file), flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    for (name, value) in PRAGMAS {
        connection.pragma_update(None, name, value)?;
    }
    Ok(connection)
}

/// Leaves a transaction that failed; says whether the connection can be used again.
fn clean(connection: &Connection) -> bool {
    // `SQLite` may have rolled back by itself, and then there is nothing to leave.
    connection.is_autocommit() || connection.execute_batch("ROLLBACK").is_ok()
}

fn transaction(connection: &Connection, writes: &Encoded) -> rusqlite::Result<()> {
    connection.prepare_cached(BEGIN)?.execute([])?;
    for (statement, rows) in &writes.rows {
        let mut statement = connection.prepare_cached(statement.sql())?;
        for row in rows {
            statement.execute(params_from_iter(row.columns()))?;
        }
    }
    connection.prepare_cached(COMMIT)?.execute([])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::open::{self, Layout};
    use super::*;
    use crate::content::ContentHash;

    async fn desk(folder: &Path) -> Desk {
        let layout = Layout::new(folder);
        layout.create().unwrap();
        drop(open::connect(&layout).await.unwrap());
        Desk { file: layout.database, connection: None, patience: BUSY_TIMEOUT }
    }

    fn definition(number: u32, size: usize) -> Encoded {
        let bundle = json!({ "number": number, "filler": "x".repeat(size) });
        Encoded::definition(&ContentHash::of_json(&bundle), "big", &bundle)
    }

    fn job(writes: Encoded) -> (Job, oneshot::Receiver<Result<(), StoreError>>) {
        let (done, result) = oneshot::channel();
        (Job { writes, done }, result)
    }

    fn definitions(file: &Path) -> i64 {
        let count = "SELECT count(*) FROM definitions";
        connect(file, OpenFlags::empty()).unwrap().query_row(count, [], |row| row.get(0)).unwrap()
    }

    #[tokio::test]
    async fn a_full_disk_is_told_to_everybody_and_writing_goes_on_when_there_is_space() {
        let folder = tempfile::tempdir().unwrap();
        let mut desk = desk(folder.path()).await;
        let limited = connect(&desk.file, OpenFlags::empty()).unwrap();
        limited.pragma_update(None, "max_page_count", 64).unwrap();
        desk.connection = Some(limited);

        let ((first, heard), (second, heard_too)) =
            (job(definition(1, 200_000)), job(definition(2, 200_000)));
        desk.commit(vec![first, second]);
        for result in [heard.await.unwrap(), heard_too.await.unwrap()] {
            let error = result.unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("cannot write to {}: the disk is full", desk.file.display())
            );
            assert_eq!(
                error.hint(),
                Some("free some space, then `flow resume RUN`: what was acknowledged is kept")
            );
        }
        desk.write(&definition(3, 10)).unwrap();
        desk.connection = None;
        desk.write(&definition(1, 200_000)).unwrap();
    }

    #[tokio::test]
    async fn a_lock_that_is_never_released_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut desk = desk(folder.path()).await;
        let other = connect(&desk.file, OpenFlags::empty()).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        desk.patience = Duration::ZERO;
        let error = desk.write(&definition(1, 10)).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{} has been locked by another process for 30 s", desk.file.display())
        );
        assert_eq!(error.hint(), Some("see whether another flow or a database tool hangs"));
        other.execute_batch("COMMIT").unwrap();
        desk.write(&definition(1, 10)).unwrap();
    }

    #[tokio::test]
    async fn a_group_larger_than_groups_grow_is_written_together() {
        let folder = tempfile::tempdir().unwrap();
        let mut desk = desk(folder.path()).await;
        let mut all = Encoded::default();
        for number in 0..5 {
            all.append(&definition(number, GROUP / 2));
        }
        desk.write(&all).unwrap();
        assert_eq!(definitions(&desk.file), 5);
    }

    #[tokio::test]
    async fn who_is_alone_writes_at_once_and_nobody_else_waits_for_a_lock_on_his_thread() {
        let folder = tempfile::tempdir().unwrap();
        let file = desk(folder.path()).await.file;
        let (writer, thread) =
            Writer::start(file.clone(), connect(&file, OpenFlags::empty()).unwrap());
        let first = writer.driving();
        writer.write_here(definition(1, 10)).unwrap().unwrap();
        assert_eq!(definitions(&file), 1);

        let second = writer.driving();
        let back = writer.write_here(definition(2, 10)).unwrap_err();
        writer.write(back).await.unwrap();
        drop((first, second));

        let other = connect(&file, OpenFlags::empty()).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let back = writer.write_here(definition(3, 10)).unwrap_err();
        other.execute_batch("COMMIT").unwrap();
        writer.write(back).await.unwrap();
        assert_eq!(definitions(&file), 3);

        writer.close().await;
        thread.join().unwrap();
        assert!(writer.write_here(definition(4, 10)).is_err());
        assert!(matches!(writer.write(definition(4, 10)).await, Err(StoreError::Closed)));
    }
}
