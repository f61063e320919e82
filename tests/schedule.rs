//! `flow schedule` without a server.

mod support;

use support::World;

const TWO: &str = "
name: nightly
inputs: {n: integer}
triggers:
  - {schedule: '30 2 * * *', timezone: Europe/Berlin, inputs: {n: 1}}
  - {schedule: '@every 90m', inputs: {n: 2}}
steps: [{id: a, uses: value.set, with: {value: '{{ inputs.n }}'}}]
outputs: {n: '{{ steps.a.output }}'}
";

fn world() -> World {
    let world = World::new();
    world.write("nightly.yaml", TWO);
    world.write("plain.yaml", "steps: [{id: a, uses: value.set, with: {value: 1}}]\n");
    world
}

#[test]
fn schedules_are_listed_with_their_next_times_in_their_zone() {
    let world = world();
    let listed = world.flow(&["schedule", "ls", "--json"]).exits(0).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(2));
    assert_eq!(listed[0]["schedule"], "nightly:1");
    assert_eq!(
        (&listed[1]["when"], &listed[1]["timezone"]),
        (&"@every 1h30m".into(), &"UTC".into())
    );
    let next = listed[0]["next"].as_array().expect("times");
    assert_eq!(next.len(), 5);
    for time in next {
        let time = time.as_str().expect("a time");
        assert!(time.contains(" 02:30:00 ") || time.contains(" 03:00:00 "), "{time}");
        assert!(time.ends_with(" Europe/Berlin"), "{time}");
    }
    let table = world.flow(&["schedule", "ls"]).exits(0);
    assert!(table.stdout.starts_with("SCHEDULE   WHEN          ZONE"), "{}", table.stdout);
    let three = world.flow(&["schedule", "next", "nightly:1", "-n", "3"]).exits(0);
    assert_eq!(three.stdout.lines().count(), 3);
}

#[test]
fn a_schedule_is_paused_and_run_by_its_name() {
    let world = world();
    world.flow(&["schedule", "pause", "nightly:2"]).exits(0);
    let listed = world.flow(&["schedule", "ls", "--json"]).exits(0).json();
    assert_eq!((&listed[0]["paused"], &listed[1]["paused"]), (&false.into(), &true.into()));
    let resumed = world.flow(&["schedule", "resume", "nightly:2"]).exits(0);
    assert!(
        resumed.stderr.starts_with("`nightly:2` goes on; it ticks next: "),
        "{}",
        resumed.stderr
    );
    let run = world.flow(&["schedule", "run", "nightly:2", "--json"]).exits(0).json();
    assert_eq!(run["outputs"]["n"], 2);
    let wrong = world.flow(&["schedule", "run", "nightly"]).exits(2);
    assert_eq!(
        wrong.stderr,
        "error: there is no schedule `nightly`\nhint: there are: nightly:1, nightly:2\n"
    );
    let nowhere = world.flow(&["schedule", "ls", "nowhere"]).exits(2);
    assert_eq!(
        nowhere.stderr,
        "error: cannot read the folder `nowhere`: No such file or directory (os error 2)\n"
    );
}
