//! A run with a step for every way in which a service is spoken to, recorded and replayed.

use std::process::Command;

use serde_json::{Value, json};

use super::exchanges;
use crate::server::{Answer, Received, Server};
use crate::support::{self, Output, World};

/// The keys of the services; they answer with them.
const KEYS: [(&str, &str); 2] = [("ONE_KEY", "one-key-1234"), ("OTHER_KEY", "other/key\"5678")];

const WORKFLOW: &str = r#"
name: all
providers:
  chat: { type: openai, base_url: "URL/o", api_key: "{{ secrets.ONE_KEY }}" }
  responses: { type: openai, api: responses, base_url: "URL/r", api_key: "{{ secrets.OTHER_KEY }}" }
  claude: { type: anthropic, base_url: "URL/a", api_key: "{{ secrets.OTHER_KEY }}" }
  gemini: { type: gemini, base_url: "URL/g", api_key: "{{ secrets.ONE_KEY }}" }
  ollama: { type: ollama, base_url: "URL/l" }
  program: { type: command, command: [./answer.sh, "{{ secrets.ONE_KEY }}"], price: 1 USD }
  missing: { type: command, command: [./none.sh] }
inputs: { image: { type: file, media: ["image/*"] } }
defaults: { retry: { attempts: 3, initial: 1ms } }
steps:
  - { id: chat, uses: model.generate, model: chat/gpt-4o, with: { prompt: whole } }
  - { id: chat_stream, uses: model.generate, model: chat/gpt-4o, with: { prompt: pieces, options: { stream: true } } }
  - { id: chat_error, on_error: continue, uses: model.generate, model: chat/gpt-4o, with: { prompt: error, options: { stream: true } } }
  - { id: chat_busy, uses: model.generate, model: chat/gpt-4o, with: { prompt: busy } }
  - { id: chat_reset, uses: model.generate, model: chat/gpt-4o, with: { prompt: reset } }
  - { id: chat_image, uses: model.generate, model: chat/gpt-4o, with: { prompt: image, image: "{{ inputs.image }}" } }
  - { id: vectors, uses: model.embed, model: chat/small, with: { texts: [a, b] } }
  - { id: responses, uses: model.generate, model: responses/m, with: { prompt: whole } }
  - { id: responses_stream, uses: model.generate, model: responses/m, with: { prompt: pieces, options: { stream: true } } }
  - { id: claude, uses: model.generate, model: claude/m, with: { prompt: whole } }
  - { id: claude_stream, uses: model.generate, model: claude/m, with: { prompt: pieces, options: { stream: true } } }
  - { id: gemini, uses: model.generate, model: gemini/m, with: { prompt: whole } }
  - { id: gemini_stream, uses: model.generate, model: gemini/m, with: { prompt: pieces, options: { stream: true } } }
  - { id: ollama, uses: model.generate, model: ollama/m, with: { prompt: whole } }
  - { id: ollama_stream, uses: model.generate, model: ollama/m, with: { prompt: pieces, options: { stream: true } } }
  - { id: program, uses: model.generate, model: program/m, with: { prompt: hello, image: "{{ inputs.image }}" } }
  - { id: chain, uses: model.generate, model: chained, with: { prompt: chain } }
models: { chained: [missing/m, program/m] }
outputs:
  chat: "{{ steps.chat.output }}"
  chat_stream: "{{ steps.chat_stream.output }}"
  chat_busy: "{{ steps.chat_busy.output }}"
  chat_reset: "{{ steps.chat_reset.output }}"
  chat_image: "{{ steps.chat_image.output }}"
  vectors: "{{ steps.vectors.output }}"
  responses: "{{ steps.responses.output }}"
  responses_stream: "{{ steps.responses_stream.output }}"
  claude: "{{ steps.claude.output }}"
  claude_stream: "{{ steps.claude_stream.output }}"
  gemini: "{{ steps.gemini.output }}"
  gemini_stream: "{{ steps.gemini_stream.output }}"
  ollama: "{{ steps.ollama.output }}"
  ollama_stream: "{{ steps.ollama_stream.output }}"
  program: "{{ steps.program.output }}"
  chain: "{{ steps.chain.output }}"
"#;

fn outputs() -> Value {
    json!({
        "chat": "whole for [secret]", "chat_stream": "in pieces for [secret]",
        "chat_busy": "at last", "chat_reset": "at last", "chat_image": "an image",
        "vectors": [[0.1, 2.0], [0.25, -1.0]],
        "responses": "whole", "responses_stream": "in pieces",
        "claude": "whole for [secret]", "claude_stream": "in pieces",
        "gemini": "whole", "gemini_stream": "in pieces",
        "ollama": "whole", "ollama_stream": "in pieces",
        "program": "HELLO", "chain": "CHAIN",
    })
}

