//! What the commands print, say and end with.

mod support;

use serde_json::{Value, json};
use support::{Output, World, run};

const PLAIN: &str = r#"
name: plain
inputs:
  count: { type: integer, default: 2, description: How many }
  word: { type: string, default: hi }
steps:
  - { id: a, uses: value.set, with: { value: "{{ inputs.word }}" } }
  - { id: each, for_each: "{{ inputs.count }}", uses: value.set, with: { value: "{{ steps.a.output }}-{{ item }}" } }
outputs: { all: "{{ steps.each.output }}" }
"#;

/// Compares the code, what was printed and what was said.
#[track_caller]
fn is(output: &Output, code: i32, stdout: &str, stderr: &str) {
    let found = (output.code, output.stdout.as_str(), output.stderr.as_str());
    assert_eq!(found, (Some(code), stdout, stderr));
}

#[test]
fn wrong_usage_is_named_with_what_to_do() {
    let world = World::with(PLAIN);
    std::fs::create_dir(world.path("folder")).unwrap();
    world.write("typo.yaml", "steps: [{ id: a, uses: value.sett, with: { value: 1 } }]\n");
    world.write("binary.yaml", "a: \u{0}\n");
    world.write("notes.txt", "x");
    let cases: [(&[&str], &str); 12] = [
        (&["run", "none.yaml"], "error: cannot read `none.yaml`: there is no such file\n"),
        (&["check", "folder"], "error: cannot read `folder`: it is a directory\n"),
        (
            &["run", "w.yaml", "--input", "count=many"],
            "error: input `count` must be a whole number, and `many` is not\nhint: How many\n",
        ),
        (
            &["run", "w.yaml", "--input", "wrod=hi"],
            "error: workflow `plain` has no input `wrod`\nhint: did you mean `word`?\n",
        ),
        (
            &["run", "w.yaml", "--input", "count=x", "--input", "other=1"],
            "error: workflow `plain` has no input `other`\nerror: input `count` must be a whole number, and `x` is not\nhint: its inputs are: count, word\nhint: How many\n",
        ),
        (
            &["run", "typo.yaml"],
            "typo.yaml:1:24: error: unknown action `value.sett`\n    1 | steps: [{ id: a, uses: value.sett, with: { value: 1 } }]\n      |                        ^\n      hint: did you mean `value.set`?\nerror: `typo.yaml` has an error and was not run\n",
        ),
        (&["show", "01x"], "error: there is no store in `.flow`\nhint: name it by `--store DIR`\n"),
        (
            &["resume", "01x"],
            "error: there is no store in `.flow`\nhint: name it by `--store DIR`\n",
        ),
        (
            &["runs", "--status", "done"],
            "error: there is no status `done`\nhint: running, waiting, interrupted, succeeded, failed or cancelled\n",
        ),
        (
            &["run", "w.yaml", "--secrets", "none"],
            "error: cannot read the secrets in `none`: No such file or directory (os error 2)\n",
        ),
        (
            &["run", "w.yaml", "--secrets", "notes.txt"],
            "error: notes.txt:1: a secret is written `NAME=VALUE`\n",
        ),
        (
            &["run", "w.yaml", "--input", "count"],
            "error: invalid value 'count' for '--input <NAME=VALUE>': write it as `NAME=VALUE`\n\nFor more information, try '--help'.\n",
        ),
    ];
    for (args, stderr) in cases {
        is(&world.flow(args), 2, "", stderr);
    }
    assert!(!world.path(".flow").exists(), "a wrong command writes nothing");
}

#[test]
fn an_input_file_that_is_missing_is_named() {
    let world = World::with(
        "name: f\ninputs: { file: { type: file, media: [\"image/*\"] } }\nsteps: [{ id: a, uses: value.set, with: { value: \"{{ inputs.file.name }}\" } }]\n",
    );
    let missing = world.flow(&["run", "w.yaml"]).exits(2);
    is(&missing, 2, "", "error: input `file` is missing\nhint: give it by `--input file=…`\n");
    let none = world.flow(&["run", "w.yaml", "--input", "file=none.png"]);
    is(&none, 2, "", "error: input `file`: cannot read `none.png`: there is no such file\n");
    world.write("text.txt", "no picture");
    let text = world.flow(&["run", "w.yaml", "--input", "file=text.txt"]);
    is(
        &text,
        2,
        "",
        "error: input `file`: `text.txt` is text/plain, and the workflow takes image/*\nhint: the type is read from the file's bytes, not its name\n",
    );
}

