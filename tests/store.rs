//! A store that cannot be used is named, with what to do; nothing in it is lost.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;
use std::process::Command;

use serde_json::json;
use support::{World, execute, kept};

const PLAIN: &str = "name: plain\nsteps: [{ id: a, uses: value.set, with: { value: 1 } }]\n";

/// What every command says of a store that it cannot use.
#[track_caller]
fn every_command_says(world: &World, error: &str) {
    for args in [
        &["run", "w.yaml"][..],
        &["runs"],
        &["show", "01"],
        &["logs", "01"],
        &["prune", "--older-than", "1d"],
        &["resume", "01"],
        &["cancel", "01"],
        &["approve", "01"],
    ] {
        let output = world.flow(args).exits(1);
        // Beside a workflow the path is whole, else as it was given.
        let stderr = output.stderr.replace(&shown(world, ""), "");
        assert_eq!((output.stdout.as_str(), stderr.as_str()), ("", error), "{args:?}");
    }
    let doctor = world.flow(&["doctor", "--json"]).exits(1).json();
    assert_eq!(doctor[0]["found"], false);
    assert!(error.starts_with(&format!("error: {}", doctor[0]["what"].as_str().unwrap())));
}

/// A path in the folder of a test, whole.
fn shown(world: &World, name: &str) -> String {
    world.path(name).display().to_string()
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_alone() {
    let world = World::with(PLAIN);
    let text = "my holiday photos ".repeat(500);
    world.write("s/flow.db", &text);
    for args in [&["run", "w.yaml", "--store", "s"][..], &["runs", "--store", "s"]] {
        let output = world.flow(args).exits(1);
        assert_eq!(
            output.stderr,
            "error: s/flow.db is not a store of flow: file is not a database\nhint: point --store or FLOW_STORE to another folder, or move the file away\n"
        );
    }
    assert_eq!(std::fs::read_to_string(world.path("s/flow.db")).unwrap(), text);
    world.write("file", "");
    let output = world.flow(&["run", "w.yaml", "--store", "file"]).exits(1);
    assert_eq!(output.stderr, "error: cannot use file: File exists (os error 17)\n");
}

#[test]
fn a_store_of_a_newer_flow_is_left_alone() {
    let world = World::with(PLAIN);
    world.flow(&["run", "w.yaml", "--store", "s"]).exits(0);
    execute(
        &world.path("s"),
        "INSERT INTO _sqlx_migrations VALUES (99999999999999, 'later', 0, 1, x'00', 0)",
    );
    for args in [&["run", "w.yaml", "--store", "s"][..], &["runs", "--store", "s"]] {
        let output = world.flow(args).exits(1);
        let (first, hint) = output.stderr.split_once('\n').unwrap();
        assert!(
            first.starts_with("error: s/flow.db was written by a newer flow: it has version 99999999999999, and this flow reads up to "),
            "{first}"
        );
        assert_eq!(hint, "hint: upgrade flow\n");
    }
}

#[test]
fn a_damaged_store_is_said_by_doctor() {
    let world = World::with(PLAIN);
    world.flow(&["run", "w.yaml"]).exits(0);
    let file = world.path(".flow/flow.db");
    let whole = std::fs::read(&file).unwrap();
    let mut damaged = whole.clone();
    // The header stays, so that it is still a database.
    damaged[4096..].fill(0x5a);
    std::fs::write(&file, &damaged).unwrap();
    for wal in ["flow.db-wal", "flow.db-shm"] {
        let _ = std::fs::remove_file(world.path(".flow").join(wal));
    }
    every_command_says(
        &world,
        "error: .flow/flow.db is damaged: database disk image is malformed\nhint: restore it from a backup, or move it away and run again; `sqlite3 FILE .recover` saves what is readable\n",
    );
    std::fs::write(&file, &whole).unwrap();
    world.flow(&["runs"]).exits(0);
}

#[test]
fn a_file_of_the_store_that_changed_is_not_given_out() {
    let world = World::with(
        "name: file\ninputs: { file: { type: file } }\nsteps: [{ id: each, for_each: '{{ inputs.file }}', uses: value.set, with: { value: '{{ item }}' } }]\n",
    );
    world.write("rows.jsonl", "1\n2\n");
    world.flow(&["run", "w.yaml", "--input", "file=rows.jsonl"]).exits(0);
    let run = world.only_run();
    let kept = support::files(&world.path(".flow/artifacts"));
    assert_eq!(kept.len(), 1);
    std::fs::remove_file(&kept[0]).unwrap();
    let doctor = world.flow(&["doctor", "--json"]).exits(1).json();
    assert_eq!(doctor[0]["found"], false, "{doctor:#}");
    // What is done needs the file no more; what is to be done again does.
    world.flow(&["resume", &run]).exits(0);
    let file = std::fs::read_to_string(world.path("w.yaml")).unwrap();
    world.write("w.yaml", &file.replace("{{ item }}", "{{ item }}!"));
    let again = ["resume", &run, "--from-file", "w.yaml"];
    let resumed = world.flow(&again).exits(1);
    let error = "\nhint: restore the file from a backup, or run the workflow again\n";
    assert!(resumed.stderr.contains(error), "{}", resumed.stderr);
    std::fs::write(&kept[0], "1\n3\n").unwrap();
    let resumed = world.flow(&again).exits(1);
    assert!(resumed.stderr.contains("does not hold what was kept"), "{}", resumed.stderr);
    std::fs::write(&kept[0], "1\n2\n").unwrap();
    world.flow(&again).exits(0);
}

/// A file system of its own; none where that is not allowed.
struct Mount<'w>(&'w Path);

