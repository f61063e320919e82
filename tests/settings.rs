//! The user's own settings: providers that every workflow may name.

mod support;

use support::{Output, World, run};

const WORKFLOW: &str =
    "steps: [{ id: ask, uses: model.generate, model: mine/m, with: { prompt: hello } }]\n";

const SETTINGS: &str =
    "providers: { mine: { type: command, command: [./answer.sh], price: 1 USD } }\n";

fn with_settings(world: &World, args: &[&str]) -> Output {
    run(world.command(args).env("FLOW_CONFIG", world.path("settings.yaml")))
}

#[test]
fn a_provider_of_the_settings_is_named_by_a_workflow_and_by_the_command_line() {
    let world = World::with(WORKFLOW);
    let without = world.flow(&["check", "w.yaml"]).exits(2);
    assert!(without.stderr.contains("there is no provider `mine`"), "{without:#?}");
    world.write("settings.yaml", SETTINGS);
    let output = with_settings(&world, &["run", "w.yaml", "--json"]).exits(0);
    assert_eq!(output.json()["cost"], 1.0);
    assert_eq!(world.lines("calls"), ["hello"]);
    world.write("a.yaml", &WORKFLOW.replace("mine/m", "auto").replace("hello", "again"));
    with_settings(&world, &["run", "a.yaml", "--model", "*=mine/other"]).exits(0);
    assert_eq!(world.lines("calls"), ["hello", "again"]);
}

#[test]
fn settings_are_found_among_those_of_the_user() {
    let world = World::with(WORKFLOW);
    let settings = world.folder().join("../.config/flow/config.yaml");
    std::fs::create_dir_all(settings.parent().unwrap()).unwrap();
    std::fs::write(settings, SETTINGS).unwrap();
    world.flow(&["run", "w.yaml"]).exits(0);
    assert_eq!(world.lines("calls"), ["hello"]);
}

#[test]
fn settings_are_not_kept_with_a_run_that_goes_on_with_those_there_are() {
    let world = World::with(&WORKFLOW.replace("hello", "fail"));
    world.write("settings.yaml", SETTINGS);
    world.script("answer.sh", "#!/bin/sh\nexit 1\n");
    let failed = with_settings(&world, &["run", "w.yaml", "--json"]).exits(1);
    world.script("other.sh", "#!/bin/sh\nprintf fine\n");
    world.write("settings.yaml", &SETTINGS.replace("answer.sh", "other.sh"));
    let resumed = with_settings(&world, &["resume", &failed.run(), "--json"]).exits(0);
    assert_eq!(resumed.json()["steps"]["ask"]["output"], "fine");
    let without = world.flow(&["resume", &failed.run()]).exits(2);
    assert!(without.stderr.contains("there is no provider `mine`"), "{without:#?}");
}

#[test]
fn a_model_is_replaced_when_a_run_is_resumed_and_stays_replaced() {
    let world = World::with(&WORKFLOW.replace("hello", "fail"));
    let settings = "providers: { mine: { type: command, command: [./bad.sh] }, other: { type: command, command: [./answer.sh] } }\n";
    world.write("settings.yaml", settings);
    world.script("bad.sh", "#!/bin/sh\nexit 1\n");
    let failed = with_settings(&world, &["run", "w.yaml", "--json"]).exits(1);
    let plan = ["plan", "--resume", &failed.run(), "--model", "*=other/m", "--json"];
    assert!(
        with_settings(&world, &plan).exits(0).json()["steps"][0]["forecast"]
            .to_string()
            .contains("run")
    );
    let resume = ["resume", &failed.run(), "--model", "*=other/m", "--json"];
    with_settings(&world, &resume).exits(0);
    assert_eq!(world.lines("calls"), ["fail"]);
    // It was said for the rest of the run's life: nothing is asked again.
    with_settings(&world, &["resume", &failed.run(), "--from-file", "w.yaml"]).exits(0);
    assert_eq!(world.lines("calls"), ["fail"]);
}

#[test]
fn settings_that_are_wrong_are_told_with_their_place_and_nothing_runs() {
    let world = World::with(WORKFLOW);
    for (settings, expected) in [
        (
            "provider: {}\n",
            "settings.yaml:1:1: error: a file of settings has no key `provider`\n    1 | provider: {}\n      | ^\n      hint: did you mean `providers`?\n",
        ),
        ("providers: { mine: { type: opnai } }\n", "there is no kind of provider `opnai`\n"),
        (
            "providers: { openai: { api_key: \"{{ inputs.key }}\" } }\n",
            "settings of a provider cannot refer to `inputs.key`\n",
        ),
    ] {
        world.write("settings.yaml", settings);
        let output = with_settings(&world, &["run", "w.yaml"]).exits(2);
        assert!(output.stderr.contains(expected), "{}", output.stderr);
        let file = world.path("settings.yaml");
        let last = format!("error: the settings in `{}` cannot be used\n", file.display());
        assert!(output.stderr.ends_with(&last), "{}", output.stderr);
    }
    assert!(world.lines("calls").is_empty());
}

#[test]
fn settings_that_are_named_and_missing_are_told() {
    let world = World::with(WORKFLOW);
    let output = with_settings(&world, &["run", "w.yaml"]).exits(2);
    let file = world.path("settings.yaml");
    assert_eq!(
        output.stderr,
        format!(
            "error: cannot read the settings in `{}`: No such file or directory (os error 2)\nhint: `FLOW_CONFIG` names the file\n",
            file.display()
        )
    );
}
