//! What an author of plugins types, by the real binary.

#![cfg(feature = "plugins")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use support::{Output, World, say};

/// A folder with a plugin that was built.
fn world() -> World {
    let world = World::new();
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/tests/guests");
    world.write("sample/plugin.yaml", "plugin: { name: sample, version: 1.0.0 }\ncapabilities: { http: [{ host: api.example.com }] }\n");
    for guest in ["sample.wasm", "parrot.wasm"] {
        std::fs::copy(guests.join(guest), world.path("sample").join(guest)).unwrap();
    }
    world
}

#[test]
fn a_plugin_says_what_it_is() {
    let world = world();
    let told = world.flow(&["plugin", "inspect", "sample"]).exits(0).stdout;
    assert!(told.starts_with("sample@1.0.0, a step\n"), "{told}");
    for line in
        ["interface  flow:plugin@0.1.0\n", "asks for   http: GET, HEAD to api.example.com\n"]
    {
        assert!(told.contains(line), "{told}");
    }
    let told = world.flow(&["plugin", "inspect", "sample", "--json"]).exits(0).json();
    assert_eq!((&told["kind"], &told["interface"]), (&json!("step"), &json!("flow:plugin@0.1.0")));
    assert_eq!(told["sha256"].as_str().unwrap().len(), 64);
    let told = world.flow(&["plugin", "inspect", "sample/parrot.wasm", "--json"]).exits(0).json();
    assert_eq!(told["kind"], "provider");
    let told = world.flow(&["plugin", "inspect", "nobody"]).exits(1).stderr;
    assert_eq!(
        told,
        "error: plugin `nobody` is not installed\n\
         hint: `flow plugin ls` says which are, `flow plugin install` installs one\n"
    );
}

