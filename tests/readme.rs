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
