//! Uploads by runs, as the engine drives them: what a later run finds, and what is left when
//! no run needs it.

use std::time::Duration;

use flow_core::action::{ActionRegistry, USUAL_TIMEOUT};
use flow_core::error::Failure;
use flow_core::ids::RunId;
use flow_core::store::{Batch, RunRow, RunStatus};
use flow_core::uploads::UploadLedger;
use flow_providers::{ModelFolder, Providers};
use serde_json::json;

use super::keeper::{Habits, KEY, Keeper, video};
use crate::running::{Ran, Running};

const SECRETS: &[(&str, &str)] = &[("KEY", KEY)];

/// A workflow that asks about a video `count` times, and keeps it as said.
fn workflow(keeper: &Keeper, keep: &str, count: usize) -> String {
    let url = keeper.server.url();
    format!(
        "name: clips\n\
         providers: {{ mine: {{ type: gemini, base_url: \"{url}/v1beta\", api_key: \"{{{{ secrets.KEY }}}}\" }} }}\n\
         steps:\n  - id: ask\n    for_each: {count}\n    uses: model.generate\n    \
         model: mine/gemini-3.8-flash\n    retry: {{ attempts: 1 }}\n    with:\n      \
         video: clip.mp4\n      prompt: \"question {{{{ item }}}}\"\n      \
         options: {{ upload: {{ keep: {keep} }} }}\n"
    )
}

async fn running() -> Running {
    let running = Running::new(SECRETS).await;
    video(running.folder.path(), "clip.mp4", 1000);
    running
}

#[track_caller]
fn succeeded(ran: &Ran) {
    assert_eq!(ran.report.run.status, RunStatus::Succeeded, "{:?}", ran.report.failure);
}

/// What is left after the files were removed that nobody needs.
async fn tidied(running: &Running) -> Vec<Failure> {
    running.providers.tidy([], &ledger(running)).await
}

fn ledger(running: &Running) -> impl UploadLedger {
    running.store.uploads(RunId::from_parts(1, 99))
}

