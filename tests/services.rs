//! Model services as the binary asks them: nothing is paid twice, and no key is told.
#![cfg(unix)]

#[path = "../providers/tests/support/server.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod server;
mod support;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use server::{Answer, Received, Server, Step};
use support::{Chance, Output, World, ended, kept};

/// Kills that must hit a run at work.
const KILLS: usize = 50;

/// Runs what asks a server while the server's runtime turns.
fn with_server(
    decide: impl Fn(usize, &Received) -> Answer + Send + Sync + 'static,
    test: impl FnOnce(&Server),
) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let server = runtime.block_on(Server::start(decide));
    test(&server);
}

/// An answer of chat completions.
fn chat(text: &str) -> Answer {
    let reply = json!({
        "id": "c", "model": "m",
        "choices": [{
            "index": 0, "finish_reason": "stop",
            "message": { "role": "assistant", "content": text },
        }],
        "usage": { "prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7 },
    });
    Answer::json(200, &reply.to_string())
}

/// What a request of chat completions asks.
fn prompt(request: &Received) -> String {
    let body: Value = serde_json::from_slice(&request.body).expect("it is JSON");
    let messages = body["messages"].as_array().expect("messages");
    let content = &messages.last().expect("a message")["content"];
    content.as_str().or(content[0]["text"].as_str()).expect("a text").to_owned()
}

fn asked(server: &Server) -> BTreeMap<String, usize> {
    let mut asked = BTreeMap::new();
    for request in server.received() {
        *asked.entry(prompt(&request)).or_default() += 1;
    }
    asked
}

/// Items of the loop that is killed.
const ITEMS: usize = 400;

/// A workflow with a loop of questions to a server, at a price.
fn questions(server: &Server) -> String {
    let url = server.url();
    format!(
        r#"
providers:
  openai:
    base_url: "{url}/v1"
    models: {{ m: {{ price: {{ input: 100, output: 100 }} }} }}
steps:
  - id: ask
    for_each: {ITEMS}
    max_parallel: 3
    uses: model.generate
    model: openai/m
    with: {{ prompt: "n{{{{ item }}}}", max_tokens: 10 }}
outputs: {{ answers: "{{{{ steps.ask.output }}}}" }}
"#
    )
}

/// Kills the command at work: once it has asked, and some time after.
fn killed_at_work(server: &Server, mut command: Command, after: Duration) {
    let before = server.received().len();
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("the binary starts");
    support::until("a request", || {
        server.received().len() > before || child.try_wait().is_ok_and(|end| end.is_some())
    });
    std::thread::sleep(after);
    support::signal(child.id(), "KILL");
    let killed = ended(child);
    assert_eq!(killed.code, None, "the run ended before {KILLS} kills: {killed:#?}");
}

/// How often each prompt was asked whose answer is durable.
fn answered(world: &World, server: &Server) -> BTreeMap<String, usize> {
    let (kept, counts) = (kept(&world.path(".flow")), asked(server));
    kept.follows_its_journal();
    let done = kept.steps.iter().filter(|(_, status)| *status == "succeeded");
    let items = done.filter_map(|(path, _)| path.strip_prefix("ask[")?.strip_suffix(']'));
    items.map(|item| format!("n{item}")).map(|prompt| (prompt.clone(), counts[&prompt])).collect()
}

/// `kill -9` at times that nobody chose: whatever answer was durable by then is never asked for
/// again; what was in flight is `lost`, counts as possibly paid, and is asked once more.
#[test]
fn what_was_answered_is_not_asked_again_whenever_the_process_is_killed() {
    let slow = |_: usize, request: &Received| {
        let pause = Step::Pause(Duration::from_millis(4));
        chat(&prompt(request).to_uppercase()).after([pause])
    };
    with_server(slow, |server| {
        let world = World::with(&questions(server));
        let mut chance = Chance::new();
        let (mut run, mut done) = (None::<String>, BTreeMap::new());
        for _ in 0..KILLS {
            let args = run.as_ref().map_or(vec!["run", "w.yaml"], |run| vec!["resume", run]);
            let after = Duration::from_micros(chance.below(30_000));
            killed_at_work(server, world.command(&args), after);
            run.get_or_insert_with(|| world.only_run());
            let counts = asked(server);
            for (prompt, before) in &done {
                assert_eq!(counts[prompt], *before, "{prompt} was answered, and asked again");
            }
            done = answered(&world, server);
        }
        let run = run.expect("a run");
        let output = world.flow(&["resume", &run, "--json"]).exits(0).json();
        assert_eq!(output["outputs"]["answers"].as_array().map(Vec::len), Some(ITEMS));
        assert_eq!(output["cost_uncertain"], true);
        let kept = kept(&world.path(".flow"));
        let mut lost = 0;
        for (prompt, times) in asked(server) {
            let attempts = kept.attempts_of(&format!("ask[{}]", &prompt[1..]), "lost");
            assert!(times <= 1 + attempts, "{prompt}: asked {times} times, {attempts} lost");
            let before = done.get(&prompt).copied().unwrap_or(times);
            assert_eq!(times, before, "{prompt} was answered, and asked again");
            lost += attempts;
        }
        assert!(lost > 0, "no kill hit a call in flight");
        // An answer costs 7 tokens of 100 micro-USD; a lost one what was set aside for it.
        let paid = ITEMS as f64 * 0.0007;
        assert!(output["cost"].as_f64().is_some_and(|cost| cost > paid), "{output:#}");
    });
}

const KEYS: [(&str, &str); 5] = [
    ("OPENAI_API_KEY", "sk-known-openai-4711"),
    ("ANTHROPIC_API_KEY", "sk-known-anthropic-4711"),
    ("GEMINI_API_KEY", "sk-known-gemini-4711"),
    ("OLLAMA_API_KEY", "sk-known-ollama-4711"),
    ("OTHER_KEY", "sk-known-other-4711"),
];

/// A service that says the keys it was given wherever it can.
fn indiscreet(request: &Received) -> Answer {
    let key = ["authorization", "x-api-key", "x-goog-api-key"];
    let key = key.iter().find_map(|name| request.header(name)).unwrap_or_default();
    let key = key.trim_start_matches("Bearer ");
    let text = format!("your key is {key}");
    let broken = request.body.windows(4).any(|window| window == b"fail");
    let reply = match request.target.as_str() {
        _ if broken => {
            let reply = json!({ "error": { "message": text, "type": "x", "status": text } });
            return Answer::json(400, &reply.to_string()).with("x-request-id", key);
        }
        "/v1/chat/completions" => return chat(&text).with("x-request-id", key),
        "/v1/messages" => json!({
            "id": key, "type": "message", "role": "assistant", "model": key,
            "content": [{ "type": "text", "text": text }], "stop_reason": "end_turn",
            "usage": { "input_tokens": 5, "output_tokens": 2 },
        }),
        "/api/chat" => json!({
            "model": key, "message": { "role": "assistant", "content": text }, "done": true,
            "done_reason": "stop", "prompt_eval_count": 5, "eval_count": 2,
        }),
        _ => json!({
            "candidates": [{
                "content": { "role": "model", "parts": [{ "text": text }] }, "finishReason": "STOP",
            }],
            "modelVersion": key, "responseId": key,
            "usageMetadata": { "promptTokenCount": 5, "candidatesTokenCount": 2 },
        }),
    };
    Answer::json(200, &reply.to_string()).with("x-request-id", key)
}

#[test]
fn no_key_is_in_the_store_in_what_is_printed_or_in_an_error() {
    with_server(
        |_, request| indiscreet(request),
        |server| {
            let url = server.url();
            let mut steps = String::new();
            for (provider, prompts) in [
                ("openai", "hi"),
                ("anthropic", "hi"),
                ("gemini", "hi"),
                ("ollama", "hi"),
                ("own", "hi"),
            ]
            .iter()
            .flat_map(|(provider, hi)| [(*provider, *hi), (*provider, "fail")])
            {
                steps.push_str(&format!(
                "  - {{ id: {provider}_{prompts}, uses: model.generate, model: {provider}/m, on_error: continue, retry: {{ attempts: 1 }}, with: {{ prompt: {prompts}, max_tokens: 9 }} }}\n"
            ));
            }
            let world = World::with(&format!(
                "providers:\n  openai: {{ base_url: \"{url}/v1\" }}\n  anthropic: {{ base_url: \"{url}\" }}\n  gemini: {{ base_url: \"{url}/v1beta\" }}\n  ollama: {{ base_url: \"{url}\" }}\n  own: {{ type: openai, base_url: \"{url}/v1\", api_key: \"{{{{ secrets.OTHER_KEY }}}}\" }}\nsteps:\n{steps}"
            ));
            let flow = |args: &[&str]| -> Output {
                let mut command = world.command(args);
                support::run(command.envs(KEYS))
            };
            let ran = flow(&["run", "w.yaml", "--json"]).exits(0);
            let run = ran.run();
            let mut printed = vec![ran.clone()];
            for args in [
                vec!["show", &run],
                vec!["show", &run, "--json"],
                vec!["show", &run, "--step", "openai_fail", "--json"],
                vec!["logs", &run],
                vec!["logs", &run, "--events", "--json"],
            ] {
                printed.push(flow(&args).exits(0));
            }
            // Each key went out, with a success and with an error.
            for (_, key) in KEYS {
                let sent = server
                    .received()
                    .iter()
                    .filter(|request| request.headers.iter().any(|(_, value)| value.ends_with(key)))
                    .count();
                assert_eq!(sent, 2, "{key}");
            }
            let steps = ran.json()["steps"].clone();
            for provider in ["openai", "anthropic", "gemini", "ollama", "own"] {
                let said = steps[format!("{provider}_hi")]["output"].as_str().unwrap_or_default();
                assert!(said.starts_with("your key is "), "{provider}: {steps:#}");
                let failed = &steps[format!("{provider}_fail")];
                assert_eq!(failed["error"]["class"], "bad_request", "{failed:#}");
            }
            for output in &printed {
                for (name, key) in KEYS {
                    let told = output.stdout.contains(key) || output.stderr.contains(key);
                    assert!(!told, "{name} is told: {output:#?}");
                }
            }
            for file in support::files(&world.path(".flow")) {
                let bytes = std::fs::read(&file).expect("a file");
                for (name, key) in KEYS {
                    let found = bytes.windows(key.len()).any(|window| window == key.as_bytes());
                    assert!(!found, "{name} is in {}", file.display());
                }
            }
        },
    );
}

#[test]
fn the_first_request_is_the_first_useful_one() {
    with_server(
        |_, request| indiscreet(request),
        |server| {
            let world = World::with(
                "steps: [{ id: a, uses: model.generate, model: auto, with: { prompt: hi, schema: { type: string } }, on_error: continue }]\n",
            );
            let mut command = world.command(&["run", "w.yaml"]);
            let address = format!("{}/v1", server.url());
            command.env("OPENAI_API_KEY", "k").env("OPENAI_BASE_URL", address);
            support::run(&mut command).exits(0);
            let targets: Vec<_> = server.received().into_iter().map(|one| one.target).collect();
            assert_eq!(
                targets.first().map(String::as_str),
                Some("/v1/chat/completions"),
                "{targets:?}"
            );
        },
    );
}
