//! `flow prune`: what it forgets, what it says, and that it can be killed at any moment.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, Instant, SystemTime};

use serde_json::json;
use support::{Chance, World, ended, execute, files, kept, run, until};

const PLAIN: &str = "name: plain\ninputs: { items: { type: integer, default: 2 } }\nsteps: [{ id: a, for_each: '{{ inputs.items }}', uses: value.set, with: { value: '{{ item }}' } }]\n";

/// Everything that ended did so forty days ago.
const AGED: &str = "UPDATE runs SET started = started - 3456000000, ended = ended - 3456000000";

fn aged(world: &World) {
    execute(&world.path(".flow"), AGED);
}

fn runs(world: &World) -> usize {
    world.flow(&["runs", "--json"]).exits(0).json().as_array().unwrap().len()
}

#[test]
fn wrong_usage_is_named_with_what_to_do() {
    let world = World::with(PLAIN);
    let more = "\n\nFor more information, try '--help'.\n";
    let cases: [(&[&str], String); 6] = [
        (
            &["prune"],
            format!("error: the following required arguments were not provided:\n  --older-than <TIME>\n\nUsage: flow prune --older-than <TIME>{more}"),
        ),
        (
            &["prune", "--older-than", "a month"],
            format!("error: invalid value 'a month' for '--older-than <TIME>': `a month` is not a duration such as `30s`, `5m` or `1h30m`{more}"),
        ),
        (
            &["prune", "--older-than", "30d", "--keep", "-1"],
            format!("error: unexpected argument '-1' found\n\nUsage: flow prune [OPTIONS] --older-than <TIME>{more}"),
        ),
        (
            &["prune", "--older-than", "30d", "--dry-run", "--vacuum"],
            format!("error: the argument '--dry-run' cannot be used with '--vacuum'\n\nUsage: flow prune --older-than <TIME> --dry-run{more}"),
        ),
        (
            &["prune", "--older-than", "30d", "--status", "done"],
            "error: there is no status `done`\nhint: running, waiting, interrupted, succeeded, failed or cancelled\n".into(),
        ),
        (
            &["prune", "--older-than", "30d"],
            "error: there is no store in `.flow`\nhint: name it by `--store DIR`\n".into(),
        ),
    ];
    for (args, error) in cases {
        let output = world.flow(args).exits(2);
        assert_eq!((output.stdout.as_str(), output.stderr), ("", error), "{args:?}");
    }
}

#[test]
fn what_is_old_is_forgotten_and_said() {
    let world = World::with(PLAIN);
    for _ in 0..3 {
        world.flow(&["run", "w.yaml"]).exits(0);
    }
    aged(&world);
    let young = world.flow(&["run", "w.yaml", "--json"]).exits(0).run();
    let prune = ["prune", "--older-than", "30d"];
    let dry = world.flow(&[&prune[..], &["--dry-run"]].concat()).exits(0);
    let what = "3 runs, 0 entries of the cache, 0 definitions and 0 files of 0 bytes\n";
    assert_eq!((dry.stdout.as_str(), dry.stderr.as_str()), ("", &*format!("would forget {what}")));
    assert_eq!(runs(&world), 4);
    let some = world.flow(&[&prune[..], &["--keep", "2", "--json"]].concat()).exits(0).json();
    assert_eq!((&some["runs"], &some["dry_run"]), (&json!(2), &json!(false)));
    let rest = world.flow(&prune).exits(0);
    assert_eq!(
        rest.stderr.lines().next(),
        Some("forgot 1 run, 0 entries of the cache, 0 definitions and 0 files of 0 bytes")
    );
    assert_eq!(world.only_run(), young);
}

