//! What is wrong with a store is said, with the file and what to do.

use std::path::{Path, PathBuf};
use std::process::Command;

use flow_core::store::{Batch, Retention, Store, StoreError};
use sqlx::{ConnectOptions, Connection};

use crate::support::{event, run_id, run_row, say, store_with, turn};

async fn refusal(folder: &Path) -> StoreError {
    Store::open(folder).await.unwrap_err()
}

async fn execute(file: &Path, sql: &'static str) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flow.db");
    let text = "my holiday photos ".repeat(500);
    std::fs::write(&file, &text).unwrap();
    let error = refusal(folder.path()).await;
    assert_eq!(
        error.to_string(),
        format!("{} is not a store of flow: file is not a database", file.display())
    );
    assert_eq!(
        error.hint(),
        Some("point --store or FLOW_STORE to another folder, or move the file away")
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
}

#[tokio::test]
async fn a_folder_in_place_of_the_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flow.db");
    std::fs::create_dir(&file).unwrap();
    assert_eq!(
        refusal(folder.path()).await.to_string(),
        format!("{} is not a store of flow: it is a folder", file.display())
    );
}

#[tokio::test]
async fn a_file_in_place_of_the_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store");
    std::fs::write(&file, "x").unwrap();
    let error = refusal(&file).await.to_string();
    assert!(error.starts_with(&format!("cannot use {}: ", file.display())), "{error}");
    let error = Store::open_existing(&file).await.map(|store| store.is_some());
    assert!(matches!(error, Err(StoreError::Io { .. }) | Ok(false)), "{error:?}");
}

#[tokio::test]
async fn the_database_of_another_program_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flow.db");
    execute(&file, "CREATE TABLE bookmarks (url TEXT)").await;
    assert_eq!(
        refusal(folder.path()).await.to_string(),
        format!("{} is not a store of flow: it is a database of another program", file.display())
    );
}

/// The number that the name of the last migration begins with.
fn newest_migration() -> u32 {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let names = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
    names.map(|name| name.to_str().unwrap()[..4].parse().unwrap()).max().unwrap()
}

#[tokio::test]
async fn a_newer_store_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    Store::open(folder.path()).await.unwrap().close().await;
    let file = folder.path().join("flow.db");
    execute(&file, "INSERT INTO _sqlx_migrations VALUES (999, 'later', 0, true, x'00', 0)").await;
    let error = refusal(folder.path()).await;
    assert_eq!(
        error.to_string(),
        format!(
            "{} was written by a newer flow: it has version 999, and this flow reads up to {}",
            file.display(),
            newest_migration()
        )
    );
    assert_eq!(error.hint(), Some("upgrade flow"));
}

#[tokio::test]
async fn no_store_is_not_an_error_for_those_who_only_look() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent");
    assert!(Store::open_existing(&absent).await.unwrap().is_none());
    assert!(!absent.exists());
    Store::open(&absent).await.unwrap();
    assert!(Store::open_existing(&absent).await.unwrap().is_some());
}

#[tokio::test]
async fn a_folder_may_have_any_name() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a?mode=memory", "b#c%20d", "file:e", "é ü'\"\n"] {
        let place = folder.path().join(name);
        filled(&place).await;
        read_all(&place).await.unwrap();
        assert!(place.join("flow.db").exists(), "{name}");
    }
}

/// A store with some pages in it.
async fn filled(folder: &Path) -> PathBuf {
    let run = run_id(1);
    let store = store_with(folder, std::slice::from_ref(&run)).await;
    for number in 1..=200 {
        store.commit(turn(&run, number)).await.unwrap();
    }
    store.close().await;
    folder.join("flow.db")
}

/// What opening and then reading everything says.
async fn read_all(folder: &Path) -> Result<(), StoreError> {
    let store = Store::open(folder).await?;
    store.events(&run_id(1), 0, u32::MAX).await?;
    store.integrity_check().await
}

#[tokio::test]
async fn a_database_cut_short_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let file = filled(folder.path()).await;
    let size = std::fs::metadata(&file).unwrap().len();
    for keep in [size - 4096, size / 2, 4096, 100] {
        let copy = tempfile::tempdir().unwrap();
        let cut = copy.path().join("flow.db");
        let bytes = std::fs::read(&file).unwrap();
        std::fs::write(&cut, &bytes[..keep as usize]).unwrap();
        let error = read_all(copy.path()).await.unwrap_err();
        assert!(
            error.to_string().starts_with(&format!("{} is damaged: ", cut.display())),
            "cut to {keep}: {error}"
        );
        assert_eq!(
            error.hint(),
            Some(
                "restore it from a backup, or move it away and run again; `sqlite3 FILE .recover` saves what is readable"
            )
        );
    }
}

