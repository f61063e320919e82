//! Batches outlive the process: killed or interrupted at any point, a run finds its batch again,
//! and nothing is sent or paid twice.

mod support;

#[path = "../providers/tests/support/batching.rs"]
mod batching;
#[expect(dead_code, reason = "this file uses a part of it")]
#[path = "../providers/tests/support/server.rs"]
mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use batching::{Batching, Manners, Speaks, Wanted};
use serde_json::{Value, json};
use server::{Answer, Step};
use support::{Output, World, ended, kept, until};

/// A key, as a workflow is given it.
const KEY: &str = "key-of-the-owner-1234";

/// What a request costs: a thousand tokens read and a hundred written, at half the price.
fn cost(speaks: Speaks) -> i64 {
    match speaks {
        Speaks::OpenAi => 1750,
        Speaks::Anthropic => 2250,
        Speaks::Gemini => 275,
    }
}

/// A folder with a workflow that asks `items` times.
fn world(service: &Batching, speaks: Speaks, items: &str) -> World {
    let (kind, model, url) = (speaks.kind(), speaks.model(), service.server.url());
    World::with(&format!(
        "
name: slow
providers:
  mine: {{ type: {kind}, base_url: \"{url}\", api_key: \"{{{{ secrets.KEY }}}}\", batch: {{ gather: 300ms, poll: 20ms }} }}
defaults: {{ on_lost: fail, timeout: 1ms, retry: false }}
steps:
  - id: ask
    for_each: {items}
    uses: model.generate
    model: mine/{model}
    deadline: 24h
    with: {{ prompt: \"say {{{{ item }}}}\", max_tokens: 200 }}
outputs: {{ all: \"{{{{ steps.ask.output }}}}\" }}
"
    ))
}

fn command(world: &World, args: &[&str]) -> std::process::Command {
    let mut command = world.command(args);
    command.env("KEY", KEY);
    command
}

fn flow(world: &World, args: &[&str]) -> Output {
    support::run(&mut command(world, args))
}

fn start(world: &World, args: &[&str]) -> std::process::Child {
    let mut command = command(world, args);
    let command = command.stdout(std::process::Stdio::piped());
    command.stderr(std::process::Stdio::piped()).spawn().expect("the binary starts")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// What a run of `items` requests must have come to, though it died on the way.
fn came_well(world: &World, resumed: &Output, speaks: Speaks, items: i64) {
    let told = resumed.json();
    let all: Vec<String> = (0..items).map(|item| format!("SAY {item}")).collect();
    assert_eq!(told["outputs"]["all"], json!(all), "{resumed:#?}");
    let paid = f64::from(i32::try_from(items * cost(speaks)).expect("it is small")) / 1e6;
    assert_eq!((&told["cost"], &told["cost_uncertain"]), (&json!(paid), &json!(false)));
    kept(&world.path(".flow")).follows_its_journal();
    for file in support::files(&world.path(".flow")) {
        // The log of the database is folded into it when it is closed.
        let bytes = std::fs::read(&file).unwrap_or_default();
        let holds = bytes.windows(KEY.len()).any(|part| part == KEY.as_bytes());
        assert!(!holds, "{} holds the key", file.display());
    }
}

/// A service that kills the process that asks it when something is wanted for the how-many-th
/// time, before or after it is done.
fn killing(
    runtime: &tokio::runtime::Runtime,
    speaks: Speaks,
    at: (Wanted, usize, bool),
) -> (Batching, Arc<AtomicU32>) {
    let process = Arc::new(AtomicU32::new(0));
    let (victim, over) = (Arc::clone(&process), AtomicBool::new(false));
    let manners = Manners { looks: 1, expires: false };
    let service = Batching::start(speaks, manners, move |wanted, number, done| {
        if (wanted, number, done) != at || over.swap(true, Ordering::SeqCst) {
            return None;
        }
        while victim.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        support::signal(victim.load(Ordering::SeqCst), "KILL");
        Some(Answer::json(200, "{}").after([Step::Close]))
    });
    (runtime.block_on(service), process)
}

#[test]
fn a_run_killed_between_any_two_exchanges_finds_its_batch_again() {
    use Wanted::{File, Look, Results, Submit};
    let runtime = runtime();
    let of_openai = [(File, 0, false), (File, 0, true), (Results, 1, false)];
    let of_files = [(Results, 0, false), (Results, 0, true)];
    let of_all = [(Submit, 0, false), (Submit, 0, true), (Look, 0, false), (Look, 1, true)];
    for speaks in Speaks::ALL {
        let mut points = of_all.to_vec();
        if speaks != Speaks::Gemini {
            points.extend(of_files);
        }
        if speaks == Speaks::OpenAi {
            points.extend(of_openai);
        }
        for point in points {
            let (service, process) = killing(&runtime, speaks, point);
            let world = world(&service, speaks, "3");
            let child = start(&world, &["run", "w.yaml", "--json"]);
            process.store(child.id(), Ordering::SeqCst);
            let killed = ended(child);
            assert_eq!(killed.code, None, "{speaks:?} {point:?}: {killed:#?}");
            let run = world.only_run();
            let resumed = flow(&world, &["resume", &run, "--json"]).exits(0);
            came_well(&world, &resumed, speaks, 3);
            let sizes: Vec<_> = service.batches().iter().map(|batch| batch.asked.len()).collect();
            assert_eq!(sizes, [3], "{speaks:?} {point:?}");
        }
    }
}

/// Answers are handed out, and the process dies after each thing that it tells.
#[test]
fn a_run_killed_while_answers_are_handed_out_pays_none_twice() {
    let (runtime, speaks) = (runtime(), Speaks::Anthropic);
    for at in 1.. {
        assert!(at < 60, "no end");
        let service = runtime.block_on(Batching::well(speaks, Manners::default()));
        let world = world(&service, speaks, "3");
        let mut first = command(&world, &["run", "w.yaml", "--json"]);
        let killed = support::run(first.env("FLOW_TEST_KILL_AFTER", at.to_string()));
        if killed.code == Some(0) {
            assert!(at > 8, "only {at} points");
            break;
        }
        assert_eq!(killed.code, None, "event {at}: {killed:#?}");
        let run = world.only_run();
        let resumed = flow(&world, &["resume", &run, "--json"]).exits(0);
        came_well(&world, &resumed, speaks, 3);
        assert_eq!(service.batches().len(), 1, "event {at}");
    }
}

#[test]
fn two_thousand_items_are_one_batch() {
    let (runtime, speaks) = (runtime(), Speaks::OpenAi);
    let service = runtime.block_on(Batching::well(speaks, Manners { looks: 3, expires: false }));
    let world = world(&service, speaks, "2000");
    let output = flow(&world, &["run", "w.yaml", "--json"]).exits(0);
    came_well(&world, &output, speaks, 2000);
    let sizes: Vec<_> = service.batches().iter().map(|batch| batch.asked.len()).collect();
    assert_eq!(sizes, [2000]);
    let run = output.run();
    let shown = flow(&world, &["show", &run, "--step", "ask[0]", "--json"]).exits(0).json();
    let attempt = &shown["attempts"][0];
    assert_eq!((&attempt["batch"], &attempt["cost"]), (&json!(true), &json!(0.00175)));
    assert_eq!(attempt["request_id"], "req_1");
}

/// A run that waits for its batch: it was looked at once.
fn waiting(service: &Batching, world: &World) -> (std::process::Child, String) {
    let child = start(world, &["run", "w.yaml", "--json"]);
    until("the batch", || service.count(Wanted::Look) > 0);
    (child, world.only_run())
}

#[test]
fn an_interrupted_run_leaves_its_batch_and_goes_on_with_it() {
    let (runtime, speaks) = (runtime(), Speaks::Gemini);
    let service = runtime.block_on(Batching::well(speaks, Manners { looks: 12, expires: false }));
    let world = world(&service, speaks, "3");
    let (child, run) = waiting(&service, &world);
    support::signal(child.id(), "INT");
    let interrupted = ended(child).exits(130);
    let left = "batch `batches/0` of `mine` goes on: its answers are there when the run is resumed";
    assert!(interrupted.stderr.contains(left), "{interrupted:#?}");
    assert_eq!(interrupted.json()["cost_uncertain"], json!(false));
    let resumed = flow(&world, &["resume", &run, "--json"]).exits(0);
    let again = "a batch of `mine` that was sent before is waited for again";
    assert!(resumed.stderr.contains(again), "{resumed:#?}");
    came_well(&world, &resumed, speaks, 3);
    assert_eq!((service.count(Wanted::Submit), service.count(Wanted::Cancel)), (1, 0));
}

#[test]
fn a_cancelled_run_cancels_its_batch_and_asks_anew_when_it_is_resumed() {
    let (runtime, speaks) = (runtime(), Speaks::OpenAi);
    let service = runtime.block_on(Batching::well(speaks, Manners { looks: 14, expires: false }));
    let world = world(&service, speaks, "3");
    let (child, run) = waiting(&service, &world);
    flow(&world, &["cancel", &run]).exits(0);
    let cancelled = ended(child);
    let said = "batch `batch_0` of `mine` was cancelled: nobody waits for it";
    assert!(cancelled.stderr.contains(said), "{cancelled:#?}");
    assert_eq!(cancelled.json()["cost_uncertain"], json!(true), "some may have been begun");
    assert!(service.batches()[0].cancelled);
    let resumed = flow(&world, &["resume", &run, "--json"]).exits(0);
    let all: Value = json!(["SAY 0", "SAY 1", "SAY 2"]);
    assert_eq!(resumed.json()["outputs"]["all"], all);
    assert_eq!(service.batches().len(), 2, "what was cancelled is asked anew");
}

#[test]
fn a_run_that_is_cancelled_while_nobody_drives_it_says_what_goes_on() {
    let (runtime, speaks) = (runtime(), Speaks::Anthropic);
    let service = runtime.block_on(Batching::well(speaks, Manners { looks: 9999, expires: false }));
    let world = world(&service, speaks, "2");
    let (mut child, run) = waiting(&service, &world);
    child.kill().expect("a signal");
    ended(child);
    let cancelled = flow(&world, &["cancel", &run]).exits(0);
    let said = "what it gave to batch `msgbatch_0` of `mine` may still be paid";
    assert!(cancelled.stderr.contains(said), "{cancelled:#?}");
    let runs = flow(&world, &["runs", "--json"]).exits(0).json();
    assert_eq!(runs[0]["status"], "cancelled");
}
