//! `model.generate` asks a program: what it is sent, and what becomes of its answer.

#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flow_core::action::{
    Action, ActionRegistry, Admission, CallUsage, LogSink, Outcome, PathPolicy, Quote, StepContext,
    UsageSlot,
};
use flow_core::artifact::ArtifactRef;
use flow_core::error::{ErrorClass, Failure};
use flow_core::ids::RunId;
use flow_core::intake::Intake;
use flow_core::language::{ModelChoice, ProviderConfig};
use flow_core::store::Store;
use flow_core::template::Template;
use flow_core::units::Money;
use flow_providers::documents::sniff;
use flow_providers::{ModelFolder, Providers};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// A workflow's folder with a program in it, and the context of a step that asks it.
struct Bench {
    folder: tempfile::TempDir,
    action: Arc<dyn Action>,
    context: StepContext,
    log: Arc<Mutex<Vec<String>>>,
    store: Store,
}

impl Bench {
    /// A bench whose model is this shell script.
    async fn of(script: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("answer.sh");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("written");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("allowed");
        let store = Store::open(&folder.path().join("store")).await.expect("a store");
        let mut actions = ActionRegistry::default();
        let models = ModelFolder::new(PathBuf::from("none"));
        let providers = Arc::new(Providers::new(BTreeMap::new()));
        flow_providers::register(&mut actions, providers, models, 1);
        let action = Arc::clone(actions.get("model.generate").expect("it is registered"));
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&log);
        let sink: LogSink = Arc::new(move |line| lines.lock().expect("unharmed").push(line.into()));
        let context = StepContext {
            path: "ask".into(),
            attempt: 1,
            order: 0,
            turn: Admission::free(),
            cancel: CancellationToken::new(),
            intake: Intake::new(store.artifacts().clone(), sniff),
            uploads: Arc::new(store.uploads(RunId::from_parts(1, 1))),
            model: Some(choice(&[("command", json!(["./answer.sh", "--fast"]))])),
            paths: PathPolicy { folder: folder.path().to_path_buf(), computed: Vec::new() },
            log: sink,
            text: Arc::new(|_: &str| {}),
            require_grounded: false,
            earlier: None,
            batches: None,
            caller: None,
            usage: UsageSlot::default(),
        };
        Self { folder, action, context, log, store }
    }

    async fn ask(&self, input: Value) -> Result<Value, Failure> {
        match self.action.run(input, &self.context).await? {
            Outcome::Done(value) => Ok(value),
            Outcome::Wait { .. } => panic!("a model does not wait for people"),
        }
    }

    async fn failure(&self, input: Value) -> Failure {
        self.ask(input).await.expect_err("it fails")
    }

    /// What the call took, with the raw reply that was kept.
    async fn usage(&self) -> (CallUsage, String) {
        let usage = self.context.usage.take().expect("a call was made");
        let raw = usage.raw.as_ref().and_then(ArtifactRef::from_value);
        let raw = raw.expect("the reply was kept");
        let bytes = self.store.artifacts().get(&raw.hash).await.expect("it is there");
        (usage, String::from_utf8(bytes).expect("it is text"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn choice(settings: &[(&str, Value)]) -> ModelChoice {
    let template = |value: &Value| match value {
        Value::Array(items) => {
            let text = |item: &Value| Template::compile(item.as_str().expect("a text"));
            Template::list(items.iter().map(|item| text(item).expect("a literal")).collect())
        }
        other => Template::compile(other.as_str().expect("a text")).expect("a literal"),
    };
    let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), template(value)));
    ModelChoice {
        provider: "mine".into(),
        config: Arc::new(ProviderConfig {
            kind: "command".into(),
            settings: settings.collect(),
            plugin: None,
        }),
        model: "large".into(),
        path: None,
        projector: None,
        options: Some(r#"{"effort":"low","depth":1}"#.into()),
    }
}

fn hello() -> Value {
    json!({ "prompt": "Hello" })
}

fn total() -> Value {
    json!({
        "prompt": "The total?",
        "schema": {
            "type": "object",
            "properties": { "total": { "type": "number" } },
            "required": ["total"],
        },
    })
}

#[tokio::test]
async fn the_program_gets_the_request_as_one_object() {
    let bench = Bench::of(r#"cat > request.json; echo "$1" > arguments; echo fine"#).await;
    let image = bench.context.intake.keep(b"\x89PNG\r\n\x1a\n".to_vec(), "a.png").await;
    let image = image.expect("kept");
    let answer = bench
        .ask(json!({
            "system": "Be brief.",
            "messages": [
                { "role": "user", "content": "Hello" },
                { "role": "assistant", "content": [{ "text": "Hi" }] },
            ],
            "image": image.to_value(),
            "document": "https://example.org/a.pdf",
            "prompt": "What is this?",
            "schema": { "type": "string" },
            "temperature": 0.5,
            "top_p": 0.9,
            "max_tokens": 100,
            "stop": "END",
            "seed": 7,
            "detail": "high",
            "options": { "depth": 2 },
        }))
        .await;
    assert_eq!(
        answer.expect_err("`fine` is no JSON text").message,
        "the answer is not JSON: expected ident at line 1 column 2"
    );
    let request = fs::read_to_string(bench.file("request.json")).expect("it ran in its folder");
    let request: Value = serde_json::from_str(&request).expect("it is JSON");
    let path = bench.store.artifacts().local_path(&image.hash).expect("a file");
    assert_eq!(
        request,
        json!({
            "model": "large",
            "system": "Be brief.",
            "messages": [
                { "role": "user", "content": [{ "text": "Hello" }] },
                { "role": "assistant", "content": [{ "text": "Hi" }] },
                { "role": "user", "content": [
                    { "image": { "path": path, "media_type": "image/png" } },
                    { "document": { "url": "https://example.org/a.pdf" } },
                    { "text": "What is this?" },
                ] },
            ],
            "schema": { "type": "string" },
            "temperature": 0.5,
            "top_p": 0.9,
            "max_tokens": 100,
            "stop": ["END"],
            "seed": 7,
            "detail": "high",
            "options": { "effort": "low", "depth": 2 },
        })
    );
    let arguments = fs::read_to_string(bench.file("arguments")).expect("written");
    assert_eq!(arguments, "--fast\n");
}

#[tokio::test]
async fn plain_text_is_the_answer() {
    let bench = Bench::of("echo '  Bonjour  '").await;
    assert_eq!(bench.ask(hello()).await, Ok(json!("Bonjour")));
    let (usage, raw) = bench.usage().await;
    assert_eq!(raw, "  Bonjour  \n");
    assert_eq!((usage.provider.as_str(), usage.model.as_str()), ("mine", "large"));
    assert_eq!((usage.input_tokens, usage.cost), (None, None));
}

#[tokio::test]
async fn an_object_says_what_the_call_took() {
    let reply = r#"{"text":"Bonjour","input_tokens":12,"output_tokens":3,"cost":0.0015,"finish":"stop","request_id":"r1"}"#;
    let bench = Bench::of(&format!("echo '{reply}'")).await;
    assert_eq!(bench.ask(hello()).await, Ok(json!("Bonjour")));
    let (usage, raw) = bench.usage().await;
    assert_eq!(raw.trim_end(), reply);
    assert_eq!(
        usage,
        CallUsage {
            provider: "mine".into(),
            model: "large".into(),
            input_tokens: Some(12),
            output_tokens: Some(3),
            cost: Some(Money::from_micros(1500)),
            finish: Some("stop".into()),
            request_id: Some("r1".into()),
            raw: usage.raw.clone(),
            replayed: false,
            speed: None,
            plugin: None,
        }
    );
}

#[tokio::test]
async fn a_price_is_the_quote_and_the_cost_of_a_plain_answer() {
    let mut bench = Bench::of("echo yes").await;
    assert_eq!(bench.action.quote(&hello(), &bench.context), Quote::Unknown);
    let settings = [("command", json!("./answer.sh")), ("price", json!("0.02 USD"))];
    bench.context.model = Some(choice(&settings));
    let price = Money::from_micros(20_000);
    assert_eq!(bench.action.quote(&hello(), &bench.context), Quote::AtMost(price));
    assert_eq!(bench.ask(hello()).await, Ok(json!("yes")));
    assert_eq!(bench.usage().await.0.cost, Some(price));
}

#[tokio::test]
async fn an_answer_that_fits_the_schema_is_data() {
    let bench = Bench::of(r#"printf '```json\n{"total": 4.11}\n```\n'"#).await;
    assert_eq!(bench.ask(total()).await, Ok(json!({ "total": 4.11 })));
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_kept_and_says_where() {
    for (reply, message) in [
        ("I think 4.11", "the answer is not JSON: expected value at line 1 column 1"),
        (
            r#"{"total": "4.11"}"#,
            "the answer does not fit the schema at `/total`: \"4.11\" is not of type \"number\"",
        ),
        ("{}", "the answer does not fit the schema: \"total\" is a required property"),
    ] {
        let bench = Bench::of(&format!("echo '{reply}'")).await;
        let failure = bench.failure(total()).await;
        assert_eq!(failure.class, ErrorClass::InvalidOutput);
        assert_eq!(failure.message, message);
        assert_eq!(bench.usage().await.1.trim_end(), reply);
    }
}

#[tokio::test]
async fn an_empty_answer_is_none() {
    for script in ["exit 0", "echo", r#"echo '{"text": " "}'"#] {
        let failure = Bench::of(script).await.failure(hello()).await;
        assert_eq!(failure.class, ErrorClass::Empty);
        assert_eq!(failure.message, "model `mine/large` answered nothing");
    }
}

#[tokio::test]
async fn the_exit_code_says_whether_to_try_again() {
    for (script, class, message) in [
        (
            "echo one >&2; echo 'come back later' >&2; echo >&2; exit 75",
            ErrorClass::Overloaded,
            "provider `mine` failed (exit status: 75): come back later",
        ),
        (
            "echo half an answer; exit 2",
            ErrorClass::BadRequest,
            "provider `mine` failed (exit status: 2): no reason",
        ),
        (
            "kill -9 $$",
            ErrorClass::Server,
            "provider `mine` failed (signal: 9 (SIGKILL)): no reason",
        ),
    ] {
        let bench = Bench::of(script).await;
        let failure = bench.failure(hello()).await;
        assert_eq!((failure.class, failure.message.as_str()), (class, message));
        // What it said before it failed is kept as well.
        bench.usage().await;
    }
}

#[tokio::test]
async fn stderr_goes_to_the_log() {
    let bench = Bench::of("echo loading >&2; echo yes; echo done >&2").await;
    assert_eq!(bench.ask(hello()).await, Ok(json!("yes")));
    let lines = bench.log.lock().expect("unharmed");
    assert_eq!(*lines, ["loading", "done"]);
}

#[tokio::test]
async fn a_program_that_complains_at_length_is_heard_to_the_end() {
    let bench = Bench::of("yes complaint | head -c 4000000 >&2 || exit 3; echo yes").await;
    assert_eq!(bench.ask(hello()).await, Ok(json!("yes")));
    let kept: usize = bench.log.lock().expect("unharmed").iter().map(String::len).sum();
    assert!(kept <= 1 << 20, "{kept}");
}

#[tokio::test]
async fn a_large_request_that_is_not_read_is_no_error() {
    let bench = Bench::of("echo yes").await;
    let prompt = "long ".repeat(1 << 20);
    assert_eq!(bench.ask(json!({ "prompt": prompt })).await, Ok(json!("yes")));
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off_and_its_program_too() {
    let bench = Bench::of("echo $$ > pid; yes answer; sleep 600").await;
    let started = Instant::now();
    let failure = bench.failure(hello()).await;
    assert_eq!(failure.class, ErrorClass::Limit);
    assert_eq!(failure.message, "provider `mine` answered more than 67108864 bytes");
    assert!(started.elapsed() < Duration::from_mins(1));
    gone(&bench.file("pid")).await;
}

#[tokio::test]
async fn a_program_is_killed_when_the_call_is_stopped_or_dropped() {
    let bench = Bench::of("echo $$ > pid; exec sleep 600").await;
    let cancel = bench.context.cancel.clone();
    let pid = bench.file("pid");
    let stop = async {
        appears(&pid).await;
        cancel.cancel();
    };
    let (failure, ()) = tokio::join!(bench.failure(hello()), stop);
    assert_eq!(failure.class, ErrorClass::Cancelled);
    assert_eq!(failure.message, "the call was stopped");
    gone(&pid).await;

    let bench = Bench::of("echo $$ > pid; exec sleep 600").await;
    let pid = bench.file("pid");
    tokio::select! {
        outcome = bench.ask(hello()) => panic!("it never answers: {outcome:?}"),
        () = appears(&pid) => {}
    }
    gone(&pid).await;
}

/// Waits until the program has written its process id.
async fn appears(pid: &Path) {
    while fs::read_to_string(pid).map_or(true, |text| !text.ends_with('\n')) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until the process whose id stands in this file is gone.
async fn gone(pid: &Path) {
    let pid = fs::read_to_string(pid).expect("it was started");
    let there = || {
        std::process::Command::new("kill")
            .args(["-0", pid.trim()])
            .stderr(std::process::Stdio::null())
            .status()
            .expect("kill can be run")
            .success()
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    while there() {
        assert!(Instant::now() < deadline, "process {pid} still runs");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let mut bench = Bench::of("echo yes").await;
    bench.context.model = Some(choice(&[("command", json!(["./missing.sh"]))]));
    let failure = bench.failure(hello()).await;
    assert_eq!(failure.class, ErrorClass::NotFound);
    assert_eq!(
        failure.message,
        "provider `mine`: cannot start `./missing.sh`: No such file or directory (os error 2)"
    );
    assert_eq!(failure.hint.as_deref(), Some("its path is relative to the workflow's folder"));
}

#[tokio::test]
async fn settings_that_make_no_sense_are_named() {
    let mut bench = Bench::of("echo yes").await;
    for (settings, message, hint) in [
        (
            &[] as &[(&str, Value)],
            "provider `mine` needs `command`, the program and its arguments",
            None,
        ),
        (
            &[("command", json!("./answer.sh")), ("model", json!("x"))],
            "provider `mine` of type `command` has no setting `model`",
            Some("it has: command, price"),
        ),
        (
            &[("command", json!("{{ secrets.KEY }}"))],
            "provider `mine`: `command`: ",
            Some("a secret comes from the environment or from `--secrets FILE`"),
        ),
    ] {
        bench.context.model = Some(choice(settings));
        let failure = bench.failure(hello()).await;
        assert_eq!(failure.class, ErrorClass::Input);
        assert!(failure.message.starts_with(message), "{}", failure.message);
        assert_eq!(failure.hint.as_deref(), hint);
    }
}

#[tokio::test]
async fn input_that_makes_no_sense_is_named() {
    let bench = Bench::of("echo yes").await;
    for (input, message, hint) in [
        (json!({}), "nothing is asked", "give `prompt`, `content` or `messages`"),
        (
            json!({ "image": "a.png", "prompt": "?" }),
            "`image`: `\"a.png\"` is no file",
            "a file is an input, a step's artifact, a URL, or `{file_id: …}`",
        ),
        (
            json!({ "messages": [{ "role": "system", "content": "a" }] }),
            "`messages`: `\"system\"` is no role",
            "a role is `user` or `assistant`",
        ),
        (
            json!({ "content": [{ "picture": 1 }] }),
            "`content`: `{\"picture\":1}` is no part",
            "a part is `{text: …}`, `{image: …}`, `{document: …}`, `{video: …}` or `{audio: …}`",
        ),
    ] {
        let failure = bench.failure(input).await;
        assert_eq!(failure.class, ErrorClass::Input);
        assert_eq!(failure.message, message);
        assert_eq!(failure.hint.as_deref(), Some(hint));
    }
    assert!(bench.context.usage.take().is_none());
}

#[tokio::test]
async fn providers_that_are_not_there_are_named() {
    let mut bench = Bench::of("echo yes").await;
    let mut model = choice(&[]);
    let config =
        ProviderConfig { kind: "telepathy".into(), settings: BTreeMap::new(), plugin: None };
    model.config = Arc::new(config);
    bench.context.model = Some(model);
    let failure = bench.failure(hello()).await;
    assert_eq!(failure.class, ErrorClass::NotFound);
    assert_eq!(failure.message, "provider `mine`: there is no kind `telepathy`");
}
