//! The first promise: what was acknowledged is never run again, whatever is killed and when.
//!
//! A run is killed at each thing that a watcher is told, and at times nobody chose; then it
//! is resumed. Its outputs are those of an undisturbed run, each acknowledged step has run
//! once, and the read model is what the journal says.

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use flow_core::state::StepEvent;
use serde_json::Value;
use support::{Chance, Kept, Output, World, ended, kept};

const WORKFLOW: &str = r#"
name: crash
models:
  mine: here/model
providers:
  here: { type: command, command: [./answer.sh] }
defaults:
  retry: { attempts: 3, initial: 1ms, max: 2ms, jitter: 0 }
steps:
  - id: first
    uses: value.set
    with: { value: [a, b, c] }
  - id: second
    uses: value.set
    with: { value: "{{ steps.first.output + ['d'] }}" }
  - id: ask
    for_each: "{{ steps.second.output }}"
    uses: model.generate
    model: mine
    with: { prompt: "ask-{{ item }}" }
  - id: nested
    for_each: "{{ steps.first.output }}"
    as: letter
    collect: "{{ steps.inner.output | join('+') }}"
    steps:
      - id: numbers
        uses: value.set
        with: { value: ["{{ letter }}1", "{{ letter }}2"] }
      - id: inner
        for_each: "{{ steps.numbers.output }}"
        as: number
        collect: "{{ steps.said.output }}"
        steps:
          - id: said
            uses: model.generate
            model: mine
            with: { prompt: "say-{{ number }}" }
          - id: noted
            needs: [said]
            uses: file.write
            with: { path: notes.txt, append: true, content: "{{ steps.said.output }}" }
  - id: last
    uses: file.write
    with: { path: notes.txt, append: true, content: "{{ steps.nested.output | join(' ') }}" }
  - id: whole
    needs: [last]
    uses: file.write
    with: { path: whole.json, content: "{{ steps.ask.output }}" }
outputs:
  asked: "{{ steps.ask.output }}"
  nested: "{{ steps.nested.output }}"
"#;

/// The prompts that the workflow asks.
const PROMPTS: usize = 10;

fn world() -> World {
    let world = World::with(WORKFLOW);
    world.write("flaky", "");
    world
}

fn expected() -> Value {
    serde_json::json!({
        "asked": ["ASK-A", "ASK-B", "ASK-C", "ASK-D"],
        "nested": ["SAY-A1+SAY-A2", "SAY-B1+SAY-B2", "SAY-C1+SAY-C2"],
    })
}

/// The paths that stderr said were done, which shows items by their position.
fn acknowledged(output: &Output) -> Vec<String> {
    let lines = output.stderr.lines();
    let done = lines.filter_map(|line| line.strip_prefix("✓ "));
    let done = done.map(|line| line.split(' ').next().unwrap_or(line));
    done.map(|shown| {
        let mut path = shown.to_owned();
        for (at, letter) in (1..).zip(["a", "b", "c", "d"]) {
            for name in ["ask", "nested"] {
                path = path.replace(&format!("{name}[{at}]"), &format!("{name}[{letter}]"));
            }
            let (outer, inner) = (format!("nested[{letter}]/inner["), format!("inner[{letter}"));
            if path.starts_with(&outer) {
                path = path.replace("inner[", &inner);
            }
        }
        path
    })
    .collect()
}

/// Resumes what was killed, and looks at everything that must hold.
fn resumed_well(world: &World, killed: &Output) {
    let store = world.path(".flow");
    let before = kept(&store);
    before.follows_its_journal();
    for path in acknowledged(killed) {
        assert_eq!(before.steps.get(&path).map(String::as_str), Some("succeeded"), "{path}");
    }
    let run = world.only_run();
    let resumed = world.flow(&["resume", &run, "--json"]).exits(0);
    assert_eq!(resumed.json()["outputs"], expected());
    let after = kept(&store);
    after.follows_its_journal();
    ran_once(&before, &after);
    called_once(world, &after);
}