#[test]
fn a_run_is_named_by_a_part_that_no_other_has() {
    let world = World::with(PLAIN);
    let first = world.flow(&["run", "w.yaml", "--json"]).exits(0).run();
    let second = world.flow(&["run", "w.yaml", "--json"]).exits(0).run();
    assert_eq!(world.flow(&["show", &first[16..], "--json"]).exits(0).run(), first);
    let both = world.flow(&["show", &first[..3]]).exits(2);
    assert!(
        both.stderr.starts_with(&format!("error: `{}` is the id of several runs: ", &first[..3])),
        "{both:?}"
    );
    assert!(both.stderr.contains(&first) && both.stderr.contains(&second), "{both:?}");
    assert!(both.stderr.ends_with("\nhint: give more of the id\n"), "{both:?}");
    let none = world.flow(&["show", "zzz"]);
    is(
        &none,
        2,
        "",
        "error: no run `zzz` in .flow/flow.db\nhint: `flow runs` lists the runs of the store\n",
    );
    let step = world.flow(&["show", &first, "--step", "none"]);
    let stderr = format!(
        "error: run {first} has no step at `none`\nhint: `flow show {first}` lists its steps\n"
    );
    is(&step, 2, "", &stderr);
    let cancelled = world.flow(&["cancel", &first]);
    is(&cancelled, 2, "", &format!("error: run {first} is succeeded already\n"));
}

#[test]
fn json_is_one_value_on_stdout_whatever_happens() {
    let world = World::with(PLAIN);
    let output = world.flow(&["run", "w.yaml", "--json", "--input", "count=1"]).exits(0);
    let mut object = output.json();
    let run = object["run"].take();
    assert_eq!(
        object,
        json!({
            "run": null,
            "workflow": "plain",
            "status": "succeeded",
            "outputs": { "all": ["hi-0"] },
            "cost": 0.0,
            "cost_uncertain": false,
            "error": null,
            "steps": {
                "a": { "status": "succeeded", "output": "hi", "error": null, "meta": { "attempts": 1, "cached": false } },
                "each": { "status": "succeeded", "output": ["hi-0"], "error": null, "meta": {} },
            },
        })
    );
    let runs = world.flow(&["runs", "--json"]).exits(0).json();
    let keys: Vec<_> = runs[0].as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["run", "workflow", "status", "started", "ended", "cost", "cost_uncertain"]);
    assert_eq!(runs[0]["run"], run);
    let again = world.flow(&["resume", run.as_str().unwrap(), "--json"]).exits(0);
    assert_eq!(again.json()["outputs"], output.json()["outputs"]);
    for args in [
        &["check", "w.yaml", "--json"][..],
        &["plan", "w.yaml", "--json"],
        &["schema", "--json"],
        &["logs", run.as_str().unwrap(), "--json"],
        &["logs", run.as_str().unwrap(), "--events", "--json"],
        &["show", run.as_str().unwrap(), "--json"],
    ] {
        world.flow(args).exits(0).json();
    }
    world.flow(&["doctor", "--json"]).json();
}

#[test]
fn without_json_the_outputs_are_printed_and_the_rest_is_said() {
    let world = World::with(PLAIN);
    let output = world.flow(&["run", "w.yaml"]).exits(0);
    assert_eq!(output.json(), json!({ "all": ["hi-0", "hi-1"] }));
    assert!(output.stderr.contains("✓ a\n"), "{}", output.stderr);
    let run = world.only_run();
    let shown = world.flow(&["show", &run]).exits(0).stdout;
    for line in [format!("run       {run}"), "workflow  plain".into(), "status    succeeded".into()]
    {
        assert!(shown.lines().any(|found| found == line), "{shown}");
    }
    let events = world.flow(&["logs", &run, "--events"]).exits(0).stdout;
    let kinds: Vec<_> = events.lines().filter_map(|line| line.split_whitespace().nth(3)).collect();
    assert_eq!((kinds.first(), kinds.last()), (Some(&"run_started"), Some(&"run_finished")));
}

#[test]
fn no_store_is_no_runs() {
    let world = World::with(PLAIN);
    is(&world.flow(&["runs", "--json"]), 0, "[]\n", "");
    is(&world.flow(&["runs"]), 0, "", "no runs\n");
    assert!(!world.path(".flow").exists());
}

#[test]
fn a_dry_run_and_a_check_write_nothing() {
    let world = World::with(PLAIN);
    let dry = world.flow(&["run", "w.yaml", "--dry-run"]).exits(0);
    assert_eq!(
        dry.stdout,
        "STEP  USES                  AFTER\na     value.set\neach  value.set (for each)  a\n"
    );
    assert_eq!(world.flow(&["plan", "w.yaml"]).exits(0).stdout, dry.stdout);
    is(&world.flow(&["check", "w.yaml"]), 0, "", "w.yaml: ok\n");
    is(&world.flow(&["check", "w.yaml", "--json"]), 0, "[]\n", "");
    // Inputs are looked at all the same.
    world.flow(&["run", "w.yaml", "--dry-run", "--input", "count=x"]).exits(2);
    assert!(!world.path(".flow").exists());
}

#[test]
fn a_store_is_where_it_is_said_to_be() {
    let world = World::with(PLAIN);
    world.flow(&["run", "w.yaml", "--store", "there"]).exits(0);
    assert!(!world.path(".flow").exists());
    let named: Value = world.flow(&["runs", "--json", "--store", "there"]).exits(0).json();
    let told = run(world.command(&["runs", "--json"]).env("FLOW_STORE", "there"));
    assert_eq!(told.exits(0).json(), named);
    assert_eq!(named.as_array().unwrap().len(), 1);
}

