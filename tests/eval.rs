//! `flow eval`: a workflow over cases whose answers are known.

mod support;

use std::path::Path;

use serde_json::json;
use support::{World, say};

/// A workflow whose model says what the program of that name answers.
fn world() -> World {
    let world = World::new();
    // The model is named in the request: `good` knows, `bad` does not.
    world.script(
        "model.sh",
        "#!/bin/sh\nread -r asked\necho call >> calls\ncase \"$asked\" in\n  \
         *'\"model\":\"good\"'*invoice*) echo '{\"kind\": \"Invoice\", \"total\": 119}';;\n  \
         *'\"model\":\"good\"'*) echo '{\"kind\": \"letter\", \"total\": null}';;\n  \
         *) echo '{\"kind\": \"<b>other\", \"total\": 5}';;\nesac\n",
    );
    world.write(
        "w.yaml",
        "name: kinds\ninputs: {text: string}\nproviders: {mine: {type: command, command: [./model.sh], price: 0.01 USD}}\n\
         models: {reader: mine/good}\n\
         steps:\n  - id: a\n    uses: model.generate\n    model: reader\n    with:\n      prompt: '{{ inputs.text }}'\n      \
         schema: {type: object, properties: {kind: {type: string}, total: {type: [number, 'null']}}, required: [kind, total]}\n\
         outputs: {kind: '{{ steps.a.output.kind }}', total: '{{ steps.a.output.total }}'}\n",
    );
    world.write(
        "cases/a.json",
        &json!({ "inputs": { "text": "an invoice" }, "expect": { "kind": "invoice", "total": 119.0 } }).to_string(),
    );
    world.write(
        "cases/b.json",
        &json!({ "inputs": { "text": "a letter" }, "expect": { "kind": "letter", "total": 7 } })
            .to_string(),
    );
    world
}

#[test]
fn models_are_compared_field_by_field() {
    let world = world();
    let args = ["eval", "w.yaml", "--cases", "cases", "--models", "mine/good,mine/bad"];
    let output = world.flow(&args).exits(0);
    assert_eq!(
        output.stderr,
        "mine/good  a  2 of 2 right\nmine/good  b  1 of 2 right\n\
         mine/bad  a  0 of 2 right\nmine/bad  b  0 of 2 right\n"
    );
    let rows: Vec<Vec<&str>> =
        output.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["MODEL", "FIELD", "EXACT", "NORMALISED", "GROUNDED", "USD", "A", "CASE"]);
    assert_eq!(rows[1], ["mine/good", "kind", "1/2", "2/2", "-"]);
    assert_eq!(rows[2], ["mine/good", "total", "1/2", "1/2", "-"]);
    assert_eq!(rows[3][..6], ["mine/good", "all", "2/4", "3/4", "-", "0.0200"]);
    assert_eq!(rows[6][..6], ["mine/bad", "all", "0/4", "0/4", "-", "0.0200"]);
    // What was done is known: another look asks nobody.
    assert_eq!(world.lines("calls").len(), 4);
    let again = world.flow(&[&args[..], &["--json"]].concat()).exits(0).json();
    assert_eq!(world.lines("calls").len(), 4);
    assert_eq!(again["models"][0]["all"]["normalised"], 3);
    assert_eq!(again["models"][0]["cases"][1]["fields"][1]["verdict"], "missing");
    assert_eq!(again["models"][1]["cases"][0]["fields"][0]["found"], "<b>other");
}

#[test]
fn misses_stand_side_by_side_on_a_page() {
    let world = world();
    let args = [
        "eval",
        "w.yaml",
        "--cases",
        "cases",
        "--models",
        "mine/good,mine/bad",
        "--html",
        "out.html",
    ];
    world.flow(&args).exits(0);
    let page = std::fs::read_to_string(world.path("out.html")).unwrap();
    assert!(
        page.contains("<tr><td>b</td><td>total</td><td>7</td><td class=\"ungrounded\">missing</td><td class=\"ungrounded\">5</td></tr>"),
        "{page}"
    );
    assert!(page.contains("&lt;b&gt;other") && !page.contains("<b>"), "{page}");
}

#[test]
fn an_evaluation_is_replayed_without_a_model() {
    let world = world();
    let args = ["eval", "w.yaml", "--cases", "cases", "--json"];
    let first = world.flow(&[&args[..], &["--record", "tape"]].concat()).exits(0).json();
    world.script("model.sh", "#!/bin/sh\nexit 1\n");
    let replayed = world.flow(&[&args[..], &["--replay", "tape"]].concat()).exits(0).json();
    assert_eq!(replayed["models"][0]["fields"], first["models"][0]["fields"]);
    assert_eq!(replayed["models"][0]["cost"], 0.0);
}

#[test]
fn a_case_that_fails_is_told_and_the_others_are_judged() {
    let world = world();
    world.script("model.sh", "#!/bin/sh\nread -r asked\ncase \"$asked\" in *invoice*) exit 1;; esac\necho '{\"kind\": \"letter\", \"total\": 7}'\n");
    let output = world.flow(&["eval", "w.yaml", "--cases", "cases", "--json"]).exits(1);
    let told = output.json();
    assert_eq!(told["models"][0]["failed"], 1);
    assert_eq!(told["models"][0]["all"]["exact"], 2);
    assert!(output.stderr.starts_with("a  failed: "), "{}", output.stderr);
}

#[test]
fn what_is_no_case_is_said() {
    let world = world();
    for (name, text, message) in [
        ("cases/c.json", "[1, 2]", "case `cases/c.json`: the known answers are a map"),
        (
            "cases/c.json",
            "{",
            "case `cases/c.json`: it is no JSON: EOF while parsing an object at line 1 column 1",
        ),
        (
            "cases/c.json",
            "{\"inputs\": {}}",
            "case `cases/c.json`: `inputs` stands beside `expect`, which is a map",
        ),
        (
            "cases/c.json",
            "{\"inputs\": {\"txet\": \"a\"}, \"expect\": {}}",
            "case `c`: workflow `kinds` has no input `txet`",
        ),
    ] {
        world.write(name, text);
        let output = world.flow(&["eval", "w.yaml", "--cases", "cases"]).exits(2);
        assert!(output.stderr.contains(&format!("error: {message}")), "{}", output.stderr);
    }
    world.write("none/readme.txt", "x");
    let output = world.flow(&["eval", "w.yaml", "--cases", "none"]).exits(2);
    assert_eq!(
        output.stderr,
        "error: there are no cases in `none`\nhint: a case is `NAME.json` with the known answers, and a file of that name beside it\n"
    );
}

#[test]
fn real_invoices_are_read_as_well_as_the_page_about_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cases = root.join("../shared/cases/invoices");
    if !cases.is_dir() {
        say("skipped: the shared cases are not here");
        return;
    }
    let world = World::new();
    let workflow = root.join("workflows/invoice.yaml");
    let mut args = vec!["eval", workflow.to_str().unwrap(), "--cases", cases.to_str().unwrap()];
    args.extend(["--output", "invoice", "--json", "--store", "store"]);
    for pair in ["number=invoice_number", "date=date", "total=amount", "currency=currency"] {
        args.extend(["--field", pair]);
    }
    let told = world.flow(&args).exits(0).json();
    let all = &told["models"][0]["all"];
    // The number of one invoice has the mark of its issuer's template before it.
    assert_eq!((&all["known"], &all["normalised"]), (&json!(19), &json!(19)), "{told:#}");
    assert_eq!(all["grounded"], all["looked_for"]);
}