/// Whatever had succeeded before has no event and no attempt since.
fn ran_once(before: &Kept, after: &Kept) {
    for (path, status) in &before.steps {
        if status == "succeeded" {
            assert_eq!(before.events[path], after.events[path], "{path}");
            assert_eq!(before.attempts.get(path), after.attempts.get(path), "{path}");
        }
    }
    for (path, status) in &after.steps {
        assert_eq!(status, "succeeded", "{path}");
        assert_eq!(after.count(path, "step_succeeded"), 1, "{path}");
        assert!(after.attempts_of(path, "succeeded") <= 1, "{path}");
    }
}

/// A prompt is asked twice, for the first call fails, and once more a lost attempt.
fn called_once(world: &World, kept: &Kept) {
    let mut calls: BTreeMap<String, usize> = BTreeMap::new();
    for prompt in world.lines("calls") {
        *calls.entry(prompt).or_default() += 1;
    }
    assert_eq!(calls.len(), PROMPTS);
    let mut lost: BTreeMap<String, usize> = BTreeMap::new();
    for path in kept.attempts.keys() {
        let item = |name: &str| path.rsplit_once(name).map(|(_, rest)| rest.replace(']', ""));
        let prompt = match (path.starts_with("ask["), item("/inner[")) {
            (true, _) => format!("ask-{}", item("ask[").expect("an item")),
            (false, Some(number)) if path.ends_with("/said") => {
                format!("say-{}", number.replace("/said", ""))
            }
            _ => continue,
        };
        *lost.entry(prompt).or_default() += kept.attempts_of(path, "lost");
    }
    for (prompt, calls) in calls {
        let lost = lost[&prompt];
        assert!((1..=2 + lost).contains(&calls), "{prompt}: {calls} calls, {lost} lost");
    }
    let lines = world.lines("notes.txt").len();
    let lost = kept.attempts.keys().filter(|path| path.ends_with("noted") || *path == "last");
    let lost: usize = lost.map(|path| kept.attempts_of(path, "lost")).sum();
    assert!((7..=7 + lost).contains(&lines), "{lines} lines, {lost} lost");
}

#[test]
fn an_undisturbed_run_does_each_thing_once() {
    let world = world();
    let output = world.flow(&["run", "w.yaml", "--json"]).exits(0);
    assert_eq!(output.json()["outputs"], expected());
    let kept = kept(&world.path(".flow"));
    kept.follows_its_journal();
    ran_once(&kept, &kept);
    called_once(&world, &kept);
    assert_eq!(world.lines("calls").len(), 2 * PROMPTS);
}

#[test]
fn a_run_killed_at_any_event_goes_on_where_it_was() {
    killed_at_each("FLOW_TEST_KILL_AFTER", 60);
}

/// The engine asks for the time for each event it writes: here it dies before the commit.
#[test]
fn a_run_killed_before_any_commit_goes_on_where_it_was() {
    killed_at_each("FLOW_TEST_KILL_AT_TIME", 150);
}

/// Kills a run at each tick that a failpoint counts, until one has no more. There must be
/// at least so many.
fn killed_at_each(failpoint: &str, least: usize) {
    let (next, over) = (AtomicUsize::new(1), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    let at = next.fetch_add(1, Ordering::SeqCst);
                    let world = world();
                    let mut command = world.command(&["run", "w.yaml", "--json"]);
                    let killed = support::run(command.env(failpoint, at.to_string()));
                    if killed.code == Some(0) {
                        over.store(true, Ordering::SeqCst);
                        continue;
                    }
                    assert_eq!(killed.code, None, "event {at}: {killed:#?}");
                    let runs = world.flow(&["runs", "--json"]).exits(0).json();
                    // It may have died before there was a run.
                    if runs != serde_json::json!([]) {
                        resumed_well(&world, &killed);
                    }
                }
            });
        }
    });
    let points = next.load(Ordering::SeqCst);
    assert!(points > least, "only {points} points");
}

