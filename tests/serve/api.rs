//! Workflows and runs over the API.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::client::Server;
use crate::support::{World, until};

const TYPED: &str = r"
name: typed
description: Adds.
inputs:
  count: { type: integer, description: How many }
  kind: { type: string, enum: [a, b], default: a }
steps:
  - { id: sum, uses: value.set, with: { value: '{{ inputs.count + 1 }}' } }
outputs: { sum: '{{ steps.sum.output }}' }
";

#[test]
fn a_workflow_is_listed_with_its_inputs_and_run_with_them() {
    let world = World::new();
    world.write("typed.yaml", TYPED);
    let server = Server::start(&world, &[]);
    let listed = server.get("/api/v1/workflows").json();
    assert_eq!(
        listed,
        json!([{
            "slug": "typed",
            "file": "typed.yaml",
            "name": "typed",
            "description": "Adds.",
            "runnable": true,
            "inputs": {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "type": "object",
                "properties": {
                    "count": { "type": "integer", "description": "How many" },
                    "kind": { "type": "string", "enum": ["a", "b"], "default": "a" },
                },
                "required": ["count"],
                "additionalProperties": false,
            },
            "faults": [{
                "severity": "warning", "file": "./typed.yaml", "line": 6, "column": 3,
                "message": listed[0]["faults"][0]["message"],
                "hint": listed[0]["faults"][0]["hint"],
                "text": "  kind: { type: string, enum: [a, b], default: a }",
            }],
            "error": null,
        }])
    );
    let run = server.run("typed", &json!({ "count": 2 }));
    let done = server.stands(&run, "succeeded");
    assert_eq!(done["outputs"], json!({ "sum": 3 }));
    assert_eq!(done["steps"]["sum"]["status"], "succeeded");
    let step = server.get(&format!("/api/v1/runs/{run}/step?path=sum")).json();
    assert_eq!((&step["output"], &step["attempts"]), (&json!(3), &json!(1)));
    let steps = server.get(&format!("/api/v1/runs/{run}/steps")).json();
    assert_eq!(steps["steps"][0]["path"], "sum");

    let path = "/api/v1/workflows/typed/runs";
    for (inputs, detail, hint) in [
        (json!({}), "input `count` is missing", None),
        (
            json!({ "count": "x" }),
            "input `count` must be a whole number, and `x` is not",
            Some("How many"),
        ),
        (
            json!({ "count": 1, "cuont": 2 }),
            "workflow `typed` has no input `cuont`",
            Some("did you mean `count`?"),
        ),
    ] {
        server.post(path, &json!({ "inputs": inputs })).is_problem(422, detail, hint);
    }
    server.get("/api/v1/runs/nothing").is_problem(
        404,
        "there is no run `nothing`",
        Some("`/api/v1/runs` lists the runs"),
    );
    server.get("/api/v1/workflows/other").is_problem(
        404,
        "there is no workflow `other`",
        Some("`/api/v1/workflows` lists them"),
    );
}

#[test]
fn a_faulty_workflow_stays_visible_and_an_edit_is_noticed() {
    let world = World::new();
    world.write("typed.yaml", &TYPED.replace("value.set", "value.sett"));
    world.write("broken.yaml", "name: [");
    let server = Server::start(&world, &[]);
    let listed = server.get("/api/v1/workflows").json();
    assert_eq!((&listed[0]["slug"], &listed[0]["runnable"]), (&json!("broken"), &json!(false)));
    let typed = &listed[1];
    assert_eq!(typed["runnable"], false);
    let faults = typed["faults"].as_array().unwrap();
    let fault = faults.iter().find(|fault| fault["severity"] == "error").unwrap();
    assert_eq!((&fault["line"], &fault["hint"]), (&json!(8), &json!("did you mean `value.set`?")));
    server.post("/api/v1/workflows/typed/runs", &json!({ "inputs": { "count": 1 } })).is_problem(
        409,
        "`typed.yaml` has errors and cannot run",
        Some("`/api/v1/workflows/typed` lists its faults"),
    );
    world.write("typed.yaml", TYPED);
    std::fs::remove_file(world.path("broken.yaml")).unwrap();
    until("the edit", || {
        let listed = server.get("/api/v1/workflows").json();
        listed.as_array().unwrap().len() == 1 && listed[0]["runnable"] == true
    });
    // A file that a workflow looked for and did not find is noticed when it comes.
    let schema = TYPED.replace(
        "kind: { type: string, enum: [a, b], default: a }",
        "kind: { type: json, schema: { $file: kind.json }, required: false }",
    );
    world.write("typed.yaml", &schema);
    let runnable = || server.get("/api/v1/workflows/typed").json()["runnable"].clone();
    until("the fault", || runnable() == false);
    world.write("kind.json", "{\"type\": \"string\"}");
    until("the file", || runnable() == true);
}

#[test]
fn a_request_that_is_repeated_with_its_key_gives_the_same_run() {
    let world = World::new();
    world.write("typed.yaml", TYPED);
    let server = Server::start(&world, &[]);
    let ask = |key: &str, count: u32| {
        let headers = [("idempotency-key", key), ("content-type", "application/json")];
        let body = json!({ "inputs": { "count": count } }).to_string();
        server.send("POST", "/api/v1/workflows/typed/runs", &headers, body.as_bytes())
    };
    let answers: Vec<_> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..16).map(|_| scope.spawn(|| ask("once", 1))).collect();
        asking.into_iter().map(|asking| asking.join().unwrap()).collect()
    });
    let runs: HashSet<_> = answers.iter().map(|answer| answer.json()["run"].to_string()).collect();
    assert_eq!(runs.len(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 15);
    let run = answers[0].json()["run"].as_str().unwrap().to_owned();
    ask("once", 2).is_problem(
        422,
        &format!("the key was given before, for run {run} with other inputs"),
        Some("give each request a key of its own"),
    );
    assert_ne!(ask("twice", 1).json()["run"], run.as_str());
    assert_eq!(server.get("/api/v1/runs").json()["runs"].as_array().unwrap().len(), 2);
}

