//! Values that a model reads, held against the page: what is told of them, what is refused, and
//! how it is drawn.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use serde_json::{Value, json};
use support::World;

/// Answers what stands in `answer-N` the Nth time, else what stands in `answer`.
const MODEL: &str = r#"#!/bin/sh
n=$(($(ls asked-* 2>/dev/null | wc -l) + 1))
cat > "asked-$n"
if [ -e "answer-$n" ]; then cat "answer-$n"; else cat answer; fi
"#;

/// A page with words, as a reader yields it.
fn page(lines: &[&str]) -> Value {
    let mut words = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let (mut x, y) = (40.0, 40.0 + 20.0 * at as f64);
        for word in line.split(' ') {
            let width = 6.0 * word.chars().count() as f64;
            words.push(
                json!({ "text": word, "box": [x, y, x + width, y + 10.0], "confidence": 1.0 }),
            );
            x += width + 4.0;
        }
    }
    json!({ "number": 1, "width": 300, "height": 200, "image": null, "text": lines.join("\n"), "words": words })
}

const SCHEMA: &str = r#"{"type": "object", "additionalProperties": false, "required": ["vendor", "date", "total", "kind", "note"], "properties": {"vendor": {"type": "string"}, "date": {"type": "string", "format": "date"}, "total": {"type": "number"}, "kind": {"enum": ["invoice", "other"]}, "note": {"type": ["string", "null"], "x-grounded": false}}}"#;

const LINES: [&str; 3] = ["ＡＣＭＥ Tools Ltd", "Datum: 24. Nov 2026", "Gesamt 1.234,50 €"];

/// A folder with a workflow that asks of a page.
fn world(policy: &str, pages: &Value) -> World {
    let world = World::new();
    world.script("model.sh", MODEL);
    world.write("pages.json", &pages.to_string());
    world.write("schema.json", SCHEMA);
    world.write(
        "w.yaml",
        &format!(
            "providers: {{mine: {{type: command, command: [./model.sh]}}}}\n\
             steps:\n  \
             - id: read\n    uses: task.ask\n    model: mine/m\n    {policy}\n    \
             with: {{question: 'What does it say?', pages: {{$file: pages.json}}, schema: {{$file: schema.json}}}}\n\
             outputs: {{a: '{{{{ steps.read.output }}}}', nowhere: '{{{{ steps.read.meta.grounding.ungrounded }}}}'}}\n"
        ),
    );
    world
}

fn good() -> Value {
    json!({ "vendor": "ACME Tools Ltd", "date": "2026-11-24", "total": 1234.5, "kind": "invoice", "note": "made up" })
}

#[test]
fn every_value_has_its_place_beside_the_answer() {
    let world = world("", &json!([page(&LINES)]));
    world.write("answer", &good().to_string());
    let output = world.flow(&["run", "w.yaml", "--json"]).exits(0).json();
    assert_eq!(output["outputs"], json!({ "a": good(), "nowhere": [] }));
    let grounding = &output["steps"]["read"]["meta"]["grounding"];
    assert_eq!(
        grounding,
        &json!({
            "values": {
                "vendor": { "page": 1, "box": [40.0, 40.0, 120.0, 50.0], "text": "ACME Tools Ltd", "confidence": 0.98 },
                "date": { "page": 1, "box": [80.0, 60.0, 148.0, 70.0], "text": "24. Nov 2026", "confidence": 0.97 },
                "total": { "page": 1, "box": [80.0, 80.0, 138.0, 90.0], "text": "1.234,50 €", "confidence": 0.97 },
            },
            "ungrounded": [],
            "pages": [{ "number": 1, "width": 300, "height": 200, "image": null }],
        })
    );
    let run = output["run"].as_str().unwrap();
    let shown = world.flow(&["show", run, "--step", "read", "--json"]).exits(0).json();
    assert_eq!(&shown["meta"]["grounding"], grounding, "it is kept");
    // What another run has read is taken with the places it was read from.
    let again = world.flow(&["run", "w.yaml", "--json"]).exits(0).json();
    assert_eq!(again["steps"]["read"]["meta"]["cached"], true);
    assert_eq!(&again["steps"]["read"]["meta"]["grounding"], grounding);
}