#[test]
fn the_space_that_gets_free_is_said_and_given_back() {
    let world = World::with(PLAIN);
    world.flow(&["run", "w.yaml", "--input", "items=3000"]).exits(0);
    aged(&world);
    let pruned = world.flow(&["prune", "--older-than", "30d"]).exits(0);
    let last = pruned.stderr.lines().last().unwrap();
    assert!(last.starts_with("the database has "), "{last}");
    assert!(last.ends_with(" are free for what comes; `--vacuum` gives them back"), "{last}");
    let before = std::fs::metadata(world.path(".flow/flow.db")).unwrap().len();
    let vacuum = world.flow(&["prune", "--older-than", "30d", "--vacuum", "--json"]).exits(0);
    let vacuum = vacuum.json();
    let after = std::fs::metadata(world.path(".flow/flow.db")).unwrap().len();
    assert_eq!(
        (vacuum["free_bytes"].as_u64(), vacuum["database_bytes"].as_u64()),
        (Some(0), Some(after))
    );
    assert!(after < before / 4, "{before} and {after}");
    let said = world.flow(&["prune", "--older-than", "30d", "--vacuum"]).exits(0).stderr;
    assert!(said.contains("\nthe database has ") && said.contains(", and had "), "{said}");
}

#[test]
fn what_can_be_resumed_stays_unless_it_is_named() {
    let world = World::with(
        "name: fails\ninputs: { file: { type: file } }\nmodels: { mine: here/model }\nproviders: { here: { type: command, command: [./answer.sh] } }\nsteps: [{ id: a, uses: model.generate, model: mine, with: { prompt: '{{ inputs.file.name }}' } }]\n",
    );
    world.script("answer.sh", "#!/bin/sh\nexit 1\n");
    world.write("x.txt", "x");
    let failed = world.flow(&["run", "w.yaml", "--input", "file=x.txt", "--json"]).exits(1).run();
    aged(&world);
    let none = world.flow(&["prune", "--older-than", "30d", "--json"]).exits(0).json();
    assert_eq!((&none["runs"], &none["files"]), (&json!(0), &json!(0)));
    world.flow(&["resume", &failed]).exits(1);
    aged(&world);
    for file in files(&world.path(".flow/artifacts")) {
        let long_ago = SystemTime::now() - Duration::from_hours(2);
        std::fs::File::open(file).unwrap().set_modified(long_ago).unwrap();
    }
    let args = ["prune", "--older-than", "30d", "--status", "failed", "--status", "cancelled"];
    let both = world.flow(&[&args[..], &["--json"]].concat()).exits(0).json();
    // The input, and the reply of the call, which is empty.
    assert_eq!(
        (&both["runs"], &both["files"], &both["file_bytes"]),
        (&json!(1), &json!(2), &json!(1))
    );
    assert_eq!(runs(&world), 0);
    let resumed = world.flow(&["resume", &failed]).exits(2);
    assert_eq!(
        resumed.stderr,
        format!(
            "error: no run `{failed}` in .flow/flow.db\nhint: `flow runs` lists the runs of the store\n"
        )
    );
}

/// A call that lasts until there is a file `go`.
const SLOW: &str = "name: slow\nmodels: { mine: here/model }\nproviders: { here: { type: command, command: [./answer.sh] } }\nsteps:\n  - { id: call, uses: model.generate, model: mine, with: { prompt: x } }\n  - { id: after, needs: [call], for_each: 50, uses: value.set, with: { value: '{{ item }}' } }\n";
const WAITS: &str = "#!/bin/sh\n: > asked\nwhile [ ! -e go ]; do sleep 0.01; done\necho done\n";

#[test]
fn a_run_that_is_driven_goes_on_beside_a_pruning() {
    let world = World::with(SLOW);
    world.script("answer.sh", WAITS);
    let driver = world.start(&["run", "w.yaml"]);
    until("the call", || world.path("asked").exists());
    let pruned = world.flow(&["prune", "--older-than", "0s", "--status", "running"]).exits(0);
    let lines: Vec<_> = pruned.stderr.lines().take(2).collect();
    assert_eq!(
        lines,
        [
            "forgot 0 runs, 0 entries of the cache, 0 definitions and 0 files of 0 bytes",
            "1 run left: driven by a process"
        ]
    );
    world.write("go", "");
    assert_eq!(ended(driver).code, Some(0));
    let whole = kept(&world.path(".flow"));
    whole.follows_its_journal();
    assert_eq!(whole.count("call", "step_succeeded"), 1);
}

