//! A run that is told to stop does, takes its children with it, and goes on when resumed.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{BufRead, BufReader};
use std::process::Child;
use std::time::Duration;

use support::{Chance, World, ended, signal, until};

/// A call that works until it is killed, unless there is a file `quick`.
const WORKER: &str =
    "#!/bin/sh\n[ ! -e quick ] || exec echo done\necho $$ > worker\nexec sleep 60\n";

const WORKFLOW: &str = r"
name: stop
models: { mine: here/model }
providers:
  here: { type: command, command: [./answer.sh] }
steps:
  - { id: before, uses: value.set, with: { value: 1 } }
  - { id: call, needs: [before], uses: model.generate, model: mine, with: { prompt: x } }
outputs: { said: '{{ steps.call.output }}' }
";

fn world() -> World {
    let world = World::with(WORKFLOW);
    world.script("answer.sh", WORKER);
    world
}

/// The id of the program that the call runs, once it does.
fn worker(world: &World) -> String {
    let mut id = None;
    until("the call", || {
        id = world.lines("worker").first().filter(|id| !id.is_empty()).cloned();
        id.is_some()
    });
    id.unwrap()
}

fn is_gone(world: &World) {
    let id = worker(world);
    until("the end of the child", || {
        // A zombie that nobody has waited for yet works no more.
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    });
}

fn goes_on(world: &World, run: &str) {
    world.write("quick", "");
    let output = world.flow(&["resume", run, "--json"]).exits(0);
    assert_eq!(output.json()["outputs"]["said"], "done");
    let kept = support::kept(&world.path(".flow"));
    kept.follows_its_journal();
    assert_eq!(kept.count("before", "step_succeeded"), 1);
}

fn started(world: &World) -> Child {
    let child = world.start(&["run", "w.yaml", "--json"]);
    worker(world);
    child
}

#[test]
fn an_interrupted_run_takes_its_children_with_it_and_goes_on_later() {
    for name in ["INT", "TERM"] {
        let world = world();
        let child = started(&world);
        signal(child.id(), name);
        let output = ended(child).exits(130);
        assert_eq!(output.json()["status"], "interrupted");
        assert!(
            output.stderr.contains("stopping; press Ctrl-C again to stop at once\n"),
            "{}",
            output.stderr
        );
        is_gone(&world);
        let kept = support::kept(&world.path(".flow"));
        kept.follows_its_journal();
        assert_eq!(kept.steps["call"], "cancelled");
        goes_on(&world, &output.run());
    }
}

/// The second comes while the run stops, or when it has just stopped.
#[test]
fn a_second_interrupt_leaves_a_run_that_goes_on_later() {
    let world = world();
    let mut child = started(&world);
    signal(child.id(), "INT");
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut heard = String::new();
    while !heard.contains("stopping;") {
        assert_ne!(stderr.read_line(&mut heard).unwrap(), 0, "{heard}");
    }
    signal(child.id(), "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    goes_on(&world, &world.only_run());
}

#[test]
fn a_run_is_cancelled_from_another_process() {
    let world = world();
    let child = started(&world);
    let run = world.only_run();
    let cancelled = world.flow(&["cancel", &run, "--json"]).exits(0);
    assert_eq!(cancelled.json()["status"], "cancelled");
    let output = ended(child).exits(1);
    assert_eq!(output.json()["status"], "cancelled");
    assert_eq!(output.json()["error"], "the run was cancelled");
    is_gone(&world);
    goes_on(&world, &run);
}

#[test]
fn a_run_that_nobody_drives_is_cancelled_where_it_stands() {
    let world = world();
    let mut child = started(&world);
    child.kill().unwrap();
    let _ = ended(child);
    let run = world.only_run();
    world.flow(&["cancel", &run]).exits(0);
    let shown = world.flow(&["show", &run, "--json"]).exits(0).json();
    assert_eq!(shown["status"], "cancelled");
    // The call may have been paid, and no run ends without saying so.
    assert_eq!(shown["cost_uncertain"], true, "{shown:#}");
    let kept = support::kept(&world.path(".flow"));
    kept.follows_its_journal();
    assert_eq!(kept.attempts["call"], ["lost"]);
    goes_on(&world, &run);
    let kept = support::kept(&world.path(".flow"));
    assert_eq!(kept.attempts["call"], ["lost", "succeeded"]);
}

/// What is in flight is lost whatever becomes of its step: here there is none any more.
#[test]
fn a_call_in_flight_is_lost_though_its_step_is_gone() {
    let world = world();
    let mut child = started(&world);
    child.kill().unwrap();
    let _ = ended(child);
    let run = world.only_run();
    let edited = WORKFLOW.replace("id: call,", "id: other,").replace("steps.call", "steps.other");
    world.write("w.yaml", &edited);
    world.write("quick", "");
    world.flow(&["resume", &run, "--from-file", "w.yaml"]).exits(0);
    let kept = support::kept(&world.path(".flow"));
    kept.follows_its_journal();
    assert_eq!(kept.attempts["call"], ["lost"]);
    assert_eq!(kept.attempts["other"], ["succeeded"]);
}

/// Its row says that it holds others; the attempts that it makes now begin from there.
#[test]
fn a_loop_that_was_cut_off_can_become_a_call() {
    let world = world();
    world.write("w.yaml", &WORKFLOW.replace("id: call,", "id: call, for_each: 1,"));
    let mut child = started(&world);
    child.kill().unwrap();
    let _ = ended(child);
    let run = world.only_run();
    world.write("w.yaml", WORKFLOW);
    world.write("quick", "");
    world.flow(&["resume", &run, "--from-file", "w.yaml"]).exits(0);
    // A loop once more: the number of the call that was made stays taken.
    let looped = WORKFLOW.replace("id: call,", "id: call, for_each: 1,");
    world.write("loop.yaml", &looped);
    world.flow(&["resume", &run, "--from-file", "loop.yaml"]).exits(0);
    world.write("w.yaml", &WORKFLOW.replace("prompt: x", "prompt: y"));
    world.flow(&["resume", &run, "--from-file", "w.yaml"]).exits(0);
    let kept = support::kept(&world.path(".flow"));
    kept.follows_its_journal();
    assert_eq!(kept.attempts["call"], ["succeeded", "succeeded"]);
}

#[test]
fn a_run_has_one_owner_at_a_time() {
    let world = world();
    let mut child = started(&world);
    let run = world.only_run();
    let second = world.flow(&["resume", &run]).exits(1);
    let owner = format!("error: run {run} is driven by process {}", child.id());
    assert!(second.stderr.starts_with(&owner), "{}", second.stderr);
    child.kill().unwrap();
    let _ = ended(child);
    // The owner is dead, and is replaced at once.
    goes_on(&world, &run);
}

/// What a secret is stands nowhere but in the environment of who needs it.
#[test]
fn a_secret_is_in_no_store_log_or_output() {
    let secret = "hunter2-3f9c";
    let world = World::with(
        r"
name: secret
models: { mine: here/model }
providers:
  here: { type: command, command: [./answer.sh, '{{ secrets.THE_KEY }}'] }
steps:
  - { id: call, retry: { initial: 1ms }, uses: model.generate, model: mine, with: { prompt: x } }
  - { id: bad, needs: [call], uses: file.glob, with: { pattern: 'a/**b' } }
",
    );
    world.script("answer.sh", "#!/bin/sh\necho \"key of ${#1} letters\" >&2\necho done\n");
    let output = support::run(world.command(&["run", "w.yaml", "--json"]).env("THE_KEY", secret));
    let output = output.exits(1);
    assert!(output.stderr.contains("key of 12 letters"), "{}", output.stderr);
    let run = output.run();
    let mut said = vec![format!("{output:?}")];
    for args in [
        &["show", &run, "--json"][..],
        &["show", &run, "--step", "call", "--json"],
        &["logs", &run, "--json"],
        &["logs", &run, "--events", "--json"],
    ] {
        said.push(format!("{:?}", world.flow(args).exits(0)));
    }
    said.push(format!("{:?}", world.flow(&["resume", &run, "--from-file", "w.yaml"])));
    assert!(said.iter().all(|text| !text.contains(secret)), "{said:#?}");
    let files = support::files(&world.path(".flow"));
    assert!(!files.is_empty());
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(!found, "{}", file.display());
    }
}

