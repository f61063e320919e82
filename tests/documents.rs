//! Many documents in few calls: how many go into one, what happens when an answer is cut or
//! records are missing, and that every document has a record or a failure with its name.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use serde_json::{Value, json};
use support::World;

/// A model that reads `title N` out of documents. With more than `limit` of them its answer is
/// cut; what stands in `refused` it gives no record, of what stands in `odd` one that does not
/// fit.
const MODEL: &str = r#"#!/bin/sh
asked=$(cat)
n=$(($(ls asked-* 2>/dev/null | wc -l) + 1))
echo "$asked" > "asked-$n"
titles=$(echo "$asked" | grep -o 'title [0-9]*' | cut -d' ' -f2)
count=$(echo "$titles" | wc -w)
if [ "$count" -gt "$(cat limit)" ]; then
    echo '{"text": "{\"records\": [{\"document\": 1, \"rec", "finish": "length", "cost": 0.5}'
    exit 0
fi
number=0
all=""
for title in $titles; do
    number=$((number + 1))
    grep -qx "$title" refused 2>/dev/null && continue
    value="\\\"$title\\\""
    grep -qx "$title" odd 2>/dev/null && value=7
    all="$all${all:+, }{\\\"document\\\": $number, \\\"record\\\": {\\\"title\\\": $value}, \\\"unread\\\": null}"
done
printf '{"text": "{\\"records\\": [%s]}", "finish": "stop", "cost": 0.5}' "$all"
"#;

fn world(documents: usize, limit: usize) -> World {
    let world = World::new();
    world.script("model.sh", MODEL);
    world.write("limit", &limit.to_string());
    let texts: Vec<_> = (1..=documents).map(|number| format!("title {number}")).collect();
    world.write("texts.json", &json!(texts).to_string());
    world.write(
        "w.yaml",
        "providers: {mine: {type: command, command: [./model.sh]}}\n\
         steps:\n  - id: read\n    uses: task.documents\n    model: mine/m\n    \
         with: {texts: {$file: texts.json}, schema: {type: object, properties: {title: {type: string}}, required: [title], additionalProperties: false}}\n\
         outputs: {records: '{{ steps.read.output.records }}', failed: '{{ steps.read.output.failed }}', parts: '{{ steps.read.meta.parts }}'}\n",
    );
    world
}

/// How many times the model was asked.
fn asked(world: &World) -> usize {
    let files = std::fs::read_dir(world.folder()).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("asked-")).count()
}

/// The titles of records, by their documents, which must be in order.
fn titles(outputs: &Value) -> Vec<(u64, String)> {
    let records = outputs["records"].as_array().unwrap().iter();
    let titles: Vec<_> = records
        .map(|r| (r["document"].as_u64().unwrap(), r["record"]["title"].as_str().unwrap().into()))
        .collect();
    assert!(titles.is_sorted());
    titles
}

fn all(documents: u64) -> Vec<(u64, String)> {
    (1..=documents).map(|number| (number, number.to_string())).collect()
}

#[test]
fn documents_are_asked_about_together() {
    let world = world(23, 100);
    let output = world.flow(&["run", "w.yaml", "--json"]).exits(0).json();
    assert_eq!(titles(&output["outputs"]), all(23));
    assert_eq!(output["outputs"]["failed"], json!([]));
    // Nobody knows how much the model reads: ten at a time.
    assert_eq!((asked(&world), &output["outputs"]["parts"]), (3, &json!(3)));
    assert_eq!(output["cost"], 1.5);
    let attempts = &output["steps"]["read"]["meta"]["attempts"];
    assert_eq!(attempts, &json!(3));
    // Another run that asks the same asks nobody.
    assert_eq!(world.flow(&["run", "w.yaml", "--json"]).exits(0).json()["cost"], 0.0);
}

#[test]
fn an_answer_that_is_cut_is_asked_for_in_two_parts() {
    let world = world(10, 3);
    let output = world.flow(&["run", "w.yaml", "--json"]).exits(0).json();
    assert_eq!(titles(&output["outputs"]), all(10));
    // Ten and twice five are cut; three and two of each half are not.
    assert_eq!((asked(&world), &output["outputs"]["parts"]), (7, &json!(4)));
    assert_eq!(output["cost"], 3.5, "what was cut was paid");
    let logs = world.flow(&["logs", output["run"].as_str().unwrap()]).exits(0).stdout;
    assert!(
        logs.contains(
            "10 documents are asked for in two parts: provider `mine` broke its answer off"
        ),
        "{logs}"
    );
}

