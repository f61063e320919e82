//! Budgets are kept before a call is made, and costs are told as they were.

mod support;

use serde_json::{Value, json};
use support::{Output, World};

fn run(price: &str, rest: &str) -> (World, Output) {
    let world = World::with(&format!(
        "name: money\nmodels: {{ mine: here/model }}\nproviders:\n  here: {{ type: command, command: [./answer.sh]{price} }}\n{rest}"
    ));
    let output = world.flow(&["run", "w.yaml", "--json"]);
    (world, output)
}

const ONE_CALL: &str =
    "steps: [{ id: ask, uses: model.generate, model: mine, with: { prompt: hello } }]\n";

#[test]
fn a_call_that_the_budget_does_not_allow_is_not_made() {
    let (world, output) = run(", price: 1 USD", &format!("budget: 0.50 USD\n{ONE_CALL}"));
    let output = output.exits(4);
    assert_eq!(
        output.json()["error"],
        "step `ask`: the call may cost 1.00 USD, and of the run's budget of 0.50 USD 0.00 USD is spent and 0.00 USD set aside"
    );
    assert!(
        output.stderr.contains(
            "hint: raise it by `--budget` when you resume: nothing that is done is paid again\n"
        ),
        "{}",
        output.stderr
    );
    assert_eq!(world.lines("calls"), [] as [&str; 0]);
    assert_eq!(output.json()["cost"], 0.0);
}

#[test]
fn a_raised_budget_lets_the_run_go_on() {
    let rest = "steps: [{ id: ask, for_each: [a, b, c], max_parallel: 1, uses: model.generate, model: mine, with: { prompt: \"{{ item }}\" } }]\n";
    let (world, output) = run(", price: 1 USD", &format!("budget: 2.50 USD\n{rest}"));
    let output = output.exits(4);
    assert_eq!(world.lines("calls"), ["a", "b"]);
    assert_eq!(output.json()["cost"], 2.0);
    let text = std::fs::read_to_string(world.path("w.yaml")).unwrap();
    world.write("w.yaml", &text.replace("2.50 USD", "3 USD"));
    let resumed = world.flow(&["resume", &output.run(), "--from-file", "w.yaml", "--json"]);
    assert_eq!(resumed.exits(0).json()["cost"], 3.0);
    assert_eq!(world.lines("calls"), ["a", "b", "c"]);
}

#[test]
fn a_budget_raised_on_the_command_line_counts_for_the_rest_of_the_runs_life() {
    let rest = "steps: [{ id: ask, for_each: [a, b, c, d], max_parallel: 1, uses: model.generate, model: mine, with: { prompt: \"{{ item }}\" } }]\n";
    let (world, output) = run(", price: 1 USD", &format!("budget: 1 USD\n{rest}"));
    let run = output.exits(4).run();
    let more = world.flow(&["resume", &run, "--budget", "3 USD", "--json"]).exits(4);
    assert_eq!(more.json()["cost"], 3.0);
    assert_eq!(world.lines("calls"), ["a", "b", "c"]);
    // What was said then counts on, and what is said now before it.
    let same = world.flow(&["resume", &run, "--json"]).exits(4);
    assert!(same.json()["error"].as_str().is_some_and(|why| why.contains("budget of 3.00 USD")));
    let done = world.flow(&["resume", &run, "--budget", "4 USD", "--json"]).exits(0);
    assert_eq!(done.json()["cost"], 4.0);
    assert_eq!(world.lines("calls"), ["a", "b", "c", "d"]);
    let wrong = world.flow(&["resume", &run, "--budget", "much"]).exits(2);
    assert!(wrong.stderr.contains("invalid value 'much' for '--budget <COST>'"), "{wrong:#?}");
}

#[test]
fn calls_at_once_do_not_overdraw_a_budget_together() {
    let rest = "budget: 3 USD\nsteps: [{ id: ask, for_each: 8, uses: model.generate, model: mine, with: { prompt: \"n{{ item }}\" } }]\n";
    let (world, output) = run(", price: 1 USD", rest);
    assert_eq!(output.exits(4).json()["cost"], 3.0);
    assert_eq!(world.lines("calls").len(), 3);
}

/// The budget of a step is of the run's whole life.
#[test]
fn a_resumed_run_knows_what_its_step_has_spent() {
    let rest = "steps: [{ id: ask, for_each: [a, b, c, d], max_parallel: 1, budget: 2 USD, uses: model.generate, model: mine, with: { prompt: \"{{ item }}\" } }]\n";
    let (world, output) = run(", price: 1 USD", rest);
    let output = output.exits(4);
    assert_eq!(world.lines("calls"), ["a", "b"]);
    world.flow(&["resume", &output.run(), "--json"]).exits(4);
    assert_eq!(world.lines("calls"), ["a", "b"]);
}

#[test]
fn a_price_that_nobody_knows_is_refused_under_a_budget_and_told_without_one() {
    let (world, output) = run("", &format!("budget: 0.50 USD\n{ONE_CALL}"));
    let output = output.exits(4);
    assert_eq!(
        output.json()["error"],
        "step `ask`: the model's price is unknown, and there is a budget"
    );
    assert_eq!(world.lines("calls"), [] as [&str; 0]);
    let allowed = format!("budget: {{ cost: 0.50 USD, allow_unknown: true }}\n{ONE_CALL}");
    let (_world, output) = run("", &allowed);
    let output = output.exits(0);
    assert_eq!(output.json()["cost_uncertain"], true);
    assert!(output.stderr.contains(", cost: unknown\n"), "{}", output.stderr);
    let (_world, output) = run(", price: 0.25 USD", ONE_CALL);
    let output = output.exits(0);
    let json = output.json();
    let told: [&Value; 2] = [&json["cost"], &json["cost_uncertain"]];
    assert_eq!(told, [&json!(0.25), &json!(false)]);
    assert!(output.stderr.contains(", cost: 0.25 USD\n"), "{}", output.stderr);
}

