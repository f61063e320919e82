//! Resume is by content: what is done and unchanged is kept, what changed is run again and
//! with it what stands behind it, and `plan --resume` says so before.

mod support;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use support::World;

/// Three steps in a row, one beside them, and a loop.
const LETTERS: &str = r#"
name: letters
models: { mine: here/model }
providers:
  here: { type: command, command: [./answer.sh] }
inputs:
  words: { type: json, default: [one, two, three] }
steps:
  - id: a
    uses: model.generate
    model: mine
    with: { prompt: "a-first" }
  - id: b
    uses: model.generate
    model: mine
    with: { prompt: "b-{{ steps.a.output }}" }
  - id: c
    uses: model.generate
    model: mine
    with: { prompt: "c-{{ steps.b.output }}" }
  - id: beside
    uses: model.generate
    model: mine
    with: { prompt: "beside" }
  - id: each
    for_each: "{{ inputs.words }}"
    uses: model.generate
    model: mine
    with: { prompt: "each-{{ item }}" }
outputs:
  all: ["{{ steps.c.output }}", "{{ steps.beside.output }}", "{{ steps.each.output | join(' ') }}"]
"#;

/// The calls made since the last time.
fn calls(world: &World) -> BTreeSet<String> {
    let lines = world.lines("calls");
    world.write("calls", "");
    let all: BTreeSet<_> = lines.iter().cloned().collect();
    assert_eq!(all.len(), lines.len(), "asked twice: {lines:?}");
    all
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The paths that a plan would run, and those of which it does not know.
fn planned(plan: &Value) -> (BTreeSet<String>, BTreeSet<String>) {
    let of = |forecast: &str| {
        let steps = plan["steps"].as_array().expect("steps").iter();
        let steps = steps.filter(|step| step["forecast"] == forecast);
        steps.map(|step| step["path"].as_str().expect("a path").to_owned()).collect()
    };
    (of("run"), of("unknown"))
}

fn edited(from: &str, to: &str) -> String {
    assert!(LETTERS.contains(from));
    LETTERS.replace(from, to)
}

#[test]
fn an_edited_step_and_those_behind_it_run_again_and_nothing_else() {
    let world = World::with(LETTERS);
    let run = world.flow(&["run", "w.yaml", "--json", "--no-cache"]).exits(0).run();
    assert_eq!(calls(&world).len(), 7);
    world.write("new.yaml", &edited("b-{{", "bb-{{"));
    let plan = world.flow(&["plan", "new.yaml", "--resume", &run, "--json"]).exits(0).json();
    assert_eq!(planned(&plan), (set(&["b"]), set(&["c"])));
    assert_eq!(calls(&world), set(&[]), "a plan calls nobody");
    let resumed = world.flow(&["resume", &run, "--from-file", "new.yaml", "--json"]).exits(0);
    assert_eq!(calls(&world), set(&["bb-A-FIRST", "c-BB-A-FIRST"]));
    assert_eq!(
        resumed.json()["outputs"]["all"],
        json!(["C-BB-A-FIRST", "BESIDE", "EACH-ONE EACH-TWO EACH-THREE"])
    );
    support::kept(&world.path(".flow")).follows_its_journal();
    // What was resumed with is what the run is from now on.
    let plan = world.flow(&["plan", "--resume", &run, "--json"]).exits(0).json();
    assert_eq!(planned(&plan), (set(&[]), set(&[])));
    world.flow(&["resume", &run, "--json"]).exits(0);
    assert_eq!(calls(&world), set(&[]));
}

/// The program answers in capitals, so that this change makes no difference to what it says.
#[test]
fn what_stands_behind_an_edited_step_is_kept_where_its_answer_is_the_same() {
    let world = World::with(LETTERS);
    let run = world.flow(&["run", "w.yaml", "--json", "--no-cache"]).exits(0).run();
    calls(&world);
    world.write("new.yaml", &edited("b-{{", "B-{{"));
    world.flow(&["resume", &run, "--from-file", "new.yaml"]).exits(0);
    assert_eq!(calls(&world), set(&["B-A-FIRST"]));
    support::kept(&world.path(".flow")).follows_its_journal();
}

#[test]
fn what_decides_nothing_changes_nothing() {
    let world = World::with(LETTERS);
    let run = world.flow(&["run", "w.yaml", "--json", "--no-cache"]).exits(0).run();
    calls(&world);
    let comment = edited("name: letters", "name: letters\ndescription: Letters # of a kind");
    let policy = comment.replace(
        "    with: { prompt: \"beside\" }",
        "    timeout: 9s\n    retry: { attempts: 7 }\n    with: { prompt: beside }",
    );
    assert_ne!(comment, policy);
    world.write("new.yaml", &policy);
    let plan = world.flow(&["plan", "new.yaml", "--resume", &run, "--json"]).exits(0).json();
    assert_eq!(planned(&plan), (set(&[]), set(&[])));
    world.flow(&["resume", &run, "--from-file", "new.yaml"]).exits(0);
    assert_eq!(calls(&world), set(&[]));
}

#[test]
fn an_item_put_between_others_does_not_run_them_again() {
    let world = World::with(LETTERS);
    let run = world.flow(&["run", "w.yaml", "--json", "--no-cache"]).exits(0).run();
    calls(&world);
    let more =
        edited("for_each: \"{{ inputs.words }}\"", "for_each: [zero, one, between, two, three]");
    world.write("new.yaml", &more);
    let plan = world.flow(&["plan", "new.yaml", "--resume", &run, "--json"]).exits(0).json();
    assert_eq!(planned(&plan), (set(&["each"]), set(&[])));
    let each = plan["steps"].as_array().unwrap().iter().find(|step| step["path"] == "each");
    assert_eq!(each.unwrap()["instances"], 2);
    let resumed = world.flow(&["resume", &run, "--from-file", "new.yaml", "--json"]).exits(0);
    assert_eq!(calls(&world), set(&["each-zero", "each-between"]));
    assert_eq!(
        resumed.json()["outputs"]["all"][2],
        "EACH-ZERO EACH-ONE EACH-BETWEEN EACH-TWO EACH-THREE"
    );
}

#[test]
fn an_item_is_known_by_its_key() {
    let keyed = edited(
        "for_each: \"{{ inputs.words }}\"",
        "for_each: [{ id: k1, word: one, note: x }, { id: k2, word: two, note: x }]\n    key: \"{{ item.id }}\"",
    )
    .replace("each-{{ item }}", "each-{{ item.word }}");
    let world = World::with(&keyed);
    let run = world.flow(&["run", "w.yaml", "--json", "--no-cache"]).exits(0).run();
    calls(&world);
    let steps = world.flow(&["show", &run, "--step", "each", "--json"]).exits(0).json();
    let paths: Vec<_> =
        steps["instances"].as_array().unwrap().iter().map(|step| step["path"].clone()).collect();
    assert_eq!(paths, ["each[k1]", "each[k2]"]);
    // Another note is another content, but the same key and the same work.
    world.write("new.yaml", &keyed.replace("note: x", "note: y"));
    world.flow(&["resume", &run, "--from-file", "new.yaml"]).exits(0);
    assert_eq!(calls(&world), set(&[]));
    world.write("new.yaml", &keyed.replace("word: two", "word: zwei"));
    world.flow(&["resume", &run, "--from-file", "new.yaml"]).exits(0);
    assert_eq!(calls(&world), set(&["each-zwei"]));
}

#[test]
fn a_failed_step_runs_again_and_with_it_what_it_blocked() {
    let world = World::with(LETTERS);
    world.script(
        "answer.sh",
        &support::ANSWER.replace(
            "echo \"$prompt\" |",
            "[ \"$prompt\" != b-A-FIRST ] || [ -e mended ] || exit 1\necho \"$prompt\" |",
        ),
    );
    let output = world.flow(&["run", "w.yaml", "--json", "--no-cache"]).exits(1);
    let (run, failed) = (output.run(), output.json());
    let status = |of: &Value, step: &str| of["steps"][step]["status"].as_str().unwrap().to_owned();
    let all = ["a", "b", "c", "beside", "each"].map(|step| status(&failed, step));
    assert_eq!(all, ["succeeded", "failed", "blocked", "succeeded", "succeeded"]);
    assert_eq!(failed["outputs"], json!({}));
    calls(&world);
    let plan = world.flow(&["plan", "--resume", &run, "--json"]).exits(0).json();
    assert_eq!(planned(&plan), (set(&["b"]), set(&["c"])));
    let again = world.flow(&["resume", &run, "--json"]).exits(1).json();
    assert_eq!(status(&again, "c"), "blocked");
    assert_eq!(calls(&world), set(&["b-A-FIRST"]));
    world.write("mended", "");
    world.flow(&["resume", &run, "--json"]).exits(0);
    assert_eq!(calls(&world), set(&["b-A-FIRST", "c-B-A-FIRST"]));
    support::kept(&world.path(".flow")).follows_its_journal();
}

#[test]
fn a_failed_instance_runs_again_alone() {
    let world = World::with(LETTERS);
    world.script(
        "answer.sh",
        &support::ANSWER.replace(
            "echo \"$prompt\" |",
            "[ \"$prompt\" != each-two ] || [ -e mended ] || exit 1\necho \"$prompt\" |",
        ),
    );
    let output = world.flow(&["run", "w.yaml", "--json", "--no-cache"]).exits(1);
    assert_eq!(
        output.json()["error"],
        "step `each`: 1 of 3 instances failed, the first of them `each[two]`: provider `here` failed (exit status: 1): no reason"
    );
    calls(&world);
    world.write("mended", "");
    world.flow(&["resume", &output.run()]).exits(0);
    assert_eq!(calls(&world), set(&["each-two"]));
}

#[test]
fn a_later_run_takes_from_the_cache_unless_told_otherwise() {
    let world = World::with(LETTERS);
    world.flow(&["run", "w.yaml"]).exits(0);
    assert_eq!(calls(&world).len(), 7);
    let again = world.flow(&["run", "w.yaml", "--json"]).exits(0);
    assert_eq!(calls(&world), set(&[]));
    let shown = world.flow(&["show", &again.run(), "--json"]).exits(0).json();
    let cached = shown["steps"].as_array().unwrap().iter().filter(|step| step["cached"] == true);
    let cached: BTreeSet<_> =
        cached.map(|step| step["path"].as_str().unwrap().to_owned()).collect();
    assert_eq!(cached, set(&["a", "b", "c", "beside"]));
    assert!(again.stderr.contains("✓ each[1] (known)\n"), "{}", again.stderr);
    world.flow(&["run", "w.yaml", "--no-cache"]).exits(0);
    assert_eq!(calls(&world).len(), 7);
    // `cache: false` is for a step what `--no-cache` is for a run.
    world.write(
        "never.yaml",
        &edited("with: { prompt: \"beside\" }", "cache: false\n    with: { prompt: beside }"),
    );
    world.flow(&["run", "never.yaml"]).exits(0);
    assert_eq!(calls(&world), set(&["beside"]));
}

#[test]
fn what_runs_last_is_planned_and_runs_again_where_it_sees_another_end() {
    let world = World::with(
        r"
name: last
models: { mine: here/model }
providers:
  here: { type: command, command: [./answer.sh] }
steps:
  - { id: a, uses: model.generate, model: mine, with: { prompt: a } }
on_failure:
  - { id: told, uses: model.generate, model: mine, with: { prompt: told } }
finally:
  - { id: last, uses: model.generate, model: mine, with: { prompt: 'last-{{ run.status }}' } }
",
    );
    let answer = support::ANSWER.replace(
        "echo \"$prompt\" |",
        "[ \"$prompt\" != a ] || [ -e mended ] || exit 1\necho \"$prompt\" |",
    );
    world.script("answer.sh", &answer);
    let run = world.flow(&["run", "w.yaml", "--json"]).exits(1).run();
    assert_eq!(calls(&world), set(&["a", "told", "last-failed"]));
    let plan = ["plan", "--resume", &run, "--json"];
    let before = world.flow(&plan).exits(0).json();
    assert_eq!(planned(&before), (set(&["a"]), set(&["last"])));
    world.write("mended", "");
    world.flow(&["resume", &run]).exits(0);
    assert_eq!(calls(&world), set(&["a", "last-succeeded"]));
    let after = world.flow(&plan).exits(0).json();
    assert_eq!(planned(&after), (set(&[]), set(&[])));
    world.flow(&["resume", &run]).exits(0);
    assert_eq!(calls(&world), set(&[]));
}

/// A loop of many items that ends well, and a step behind it that fails until there is a
/// file `mended`.
const MANY: &str = r#"
name: many
inputs:
  words: { type: json, default: [] }
steps:
  - id: before
    uses: value.set
    with: { value: 1 }
  - id: each
    for_each: "{{ inputs.words }}"
    uses: value.set
    with: { value: "{{ item }}-{{ steps.before.output }}" }
  - id: behind
    uses: document.pages
    with: { file: "mended.pdf" }
    needs: [each]
outputs:
  each: "{{ steps.each.output }}"
"#;

fn mend(world: &World) {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/workflows/samples/invoice.pdf");
    std::fs::copy(sample, world.path("mended.pdf")).expect("the sample is copied");
}

/// How many events of the run speak of instances of `each`, and how many of the loop.
fn events_of_each(world: &World, run: &str) -> (usize, usize) {
    let events = world.flow(&["logs", run, "--events", "--all", "--json"]).exits(0);
    let paths = events.stdout.matches("\"each[").count();
    (paths, events.stdout.matches("\"each\"").count())
}

#[test]
fn a_loop_that_is_done_and_unchanged_is_kept_whole() {
    let words: Vec<String> = (0..2500).map(|at| format!("w{at}")).collect();
    let world = World::with(&MANY.replace("default: []", &format!("default: {}", json!(words))));
    let run = world.flow(&["run", "w.yaml", "--json"]).exits(1).run();
    let written = events_of_each(&world, &run);
    assert!(written.0 >= 2500, "{written:?}");
    mend(&world);
    let resumed = world.flow(&["resume", &run, "--json"]).exits(0);
    assert_eq!(events_of_each(&world, &run), written);
    assert!(resumed.stderr.contains("✓ each (known)"), "{resumed:?}");
    assert!(!resumed.stderr.contains("2500 items"), "{resumed:?}");
    let each = &resumed.json()["outputs"]["each"];
    let expected: Vec<_> = words.iter().map(|word| format!("{word}-1")).collect();
    assert_eq!(*each, json!(expected));
}

#[test]
fn a_loop_is_gone_through_again_when_what_it_saw_has_changed() {
    let words: Vec<String> = (0..2500).map(|at| format!("w{at}")).collect();
    let text = MANY.replace("default: []", &format!("default: {}", json!(words)));
    let world = World::with(&text);
    let run = world.flow(&["run", "w.yaml", "--json"]).exits(1).run();
    let (before, _) = events_of_each(&world, &run);

    // One word is new at the front, one is gone, the others are turned round: nothing but the
    // new one is computed, and the output follows the file.
    let mut turned: Vec<String> = words[1..].iter().rev().cloned().collect();
    turned.insert(0, "new".into());
    let edited = text.replace("\"{{ inputs.words }}\"", &json!(turned).to_string());
    world.write("w.yaml", &edited);
    let resumed = world.flow(&["resume", &run, "--from-file", "w.yaml", "--json"]);
    assert_eq!(resumed.code, Some(1), "{resumed:?}");
    let (after, _) = events_of_each(&world, &run);
    assert_eq!(after, before + 1);
    assert!(resumed.stderr.contains("each: 2500 items"), "{resumed:?}");

    // Back to the first file: the rows of the loop are not those it left, and are not taken
    // for them.
    world.write("w.yaml", &text);
    mend(&world);
    let resumed = world.flow(&["resume", &run, "--from-file", "w.yaml", "--json"]).exits(0);
    let expected: Vec<_> = words.iter().map(|word| format!("{word}-1")).collect();
    assert_eq!(resumed.json()["outputs"]["each"], json!(expected));

    // A step before the loop yields something else.
    world.write("w.yaml", &text.replace("value: 1", "value: 2"));
    let resumed = world.flow(&["resume", &run, "--from-file", "w.yaml", "--json"]).exits(0);
    let expected: Vec<_> = words.iter().map(|word| format!("{word}-2")).collect();
    assert_eq!(resumed.json()["outputs"]["each"], json!(expected));
}

/// Two calls that fail for good, one of which is taken, and a person who is asked.
const TAKEN: &str = r#"
name: taken
models: { mine: here/model }
providers:
  here: { type: command, command: [./fail.sh] }
steps:
  - id: taken
    uses: model.generate
    model: mine
    on_error: continue
    with: { prompt: "taken" }
  - id: counts
    uses: model.generate
    model: mine
    with: { prompt: "counts" }
  - id: ask
    uses: human.approve
    with: { show: "well?" }
"#;

#[test]
fn what_failed_is_not_paid_again_before_the_run_has_ended() {
    let world = World::with(TAKEN);
    world.script("fail.sh", "#!/bin/sh\ncat >/dev/null\necho called >> calls\nexit 1\n");
    let run = world.flow(&["run", "w.yaml", "--json"]).exits(3).run();
    assert_eq!(world.lines("calls").len(), 2);
    let plan = ["plan", "--resume", &run, "--json"];
    assert_eq!(planned(&world.flow(&plan).exits(0).json()), (set(&["ask"]), set(&[])));
    world.flow(&["resume", &run]).exits(3);
    world.flow(&["approve", &run]).exits(0);
    assert_eq!(planned(&world.flow(&plan).exits(0).json()), (set(&[]), set(&[])));
    world.flow(&["resume", &run]).exits(1);
    assert_eq!(world.lines("calls").len(), 2);
    let shown = world.flow(&["show", &run, "--json"]).exits(0).json();
    assert_eq!(shown["status"], "failed", "{shown:#}");
    let planned = planned(&world.flow(&plan).exits(0).json());
    assert_eq!(planned, (set(&["taken", "counts"]), set(&[])));

    // Now it has, and who takes it up wants it tried again.
    world.flow(&["resume", &run]).exits(1);
    assert_eq!(world.lines("calls").len(), 4);
}

/// A cached answer, a step that is made from what is known of it, and one that fails until
/// there is a file `mended`.
const META: &str = r#"
name: meta
models: { mine: here/model }
providers:
  here: { type: command, command: [./answer.sh] }
steps:
  - { id: a, uses: model.generate, model: mine, with: { prompt: a } }
  - { id: b, uses: model.generate, model: mine, with: { prompt: "{{ steps.a.meta.model }}-{{ steps.a.meta.attempts }}" } }
  - { id: c, needs: [b], uses: model.generate, model: mine, with: { prompt: c } }
"#;

#[test]
fn what_is_known_of_an_answer_is_the_same_in_every_life() {
    let world = World::with(META);
    let answer = support::ANSWER.replace(
        "echo \"$prompt\" |",
        "[ \"$prompt\" != c ] || [ -e mended ] || exit 1\necho \"$prompt\" |",
    );
    world.script("answer.sh", &answer);
    let first: String = META.split_inclusive('\n').take(7).collect();
    world.write("first.yaml", &first);
    world.flow(&["run", "first.yaml"]).exits(0);
    assert_eq!(calls(&world), set(&["a"]));
    let run = world.flow(&["run", "w.yaml", "--json"]).exits(1).run();
    assert_eq!(calls(&world), set(&["model-0", "c"]));
    let plan = world.flow(&["plan", "--resume", &run, "--json"]).exits(0).json();
    assert_eq!(planned(&plan), (set(&["c"]), set(&[])));
    world.write("mended", "");
    let resumed = world.flow(&["resume", &run, "--json"]).exits(0).json();
    assert_eq!(calls(&world), set(&["c"]));
    let shown = world.flow(&["show", &run, "--json"]).exits(0).json();
    assert_eq!(shown["steps"][0]["meta"], resumed["steps"]["a"]["meta"]);
    assert_eq!(shown["steps"][0]["meta"]["model"], "model");
}

/// What a sub-workflow yields is not stored: its file may be another by now.
#[test]
fn a_loop_over_what_a_workflow_yields_follows_the_file() {
    let world = World::with(
        r#"
name: outer
steps:
  - { id: sub, uses: workflow.run, with: { workflow: sub.yaml, inputs: { file: rows.jsonl } } }
  - { id: each, for_each: "{{ steps.sub.output.rows }}", uses: value.set, with: { value: "{{ item }}" } }
  - { id: again, for_each: "{{ steps.each.output }}", uses: value.set, with: { value: "{{ item * 10 }}" } }
  - { id: behind, needs: [again], uses: document.pages, with: { file: mended.pdf } }
outputs: { again: "{{ steps.again.output }}" }
"#,
    );
    world.write(
        "sub.yaml",
        "inputs: { file: { type: file } }\nsteps: [{ id: nothing, uses: value.set, with: { value: 1 } }]\noutputs: { rows: \"{{ inputs.file }}\" }\n",
    );
    world.write("rows.jsonl", "1\n2\n3\n");
    let run = world.flow(&["run", "w.yaml", "--json"]).exits(1).run();
    world.write("rows.jsonl", "1\n2\n");
    mend(&world);
    let resumed = world.flow(&["resume", &run, "--json"]).exits(0);
    assert_eq!(resumed.json()["outputs"]["again"], json!([10, 20]));
    support::kept(&world.path(".flow")).follows_its_journal();
}
