//! Guests that were built by a compiler and committed: they stand for every plugin that was
//! built before this flow.

use std::path::{Path, PathBuf};
use std::process::Command;

use flow_core::content::ContentHash;
use flow_core::provider::{Message, Part, Request, Role};
use flow_plugins::policy::Limits;
use flow_plugins::{Call, Kind, Outside};
use serde_json::json;

use crate::support::{Place, granted, say};

fn guests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests")
}

/// The hashes that are committed beside the guests, by file.
fn sums(folder: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
    let pair = |line: &str| line.split_once("  ").map(|(hash, file)| (file.into(), hash.into()));
    text.lines().filter_map(pair).collect()
}

#[test]
fn the_committed_guests_are_those_whose_hashes_are_committed() {
    let sums = sums(&guests());
    assert_eq!(sums.len(), 2);
    for (file, hash) in sums {
        let bytes = std::fs::read(guests().join(&file)).unwrap();
        assert_eq!(ContentHash::of_bytes(&bytes).hex(), hash, "{file}");
    }
}

#[test]
fn the_committed_guests_are_what_their_source_builds() {
    let debian = Command::new("/usr/bin/rustc").arg("--version").output();
    let debian = debian.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let built_for = "rustc 1.96.0";
    if !debian.as_ref().is_ok_and(|version| version.starts_with(built_for))
        || !Path::new("/usr/src/rustc-1.96.0/library").exists()
            && !Path::new("/usr/lib/rustlib/src/rust/library").exists()
    {
        say(&format!("skipped: no {built_for} of Debian's with its sources (rust-web-src)"));
        return;
    }
    let out = tempfile::tempdir().unwrap();
    // Kept from test to test: the standard library is built with it.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
    let built = Command::new(guests().join("build.sh"))
        .arg(out.path())
        .env("GUEST_TARGET", target)
        .env_remove("RUSTC")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTUP_TOOLCHAIN")
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    assert_eq!(sums(out.path()), sums(&guests()));
}

#[tokio::test]
async fn a_step_that_was_built_before_still_runs() {
    let place = Place::new().await;
    let plugin = place.sandbox.load_file(&guests().join("sample.wasm")).unwrap();
    assert_eq!((plugin.kind(), plugin.interface().version.as_str()), (Kind::Step, "0.1.0"));
    let came = place.run(&plugin, &json!({ "do": "echo", "text": "hello" })).await;
    assert_eq!(came.result.unwrap(), json!({ "echo": "hello", "greeting": null }));
    let file = place.intake.keep(vec![1; 200_000], "ones").await.unwrap();
    let came = place.run(&plugin, &json!({ "do": "sum", "file": file.to_value() })).await;
    assert_eq!((came.result.unwrap(), came.used.read), (json!({ "sum": 200_000 }), 200_000));
}

/// Whoever listens while a provider answers.
#[derive(Default)]
struct Listener(std::sync::Mutex<Vec<String>>);

#[async_trait::async_trait]
impl Outside for Listener {
    async fn ask(
        &self,
        model: &str,
        _request: Request,
        _most: Option<flow_core::units::Money>,
    ) -> Result<
        (flow_core::provider::Answer, flow_core::action::CallUsage),
        flow_core::error::Failure,
    > {
        Err(flow_core::error::Failure::input(format!("there is no model `{model}`")))
    }

    fn delta(&self, text: &str) -> bool {
        self.0.lock().unwrap().push(text.to_owned());
        true
    }
}

#[tokio::test]
async fn a_provider_that_was_built_before_still_answers_piece_by_piece() {
    let place = Place::new().await;
    let plugin = place.sandbox.load_file(&guests().join("parrot.wasm")).unwrap();
    assert_eq!(plugin.kind(), Kind::Provider);
    let (listener, grant) = (Listener::default(), granted(&json!({}), Limits::USUAL));
    let call = Call {
        run: "run",
        step: "step",
        attempt: 1,
        granted: &grant,
        config: &std::sync::Arc::default(),
        intake: Some(&place.intake),
        log: std::sync::Arc::new(|_| {}),
        memory: None,
        outside: &listener,
        cancel: tokio_util::sync::CancellationToken::new(),
    };
    let parts = vec![Part::Text("hello there".into())];
    let messages = vec![Message { role: Role::User, parts }];
    let request = Request { model: "loud".into(), messages, ..Request::default() };
    let answer = plugin.complete(&call, &request).await.result.unwrap();
    assert_eq!((answer.text.as_str(), answer.input_tokens), ("HELLO THERE", Some(3)));
    assert_eq!(*listener.0.lock().unwrap(), ["HELLO ", "THERE"]);
    assert_eq!(plugin.models(&call).await.result.unwrap(), ["plain", "loud"]);
    let unknown = Request { model: "silent".into(), ..request };
    let fault = plugin.complete(&call, &unknown).await.result.unwrap_err();
    assert_eq!(fault.into_failure("parrot").message, "plugin `parrot`: there is no model `silent`");
}
