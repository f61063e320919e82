//! That a service is asked no more than it allows, by runs as the engine drives them.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use flow_core::action::ActionRegistry;
use flow_core::content::ContentHash;
use flow_core::engine::{Backend, Embedded, Program, RunHandle, Setup, Submission, SystemClock};
use flow_core::ids::RunId;
use flow_core::language::{Environment, Files, Instead, check};
use flow_core::store::{RunStatus, Store};
use flow_providers::documents::sniff;
use flow_providers::{ModelFolder, Providers};
use serde_json::{Map, Value};
use tokio::sync::{Barrier, Notify};

use crate::server::{Answer, Received, Server, Step};

struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _path: &str) -> Result<String, String> {
        Err("there are no files".into())
    }
}

/// An engine with a store of its own, as a process has one.
struct World {
    engine: Embedded,
    actions: ActionRegistry,
    folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("store")).await.expect("a store");
        let mut actions = ActionRegistry::default();
        let providers = Arc::new(Providers::new(BTreeMap::new()));
        flow_providers::register(&mut actions, providers, ModelFolder::new(PathBuf::new()), 1);
        let engine = Embedded::new(Setup {
            store,
            actions: actions.clone(),
            clock: Arc::new(SystemClock),
            sniff,
            parallel: 8,
            use_cache: false,
        });
        Self { engine, actions, folder }
    }

    /// Runs a workflow to its end, as the run of this number.
    async fn run(&self, number: u128, workflow: &str) -> RunStatus {
        let report = self.start(number, workflow).await.wait().await.expect("it ends");
        assert!(report.failure.is_none(), "{:?}", report.failure);
        report.run.status
    }

    /// Starts a run of a workflow.
    async fn start(&self, number: u128, workflow: &str) -> RunHandle {
        let environment = Environment {
            actions: &self.actions,
            providers: &Providers::known(),
            files: &NoFiles,
            instead: &Instead::default(),
        };
        let checked = check("w.yaml", workflow.as_bytes(), environment);
        let workflow = checked.workflow.unwrap_or_else(|| panic!("{}", checked.diagnostics));
        let program = Program {
            workflow,
            definition: ContentHash::of_bytes(b"limits"),
            bundle: Value::Null,
            folder: self.folder.path().to_owned(),
        };
        let id = RunId::from_parts(1, number);
        let inputs = Map::new();
        let submission = Submission { id, program, inputs, observer: Arc::new(()) };
        self.engine.submit(submission).await.expect("it starts")
    }
}

const SAID: &str = r#"{"choices":[{"message":{"content":"yes"},"finish_reason":"stop"}],
    "usage":{"prompt_tokens":10,"completion_tokens":1}}"#;

/// A workflow that asks `count` times, all at once as far as it is concerned.
fn asking(server: &Server, settings: &str, count: usize, attempts: u32) -> String {
    let url = server.url();
    format!(
        "name: limits\nconcurrency: {count}\n\
         providers: {{ mine: {{ type: openai, base_url: \"{url}/v1\"{settings} }} }}\n\
         models: {{ asked: mine/any }}\n\
         steps:\n  - id: ask\n    for_each: {count}\n    max_parallel: {count}\n    \
         uses: model.generate\n    model: asked\n    retry: {{ attempts: {attempts} }}\n    \
         with: {{ prompt: \"item {{{{ item }}}}\" }}\n"
    )
}

/// Which item asks.
fn item(request: &Received) -> usize {
    let body: Value = serde_json::from_slice(&request.body).expect("it is JSON");
    let content = body["messages"][0]["content"].as_str().expect("a text");
    let number = content.strip_prefix("item ").and_then(|number| number.parse().ok());
    number.expect("the number of the item")
}

fn items(server: &Server) -> Vec<usize> {
    server.received().iter().map(item).collect()
}