fn events(events: &[(&str, Value)]) -> Answer {
    let event = |(name, data): &(&str, Value)| match name.is_empty() {
        true => format!("data: {data}\n\n"),
        false => format!("event: {name}\ndata: {data}\n\n"),
    };
    Answer::events(&events.iter().map(event).collect::<String>())
}

fn whole(value: &Value) -> Answer {
    Answer::json(200, &value.to_string()).with("x-request-id", "r-1").with("set-cookie", "c=1")
}

fn answer(times_asked: usize, request: &Received) -> Answer {
    let body = String::from_utf8_lossy(&request.body);
    let path = request.target.as_str();
    let streamed = body.contains("pieces");
    match path.split('/').nth(1) {
        Some("o") => chat(times_asked, path, &body),
        Some("r") if streamed => {
            let delta = |text: &str| json!({ "type": "response.output_text.delta", "delta": text });
            let response = responses("in pieces");
            let done = json!({ "type": "response.completed", "response": response });
            events(&[
                ("response.output_text.delta", delta("in ")),
                ("response.output_text.delta", delta("pieces")),
                ("response.completed", done),
            ])
        }
        Some("r") => whole(&responses("whole")),
        Some("a") if streamed => {
            let usage = json!({ "input_tokens": 3, "output_tokens": 1 });
            let message = json!({ "type": "message", "model": "m", "content": [], "usage": usage });
            let delta = |text: &str| {
                let delta = json!({ "type": "text_delta", "text": text });
                json!({ "type": "content_block_delta", "index": 0, "delta": delta })
            };
            let block = json!({ "type": "text", "text": "" });
            let end = json!({ "stop_reason": "end_turn" });
            events(&[
                ("message_start", json!({ "type": "message_start", "message": message })),
                (
                    "content_block_start",
                    json!({ "type": "content_block_start", "index": 0, "content_block": block }),
                ),
                ("content_block_delta", delta("in ")),
                ("content_block_delta", delta("pieces")),
                ("content_block_stop", json!({ "type": "content_block_stop", "index": 0 })),
                ("message_delta", json!({ "type": "message_delta", "delta": end, "usage": usage })),
                ("message_stop", json!({ "type": "message_stop" })),
            ])
        }
        Some("a") => whole(&json!({
            "type": "message", "model": "m", "stop_reason": "end_turn",
            "content": [{ "type": "text", "text": format!("whole for {}", KEYS[1].1) }],
            "usage": { "input_tokens": 3, "output_tokens": 1 },
        })),
        Some("g") if streamed => {
            events(&[("", gemini("in ", None)), ("", gemini("pieces", Some("STOP")))])
        }
        Some("g") => whole(&gemini("whole", Some("STOP"))),
        Some("l") if streamed => {
            let lines = format!("{}\n{}\n", ollama("in ", false), ollama("pieces", true));
            Answer::new(200, "application/x-ndjson", lines)
        }
        Some("l") => whole(&ollama("whole", true)),
        _ => Answer::json(404, "{}"),
    }
}

fn responses(text: &str) -> Value {
    let content = json!([{ "type": "output_text", "text": text }]);
    json!({
        "status": "completed", "model": "m", "usage": { "input_tokens": 3, "output_tokens": 1 },
        "output": [{ "type": "message", "content": content }],
    })
}

fn gemini(text: &str, finish: Option<&str>) -> Value {
    let content = json!({ "parts": [{ "text": text }] });
    json!({
        "candidates": [{ "content": content, "finishReason": finish }],
        "usageMetadata": { "promptTokenCount": 3, "candidatesTokenCount": 1 },
    })
}

fn ollama(text: &str, done: bool) -> Value {
    let mut value = json!({ "model": "m", "message": { "content": text }, "done": done });
    if done {
        value["done_reason"] = json!("stop");
        value["prompt_eval_count"] = json!(3);
        value["eval_count"] = json!(1);
    }
    value
}

fn said(text: &str) -> Value {
    let message = json!({ "message": { "content": text }, "finish_reason": "stop" });
    let usage = json!({ "prompt_tokens": 300, "completion_tokens": 100 });
    json!({ "model": "gpt-4o", "choices": [message], "usage": usage })
}

