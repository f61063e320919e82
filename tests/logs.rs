//! `flow logs`: the last lines at once, all of them where asked, and those still to come.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{BufRead, BufReader};
use std::process::ChildStdout;

use serde_json::Value;
use support::{World, ended, execute, until};

const PLAIN: &str =
    "name: plain\nsteps: [{ id: a, for_each: 5, uses: value.set, with: { value: 1 } }]\n";

/// 2,500 lines, of two steps in turns.
const LINES: &str = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 2500)
INSERT INTO logs (run, at, path, attempt, line)
SELECT 1, 1795392000000 + n, CASE n % 2 WHEN 0 THEN 'even' ELSE 'odd' END, 1, 'line ' || n FROM n";

fn world() -> (World, String) {
    let world = World::with(PLAIN);
    let run = world.flow(&["run", "w.yaml", "--json"]).exits(0).run();
    execute(&world.path(".flow"), LINES);
    (world, run)
}

/// The numbers of the lines that were printed.
fn numbers(output: &str) -> Vec<u32> {
    let numbers = output.lines().map(|line| line.rsplit_once("line ").unwrap().1);
    numbers.map(|number| number.parse().unwrap()).collect()
}

#[test]
fn the_last_lines_are_printed_and_the_others_counted() {
    let (world, run) = world();
    let cases: [(&[&str], Vec<u32>, &str); 7] = [
        (&[], (1501..=2500).collect(), "1500 earlier lines"),
        (&["--limit", "3"], vec![2498, 2499, 2500], "2497 earlier lines"),
        (&["-n", "2499"], (2..=2500).collect(), "1 earlier line"),
        (&["--limit", "2500"], (1..=2500).collect(), ""),
        (&["--all"], (1..=2500).collect(), ""),
        (&["--step", "odd", "-n", "2"], vec![2497, 2499], "1248 earlier lines"),
        (&["--limit", "0"], vec![], "2500 earlier lines"),
    ];
    for (args, expected, earlier) in cases {
        let printed = world.flow(&[&["logs", &run], args].concat()).exits(0);
        assert_eq!(numbers(&printed.stdout), expected, "{args:?}");
        let note = match earlier {
            "" => String::new(),
            some => format!("{some} not shown: `--limit N` shows the last N, `--all` all\n"),
        };
        assert_eq!(printed.stderr, note, "{args:?}");
        let json = world.flow(&[&["logs", &run, "--json"], args].concat()).exits(0);
        let lines: Vec<_> =
            json.json().as_array().unwrap().iter().map(|line| line["line"].to_string()).collect();
        let expected: Vec<_> = expected.iter().map(|n| format!("\"line {n}\"")).collect();
        assert_eq!((lines, json.stderr), (expected, note), "{args:?}");
    }
    let none = world.flow(&["logs", &run, "--step", "none"]).exits(0);
    assert_eq!((none.stdout.as_str(), none.stderr.as_str()), ("", ""));
    let none = world.flow(&["logs", &run, "--step", "none", "--json"]).exits(0);
    assert_eq!(none.stdout, "[]\n");
}

#[test]
fn events_are_printed_from_the_last_ones_too() {
    let (world, run) = world();
    let all = world.flow(&["logs", &run, "--events", "--all"]).exits(0);
    let lines: Vec<_> = all.stdout.lines().collect();
    assert!(lines.len() > 5 && all.stderr.is_empty(), "{all:?}");
    let last = world.flow(&["logs", &run, "--events", "-n", "2"]).exits(0);
    assert_eq!(last.stdout.lines().collect::<Vec<_>>(), lines[lines.len() - 2..]);
    assert_eq!(
        last.stderr,
        format!(
            "{} earlier events not shown: `--limit N` shows the last N, `--all` all\n",
            lines.len() - 2
        )
    );
    let json = world.flow(&["logs", &run, "--events", "--json"]).exits(0).json();
    let seqs: Vec<_> = json.as_array().unwrap().iter().map(|event| event["seq"].as_u64()).collect();
    assert_eq!(seqs, (1..=lines.len() as u64).map(Some).collect::<Vec<_>>());
}

#[test]
fn an_array_is_printed_as_json_is_everywhere() {
    let (world, run) = world();
    let printed = world.flow(&["logs", &run, "--json", "-n", "2"]).exits(0);
    assert_eq!(printed.stdout, format!("{:#}\n", printed.json()));
}

#[test]
fn who_wants_all_wants_no_number() {
    let (world, run) = world();
    let both = world.flow(&["logs", &run, "--all", "--limit", "3"]).exits(2);
    assert_eq!(
        both.stderr,
        "error: the argument '--all' cannot be used with '--limit <LIMIT>'\n\nUsage: flow logs --all <RUN>\n\nFor more information, try '--help'.\n"
    );
}

#[test]
fn a_run_is_followed_to_its_end() {
    let world = World::with(
        "name: slow\nmodels: { mine: here/model }\nproviders: { here: { type: command, command: [./answer.sh] } }\nsteps: [{ id: call, uses: model.generate, model: mine, with: { prompt: x } }]\n",
    );
    world.script(
        "answer.sh",
        "#!/bin/sh\n: > asked\nwhile [ ! -e go ]; do sleep 0.01; done\necho done\n",
    );
    let driver = world.start(&["run", "w.yaml"]);
    until("the call", || world.path("asked").exists());
    let run = world.only_run();
    let mut lines = world.start(&["logs", &run, "--events", "--follow"]);
    let mut json = world.start(&["logs", &run, "--events", "--follow", "--json"]);
    // Both have printed what there is, and the run goes on.
    let mut begun: Vec<(String, BufReader<ChildStdout>)> = Vec::new();
    for follower in [&mut lines, &mut json] {
        let mut reader = BufReader::new(follower.stdout.take().unwrap());
        let mut first = String::new();
        reader.read_line(&mut first).unwrap();
        begun.push((first, reader));
    }
    world.write("go", "");
    assert_eq!(ended(driver).code, Some(0));
    let mut printed = begun.into_iter().map(|(mut text, mut reader)| {
        std::io::Read::read_to_string(&mut reader, &mut text).unwrap();
        text
    });
    let (text, array) = (printed.next().unwrap(), printed.next().unwrap());
    assert_eq!((ended(lines).code, ended(json).code), (Some(0), Some(0)));
    let whole = world.flow(&["logs", &run, "--events", "--all"]).exits(0).stdout;
    assert_eq!(text, whole);
    assert!(text.trim_end().ends_with("run_finished"), "{text}");
    let array: Value = serde_json::from_str(&array).unwrap();
    assert_eq!(array.as_array().unwrap().len(), whole.lines().count());
}
