//! Servers that start, stop, die and come again.

use serde_json::{Value, json};

use crate::client::Server;
use crate::support::{World, ended, kept, signal, until};

/// A call that works until there is a file `go`; it says each time that it was asked.
const WORKER: &str =
    "#!/bin/sh\necho asked >> calls\nwhile [ ! -e go ]; do sleep 0.05; done\necho done\n";

const SLOW: &str = r"
name: slow
models: { mine: here/model }
providers:
  here: { type: command, command: [./answer.sh] }
steps:
  - { id: before, uses: value.set, with: { value: 1 } }
  - { id: call, needs: [before], uses: model.generate, model: mine, cache: false,
      with: { prompt: x } }
outputs: { said: '{{ steps.call.output }}' }
";

const ASK: &str = r"
name: ask
steps:
  - { id: question, uses: human.approve, with: { show: 1 } }
  - { id: after, needs: [question], uses: value.set, with: { value: 2 } }
outputs: { value: '{{ steps.after.output }}' }
";

fn slow() -> World {
    let world = World::with(SLOW);
    world.script("answer.sh", WORKER);
    world
}

fn asked(world: &World, times: usize) {
    until("the call", || world.lines("calls").len() >= times);
}

#[test]
fn a_store_has_one_server_and_the_second_is_told_which() {
    let world = World::new();
    let server = Server::start(&world, &[]);
    let second = world.flow(&["serve", "--addr", "127.0.0.1:0"]).exits(1);
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(
        second.stderr,
        format!(
            "error: the store in ./.flow is served by process {} on {}, at {}\n\
             hint: stop it first, or serve another store with --store or FLOW_STORE\n",
            server.pid(),
            host.trim(),
            server.address
        )
    );
    server.ends_by("KILL");
    // A dead one is no server.
    Server::start(&world, &[]);
}

#[test]
fn a_server_without_a_token_listens_on_loopback_alone() {
    let world = World::new();
    let refused = world.flow(&["serve", "--addr", "0.0.0.0:0"]).exits(2);
    assert_eq!(
        refused.stderr,
        "error: refusing to listen at 0.0.0.0:0 without a token\n\
         hint: `flow token new NAME --scope admin --store ./.flow` makes one; 127.0.0.1 needs none\n"
    );
    let none = world.flow(&["serve", "nowhere"]).exits(2);
    assert_eq!(
        none.stderr,
        "error: there is no folder `nowhere`\nhint: name the folder of the workflows\n"
    );
}

#[test]
fn a_killed_server_goes_on_where_it_was_and_does_nothing_twice() {
    let world = slow();
    let server = Server::start(&world, &[]);
    let run = server.run("w", &json!({}));
    asked(&world, 1);
    server.ends_by("KILL");
    let again = Server::start(&world, &[]);
    asked(&world, 2);
    world.write("go", "");
    let done = again.stands(&run, "succeeded");
    assert_eq!(done["outputs"], json!({ "said": "done" }));
    assert_eq!(done["cause"], json!({ "by": "request", "token": null }));
    again.ends_by("TERM").exits(0);
    let kept = kept(&world.path(".flow"));
    kept.follows_its_journal();
    assert_eq!(kept.count("before", "step_succeeded"), 1);
    assert_eq!(kept.count("call", "step_succeeded"), 1);
    assert_eq!(kept.attempts["call"], ["lost", "succeeded"]);
    assert_eq!(world.lines("calls").len(), 2);
}

#[test]
fn a_server_that_is_stopped_lets_runs_end_in_time_and_takes_the_rest_up_later() {
    let world = slow();
    let server = Server::start(&world, &["--grace", "60s"]);
    let run = server.run("w", &json!({}));
    asked(&world, 1);
    signal(server.pid(), "TERM");
    until("the stop", || world.lines(".log").iter().any(|line| line.starts_with("stopping;")));
    world.write("go", "");
    server.ends_by("CONT").exits(0);
    assert_eq!(kept(&world.path(".flow")).steps["call"], "succeeded");

    std::fs::remove_file(world.path("go")).unwrap();
    let server = Server::start(&world, &["--grace", "0s"]);
    assert_eq!(server.stands(&run, "succeeded")["run"], run.as_str());
    let second = server.run("w", &json!({}));
    asked(&world, 2);
    server.ends_by("INT").exits(0);
    let runs = world.flow(&["runs", "--json"]).json();
    assert_eq!(runs[0]["status"], "interrupted", "{runs:#}");
    let server = Server::start(&world, &[]);
    asked(&world, 3);
    world.write("go", "");
    server.stands(&second, "succeeded");
}