#[test]
fn a_value_that_is_nowhere_is_named_and_taken() {
    let world = world("", &json!([page(&LINES)]));
    let mut answer = good();
    answer["total"] = json!(1234.05);
    answer["date"] = json!("2026-11-25");
    world.write("answer", &answer.to_string());
    let output = world.flow(&["run", "w.yaml", "--json"]).exits(0).json();
    assert_eq!(output["outputs"]["nowhere"], json!(["date", "total"]));
    assert!(!world.path("asked-2").exists());
}

#[test]
fn where_every_value_must_stand_on_the_page_the_model_is_told_what_does_not() {
    let world = world("require_grounded: true", &json!([page(&LINES)]));
    let mut answer = good();
    answer["total"] = json!(1234.05);
    world.write("answer-1", &answer.to_string());
    world.write("answer", &good().to_string());
    let output = world.flow(&["run", "w.yaml", "--json"]).exits(0).json();
    assert_eq!(output["outputs"]["a"]["total"], 1234.5);
    let asked = std::fs::read_to_string(world.path("asked-2")).unwrap();
    assert!(
        asked.contains(
            "values that stand nowhere on the pages: `total` (1234.05); what is not on them is null"
        ),
        "{asked}"
    );
}

#[test]
fn a_value_that_stays_nowhere_fails_the_step() {
    let world = world("require_grounded: true", &json!([page(&LINES)]));
    let mut answer = good();
    answer["vendor"] = json!("Nobody <script>");
    world.write("answer", &answer.to_string());
    let output = world.flow(&["run", "w.yaml", "--json"]).exits(1).json();
    let error = &output["steps"]["read"]["error"];
    assert_eq!(error["class"], "invalid_output");
    assert_eq!(
        error["message"],
        "values that stand nowhere on the pages: `vendor` (\"Nobody <script>\"); what is not on them is null"
    );
}

#[test]
fn pages_without_words_say_so() {
    let bare = json!([{ "number": 1, "width": 300, "height": 200, "text": "", "words": [] }]);
    let strict = world("require_grounded: true", &bare);
    strict.write("answer", &good().to_string());
    let output = strict.flow(&["run", "w.yaml"]).exits(1);
    assert!(
        output.stderr.contains("`require_grounded`: no page has words to look among"),
        "{}",
        output.stderr
    );
    let lenient = world("", &bare);
    lenient.write("answer", &good().to_string());
    let output = lenient.flow(&["run", "w.yaml", "--json"]).exits(0).json();
    assert_eq!(output["outputs"]["nowhere"], json!(["vendor", "date", "total"]));
}

#[test]
fn what_is_no_page_is_said() {
    let world = world("", &json!([{ "number": 1 }]));
    world.write("answer", &good().to_string());
    let output = world.flow(&["run", "w.yaml"]).exits(1);
    assert!(
        output.stderr.contains("`ground` are not pages: missing field `width`"),
        "{}",
        output.stderr
    );
}

#[test]
fn whether_values_must_stand_on_the_page_is_part_of_what_is_asked() {
    let world = world("", &json!([page(&LINES)]));
    world.write("answer", &good().to_string());
    let run = world.flow(&["run", "w.yaml", "--json"]).exits(0).run();
    let strict = std::fs::read_to_string(world.path("w.yaml")).unwrap();
    let strict = strict.replace("    with:", "    require_grounded: true\n    with:");
    world.write("w.yaml", &strict);
    world.flow(&["resume", &run, "--from-file", "w.yaml", "--json"]).exits(0);
    assert!(world.path("asked-2").exists(), "it is judged anew");
}