/// What is of use is not forgotten, however long ago it was made.
#[test]
fn an_entry_of_the_cache_that_was_of_use_is_kept() {
    let world = World::with(
        "name: calls\nmodels: { mine: here/model }\nproviders: { here: { type: command, command: [./answer.sh] } }\nsteps: [{ id: call, for_each: [x, y], uses: model.generate, model: mine, cache: true, with: { prompt: '{{ item }}' } }]\n",
    );
    world.flow(&["run", "w.yaml"]).exits(0);
    aged(&world);
    execute(&world.path(".flow"), "UPDATE cache SET at = at - 3456000000");
    let file = std::fs::read_to_string(world.path("w.yaml")).unwrap();
    world.write("one.yaml", &file.replace("[x, y]", "[x]"));
    world.flow(&["run", "one.yaml"]).exits(0);
    let pruned = world.flow(&["prune", "--older-than", "30d", "--json"]).exits(0).json();
    assert_eq!((&pruned["runs"], &pruned["cache"]), (&json!(1), &json!(1)));
    world.flow(&["run", "w.yaml"]).exits(0);
    // The one that was of use is not asked again.
    assert_eq!(world.lines("calls").iter().filter(|call| *call == "x").count(), 1);
    assert_eq!(world.lines("calls").iter().filter(|call| *call == "y").count(), 2);
}

/// Five runs that are old, one of them with rows for many steps, and two that are not.
fn old_and_young() -> (World, Vec<String>) {
    let world = World::with(PLAIN);
    for items in ["items=6000", "items=2", "items=3"] {
        world.flow(&["run", "w.yaml", "--input", items]).exits(0);
    }
    aged(&world);
    let young = (0..2).map(|_| world.flow(&["run", "w.yaml", "--json"]).exits(0).run()).collect();
    (world, young)
}

/// Whatever was killed: those that are listed are whole, and the others are no more.
#[track_caller]
fn is_whole(world: &World, young: &[String]) {
    let doctor = world.flow(&["doctor", "--json"]).json();
    assert_eq!(doctor[0]["found"], true, "{doctor:#}");
    let runs = world.flow(&["runs", "--json"]).exits(0).json();
    let listed: Vec<_> =
        runs.as_array().unwrap().iter().map(|run| run["run"].as_str().unwrap()).collect();
    for run in young {
        assert!(listed.contains(&run.as_str()), "{run} of {listed:?}");
    }
    for run in listed {
        let events = world.flow(&["logs", run, "--events", "--all", "--json"]).exits(0).json();
        let events = events.as_array().unwrap();
        let kinds = |kind: &str| events.iter().filter(|event| event["kind"] == kind).count() as u64;
        let shown = world.flow(&["show", run]).exits(0).stdout;
        let items = kinds("step_succeeded") - 1;
        assert!(shown.contains(&format!("({items} succeeded)")), "{shown}");
        assert_eq!(kinds("run_finished"), 1);
    }
}

#[track_caller]
fn comes_to_its_end(world: &World, young: &[String]) {
    is_whole(world, young);
    world.flow(&["prune", "--older-than", "30d"]).exits(0);
    is_whole(world, young);
    assert_eq!(runs(world), young.len());
    let rows = kept(&world.path(".flow"));
    assert_eq!(rows.steps.len(), 3, "rows of runs that are no more");
}

#[test]
fn a_pruning_killed_after_any_step_leaves_a_whole_store() {
    for at in 1.. {
        assert!(at < 100, "no end");
        let (world, young) = old_and_young();
        let mut command = world.command(&["prune", "--older-than", "30d"]);
        let killed = run(command.env("FLOW_TEST_KILL_AFTER", at.to_string()));
        if killed.code == Some(0) {
            assert!(at > 6, "only {at} steps");
            break;
        }
        assert_eq!(killed.code, None, "{killed:?}");
        comes_to_its_end(&world, &young);
    }
}

/// `kill -9` at times that no step chose. The times come from a generator with a seed.
#[test]
fn a_pruning_killed_from_outside_leaves_a_whole_store() {
    let (world, _) = old_and_young();
    let begun = Instant::now();
    world.flow(&["prune", "--older-than", "30d"]).exits(0);
    let whole = begun.elapsed().as_micros() as u64;
    let mut chance = Chance::new();
    for _ in 0..8 {
        let (world, young) = old_and_young();
        let mut child = world.start(&["prune", "--older-than", "30d"]);
        std::thread::sleep(Duration::from_micros(chance.below(whole)));
        child.kill().unwrap();
        let _ = ended(child);
        comes_to_its_end(&world, &young);
    }
}
