//! Every query of `docs/store.md` runs, and the first says what last night cost.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use flow_core::store::{AttemptRow, AttemptStatus, Batch, StepStatus};
use flow_core::units::Money;
use sqlx::{AssertSqlSafe, ConnectOptions, Row};

use crate::support::{event, instance, path, run_id, store_with};

/// The SQL blocks of the guide, in their order.
fn examples() -> Vec<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/store.md");
    let text = std::fs::read_to_string(file).unwrap();
    let blocks = text.split("```sql\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

fn call(number: u32, model: &str, cost: Option<i64>, started: i64) -> AttemptRow {
    AttemptRow {
        run: run_id(1),
        path: path("read"),
        number,
        status: AttemptStatus::Succeeded,
        provider: Some("openai".into()),
        model: Some(model.into()),
        error_class: None,
        error: None,
        input_tokens: Some(1_000),
        output_tokens: None,
        cost: cost.map(Money::from_micros),
        reserved: None,
        latency_ms: None,
        request_id: None,
        raw: None,
        started,
        ended: None,
        batch: false,
        speed: None,
        plugin: None,
    }
}

#[tokio::test]
async fn the_queries_of_the_guide_answer() {
    let folder = tempfile::tempdir().unwrap();
    let run = run_id(1);
    let store = store_with(folder.path(), std::slice::from_ref(&run)).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let long_ago = now - 10 * 86_400_000;
    let mut failed = instance(&run, 1);
    failed.status = StepStatus::Failed;
    let batch = Batch {
        attempts: vec![
            call(1, "gpt-4o", Some(2_500), now),
            call(2, "gpt-4o", Some(500), now),
            call(3, "gpt-4o", None, now),
            call(4, "tiny", Some(10), now),
            call(5, "gpt-4o", Some(9_000_000), long_ago),
        ],
        steps: vec![failed],
        events: vec![event(&run, 1)],
        ..Batch::default()
    };
    store.commit(batch).await.unwrap();

    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join("flow.db"));
    let mut connection = options.connect().await.unwrap();
    let mut answers = Vec::new();
    for sql in examples() {
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut connection).await;
        answers.push(rows.unwrap());
    }
    let lines = |answer: usize| answers[answer].len();
    assert_eq!((answers.len(), lines(1), lines(2)), (4, 1, 1));
    let costs: Vec<(String, i64, f64, i64)> = answers[0]
        .iter()
        .map(|row| (row.get("model"), row.get("calls"), row.get("usd"), row.get("of_unknown_cost")))
        .collect();
    let expected = [("gpt-4o".into(), 3, 0.003, 1), ("tiny".into(), 1, 0.0, 0)];
    assert_eq!(costs, expected);
    assert_eq!(lines(3), 1, "the run of the guide is {run}");
}
