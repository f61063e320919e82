//! Secrets that a service repeats, or that settings are made of: they reach neither the store,
//! nor a log, nor an error.

use serde_json::json;

use crate::running::{Ran, Running};
use crate::server::{Answer, Server};

/// Quotes, a slash and a letter that is no ASCII: each is spelled differently by some server.
const SECRET: &str = "k\"e/y-é-1234";

fn workflow(settings: &str) -> String {
    format!(
        r"
name: secrets
providers: {{ mine: {{ type: openai, {settings} }} }}
steps: [{{ id: ask, uses: model.generate, model: mine/large, with: {{ prompt: Hello }} }}]
"
    )
}

/// Everything that a run left in its store.
fn left(running: &Running, ran: &Ran) -> String {
    let mut left = format!("{:?}{:?}", ran.report, ran.log);
    let mut folders = vec![running.folder.path().to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                let bytes = std::fs::read(entry.path()).expect("a file");
                left.push_str(&String::from_utf8_lossy(&bytes));
            }
        }
    }
    left
}

#[tokio::test]
async fn a_secret_that_is_repeated_with_escapes_is_in_neither_the_reply_nor_the_output() {
    let escaped = r#"k\"e\/y-\u00e9-1234"#;
    let body = format!(
        r#"{{"choices":[{{"message":{{"content":"your key is {escaped}."}},"finish_reason":"stop"}}]}}"#
    );
    let server = Server::of(vec![Answer::json(200, &body)]).await;
    let running = Running::new(&[("K", SECRET)]).await;
    let settings = format!(
        r#"base_url: "{}/v1", api_key: k-1234, headers: {{ x-note: "{{{{ secrets.K | replace('é', 'e') }}}}", x-key: "{{{{ secrets.K[:1] }}}}" }}"#,
        server.url()
    );
    let ran = running.run(&workflow(&settings)).await;
    assert_eq!(ran.failure(), "");
    assert_eq!(ran.output("ask"), json!("your key is [secret]."));
    let left = left(&running, &ran);
    assert!(!left.contains(SECRET) && !left.contains(escaped));
    assert!(left.contains("your key is [secret]."), "the reply is kept");
}

#[tokio::test]
async fn a_secret_that_is_repeated_in_pieces_is_told_and_kept_nowhere() {
    let chunk = |text: &str| {
        format!("data: {}\n\n", json!({ "choices": [{ "delta": { "content": text } }] }))
    };
    let end = json!({ "choices": [{ "delta": {}, "finish_reason": "stop" }] });
    let body = format!(
        "{}{}data: {end}\n\ndata: [DONE]\n\n",
        chunk("It is k-12"),
        chunk("34 and no more")
    );
    let server = Server::of(vec![Answer::events(&body)]).await;
    let running = Running::new(&[]).await;
    let text = workflow(&format!(r#"base_url: "{}/v1", api_key: k-1234"#, server.url()));
    let ran = running
        .run(&text.replace("prompt: Hello", "prompt: Hello, options: { stream: true }"))
        .await;
    assert_eq!(ran.output("ask"), json!("It is [secret] and no more"));
    let left = left(&running, &ran);
    assert!(!left.contains("34 and no more"));
    assert!(left.contains("withheld: the pieces of the reply spell a secret"));
}

#[tokio::test]
async fn what_is_made_of_a_secret_is_one_as_well() {
    let refusal = r#"{"error":{"message":"no such key: TOP-SECRET-1","type":"x"}}"#;
    let server = Server::of(vec![Answer::json(401, refusal)]).await;
    let running = Running::new(&[("K", "top-secret-1")]).await;
    let settings =
        format!(r#"base_url: "{}/v1", api_key: "{{{{ secrets.K | upper }}}}""#, server.url());
    let ran = running.run(&workflow(&settings)).await;
    assert_eq!(server.received()[0].header("authorization"), Some("Bearer TOP-SECRET-1"));
    assert_eq!(ran.failure(), "provider `mine`: no such key: [secret]");
    assert!(!left(&running, &ran).contains("TOP-SECRET-1"));
}

#[tokio::test]
async fn a_setting_that_is_computed_is_never_quoted() {
    let hint = "its value is not shown: it may hold a secret";
    for (settings, message) in [
        (r#"base_url: "{{ secrets.K }}""#, "what is computed for `base_url` cannot be used"),
        (
            r#"api_key: x, timeout: "{{ secrets.K }}""#,
            "what is computed for `timeout` cannot be used",
        ),
        (
            r#"api_key: x, concurrency: "{{ secrets.K }}""#,
            "what is computed for `concurrency` cannot be used",
        ),
        (
            r#"api_key: x, concurrency: "{{ secrets.SHORT }}""#,
            "what is computed for `concurrency` cannot be used",
        ),
        (
            r#"api_key: x, concurrency: "{{ secrets.K | upper | int }}""#,
            "`concurrency`: it cannot be computed from its secrets",
        ),
    ] {
        let running = Running::new(&[("K", "top secret"), ("SHORT", "k\"1")]).await;
        let ran = running.run(&workflow(settings)).await;
        assert_eq!(ran.failure(), format!("provider `mine`: {message}"), "{settings}");
        let left = left(&running, &ran).to_lowercase();
        assert!(!left.contains("top secret"), "{settings}");
        assert!(message.starts_with('`') || left.contains(hint), "{settings}");
    }
    // What is written in the file is nobody's secret.
    let running = Running::new(&[]).await;
    let ran = running.run(&workflow("api_key: x, timeout: soon")).await;
    assert!(ran.failure().contains("soon"), "{}", ran.failure());
}
