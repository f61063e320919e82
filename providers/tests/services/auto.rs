//! The model `auto`: what it stands for on machines with different things.

use flow_core::error::ErrorClass;
use serde_json::{Value, json};

use crate::asking::Asking;
use crate::server::{Answer, Server};

/// A step that asks `auto` on a machine with these variables.
async fn asking(variables: &[(&str, &str)]) -> Asking {
    let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    Asking::on(variables.collect(), "auto", &json!({}), "auto").await
}

async fn said(asking: &Asking) -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    asking.ask(&json!({ "prompt": "x" }), folder.path()).await.expect("it answers")
}

#[tokio::test]
async fn a_key_of_a_service_is_enough() {
    let message = json!({ "message": { "content": "yes" }, "finish_reason": "stop" });
    let usage = json!({ "prompt_tokens": 1, "completion_tokens": 1 });
    let answer = json!({ "model": "m", "choices": [message], "usage": usage });
    let server = Server::of(vec![Answer::json(200, &answer.to_string())]).await;
    let url = server.url();
    let asking = asking(&[("OPENAI_API_KEY", "a-key"), ("OPENAI_BASE_URL", &url)]).await;
    assert_eq!(said(&asking).await, "yes");
    let body: Value = serde_json::from_slice(&server.received()[0].body).expect("it is JSON");
    assert_eq!(body["model"], "gpt-6-luna");
    let (usage, _) = asking.usage().await.expect("a call was made");
    assert_eq!(usage.provider, "openai");
}

#[tokio::test]
async fn without_a_key_it_is_the_first_model_of_the_ollama_that_answers_asked_for_once() {
    let tags = json!({ "models": [{ "name": "llava:13b" }, { "name": "other" }] });
    let answer = json!({ "message": { "content": "yes" }, "done": true, "done_reason": "stop" });
    let answers = [&tags, &answer, &answer].map(|answer| Answer::json(200, &answer.to_string()));
    let server = Server::of(answers.to_vec()).await;
    let asking = asking(&[("OLLAMA_HOST", &server.url())]).await;
    for _ in 0..2 {
        assert_eq!(said(&asking).await, "yes");
    }
    let asked: Vec<_> = server.received().iter().map(|request| request.target.clone()).collect();
    assert_eq!(asked, ["/api/tags", "/api/chat", "/api/chat"]);
}

#[tokio::test]
async fn where_there_is_nothing_it_says_what_there_might_be() {
    // Bound and let go, so that nobody listens there.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let asking = asking(&[("OLLAMA_HOST", &address.to_string())]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let failure = asking.ask(&json!({ "prompt": "x" }), folder.path()).await.unwrap_err();
    assert_eq!(failure.class, ErrorClass::NotFound);
    assert_eq!(
        failure.message,
        format!(
            "`auto` found no model: provider `ollama`: cannot reach `http://{address}`: Connection refused (os error 111)"
        )
    );
    assert_eq!(
        failure.hint.as_deref(),
        Some(
            "set one of `OPENAI_API_KEY`, `ANTHROPIC_API_KEY`, `GEMINI_API_KEY`, `GOOGLE_API_KEY`, run Ollama, `flow model pull` one, or name a model; `flow doctor` says what there is"
        )
    );
}