#[tokio::test]
async fn an_overwritten_page_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let file = filled(folder.path()).await;
    let good = std::fs::read(&file).unwrap();
    for page in 1..good.len() / 4096 {
        let copy = tempfile::tempdir().unwrap();
        let mut bytes = good.clone();
        bytes[page * 4096..(page + 1) * 4096].fill(0xa5);
        std::fs::write(copy.path().join("flow.db"), bytes).unwrap();
        let error = read_all(copy.path()).await.unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "page {page}: {error}");
    }
}

#[tokio::test]
async fn a_value_that_no_flow_writes_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let file = filled(folder.path()).await;
    execute(&file, "UPDATE runs SET status = 'jolly'").await;
    let store = Store::open(folder.path()).await.unwrap();
    assert_eq!(
        store.run(&run_id(1)).await.unwrap_err().to_string(),
        format!("{} is damaged: column status: `jolly` is unknown", file.display())
    );
}

/// A file system of its own, which can be full or read-only; none where that is not allowed.
struct Mount(tempfile::TempDir);

impl Mount {
    fn new(options: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(folder.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(folder)),
            Ok(_) | Err(_) => {
                say("skipped: mounting a tmpfs is not allowed here");
                None
            }
        }
    }

    fn remount(&self, options: &str) {
        let done = Command::new("mount")
            .args(["-o", &format!("remount,{options}")])
            .arg(self.0.path())
            .status()
            .unwrap();
        assert!(done.success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn on_a_full_disk_nothing_acknowledged_is_lost_and_work_goes_on_with_space() {
    let Some(mount) = Mount::new("size=2m") else {
        return;
    };
    let folder = mount.0.path();
    let run = run_id(1);
    let store = store_with(folder, std::slice::from_ref(&run)).await;
    let mut last = 0;
    let error = loop {
        match store.commit(turn(&run, last + 1)).await {
            Ok(()) => last += 1,
            Err(error) => break error,
        }
    };
    let told = format!("cannot write to {}: the disk is full", folder.join("flow.db").display());
    assert_eq!(error.to_string(), told);
    assert!(last > 50, "{last}");
    let artifact = store.artifacts().put_bytes(vec![1; 2 << 20], "image/png", "x");
    let error = artifact.await.unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    let drafts = std::fs::read_dir(folder.join("artifacts")).unwrap().count();
    assert_eq!(drafts, 0, "half a file was left");

    assert_eq!(store.last_seq(&run).await.unwrap(), last);
    mount.remount("size=8m");
    store.commit(turn(&run, last + 1)).await.unwrap();
    assert_eq!(store.last_seq(&run).await.unwrap(), last + 1);
    store.integrity_check().await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_told_when_the_store_is_created() {
    let Some(mount) = Mount::new("size=16k") else {
        return;
    };
    let error = refusal(mount.0.path()).await;
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
}

#[tokio::test]
async fn a_read_only_store_can_be_read_and_says_that_it_is() {
    let Some(mount) = Mount::new("size=8m") else {
        return;
    };
    let folder = mount.0.path();
    let file = filled(folder).await;
    mount.remount("ro");
    let told = |path: &Path| format!("cannot write to {}: it is read-only", path.display());
    let error = refusal(folder).await;
    assert_eq!(error.to_string(), told(&folder.join("locks/open.lock")));
    assert_eq!(
        error.hint(),
        Some("allow writing there, or choose another folder with --store or FLOW_STORE")
    );

    let store = Store::open_existing(folder).await.unwrap().unwrap();
    assert_eq!(store.events(&run_id(1), 199, 10).await.unwrap(), [event(&run_id(1), 200)]);
    let batch = Batch { runs: vec![run_row(&run_id(1))], ..Batch::default() };
    assert_eq!(store.commit(batch).await.unwrap_err().to_string(), told(&file));
    let error = store.artifacts().put_bytes("x", "text/plain", "x").await.unwrap_err();
    assert_eq!(error.to_string(), told(&folder.join("artifacts")));
    let retention = Retention { before: 0, statuses: Vec::new(), keep: 0, workflow: None };
    assert_eq!(store.prune(retention).await.unwrap_err().to_string(), told(&file));
    assert_eq!(store.vacuum().await.unwrap_err().to_string(), told(&file));
    store.close().await;
}