fn chat(times_asked: usize, path: &str, body: &str) -> Answer {
    use crate::server::Step;
    let chunk = |text: &str| json!({ "choices": [{ "delta": { "content": text } }] });
    if path.ends_with("/embeddings") {
        return whole(&json!({
            "data": [
                { "index": 0, "embedding": [0.1, 2.0] }, { "index": 1, "embedding": [0.25, -1.0] },
            ],
            "usage": { "prompt_tokens": 5, "total_tokens": 5 },
        }));
    }
    if body.contains("pieces") {
        // Neither piece holds the key, and together they do.
        let (first, last) = KEYS[0].1.split_at(7);
        let end = json!({ "choices": [{ "delta": {}, "finish_reason": "stop" }] });
        let chunks = [chunk(&format!("in pieces for {first}")), chunk(last), end].map(|c| ("", c));
        return events(&chunks).then([Step::Send(b"data: [DONE]\n\n".to_vec())]);
    }
    if body.contains("error") {
        let error = json!({ "error": { "message": "it broke", "type": "server_error" } });
        return events(&[("", chunk("so ")), ("", error)]);
    }
    if body.contains("busy") && times_asked == 0 {
        let busy = r#"{"error":{"message":"slow down","type":"rate_limit_error"}}"#;
        return Answer::json(429, busy).with("retry-after", "0");
    }
    if body.contains("reset") && times_asked == 0 {
        return Answer::json(200, r#"{"model":"#).then([Step::Reset]);
    }
    if body.contains("busy") || body.contains("reset") {
        return whole(&said("at last"));
    }
    match body.contains("image") {
        true => whole(&said("an image")),
        false => whole(&said(&format!("whole for {}", KEYS[0].1))),
    }
}

/// A server that knows how often it was asked the same.
async fn server() -> Server {
    let asked: std::sync::Mutex<Vec<Vec<u8>>> = std::sync::Mutex::default();
    Server::start(move |_, request| {
        let mut asked = asked.lock().unwrap();
        let times = asked.iter().filter(|body| **body == request.body).count();
        asked.push(request.body.clone());
        answer(times, request)
    })
    .await
}

/// An image of some megabytes: a picture of one pixel, and noise behind it.
fn image() -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\x9cc\xf8\xff\xff?\0\x05\xfe\x02\xfe\xa7\x9a\xa0\xa0\0\0\0\0IEND\xaeB`\x82".to_vec();
    bytes.extend((0..4_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8));
    bytes
}

fn world(workflow: &str) -> World {
    let world = World::with(workflow);
    std::fs::write(world.path("image.png"), image()).unwrap();
    world
}

fn run(world: &World, flag: &str, keys: &[(&str, &str)], rest: &[&str]) -> Output {
    let mut args = vec!["run", "w.yaml", "--json", "--input", "image=image.png", flag, "tape"];
    args.extend(rest);
    let mut command: Command = world.command(&args);
    support::run(command.envs(keys.iter().copied()))
}

/// What a run came to, without what cost and time make of it.
fn came_to(output: &Output) -> Value {
    let mut whole = output.json();
    for step in whole["steps"].as_object_mut().unwrap().values_mut() {
        for name in ["cost", "replayed"] {
            step["meta"].as_object_mut().unwrap().remove(name);
        }
    }
    json!([whole["status"], whole["outputs"], whole["steps"]])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_recorded_is_replayed_without_services_and_keys() {
    let server = server().await;
    let world = world(&WORKFLOW.replace("URL", &server.url()));
    let recorded = run(&world, "--record", &KEYS, &[]).exits(0);
    let asked = server.received().len();
    drop(server);
    std::fs::remove_file(world.path("answer.sh")).unwrap();
    assert_eq!(recorded.json()["outputs"], outputs());

    // Each exchange is a file; what did not start counts as one.
    let kept = exchanges(&world.path("tape"));
    assert_eq!(kept.len(), asked + 3, "{kept:#?}");
    let count = kept.len();
    assert!(recorded.stderr.ends_with(&format!("\nrecorded in tape: {count} exchanges\n")));
    for (name, exchange) in &kept {
        assert_eq!(exchange["origin"], "recorded", "{name}");
        let text = exchange.to_string();
        assert!(text.len() < 10_000, "{name} holds a file");
        let request = exchange["request"].to_string();
        assert!(!request.contains("127.0.0.1") && !text.contains("set-cookie"), "{text}");
    }

    // A file stands by its hash, and is the same wherever it is sent.
    let files = kept.iter().filter_map(|(_, exchange)| {
        let content = &exchange["request"]["body"]["messages"][0]["content"];
        let image = content.as_array()?.iter().find(|part| part.get("text").is_none())?;
        let url = image["image_url"].get("url").unwrap_or(&image["image"]);
        Some((url["$artifact"].clone(), url["size"].clone(), url["before"].clone()))
    });
    let files: Vec<_> = files.collect();
    let size = json!(image().len());
    let [(sent, sent_size, before), (given, given_size, Value::Null)] = files.as_slice() else {
        panic!("{files:#?}")
    };
    assert_eq!((sent, sent_size, given_size), (given, &size, &size));
    assert_eq!(before, "data:image/png;base64,");

    // No secret, in whatever spelling, is in it.
    for file in support::files(&world.path("tape")) {
        let text = std::fs::read_to_string(&file).unwrap();
        for secret in ["one-key", "key-1234", "other/key", "5678"] {
            assert!(!text.contains(secret), "{}: {text}", file.display());
        }
    }

    // A wait that was asked for then is not waited for now.
    let busy = kept.iter().find(|(_, exchange)| exchange["response"]["status"] == 429).unwrap();
    let path = world.path("tape").join(&busy.0);
    let text = std::fs::read_to_string(&path).unwrap();
    let longer = text.replace(r#""retry-after": "0""#, r#""retry-after": "3000""#);
    assert_ne!(text, longer);
    std::fs::write(&path, longer).unwrap();

    std::fs::remove_dir_all(world.path(".flow")).unwrap();
    let replayed = run(&world, "--replay", &[], &[]).exits(0);
    assert_eq!(came_to(&replayed), came_to(&recorded));
    assert!(replayed.stderr.ends_with(&format!("\nreplayed from tape: {count} exchanges\n")));

    // It cost something then, and nothing now.
    let costs = [&recorded, &replayed].map(|output| output.json()["cost"].as_f64().unwrap());
    assert!(costs[0] > 2.0 && costs[1] == 0.0, "{costs:?}");
    assert_eq!(replayed.json()["cost_uncertain"], false);
    let meta = &replayed.json()["steps"]["chat"]["meta"];
    assert_eq!((&meta["replayed"], &meta["cost"]), (&json!(true), &json!(0.0)));
    assert_eq!(meta["usage"], json!({ "input_tokens": 300, "output_tokens": 100 }));
    let shown = world.flow(&["show", &replayed.run()]).exits(0);
    assert!(shown.stdout.contains("✓ chat  succeeded") && shown.stdout.contains("  replayed\n"));

    // What was replayed is not taken for what a service answered, and the other way round.
    let again = run(&world, "--replay", &[], &[]).exits(0);
    assert_eq!(again.json()["steps"]["chat"]["meta"]["cached"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cassette_knows_neither_addresses_nor_names() {
    let server = server().await;
    let text = format!(
        "name: moved\nproviders: {{ mine: {{ type: openai, base_url: '{}/o', api_key: k }} }}\nsteps: [{{ id: ask, uses: model.generate, model: mine/gpt-4o, with: {{ prompt: image }} }}]\noutputs: {{ said: '{{{{ steps.ask.output }}}}' }}\n",
        server.url()
    );
    let world = World::with(&text);
    world.flow(&["run", "w.yaml", "--record", "tape"]).exits(0);
    drop(server);
    world.write(
        "w.yaml",
        "name: moved\nsteps: [{ id: ask, uses: model.generate, model: openai/gpt-4o, with: { prompt: image } }]\noutputs: { said: '{{ steps.ask.output }}' }\n",
    );
    let replayed = world.flow(&["run", "w.yaml", "--replay", "tape"]).exits(0);
    assert_eq!(replayed.stdout, "{\n  \"said\": \"an image\"\n}\n");
    // `auto` is what answered then, whatever there is now.
    let text = std::fs::read_to_string(world.path("w.yaml")).unwrap();
    world.write("w.yaml", &text.replace("openai/gpt-4o", "auto"));
    let (name, mut exchange) = exchanges(&world.path("tape")).remove(0);
    exchange["request"]["body"]["model"] = json!("gpt-6-luna");
    world.write(&format!("tape/{name}"), &exchange.to_string());
    world.flow(&["run", "w.yaml", "--replay", "tape"]).exits(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_that_ask_the_same_get_the_answer_of_each() {
    let server = Server::start(|number, _| whole(&said(&format!("answer {number}")))).await;
    let text = format!(
        "name: twice\nproviders: {{ mine: {{ type: openai, base_url: '{}', api_key: k }} }}\nsteps: [{{ id: ask, for_each: 3, max_parallel: 1, cache: false, uses: model.generate, model: mine/gpt-4o, with: {{ prompt: x }} }}]\noutputs: {{ said: '{{{{ steps.ask.output }}}}' }}\n",
        server.url()
    );
    let world = World::with(&text);
    world.flow(&["run", "w.yaml", "--record", "tape"]).exits(0);
    drop(server);
    let replayed = world.flow(&["run", "w.yaml", "--replay", "tape", "--json"]).exits(0);
    assert_eq!(replayed.json()["outputs"]["said"], json!(["answer 0", "answer 1", "answer 2"]));
    // When all are given, the last is given again.
    world.write("w.yaml", &text.replace("for_each: 3", "for_each: 5"));
    let replayed = world.flow(&["run", "w.yaml", "--replay", "tape", "--json"]).exits(0);
    assert_eq!(replayed.json()["outputs"]["said"][4], "answer 2");
    assert!(replayed.stderr.ends_with("\nreplayed from tape: 5 exchanges\n"));
}
