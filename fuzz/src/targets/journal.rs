//! A store in which one value is anything at all: each row is what was written, or damage.
//!
//! The door is the store's own: rows are committed, one column of one of them is overwritten
//! behind its back, and everything is read again.

use std::path::Path;

use flow_core::content::ContentHash;
use flow_core::ids::{InstancePath, RunId};
use flow_core::state::{RunEvent, StepEvent};
use flow_core::store::{
    ApprovalRow, AttemptRow, AttemptStatus, Batch, CacheRow, EventRow, LogFilter, LogRow,
    RunFilter, RunRow, RunStatus, StepRow, StepStatus, Store, StoreError,
};
use flow_core::units::Money;
use serde_json::{Value, json};
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// What can be overwritten: all that is decoded and by which no other row is found.
const COLUMNS: [(&str, &[&str]); 7] = [
    ("events", &["body", "kind", "path", "at", "seq"]),
    (
        "runs",
        &[
            "id",
            "workflow",
            "definition",
            "status",
            "inputs",
            "outputs",
            "error",
            "cost",
            "cost_uncertain",
            "started",
            "ended",
        ],
    ),
    (
        "steps",
        &[
            "path",
            "parent",
            "step",
            "ordinal",
            "status",
            "hash",
            "output",
            "meta",
            "error_class",
            "error",
            "attempts",
            "cached",
            "started",
            "ended",
        ],
    ),
    (
        "attempts",
        &[
            "path",
            "number",
            "status",
            "provider",
            "error_class",
            "input_tokens",
            "cost",
            "latency_ms",
            "raw",
            "started",
            "ended",
            "batch",
        ],
    ),
    ("approvals", &["path", "show", "asked", "answered", "approved", "comment", "output"]),
    ("cache", &["hash", "output", "meta", "at"]),
    ("logs", &["at", "path", "attempt", "line"]),
];

thread_local! {
    /// A store of this thread's own: it goes with the thread, and its folder with it.
    static JOURNAL: Journal = Journal::new().expect("a folder for a store");
}

/// The bytes are which table, which column, which type, and then the value.
pub(super) fn journal(bytes: &[u8]) {
    let [table, column, kind, value @ ..] = bytes else { return };
    let (table, columns) = COLUMNS[usize::from(*table) % COLUMNS.len()];
    let column = columns[usize::from(*column) % columns.len()];
    JOURNAL.with(|journal| journal.with(table, column, Stored::of(*kind, value)));
}

