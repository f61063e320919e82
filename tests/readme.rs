//! What the README and the pages of the guide show runs as it stands there.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;

use support::{World, say};

/// The lines that a page shows as typed into a terminal.
fn typed(page: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(page).unwrap_or_else(|e| panic!("{}: {e}", page.display()));
    let blocks = text.split("```console\n").skip(1);
    let blocks = blocks.map(|rest| rest.split("```").next().unwrap_or(rest));
    let lines = blocks.flat_map(str::lines);
    lines.filter_map(|line| line.strip_prefix("$ ").map(str::to_owned)).collect()
}

fn copy(from: &Path, to: &Path) {
    for file in support::files(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        if !target.components().any(|part| part.as_os_str() == ".flow") {
            std::fs::create_dir_all(target.parent().unwrap()).unwrap();
            std::fs::copy(&file, target).unwrap();
        }
    }
}

/// Where this machine keeps the models of OCR; none where it has none.
fn models() -> Option<String> {
    if let Ok(folder) = std::env::var("FLOW_OCR_MODELS") {
        return Some(folder);
    }
    let variable = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
    let cache = variable("FLOW_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|cache| format!("{cache}/flow")))
        .or_else(|| variable("HOME").map(|home| format!("{home}/.cache/flow")))?;
    let folder = format!("{cache}/models/pp-ocrv6-small");
    Path::new(&folder).is_dir().then_some(folder)
}

fn runs(page: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let commands = typed(&root.join(page));
    assert!(!commands.is_empty(), "{page} shows no command");
    let world = World::new();
    copy(&root.join("workflows"), &world.path("workflows"));
    let models = models();
    for line in commands {
        let words: Vec<_> = line.split(' ').collect();
        let Some(("flow", args)) = words.split_first().map(|(first, rest)| (*first, rest)) else {
            panic!("{page}: `{line}` is no command of flow");
        };
        let mut command = world.command(args);
        match &models {
            Some(folder) => drop(command.env("FLOW_OCR_MODELS", folder)),
            None if line.contains("scan") => {
                say(&format!("skipped: `{line}` needs the models of OCR"));
                continue;
            }
            None => {}
        }
        let output = support::run(&mut command);
        assert_eq!(output.code, Some(0), "{page}: `{line}`: {output:#?}");
        assert!(!output.stdout.is_empty() || !output.stderr.is_empty(), "{page}: `{line}`");
    }
}

#[test]
fn the_readme_runs() {
    runs("README.md");
}

#[test]
fn the_page_about_cassettes_runs() {
    runs("docs/cassettes.md");
}

#[test]
fn the_page_about_schedules_runs() {
    runs("docs/schedules.md");
    let world = World::new();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schedules.md");
    for text in shown(&page) {
        world.write("invoices.yaml", &text);
        let checked = world.flow(&["check", "invoices.yaml"]).exits(0);
        assert_eq!(checked.stderr.matches("error").count(), 0, "{}", checked.stderr);
    }
}

/// A program that answers as a model what stands in `answer`.
const ANSWERS: &str = "#!/bin/sh\ncat > /dev/null\ncat answer\n";

/// What a page shows as YAML.
fn shown(page: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(page).unwrap();
    let blocks = text.split("```yaml\n").skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap_or(rest).to_owned()).collect()
}

#[test]
fn the_page_about_tasks_runs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let world = World::new();
    copy(&root.join("workflows/samples"), &world.path("samples"));
    world.script("answer.sh", ANSWERS);
    let config = "providers: {mine: {type: command, command: [./answer.sh]}}\n";
    world.write("config.yaml", config);
    let flow = |args: &[&str]| {
        let mut command = world.command(args);
        command.env("FLOW_CONFIG", world.path("config.yaml"));
        support::run(&mut command)
    };
    let mut ran = 0;
    for text in shown(&root.join("docs/tasks.md")) {
        if let Some(file) = text.strip_prefix("# tasks/").and_then(|rest| rest.split('\n').next()) {
            world.write(&format!("tasks/{file}"), &text);
            let name = file.trim_end_matches(".yaml");
            let step = format!(
                "steps: [{{id: a, uses: task.{name}, model: auto, with: {{image: samples/scan.png}}}}]\noutputs: {{a: '{{{{ steps.a.output }}}}'}}\n"
            );
            world.write("w.yaml", &step);
            world.write("answer", r#"{"shop": "Acme", "paid": 5}"#);
            let output = flow(&["run", "w.yaml", "--model", "*=mine/m", "--json"]).exits(0).json();
            assert_eq!(output["outputs"]["a"]["line"], "Acme: 5 EUR");
        } else {
            let (_, task) = text.rsplit_once("uses: task.").unwrap();
            let task = task.lines().next().unwrap();
            let cases = root.join(format!("workflows/tasks/cases/{task}.json"));
            let cases: serde_json::Value =
                serde_json::from_str(&std::fs::read_to_string(cases).unwrap()).unwrap();
            world.write("w.yaml", &text);
            if text.contains("agree:") {
                // Two models that answer differently are `tests/agree.rs`'s.
                flow(&["check", "w.yaml"]).exits(0);
                continue;
            }
            // An answer may have a key `text` itself.
            let reply = serde_json::json!({ "text": cases["good"][0].to_string() });
            world.write("answer", &reply.to_string());
            flow(&["run", "w.yaml", "--model", "*=mine/m", "--json"]).exits(0);
        }
        ran += 1;
    }
    assert_eq!(ran, 5);
}
