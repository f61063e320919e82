//! The example workflows, each from the cassette that is shipped with it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::World;

fn workflows() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/workflows"))
}

/// A copy of the workflows.
fn world() -> World {
    let world = World::new();
    for file in support::files(workflows()) {
        let target = world.path("workflows").join(file.strip_prefix(workflows()).unwrap());
        if !target.components().any(|part| part.as_os_str() == ".flow") {
            std::fs::create_dir_all(target.parent().unwrap()).unwrap();
            std::fs::copy(&file, target).unwrap();
        }
    }
    world
}

/// What an example yields from its cassette.
fn outputs(world: &World, name: &str) -> Value {
    replayed(world, name, "openai/gpt-6-luna")
}

/// What an example yields from its cassette, which is of this model.
fn replayed(world: &World, name: &str, model: &str) -> Value {
    let (file, tape) = (format!("workflows/{name}.yaml"), format!("workflows/cassettes/{name}"));
    let model = format!("*={model}");
    let args = ["run", &file, "--model", &model, "--replay", &tape, "--json"];
    let output = world.flow(&args).exits(0);
    assert!(
        output.stderr.contains("written by hand: no real service answered"),
        "{}",
        output.stderr
    );
    output.json()["outputs"].clone()
}

#[test]
fn a_chart_becomes_a_table() {
    let world = world();
    let outputs = outputs(&world, "chart");
    assert_eq!(
        outputs["chart"]["series"][0]["points"][3],
        json!({ "x": "Q4", "y": 14.0, "estimated": false })
    );
    let table = std::fs::read_to_string(world.path("workflows/out/chart.csv")).unwrap();
    assert_eq!(table.lines().next(), Some("series,x,y,estimated"));
    assert_eq!(table.lines().count(), 9);
}

#[test]
fn code_is_read_with_its_indentation() {
    let outputs = outputs(&world(), "code");
    assert!(outputs["code"].as_str().unwrap().contains("\n    return 3.14 * r ** 2\n"));
    assert_eq!(outputs["faults"][0]["line"], 6);
}

#[test]
fn two_pictures_are_compared() {
    let outputs = outputs(&world(), "compare");
    assert_eq!(outputs["differences"][0]["kind"], "removed");
}

#[test]
fn a_screen_is_reviewed_and_the_review_written_down() {
    let world = world();
    let outputs = outputs(&world, "ui-review");
    assert_eq!(outputs["review"]["usability"], 4);
    let report = std::fs::read_to_string(world.path("workflows/out/ui-review.md")).unwrap();
    assert!(report.starts_with("# Pay an invoice: 4/10\n"), "{report}");
    assert!(
        report.contains(
            "\n1. Give \"Pay\" the colour of the header and white text. (effect high, effort low)\n"
        ),
        "{report}"
    );
}

#[test]
fn a_product_is_described_in_several_languages() {
    let outputs = outputs(&world(), "product");
    assert_eq!(outputs["listing"][0]["name"], "Dark blue coffee mug");
    assert_eq!(outputs["listing"][1]["name"], "紺色のコーヒーマグ");
}

#[test]
fn a_document_is_read_and_every_value_stands_on_the_page() {
    let outputs = outputs(&world(), "document");
    assert_eq!(outputs["document"]["type"], "invoice");
    assert_eq!(outputs["ungrounded"], json!([]));
}

#[test]
fn a_text_is_classified() {
    assert_eq!(outputs(&world(), "classify")["kind"], "invoice");
}

#[test]
fn a_folder_of_scans_is_read_every_night() {
    let world = world();
    let first = outputs(&world, "nightly");
    assert_eq!(first["unread"], 0);
    let files: Vec<_> = first["files"].as_array().unwrap().iter().map(|f| &f["file"]).collect();
    assert_eq!(files, ["samples/invoice.pdf", "samples/scan.png"]);
    assert_eq!(first["files"][0]["type"], "invoice");
    let written = std::fs::read_to_string(world.path("workflows/out/nightly.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), first["files"]);
}

#[test]
fn a_lecture_is_summarised_scene_by_scene() {
    let outputs = replayed(&world(), "lecture", "gemini/gemini-3.8-flash");
    let scenes = outputs["scenes"].as_array().unwrap();
    let times: Vec<_> = scenes.iter().map(|s| (s["start"].clone(), s["end"].clone())).collect();
    assert_eq!(times, [(json!(0), json!(4)), (json!(4), json!(8)), (json!(8), json!(12))]);
}

#[test]
fn a_thousand_pages_are_read_side_by_side() {
    let world = world();
    let args = ["run", "workflows/pages.yaml", "--json"];
    let outputs = world.flow(&args).exits(0).json()["outputs"].clone();
    assert_eq!(outputs, json!({ "pages": 1000, "total": 451_395.0, "missing": 0 }));
}
