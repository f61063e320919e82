//! A file that goes in comes out bit for bit, or the damage is told.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use flow_core::content::ContentHash;
use flow_core::store::{Artifacts, Batch, Store};
use serde_json::json;

use crate::support::{instance, run_id, say, store_with};

async fn artifacts(folder: &Path) -> Artifacts {
    Store::open(folder).await.unwrap().artifacts().clone()
}

#[tokio::test]
async fn a_file_comes_back_bit_for_bit_and_is_kept_once() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = artifacts(folder.path()).await;
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n * 7 / 3) as u8).collect();
    let file = folder.path().join("scan.bin");
    std::fs::write(&file, &bytes).unwrap();

    let kept = artifacts.put_file(&file, "application/octet-stream", "scan.bin").await.unwrap();
    assert_eq!((kept.size, kept.name.as_str()), (3_000_000, "scan.bin"));
    assert_eq!(kept.hash, ContentHash::of_bytes(&bytes));
    assert_eq!(artifacts.get(&kept.hash).await.unwrap(), bytes);
    let mut read = Vec::new();
    let mut open = artifacts.open(&kept.hash).await.unwrap();
    open.read_to_end(&mut read).unwrap();
    assert_eq!(read, bytes);

    let place = artifacts.local_path(&kept.hash).unwrap();
    let file = std::fs::metadata(&place).unwrap();
    let again = artifacts.put_bytes(bytes, "image/png", "same").await.unwrap();
    assert_eq!(again.hash, kept.hash);
    let same = std::fs::metadata(&place).unwrap();
    assert_eq!((same.ino(), same.len()), (file.ino(), file.len()), "it was written again");
}

#[tokio::test]
async fn taking_in_what_is_there_makes_it_young() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = artifacts(folder.path()).await;
    let kept = artifacts.put_bytes("x", "text/plain", "x").await.unwrap();
    let place = artifacts.local_path(&kept.hash).unwrap();
    let file = folder.path().join("x.txt");
    std::fs::write(&file, "x").unwrap();
    let modified = || std::fs::metadata(&place).unwrap().modified().unwrap();
    let aged = || std::fs::File::open(&place).unwrap().set_modified(SystemTime::UNIX_EPOCH);
    aged().unwrap();
    artifacts.put_bytes("x", "text/plain", "x").await.unwrap();
    assert!(modified() > SystemTime::UNIX_EPOCH);
    aged().unwrap();
    artifacts.put_file(&file, "text/plain", "x").await.unwrap();
    assert!(modified() > SystemTime::UNIX_EPOCH);
}

#[tokio::test]
async fn an_empty_file_is_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = artifacts(folder.path()).await;
    let kept = artifacts.put_bytes("", "text/plain", "empty").await.unwrap();
    assert_eq!(artifacts.get(&kept.hash).await.unwrap(), b"");
}

#[tokio::test]
async fn what_is_no_file_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = artifacts(folder.path()).await;
    let missing = folder.path().join("missing.pdf");
    for (path, detail) in [
        (folder.path(), "it is a folder"),
        (&missing, "it does not exist"),
        (Path::new("/dev/null"), "it is no regular file"),
    ] {
        let error = artifacts.put_file(path, "text/plain", "x").await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cannot take {} into the store: {detail}", path.display())
        );
        assert_eq!(error.hint(), Some("give a file that can be read and does not change"));
    }
}