/// Killed again and again, each time at the next few events, a run still comes to its end.
#[test]
fn a_run_killed_many_times_loses_nothing() {
    let world = world();
    let mut killed =
        support::run(world.command(&["run", "w.yaml", "--json"]).env("FLOW_TEST_KILL_AFTER", "9"));
    let run = world.only_run();
    for at in 1.. {
        assert!(at < 200, "no end: {killed:#?}");
        let before = kept(&world.path(".flow"));
        before.follows_its_journal();
        let mut resume = world.command(&["resume", &run, "--json"]);
        // Later lives tell what is known again, so each may go a little further.
        killed = support::run(resume.env("FLOW_TEST_KILL_AFTER", (9 + at * 4).to_string()));
        let after = kept(&world.path(".flow"));
        for (path, status) in &before.steps {
            if status == "succeeded" {
                assert_eq!(before.events[path], after.events[path], "{path}");
            }
        }
        if killed.code == Some(0) {
            break;
        }
    }
    assert_eq!(killed.json()["outputs"], expected());
    let after = kept(&world.path(".flow"));
    after.follows_its_journal();
    ran_once(&after, &after);
    called_once(&world, &after);
}

/// `kill -9` at times that no event chose. The times come from a generator with a seed.
#[test]
fn a_run_killed_from_outside_goes_on_where_it_was() {
    let begun = Instant::now();
    world().flow(&["run", "w.yaml", "--json"]).exits(0);
    let whole = begun.elapsed().as_micros() as u64;
    let mut chance = Chance::new();
    for _ in 0..16 {
        let world = world();
        let mut child = world.start(&["run", "w.yaml", "--json"]);
        std::thread::sleep(Duration::from_micros(chance.below(whole)));
        child.kill().expect("a signal");
        let killed = ended(child);
        let runs = world.flow(&["runs", "--json"]).exits(0).json();
        // It may have died before there was a run, or have ended.
        if runs.as_array().is_some_and(Vec::is_empty) || killed.code == Some(0) {
            continue;
        }
        resumed_well(&world, &killed);
    }
}

/// Both calls are in flight when their process dies; its next lives die at each event, until
/// one comes to its end. A loss must be followed by a failure, which only then a resume
/// takes up again.
#[test]
fn a_lost_call_fails_where_the_file_says_so_whatever_is_killed_then() {
    for at in 1.. {
        assert!(at < 100, "no end");
        let world = World::with(
            r"
name: lost
models: { mine: here/model }
providers:
  here: { type: command, command: [./answer.sh] }
defaults: { on_lost: fail }
steps:
  - { id: x, uses: model.generate, model: mine, with: { prompt: x } }
  - { id: y, uses: model.generate, model: mine, with: { prompt: y } }
",
        );
        world.script(
            "answer.sh",
            "#!/bin/sh\necho call >> calls\n[ ! -e second ] || exec echo done\n\
             while [ \"$(wc -l < calls)\" -lt 2 ]; do sleep 0.01; done\nkill -9 $PPID\n",
        );
        assert_eq!(world.flow(&["run", "w.yaml"]).code, None);
        world.write("second", "");
        let run = world.only_run();
        let mut resume = world.command(&["resume", &run, "--json"]);
        let second = support::run(resume.env("FLOW_TEST_KILL_AFTER", at.to_string()));
        if second.code.is_none() {
            let last = world.flow(&["resume", &run, "--json"]);
            assert!(matches!(last.code, Some(0 | 1)), "{last:#?}");
        }
        let kept = kept(&world.path(".flow"));
        kept.follows_its_journal();
        for (path, events) in &kept.events {
            let kinds: Vec<_> = events.iter().map(StepEvent::kind).collect();
            let begun = ["attempt_sent", "attempt_lost", "step_failed"];
            assert_eq!(kinds[..3], begun, "{path} at event {at}: {kinds:?}");
        }
        if second.code.is_some() {
            // Whichever of the two was looked at first.
            let error = second.exits(1).json()["error"].clone();
            let lost = "attempt 1 was in flight when the process died, and may have been paid";
            let of = |step: &str| error == format!("step `{step}`: {lost}");
            assert!(of("x") || of("y"), "{error}");
            assert_eq!(world.lines("calls").len(), 2);
            break;
        }
    }
}