/// A program that says its secret must not make the store tell it.
#[test]
fn a_secret_that_a_program_repeats_is_not_kept() {
    let secret = "hunter2-3f9c";
    let world = World::with(
        r"
name: secret
models: { mine: here/model }
providers:
  here: { type: command, command: [./answer.sh, '{{ secrets.THE_KEY }}'] }
steps:
  - { id: call, uses: model.generate, model: mine, with: { prompt: x } }
",
    );
    world.script("answer.sh", "#!/bin/sh\necho \"wrong key $1\" >&2\nexit 1\n");
    let output = support::run(world.command(&["run", "w.yaml", "--json"]).env("THE_KEY", secret));
    let output = output.exits(1);
    assert!(!format!("{output:?}").contains(secret), "{output:#?}");
    for file in support::files(&world.path(".flow")) {
        let bytes = std::fs::read(&file).unwrap();
        let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(!found, "{}", file.display());
    }
}

/// Stopped while it looks what is done already: what is done stays done.
#[test]
fn a_resumed_run_that_is_interrupted_again_and_again_does_nothing_twice() {
    let world = World::with(
        "name: stop\nmodels: { mine: here/model }\nproviders: { here: { type: command, command: [./answer.sh] } }\nsteps:\n  - id: each\n    for_each: 200\n    steps:\n      - { id: said, when: item < 8, uses: model.generate, model: mine, with: { prompt: \"n{{ item }}\" } }\n      - { id: noted, uses: value.set, with: { value: \"{{ item }}\" } }\n      - { id: ask, when: item == 199, uses: human.approve, with: { show: 1 } }\n",
    );
    let waiting = world.flow(&["run", "w.yaml", "--json"]).exits(3);
    let (run, store) = (waiting.run(), world.path(".flow"));
    let before = support::kept(&store);
    let mut chance = Chance::new();
    for _ in 0..25 {
        let child = world.start(&["resume", &run, "--json"]);
        std::thread::sleep(Duration::from_micros(5_000 + chance.below(40_000)));
        signal(child.id(), "INT");
        let output = ended(child);
        assert!(matches!(output.code, Some(3 | 130) | None), "{output:#?}");
    }
    let after = support::kept(&store);
    after.follows_its_journal();
    assert_eq!(after.attempts, before.attempts);
    for (path, status) in &before.steps {
        assert_eq!(after.steps.get(path), Some(status), "{path}");
        if status == "succeeded" {
            assert_eq!(after.events[path], before.events[path], "{path}");
        }
    }
    world.flow(&["approve", &run]).exits(0);
    world.flow(&["resume", &run]).exits(0);
    assert_eq!(world.lines("calls").len(), 8);
}
