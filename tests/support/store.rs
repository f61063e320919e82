//! What a store holds, read from its database and not through the binary.

use std::collections::BTreeMap;
use std::path::Path;

use flow_core::state::{StepEvent, StepState};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Row};

/// The rows of a store with one run.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Status by path.
    pub(crate) steps: BTreeMap<String, String>,
    /// What happened to each path, in order.
    pub(crate) events: BTreeMap<String, Vec<StepEvent>>,
    /// Status of each attempt by path, in order.
    pub(crate) attempts: BTreeMap<String, Vec<String>>,
}

/// Reads a store, which must be whole.
pub(crate) fn kept(folder: &Path) -> Kept {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(read(folder)).expect("a store")
}

async fn read(folder: &Path) -> Result<Kept, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(folder.join("flow.db"));
    let mut database = options.connect().await?;
    let whole: String =
        sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut database).await?;
    assert_eq!(whole, "ok");
    let keys: Vec<i64> =
        sqlx::query_scalar("PRAGMA foreign_key_check").fetch_all(&mut database).await?;
    assert_eq!(keys, [] as [i64; 0]);
    let mut kept =
        Kept { steps: BTreeMap::new(), events: BTreeMap::new(), attempts: BTreeMap::new() };
    let rows = sqlx::query("SELECT path, status FROM steps");
    for row in rows.fetch_all(&mut database).await? {
        kept.steps.insert(row.get(0), row.get(1));
    }
    let rows = sqlx::query("SELECT path, body FROM events WHERE path IS NOT NULL ORDER BY seq");
    for row in rows.fetch_all(&mut database).await? {
        let body: String = row.get(1);
        let event = serde_json::from_str(&body).unwrap_or_else(|why| panic!("{why}: {body}"));
        kept.events.entry(row.get(0)).or_default().push(event);
    }
    let rows = sqlx::query("SELECT path, status FROM attempts ORDER BY path, number");
    for row in rows.fetch_all(&mut database).await? {
        kept.attempts.entry(row.get(0)).or_default().push(row.get(1));
    }
    Ok(kept)
}

impl Kept {
    /// Fails unless every row is what its events make of it.
    #[track_caller]
    pub(crate) fn follows_its_journal(&self) {
        let folded = self.events.iter().map(|(path, events)| {
            let state = events.iter().fold(StepState::NEW, |state, event| {
                let next = state.apply(event);
                next.unwrap_or_else(|why| panic!("{path}: {why} in {events:#?}"))
            });
            (path.clone(), state.status().as_str().to_owned())
        });
        let folded: BTreeMap<_, _> = folded.collect();
        assert_eq!(self.steps, folded);
    }

    /// How often something of a kind happened to a path.
    pub(crate) fn count(&self, path: &str, kind: &str) -> usize {
        let events = self.events.get(path).into_iter().flatten();
        events.filter(|event| event.kind() == kind).count()
    }

    /// The paths that have attempts, and how many of a status.
    pub(crate) fn attempts_of(&self, path: &str, status: &str) -> usize {
        let attempts = self.attempts.get(path).into_iter().flatten();
        attempts.filter(|found| *found == status).count()
    }
}

/// Changes a store behind the binary's back.
pub(crate) fn execute(folder: &Path, sql: &'static str) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let done = runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(folder.join("flow.db"));
        let mut database = options.connect().await?;
        sqlx::raw_sql(sql).execute(&mut database).await?;
        database.close().await
    });
    done.expect("a store");
}
