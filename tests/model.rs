//! `flow model ls` and `flow doctor` ask the model services that are set up, and nothing else
//! does before it is needed.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};
use support::World;

/// A server on the loopback that gives every request this answer; what it was asked can be
/// received. It ends with the test.
fn server(status: u16, body: &str) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound").to_string();
    let (told, asked) = channel();
    let answer = format!(
        "HTTP/1.1 {status} Told\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.and_then(|stream| answered(stream, &answer, |head| told.send(head)));
        }
    });
    (address, asked)
}

fn answered<E>(
    mut stream: TcpStream,
    answer: &str,
    tell: impl FnOnce(String) -> Result<(), E>,
) -> std::io::Result<()> {
    let mut head = [0; 4096];
    let read = stream.read(&mut head)?;
    let _ = tell(String::from_utf8_lossy(&head[..read]).into_owned());
    stream.write_all(answer.as_bytes())
}

const TAGS: &str = r#"{"models":[{"name":"llava:13b","size":1},{"name":"qwen2.5:7b","size":1}]}"#;

/// An address where nobody listens.
fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it is bound").to_string()
}

fn service<'s>(services: &'s Value, name: &str) -> &'s Value {
    let found =
        services.as_array().expect("a list").iter().find(|service| {
            service["provider"].as_str().or(service["name"].as_str()) == Some(name)
        });
    found.unwrap_or_else(|| panic!("no {name}: {services:#}"))
}

