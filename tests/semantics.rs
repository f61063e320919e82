//! What the design decided about steps that are skipped, fail, wait, cost or repeat.

mod support;

use serde_json::{Value, json};
use support::{Output, World};

/// The providers that the workflows here share.
const HEAD: &str = r"
name: decided
models: { mine: here/model }
providers:
  here: { type: command, command: [./answer.sh] }
";

/// Runs a workflow that is `HEAD` and this.
fn run(rest: &str) -> (World, Output) {
    let world = World::with(&format!("{HEAD}{rest}"));
    let output = world.flow(&["run", "w.yaml", "--json"]);
    (world, output)
}

/// The status of each step, in the order of the names.
fn statuses<const N: usize>(output: &Output, steps: [&str; N]) -> [String; N] {
    let json = output.json();
    steps.map(|step| {
        let status = json["steps"][step]["status"].as_str();
        status.unwrap_or_else(|| panic!("`{step}` in {json:#}")).to_owned()
    })
}

fn output_of(output: &Output, step: &str) -> Value {
    output.json()["steps"][step]["output"].clone()
}

#[test]
fn a_skipped_step_yields_null_and_those_behind_it_run() {
    let (_world, output) = run(r#"
steps:
  - { id: no, when: "1 > 2", uses: value.set, with: { value: 1 } }
  - { id: behind, uses: value.set, with: { value: ["{{ steps.no.output }}", "{{ steps.no.status }}"] } }
"#);
    let output = output.exits(0);
    assert_eq!(statuses(&output, ["no", "behind"]), ["skipped", "succeeded"]);
    assert_eq!(output_of(&output, "behind"), json!([null, "skipped"]));
}

#[test]
fn a_failure_blocks_what_is_behind_it_and_nothing_else() {
    let (world, output) = run(r#"
steps:
  - { id: bad, uses: file.write, with: { path: w.yaml/no, content: "" } }
  - { id: behind, needs: [bad], uses: value.set, with: { value: 1 } }
  - { id: further, needs: [behind], uses: value.set, with: { value: 1 } }
  - { id: beside, uses: file.write, with: { path: beside.txt, content: done } }
on_failure:
  - { id: told, uses: file.write, with: { path: told.txt, content: "{{ run.status }}: {{ run.error }}" } }
  - { id: second, uses: value.set, with: { value: 1 } }
  - { id: third, uses: value.set, with: { value: 1 } }
finally:
  - { id: last, uses: file.write, with: { path: last.txt, content: "{{ run.status }}" } }
outputs: { never: "{{ steps.beside.output }}" }
"#);
    let output = output.exits(1);
    let steps = ["bad", "behind", "further", "beside", "told", "second", "third", "last"];
    assert_eq!(
        statuses(&output, steps),
        [
            "failed",
            "blocked",
            "blocked",
            "succeeded",
            "succeeded",
            "succeeded",
            "succeeded",
            "succeeded"
        ]
    );
    assert_eq!(world.lines("beside.txt"), ["done"]);
    assert_eq!(world.lines("last.txt"), ["failed"]);
    let error = "cannot write `w.yaml/no`: File exists (os error 17)";
    assert_eq!(world.lines("told.txt"), [format!("failed: bad: {error}")]);
    let json = output.json();
    assert_eq!(json["error"], format!("step `bad`: {error}"));
    assert_eq!((&json["status"], &json["outputs"]), (&json!("failed"), &json!({})));
    support::kept(&world.path(".flow")).follows_its_journal();
}

#[test]
fn what_succeeds_runs_finally_and_not_on_failure() {
    let (_world, output) = run(r#"
steps: [{ id: fine, uses: value.set, with: { value: 1 } }]
on_failure: [{ id: told, uses: value.set, with: { value: 1 } }]
finally: [{ id: last, uses: value.set, with: { value: "{{ run.status }}" } }]
"#);
    let output = output.exits(0);
    assert_eq!(output_of(&output, "last"), "succeeded");
    assert_eq!(output.json()["steps"].get("told"), None);
}

/// What runs last does not see how those beside it come out, whoever is faster.
#[test]
fn how_the_run_stands_is_known_before_what_runs_last_begins() {
    let (_world, output) = run(r#"
steps: [{ id: fine, uses: value.set, with: { value: 1 } }]
finally:
  - { id: bad, uses: file.write, with: { path: w.yaml/no, content: "" } }
  - { id: seen, on_error: continue, uses: file.write, with: { path: w.yaml/no, content: "" } }
  - { id: last, needs: [seen], uses: value.set, with: { value: ["{{ run.status }}", "{{ run.error }}"] } }
"#);
    let output = output.exits(1);
    assert_eq!(output_of(&output, "last"), json!(["succeeded", null]));
}

#[test]
fn a_failure_that_on_error_takes_does_not_count() {
    let (_world, output) = run(r#"
steps:
  - { id: goes, on_error: continue, uses: file.write, with: { path: w.yaml/no, content: "" } }
  - { id: value, on_error: { value: [7] }, uses: file.write, with: { path: w.yaml/no, content: "" } }
  - { id: behind, uses: value.set, with: { value: ["{{ steps.goes.output }}", "{{ steps.value.output }}", "{{ steps.goes.status }}", "{{ steps.goes.error.class }}"] } }
"#);
    let output = output.exits(0);
    assert_eq!(output_of(&output, "behind"), json!([null, [7], "failed", "io"]));
    assert_eq!(statuses(&output, ["goes", "value"]), ["failed", "failed"]);
}

#[test]
fn an_instance_that_on_error_takes_leaves_a_gap_in_the_list() {
    let (_world, output) = run(r#"
steps:
  - id: each
    for_each: [a, b, c]
    on_error: continue
    uses: file.write
    with: { path: "{{ 'w.yaml/no' if item == 'b' else item }}", content: "" }
  - { id: behind, uses: value.set, with: { value: "{{ steps.each.output }}" } }
"#);
    let output = output.exits(0);
    let written = |path: &str| json!({ "path": path, "size": 0 });
    assert_eq!(output_of(&output, "behind"), json!([written("a"), null, written("c")]));
}

const ASKING: &str = r#"
steps:
  - { id: ask, uses: human.approve, with: { show: { total: 4 }, question: "Right?" } }
  - { id: behind, uses: value.set, with: { value: "{{ steps.ask.output }}" } }
  - { id: beside, uses: file.write, with: { path: beside.txt, content: done } }
"#;

#[test]
fn a_person_who_approves_lets_the_run_go_on() {
    let (world, output) = run(ASKING);
    let run = output.exits(3).run();
    assert_eq!(world.lines("beside.txt"), ["done"], "the rest goes on");
    let shown = world.flow(&["show", &run, "--json"]).exits(0).json();
    assert_eq!(shown["status"], "waiting");
    assert_eq!(
        shown["asks"],
        json!([{ "step": "ask", "show": { "show": { "total": 4 }, "question": "Right?" } }])
    );
    // Without an answer it still waits, and nothing is asked twice.
    world.flow(&["resume", &run, "--json"]).exits(3);
    let approved = world.flow(&["approve", &run, "--comment", "fine"]).exits(0);
    assert_eq!(approved.stderr, format!("approved `ask`; `flow resume {run}` goes on\n"));
    let output = world.flow(&["resume", &run, "--json"]).exits(0);
    assert_eq!(output_of(&output, "behind"), json!({ "approved": true, "comment": "fine" }));
    support::kept(&world.path(".flow")).follows_its_journal();
    let again = world.flow(&["approve", &run]).exits(2);
    assert_eq!(again.stderr, format!("error: run {run} asks nothing\n"));
}

/// Whoever is asked for one item does not hold up the others, in a body neither.
#[test]
fn what_waits_for_a_person_holds_no_place_in_its_loop() {
    let (world, output) = run(r#"
steps:
  - { id: plain, for_each: 12, max_parallel: 1, uses: human.approve, with: { show: "{{ item }}" } }
  - id: body
    for_each: 12
    max_parallel: 2
    steps:
      - { id: read, uses: value.set, with: { value: "{{ item }}" } }
      - { id: ask, uses: human.approve, with: { show: "{{ steps.read.output }}" } }
"#);
    let run = output.exits(3).run();
    let shown = world.flow(&["show", &run, "--json"]).exits(0).json();
    assert_eq!(shown["asks"].as_array().map(Vec::len), Some(24));
    world.flow(&["resume", &run, "--json"]).exits(3);
    support::kept(&world.path(".flow")).follows_its_journal();
}

#[test]
fn a_person_who_rejects_fails_the_step() {
    let (world, output) = run(ASKING);
    let run = output.exits(3).run();
    world.flow(&["approve", &run, "--reject", "--comment", "no"]).exits(0);
    let output = world.flow(&["resume", &run, "--json"]).exits(1);
    assert_eq!(statuses(&output, ["ask", "behind"]), ["failed", "blocked"]);
    assert_eq!(output.json()["error"], "step `ask`: a person declined: no");
}

/// Runs until the call that kills the process, and resumes.
fn lost(policy: &str) -> (World, String, Output) {
    let world = World::with(&format!(
        "{HEAD}\nsteps: [{{ id: call, {policy}, uses: model.generate, model: mine, with: {{ prompt: x }} }}]\n"
    ));
    world.script(
        "answer.sh",
        "#!/bin/sh\necho call >> calls\n[ -e second ] || { touch second; kill -9 $PPID; exit 1; }\necho done\n",
    );
    assert_eq!(world.flow(&["run", "w.yaml"]).code, None);
    let run = world.only_run();
    let output = world.flow(&["resume", &run, "--json"]);
    (world, run, output)
}

#[test]
fn a_lost_call_is_sent_again_unless_told_otherwise() {
    let (world, _, output) = lost("on_lost: resend");
    output.exits(0);
    assert_eq!(world.lines("calls").len(), 2);
    assert_eq!(support::kept(&world.path(".flow")).attempts["call"], ["lost", "succeeded"]);
}

#[test]
fn a_lost_call_asks_a_person_where_told_and_asks_again_when_lost_again() {
    let (world, run, mut output) = lost("on_lost: ask");
    for calls in [1, 2] {
        let _ = output.exits(3);
        assert_eq!(world.lines("calls").len(), calls);
        let shown = world.flow(&["show", &run, "--json"]).exits(0).json();
        assert_eq!(shown["asks"][0]["show"]["question"], "send it again?");
        world.flow(&["approve", &run]).exits(0);
        if calls == 1 {
            std::fs::remove_file(world.path("second")).unwrap();
            assert_eq!(world.flow(&["resume", &run]).code, None);
        }
        output = world.flow(&["resume", &run, "--json"]);
    }
    output.exits(0);
    assert_eq!(world.lines("calls").len(), 3);
    support::kept(&world.path(".flow")).follows_its_journal();
}

#[test]
fn a_changed_question_is_asked_anew() {
    let (world, output) = run(ASKING);
    let run = output.exits(3).run();
    world.flow(&["approve", &run]).exits(0);
    world.write("new.yaml", &format!("{HEAD}{ASKING}").replace("total: 4", "total: 5"));
    world.flow(&["resume", &run, "--from-file", "new.yaml"]).exits(3);
    let shown = world.flow(&["show", &run, "--json"]).exits(0).json();
    assert_eq!(shown["asks"][0]["show"]["show"], json!({ "total": 5 }));
    world.flow(&["approve", &run]).exits(0);
    world.flow(&["resume", &run]).exits(0);
    support::kept(&world.path(".flow")).follows_its_journal();
}

#[test]
fn an_instance_is_asked_for_its_own_condition() {
    let (_world, output) = run(r#"
steps:
  - { id: each, for_each: [1, 2, 3, 4], when: "item % 2 == 0", uses: value.set, with: { value: "{{ item * 10 }}" } }
  - { id: behind, uses: value.set, with: { value: "{{ steps.each.output }}" } }
"#);
    assert_eq!(output_of(&output.exits(0), "behind"), json!([null, 20, null, 40]));
}

/// The most calls at once of a workflow whose program says when it begins and ends.
fn most_at_once(rest: &str) -> i32 {
    let world = World::with(&format!("{HEAD}{rest}"));
    world.script(
        "answer.sh",
        "#!/bin/sh\necho begin >> calls\nsleep 0.02\necho end >> calls\necho done\n",
    );
    world.flow(&["run", "w.yaml"]).exits(0);
    let (mut at_work, mut most) = (0_i32, 0);
    for line in world.lines("calls") {
        at_work += if line == "begin" { 1 } else { -1 };
        most = most.max(at_work);
    }
    assert_eq!(at_work, 0);
    most
}

#[test]
fn no_more_instances_work_at_once_than_allowed() {
    let most = most_at_once(
        "steps: [{ id: each, for_each: 8, max_parallel: 2, uses: model.generate, model: mine, with: { prompt: \"n{{ item }}\" } }]\n",
    );
    assert_eq!(most, 2);
}

/// The limit of a run holds over all its steps and what is in their bodies.
#[test]
fn no_more_of_a_run_works_at_once_than_allowed() {
    let most = most_at_once(
        r#"
concurrency: 3
steps:
  - { id: a, for_each: 4, uses: model.generate, model: mine, with: { prompt: "a{{ item }}" } }
  - id: b
    for_each: 4
    steps: [{ id: c, uses: model.generate, model: mine, with: { prompt: "b{{ item }}" } }]
"#,
    );
    assert_eq!(most, 3);
}

#[test]
fn a_loop_counts_or_reads_lines_and_collects() {
    let world = World::with(&format!(
        "{HEAD}{}",
        r#"
inputs: { rows: { type: file } }
steps:
  - { id: counted, for_each: 3, uses: value.set, with: { value: "{{ item + index }}" } }
  - id: read
    for_each: "{{ inputs.rows }}"
    as: row
    collect: "{{ steps.twice.output + 1 }}"
    steps: [{ id: twice, uses: value.set, with: { value: "{{ row.n * 2 }}" } }]
outputs: { counted: "{{ steps.counted.output }}", read: "{{ steps.read.output }}" }
"#
    ));
    world.write("rows.jsonl", "{\"n\": 1}\n\n{\"n\": 2}\n");
    let args = ["run", "w.yaml", "--json", "--input", "rows=rows.jsonl"];
    let output = world.flow(&args).exits(0);
    assert_eq!(output.json()["outputs"], json!({ "counted": [0, 2, 4], "read": [3, 5] }));
    world.write("rows.jsonl", "{\"n\": 1}\n{\"n\": \n");
    let output = world.flow(&args).exits(1);
    assert_eq!(
        output.json()["error"],
        "step `read`: the items end early: item 2 of `rows.jsonl` is not JSON: EOF while parsing a value at line 2 column 0"
    );
}

#[test]
fn a_workflow_runs_another() {
    let world = World::with(&format!(
        "{HEAD}{}",
        r#"
steps:
  - { id: other, uses: workflow.run, with: { workflow: other.yaml, inputs: { n: 4 } } }
outputs: { got: "{{ steps.other.output.twice }}" }
"#
    ));
    world.write(
        "other.yaml",
        "inputs: { n: { type: integer } }\nsteps: [{ id: twice, uses: value.set, with: { value: \"{{ inputs.n * 2 }}\" } }]\noutputs: { twice: \"{{ steps.twice.output }}\" }\n",
    );
    let output = world.flow(&["run", "w.yaml", "--json"]).exits(0);
    assert_eq!(output.json()["outputs"], json!({ "got": 8 }));
}
