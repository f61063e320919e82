//! Runs that are recorded and do not come to their end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::exchanges;
use crate::server::{Answer, Server, Step};
use crate::support::{World, ended, signal, until};

fn said(text: &str) -> Answer {
    let message = json!({ "message": { "content": text }, "finish_reason": "stop" });
    Answer::json(200, &json!({ "model": "m", "choices": [message] }).to_string())
}

/// A server that stalls in the middle of an answer to what holds `second`, until it is told.
async fn stalling() -> (Server, Arc<AtomicBool>) {
    let well = Arc::new(AtomicBool::new(false));
    let is_well = Arc::clone(&well);
    let server = Server::start(move |_, request| {
        let second = String::from_utf8_lossy(&request.body).contains("second");
        match second && !is_well.load(Ordering::SeqCst) {
            true => Answer::json(200, r#"{"model":"#).then([Step::Stall]),
            false => said(if second { "two" } else { "one" }),
        }
    })
    .await;
    (server, well)
}

fn world(server: &Server, rest: &str) -> World {
    World::with(&format!(
        "name: two\nproviders: {{ mine: {{ type: openai, base_url: '{}', api_key: k-1234 }} }}\nsteps:\n  - {{ id: a, uses: model.generate, model: mine/m, with: {{ prompt: first }} }}\n  - {{ id: b, needs: [a], uses: model.generate, model: mine/m, with: {{ prompt: second }}{rest} }}\noutputs: {{ a: '{{{{ steps.a.output }}}}', b: '{{{{ steps.b.output }}}}' }}\n",
        server.url()
    ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_killed_leaves_whole_exchanges_and_a_resume_records_the_rest() {
    let (server, well) = stalling().await;
    let world = world(&server, "");
    let child = world.start(&["run", "w.yaml", "--record", "tape"]);
    until("the second question", || server.received().len() == 2);
    signal(child.id(), "KILL");
    assert_eq!(ended(child).code, None);
    let kept = exchanges(&world.path("tape"));
    assert_eq!(kept.len(), 1, "{kept:#?}");

    // What was recorded is there, and the rest is missed.
    let replayed = world.flow(&["--store", "other", "run", "w.yaml", "--replay", "tape", "--json"]);
    let replayed = replayed.exits(1).json();
    assert_eq!(replayed["steps"]["a"]["output"], "one");
    assert_eq!(replayed["steps"]["b"]["error"]["class"], "input");

    // What a process that died left half written is in nobody's way.
    world.write("tape/.0002-openai.json.partial", "{");
    well.store(true, Ordering::SeqCst);
    let run = world.only_run();
    let resumed = world.flow(&["resume", &run, "--record", "tape"]).exits(0);
    assert!(resumed.stderr.ends_with("\nrecorded in tape: 1 exchange\n"), "{}", resumed.stderr);
    drop(server);
    let names: Vec<_> = exchanges(&world.path("tape")).into_iter().map(|(name, _)| name).collect();
    assert!(names[0].starts_with("0001-") && names[1].starts_with("0002-"), "{names:?}");
    assert!(!world.path("tape/.0002-openai.json.partial").exists());
    let replayed = world.flow(&["--store", "third", "run", "w.yaml", "--replay", "tape", "--json"]);
    assert_eq!(replayed.exits(0).json()["outputs"], json!({ "a": "one", "b": "two" }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_flow_stopped_by_itself_is_not_recorded() {
    let (server, _) = stalling().await;
    let world = world(&server, ", timeout: 100ms, retry: { attempts: 1 }");
    let recorded = world.flow(&["run", "w.yaml", "--record", "tape"]).exits(1);
    assert!(recorded.stderr.ends_with("\nrecorded in tape: 1 exchange\n"), "{}", recorded.stderr);
    assert_eq!(exchanges(&world.path("tape")).len(), 1);
}

/// An answer that was paid is worth more than its recording.
#[test]
fn what_cannot_be_recorded_is_told_and_fails_nothing() {
    let world = World::with(
        "name: lost\nproviders: { here: { type: command, command: [./break.sh] } }\nsteps: [{ id: ask, uses: model.generate, model: here/m, with: { prompt: x } }]\noutputs: { said: '{{ steps.ask.output }}' }\n",
    );
    world.script("break.sh", "#!/bin/sh\nrm -r tape\necho yes\n");
    let output = world.flow(&["run", "w.yaml", "--record", "tape"]).exits(0);
    assert_eq!(output.stdout, "{\n  \"said\": \"yes\"\n}\n");
    let (before, why) = output.stderr.rsplit_once(": cannot use the cassette `tape/0001-").unwrap();
    assert!(
        before.ends_with(
            "\nrecorded in tape: 0 exchanges\nwarning: 1 exchange could not be recorded"
        ),
        "{}",
        output.stderr
    );
    assert!(why.ends_with(".json`: No such file or directory (os error 2)\n"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_records_into_a_folder_at_a_time() {
    let (server, _) = stalling().await;
    let world = world(&server, "");
    let child = world.start(&["run", "w.yaml", "--record", "tape"]);
    until("the second question", || server.received().len() == 2);
    let other = world.flow(&["run", "w.yaml", "--record", "tape"]).exits(2);
    assert_eq!(
        other.stderr,
        "error: another process records into `tape`\nhint: wait until it is done, or name another folder\n"
    );
    signal(child.id(), "KILL");
    assert_eq!(ended(child).code, None);
}
