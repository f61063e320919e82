//! The JSON Schema for editors agrees with the checker.

use std::fs;

use flow_core::language::json_schema;
use jsonschema::Validator;
use serde_json::{Value, json};

use crate::support::{actions, check_text};

fn validator() -> Validator {
    let schema = json_schema(&actions());
    jsonschema::meta::validate(&schema).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

const EVERYTHING: &str = r#"
flow: 1
name: all
description: Every key there is.
inputs:
  short: string
  file: {type: file, description: x, media: image/*, required: false}
  text: {type: string, enum: [a, b], default: a}
  any: {type: json, schema: {type: object}}
providers: {mine: {type: command, command: [a], price: 1 USD}}
models: {a: auto, b: [auto, {provider: mine, model: x, options: {}}], c: {provider: mine, path: x, projector: y}}
defaults: {timeout: 1m, deadline: 1h30m, retry: false, cache: true, on_lost: ask, model: a}
budget: 1 USD
concurrency: 2
triggers:
  - {schedule: "0 2 * * *", timezone: UTC, catch_up: all, overlap: skip, jitter: 1m, inputs: {short: a, any: {}}}
  - {watch: "in/*", input: file, inputs: {text: b, short: a, any: {}}, settle: 5s, done: done, failed: bad}
  - {webhook: /x, secret: "{{ secrets.X }}", header: X-Key, delivery: X-Delivery}
  - {webhook: /y, hmac: "{{ secrets.X }}", inputs: {short: "{{ body.a }}", any: "{{ headers.a }}"}}
  - {after: other, status: [failed], inputs: {short: "{{ run.id }}", any: 1}}
keep: 30d
steps:
  - id: all
    name: All
    uses: model.generate
    model: a
    with: {prompt: "{{ inputs.any }}{{ x }}{{ inputs.short }}{{ inputs.file }}{{ inputs.text }}"}
    needs: first
    when: "{{ index > 0 }}"
    for_each: 3
    as: x
    key: x
    max_parallel: 2
    on_error: {value: 1}
    timeout: 1s
    retry: {attempts: 2, backoff: constant, initial: 1s, max: 2s, jitter: 0, on: [server]}
    cache: false
    budget: {cost: 0.1 USD, allow_unknown: true}
    deadline: 1d
    on_lost: fail
  - {id: first, when: true, uses: value.set, with: {value: 1}}
  - {id: loop, for_each: [1, 2], collect: 1, steps: [{id: body, uses: value.set, with: {value: "{{ item }}"}}]}
on_failure: [{id: f, uses: value.set, with: {value: 1}}]
finally: [{id: l, uses: value.set, with: {value: 1}}]
outputs: {a: "{{ steps.all.output }}"}
"#;

#[test]
fn a_file_with_every_key_is_good_to_both() {
    assert_eq!(check_text(EVERYTHING).diagnostics.to_string(), "");
    let (validator, value) = (validator(), yaml(EVERYTHING));
    let errors: Vec<_> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
    assert_eq!(errors, [""; 0]);
}

#[test]
fn keys_that_are_none_are_refused_by_both() {
    let validator = validator();
    for (bad, good) in [
        ("flow: 1", "flow: 2"),
        ("name: all", "nmae: all"),
        ("type: file,", "typ: file,"),
        ("cost: 0.1 USD", "cots: 0.1 USD"),
        ("backoff: constant", "backoff: linear"),
        ("on_lost: ask", "on_lost: asked"),
        ("on: [server]", "on: [servr]"),
        ("uses: model.generate", "uses: model.generat"),
        ("with: {prompt:", "with: {promt:"),
        ("as: x", "az: x"),
        ("timeout: 1s", "timeout: 1"),
        ("webhook: /x", "webhok: /x"),
        ("max_parallel: 2", "max_parallel: 0"),
        ("on_error: {value: 1}", "on_error: {valu: 1}"),
        ("provider: mine, path", "providr: mine, path"),
        ("keep: 30d", "keep: {}"),
    ] {
        let text = EVERYTHING.replacen(bad, good, 1);
        assert!(text != EVERYTHING, "{bad}");
        assert!(!validator.is_valid(&yaml(&text)), "the schema takes `{good}`");
        assert!(check_text(&text).diagnostics.has_errors(), "the checker takes `{good}`");
    }
}

#[test]
fn every_key_that_the_checker_knows_is_in_the_schema() {
    let schema = json_schema(&actions());
    for (place, line) in [
        (&schema["properties"], "zzzzzzzzzzzz: 1"),
        (
            &schema["$defs"]["step"]["properties"],
            "steps: [{id: a, uses: value.set, with: {value: 1}, zzzzzzzzzzzz: 1}]",
        ),
        (&schema["properties"]["defaults"]["properties"], "defaults: {zzzzzzzzzzzz: 1}"),
        (&schema["$defs"]["budget"]["oneOf"][1]["properties"], "budget: {zzzzzzzzzzzz: 1}"),
        (
            &schema["$defs"]["retry"]["oneOf"][1]["properties"],
            "defaults: {retry: {zzzzzzzzzzzz: 1}}",
        ),
        (&schema["$defs"]["model"]["oneOf"][1]["properties"], "models: {a: {zzzzzzzzzzzz: 1}}"),
        (&schema["$defs"]["input"]["oneOf"][1]["properties"], "inputs: {a: {zzzzzzzzzzzz: 1}}"),
    ] {
        let checked = check_text(line);
        let hint = checked.diagnostics.iter().find(|fault| fault.message.contains("zzzzzzzzzzzz"));
        let known = hint.unwrap().hint.clone().unwrap();
        let known = known.strip_prefix("known are: ").unwrap().split(", ");
        for key in known {
            assert!(place[key]["description"].is_string(), "{line}: `{key}`");
        }
    }
}

#[test]
fn the_workflow_of_the_repository_is_good_to_the_schema() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../workflows");
    let mut schema = json_schema(&actions());
    // The actions of other packages are not here to be known.
    let step = schema["$defs"]["step"].as_object_mut().unwrap();
    step.remove("allOf");
    step["properties"]["uses"] = json!({ "type": "string" });
    let validator = jsonschema::validator_for(&schema).unwrap();
    let value = yaml(&fs::read_to_string(format!("{folder}/invoice.yaml")).unwrap());
    let errors: Vec<_> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
    assert_eq!(errors, [""; 0]);
}
