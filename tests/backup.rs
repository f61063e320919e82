//! Copies of a store that is being written, and what is made of them.

mod support;

use support::{World, ended, until};

const LOAD: &str = r#"
name: load
steps:
  - id: all
    for_each: 3000
    max_parallel: 4
    steps:
      - id: said
        uses: value.set
        with: { value: "{{ index }} of many" }
      - id: noted
        uses: file.write
        with: { path: "out/{{ index }}.txt", content: "{{ steps.said.output }}" }
outputs: { count: "{{ steps.all.output | length }}" }
"#;

#[test]
fn a_copy_of_a_store_that_is_written_is_whole_and_its_run_goes_on_elsewhere() {
    let world = World::new();
    world.write("load.yaml", LOAD);
    world.write("scan.txt", "a file that is kept");
    world.write("file.yaml", "inputs: {file: file}\nsteps: [{id: a, uses: value.set, with: {value: '{{ inputs.file }}'}}]\noutputs: {a: '{{ steps.a.output }}'}\n");
    world.flow(&["run", "file.yaml", "-i", "file=scan.txt"]).exits(0);
    let mut child = world.start(&["run", "load.yaml"]);
    let steps = || {
        let runs = world.flow(&["runs", "--workflow", "load", "--json"]).json();
        let run = runs[0]["run"].as_str().map(str::to_owned)?;
        (support::files(&world.path("out")).len() > 100).then_some(run)
    };
    let mut run = None;
    until("the work to begin", || {
        run = steps();
        run.is_some()
    });
    let run = run.expect("a run");
    let copied = world.flow(&["backup", "copy", "--json"]).exits(0).json();
    assert_eq!(copied["files"], 1);
    assert!(child.try_wait().expect("it can be asked").is_none(), "the load was over too soon");
    child.kill().expect("it is killed");
    let _ = ended(child);

    let again = world.flow(&["backup", "copy"]).exits(1);
    assert_eq!(
        again.stderr,
        "error: cannot copy a store to copy: the folder is not empty\n\
         hint: name a folder that is not there yet\n"
    );
    let over = world.flow(&["restore", "copy"]).exits(1);
    assert_eq!(
        over.stderr,
        "error: cannot copy a store to .flow: the folder is not empty\n\
         hint: name a folder that is not there yet\n"
    );
    let none = world.flow(&["restore", "nothing"]).exits(2);
    assert_eq!(
        none.stderr,
        "error: there is no backup in `nothing`\n\
         hint: name the folder that `flow backup` made\n"
    );
    world.flow(&["restore", "copy", "--store", "restored"]).exits(0);
    let resumed = world.flow(&["resume", &run, "--store", "restored", "--json"]).exits(0).json();
    assert_eq!(resumed["outputs"]["count"], 3000);
    let kept = world.flow(&["runs", "--workflow", "file", "--store", "restored", "--json"]).json();
    let shown = world
        .flow(&["show", kept[0]["run"].as_str().unwrap(), "--store", "restored", "--json"])
        .exits(0)
        .json();
    assert_eq!(shown["outputs"]["a"]["name"], "scan.txt");
}

#[test]
fn a_copy_that_is_damaged_is_not_restored() {
    let world = World::new();
    world.write("scan.txt", "a file that is kept");
    world.write("file.yaml", "inputs: {file: file}\nsteps: [{id: a, uses: value.set, with: {value: '{{ inputs.file }}'}}]\n");
    world.flow(&["run", "file.yaml", "-i", "file=scan.txt"]).exits(0);
    world.flow(&["backup", "copy"]).exits(0);
    let file = support::files(&world.path("copy/artifacts")).remove(0);
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, "something else here").unwrap();
    let failed = world.flow(&["restore", "copy", "--store", "restored"]).exits(1);
    assert!(failed.stderr.contains("does not hold what was kept"), "{}", failed.stderr);
    assert!(!world.path("restored").exists());
}