/// Says that the run of this number stands so.
async fn set(running: &Running, ran: &Ran, status: RunStatus) {
    let row = RunRow { status, ..ran.report.run.clone() };
    running.store.commit(Batch { runs: vec![row], ..Batch::default() }).await.expect("a store");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_until_it_expires_is_found_by_the_next_run() {
    let (keeper, running) = (Keeper::new(Habits::default()).await, running().await);
    let ran = running.run_as(1, &workflow(&keeper, "expiry", 10)).await;
    succeeded(&ran);
    assert!(ran.log.iter().any(|line| line.ends_with(" UTC")), "{:?}", ran.log);
    assert_eq!(tidied(&running).await, []);
    let running = running.in_another_process(SECRETS);
    succeeded(&running.run_as(2, &workflow(&keeper, "run", 10)).await);
    assert_eq!(tidied(&running).await, []);
    assert_eq!((keeper.counts().2, keeper.state().files.len()), (1, 1));
    assert_eq!(keeper.requests().iter().filter(|request| *request == "ask").count(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_for_a_run_is_removed_when_it_has_ended_and_not_before() {
    let (keeper, running) = (Keeper::new(Habits::default()).await, running().await);
    let ran = running.run_as(1, &workflow(&keeper, "run", 2)).await;
    succeeded(&ran);
    // A run that was interrupted goes on some day.
    set(&running, &ran, RunStatus::Interrupted).await;
    assert_eq!(tidied(&running).await, []);
    assert_eq!(keeper.state().files.len(), 1);
    set(&running, &ran, RunStatus::Succeeded).await;
    assert_eq!(tidied(&running).await, []);
    assert_eq!(keeper.state().files.len(), 0);
    let removals = || {
        let requests = keeper.requests();
        requests.into_iter().filter(|request| request.starts_with("DELETE")).count()
    };
    assert_eq!(removals(), 1);
    assert_eq!(tidied(&running).await, []);
    assert_eq!(removals(), 1);
    // The next run uploads it again.
    succeeded(&running.run_as(2, &workflow(&keeper, "run", 2)).await);
    assert_eq!(keeper.counts().2, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_removed_is_told_and_tried_again() {
    let (keeper, running) = (Keeper::new(Habits::default()).await, running().await);
    succeeded(&running.run_as(1, &workflow(&keeper, "run", 1)).await);
    keeper.state().habits.keeps_all = true;
    let left = tidied(&running).await;
    let messages: Vec<_> = left.iter().map(|failure| failure.message.as_str()).collect();
    let told = "clip.mp4 was left at mine: provider `mine`: INTERNAL: not now";
    assert_eq!(messages, [told]);
    keeper.state().habits.keeps_all = false;
    assert_eq!(tidied(&running).await, []);
    assert_eq!(keeper.state().files.len(), 0);
    // What somebody else removed is removed.
    succeeded(&running.run_as(2, &workflow(&keeper, "run", 1)).await);
    keeper.state().files.clear();
    assert_eq!(tidied(&running).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_key_is_in_the_store() {
    let (keeper, running) = (Keeper::new(Habits::default()).await, running().await);
    succeeded(&running.run_as(1, &workflow(&keeper, "expiry", 2)).await);
    let mut files = 0;
    let mut folders = vec![running.store.folder().to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).expect("it can be read");
            let holds = bytes.windows(KEY.len()).any(|window| window == KEY.as_bytes());
            assert!(!holds, "{} holds the key", path.display());
            files += 1;
        }
    }
    assert!(files > 2, "{files}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_key_is_another_account() {
    let (keeper, running) = (Keeper::new(Habits::default()).await, running().await);
    succeeded(&running.run_as(1, &workflow(&keeper, "expiry", 1)).await);
    let own =
        workflow(&keeper, "expiry", 1).replace("api_key:", "headers: { x-own: one }, api_key:");
    succeeded(&running.run_as(2, &own).await);
    assert_eq!(keeper.counts().2, 2);
}

#[test]
fn a_question_of_a_video_has_the_time_that_a_video_takes() {
    let mut actions = ActionRegistry::default();
    let providers = Providers::new([].into()).into();
    flow_providers::register(&mut actions, providers, ModelFolder::new("none".into()), 1);
    let generate = actions.get("model.generate").expect("it is registered");
    let video = Duration::from_mins(15);
    for (input, usual) in [
        (json!({ "video": {}, "prompt": "x" }), video),
        (json!({ "content": [{ "text": "x" }, { "video": {} }] }), video),
        (json!({ "messages": [{ "role": "user", "content": [{ "video": {} }] }] }), video),
        (json!({ "image": {}, "video": null }), USUAL_TIMEOUT),
        (json!({ "content": "x", "messages": [] }), USUAL_TIMEOUT),
    ] {
        assert_eq!(generate.usual_timeout(&input), usual, "{input}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_timeout_of_the_step_goes_before() {
    let habits = Habits { states: vec!["PROCESSING"], ..Habits::default() };
    let (keeper, running) = (Keeper::new(habits).await, running().await);
    let text = workflow(&keeper, "run", 1) + "    timeout: 200ms\n";
    let ran = running.run(&text).await;
    assert!(ran.failure().ends_with("no result within 200ms"), "{}", ran.failure());
}

#[tokio::test]
async fn what_is_written_wrong_is_found_by_the_check() {
    let (keeper, running) = (Keeper::new(Habits::default()).await, running().await);
    let faults = running.faults(&workflow(&keeper, "ever", 1));
    let told = "`options.upload.keep` is `run` or `expiry`, not `\"ever\"`";
    assert!(faults.contains(told), "{faults}");
    assert_eq!(running.faults(&workflow(&keeper, "\"{{ 'run' }}\"", 1)), "");
}
