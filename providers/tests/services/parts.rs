//! Parts of a question as a workflow's file writes them.

use serde_json::Value;

use crate::running::Running;
use crate::server::{Answer, Server};

fn workflow(url: &str, with: &str) -> String {
    format!(
        r#"
name: parts
providers: {{ mine: {{ type: ollama, base_url: "{url}" }} }}
steps: [{{ id: ask, uses: model.generate, model: mine/large, with: {with} }}]
"#
    )
}

fn yes() -> Answer {
    Answer::json(
        200,
        r#"{"message":{"role":"assistant","content":"yes"},"done":true,"done_reason":"stop"}"#,
    )
}

/// A PNG of one pixel.
pub(crate) fn png() -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(1, 1).write_to(&mut bytes, image::ImageFormat::Png).expect("a picture");
    bytes.into_inner()
}

#[tokio::test]
async fn a_path_in_a_part_is_a_file_as_it_is_elsewhere() {
    let mut asked = Vec::new();
    for with in [
        r#"{ content: [{ image: scan.png }, { text: "What?" }] }"#,
        r#"{ image: scan.png, prompt: "What?" }"#,
        r#"{ messages: [{ role: user, content: [{ image: scan.png }, { text: "What?" }] }] }"#,
    ] {
        let server = Server::of(vec![yes()]).await;
        let running = Running::new(&[]).await;
        std::fs::write(running.folder.path().join("scan.png"), png()).expect("written");
        let ran = running.run(&workflow(&server.url(), with)).await;
        assert_eq!(ran.failure(), "", "{with}");
        let body: Value = serde_json::from_slice(&server.received()[0].body).expect("it is JSON");
        asked.push(body);
    }
    assert_eq!(asked[0]["messages"][0]["images"].as_array().map(Vec::len), Some(1));
    assert!(asked.iter().all(|body| *body == asked[0]), "{asked:#?}");
}

#[tokio::test]
async fn a_part_that_is_two_things_or_none_is_refused_before_the_run() {
    let running = Running::new(&[]).await;
    let with = r#"{ content: [{ text: a, image: scan.png }, { picture: a.png }, "{{ 1 }}", { text: "{{ 1 }}" }] }"#;
    let faults = running.faults(&workflow("http://127.0.0.1:9", with));
    for fault in [
        "`content`: a part is one thing, and `{\"text\":\"a\",\"image\":\"scan.png\"}` has `text` and `image`",
        "make them parts of their own: `- text: …`, `- image: …`",
        "`content`: `{\"picture\":\"a.png\"}` is no part",
    ] {
        assert!(faults.contains(fault), "{faults}");
    }
    assert_eq!(faults.matches("`content`").count(), 2, "{faults}");
    let with = "{ messages: [{ role: user, content: [{ text: a, detail: low }] }] }";
    let faults = running.faults(&workflow("http://127.0.0.1:9", with));
    assert!(faults.contains("`content`: a text has no `detail`"), "{faults}");
}

#[tokio::test]
async fn a_part_that_turns_out_to_be_no_text_is_refused_when_the_step_runs() {
    let running = Running::new(&[]).await;
    let with = r#"{ content: [{ text: "{{ [1] }}" }] }"#;
    let ran = running.run(&workflow("http://127.0.0.1:9", with)).await;
    assert_eq!(
        ran.failure(),
        "the input `content.0.text` of `model.generate` is wrong: [1] is not of type \"string\""
    );
    assert_eq!(running.attempts("ask").await.len(), 0);
}
