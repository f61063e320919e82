//! Files by handle: those that a call was given or makes, and no others.

use flow_core::artifact::ArtifactRef;
use serde_json::json;

use crate::support::{Guest, Place};

/// A step that reads the first file it is given, from an offset, and says how much that was.
fn reading(offset: u64, max: u32) -> Guest {
    Guest::new("")
        .importing("artifacts", "[method]artifact.read", "(param i32 i64 i32 i32)")
        .running(&format!(
            ";; parts[0].body is an artifact: its handle stands behind the case.
             (call $_method_artifact_read
               (i32.load (i32.add (local.get 9) (i32.const 24)))
               (i64.const {offset}) (i32.const {max}) (i32.const 256))
             (if (i32.load8_u (i32.const 256)) (then unreachable))
             (local.set $a (i32.load (i32.const 264)))
             (local.set $b (i32.load (i32.const 268)))
             (call $ok (local.get $a) (local.get $b))"
        ))
}

#[tokio::test]
async fn a_file_is_read_in_pieces_by_its_handle() {
    let place = Place::new().await;
    let file = place.intake.keep(b"[1,2,3]   ".to_vec(), "list.json").await.unwrap();
    let input = json!({ "file": file.to_value(), "again": file.to_value() });
    for (offset, max, output) in [(0, 100, json!([1, 2, 3])), (1, 1, json!(1)), (5, 1, json!(3))] {
        let came = place.run(&place.load(&reading(offset, max)), &input).await;
        assert_eq!(came.result.unwrap(), output);
        assert!(came.used.read > 0);
    }
}

/// A step that makes a file of its input and says it as a part of its output.
fn making() -> Guest {
    let mut guest = Guest::new("")
        .importing("artifacts", "create", "(param i32 i32 i32 i32 i32 i32)")
        .importing("artifacts", "[method]writer.write", "(param i32 i32 i32 i32)")
        .importing("artifacts", "finish", "(param i32 i32)");
    let (media_type, name) = (guest.texts.text("text/x-notes"), guest.texts.text("notes.txt"));
    let value = guest.texts.at(b"{\"made\":{\"$part\":0}}");
    guest.running(&format!(
        "(call $create {media_type} (i32.const 1) {name} (i32.const 256))
         (if (i32.load8_u (i32.const 256)) (then unreachable))
         (local.set $a (i32.load (i32.const 264)))
         (call $_method_writer_write (local.get $a) (local.get 7) (local.get 8) (i32.const 320))
         (if (i32.load8_u (i32.const 320)) (then unreachable))
         (call $finish (local.get $a) (i32.const 384))
         (if (i32.load8_u (i32.const 384)) (then unreachable))
         ;; a part: media type, no name, an artifact
         (i32.store (i32.const 512) (i32.const 8)) (i32.store (i32.const 516) (i32.const 0))
         (i32.store (i32.const 520) (i32.const 0))
         (i32.store (i32.const 532) (i32.const 2))
         (i32.store (i32.const 536) (i32.load (i32.const 392)))
         (drop (call $ok (i32.const {value}) (i32.const 20)))
         (i32.store (i32.const 80) (i32.const 512)) (i32.store (i32.const 84) (i32.const 1))
         (i32.const 64)"
    ))
}

#[tokio::test]
async fn a_file_that_a_guest_made_is_in_the_store() {
    let place = Place::new().await;
    let came = place.run(&place.load(&making()), &json!({ "a": 1 })).await;
    let made = came.result.unwrap()["made"].clone();
    let artifact = ArtifactRef::from_value(&made).expect("an artifact");
    assert_eq!(
        (artifact.media_type.as_str(), artifact.name.as_str(), came.used.made),
        ("text/x-notes", "notes.txt", 7)
    );
    assert_eq!(place.store.artifacts().get(&artifact.hash).await.unwrap(), b"{\"a\":1}");
}

#[tokio::test]
async fn a_file_that_a_guest_was_not_given_cannot_be_named() {
    let place = Place::new().await;
    let secret = place.intake.keep(b"secret".to_vec(), "secret.txt").await.unwrap();
    let named = Guest::says(&format!("{{\"file\":{{\"$artifact\":\"{}\"}}}}", secret.hash));
    let plugin = place.load(&named);
    let fault = place.run(&plugin, &json!({})).await.result.unwrap_err();
    assert_eq!(
        fault.to_string(),
        format!("its output names a file that it was not given: \"{}\"", secret.hash)
    );
    // Where it was given, it may say so, and what is known of it is filled in.
    let came = place.run(&plugin, &json!({ "file": secret.to_value() })).await;
    assert_eq!(came.result.unwrap(), json!({ "file": secret.to_value() }));
}