/// A value as `SQLite` holds one.
enum Stored<'v> {
    Text(&'v [u8]),
    Blob(&'v [u8]),
    Integer(i64),
    Real(f64),
    Null,
}

impl<'v> Stored<'v> {
    fn of(kind: u8, value: &'v [u8]) -> Self {
        let number = std::str::from_utf8(value).unwrap_or_default().trim();
        match kind {
            b'b' => Self::Blob(value),
            b'i' => Self::Integer(number.parse().unwrap_or(i64::MIN)),
            b'r' => Self::Real(number.parse().unwrap_or(f64::INFINITY)),
            b'n' => Self::Null,
            _ => Self::Text(value),
        }
    }
}

struct Journal {
    runtime: Runtime,
    store: Store,
    run: RunId,
    folder: TempDir,
}

impl Journal {
    fn new() -> std::io::Result<Self> {
        let folder = TempDir::new()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let run = RunId::from_parts(1, 1);
        let filled = async {
            let store = Store::open(folder.path()).await?;
            let hash = ContentHash::of_json(&json!("definition"));
            store.put_definition(&hash, "w", &json!("definition")).await?;
            store.commit(rows(&run)).await?;
            Ok::<_, StoreError>(store)
        };
        let store = runtime.block_on(filled).map_err(std::io::Error::other)?;
        Ok(Self { runtime, store, run, folder })
    }

    fn with(&self, table: &str, column: &str, value: Stored<'_>) {
        let file = self.folder.path().join("flow.db");
        self.runtime.block_on(async {
            let mut connection = connect(&file).await.expect("the store's file");
            if overwrite(&mut connection, table, column, value).await.is_ok() {
                self.read_all().await;
                restore(&mut connection).await.expect("the rows as they were");
            }
            connection.close().await.expect("nothing is open");
        });
    }

    /// Asserts that all that is read is told to be damage, or can be written and read again.
    async fn read_all(&self) {
        let (store, run) = (&self.store, &self.run);
        let path = InstancePath::from_stored("s");
        let runs = read(store.runs(&RunFilter::default()).await).unwrap_or_default();
        let steps = read(store.steps(run, None, None, 9).await).map(|page| page.rows);
        let attempts = read(store.attempts_of_run(run, None, 9).await).map(|page| page.rows);
        let approvals = read(store.approvals(run).await).unwrap_or_default();
        let hash = ContentHash::of_bytes(b"c");
        let cache = read(store.cached(&[hash]).await).unwrap_or_default();
        let logs = read(store.logs(run, &LogFilter::default(), 0, 9).await);
        assert!(logs.is_none_or(|page| page.rows.len() <= 1));
        for event in read(store.events(run, 0, 9).await).unwrap_or_default() {
            decoded(&event);
        }
        let _ = read(store.run(run).await);
        let _ = read(store.sent_attempts(run, None, 9).await);
        let _ = read(store.open_approvals(run).await);
        let _ = read(store.step_counts(run, None).await);
        let _ = read(store.outputs_of(run, &path, None, 9).await);
        let _ = read(store.last_seq(run).await);
        let batch = Batch {
            runs: runs.into_iter().filter(|row| row.id == *run).collect(),
            steps: steps.unwrap_or_default(),
            attempts: attempts.unwrap_or_default(),
            approvals,
            cache: cache.into_values().collect(),
            ..Batch::default()
        };
        self.written_again(batch).await;
    }

    async fn written_again(&self, batch: Batch) {
        let (store, run) = (&self.store, &self.run);
        match store.commit(batch.clone()).await {
            Ok(()) => {}
            // A definition that is not there.
            Err(StoreError::Rejected { .. }) => return,
            Err(error) => panic!("{error}"),
        }
        for row in &batch.steps {
            let again = read(store.step(run, &row.path).await).flatten();
            assert_eq!(again.as_ref(), Some(row));
        }
        for row in &batch.runs {
            assert_eq!(read(store.run(&row.id).await).flatten().as_ref(), Some(row));
        }
        for row in &batch.approvals {
            let again = read(store.approval(run, &row.path).await).flatten();
            assert_eq!(again.as_ref(), Some(row));
        }
        for row in &batch.attempts {
            let again = read(store.attempts(run, &row.path).await).unwrap_or_default();
            assert!(again.contains(row), "{row:?} became {again:?}");
        }
    }
}

/// What was read; none where it is damaged, which names the file and says why.
fn read<T>(outcome: Result<T, StoreError>) -> Option<T> {
    match outcome {
        Ok(read) => Some(read),
        Err(StoreError::Damaged { file, detail }) => {
            assert!(file.ends_with("flow.db") && !detail.is_empty(), "{detail}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Asserts that an event, where its body is one, is written as it was read.
fn decoded(row: &EventRow) {
    if let Ok(event) = serde_json::from_value::<StepEvent>(row.body.clone()) {
        let body = serde_json::to_value(&event).expect("an event is JSON");
        assert_eq!(serde_json::from_value::<StepEvent>(body).ok(), Some(event));
    }
    if let Ok(event) = serde_json::from_value::<RunEvent>(row.body.clone()) {
        let body = serde_json::to_value(&event).expect("an event is JSON");
        assert_eq!(serde_json::from_value::<RunEvent>(body).ok(), Some(event));
    }
}

async fn connect(file: &Path) -> sqlx::Result<SqliteConnection> {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file).foreign_keys(false);
    let mut connection = options.connect().await?;
    // Copies of the tables, beside them and for this connection alone.
    let mut sql = "PRAGMA synchronous = OFF;".to_owned();
    for (table, _) in COLUMNS {
        let columns = columns(&mut connection, table).await?;
        sql.push_str(&format!("CREATE TEMP TABLE k_{table} AS SELECT {columns} FROM {table};"));
    }
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await?;
    Ok(connection)
}

/// The columns of a table that can be written; one that is computed is none of them.
async fn columns(connection: &mut SqliteConnection, table: &str) -> sqlx::Result<String> {
    let sql = "SELECT group_concat(name) FROM pragma_table_info(?)";
    sqlx::query_scalar(sql).bind(table).fetch_one(connection).await
}

async fn restore(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    let mut sql = "BEGIN;".to_owned();
    for (table, _) in COLUMNS {
        let columns = columns(connection, table).await?;
        sql.push_str(&format!(
            "DELETE FROM {table}; INSERT INTO {table} ({columns}) SELECT {columns} FROM k_{table};"
        ));
    }
    sql.push_str("COMMIT;");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(connection).await.map(drop)
}

/// Fails where the column takes no such value.
async fn overwrite(
    connection: &mut SqliteConnection,
    table: &str,
    column: &str,
    value: Stored<'_>,
) -> sqlx::Result<()> {
    let cast = if matches!(value, Stored::Text(_)) { "CAST(? AS TEXT)" } else { "?" };
    let sql = sqlx::AssertSqlSafe(format!("UPDATE {table} SET {column} = {cast}"));
    let query = sqlx::query(sql);
    let query = match value {
        Stored::Text(bytes) | Stored::Blob(bytes) => query.bind(bytes.to_vec()),
        Stored::Integer(number) => query.bind(number),
        Stored::Real(number) => query.bind(number),
        Stored::Null => query.bind(None::<String>),
    };
    query.execute(connection).await.map(drop)
}

/// A row of each table.
fn rows(run: &RunId) -> Batch {
    let path = InstancePath::from_stored("s");
    let hash = ContentHash::of_bytes(b"c");
    let event = StepEvent::Lost { attempt: 1 };
    Batch {
        events: vec![EventRow {
            run: run.clone(),
            seq: 1,
            at: 1,
            path: Some(path.clone()),
            kind: event.kind().into(),
            body: serde_json::to_value(&event).expect("an event is JSON"),
        }],
        runs: vec![run_row(run)],
        costs: Vec::new(),
        steps: vec![step_row(run, &path, hash)],
        attempts: vec![attempt_row(run, &path)],
        approvals: vec![ApprovalRow {
            run: run.clone(),
            path: path.clone(),
            show: json!("a"),
            asked: 1,
            answered: None,
            approved: None,
            comment: None,
            output: Some(json!({"total": 4})),
        }],
        cache: vec![CacheRow {
            hash,
            output: json!([]),
            meta: None,
            run: Some(run.clone()),
            at: 1,
        }],
        logs: vec![LogRow {
            run: run.clone(),
            at: 1,
            path: Some(path),
            attempt: Some(1),
            line: "a".into(),
        }],
    }
}

fn run_row(run: &RunId) -> RunRow {
    RunRow {
        id: run.clone(),
        workflow: "w".into(),
        definition: ContentHash::of_json(&json!("definition")),
        status: RunStatus::Running,
        inputs: json!({}),
        outputs: Some(Value::Null),
        error: None,
        cost: Money::ZERO,
        cost_uncertain: false,
        started: 1,
        ended: None,
    }
}

fn step_row(run: &RunId, path: &InstancePath, hash: ContentHash) -> StepRow {
    StepRow {
        run: run.clone(),
        path: path.clone(),
        parent: None,
        step: "s".into(),
        ordinal: None,
        status: StepStatus::Running,
        hash: Some(hash),
        output: Some(json!(1.5)),
        meta: None,
        error_class: None,
        error: None,
        attempts: 1,
        cached: false,
        started: Some(1),
        ended: None,
    }
}

fn attempt_row(run: &RunId, path: &InstancePath) -> AttemptRow {
    AttemptRow {
        run: run.clone(),
        path: path.clone(),
        number: 1,
        status: AttemptStatus::Sent,
        provider: None,
        model: None,
        error_class: None,
        error: None,
        input_tokens: None,
        output_tokens: Some(3),
        cost: None,
        reserved: None,
        latency_ms: None,
        request_id: None,
        raw: None,
        started: 1,
        ended: None,
        batch: false,
        plugin: None,
        speed: None,
    }
}
