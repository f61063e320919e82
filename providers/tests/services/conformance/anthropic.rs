//! Anthropic's library, version 2.12.0 with the interface of 2026-10-21, and version 0.125.0
//! with that of 2023-06-01.

use flow_core::error::ErrorClass;
use serde_json::{Value, json};

use super::{How, Row, Told, hold};

const URL: &str = "https://example.com/images/boardwalk.jpg";

/// Cases that have no row, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("batch_lifecycle", "see `batches.rs`"),
    ("count_tokens", "tokens are estimated and not asked for"),
];

#[tokio::test]
async fn anthropic_is_asked_as_its_library_asks() {
    let rows = rows("claude-sonnet-5-5", &json!({ "version": "2026-10-21" }));
    hold("anthropic", "anthropic", "", &rows, LEFT_OUT).await;
}

#[tokio::test]
async fn anthropic_is_asked_as_its_library_asked_in_2023() {
    let rows = rows("claude-sonnet-4-6", &json!({}));
    hold("anthropic", "anthropic-2023-06-01", "", &rows, LEFT_OUT).await;
}

fn rows(model: &'static str, settings: &Value) -> Vec<Row> {
    let rows = [texts(model), files(model), structured(model), failures(model)];
    rows.into_iter().flatten().map(|row| row.with(settings.clone())).collect()
}

/// What most of the recorded answers say. What came from the cache is part of what was read.
fn red_square() -> Told {
    Told::Output(json!("A red square."), 2112, 9)
}

fn x(max_tokens: u64) -> Value {
    json!({ "prompt": "x", "max_tokens": max_tokens })
}

fn texts(model: &'static str) -> Vec<Row> {
    let mut thinking = x(2000);
    thinking["options"] =
        json!({ "thinking": { "type": "adaptive" }, "output_config": { "effort": "low" } });
    let mut cached = x(100);
    let control = json!({ "type": "ephemeral", "ttl": "1h" });
    cached["options"] = json!({
        "system": [{ "type": "text", "text": "A long policy.", "cache_control": control }],
    });
    let streamed = json!({
        "content": [{ "image": "@red.png" }, { "text": "Describe this image." }],
        "max_tokens": 1024,
        "options": { "stream": true },
    });
    let truncated = format!("the answer of model `mine/{model}` was cut at its limit of tokens");
    let refused = format!("model `mine/{model}` declined: ... (cyber)");
    vec![
        Row::one("messages_effort_thinking", model, thinking, red_square()),
        Row::one("messages_system_blocks_cached", model, cached, red_square()),
        Row::one("messages_stream_raw", model, streamed, red_square()),
        Row::one(
            "messages_max_tokens",
            model,
            x(2),
            Told::fails(ErrorClass::Truncated, &truncated),
        ),
        Row::one("messages_refusal", model, x(10), Told::fails(ErrorClass::Refusal, &refused)),
    ]
}

fn files(model: &'static str) -> Vec<Row> {
    let asks = |content: Value| json!({ "content": content, "max_tokens": 1024 });
    let several = json!({
        "system": "Compare.",
        "content": [
            { "text": "Image 1:" }, { "image": "@red.png" },
            { "text": "Image 2:" }, { "image": "@pixel.jpg" },
            { "text": "Image 3:" }, { "image": URL },
            { "text": "How do they differ?" },
        ],
        "max_tokens": 1024,
    });
    let uploaded = json!([
        { "image": { "file_id": "file_TEST0002" } },
        { "document": { "file_id": "file_TEST0001" } },
        { "text": "Compare." },
    ]);
    let at_url = json!([{ "image": URL }, { "text": "Describe this image." }]);
    let pdf = json!([{ "document": "https://example.com/a.pdf" }, { "text": "Summarize." }]);
    let note = json!([{ "document": "@note.txt" }, { "text": "Total?" }]);
    vec![
        Row::one("messages_images_multiple_interleaved", model, several, red_square()),
        Row::one("messages_file_ids", model, asks(uploaded), red_square()),
        Row::one("messages_image_url", model, asks(at_url), red_square()),
        Row::one("messages_pdf_url", model, asks(pdf), red_square()),
        Row::one("messages_plain_text_document", model, asks(note), red_square()),
    ]
}

