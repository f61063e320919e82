//! Events as they come.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::client::Server;
use crate::support::World;

const ASK: &str = r"
name: ask
steps:
  - { id: before, uses: value.set, with: { value: 1 } }
  - { id: question, needs: [before], uses: human.approve, with: { show: 1 } }
  - { id: after, needs: [question], uses: value.set, with: { value: 2 } }
";

/// The events of a stream, each with its number and kind, up to one of a kind.
fn heard(stream: TcpStream, last: &str) -> Vec<(Option<u64>, String)> {
    let (mut events, mut id) = (Vec::new(), None);
    for line in BufReader::new(stream).lines() {
        let line = line.unwrap();
        if let Some(number) = line.strip_prefix("id: ") {
            id = Some(number.parse().unwrap());
        } else if let Some(kind) = line.strip_prefix("event: ") {
            // The writer may put the id before or behind.
            events.push((id.take(), kind.to_owned()));
        }
        if line.is_empty() && events.last().is_some_and(|(_, kind)| kind == last) {
            return events;
        }
    }
    panic!("the stream ended with {events:?}");
}

fn follow(server: &Server, run: &str, after: &str) -> TcpStream {
    let path = format!("/api/v1/runs/{run}/events");
    server.open("GET", &path, &[("last-event-id", after)], b"")
}

#[test]
fn a_run_is_followed_from_its_beginning_and_from_anywhere() {
    let world = World::new();
    world.write("ask.yaml", ASK);
    let server = Server::start(&world, &[]);
    let run = server.run("ask", &json!({}));
    server.stands(&run, "waiting");
    let early = follow(&server, &run, "");
    let late = follow(&server, &run, "3");
    let yes = json!({ "step": "question", "approved": true });
    assert_eq!(server.post(&format!("/api/v1/runs/{run}/approve"), &yes).status, 202);
    let (early, late) = (heard(early, "end"), heard(late, "end"));
    let numbers: Vec<u64> = early.iter().filter_map(|(id, _)| *id).collect();
    let every: Vec<u64> = (1..=numbers.len() as u64).collect();
    assert_eq!(numbers, every, "{early:?}");
    assert_eq!(early[0].1, "run_started");
    assert_eq!(early[early.len() - 2].1, "run_finished");
    assert_eq!(late, early[3..]);
    // All was told: a browser need not come again.
    let done = server.send(
        "GET",
        &format!("/api/v1/runs/{run}/events"),
        &[("last-event-id", &numbers.len().to_string())],
        b"",
    );
    assert_eq!(done.status, 204);
}

#[test]
fn a_thousand_listen_at_once_and_each_hears_all() {
    let world = World::new();
    world.write("ask.yaml", ASK);
    let server = Server::start(&world, &[]);
    let run = server.run("ask", &json!({}));
    server.stands(&run, "waiting");
    let listeners: Vec<_> = (0..1000).map(|_| follow(&server, &run, "")).collect();
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains("flow_event_listeners 1000\n"), "{metrics}");
    let yes = json!({ "step": "question", "approved": true });
    assert_eq!(server.post(&format!("/api/v1/runs/{run}/approve"), &yes).status, 202);
    let mut first = None;
    for listener in listeners {
        let events = heard(listener, "end");
        assert_eq!(first.get_or_insert_with(|| events.clone()), &events);
    }
}

#[test]
fn all_runs_are_heard_of() {
    let world = World::new();
    world.write("ask.yaml", ASK);
    let server = Server::start(&world, &[]);
    let stream = server.open("GET", "/api/v1/events", &[], b"");
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    assert!(lines.by_ref().any(|line| line.is_empty()), "no head");
    let run = server.run("ask", &json!({}));
    let mut told =
        lines.filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok());
    let (begun, waits) = (told.next().unwrap(), told.next().unwrap());
    assert_eq!(begun, json!({ "run": run, "workflow": "ask", "status": "running" }));
    assert_eq!(waits, json!({ "run": run, "workflow": "ask", "status": "waiting" }));
}

#[test]
fn a_server_that_stops_lets_its_listeners_go() {
    let world = World::new();
    world.write("ask.yaml", ASK);
    let server = Server::start(&world, &[]);
    let run = server.run("ask", &json!({}));
    server.stands(&run, "waiting");
    let stream = follow(&server, &run, "");
    server.ends_by("TERM").exits(0);
    assert!(BufReader::new(stream).lines().all(|line| line.is_ok()));
}
