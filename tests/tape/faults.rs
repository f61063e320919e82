//! What is wrong with a cassette, or missing in it, is told exactly.

use serde_json::{Value, json};

use super::exchanges;
use crate::support::World;

/// An exchange with what is asked by [`asks`], as a person writes one.
fn exchange(prompt: &str, status: u16) -> Value {
    let message = json!({ "message": { "content": "said" }, "finish_reason": "stop" });
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": prompt }] });
    let error = json!({ "error": { "message": "slow down", "type": "rate_limit_error" } });
    let answer = json!({ "model": "m", "choices": [message] });
    json!({
        "version": 1, "origin": "written by hand", "kind": "openai", "provider": "openai",
        "request": { "method": "POST", "url": "/chat/completions", "body": body },
        "response": { "status": status, "json": if status == 200 { answer } else { error } },
    })
}

/// A workflow that asks this.
fn asks(model: &str, prompt: &str) -> World {
    World::with(&format!(
        "name: ask\nsteps: [{{ id: ask, retry: {{ attempts: 2, initial: 1h }}, uses: model.generate, model: {model}, with: {{ prompt: \"{prompt}\" }} }}]\noutputs: {{ said: '{{{{ steps.ask.output }}}}' }}\n"
    ))
}

fn failed(world: &World) -> (String, String) {
    let output = world.flow(&["run", "w.yaml", "--replay", "tape", "--json"]).exits(1);
    let hint = output.stderr.lines().find(|line| line.starts_with("hint: record"));
    (output.json()["error"].as_str().unwrap().to_owned(), hint.unwrap_or_default().to_owned())
}

#[test]
fn a_hand_written_cassette_is_played_and_called_one() {
    let world = asks("openai/m", "Hello");
    world.write("tape/1-hello.json", &exchange("Hello", 200).to_string());
    world.write("tape/README.md", "no exchange");
    let output = world.flow(&["run", "w.yaml", "--replay", "tape"]).exits(0);
    assert_eq!(output.stdout, "{\n  \"said\": \"said\"\n}\n");
    let note = "\nreplayed from tape: 1 exchange, written by hand: no real service answered\n";
    assert!(output.stderr.ends_with(note), "{}", output.stderr);
}

#[test]
fn a_request_that_is_not_there_is_told_with_the_nearest_and_where_it_differs() {
    let world = asks("openai/m", "Hallo");
    world.write("tape/1-other.json", &exchange("Tell me something else", 200).to_string());
    world.write("tape/2-hello.json", &exchange("Hello", 200).to_string());
    assert_eq!(
        failed(&world),
        (
            "step `ask`: provider `openai`: the cassette `tape` has no answer to `POST /chat/completions`; the nearest request is `2-hello.json`, whose `body.messages[0].content` is \"Hello\" and not \"Hallo\"".to_owned(),
            "hint: record it with `--record tape`".to_owned(),
        )
    );
}

#[test]
fn refusals_that_are_used_up_are_not_given_again() {
    let world = asks("openai/m", "Hello");
    world.write("tape/1-busy.json", &exchange("Hello", 429).to_string());
    assert_eq!(
        failed(&world).0,
        "step `ask`: provider `openai`: the cassette `tape` has no answer left to `POST /chat/completions`: its only answer was given, and the last, `1-busy.json`, is no success"
    );
}

#[test]
fn the_next_model_is_asked_only_where_there_is_nothing_of_the_kind() {
    let world = asks("chain", "Hello");
    let text = std::fs::read_to_string(world.path("w.yaml")).unwrap();
    world.write("w.yaml", &format!("{text}models: {{ chain: [anthropic/m, openai/m] }}\n"));
    world.write("tape/1-hello.json", &exchange("Hello", 200).to_string());
    world.flow(&["run", "w.yaml", "--replay", "tape"]).exits(0);
    let log = asks("anthropic/m", "Hello");
    log.write("tape/1-hello.json", &exchange("Hello", 200).to_string());
    assert_eq!(
        failed(&log).0,
        "step `ask`: provider `anthropic`: the cassette `tape` holds nothing of `anthropic`"
    );
    // The first has something, and not this: it is not another's turn.
    let mut other = exchange("Other", 200);
    other["kind"] = json!("anthropic");
    world.write("tape/2-other.json", &other.to_string());
    assert!(failed(&world).0.contains("provider `anthropic`: the cassette `tape` has no answer"));
}

#[test]
fn a_damaged_file_is_named_with_its_field_before_anything_runs() {
    let world = asks("openai/m", "Hello");
    let mut damaged = exchange("Hello", 200);
    damaged["response"]["status"] = json!("fine");
    world.write("tape/1-hello.json", &damaged.to_string());
    let output = world.flow(&["run", "w.yaml", "--replay", "tape"]).exits(2);
    assert_eq!(
        output.stderr,
        "error: `tape/1-hello.json`: `response.status` is \"fine\", which is no status\nhint: mend it, or remove it and record it again; docs/cassettes.md has the form\n"
    );
    assert!(!world.path(".flow").exists());
}

#[test]
fn what_makes_no_sense_is_refused() {
    let world = asks("openai/m", "Hello");
    let output = world.flow(&["run", "w.yaml", "--replay", "tape"]).exits(2);
    assert_eq!(
        output.stderr,
        "error: there is no cassette in `tape`\nhint: record one with `--record tape`\n"
    );
    let output = world.flow(&["run", "w.yaml", "--replay", "tape", "--record", "tape"]).exits(2);
    assert!(
        output
            .stderr
            .contains("the argument '--replay <DIR>' cannot be used with '--record <DIR>'"),
        "{}",
        output.stderr
    );
    let output = world.flow(&["run", "w.yaml", "--record", "w.yaml"]).exits(2);
    assert_eq!(
        output.stderr,
        "error: cannot use the cassette `w.yaml`: File exists (os error 17)\n"
    );
    world.flow(&["run", "w.yaml", "--record", "tape", "--dry-run"]).exits(0);
    assert!(!world.path("tape").exists());
}

/// A budget holds what is paid, and a deadline what takes time: a replay does neither.
#[test]
fn nothing_is_paid_and_nobody_is_waited_for() {
    let world = asks("openai/m", "Hello");
    let text = std::fs::read_to_string(world.path("w.yaml")).unwrap();
    world.write("w.yaml", &format!("{text}budget: 0.01 USD\n"));
    world.write("tape/1-busy.json", &exchange("Hello", 429).to_string());
    world.write("tape/2-hello.json", &exchange("Hello", 200).to_string());
    let output = world.flow(&["run", "w.yaml", "--replay", "tape", "--json"]).exits(0);
    assert_eq!(output.json()["cost"], 0.0);
    assert_eq!(output.json()["steps"]["ask"]["meta"]["attempts"], 2);
    assert_eq!(exchanges(&world.path("tape")).len(), 2);
}