/// A service that takes so many requests in any second, wherever it begins, and refuses the
/// others; and how many it refused.
async fn strict(most: usize) -> (Server, Arc<Mutex<usize>>) {
    let refused = Arc::new(Mutex::new(0));
    let (count, taken) = (Arc::clone(&refused), Mutex::new(VecDeque::new()));
    let server = Server::start(move |_, _| {
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        while taken.front().is_some_and(|at| now.duration_since(*at) >= Duration::from_secs(1)) {
            taken.pop_front();
        }
        if taken.len() < most {
            taken.push_back(now);
            return Answer::json(200, SAID);
        }
        *count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Answer::json(429, r#"{"error":{"message":"slow down","type":"requests"}}"#)
    })
    .await;
    (server, refused)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_ready_steps_are_let_go_in_order_and_none_is_refused() {
    // A machine that stalls lets calls arrive closer together than they were let go; so the
    // service takes a fifth more than it is said to. All at once would be four times as many.
    let (server, refused) = strict(300).await;
    let workflow = asking(&server, ", requests_per_minute: 15000", 1000, 1);
    assert_eq!(World::new().await.run(1, &workflow).await, RunStatus::Succeeded);
    assert_eq!(*refused.lock().unwrap_or_else(PoisonError::into_inner), 0);
    let items = items(&server);
    let mut sorted = items.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..1000).collect::<Vec<_>>(), "each asked once");
    // Those that are on their way at the same time may pass each other. In no order at all an
    // item would come 333 places from its own.
    let moved: usize = items.iter().enumerate().map(|(place, item)| place.abs_diff(*item)).sum();
    assert!(moved / items.len() < 50, "{} places in the mean: {items:?}", moved / items.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_at_a_time_is_in_the_order_in_which_steps_became_ready() {
    let server = Server::start(|_, _| Answer::json(200, SAID)).await;
    let workflow = asking(&server, ", models: { \"*\": { concurrency: 1 } }", 100, 1);
    assert_eq!(World::new().await.run(1, &workflow).await, RunStatus::Succeeded);
    let items = items(&server);
    // Whoever asks first finds nobody there.
    assert!(items[1..].is_sorted(), "{items:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_calls_are_on_their_way_at_once() {
    let all = Arc::new(Barrier::new(200));
    let meet = Arc::clone(&all);
    let server =
        Server::start(move |_, _| Answer::json(200, SAID).after([Step::Meet(Arc::clone(&meet))]))
            .await;
    // Nobody is answered until all have asked.
    let workflow = asking(&server, ", timeout: 60s", 200, 1);
    assert_eq!(World::new().await.run(1, &workflow).await, RunStatus::Succeeded);
    assert_eq!(server.received().len(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_service_says_is_left_is_kept_to() {
    // Five in a window that is over 200 ms after its first call.
    let window = Mutex::new((Instant::now(), 0));
    let refused = Arc::new(Mutex::new(0));
    let count = Arc::clone(&refused);
    let server = Server::start(move |_, _| {
        let mut window = window.lock().unwrap_or_else(PoisonError::into_inner);
        let length = Duration::from_millis(200);
        if window.0.elapsed() >= length || window.1 == 0 {
            *window = (Instant::now(), 0);
        }
        window.1 += 1;
        let reset = length.saturating_sub(window.0.elapsed()).as_millis() + 1;
        let (status, said) = match window.1 {
            ..=5 => (200, SAID),
            _ => {
                *count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                (429, r#"{"error":{"message":"slow down","type":"requests"}}"#)
            }
        };
        Answer::json(status, said)
            .with("x-ratelimit-limit-requests", "5")
            .with(
                "x-ratelimit-remaining-requests",
                &5_i32.saturating_sub(window.1).max(0).to_string(),
            )
            .with("x-ratelimit-reset-requests", &format!("{reset}ms"))
    })
    .await;
    let world = World::new().await;
    // The first call learns what there is; the second run knows it.
    assert_eq!(world.run(1, &asking(&server, "", 1, 1)).await, RunStatus::Succeeded);
    assert_eq!(world.run(2, &asking(&server, "", 30, 1)).await, RunStatus::Succeeded);
    assert_eq!(*refused.lock().unwrap_or_else(PoisonError::into_inner), 0);
    assert_eq!(server.received().len(), 31);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_holds_the_others_back_for_as_long_as_was_asked() {
    let refused_at = Arc::new(Mutex::new(None));
    let noted = Arc::clone(&refused_at);
    let early = Arc::new(Mutex::new(Vec::new()));
    let too_early = Arc::clone(&early);
    let server = Server::start(move |number, request| {
        let mut refused_at = noted.lock().unwrap_or_else(PoisonError::into_inner);
        match *refused_at {
            None if number == 0 => {
                *refused_at = Some(Instant::now());
                Answer::json(429, r#"{"error":{"message":"slow down","type":"requests"}}"#)
                    .with("retry-after-ms", "700")
            }
            Some(at) if at.elapsed() < Duration::from_millis(700) => {
                let mut early = too_early.lock().unwrap_or_else(PoisonError::into_inner);
                early.push(item(request));
                Answer::json(200, SAID)
            }
            None | Some(_) => Answer::json(200, SAID),
        }
    })
    .await;
    let workflow = asking(&server, ", concurrency: 1", 8, 2);
    assert_eq!(World::new().await.run(1, &workflow).await, RunStatus::Succeeded);
    assert_eq!(*early.lock().unwrap_or_else(PoisonError::into_inner), [] as [usize; 0]);
    assert_eq!(server.received().len(), 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_for_a_turn_is_no_part_of_the_attempt() {
    let server = Server::start(|_, _| Answer::json(200, SAID)).await;
    let workflow = asking(&server, ", requests_per_second: 1", 4, 1) + "    timeout: 2s\n";
    assert_eq!(World::new().await.run(1, &workflow).await, RunStatus::Succeeded);
    assert_eq!(server.received().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_ends_the_wait_for_a_turn() {
    let server = Server::start(|_, _| Answer::json(200, SAID)).await;
    let workflow = asking(&server, ", requests_per_minute: 1", 2, 1) + "    deadline: 5s\n";
    let world = World::new().await;
    let mut run = world.start(1, &workflow).await;
    let failure = run.wait().await.expect("it ends").failure.expect("one had no turn");
    let why = failure.message.rsplit_once(": ").map(|(_, why)| why);
    assert_eq!(why, Some("the deadline of 5s is over"), "{failure}");
    assert_eq!(server.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_stopped_waits_for_no_turn() {
    let asked = Arc::new(Notify::new());
    let told = Arc::clone(&asked);
    let server = Server::start(move |_, _| {
        told.notify_one();
        Answer::json(200, SAID)
    })
    .await;
    let workflow = asking(&server, ", requests_per_minute: 1", 3, 1);
    let world = World::new().await;
    let mut run = world.start(1, &workflow).await;
    asked.notified().await;
    run.interrupt();
    assert_eq!(run.wait().await.expect("it ends").run.status, RunStatus::Interrupted);
    assert_eq!(server.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_cannot_be_asked_waits_for_no_turn_and_the_next_is_asked() {
    let server = Server::start(|_, _| Answer::json(200, SAID)).await;
    let workflow = asking(&server, "", 1, 1)
        .replace("asked: mine/any", "asked: [anthropic/claude-sonnet-4-6, mine/any]");
    assert_eq!(World::new().await.run(1, &workflow).await, RunStatus::Succeeded);
    assert_eq!(server.received().len(), 1);
}

/// Two providers by their names are one service, and two runs of a process ask it together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_and_names_share_the_limits_of_a_service() {
    let (server, refused) = strict(50).await;
    let settings = ", requests_per_second: 50";
    let first = asking(&server, settings, 60, 1);
    let second = first.replace("mine", "other");
    let world = World::new().await;
    let ended = tokio::join!(world.run(1, &first), world.run(2, &second));
    assert_eq!(ended, (RunStatus::Succeeded, RunStatus::Succeeded));
    assert_eq!(*refused.lock().unwrap_or_else(PoisonError::into_inner), 0);
    assert_eq!(server.received().len(), 120);
}
