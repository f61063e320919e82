//! What Gemini is asked, where no recording tells, and what it is not asked at all.

use flow_core::error::ErrorClass;
use serde_json::{Value, json};

use crate::asking::Asking;
use crate::server::{Answer, Server};

/// A server that gives these answers in order, and a step that asks it for this model.
async fn asking(model: &str, settings: Value, answers: Vec<Value>) -> (Server, Asking) {
    let answers = answers.iter().map(|answer| Answer::json(200, &answer.to_string()));
    let server = Server::of(answers.collect()).await;
    let mut settings = settings;
    settings["base_url"] = json!(server.url());
    let asking = Asking::new("gemini", &settings, model).await;
    (server, asking)
}

fn says(text: &str) -> Value {
    let content = json!({ "role": "model", "parts": [{ "text": text }] });
    json!({ "candidates": [{ "content": content, "finishReason": "STOP" }] })
}

#[tokio::test]
async fn a_part_says_how_closely_it_is_looked_at() {
    let (server, asking) = asking("tunedModels/a b?", json!({}), vec![says("yes")]).await;
    let input = json!({
        "messages": [
            { "role": "user", "content": "Hello" }, { "role": "assistant", "content": "Hi" },
        ],
        "content": [
            { "video": "https://x/y", "fps": 2, "start": "10s", "end": "40s", "detail": "low" },
            { "image": { "file_id": "https://x/files/1", "media_type": "image/png" } },
            { "document": "https://x/y", "mediaResolution": { "level": "MEDIA_RESOLUTION_HIGH" } },
            { "text": "x" },
        ],
        "detail": "MEDIA_RESOLUTION_MEDIUM",
    });
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(asking.ask(&input, folder.path()).await, Ok(json!("yes")));
    let received = server.received();
    let [request] = received.as_slice() else { panic!("{} requests", received.len()) };
    assert_eq!(request.target, "/tunedModels/a%20b%3F:generateContent");
    let body: Value = serde_json::from_slice(&request.body).expect("it is JSON");
    let file = |media: &str, uri: &str| json!({ "mimeType": media, "fileUri": uri });
    assert_eq!(
        body,
        json!({
            "contents": [
                { "role": "user", "parts": [{ "text": "Hello" }] },
                { "role": "model", "parts": [{ "text": "Hi" }] },
                { "role": "user", "parts": [
                    {
                        "fileData": file("video/mp4", "https://x/y"),
                        "videoMetadata": { "fps": 2, "startOffset": "10s", "endOffset": "40s" },
                        "mediaResolution": { "level": "MEDIA_RESOLUTION_LOW" },
                    },
                    { "fileData": file("image/png", "https://x/files/1") },
                    {
                        "fileData": file("application/pdf", "https://x/y"),
                        "mediaResolution": { "level": "MEDIA_RESOLUTION_HIGH" },
                    },
                    { "text": "x" },
                ] },
            ],
            "generationConfig": { "mediaResolution": "MEDIA_RESOLUTION_MEDIUM" },
        })
    );
}

#[tokio::test]
async fn a_model_without_a_schema_mode_is_told_the_schema() {
    let settings = json!({ "models": { "gemma": { "schema": false } } });
    let (server, asking) = asking("gemma", settings, vec![says("```json\n[1]\n```")]).await;
    let input = json!({ "prompt": "x", "schema": { "type": "array" } });
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(asking.ask(&input, folder.path()).await, Ok(json!([1])));
    let body: Value = serde_json::from_slice(&server.received()[0].body).expect("it is JSON");
    let words = "Answer with JSON and nothing else. It must fit this JSON Schema:\n\
                 {\"type\":\"array\"}";
    let parts = json!([{ "text": "x" }, { "text": words }]);
    assert_eq!(body, json!({ "contents": [{ "role": "user", "parts": parts }] }));
}

#[tokio::test]
async fn what_it_cannot_take_is_refused_before_anything_is_sent() {
    let settings = json!({ "models": { "large": { "temperature": false } } });
    let (server, asking) = asking("large", settings, Vec::new()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let hint = "leave it out, or say `models: { \"large\": { temperature: true } }` under \
                `providers: mine:`";
    let input = json!({ "prompt": "x", "temperature": 0 });
    let failure = asking.ask(&input, folder.path()).await.expect_err("it is refused");
    assert_eq!(failure.class, ErrorClass::BadRequest, "{failure:?}");
    let message = "model `mine/large` takes no `temperature`";
    assert_eq!((failure.message.as_str(), failure.hint.as_deref()), (message, Some(hint)));
    assert_eq!(server.received().len(), 0);
}

#[tokio::test]
async fn models_are_listed_page_by_page() {
    let pages = vec![
        json!({ "models": [{ "name": "models/a" }], "nextPageToken": "t/=" }),
        json!({ "models": [{ "name": "models/b" }] }),
    ];
    let (server, asking) = asking("a", json!({}), pages).await;
    let choice = asking.context.model.as_ref().expect("it has a model");
    let models = asking.providers.models(choice, &asking.context.paths.folder).await;
    assert_eq!(models, Ok(vec!["a".into(), "b".into()]));
    let targets: Vec<_> = server.received().into_iter().map(|request| request.target).collect();
    assert_eq!(targets, ["/models?pageSize=1000", "/models?pageSize=1000&pageToken=t/%3D"]);
}
