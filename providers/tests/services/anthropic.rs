//! What Anthropic is asked, where no recording tells, and what it is not asked at all.

use flow_core::error::ErrorClass;
use serde_json::{Value, json};

use crate::asking::Asking;
use crate::server::{Answer, Server};

/// A server that gives these messages in order, and a step that asks it.
async fn asking(settings: Value, answers: Vec<Value>) -> (Server, Asking) {
    let answers = answers.iter().map(|answer| Answer::json(200, &answer.to_string()));
    let server = Server::of(answers.collect()).await;
    let mut settings = settings;
    settings["base_url"] = json!(server.url());
    let asking = Asking::new("anthropic", &settings, "large").await;
    (server, asking)
}

fn message(content: &Value) -> Value {
    let usage = json!({ "input_tokens": 3, "output_tokens": 2 });
    json!({ "content": content, "stop_reason": "end_turn", "usage": usage })
}

/// The body of the only request.
fn body(server: &Server) -> Value {
    let received = server.received();
    let [request] = received.as_slice() else { panic!("{} requests", received.len()) };
    serde_json::from_slice(&request.body).expect("it is JSON")
}

#[tokio::test]
async fn a_model_without_a_schema_mode_answers_by_a_tool() {
    let call = json!({ "type": "tool_use", "name": "answer_value", "input": { "value": [1, 2] } });
    let settings = json!({ "models": { "large": { "schema": false } } });
    let (server, asking) = asking(settings, vec![message(&json!([call]))]).await;
    let schema = json!({ "type": "array", "items": { "type": "number" } });
    let input = json!({ "prompt": "x", "schema": schema });
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(asking.ask(&input, folder.path()).await, Ok(json!([1, 2])));
    let name = "answer_value";
    assert_eq!(
        body(&server),
        json!({
            "model": "large",
            "max_tokens": 4096,
            "messages": [{ "role": "user", "content": [{ "type": "text", "text": "x" }] }],
            "tools": [{
                "name": name,
                "description": "Takes the answer. Call it once, with the whole answer.",
                "input_schema": {
                    "type": "object", "properties": { "value": schema }, "required": ["value"],
                },
            }],
            "tool_choice": { "type": "tool", "name": name, "disable_parallel_tool_use": true },
        })
    );
}

#[tokio::test]
async fn fields_of_a_part_and_of_the_request_are_passed_through() {
    let answer = message(&json!([{ "type": "text", "text": "\"yes\"" }]));
    let (server, asking) = asking(json!({}), vec![answer]).await;
    let url = "https://example.com/a.pdf";
    let cache = json!({ "type": "ephemeral" });
    let input = json!({
        "messages": [
            { "role": "user", "content": "Hello" }, { "role": "assistant", "content": "Hi" },
        ],
        "content": [{ "document": url, "title": "A", "cache_control": cache, "detail": "low" }],
        "prompt": "x", "temperature": 0.5, "top_p": 0.9, "stop": ["END"], "max_tokens": 5,
        "schema": { "type": "string" },
        "options": { "output_config": { "effort": "low" }, "top_k": 3, "top_p": null },
    });
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(asking.ask(&input, folder.path()).await, Ok(json!("yes")));
    let text = |text: &str| json!([{ "type": "text", "text": text }]);
    let format = json!({ "type": "json_schema", "schema": { "type": "string" } });
    let source = json!({ "type": "url", "url": url });
    assert_eq!(
        body(&server),
        json!({
            "model": "large",
            "max_tokens": 5,
            "messages": [
                { "role": "user", "content": text("Hello") },
                { "role": "assistant", "content": text("Hi") },
                { "role": "user", "content": [
                    { "type": "document", "source": source, "title": "A", "cache_control": cache },
                    { "type": "text", "text": "x" },
                ] },
            ],
            "temperature": 0.5,
            "top_k": 3,
            "stop_sequences": ["END"],
            "output_config": { "effort": "low", "format": format },
        })
    );
}

#[tokio::test]
async fn what_it_cannot_take_is_refused_before_anything_is_sent() {
    let settings = json!({ "models": { "large": { "temperature": false } } });
    let (server, asking) = asking(settings, Vec::new()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let hint = "leave it out, or say `models: { \"large\": { temperature: true } }` under \
                `providers: mine:`";
    for (input, message, hint) in [
        (
            json!({ "seed": 7 }),
            "provider `mine` takes no `seed`",
            Some("leave it out, or ask another provider"),
        ),
        (json!({ "temperature": 0 }), "model `mine/large` takes no `temperature`", Some(hint)),
        (json!({ "top_p": 1 }), "model `mine/large` takes no `top_p`", Some(hint)),
        (json!({ "video": "https://x/a.mp4" }), "model `mine/large` takes no video", None),
        (json!({ "audio": "https://x/a.mp3" }), "model `mine/large` takes no sound", None),
    ] {
        let mut input = input;
        input["prompt"] = json!("x");
        let failure = asking.ask(&input, folder.path()).await.expect_err("it is refused");
        assert_eq!(failure.class, ErrorClass::BadRequest, "{failure:?}");
        assert_eq!((failure.message.as_str(), failure.hint.as_deref()), (message, hint));
    }
    assert_eq!(server.received().len(), 0);
}

#[tokio::test]
async fn models_are_listed_page_by_page() {
    let pages = vec![
        json!({ "data": [{ "id": "a" }, { "id": "b" }], "has_more": true, "last_id": "b" }),
        json!({ "data": [{ "id": "c" }], "has_more": false, "last_id": "c" }),
    ];
    let (server, asking) = asking(json!({}), pages).await;
    let choice = asking.context.model.as_ref().expect("it has a model");
    let models = asking.providers.models(choice, &asking.context.paths.folder).await;
    assert_eq!(models, Ok(vec!["a".into(), "b".into(), "c".into()]));
    let targets: Vec<_> = server.received().into_iter().map(|request| request.target).collect();
    assert_eq!(targets, ["/v1/models?limit=1000", "/v1/models?limit=1000&after_id=b"]);
}
