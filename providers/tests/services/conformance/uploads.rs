//! Files that are uploaded, asked about and removed: what of it is on the wire, beside what the
//! services' own libraries send.

use std::path::Path;

use serde_json::{Value, json};

use super::say;
use crate::asking::Asking;
use crate::recordings::{self, Case};
use crate::server::{Answer, Server, Step};

/// The cases that are held here, by their folder.
const CASES: &[(&str, &str)] = &[
    ("gemini", "files_upload_20mb_resumable"),
    ("gemini", "files_upload_chunk_retry"),
    ("gemini-v1beta", "files_upload_20mb_resumable"),
    ("gemini-v1beta", "files_upload_chunk_retry"),
    ("anthropic", "files_lifecycle"),
    ("anthropic-2023-06-01", "files_lifecycle"),
    ("openai", "files_vision_image"),
];

/// Whether a case is held here.
pub(super) fn holds(folder: &str, case: &str) -> bool {
    CASES.contains(&(folder, case))
}

/// An upload as it is made beside a recorded one.
struct Upload {
    /// The kind of service, its settings besides address and key, and the model.
    service: (&'static str, Value, &'static str),
    /// What the address of the service ends with.
    path: &'static str,
    /// The file, its media type, and the key that it is given under.
    file: (&'static str, &'static str, &'static str),
    /// What is answered.
    answers: Vec<Answer>,
}

impl Upload {
    /// Asks about the file, ends the run, and says what was sent in normal form.
    async fn sent(self, fixtures: &Path) -> Vec<Value> {
        let (kind, mut settings, model) = self.service;
        let server = Server::of(self.answers).await;
        settings["base_url"] = json!(format!("{}{}", server.url(), self.path));
        settings["api_key"] = json!("<api-key>");
        let asking = Asking::new(kind, &settings, model).await;
        let (name, media_type, key) = self.file;
        let taken = asking.context.intake.take(name, &fixtures.join(name)).await;
        let mut file = taken.expect("the file can be read").to_value();
        // The recorded video is none.
        file["media_type"] = json!(media_type);
        let question = json!({ "text": "Summarize this video." });
        let input = json!({ "content": [{ key: file }, question], "options": { "upload": {} } });
        let answer = asking.ask(&input, fixtures).await;
        assert_eq!(answer, Ok(json!("A red square.")));
        assert_eq!(asking.end().await, []);
        server.received().iter().map(recordings::received).collect()
    }
}

/// A recorded case whose files have not expired, whenever this is run.
fn case(folder: &Path, name: &str) -> Case {
    let mut case = recordings::case(folder, name);
    for step in case.answers.iter_mut().flat_map(|answer| &mut answer.body) {
        if let Step::Send(bytes) = step {
            let text = String::from_utf8_lossy(bytes).replace("\"2026-11-25T", "\"2099-11-25T");
            *bytes = text.into_bytes();
        }
    }
    case
}

fn recorded() -> Option<std::path::PathBuf> {
    let all = recordings::folder();
    if all.is_none() {
        say("skipped: there is no folder shared/recordings beside the checkout");
    }
    all
}

fn flash() -> (&'static str, Value, &'static str) {
    ("gemini", json!({}), "gemini-3.8-flash")
}

/// The library was told a name to show; that one is left out of what it sent.
fn without_a_name(mut start: Value) -> Value {
    if let Value::Object(file) = &mut start["body"]["file"] {
        file.remove("displayName");
    }
    start
}

#[tokio::test]
async fn a_large_file_goes_to_gemini_as_its_library_sends_it() {
    let Some(all) = recorded() else { return };
    for (folder, path) in [("gemini", "/v1"), ("gemini-v1beta", "/v1beta")] {
        let mut case = case(&all.join(folder), "files_upload_20mb_resumable");
        case.requests[0] = without_a_name(case.requests[0].take());
        let fixtures = tempfile::tempdir().expect("a folder");
        let bytes: Vec<u8> = (0..=250).cycle().take(20_971_643).collect();
        std::fs::write(fixtures.path().join("clip.mp4"), bytes).expect("written");
        let upload = Upload {
            service: flash(),
            path,
            file: ("clip.mp4", "video/mp4", "video"),
            answers: case.answers,
        };
        let sent = upload.sent(fixtures.path()).await;
        assert_eq!(sent.len(), case.requests.len());
        for (sent, recorded) in sent.iter().zip(&case.requests) {
            assert_eq!(sent, recorded, "{folder}");
        }
    }
}

/// Their library sends a chunk again after a second; ours asks first how much of it came.
#[tokio::test]
async fn a_chunk_is_sent_to_gemini_again_as_its_library_does() {
    let Some(all) = recorded() else { return };
    for (folder, path) in [("gemini", "/v1"), ("gemini-v1beta", "/v1beta")] {
        let case = case(&all.join(folder), "files_upload_chunk_retry");
        let nothing = Answer::new(200, "text/plain", "")
            .with("x-goog-upload-status", "active")
            .with("x-goog-upload-size-received", "0");
        let ready =
            json!({ "name": "files/abc-123", "uri": "https://x/abc-123", "state": "ACTIVE" });
        let said = json!({
            "candidates": [{ "content": { "parts": [{ "text": "A red square." }] } }],
        });
        let mut answers = case.answers;
        answers.insert(2, nothing);
        answers.push(Answer::json(200, &ready.to_string()));
        answers.push(Answer::json(200, &said.to_string()));
        answers.push(Answer::json(200, "{}"));
        let file = ("small.mp4", "video/mp4", "video");
        let upload = Upload { service: flash(), path, file, answers };
        let mut sent = upload.sent(&all.join("fixtures")).await;
        let query = sent.remove(2);
        assert_eq!(query["headers"], json!([["x-goog-upload-command", "query"]]));
        assert_eq!(sent[..3], case.requests, "{folder}");
    }
}

/// Their library lists and reads files as well; ours keeps a ledger.
#[tokio::test]
async fn a_file_goes_to_anthropic_and_away_as_its_libraries_send_it() {
    let Some(all) = recorded() else { return };
    let said = json!({
        "content": [{ "type": "text", "text": "A red square." }], "stop_reason": "end_turn",
        "usage": { "input_tokens": 1, "output_tokens": 1 },
    });
    for (folder, settings, model) in [
        ("anthropic", json!({ "version": "2026-10-21" }), "claude-sonnet-5-5"),
        ("anthropic-2023-06-01", json!({}), "claude-sonnet-4-6"),
    ] {
        let case = case(&all.join(folder), "files_lifecycle");
        let [added, _, _, removed] = <[Answer; 4]>::try_from(case.answers).expect("four");
        let upload = Upload {
            service: ("anthropic", settings, model),
            path: "",
            file: ("tiny.pdf", "application/pdf", "document"),
            answers: vec![added, Answer::json(200, &said.to_string()), removed],
        };
        let sent = upload.sent(&all.join("fixtures")).await;
        assert_eq!(sent.len(), 3);
        assert_eq!((&sent[0], &sent[2]), (&case.requests[0], &case.requests[3]), "{folder}");
        let source = json!({ "type": "file", "file_id": "file_TEST0001" });
        assert_eq!(sent[1]["body"]["messages"][0]["content"][0]["source"], source);
    }
}

/// Ours says as well when the file expires, should nobody come to remove it.
#[tokio::test]
async fn an_image_goes_to_openai_as_its_library_sends_it() {
    let Some(all) = recorded() else { return };
    let mut case = case(&all.join("openai"), "files_vision_image");
    let said = json!({ "status": "completed", "output": [{ "type": "message", "content": [
        { "type": "output_text", "text": "A red square." },
    ] }] });
    case.answers.push(Answer::json(200, &said.to_string()));
    case.answers.push(Answer::json(200, r#"{"id":"file-TEST0001","deleted":true}"#));
    let upload = Upload {
        service: ("openai", json!({ "api": "responses" }), "gpt-4o"),
        path: "/v1",
        file: ("red.png", "image/png", "image"),
        answers: case.answers,
    };
    let mut sent = upload.sent(&all.join("fixtures")).await;
    let fields = sent[0]["body"].as_array_mut().expect("a form has parts");
    let expires: Vec<_> = fields.drain(1..3).map(|field| field["name"].clone()).collect();
    assert_eq!(expires, ["expires_after[anchor]", "expires_after[seconds]"]);
    assert_eq!(sent[..1], case.requests);
    assert_eq!(sent[1]["body"]["input"][0]["content"][0]["file_id"], json!("file-TEST0001"));
    assert_eq!(sent[2]["path"], json!("/v1/files/file-TEST0001"));
    assert_eq!(sent[2]["method"], json!("DELETE"));
}