#[test]
fn a_second_signal_ends_a_server_at_once() {
    let world = slow();
    let server = Server::start(&world, &["--grace", "1h"]);
    server.run("w", &json!({}));
    asked(&world, 1);
    signal(server.pid(), "TERM");
    until("the stop", || world.lines(".log").iter().any(|line| line.starts_with("stopping;")));
    server.ends_by("TERM").exits(130);
}

#[test]
fn a_run_of_the_command_line_is_shown_and_not_taken() {
    let world = slow();
    let child = world.start(&["run", "w.yaml", "--json"]);
    asked(&world, 1);
    let run = world.only_run();
    let server = Server::start(&world, &[]);
    assert_eq!(server.get(&format!("/api/v1/runs/{run}")).json()["status"], "running");
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    server.post(&format!("/api/v1/runs/{run}/resume"), &Value::Null).is_problem(
        409,
        &format!("run {run} is driven by process {} on {}", child.id(), host.trim()),
        None,
    );
    world.write("go", "");
    assert_eq!(ended(child).exits(0).run(), run);
    assert_eq!(world.lines("calls").len(), 1);

    // One that was killed is nobody's, and the server leaves it to its owner.
    std::fs::remove_file(world.path("go")).unwrap();
    let mut child = world.start(&["run", "w.yaml", "--json"]);
    asked(&world, 2);
    child.kill().unwrap();
    child.wait().unwrap();
    drop(server);
    let server = Server::start(&world, &[]);
    server.get("/readyz");
    let runs = server.get("/api/v1/runs?status=running").json();
    assert_eq!(runs["runs"].as_array().unwrap().len(), 1);
    assert_eq!(world.lines("calls").len(), 2);
}

#[test]
fn who_resumes_twice_is_told_who_drives_it() {
    let world = slow();
    let server = Server::start(&world, &[]);
    let run = server.run("w", &json!({}));
    asked(&world, 1);
    server.post(&format!("/api/v1/runs/{run}/resume"), &Value::Null).is_problem(
        409,
        &format!("run {run} is driven by this server"),
        Some("wait for it, or cancel it"),
    );
    let cancelled = server.post(&format!("/api/v1/runs/{run}/cancel"), &Value::Null);
    assert_eq!(cancelled.status, 202);
    server.stands(&run, "cancelled");
    let again = server.post(&format!("/api/v1/runs/{run}/cancel"), &Value::Null);
    again.is_problem(409, &format!("run {run} is cancelled already"), None);
    world.write("go", "");
    assert_eq!(server.post(&format!("/api/v1/runs/{run}/resume"), &Value::Null).status, 202);
    server.stands(&run, "succeeded");
}

#[test]
fn an_answer_goes_on_whoever_gives_it_and_whenever() {
    let world = World::new();
    world.write("ask.yaml", ASK);
    let server = Server::start(&world, &[]);
    // By the API.
    let run = server.run("ask", &json!({}));
    let waiting = server.stands(&run, "waiting");
    assert_eq!(waiting["asks"][0]["step"], "question");
    let approve = format!("/api/v1/runs/{run}/approve");
    let yes = json!({ "step": "question", "approved": true });
    assert_eq!(server.post(&approve, &yes).status, 202);
    server.stands(&run, "succeeded");
    server.post(&approve, &yes).is_problem(
        409,
        &format!("the question of run {run} at `question` is answered already"),
        None,
    );
    // By the command line, while the server lives.
    let run = server.run("ask", &json!({}));
    server.stands(&run, "waiting");
    world.flow(&["approve", &run]).exits(0);
    server.stands(&run, "succeeded");
    // By the command line, while there is no server.
    let run = server.run("ask", &json!({}));
    server.stands(&run, "waiting");
    server.ends_by("TERM").exits(0);
    world.flow(&["approve", &run]).exits(0);
    let server = Server::start(&world, &[]);
    server.stands(&run, "succeeded");
}
