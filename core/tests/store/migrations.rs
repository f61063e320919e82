//! A store that a version before wrote is carried over, with all that is in it.

use std::path::Path;

use flow_core::content::ContentHash;
use flow_core::store::{RunFilter, Store, StoreError};
use serde_json::json;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

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

/// A database that has the first migrations only.
async fn at_version(file: &Path, version: i64) -> SqliteConnection {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
    let mut old = options.create_if_missing(true).connect().await.unwrap();
    sqlx::migrate!("./migrations").run_to(version, &mut old).await.unwrap();
    old
}

#[tokio::test]
async fn a_migration_that_fails_takes_back_those_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flow.db");
    let mut old = at_version(&file, 2).await;
    // The fifth migration makes a table of this name; the third and the fourth are made before.
    sqlx::raw_sql("CREATE TABLE remote_files (mine TEXT)").execute(&mut old).await.unwrap();
    old.close().await.unwrap();

    let error = Store::open(folder.path()).await.unwrap_err();
    assert!(matches!(error, StoreError::Database { .. }), "{error:?}");
    assert!(error.to_string().contains("remote_files"), "{error}");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&file);
    let mut same = options.connect().await.unwrap();
    let newest: i64 = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
        .fetch_one(&mut same)
        .await
        .unwrap();
    assert_eq!(newest, 2);
    sqlx::raw_sql("DROP TABLE remote_files").execute(&mut same).await.unwrap();
    same.close().await.unwrap();
    Store::open(folder.path()).await.unwrap().integrity_check().await.unwrap();
}

#[tokio::test]
async fn a_database_that_was_made_by_other_migrations_is_said_to_be_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flow.db");
    for (change, detail) in [
        (
            "UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1",
            "migration 1 was another one when it was made",
        ),
        (
            "INSERT INTO _sqlx_migrations VALUES (0, 'earlier', 0, true, x'00', 0)",
            "migration 0 was made, but there is no such migration",
        ),
    ] {
        let mut old = at_version(&file, 2).await;
        sqlx::raw_sql(change).execute(&mut old).await.unwrap();
        old.close().await.unwrap();
        let error = Store::open(folder.path()).await.unwrap_err();
        assert_eq!(error.to_string(), format!("{} is damaged: {detail}", file.display()));
        std::fs::remove_file(&file).unwrap();
    }
}
