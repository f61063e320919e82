//! What is known of models: what a call cost, and which models are gone.

use std::path::Path;

use flow_core::error::{ErrorClass, Failure};
use flow_core::units::Money;
use serde_json::{Value, json};

use crate::asking::Asking;
use crate::server::{Answer, Server};

/// What a call of a model cost that read 1000 tokens, 400 of them from the cache, and wrote 100.
async fn cost(kind: &str, model: &str, models: Value) -> Option<Money> {
    let answer = match kind {
        "openai" => json!({
            "choices": [{ "message": { "content": "yes" }, "finish_reason": "stop" }],
            "usage": {
                "prompt_tokens": 1000, "completion_tokens": 100,
                "prompt_tokens_details": { "cached_tokens": 400 },
            },
        }),
        "anthropic" => json!({
            "content": [{ "type": "text", "text": "yes" }], "stop_reason": "end_turn",
            "usage": { "input_tokens": 600, "cache_read_input_tokens": 400, "output_tokens": 100 },
        }),
        "gemini" => json!({
            "candidates": [{ "content": { "parts": [{ "text": "yes" }] }, "finishReason": "STOP" }],
            "usageMetadata": {
                "promptTokenCount": 1000, "cachedContentTokenCount": 400,
                "candidatesTokenCount": 70, "thoughtsTokenCount": 30,
            },
        }),
        _ => json!({
            "message": { "content": "yes" }, "done": true, "prompt_eval_count": 1000,
            "eval_count": 100,
        }),
    };
    let server = Server::of(vec![Answer::json(200, &answer.to_string())]).await;
    let settings = json!({ "base_url": server.url(), "api_key": "key-1234", "models": models });
    let asking = Asking::new(kind, &settings, model).await;
    let told = asking.ask(&json!({ "prompt": "x" }), Path::new("")).await;
    assert_eq!(told, Ok(json!("yes")), "{kind}/{model}");
    asking.usage().await.expect("a call was made").0.cost
}

#[tokio::test]
async fn every_call_tells_what_it_cost_or_that_nobody_knows() {
    let own = json!({ "mine": { "price": { "input": 1, "cache_read": 0.5, "output": 2 } } });
    let none = json!({});
    for (kind, model, models, micros) in [
        ("openai", "gpt-4o-2024-08-06", &none, Some(1500 + 500 + 1000)),
        ("openai", "qwen", &none, None),
        ("openai", "mine", &own, Some(600 + 200 + 200)),
        ("anthropic", "claude-sonnet-4-6", &none, Some(1800 + 120 + 1500)),
        ("gemini", "gemini-3.5-flash-lite", &none, Some(180 + 12 + 250)),
        ("ollama", "llava:13b", &none, Some(0)),
        ("ollama", "gpt-oss:120b-cloud", &none, None),
    ] {
        let cost = cost(kind, model, models.clone()).await;
        assert_eq!(cost.map(Money::micros), micros, "{kind}/{model}");
    }
}

async fn failure(kind: &str, settings: Value, model: &str) -> Failure {
    let asking = Asking::new(kind, &settings, model).await;
    asking.ask(&json!({ "prompt": "x" }), Path::new("")).await.expect_err("it fails")
}

/// Nothing is sent: the service would be the real one.
#[tokio::test]
async fn a_model_that_is_gone_names_its_successor() {
    for (kind, model, since, successor) in [
        ("openai", "gpt-4-vision-preview", "2024-12-06", "gpt-5.4"),
        ("anthropic", "claude-3-5-sonnet-20241022", "2025-10-28", "claude-sonnet-5-5"),
        ("gemini", "gemini-1.5-pro", "2025-09-24", "gemini-3.8-flash"),
    ] {
        let failure = failure(kind, json!({ "api_key": "key-1234" }), model).await;
        assert_eq!(failure.class, ErrorClass::NotFound);
        assert_eq!(failure.message, format!("model `mine/{model}` was retired on {since}"));
        let hint = format!("its successor is `mine/{successor}`");
        assert_eq!(failure.hint.as_deref(), Some(hint.as_str()));
    }
}

#[tokio::test]
async fn what_is_said_wrongly_of_a_model_is_told_before_anything_is_sent() {
    let server = Server::of(Vec::new()).await;
    let settings = json!({ "base_url": server.url(), "models": { "large": { "vision": true } } });
    let failure = failure("openai", settings, "large").await;
    assert_eq!(failure.class, ErrorClass::Input);
    assert_eq!(failure.message, "provider `mine`: model `large`: a model has no `vision`");
    assert_eq!(
        failure.hint.as_deref(),
        Some(
            "it has: images, documents, video, audio, schema, temperature, reasoning, price, context, max_output, image_types, image_side, image_bytes, max_images, document_types, document_pages, document_bytes, request_bytes, inline_bytes, concurrency, requests_per_second, requests_per_minute, tokens_per_minute"
        )
    );
    assert_eq!(server.received().len(), 0);
}

#[tokio::test]
async fn what_a_model_cannot_take_is_refused_before_anything_is_sent() {
    let server = Server::of(Vec::new()).await;
    let asking = Asking::new("ollama", &json!({ "base_url": server.url() }), "qwen2.5:7b").await;
    let input = json!({ "prompt": "x", "image": "https://example.com/x.png" });
    let failure = asking.ask(&input, Path::new("")).await.expect_err("it is refused");
    assert_eq!(failure.class, ErrorClass::BadRequest);
    assert_eq!(failure.message, "model `mine/qwen2.5:7b` takes no images");
    assert_eq!(server.received().len(), 0);
}