/// The schema of the recordings.
fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "label": { "type": "string", "description": "what is shown" },
            "confidence": { "type": "number" },
            "tags": { "type": "array", "items": { "type": "string" } },
        },
        "required": ["label", "confidence", "tags"],
        "additionalProperties": false,
    })
}

fn structured(model: &'static str) -> Vec<Row> {
    let content = json!([{ "image": "@red.png" }, { "text": "Classify." }]);
    let square = json!({ "label": "square", "confidence": 0.98, "tags": ["red"] });
    let item = json!({
        "properties": {
            "name": { "maxLength": 40, "minLength": 1, "title": "Name", "type": "string" },
            "price": { "minimum": 0, "title": "Price", "type": "number" },
            "tags": {
                "items": { "type": "string" }, "minItems": 2, "title": "Tags", "type": "array",
            },
            "note": {
                "anyOf": [{ "type": "string" }, { "type": "null" }],
                "default": null, "title": "Note",
            },
        },
        "required": ["name", "price", "tags"],
        "title": "Item",
        "type": "object",
    });
    let parsed = json!({ "name": "a", "price": 1.0, "tags": ["x", "y"], "note": null });
    let tool = json!({
        "tools": [{
            "name": "record", "description": "Record it", "input_schema": schema(), "strict": true,
        }],
        "tool_choice": { "type": "tool", "name": "record", "disable_parallel_tool_use": true },
    });
    let streamed = json!({
        "tools": [{ "name": "record", "input_schema": schema() }],
        "tool_choice": { "type": "tool", "name": "record" },
        "stream": true,
    });
    vec![
        Row::one(
            "messages_output_config_json_schema",
            model,
            json!({ "content": content, "max_tokens": 1024, "schema": schema() }),
            Told::Output(square, 2112, 9),
        ),
        Row::one(
            "messages_parse_helper",
            model,
            json!({ "prompt": "x", "max_tokens": 1024, "schema": item }),
            Told::Output(parsed, 2112, 9),
        ),
        Row::one(
            "messages_tool_forced",
            model,
            json!({ "content": content, "max_tokens": 1024, "options": tool }),
            Told::Output(json!(r#"{"label":"square","confidence":0.98,"tags":["red"]}"#), 2112, 9),
        ),
        Row::one(
            "messages_stream_helper_tool_json",
            model,
            json!({ "prompt": "Classify.", "max_tokens": 1024, "options": streamed }),
            Told::Output(json!(r#"{"label":"square","confidence":0.98,"tags":[]}"#), 2112, 20),
        ),
    ]
}

fn failures(model: &'static str) -> Vec<Row> {
    let fails = |case, class, message: &str| {
        let message = format!("provider `mine`: {message}");
        Row::one(case, model, x(10), Told::fails(class, &message))
    };
    let busy = Told::Fails(ErrorClass::Overloaded, "provider `mine`: overloaded_error: Overloaded");
    let again = vec![(How::Generate(x(10)), busy), (How::Generate(x(10)), red_square())];
    vec![
        fails(
            "error_400_temperature",
            ErrorClass::BadRequest,
            "invalid_request_error: temperature: Extra inputs are not permitted",
        ),
        fails(
            "error_404_model",
            ErrorClass::NotFound,
            "not_found_error: model: claude-3-5-sonnet-20241022",
        ),
        fails(
            "error_413",
            ErrorClass::TooLarge,
            "request_too_large: Request exceeds the maximum size",
        ),
        fails(
            "error_429",
            ErrorClass::RateLimit,
            "rate_limit_error: Number of request tokens has exceeded your per-minute rate limit",
        ),
        fails("error_429_spend_limit", ErrorClass::Quota, "rate_limit_error: spend limit"),
        Row { case: "retry_529_then_200", model, settings: json!({}), asks: again },
    ]
}