#[tokio::test]
async fn a_file_that_is_not_as_long_as_it_says_is_refused() {
    // Its length is 0, and then it can be read: as a file does that grows meanwhile.
    let growing = Path::new("/proc/version");
    if !growing.exists() {
        say("skipped: there is no /proc here");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let artifacts = artifacts(folder.path()).await;
    let error = artifacts.put_file(growing, "text/plain", "x").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot take /proc/version into the store: it changed while it was read"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_meanwhile_is_kept_as_one_of_its_states_or_refused() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let folder = tempfile::tempdir().unwrap();
    let artifacts = artifacts(folder.path()).await;
    let file = folder.path().join("busy.bin");
    std::fs::write(&file, vec![0; 4 << 20]).unwrap();
    let done = std::sync::Arc::new(AtomicBool::new(false));
    let (path, stop) = (file.clone(), done.clone());
    let scribbler = std::thread::spawn(move || {
        let mut number = 0_u8;
        while !stop.load(Ordering::Relaxed) {
            number = number.wrapping_add(1);
            std::fs::write(&path, vec![number; 4 << 20]).unwrap();
        }
    });
    for _ in 0..20 {
        match artifacts.put_file(&file, "text/plain", "x").await {
            Ok(kept) => drop(artifacts.get(&kept.hash).await.unwrap()),
            Err(error) => {
                assert!(error.to_string().ends_with("it changed while it was read"), "{error}");
            }
        }
    }
    done.store(true, Ordering::Relaxed);
    scribbler.join().unwrap();
    let drafts = std::fs::read_dir(folder.path().join("artifacts")).unwrap();
    for entry in drafts {
        let name = entry.unwrap().file_name();
        assert!(!name.to_string_lossy().starts_with('.'), "{name:?} was left");
    }
}

#[tokio::test]
async fn keeping_a_damaged_artifact_again_mends_it() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = artifacts(folder.path()).await;
    let kept = artifacts.put_bytes("good", "text/plain", "x").await.unwrap();
    std::fs::write(artifacts.local_path(&kept.hash).unwrap(), "evil").unwrap();
    assert!(artifacts.verify(&kept.hash).await.is_err());
    artifacts.put_bytes("good", "text/plain", "x").await.unwrap();
    artifacts.verify(&kept.hash).await.unwrap();
}

#[tokio::test]
async fn flipped_cut_and_missing_artifacts_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let run = run_id(1);
    let store = store_with(folder.path(), std::slice::from_ref(&run)).await;
    let artifacts = store.artifacts();
    let kept = artifacts.put_bytes(vec![7; 1000], "image/png", "page").await.unwrap();
    let mut step = instance(&run, 1);
    step.output = Some(json!({"pages": [{"image": kept.to_value()}]}));
    let batch = Batch { steps: vec![step], ..Batch::default() };
    store.commit(batch).await.unwrap();
    store.integrity_check().await.unwrap();

    let place = artifacts.local_path(&kept.hash).unwrap();
    let mut flipped = vec![7; 1000];
    flipped[500] ^= 1;
    for bytes in [flipped, vec![7; 999]] {
        std::fs::write(&place, bytes).unwrap();
        let told = format!(
            "artifact {} is damaged: {} does not hold what was kept",
            kept.hash,
            place.display()
        );
        let error = artifacts.get(&kept.hash).await.unwrap_err();
        assert_eq!(error.to_string(), told);
        assert_eq!(error.hint(), Some("restore the file from a backup, or run the workflow again"));
        assert_eq!(artifacts.open(&kept.hash).await.unwrap_err().to_string(), told);
        let check = store.integrity_check().await.unwrap_err().to_string();
        assert!(check.ends_with(&told), "{check}");
    }

    std::fs::remove_file(&place).unwrap();
    let error = artifacts.get(&kept.hash).await.unwrap_err();
    let told = format!("artifact {} is missing: no file {}", kept.hash, place.display());
    assert_eq!(error.to_string(), told);
    assert_eq!(artifacts.local_path(&kept.hash).unwrap_err().to_string(), told);
    assert_eq!(error.hint(), Some("restore the file from a backup, or run the workflow again"));
    assert!(store.integrity_check().await.is_err());
}

#[tokio::test]
async fn drafts_of_the_dead_are_swept_away() {
    let folder = tempfile::tempdir().unwrap();
    let first = artifacts(folder.path()).await;
    let draft = folder.path().join("artifacts/.draft-abc");
    std::fs::write(&draft, "half a").unwrap();
    let living = std::fs::File::create(folder.path().join("artifacts/.draft-def")).unwrap();
    living.lock().unwrap();
    drop(first);
    artifacts(folder.path()).await;
    assert!(!draft.exists());
    assert!(folder.path().join("artifacts/.draft-def").exists());
}

#[tokio::test]
async fn large_values_go_beside_the_database_and_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let small = json!({"text": "x".repeat(30_000)});
    assert_eq!(store.pack(small.clone()).await.unwrap(), small);

    let large = json!({"z": "x".repeat(40_000), "a": [1.5, null]});
    let packed = store.pack(large.clone()).await.unwrap();
    assert!(packed.to_string().len() < 300, "{packed}");
    let unpacked = store.unpack(packed).await.unwrap();
    assert_eq!(unpacked.to_string(), large.to_string());
}

#[tokio::test]
async fn a_value_that_looks_spilled_is_still_only_a_value() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let secret = store.pack(json!("s".repeat(40_000))).await.unwrap();
    let packed = store.pack(secret.clone()).await.unwrap();
    assert_ne!(packed, secret);
    assert_eq!(store.unpack(packed).await.unwrap(), secret);
}
