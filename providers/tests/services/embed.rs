//! `model.embed`: what each service is asked, and the vectors that come of it.

use flow_core::error::ErrorClass;
use serde_json::{Value, json};

use crate::asking::Asking;
use crate::server::{Answer, Server};

/// Asks a service of this kind, which answers this, for vectors.
async fn embedded(kind: &str, answer: &Value, input: &Value) -> (Server, Asking, Value) {
    let server = Server::of(vec![Answer::json(200, &answer.to_string())]).await;
    let asking = Asking::new(kind, &json!({ "base_url": server.url() }), "small").await;
    let output = asking.embed(input).await.expect("it has vectors");
    (server, asking, output)
}

fn sent(server: &Server) -> (String, Value) {
    let received = server.received();
    let [request] = received.as_slice() else { panic!("{} requests", received.len()) };
    (request.target.clone(), serde_json::from_slice(&request.body).expect("it is JSON"))
}

#[tokio::test]
async fn openai_answers_floats_in_base64_or_as_numbers_in_any_order() {
    let answer = json!({
        "data": [
            { "index": 1, "embedding": [0.25, -1.0] },
            // 0.1 and 2 as 32-bit floats, the lowest byte first.
            { "index": 0, "embedding": "zczMPQAAAEA=" },
        ],
        "usage": { "prompt_tokens": 5, "total_tokens": 5 },
    });
    let (server, asking, output) =
        embedded("openai", &answer, &json!({ "texts": ["a", "b"] })).await;
    assert_eq!(output, json!([[0.1, 2.0], [0.25, -1.0]]));
    let expected = json!({ "model": "small", "input": ["a", "b"], "encoding_format": "base64" });
    assert_eq!(sent(&server), ("/embeddings".into(), expected));
    let (usage, raw) = asking.usage().await.expect("a call was made");
    assert_eq!((usage.input_tokens, usage.output_tokens), (Some(5), Some(0)));
    assert_eq!(serde_json::from_slice::<Value>(&raw).expect("it was kept"), answer);
}

#[tokio::test]
async fn a_text_has_one_vector_and_texts_have_a_list_of_them() {
    let answer = json!({ "embeddings": [{ "values": [1.0, 0.5] }] });
    let (server, _, output) = embedded("gemini", &answer, &json!({ "text": "a" })).await;
    assert_eq!(output, json!([1.0, 0.5]));
    let content = json!({ "parts": [{ "text": "a" }], "role": "user" });
    let expected = json!({ "requests": [{ "content": content, "model": "models/small" }] });
    assert_eq!(sent(&server), ("/models/small:batchEmbedContents".into(), expected));

    let answer = json!({ "embeddings": [[1.0, 0.5]], "prompt_eval_count": 3 });
    let (server, _, output) = embedded("ollama", &answer, &json!({ "texts": ["a"] })).await;
    assert_eq!(output, json!([[1.0, 0.5]]));
    assert_eq!(sent(&server), ("/api/embed".into(), json!({ "model": "small", "input": ["a"] })));
}

#[tokio::test]
async fn what_cannot_be_asked_is_not_sent() {
    let server = Server::of(Vec::new()).await;
    let settings = json!({ "base_url": server.url() });
    let asking = Asking::new("openai", &settings, "small").await;
    assert_eq!(asking.embed(&json!({ "texts": [] })).await, Ok(json!([])));
    let failure = asking.embed(&json!({ "text": "a", "texts": ["b"] })).await.unwrap_err();
    assert_eq!(failure.message, "nothing to make vectors of");
    assert_eq!(failure.hint.as_deref(), Some("give either `text` or `texts`"));

    let asking = Asking::new("anthropic", &settings, "small").await;
    let failure = asking.embed(&json!({ "text": "a" })).await.unwrap_err();
    assert_eq!(failure.class, ErrorClass::BadRequest);
    assert_eq!(failure.message, "model `mine/small` makes no vectors of anything");
    assert_eq!(server.received().len(), 0);
}

#[tokio::test]
async fn as_many_vectors_as_texts_or_none() {
    let answer = json!({ "embeddings": [[1.0]] });
    let server = Server::of(vec![Answer::json(200, &answer.to_string())]).await;
    let asking = Asking::new("ollama", &json!({ "base_url": server.url() }), "small").await;
    let failure = asking.embed(&json!({ "texts": ["a", "b"] })).await.unwrap_err();
    assert_eq!(failure.class, ErrorClass::Server);
    assert_eq!(failure.message, "provider `mine` made 1 vectors of 2 texts");
}