#[test]
fn a_workflow_is_drawn_in_each_format() {
    let world = World::with(PLAIN);
    let draw = |format: &str| world.flow(&["graph", "w.yaml", "--format", format]).exits(0).stdout;
    assert!(draw("mermaid").starts_with("flowchart "), "{}", draw("mermaid"));
    assert!(draw("dot").starts_with("digraph "), "{}", draw("dot"));
    assert!(draw("svg").contains("<svg "), "{}", draw("svg"));
    assert_eq!(world.flow(&["graph", "w.yaml"]).exits(0).stdout, draw("mermaid"));
}

#[test]
fn the_committed_schema_is_the_one_that_is_printed() {
    let world = World::new();
    let printed = world.flow(&["schema"]).exits(0).stdout;
    let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/workflows/flow.schema.json");
    let committed = std::fs::read_to_string(committed).unwrap();
    assert!(
        printed == committed,
        "`flow schema > workflows/flow.schema.json` brings it up to date"
    );
    let schema: Value = serde_json::from_str(&printed).unwrap();
    assert!(schema["$schema"].is_string());
}

#[test]
fn completions_are_made_for_each_shell() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = world.flow(&["completions", shell]).exits(0).stdout;
        assert!(script.contains("resume"), "{shell}");
    }
}

#[test]
fn doctor_says_what_is_missing_and_what_to_do() {
    let world = World::new();
    let findings = world.flow(&["doctor", "--json"]).exits(1).json();
    let found: Vec<_> = findings
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (f["name"].as_str().unwrap(), f["found"].as_bool().unwrap()))
        .collect();
    let expected = [
        ("store", true),
        ("ocr models", false),
        ("ocr engine", true),
        ("llama", cfg!(feature = "llama")),
        ("providers", true),
    ];
    assert_eq!(found[..5], expected);
    assert_eq!(findings[2]["what"], "rten");
    assert!(findings[1]["hint"].is_string(), "{findings:#}");
}

/// What `doctor` says of the engine of OCR where this file is named as ONNX Runtime's library.
fn engine_by(world: &World, library: &str) -> (bool, String, String) {
    let mut command = world.command(&["doctor", "--json"]);
    let findings = run(command.env("FLOW_ONNXRUNTIME", library)).exits(1).json();
    let engine = &findings[2];
    assert_eq!(engine["name"], "ocr engine");
    let text = |key: &str| engine[key].as_str().unwrap_or_default().to_owned();
    (engine["found"] == true, text("what"), text("hint"))
}

#[cfg(not(feature = "ort"))]
#[test]
fn doctor_says_that_onnx_runtime_is_not_built_in() {
    let (found, what, hint) = engine_by(&World::new(), "/none/libonnxruntime.so");
    assert!(!found);
    assert_eq!(what, "this build of flow cannot use ONNX Runtime (`/none/libonnxruntime.so`)");
    assert_eq!(
        hint,
        "build it with `cargo build --features ort`, or unset `FLOW_ONNXRUNTIME` to read by rten"
    );
}

#[cfg(feature = "ort")]
#[test]
fn doctor_says_that_the_library_of_onnx_runtime_is_missing_or_no_library() {
    let world = World::new();
    let hint =
        "`scripts/fetch-onnxruntime` fetches it; or unset `FLOW_ONNXRUNTIME` to read by rten";
    let said = engine_by(&world, "/none/libonnxruntime.so");
    let missing = "the library of ONNX Runtime `/none/libonnxruntime.so` is missing";
    assert_eq!(said, (false, missing.to_owned(), hint.to_owned()));

    world.write("libonnxruntime.so", "no library");
    let (found, what, why) = engine_by(&world, "libonnxruntime.so");
    assert!(!found);
    assert!(what.starts_with("cannot use the library of ONNX Runtime `/"), "{what}");
    assert!(what.contains("/libonnxruntime.so`: failed to load from `"), "{what}");
    assert_eq!(why, hint);
}

/// The error of a step is that of `doctor`, and it is not tried again.
#[test]
fn a_page_is_not_read_where_onnx_runtime_is_named_and_cannot_be_used() {
    let world = World::new();
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/workflows/samples/invoice.pdf");
    world.write(
        "w.yaml",
        "name: w\ninputs: { file: { type: file } }\nsteps:\n  - id: pages\n    uses: document.pages\n    with: { file: '{{ inputs.file }}' }\n  - id: read\n    uses: document.ocr\n    with: { image: '{{ steps.pages.output.pages[0].image }}' }\n",
    );
    let mut command = world.command(&["run", "w.yaml", "--input", &format!("file={sample}")]);
    let said = run(command.env("FLOW_ONNXRUNTIME", "/none/libonnxruntime.so")).exits(1).stderr;
    let why = if cfg!(feature = "ort") {
        "the library of ONNX Runtime `/none/libonnxruntime.so` is missing"
    } else {
        "this build of flow cannot use ONNX Runtime (`/none/libonnxruntime.so`)"
    };
    assert!(said.contains(why), "{said}");
}
