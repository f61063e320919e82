//! Batches beside those of the services' own libraries: the same exchanges with the same
//! requests, but for the names that we give and the recordings have their own for.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::say;
use crate::recordings::{self, Case};
use crate::running::{Ran, Running};
use crate::server::{Answer, Received, Server, Step};

/// A recorded batch, and how our side is asked for it.
struct Recorded {
    kind: &'static str,
    folder: &'static str,
    case: &'static str,
    /// What the address of the service ends with.
    path: &'static str,
    settings: Value,
    model: &'static str,
    /// What the recorded library said besides the image and the text.
    with: Value,
    /// The exchanges of the library that we have as well; it asks once more than it needs to.
    exchanges: &'static [usize],
    answer: &'static str,
}

const ALL: fn() -> [Recorded; 4] = || {
    let anthropic = |folder, settings, model| Recorded {
        kind: "anthropic",
        folder,
        case: "batch_lifecycle",
        path: "",
        settings,
        model,
        with: json!({ "max_tokens": 50 }),
        exchanges: &[0, 1, 3],
        answer: "A red square.",
    };
    let gemini = |folder, path| Recorded {
        kind: "gemini",
        folder,
        case: "batch_inline",
        path,
        settings: json!({}),
        model: "gemini-3.8-flash",
        with: json!({ "temperature": 0.1 }),
        exchanges: &[0, 1],
        answer: "A red square.",
    };
    [
        anthropic("anthropic", json!({ "version": "2026-10-21" }), "claude-sonnet-5-5"),
        anthropic("anthropic-2023-06-01", json!({}), "claude-sonnet-4-6"),
        gemini("gemini", "/v1"),
        gemini("gemini-v1beta", "/v1beta"),
    ]
};

#[tokio::test]
async fn a_batch_is_what_the_libraries_send() {
    let Some(folder) = recordings::folder() else {
        say("skipped: there is no folder shared/recordings beside the checkout");
        return;
    };
    for recorded in ALL() {
        let Case { requests, answers } =
            recordings::case(&folder.join(recorded.folder), recorded.case);
        let ours = Arc::new(Mutex::new(String::new()));
        let (kept, exchanges) = (Arc::clone(&ours), recorded.exchanges);
        let server = Server::start(move |number, request| {
            let mut ours = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if number == 0 {
                *ours = name_of(request);
            }
            match exchanges.get(number).and_then(|at| answers.get(*at)) {
                Some(answer) => renamed(answer.clone(), &ours),
                None => Answer::json(404, "{}"),
            }
        })
        .await;
        let image = folder.join("fixtures/red.png");
        let ran = ran(&recorded, &server, &image).await;
        assert_eq!(ran.report.failure, None, "{}", recorded.folder);
        assert_eq!(ran.report.run.outputs, Some(json!({ "said": recorded.answer })));
        let ours = ours.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sent = server.received();
        let sent: Vec<_> = sent.iter().map(|request| theirs(request, &ours)).collect();
        let asked: Vec<_> = exchanges.iter().map(|at| requests[*at].clone()).collect();
        let pretty = |value| serde_json::to_string_pretty(value).expect("it is JSON");
        assert!(
            sent == asked,
            "{}: sent\n{}\ninstead of\n{}",
            recorded.folder,
            pretty(&sent),
            pretty(&asked)
        );
    }
}

async fn ran(recorded: &Recorded, server: &Server, image: &std::path::Path) -> Ran {
    let running = Running::new(&[]).await;
    std::fs::copy(image, running.folder.path().join("red.png")).expect("the image");
    let mut settings = recorded.settings.clone();
    settings["type"] = json!(recorded.kind);
    settings["base_url"] = json!(format!("{}{}", server.url(), recorded.path));
    settings["api_key"] = json!("<api-key>");
    settings["batch"] = json!({ "gather": "1ms", "poll": "1ms" });
    let mut with = recorded.with.clone();
    with["content"] = json!([{ "image": "red.png" }, { "text": "x" }]);
    let workflow = json!({
        "name": "recorded",
        "providers": { "mine": settings },
        "steps": [{
            "id": "ask", "uses": "model.generate", "model": format!("mine/{}", recorded.model),
            "deadline": "24h", "with": with,
        }],
        "outputs": { "said": "{{ steps.ask.output }}" },
    });
    running.run(&workflow.to_string()).await
}

/// Our name for the request in a batch.
fn name_of(request: &Received) -> String {
    let body: Value = serde_json::from_slice(&request.body).expect("it is JSON");
    let of_anthropic = body["requests"][0]["custom_id"].as_str();
    let of_gemini =
        body["batch"]["inputConfig"]["requests"]["requests"][0]["metadata"]["key"].as_str();
    of_anthropic.or(of_gemini).expect("a name").to_owned()
}

/// The answer with our name in the place of the recorded one.
fn renamed(mut answer: Answer, ours: &str) -> Answer {
    for step in &mut answer.body {
        if let Step::Send(bytes) = step {
            *bytes =
                String::from_utf8_lossy(bytes).replace("\"a-1\"", &format!("\"{ours}\"")).into();
        }
    }
    answer
}

/// A request with the recorded names in the place of ours.
fn theirs(request: &Received, ours: &str) -> Value {
    let text = recordings::received(request).to_string().replace(ours, "a-1");
    let batch = ours.rsplit_once('-').map_or(ours, |(batch, _)| batch);
    serde_json::from_str(&text.replace(batch, "b")).expect("it is JSON")
}

/// OpenAI's library was not recorded with a batch, but with a file.
#[tokio::test]
async fn the_file_of_a_batch_is_sent_as_the_library_sends_files() {
    let Some(folder) = recordings::folder() else {
        say("skipped: there is no folder shared/recordings beside the checkout");
        return;
    };
    let case = recordings::case(&folder.join("openai"), "files_vision_image");
    let server = Server::of(vec![Answer::json(200, r#"{"id":"file-1"}"#)]).await;
    let recorded = Recorded {
        kind: "openai",
        folder: "openai",
        case: "files_vision_image",
        path: "/v1",
        settings: json!({}),
        model: "gpt-4o",
        with: json!({ "max_tokens": 50 }),
        exchanges: &[0],
        answer: "",
    };
    ran(&recorded, &server, &folder.join("fixtures/red.png")).await;
    let received = server.received();
    let mut sent = recordings::received(&received[0]);
    let lines = sent["body"][1]["bytes"].as_str().expect("lines").to_owned();
    let line: Value = serde_json::from_str(lines.trim_end()).expect("one line");
    assert_eq!((&line["method"], &line["url"]), (&json!("POST"), &json!("/v1/chat/completions")));
    assert_eq!(line["body"]["model"], "gpt-4o");
    let mut asked = case.requests[0].clone();
    for form in [&mut sent, &mut asked] {
        form["body"][0]["bytes"] = Value::Null;
        for key in ["file", "type", "bytes"] {
            form["body"][1][key] = Value::Null;
        }
    }
    assert_eq!(sent, asked);
    let begin: Value = serde_json::from_slice(&received[1].body).expect("it is JSON");
    let name = begin["metadata"]["flow"].clone();
    assert_eq!(
        begin,
        json!({
            "input_file_id": "file-1", "endpoint": "/v1/chat/completions",
            "completion_window": "24h", "metadata": { "flow": name },
        })
    );
}
