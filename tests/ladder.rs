//! The last rung: where no model gave an answer that can be used, a person is asked for it.
#![cfg(unix)]

mod support;

use serde_json::{Value, json};
use support::{Output, World};

const WORKFLOW: &str = r#"
name: ladder
models: { reader: [here/model, human] }
providers:
  here: { type: command, command: [./answer.sh], price: 1 USD }
steps:
  - id: read
    uses: model.generate
    model: reader
    with:
      prompt: What is the total?
      schema: { type: object, properties: { total: { type: number } }, required: [total] }
outputs: { total: "{{ steps.read.output.total }}" }
"#;

/// A model that answers so.
fn world(answer: &str) -> World {
    let world = World::with(WORKFLOW);
    world.script("answer.sh", &format!("#!/bin/sh\ncat > /dev/null\necho x >> calls\n{answer}\n"));
    world
}

fn waiting(world: &World) -> Output {
    world.flow(&["run", "w.yaml", "--json"]).exits(3)
}

#[test]
fn a_person_gives_the_answer_that_no_model_gave() {
    let world = world(r#"echo '{"sum": 4}'"#);
    let run = waiting(&world).run();
    // It was asked, and asked once more; what that cost is known.
    assert_eq!(world.lines("calls").len(), 2);
    let shown = world.flow(&["show", &run, "--json"]).exits(0).json();
    let asked = &shown["asks"][0]["show"];
    assert_eq!(asked["question"], "no model gave an answer that can be used: what is it?");
    assert_eq!(
        asked["why"],
        "the answer does not fit the schema: \"total\" is a required property"
    );
    assert_eq!(asked["reply"], "{\"sum\": 4}");
    assert_eq!(asked["show"]["prompt"], "What is the total?");
    assert_eq!(asked["output_schema"]["required"], json!(["total"]));
    for (args, expected) in [
        (
            vec!["approve", &run],
            format!("error: run {run} asks for the output of `read`\nhint: give it by `--output JSON`, or `--reject` for none\n"),
        ),
        (
            vec!["approve", &run, "--output", r#"{"total": "4"}"#],
            format!("error: the output of `read` is not what is asked for: at `/total`: \"4\" is not of type \"number\"\nhint: `flow show {run} --json` shows what is asked for\n"),
        ),
        (
            vec!["approve", &run, "--output", "@nothing.json"],
            "error: cannot read the output in `nothing.json`: No such file or directory (os error 2)\n".to_owned(),
        ),
    ] {
        assert_eq!(world.flow(&args).exits(2).stderr, expected);
    }
    world.write("answer.json", "{\"total\": 4}\n");
    world.flow(&["approve", &run, "--output", "@answer.json"]).exits(0);
    let done = world.flow(&["resume", &run, "--json"]).exits(0).json();
    assert_eq!(done["outputs"], json!({ "total": 4 }));
    assert_eq!(done["cost"], 2.0);
    assert_eq!(world.lines("calls").len(), 2);
    // The answer is of this run: another asks its model.
    waiting(&world);
    assert_eq!(world.lines("calls").len(), 4);
}

#[test]
fn a_person_may_decline_and_then_the_step_has_failed() {
    let world = world("echo nothing");
    let run = waiting(&world).run();
    world.flow(&["approve", &run, "--reject", "--comment", "unreadable"]).exits(0);
    let failed = world.flow(&["resume", &run, "--json"]).exits(1).json();
    assert_eq!(failed["error"], "step `read`: a person declined: unreadable");
}

#[test]
fn nobody_is_asked_where_a_model_answers() {
    let world = world(r#"echo '{"total": 4}'"#);
    let done = world.flow(&["run", "w.yaml", "--json"]).exits(0).json();
    assert_eq!(done["outputs"], json!({ "total": 4 }));
}

#[test]
fn a_person_alone_may_be_asked_for_a_text() {
    let world = World::with(
        "steps: [{ id: say, uses: model.generate, model: human, with: { prompt: Who? } }]\noutputs: { who: \"{{ steps.say.output }}\" }\n",
    );
    let run = waiting(&world).run();
    world.flow(&["approve", &run, "--output", "the postman"]).exits(0);
    let done = world.flow(&["resume", &run, "--json"]).exits(0).json();
    assert_eq!(
        (&done["outputs"], &done["cost"]),
        (&json!({ "who": "the postman" }), &Value::from(0.0))
    );
}

#[test]
fn an_output_that_nobody_asked_for_is_refused() {
    let world = World::with("steps: [{ id: ask, uses: human.approve, with: { show: 1 } }]\n");
    let run = waiting(&world).run();
    let refused = world.flow(&["approve", &run, "--output", "1"]).exits(2);
    assert_eq!(
        refused.stderr,
        format!(
            "error: run {run} asks for a yes or a no at `ask`, not for an output\nhint: leave `--output` out\n"
        )
    );
}

#[test]
fn whoever_stands_behind_a_person_in_a_chain_is_never_asked_and_that_is_told() {
    let world = World::with(&WORKFLOW.replace("[here/model, human]", "[human, here/model]"));
    let refused = world.flow(&["check", "w.yaml"]).exits(2);
    assert!(refused.stderr.contains("error: `human` is the last of a chain\n"), "{refused:#?}");
}