impl<'w> Mount<'w> {
    fn new(folder: &'w Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(folder).unwrap();
        let mut mount = Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]);
        match mount.arg(folder).output() {
            Ok(output) if output.status.success() => Some(Self(folder)),
            Ok(_) | Err(_) => {
                support::say("skipped: mounting a tmpfs is not allowed here");
                None
            }
        }
    }

    fn remount(&self, options: &str) {
        let mut mount = Command::new("mount");
        let mount = mount.args(["-o", &format!("remount,{options}")]).arg(self.0);
        assert!(mount.status().unwrap().success());
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_run_that_fills_the_disk_says_so_and_goes_on_with_space() {
    let world = World::with(
        "name: full\nsteps:\n  - { id: each, for_each: 4000, uses: value.set, with: { value: '{{ item }} is an item of many, and what it yields takes some room in the store' } }\n  - { id: count, uses: value.set, with: { value: '{{ steps.each.output | length }}' } }\noutputs: { count: '{{ steps.count.output }}' }\n",
    );
    let store = world.path(".flow");
    let Some(mount) = Mount::new(&store, "1m") else {
        return;
    };
    let output = world.flow(&["run", "w.yaml", "--json"]).exits(1);
    let error = format!(
        "error: cannot write to {}: the disk is full\nhint: free some space, then `flow resume RUN`: what was acknowledged is kept\n",
        shown(&world, ".flow/flow.db")
    );
    assert!(output.stderr.ends_with(&error), "{}", output.stderr);
    mount.remount("size=64m");
    let before = kept(&store);
    before.follows_its_journal();
    let done = output.stderr.lines().filter(|line| line.starts_with("✓ each[")).count();
    let held = before.steps.values().filter(|status| *status == "succeeded").count();
    assert!(held >= done, "{held} of {done}");
    let run = world.only_run();
    let resumed = world.flow(&["resume", &run, "--json"]).exits(0);
    assert_eq!(resumed.json()["outputs"], json!({ "count": 4000 }));
    let after = kept(&store);
    after.follows_its_journal();
    assert_eq!(after.steps.len(), 4002);
}

#[test]
fn a_read_only_store_can_be_read_and_says_that_it_is() {
    let world = World::with(PLAIN);
    let store = world.path(".flow");
    let Some(mount) = Mount::new(&store, "8m") else {
        return;
    };
    let run = world.flow(&["run", "w.yaml", "--json"]).exits(0).run();
    mount.remount("ro");
    let hint = "hint: allow writing there, or choose another folder with --store or FLOW_STORE\n";
    let output = world.flow(&["run", "w.yaml"]).exits(1);
    let lock = shown(&world, ".flow/locks/open.lock");
    assert_eq!(output.stderr, format!("error: cannot write to {lock}: it is read-only\n{hint}"));
    let shown = world.flow(&["show", &run, "--json"]).exits(0).json();
    assert_eq!(shown["status"], "succeeded");
    world.flow(&["runs"]).exits(0);
    world.flow(&["logs", &run, "--events"]).exits(0);
    let resumed = world.flow(&["resume", &run]).exits(1);
    assert!(resumed.stderr.starts_with("error: cannot "), "{}", resumed.stderr);
}