#[test]
fn a_document_without_a_record_has_failed_by_its_number_and_the_others_are_read() {
    let world = world(5, 100);
    world.write("refused", "2\n");
    world.write("odd", "4\n");
    let output = world.flow(&["run", "w.yaml", "--json"]).exits(0).json();
    let outputs = &output["outputs"];
    let read: Vec<_> = titles(outputs).into_iter().map(|(number, _)| number).collect();
    assert_eq!(read, [1, 3, 5]);
    let failed: Vec<_> = outputs["failed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (f["document"].as_u64().unwrap(), f["class"].as_str().unwrap()))
        .collect();
    assert_eq!(failed, [(2, "invalid_output"), (4, "invalid_output")]);
    let message = outputs["failed"][1]["message"].as_str().unwrap();
    assert!(
        message.starts_with("the answer does not fit the schema at `/records/0/record/title`: "),
        "{message}"
    );
    // Who asks again asks for those that failed, and for nothing that was read alone or in a part.
    let before = asked(&world);
    std::fs::remove_file(world.path("refused")).unwrap();
    std::fs::remove_file(world.path("odd")).unwrap();
    let again = world.flow(&["run", "w.yaml", "--json"]).exits(0).json();
    assert_eq!(titles(&again["outputs"]), all(5));
    assert!(asked(&world) > before);
}

#[test]
fn what_cannot_be_read_at_all_fails_the_step() {
    let world = world(2, 0);
    let output = world.flow(&["run", "w.yaml", "--json"]).exits(1).json();
    assert_eq!(
        output["steps"]["read"]["error"],
        json!({ "class": "truncated", "message": "provider `mine` broke its answer off" })
    );
    assert_eq!(asked(&world), 3);
}

#[test]
fn a_service_that_is_out_of_order_ends_the_step_and_resuming_pays_for_no_part_again() {
    let world = world(23, 100);
    // It is busy at the third part.
    let busy = "[ \"$n\" = 3 ] && [ ! -e on ] && { echo gone >&2; exit 75; }\necho \"$asked\" >";
    world.script("model.sh", &MODEL.replace("echo \"$asked\" >", busy));
    let file = std::fs::read_to_string(world.path("w.yaml")).unwrap();
    world.write("w.yaml", &file.replace("    model:", "    retry: {attempts: 1}\n    model:"));
    let failed = world.flow(&["run", "w.yaml", "--json"]).exits(1);
    assert_eq!(
        failed.json()["steps"]["read"]["error"]["message"],
        "provider `mine` failed (exit status: 75): gone"
    );
    world.write("on", "");
    let done = world.flow(&["resume", &failed.run(), "--json"]).exits(0).json();
    assert_eq!(titles(&done["outputs"]), all(23));
    assert_eq!(asked(&world), 3);
}

#[test]
fn a_document_that_the_service_refuses_has_failed_and_a_service_that_refuses_all_ends_the_step() {
    let refusing = |what: &str| {
        let world = world(8, 100);
        let refuse = format!(
            "echo \"$titles\" | grep -qx '{what}' && {{ echo damaged >&2; exit 1; }}\nnumber=0"
        );
        world.script("model.sh", &MODEL.replace("number=0", &refuse));
        world
    };
    let one = refusing("5");
    let outputs = one.flow(&["run", "w.yaml", "--json"]).exits(0).json()["outputs"].clone();
    assert_eq!(titles(&outputs).len(), 7);
    let failed = &outputs["failed"][0];
    assert_eq!((&failed["document"], &failed["class"]), (&json!(5), &json!("bad_request")));
    assert_eq!(failed["message"], "provider `mine` failed (exit status: 1): damaged");
    let all = refusing(".*");
    all.flow(&["run", "w.yaml", "--json"]).exits(1);
    // Eight, four, two, one, one, two, one: the third alone.
    assert_eq!(asked(&all), 7);
}

#[test]
fn what_it_cannot_be_joined_with_is_said_before_anything_runs() {
    let world = world(2, 9);
    let file = std::fs::read_to_string(world.path("w.yaml")).unwrap();
    world.write("w.yaml", &file.replace("model: mine/m", "model: [mine/m, human]"));
    let output = world.flow(&["check", "w.yaml"]).exits(2);
    assert!(
        output.stderr.contains(
            "w.yaml:5:12: error: `task.documents` is asked in parts, and `human` answers once\n"
        ),
        "{}",
        output.stderr
    );
    world.write(
        "w.yaml",
        &file.replace("model: mine/m", "agree: {models: [mine/m, mine/n], on: [records]}"),
    );
    let output = world.flow(&["check", "w.yaml"]).exits(2);
    assert!(
        output.stderr.contains(
            "w.yaml:5:5: error: `task.documents` is asked in parts, and `agree` is for one answer\n"
        ),
        "{}",
        output.stderr
    );
}