#[test]
fn every_service_is_listed_with_its_models_or_why_there_are_none() {
    let (ollama, _asked) = server(200, TAGS);
    let (openai, _asked) =
        server(200, r#"{"object":"list","data":[{"id":"gpt-4o-2024-08-06"},{"id":"new"}]}"#);
    let world = World::new();
    let mut command = world.command(&["model", "ls", "--json"]);
    command
        .env("OLLAMA_HOST", &ollama)
        .env("OPENAI_API_KEY", "key-1234")
        .env("OPENAI_BASE_URL", format!("http://{openai}/v1"));
    let output = support::run(&mut command).exits(0);
    assert_eq!(output.stderr, "");
    let services = output.json();
    let names: Vec<_> = services.as_array().unwrap().iter().map(|s| &s["provider"]).collect();
    assert_eq!(names, ["llama", "openai", "anthropic", "gemini", "ollama"]);
    assert_eq!(
        service(&services, "ollama"),
        &json!({
            "provider": "ollama", "configured": true, "reachable": true,
            "address": format!("http://{ollama}"), "error": null, "hint": null,
            "models": [
                { "name": "llava:13b", "takes": ["text", "images"], "schema": true, "price": { "input": 0.0, "output": 0.0 }, "context": null, "ends": null, "listed": false },
                { "name": "qwen2.5:7b", "takes": ["text"], "schema": true, "price": { "input": 0.0, "output": 0.0 }, "context": null, "ends": null, "listed": true },
            ],
        })
    );
    let listed = &service(&services, "openai")["models"];
    assert_eq!(listed[0]["price"], json!({ "input": 2.5, "output": 10.0 }));
    assert_eq!(listed[0]["ends"], "2027-01-14");
    assert_eq!(listed[1]["price"], Value::Null, "nobody knows what it costs");
    let anthropic = service(&services, "anthropic");
    assert_eq!((&anthropic["configured"], &anthropic["reachable"]), (&json!(false), &json!(false)));
    assert_eq!(
        anthropic["error"],
        "provider `anthropic` has no key: `ANTHROPIC_API_KEY` is not set"
    );
    assert_eq!(
        service(&services, "gemini")["error"],
        "provider `gemini` has no key: `GEMINI_API_KEY` or `GOOGLE_API_KEY` is not set"
    );
    assert!(!output.stdout.contains("key-1234"), "{}", output.stdout);
}

#[test]
fn the_table_is_data_and_what_is_away_is_said() {
    let (ollama, asked) = server(200, TAGS);
    let world = World::new();
    let mut command = world.command(&["model", "ls"]);
    let output = support::run(command.env("OLLAMA_HOST", &ollama)).exits(0);
    assert_eq!(
        output.stdout,
        "MODEL              TAKES        SCHEMA  INPUT  OUTPUT  CONTEXT  ENDS\n\
         ollama/llava:13b   text images  yes     free   free    unknown\n\
         ollama/qwen2.5:7b  text         yes     free   free    unknown\n"
    );
    assert_eq!(
        output.stderr,
        "✗ provider `openai` has no key: `OPENAI_API_KEY` is not set\n  \
         hint: set it, or write `api_key: \"{{ secrets.NAME }}\"` under `providers: openai:`\n\
         ✗ provider `anthropic` has no key: `ANTHROPIC_API_KEY` is not set\n  \
         hint: set it, or write `api_key: \"{{ secrets.NAME }}\"` under `providers: anthropic:`\n\
         ✗ provider `gemini` has no key: `GEMINI_API_KEY` or `GOOGLE_API_KEY` is not set\n  \
         hint: set it, or write `api_key: \"{{ secrets.NAME }}\"` under `providers: gemini:`\n"
    );
    let asked: Vec<_> = asked.try_iter().collect();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(asked[0].starts_with("GET /api/tags HTTP/1.1\r\n"), "{asked:?}");
}

#[test]
fn doctor_shows_the_services_and_a_service_that_is_away_is_no_fault() {
    let world = World::new();
    let nobody = nowhere();
    let mut command = world.command(&["doctor"]);
    let away = support::run(command.env("OLLAMA_HOST", &nobody));
    let message = format!(
        "✗ ollama     provider `ollama`: cannot reach `http://{nobody}`: Connection refused (os error 111)\n  hint: see that it runs, and its `base_url`\n"
    );
    assert!(away.stdout.contains(&message), "{}", away.stdout);
    let (ollama, _asked) = server(200, TAGS);
    let mut command = world.command(&["doctor"]);
    let there = support::run(command.env("OLLAMA_HOST", &ollama));
    let message = format!(
        "✓ ollama     http://{ollama}, 2 models\n  llava:13b: takes text, images, holds a schema; free\n  qwen2.5:7b: takes text, holds a schema; free\n"
    );
    assert!(there.stdout.contains(&message), "{}", there.stdout);
    assert_eq!(there.code, away.code);
    let mut command = world.command(&["doctor", "--json"]);
    let findings = support::run(command.env("OLLAMA_HOST", &ollama)).json();
    let ollama = service(&findings, "ollama");
    assert_eq!((&ollama["found"], &ollama["reachable"]), (&json!(true), &json!(true)));
    assert_eq!(ollama["models"][0]["name"], "llava:13b");
    let openai = service(&findings, "openai");
    assert_eq!((&openai["found"], &openai["configured"]), (&json!(false), &json!(false)));
}

/// A key that the service does not take comes back in its answer.
#[test]
fn a_key_that_is_refused_is_not_told() {
    let (openai, _asked) = server(
        401,
        r#"{"error":{"message":"Incorrect API key provided: key-1234","type":"invalid_request_error","code":"invalid_api_key"}}"#,
    );
    let world = World::new();
    for args in
        [&["doctor"][..], &["model", "ls"], &["doctor", "--json"], &["model", "ls", "--json"]]
    {
        let mut command = world.command(args);
        command
            .env("OLLAMA_HOST", nowhere())
            .env("OPENAI_API_KEY", "key-1234")
            .env("OPENAI_BASE_URL", format!("http://{openai}/v1"));
        let output = support::run(&mut command);
        let told = format!("{}{}", output.stdout, output.stderr);
        assert!(told.contains("Incorrect API key provided: [secret]"), "{told}");
        assert!(!told.contains("key-1234"), "{told}");
    }
}

#[test]
fn a_run_and_a_check_ask_nobody() {
    let (ollama, asked) = server(200, TAGS);
    let world = World::with(
        "name: quiet\nmodels: { reader: ollama/llava }\nsteps:\n  - { id: a, uses: value.set, with: { value: 1 } }\n  - { id: b, when: \"{{ steps.a.output == 2 }}\", uses: model.generate, model: reader, with: { prompt: hi } }\n",
    );
    for args in [&["check", "w.yaml"][..], &["plan", "w.yaml"], &["run", "w.yaml"]] {
        support::run(world.command(args).env("OLLAMA_HOST", &ollama)).exits(0);
    }
    assert_eq!(asked.try_iter().collect::<Vec<_>>(), [] as [String; 0]);
}