/// Nobody knows whether a call that was cut off is paid, so its price is held against the
/// budget, and the cost is said to be uncertain.
#[test]
fn a_call_that_timed_out_may_have_been_paid() {
    let world = World::with(
        "name: money\nmodels: { mine: here/model }\nproviders:\n  here: { type: command, command: [sleep, '30'], price: 1 USD }\nsteps: [{ id: ask, timeout: 50ms, budget: 2 USD, retry: { attempts: 4, initial: 1ms }, uses: model.generate, model: mine, with: { prompt: x } }]\n",
    );
    let output = world.flow(&["run", "w.yaml", "--json"]).exits(4);
    let json = output.json();
    assert_eq!((&json["cost"], &json["cost_uncertain"]), (&json!(2.0), &json!(true)));
    world.flow(&["resume", &output.run(), "--json"]).exits(4);
    let kept = support::kept(&world.path(".flow"));
    assert_eq!(kept.attempts_of("ask", "failed"), 2, "{kept:#?}");
}

/// What was set aside for a failed attempt is free for the next.
#[test]
fn a_call_that_is_tried_again_is_not_held_against_the_budget_twice() {
    let world = World::with(
        "name: money\nmodels: { mine: here/model }\nproviders:\n  here: { type: command, command: [./answer.sh], price: 1 USD }\nbudget: 2 USD\nsteps: [{ id: ask, retry: { initial: 1ms }, uses: model.generate, model: mine, with: { prompt: x } }]\n",
    );
    world.write("flaky", "");
    let json = world.flow(&["run", "w.yaml", "--json"]).exits(0).json();
    assert_eq!(json["cost"], 2.0);
    assert_eq!(world.lines("calls"), ["x", "x"]);
}

/// The second model of a chain is not asked when the time of all is over, and what the first
/// took is booked once.
#[test]
fn a_deadline_ends_a_chain_and_its_last_attempt_once() {
    let world = World::with(
        "name: money\nmodels: { mine: [here/a, here/b] }\nproviders:\n  here: { type: command, command: [sleep, '30'], price: 1 USD }\nsteps: [{ id: ask, deadline: 50ms, uses: model.generate, model: mine, with: { prompt: x } }]\n",
    );
    let output = world.flow(&["run", "w.yaml", "--json"]).exits(1);
    let json = output.json();
    assert_eq!((&json["cost"], &json["cost_uncertain"]), (&json!(1.0), &json!(true)));
    assert_eq!(json["error"], "step `ask`: no result within the deadline of 50ms");
    let hint = "hint: raise `deadline` of the step, or under `defaults`\n";
    assert!(output.stderr.contains(hint), "{}", output.stderr);
    let kept = support::kept(&world.path(".flow"));
    kept.follows_its_journal();
    assert_eq!(kept.attempts["ask"], ["failed"]);
    assert_eq!(kept.count("ask", "attempt_failed"), 0);
}

#[test]
fn a_deadline_that_is_over_before_the_first_attempt_is_told() {
    let (world, output) = run(
        "",
        "steps: [{ id: ask, deadline: 0s, uses: model.generate, model: mine, with: { prompt: x } }]\n",
    );
    let output = output.exits(1);
    assert_eq!(output.json()["error"], "step `ask`: the deadline of 0ns is over");
    assert_eq!(world.lines("calls"), [] as [&str; 0]);
}

/// Only what is set aside for calls under way is in the way of the others: they wait for it.
#[test]
fn a_call_waits_for_what_is_set_aside_and_not_spent() {
    let world = World::with(
        "name: money\nmodels: { mine: here/model }\nproviders:\n  here: { type: command, command: [./cheap.sh], price: 1 USD }\nbudget: 2 USD\nsteps: [{ id: ask, for_each: 8, max_parallel: 8, uses: model.generate, model: mine, with: { prompt: \"n{{ item }}\" } }]\n",
    );
    world.script(
        "cheap.sh",
        "#!/bin/sh\necho call >> calls\necho '{\"text\": \"x\", \"cost\": 0.1}'\n",
    );
    let json = world.flow(&["run", "w.yaml", "--json"]).exits(0).json();
    assert_eq!(json["cost"], 0.8);
    assert_eq!(world.lines("calls").len(), 8);
}

#[test]
fn a_step_of_another_workflow_spends_nothing_of_a_step_of_the_same_name() {
    let world = World::with(
        "name: money\nmodels: { mine: here/model }\nproviders:\n  here: { type: command, command: [./answer.sh], price: 1 USD }\nsteps:\n  - { id: other, uses: workflow.run, with: { workflow: other.yaml } }\n  - { id: ask, needs: [other], budget: 1 USD, uses: model.generate, model: mine, with: { prompt: x } }\n",
    );
    world.write("other.yaml", &format!("models: {{ mine: here/model }}\nproviders:\n  here: {{ type: command, command: [./answer.sh], price: 1 USD }}\n{ONE_CALL}"));
    assert_eq!(world.flow(&["run", "w.yaml", "--json"]).exits(0).json()["cost"], 2.0);
    assert_eq!(world.lines("calls"), ["hello", "x"]);
}
