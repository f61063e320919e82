//! Two models that must agree: who is asked about what, what counts as the same, who decides the
//! rest, and what it costs.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use serde_json::{Value, json};
use support::{Output, World};

const SCHEMA: &str = r#"{"type": "object", "additionalProperties": false, "required": ["vendor", "date", "total"], "properties": {"vendor": {"type": ["string", "null"]}, "date": {"type": ["string", "null"]}, "total": {"type": ["number", "null"]}, "note": {"type": "string", "x-grounded": false}}}"#;

/// A page on which `ACME Tools`, `24 Nov 2026` and `1234.50` stand.
fn pages() -> Value {
    let words = ["ACME", "Tools", "24", "Nov", "2026", "1234.50"];
    let word = |(at, text): (usize, &&str)| {
        let x = 40.0 + 60.0 * at as f64;
        json!({ "text": text, "box": [x, 40.0, x + 50.0, 50.0], "confidence": 1.0 })
    };
    let words: Vec<_> = words.iter().enumerate().map(word).collect();
    json!([{ "number": 1, "width": 500, "height": 200, "image": null,
        "text": "ACME Tools 24 Nov 2026 1234.50", "words": words }])
}

/// A folder with a workflow whose models `one/m` and `two/m` answer what stands in files of
/// their names, keep what they were asked, and take a dollar each.
fn world(agree: &str, more: &str) -> World {
    let world = World::new();
    for name in ["one", "two"] {
        world.script(
            &format!("{name}.sh"),
            &format!(
                "#!/bin/sh\nn=$(($(ls asked-{name}-* 2>/dev/null | wc -l) + 1))\ncat > asked-{name}-$n\n\
                 if [ -e {name}-fails ]; then echo 'out of order' >&2; exit 1; fi\ncat {name}\n"
            ),
        );
    }
    world.write("pages.json", &pages().to_string());
    world.write("schema.json", SCHEMA);
    world.write(
        "w.yaml",
        &format!(
            "{more}providers:\n  one: {{type: command, command: [./one.sh], price: 1 USD}}\n  two: {{type: command, command: [./two.sh], price: 1 USD}}\n\
             steps:\n  - id: read\n    uses: task.ask\n    agree: {agree}\n    \
             with: {{question: 'What does it say?', pages: {{$file: pages.json}}, schema: {{$file: schema.json}}}}\n\
             outputs: {{a: '{{{{ steps.read.output }}}}', agree: '{{{{ steps.read.meta.agree }}}}'}}\n"
        ),
    );
    world
}

const AGREE: &str = "{models: [one/m, two/m], on: [date, total]}";

/// How often a model was asked.
fn asked(world: &World, model: &str) -> usize {
    let files = std::fs::read_dir(world.folder()).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(&format!("asked-{model}-"))).count()
}

