//! What a run may touch on the disk, and what it makes of odd things there.

#![cfg(unix)]

mod support;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use support::World;

/// Runs `inner.yaml`, which takes a file, with what a program answered as its path.
const COMPUTED: &str = r#"
name: outer
models: { mine: here/model }
providers:
  here: { type: command, command: [./answer.sh] }
steps:
  - { id: ask, uses: model.generate, model: mine, with: { prompt: x } }
  - id: sub
    uses: workflow.run
    with: { workflow: inner.yaml, inputs: { file: "{{ steps.ask.output }}" } }
"#;

const INNER: &str = r#"
name: inner
inputs: { file: { type: file } }
steps: [{ id: show, uses: value.set, with: { value: "{{ inputs.file.name }}" } }]
outputs: { name: "{{ steps.show.output }}" }
"#;

#[test]
fn a_path_that_a_model_answers_stays_within_the_folder_also_for_a_workflow_in_the_workflow() {
    let world = World::with(COMPUTED);
    world.write("inner.yaml", INNER);
    world.write("../outside", "secret");
    world.script("answer.sh", "#!/bin/sh\ncat > /dev/null\necho ../outside\n");
    let failed = world.flow(&["run", "w.yaml"]).exits(1);
    let folder = world.folder().canonicalize().unwrap();
    let told = format!(
        "sub: `file: ../outside` is outside the workflow's folder `{}` (input)\n  hint: a path computed by a step may only name files in the workflow's folder\n",
        folder.display()
    );
    assert!(failed.stderr.contains(&told), "{}", failed.stderr);
    assert!(
        support::files(&world.path(".flow/artifacts"))
            .iter()
            .all(|kept| { std::fs::read(kept).unwrap() != b"secret" })
    );

    world.script("answer.sh", "#!/bin/sh\ncat > /dev/null\necho inside\n");
    world.write("inside", "mine");
    let fine = world.flow(&["run", "w.yaml", "--no-cache", "--json"]).exits(0).json();
    assert_eq!(fine["steps"]["sub"]["output"]["name"], "inside");
}

#[test]
fn a_path_that_the_owner_writes_for_a_workflow_in_the_workflow_may_leave_the_folder() {
    let world = World::with(
        "name: outer\nsteps: [{ id: sub, uses: workflow.run, with: { workflow: inner.yaml, inputs: { file: ../outside } } }]\n",
    );
    world.write("inner.yaml", INNER);
    world.write("../outside", "mine");
    let run = world.flow(&["run", "w.yaml", "--json"]).exits(0).json();
    assert_eq!(run["steps"]["sub"]["output"]["name"], "outside");
}

#[test]
fn what_a_file_of_items_says_is_nobody_s_word() {
    let world = World::with(
        "name: rows\ninputs: { rows: { type: file } }\nsteps: [{ id: read, for_each: '{{ inputs.rows }}', uses: file.write, with: { path: '{{ item.to }}', content: x } }]\n",
    );
    world.write("rows.jsonl", "{\"to\": \"../outside\"}\n");
    let failed = world.flow(&["run", "w.yaml", "--input", "rows=rows.jsonl"]).exits(1);
    assert!(failed.stderr.contains("`path: ../outside` is outside the workflow's folder"));
    assert!(!world.path("../outside").exists());
}

#[test]
fn the_same_name_for_another_program_is_another_model() {
    let world = World::new();
    for name in ["one", "two"] {
        world.script(&format!("{name}.sh"), &format!("#!/bin/sh\ncat > /dev/null\necho {name}\n"));
        world.write(
            &format!("{name}.yaml"),
            &format!(
                "name: {name}\nmodels: {{ mine: here/model }}\nproviders: {{ here: {{ type: command, command: [./{name}.sh] }} }}\nsteps: [{{ id: ask, uses: model.generate, model: mine, with: {{ prompt: x }} }}]\noutputs: {{ said: '{{{{ steps.ask.output }}}}' }}\n"
            ),
        );
    }
    for name in ["one", "two", "one"] {
        let run = world.flow(&["run", &format!("{name}.yaml"), "--json"]).exits(0).json();
        assert_eq!(run["outputs"]["said"], name);
    }
}

#[test]
fn a_folder_may_be_called_like_a_pattern() {
    let world = World::new();
    let glob = "name: g\nsteps: [{ id: find, uses: file.glob, with: { pattern: '*.txt' } }]\n";
    world.write("scans [2024]/w.yaml", glob);
    world.write("scans [2024]/a.txt", "a");
    let run = world.flow(&["run", "scans [2024]/w.yaml", "--json"]).exits(0).json();
    assert_eq!(run["steps"]["find"]["output"][0]["path"], "a.txt");
}

#[test]
fn a_variable_that_is_no_text_is_left_alone() {
    let world = World::with("name: n\nsteps: [{ id: a, uses: value.set, with: { value: 1 } }]\n");
    let mut command = world.command(&["run", "w.yaml"]);
    support::run(command.env("ODD", OsStr::from_bytes(b"\xff\xfe"))).exits(0);
}

#[test]
fn a_pipe_is_no_file_and_holds_nobody_up() {
    let world = World::with(
        "name: p\ninputs: { file: { type: file } }\nsteps: [{ id: a, uses: value.set, with: { value: '{{ inputs.file.name }}' } }]\n",
    );
    assert!(Command::new("mkfifo").arg(world.path("pipe")).status().unwrap().success());
    let failed = world.flow(&["run", "w.yaml", "--input", "file=pipe"]).exits(1);
    assert!(failed.stderr.contains("into the store: it is no regular file"), "{}", failed.stderr);
}

#[test]
fn a_new_file_gets_the_rights_that_its_owner_gives_new_files() {
    let world = World::with(
        "name: f\nsteps: [{ id: a, uses: file.write, with: { path: out/private.txt, content: x } }]\n",
    );
    let flow = assert_cmd::cargo::cargo_bin!("flow");
    let script = format!("umask 077; exec '{}' run w.yaml", flow.display());
    let mut shell = Command::new("sh");
    let shell = shell.args(["-c", &script]).current_dir(world.folder());
    support::run(shell.env("HOME", world.folder())).exits(0);
    let rights = |name: &str| world.path(name).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(rights("out/private.txt"), 0o600);

    // One that is there keeps those that it has.
    let other = std::fs::Permissions::from_mode(0o640);
    std::fs::set_permissions(world.path("out/private.txt"), other).unwrap();
    world
        .write("w.yaml", &std::fs::read_to_string(world.path("w.yaml")).unwrap().replace('x', "y"));
    world.flow(&["run", "w.yaml"]).exits(0);
    assert_eq!(rights("out/private.txt"), 0o640);
}
