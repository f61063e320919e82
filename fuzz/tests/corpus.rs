//! Every target over its whole corpus, and over a fixed number of changes to it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use flow_fuzz::{Material, Seen, TARGETS, Target, drive, own_panics_count};

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where inputs that fail are left.
fn findings() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("findings")
}

fn holds(name: &str) {
    own_panics_count();
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    let material = Material::of(target, folder()).expect("a corpus and a dictionary");
    match drive(target, &material, &findings()).expect("a folder for findings") {
        Ok(seen) => {
            let (corpus, changed) = (material.corpus.len(), target.rounds as usize);
            assert_eq!(seen, Seen { corpus, changed });
            assert!(corpus > 0, "{name} has a corpus");
        }
        Err(finding) => panic!("{finding}"),
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        const DRIVEN: &[&str] = &[$(stringify!($name)),*];

        $(#[test]
        fn $name() {
            holds(stringify!($name));
        })*
    };
}

targets! { fields gguf history image journal names office pdf reply schema template yaml }

#[test]
fn every_target_has_a_test_a_corpus_a_dictionary_and_a_binary() {
    let names: BTreeSet<_> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(DRIVEN.iter().map(ToString::to_string).collect::<BTreeSet<_>>(), names);
    for part in ["corpus", "dictionaries", "fuzz_targets"] {
        let found: BTreeSet<_> = std::fs::read_dir(folder().join(part))
            .expect("a folder of the package")
            .map(|entry| entry.expect("an entry").path())
            .filter_map(|path| path.file_stem()?.to_str().map(str::to_owned))
            .collect();
        assert_eq!(found, names, "{part}");
    }
}

fn driven(check: fn(&[u8]), keep: &Path) -> Result<Seen, flow_fuzz::Finding> {
    let target = Target { name: "planted", check, rounds: 2_000 };
    let corpus = vec![("a".to_owned(), b"amount: 12\n".to_vec()), ("b".to_owned(), b"x".to_vec())];
    let material = Material { corpus, words: vec![b"needle".to_vec()] };
    drive(&target, &material, keep).expect("a folder for findings")
}

#[test]
fn a_planted_panic_is_named_and_its_input_is_kept() {
    let keep = tempfile::tempdir().expect("a folder");
    let kept = keep.path().join("planted");
    let finding = driven(|bytes| assert_ne!(bytes, b"x", "x is bad"), keep.path());
    let finding = finding.expect_err("a file of the corpus fails");
    assert_eq!(
        finding.to_string(),
        format!(
            "planted: b: assertion `left != right` failed: x is bad\n  left: [120]\n \
             right: [120]\nthe input is kept in {}",
            kept.display()
        )
    );
    assert_eq!(std::fs::read(&kept).expect("it is kept"), b"x");
}

#[test]
fn a_planted_panic_behind_a_change_is_found() {
    fn bad(bytes: &[u8]) -> bool {
        bytes.windows(6).any(|part| part == b"needle") && bytes.starts_with(b"amount")
    }
    let keep = tempfile::tempdir().expect("a folder");
    let finding = driven(|bytes| assert!(!bad(bytes), "a needle"), keep.path());
    let finding = finding.expect_err("a change puts the word in");
    assert_eq!((finding.file, finding.message.as_str()), (None, "a needle"));
    assert!(bad(&std::fs::read(&finding.kept).expect("it is kept")));
}

#[test]
fn what_holds_leaves_no_input_behind() {
    let keep = tempfile::tempdir().expect("a folder");
    let seen = driven(|_| (), keep.path()).expect("nothing fails");
    assert_eq!(seen, Seen { corpus: 2, changed: 2_000 });
    assert_eq!(std::fs::read_dir(keep.path()).expect("a folder").count(), 0);
}