fn question(world: &World, model: &str, time: usize) -> Value {
    let text = std::fs::read_to_string(world.path(&format!("asked-{model}-{time}"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn run(world: &World) -> Output {
    world.flow(&["run", "w.yaml", "--json"])
}

const GOOD: &str = r#"{"vendor": "ACME Tools", "date": "2026-11-24", "total": 1234.5}"#;
/// Its vendor stands nowhere either, but nobody has to agree on that.
const UNSURE: &str = r#"{"vendor": "Nobody", "date": "2026-11-25", "total": 1234.5}"#;

#[test]
fn a_second_model_is_not_asked_where_the_page_settles_all() {
    let world = world(AGREE, "");
    world.write("one", GOOD);
    let output = run(&world).exits(0).json();
    assert_eq!(output["outputs"]["a"]["total"], 1234.5);
    assert_eq!(
        output["outputs"]["agree"],
        json!({ "models": ["one/m", "two/m"], "asked": {}, "disputed": [] })
    );
    assert_eq!(output["cost"], 1.0);
    assert_eq!((asked(&world, "one"), asked(&world, "two")), (1, 0));
}

#[test]
fn a_second_model_is_asked_for_what_is_open_and_nothing_else() {
    let world = world(AGREE, "");
    world.write("one", UNSURE);
    world.write("two", r#"{"date": "25 November 2026"}"#);
    let output = run(&world).exits(0).json();
    // The answer is the first one's, in its form.
    assert_eq!(output["outputs"]["a"], serde_json::from_str::<Value>(UNSURE).unwrap());
    assert_eq!(
        output["outputs"]["agree"],
        json!({ "models": ["one/m", "two/m"], "asked": { "date": "ungrounded" }, "disputed": [] })
    );
    assert_eq!(output["cost"], 2.0);
    assert_eq!(output["steps"]["read"]["meta"]["attempts"], 2);
    let question = question(&world, "two", 1);
    let properties = question["schema"]["properties"].as_object().unwrap();
    assert_eq!(properties.keys().collect::<Vec<_>>(), ["date"]);
    assert_eq!(question["schema"]["required"], json!(["date"]));
    let system = question["system"].as_str().unwrap();
    assert!(system.ends_with("\n\nOf what is asked, answer nothing but `date`."), "{system}");
    assert!(!question.to_string().contains("Nobody"), "it does not see what the first one said");

    // Both attempts are the step's, each with its model and its cost.
    let run = output["run"].as_str().unwrap();
    let shown = world.flow(&["show", run, "--step", "read", "--json"]).exits(0).json();
    let attempts = shown["attempts"].as_array().unwrap().iter();
    let attempts: Vec<_> =
        attempts.map(|a| json!([a["provider"], a["status"], a["cost"]])).collect();
    assert_eq!(attempts, [json!(["one", "succeeded", 1.0]), json!(["two", "succeeded", 1.0])]);
    let logs = world.flow(&["logs", run]).exits(0).stdout;
    assert!(logs.contains("asks two/m about `date` (ungrounded)"), "{logs}");
}

#[test]
fn a_person_decides_where_two_models_differ() {
    let world = world(AGREE, "");
    world.write("one", UNSURE);
    world.write("two", r#"{"date": "2026-11-24"}"#);
    let output = run(&world).exits(3);
    let id = output.run();
    assert_eq!(output.json()["cost"], 2.0);
    let shown = world.flow(&["show", &id, "--json"]).exits(0).json();
    let asks = &shown["asks"][0]["show"];
    assert_eq!(asks["question"], "two models differ on `date`: what is right?");
    assert_eq!(
        asks["show"],
        json!({ "date": [
            { "model": "one/m", "value": "2026-11-25" },
            { "model": "two/m", "value": "2026-11-24" },
        ] })
    );
    assert_eq!(
        world.flow(&["approve", &id]).exits(2).stderr,
        format!(
            "error: run {id} asks for the output of `read`\nhint: give it by `--output JSON`, or `--reject` for none\n"
        )
    );
    assert_eq!(
        world.flow(&["approve", &id, "--output", "{}"]).exits(2).stderr,
        format!(
            "error: the output of `read` is not what is asked for: \"date\" is a required property\nhint: `flow show {id} --json` shows what is asked for\n"
        )
    );
    // Nobody has answered: the run waits on, and pays for nothing again.
    assert_eq!(world.flow(&["resume", &id, "--json"]).exits(3).json()["cost"], 2.0);
    world.flow(&["approve", &id, "--output", r#"{"date": "2026-11-24"}"#]).exits(0);
    let done = world.flow(&["resume", &id, "--json"]).exits(0).json();
    assert_eq!(
        done["outputs"]["a"],
        json!({ "vendor": "Nobody", "date": "2026-11-24", "total": 1234.5 })
    );
    assert_eq!(done["outputs"]["agree"]["disputed"], json!(["date"]));
    let grounding = &done["steps"]["read"]["meta"]["grounding"];
    assert_eq!(
        grounding["ungrounded"],
        json!(["vendor"]),
        "a person's value is none of the page's"
    );
    assert_eq!(done["cost"], 2.0);
    assert_eq!((asked(&world, "one"), asked(&world, "two")), (1, 1));
}

#[test]
fn a_person_may_decline() {
    let world = world(AGREE, "");
    world.write("one", UNSURE);
    world.write("two", r#"{"date": null}"#);
    let id = run(&world).exits(3).run();
    world.flow(&["approve", &id, "--reject", "--comment", "unreadable"]).exits(0);
    let done = world.flow(&["resume", &id, "--json"]).exits(1).json();
    assert_eq!(
        done["steps"]["read"]["error"],
        json!({ "class": "refusal", "message": "a person declined: unreadable" })
    );
}

#[test]
fn what_the_first_model_said_is_not_paid_for_again_when_the_second_fails() {
    let world = world(AGREE, "");
    world.write("one", UNSURE);
    world.write("two", r#"{"date": "2026-11-25"}"#);
    world.write("two-fails", "");
    let failed = run(&world).exits(1);
    assert!(
        failed.json()["steps"]["read"]["error"]["message"]
            .as_str()
            .unwrap()
            .contains("out of order")
    );
    std::fs::remove_file(world.path("two-fails")).unwrap();
    let done = world.flow(&["resume", &failed.run(), "--json"]).exits(0).json();
    assert_eq!(done["outputs"]["a"]["date"], "2026-11-25");
    assert_eq!((asked(&world, "one"), asked(&world, "two")), (1, 2));
    // Another run that asks the same asks nobody, and one that must agree on more asks of that.
    assert_eq!(run(&world).exits(0).json()["cost"], 0.0);
    let file = std::fs::read_to_string(world.path("w.yaml")).unwrap();
    world.write("w.yaml", &file.replace("on: [date, total]", "on: [vendor]"));
    world.write("two", r#"{"vendor": "NOBODY"}"#);
    assert_eq!(run(&world).exits(0).json()["cost"], 1.0);
    assert_eq!((asked(&world, "one"), asked(&world, "two")), (1, 3));
}

#[test]
fn without_pages_everything_is_open_and_an_answer_that_is_no_data_is_asked_for_once_more() {
    let world = world(AGREE, "");
    let file = std::fs::read_to_string(world.path("w.yaml")).unwrap();
    world.write("w.yaml", &file.replace("pages: {$file: pages.json}", "text: an invoice"));
    world.write("one", GOOD);
    world.write("two", r#"{"date": "24.11.2026"}"#);
    let output = run(&world).exits(1).json();
    assert_eq!(
        output["steps"]["read"]["error"]["message"],
        "the answer does not fit the schema: \"total\" is a required property"
    );
    assert_eq!((asked(&world, "one"), asked(&world, "two")), (1, 2));
    world.write("two", r#"{"date": "24.11.2026", "total": 1234.50}"#);
    let output = run(&world).exits(0).json();
    assert_eq!(
        output["outputs"]["agree"]["asked"],
        json!({ "date": "no pages", "total": "no pages" })
    );
}

#[test]
fn the_budget_holds_for_the_second_model_too() {
    let world = world(AGREE, "budget: 1.50 USD\n");
    world.write("one", UNSURE);
    world.write("two", r#"{"date": "2026-11-25"}"#);
    let output = run(&world).exits(4).json();
    assert_eq!(output["steps"]["read"]["error"]["class"], "budget");
    assert_eq!(output["cost"], 1.0);
    assert_eq!((asked(&world, "one"), asked(&world, "two")), (1, 0));
}

#[test]
fn every_item_of_a_loop_is_settled_by_itself() {
    let world = world(AGREE, "");
    let file = std::fs::read_to_string(world.path("w.yaml")).unwrap();
    let file = file.replace("    uses:", "    for_each: [first, second]\n    uses:");
    world.write(
        "w.yaml",
        &file
            .replace("'What does it say?'", "'{{ item }}'")
            .replace(", agree: '{{ steps.read.meta.agree }}'", ""),
    );
    world.write("one", UNSURE);
    world.write("two", r#"{"date": "2026-11-24"}"#);
    let id = run(&world).exits(3).run();
    let asks = world.flow(&["show", &id, "--json"]).exits(0).json()["asks"].clone();
    assert_eq!(asks.as_array().unwrap().len(), 2);
    // In whatever order they asked.
    for (path, date) in [("read[second]", "2026-11-24"), ("read[first]", "2026-11-23")] {
        let output = json!({ "date": date }).to_string();
        world.flow(&["approve", &id, "--step", path, "--output", &output]).exits(0);
    }
    let done = world.flow(&["resume", &id, "--json"]).exits(0).json();
    let dates: Vec<_> =
        done["outputs"]["a"].as_array().unwrap().iter().map(|a| &a["date"]).collect();
    assert_eq!(dates, ["2026-11-23", "2026-11-24"]);
    assert_eq!(done["cost"], 4.0);
}

#[test]
fn what_is_wrong_with_it_is_said_before_anything_runs() {
    for (agree, expected) in [
        ("2", "7:12: error: `agree` is a map, and this is a number\n"),
        ("{models: [one/m, two/m]}", "7:12: error: `agree` needs `on: [total, date]`\n"),
        ("{on: [total]}", "7:12: error: `agree` needs `models: [a, b]`\n"),
        (
            "{models: one/m, on: [total]}",
            "7:21: error: `models` is a list of two, and this is text\n",
        ),
        (
            "{models: [one/m], on: [total]}",
            "7:21: error: `agree` compares two models, and these are 1\n",
        ),
        (
            "{models: [one/m, one/m], on: [total]}",
            "7:29: error: `agree` compares a model with itself\n",
        ),
        (
            "{models: [one/m, human], on: [total]}",
            "7:29: error: `agree` compares models, and `human` is none\n",
        ),
        ("{models: [one/m, tow/m], on: [total]}", "7:29: error: there is no provider `tow`\n"),
        ("{models: [one/m, two/m], on: []}", "7:41: error: `on` names no field of the answer\n"),
        ("{models: [one/m, two/m], on: [totl]}", "7:42: error: the answer has no field `totl`\n"),
        (
            "{models: [one/m, two/m], on: [total, total]}",
            "7:49: error: `total` stands here twice\n",
        ),
        (
            "{models: [one/m, two/m], on: [total], tell: 1}",
            "7:50: error: `agree` has no key `tell`\n",
        ),
        (
            "{models: [one/m, two/m], on: [total]}\n    model: one/m",
            "8:5: error: `agree` names the models of the step\n",
        ),
    ] {
        let output = world(agree, "").flow(&["check", "w.yaml"]).exits(2);
        assert!(
            output.stderr.contains(&format!("w.yaml:{expected}")),
            "{agree}: {}",
            output.stderr
        );
    }
    let world = World::new();
    world.write(
        "w.yaml",
        "steps: [{id: a, uses: value.set, agree: {models: [a, b], on: [c]}, with: {value: 1}}]\n",
    );
    let output = world.flow(&["check", "w.yaml"]).exits(2);
    assert!(
        output.stderr.contains("`agree` is for steps that ask a model for data"),
        "{}",
        output.stderr
    );
    world.write("w.yaml", "steps: [{id: a, uses: model.generate, agree: {models: [auto, openai/x], on: [c]}, with: {prompt: hello}}]\n");
    let output = world.flow(&["check", "w.yaml"]).exits(2);
    assert!(
        output.stderr.contains("the answer is text, and has no fields to agree on"),
        "{}",
        output.stderr
    );
}