#[test]
fn a_plugin_is_called_once() {
    let world = world();
    let ran =
        world.flow(&["plugin", "run", "sample", "--input", r#"{"do": "echo", "text": "hi"}"#]);
    let ran = ran.exits(0);
    assert_eq!(ran.json(), json!({ "echo": "hi", "greeting": null }));
    assert_eq!(ran.stderr, "info: done\n");
    let asked = r#"{"do": "fetch", "url": "https://api.example.com/"}"#;
    let told = world.flow(&["plugin", "run", "sample", "--input", asked]).exits(1).stderr;
    assert!(
        told.ends_with(
            "hint: grant it in the workflow:\nplugins:\n  sample:\n    grant:\n      \
             http: [{ host: \"api.example.com\", methods: [GET] }]\n"
        ),
        "{told}"
    );
    world.write("in/input.json", r#"{"do": "sum", "file": "data.txt"}"#);
    world.write("in/data.txt", "abc");
    let ran = world.flow(&["plugin", "run", "sample", "--input", "@in/input.json"]).exits(0);
    assert_eq!(ran.json(), json!({ "sum": 294 }));
    let asked = r#"{"model": "loud", "prompt": "hello"}"#;
    let ran = world.flow(&["plugin", "run", "sample/parrot.wasm", "--input", asked]).exits(0);
    assert_eq!(ran.json()["text"], "HELLO");
}

#[test]
fn a_case_that_fails_shows_the_difference() {
    let world = world();
    world.write(
        "sample/cases/a.yaml",
        "input: { do: echo, text: hi }\noutput: { echo: ho, greeting: null }\n",
    );
    world.write(
        "sample/cases/b.yaml",
        "input: { do: echo }\noutput: { echo: null, greeting: null }\n",
    );
    let told = world.flow(&["plugin", "test", "sample"]).exits(1);
    assert_eq!(
        told.stdout,
        "FAILED  a\n  output.echo: expected \"ho\", got \"hi\"\n  log: info: done\nok      b\n"
    );
    assert_eq!(told.stderr, "2 cases, 1 failed\n");
    world.flow(&["plugin", "test", "sample", "--update"]).exits(0);
    world.flow(&["plugin", "test", "sample"]).exits(0);
}

#[test]
fn an_installed_plugin_is_used_by_its_name() {
    let world = world();
    let told = world.flow(&["plugin", "install", "sample"]).exits(0).stderr;
    assert!(told.contains("asks for   http: GET, HEAD to api.example.com\n"), "{told}");
    world.write(
        "w.yaml",
        "plugins: { sample: { use: sample@1.0.0 } }\nsteps:\n  - { id: a, uses: plugin.sample, with: { do: echo, text: hi } }\noutputs: { a: \"{{ steps.a.output.echo }}\" }\n",
    );
    assert_eq!(world.flow(&["run", "w.yaml", "--json"]).exits(0).json()["outputs"]["a"], "hi");
    let listed = world.flow(&["plugin", "ls", "--json"]).exits(0).json();
    assert_eq!((&listed[0]["name"], &listed[0]["version"]), (&json!("sample"), &json!("1.0.0")));
    world.flow(&["plugin", "rm", "sample"]).exits(0);
    assert_eq!(world.flow(&["plugin", "ls", "--json"]).exits(0).json(), json!([]));
}

#[test]
fn a_missing_tool_shows_the_command() {
    let world = World::new();
    for (lang, told) in [
        (
            "rust",
            "error: cargo is missing\nhint: install Rust by rustup, then `rustup target add wasm32-wasip2`\n",
        ),
        ("js", "error: componentize-qjs is missing\nhint: `npm install` in the plugin's folder\n"),
        (
            "python",
            "error: componentize-py is missing\nhint: `python3 -m venv .venv && .venv/bin/pip install -r requirements.txt` in the plugin's folder\n",
        ),
        ("c", "error: zig is missing\nhint: `pip install ziglang`\n"),
    ] {
        world.flow(&["plugin", "new", lang, "--lang", lang]).exits(0);
        let mut command = world.command(&["plugin", "build", lang]);
        command.env("PATH", "").env_remove("CARGO").env_remove("RUSTC").env_remove("ZIG");
        assert_eq!(support::run(&mut command).exits(1).stderr, told);
    }
}

/// What Rust is built for WebAssembly with here; none where it cannot be.
fn toolchain() -> Option<Vec<(&'static str, PathBuf)>> {
    let home = PathBuf::from(std::env::var_os("HOME")?);
    let own = |name: &str, folder: &str| {
        std::env::var_os(name).map_or_else(|| home.join(folder), PathBuf::from)
    };
    let mut variables = vec![
        ("CARGO_HOME", own("CARGO_HOME", ".cargo")),
        ("RUSTUP_HOME", own("RUSTUP_HOME", ".rustup")),
    ];
    let rustc = Command::new("rustc").args(["--print", "sysroot"]).output().ok()?;
    let sysroot = PathBuf::from(String::from_utf8(rustc.stdout).ok()?.trim());
    let has = |target: &str| sysroot.join("lib/rustlib").join(target).is_dir();
    if has("wasm32-wasip2") || has("wasm32-unknown-unknown") {
        return Some(variables);
    }
    Path::new("/usr/lib/rustlib/src/rust/library/std").is_dir().then(|| {
        variables.extend([("CARGO", "/usr/bin/cargo".into()), ("RUSTC", "/usr/bin/rustc".into())]);
        variables
    })
}

/// The words of a line, those in quotes as one.
fn words(line: &str) -> Vec<String> {
    let pieces = line.split('\'').enumerate();
    pieces
        .flat_map(|(index, piece)| match index % 2 {
            0 => piece.split_whitespace().map(str::to_owned).collect(),
            _ => vec![piece.to_owned()],
        })
        .collect()
}

#[test]
fn the_page_for_authors_runs() {
    let Some(variables) = toolchain() else {
        say("skipped: Rust's target wasm32-wasip2 is not here");
        return;
    };
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/plugin-authors.md");
    let text = std::fs::read_to_string(page).unwrap();
    let lines: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("$ flow ")).collect();
    assert!(lines.len() >= 8);
    let world = World::new();
    for line in lines {
        let words = words(line);
        let args: Vec<_> = words.iter().map(String::as_str).collect();
        let mut command = world.command(&args);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let output: Output = support::run(&mut command).exits(0);
        if args[1] == "run" {
            assert_eq!(output.json(), json!({ "words": 2 }));
        }
    }
}

/// Where the tools of a language lie that `scripts/fetch-guest-tools` fetched, and what a
/// plugin's folder calls that place; none where they were not fetched.
fn tools(lang: &str) -> Option<(PathBuf, &'static str)> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home)?;
    let (tool, place, name) = match lang {
        "js" => ("js/node_modules/.bin/componentize-qjs", "js/node_modules", "node_modules"),
        "python" => ("venv/bin/componentize-py", "venv", ".venv"),
        _ => ("venv/bin/python-zig", "venv", ".venv"),
    };
    let folder = cache.join("flow/guest-tools");
    folder.join(tool).exists().then(|| (folder.join(place), name))
}

/// A command that builds a plugin with tools that were fetched.
fn with_tools(world: &World, args: &[&str], tools: &Path) -> Output {
    let mut command = world.command(args);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = [tools.join("bin")].into_iter().chain(std::env::split_paths(&path));
    command.env("PATH", std::env::join_paths(places).unwrap());
    support::run(&mut command)
}

#[cfg(unix)]
#[test]
fn a_plugin_is_made_in_each_language() {
    for lang in ["js", "python", "c"] {
        let Some((tools, place)) = tools(lang) else {
            say(&format!("skipped: `scripts/fetch-guest-tools` has no tools for {lang}"));
            continue;
        };
        let world = World::new();
        world.flow(&["plugin", "new", "mine", "--lang", lang]).exits(0);
        std::os::unix::fs::symlink(&tools, world.path("mine").join(place)).unwrap();
        with_tools(&world, &["plugin", "build", "mine"], &tools).exits(0);
        world.flow(&["plugin", "test", "mine"]).exits(0);
        let input = r#"{"text": "two words"}"#;
        let ran = world.flow(&["plugin", "run", "mine", "--input", input]).exits(0);
        assert_eq!(ran.json(), json!({ "words": 2 }), "{lang}");
    }
}

#[cfg(unix)]
#[test]
fn the_example_in_javascript_is_built_and_passes_its_cases() {
    let Some((tools, place)) = tools("js") else {
        say("skipped: `scripts/fetch-guest-tools` has no tools for js");
        return;
    };
    let world = World::new();
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins");
    let example = plugins.join("examples/ubl-invoice");
    for file in ["plugin.js", "plugin.yaml", "cases/markup.yaml", "cases/no-number.yaml"] {
        world.write(&format!("ubl/{file}"), &std::fs::read_to_string(example.join(file)).unwrap());
    }
    let interface = std::fs::read_to_string(plugins.join("wit/flow.wit")).unwrap();
    world.write("ubl/wit/flow.wit", &interface);
    std::os::unix::fs::symlink(&tools, world.path("ubl").join(place)).unwrap();
    with_tools(&world, &["plugin", "build", "ubl"], &tools).exits(0);
    let told = world.flow(&["plugin", "test", "ubl"]).exits(0);
    assert_eq!(told.stdout, "ok      markup\nok      no-number\n");
}

/// A folder with the plugin `intruder`, which was built from Python: a language with all of its
/// library is the best a stranger can have to look around with.
#[cfg(unix)]
fn intruder() -> Option<World> {
    let Some((tools, place)) = tools("python") else {
        say("skipped: `scripts/fetch-guest-tools` has no tools for python");
        return None;
    };
    let world = World::new();
    world.flow(&["plugin", "new", "intruder", "--lang", "python"]).exits(0);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/tests/intruder/app.py");
    std::fs::copy(source, world.path("intruder/app.py")).unwrap();
    std::os::unix::fs::symlink(&tools, world.path("intruder").join(place)).unwrap();
    with_tools(&world, &["plugin", "build", "intruder"], &tools).exits(0);
    Some(world)
}

#[cfg(unix)]
#[test]
fn a_plugin_in_python_finds_nothing_of_the_machine() {
    let Some(world) = intruder() else { return };
    for (way, came) in [
        (
            "read",
            json!({ "refused": "FileNotFoundError: [Errno 44] No such file or directory: '/etc/passwd'" }),
        ),
        (
            "write",
            json!({ "refused": "FileNotFoundError: [Errno 44] No such file or directory: 'left-behind'" }),
        ),
        (
            "folder",
            json!({ "refused": "FileNotFoundError: [Errno 44] No such file or directory: '/'" }),
        ),
        ("environment", json!({ "came": {} })),
        ("connect", json!({ "refused": "gaierror: [Errno -4] Non-recoverable error" })),
        ("resolve", json!({ "refused": "gaierror: [Errno -4] Non-recoverable error" })),
        ("thread", json!({ "refused": "RuntimeError: can't start new thread" })),
        ("process", json!({ "refused": "OSError: [Errno 58] wasi does not support processes." })),
        ("standard_input", json!({ "came": "" })),
        ("arguments", json!({ "came": [] })),
    ] {
        let input = json!({ "way": way }).to_string();
        let ran = world.flow(&["plugin", "run", "intruder", "--input", &input]).exits(0);
        assert_eq!(ran.json(), came, "{way}");
    }
    assert!(!world.path("left-behind").exists() && !world.path("intruder/left-behind").exists());
}

#[cfg(unix)]
#[test]
fn of_a_folder_that_was_granted_files_are_read_and_no_more() {
    let Some(world) = intruder() else { return };
    world.write("rules/tax/de.txt", "19");
    world.write("secret.txt", "hidden");
    std::os::unix::fs::symlink("/etc", world.path("rules/out")).unwrap();
    std::os::unix::fs::symlink("../secret.txt", world.path("rules/beside")).unwrap();
    let manifest = std::fs::read_to_string(world.path("intruder/plugin.yaml")).unwrap();
    let asks = format!("{manifest}\ncapabilities: {{ dirs: [{{ path: rules, mode: ro }}] }}\n");
    world.write("intruder/plugin.yaml", &asks);
    let grant = "{ dirs: [{ path: ./rules, mode: ro }] }";
    let asked = |way: &str, path: &str| {
        let input = json!({ "way": way, "path": path }).to_string();
        let args = ["plugin", "run", "intruder", "--allow", grant, "--input", &input];
        world.flow(&args).exits(0).json()
    };
    assert_eq!(asked("read", "rules/tax/de.txt"), json!({ "came": "19" }));
    assert_eq!(asked("read", "/rules/tax/de.txt"), json!({ "came": "19" }));
    assert_eq!(asked("folder", "rules/tax"), json!({ "came": ["de.txt"] }));
    for (way, path) in [
        ("write", "rules/tax/de.txt"),
        ("write", "rules/new.txt"),
        ("remove", "rules/tax/de.txt"),
        ("link", "rules/link"),
        ("read", "rules/out/passwd"),
        ("read", "rules/beside"),
        ("read", "rules/../secret.txt"),
        ("read", "secret.txt"),
        ("folder", "rules/.."),
    ] {
        let came = asked(way, path);
        assert!(came["refused"].is_string(), "{way} {path}: {came}");
    }
    assert_eq!(std::fs::read_to_string(world.path("rules/tax/de.txt")).unwrap(), "19");
    assert!(!world.path("rules/new.txt").exists() && !world.path("rules/link").exists());

    let workflow = |path: &str| {
        world.write("w.yaml", &format!(
            "plugins: {{ intruder: {{ path: ./intruder, grant: {{ dirs: [{{ path: {path} }}] }} }} }}\nsteps:\n  - {{ id: a, uses: plugin.intruder, with: {{ way: read, path: rules/tax/de.txt }} }}\noutputs: {{ a: \"{{{{ steps.a.output }}}}\" }}\n"
        ));
    };
    workflow("./rules");
    let ran = world.flow(&["run", "w.yaml", "--json"]).exits(0).json();
    assert_eq!(ran["outputs"]["a"], json!({ "came": "19" }));
    workflow("./rules/tax/missing");
    let told = world.flow(&["check", "w.yaml"]).exits(2).stderr;
    assert!(told.contains("error: there is no folder `rules/tax/missing`\n"), "{told}");
}

/// The workflow beside the others, with the plugin where it stands in the project.
#[test]
fn an_invoice_is_checked_by_a_plugin() {
    let world = World::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["workflows", "plugins/examples/check-totals"] {
        for file in support::files(&root.join(folder)) {
            let to = world.path(file.strip_prefix(root).unwrap().to_str().unwrap());
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(&file, to).unwrap();
        }
    }
    let file = "file=workflows/samples/invoice.pdf";
    let ran = world.flow(&["run", "workflows/checked-invoice.yaml", "--input", file, "--json"]);
    let outputs = &ran.exits(0).json()["outputs"];
    assert_eq!(outputs["adds_up"], true, "{outputs:#}");
    assert_eq!(outputs["problems"], json!([]));
}