/// The text of a page of HTML without what stands within a pair of marks.
fn without(page: &str, from: &str, to: &str) -> String {
    let (before, rest) = page.split_once(from).unwrap();
    format!("{before}{}", rest.split_once(to).unwrap().1)
}

#[test]
fn a_page_is_drawn_with_its_boxes_and_nothing_hostile_gets_out() {
    let hostile = "\"><script>alert(1)</script>";
    let mut hostile_page = page(&[hostile, LINES[1], LINES[2]]);
    hostile_page["number"] = json!(1);
    let world = world("", &json!([hostile_page]));
    let mut answer = good();
    answer["vendor"] = json!(hostile);
    answer["total"] = json!(7);
    answer["date"] = json!("2026-11-24");
    world.write("answer", &answer.to_string());
    let run = world.flow(&["run", "w.yaml", "--json"]).exits(0).run();
    let html = world.flow(&["show", &run, "--html"]).exits(0).stdout;
    assert!(html.starts_with("<!doctype html>\n"));
    for part in [
        "<h2>read</h2>",
        "<svg viewBox=\"0 0 300.00 200.00\"",
        "class=\"box\" x=\"80.00\" y=\"60.00\" width=\"68.00\" height=\"10.00\"",
        "<tr class=\"ungrounded\"><td>total</td><td>7</td><td colspan=\"3\">ungrounded</td></tr>",
        "&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;",
        "default-src 'none'; img-src data:; style-src 'sha256-",
    ] {
        assert!(html.contains(part), "{part}: {html}");
    }
    let rest = without(&html, "<style>", "</style>");
    for never in ["<script", "onload", "style=", "http://", "https://", "javascript:"] {
        assert!(!rest.contains(never), "{never}: {rest}");
    }
    // Every tag is one of ours.
    for tag in rest.split('<').skip(1) {
        let name: String =
            tag.trim_start_matches('/').chars().take_while(char::is_ascii_alphanumeric).collect();
        let known = [
            "html",
            "head",
            "meta",
            "title",
            "style",
            "body",
            "h1",
            "h2",
            "p",
            "section",
            "div",
            "table",
            "tr",
            "th",
            "td",
            "a",
            "figure",
            "figcaption",
            "svg",
            "rect",
            "image",
            "",
        ];
        assert!(known.contains(&name.as_str()), "<{name}>");
    }
}

#[test]
fn the_reader_that_is_built_in_draws_its_pages_too() {
    let world = World::new();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/workflows/samples/invoice.pdf");
    std::fs::copy(file, world.path("invoice.pdf")).unwrap();
    world.write(
        "w.yaml",
        "steps:\n  - {id: pages, uses: document.pages, with: {file: invoice.pdf, dpi: 50}}\n  \
         - {id: words, for_each: steps.pages.output.pages, uses: document.text, with: {page: '{{ item }}'}}\n  \
         - {id: fields, uses: extract.fields, with: {pages: '{{ steps.words.output }}', schema: {type: object, properties: {total: {type: number}}}}}\n",
    );
    let run = world.flow(&["run", "w.yaml", "--json"]).exits(0).run();
    let html = world.flow(&["show", &run, "--html"]).exits(0).stdout;
    assert!(html.contains("<image href=\"data:image/png;base64,"), "the page is in it");
    assert!(html.contains(">total</a>"), "and the value");
}

#[test]
fn a_run_without_places_draws_nothing() {
    let world = World::new();
    world.write("w.yaml", "steps: [{id: a, uses: value.set, with: {value: 1}}]\n");
    let run = world.flow(&["run", "w.yaml", "--json"]).exits(0).run();
    let output = world.flow(&["show", &run, "--html"]).exits(2);
    assert_eq!(
        output.stderr,
        format!(
            "error: no step of run {run} knows where its values stand\nhint: `extract.fields` does, and a task that is given `pages` with words\n"
        )
    );
}
