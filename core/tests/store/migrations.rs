//! A store that a version before wrote is carried over, with all that is in it.

use flow_core::content::ContentHash;
use flow_core::store::{RunFilter, Store};
use serde_json::json;
use sqlx::{ConnectOptions, Connection};

use crate::support::{NOW, path, run_id};

#[tokio::test]
async fn a_store_from_before_pruning_keeps_its_cache_and_its_runs_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flow.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&file);
    let mut old = options.create_if_missing(true).connect().await.unwrap();
    sqlx::migrate!("./migrations").run_to(2, &mut old).await.unwrap();
    let entry = ContentHash::of_bytes(b"entry");
    let sql = format!(
        "INSERT INTO definitions VALUES (1, x'{zeros}', 'scans', '{{}}');
         INSERT INTO runs VALUES (7, '{run}', 'scans', x'{zeros}', 'waiting', '{{}}', NULL, NULL,
             0, 0, {NOW}, NULL, 0);
         INSERT INTO cache VALUES (1, x'{hash}', '[1]', NULL, 7, {NOW});
         INSERT INTO logs VALUES (1, 7, {NOW}, 'a', 1, 'a line');",
        run = run_id(1),
        zeros = "00".repeat(32),
        hash = entry.hex(),
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut old).await.unwrap();
    old.close().await.unwrap();

    let store = Store::open(folder.path()).await.unwrap();
    let found = store.find_run(&run_id(1).as_str()[18..]).await.unwrap();
    assert_eq!(found.id, run_id(1));
    let all = store.runs(&RunFilter::default()).await.unwrap();
    assert_eq!(all, [found]);
    let cached = &store.cached(&[entry]).await.unwrap()[&entry];
    assert_eq!((&cached.output, &cached.run), (&json!([1]), &Some(run_id(1))));
    let line = store.place_of_last_logs(&run_id(1), Some(&path("a")), 0).await.unwrap();
    assert_eq!(line, 1);
    store.integrity_check().await.unwrap();
}