#[test]
fn runs_are_listed_in_parts_and_by_what_is_asked_for() {
    let world = World::new();
    world.write("typed.yaml", TYPED);
    let server = Server::start(&world, &[]);
    let mut started: Vec<_> = (0..5).map(|n| server.run("typed", &json!({ "count": n }))).collect();
    for run in &started {
        server.stands(run, "succeeded");
    }
    let (mut seen, mut path) = (Vec::new(), "/api/v1/runs?limit=2".to_owned());
    loop {
        let page = server.get(&path).json();
        let runs = page["runs"].as_array().unwrap();
        seen.extend(runs.iter().map(|run| run["run"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/runs?limit=2&before={next}");
    }
    started.sort();
    let mut sorted = seen.clone();
    sorted.sort();
    assert_eq!(sorted, started);
    let count = |query: &str| {
        server.get(&format!("/api/v1/runs?{query}")).json()["runs"].as_array().unwrap().len()
    };
    assert_eq!(count("status=succeeded&workflow=typed"), 5);
    assert_eq!((count("status=failed"), count("workflow=other")), (0, 0));
    let hint = Some("running, waiting, interrupted, succeeded, failed or cancelled");
    server.get("/api/v1/runs?status=ended").is_problem(400, "there is no status `ended`", hint);
    server.get("/api/v1/runs?limit=0").is_problem(400, "`limit` is 1 to 500", None);
    for query in ["limit=x", "before=x", "nonsense=1"] {
        assert_eq!(server.get(&format!("/api/v1/runs?{query}")).status, 400, "{query}");
    }
}

#[test]
fn what_is_no_request_is_a_problem_and_no_failure() {
    let world = World::new();
    world.write("typed.yaml", TYPED);
    let server = Server::start(&world, &[]);
    let start = "/api/v1/workflows/typed/runs";
    let json = ("content-type", "application/json");
    for (body, status) in [
        (&b"{"[..], 400),
        (b"[]", 422),
        (b"{\"inputs\": 1}", 422),
        (b"{\"other\": 1}", 422),
        (b"\xff\xfe", 400),
    ] {
        let answer = server.send("POST", start, &[json], body);
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    let form = ("content-type", "multipart/form-data; boundary=x");
    assert_eq!(server.send("POST", start, &[form], b"--x\r\nnonsense").status, 400);
    let form = ("content-type", "multipart/form-data");
    assert_eq!(server.send("POST", start, &[form], b"").status, 400);
    assert_eq!(server.send("DELETE", "/api/v1/runs", &[], b"").status, 405);
    assert_eq!(server.get("/api/v1/nothing").status, 404);
    let description = server.get("/api/v1/openapi.json").json();
    assert_eq!(description["openapi"], "3.1.0");
    assert!(description["paths"]["/api/v1/workflows/{slug}/runs"]["post"].is_object());
}

#[test]
fn none_of_many_submissions_is_lost() {
    let world = World::new();
    world.write("typed.yaml", TYPED);
    let server = Server::start(&world, &[]);
    let acknowledged: Vec<Vec<String>> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    (0..75).map(|n| server.run("typed", &json!({ "count": n }))).collect()
                })
            })
            .collect();
        asking.into_iter().map(|asking| asking.join().unwrap()).collect()
    });
    let acknowledged: HashSet<String> = acknowledged.into_iter().flatten().collect();
    assert_eq!(acknowledged.len(), 600);
    // Killed in the middle of what it was told to do.
    server.ends_by("KILL");
    let server = Server::start(&world, &[]);
    until("all runs", || {
        let numbers = server.get("/metrics").text();
        numbers.contains("flow_runs{workflow=\"typed\",status=\"succeeded\"} 600\n")
    });
    for run in acknowledged.iter().take(20) {
        assert_eq!(
            server.stands(run, "succeeded")["cause"],
            json!({ "by": "request", "token": null })
        );
    }
}

#[test]
fn the_numbers_and_the_log_tell_what_happened() {
    let world = World::new();
    world.write("typed.yaml", TYPED);
    world.write(
        "fails.yaml",
        "name: fails\nsteps:\n  - { id: a, uses: file.glob, with: { pattern: '{{ 1 / 0 }}' } }\n",
    );
    let server = Server::start(&world, &["--log", "json"]);
    server.stands(&server.run("typed", &json!({ "count": 1 })), "succeeded");
    let failed = server.run("fails", &json!({}));
    server.stands(&failed, "failed");
    let numbers = server.get("/metrics");
    assert_eq!(numbers.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let numbers = numbers.text();
    for line in [
        "flow_runs{workflow=\"fails\",status=\"failed\"} 1",
        "flow_runs{workflow=\"typed\",status=\"succeeded\"} 1",
        "flow_steps_settled_total{status=\"failed\"} 1",
        "flow_workflows 2",
        "flow_workflows_faulty 0",
        "flow_event_listeners 0",
    ] {
        assert!(numbers.lines().any(|known| known == line), "{line} in\n{numbers}");
    }
    assert_eq!(server.get("/api/v1/usage").json(), json!([]));
    server.get("/api/v1/usage?days=0").is_problem(400, "`days` is 1 to 3660", None);
    until("the log", || {
        let lines = world.lines(".log");
        let lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut warned = lines.filter(|line| line["level"] == "WARN");
        warned.any(|line| line["run"] == failed.as_str() && line["step"] == "a")
    });
}
