//! OpenAI's library, version 3.54.0.

use flow_core::error::ErrorClass;
use serde_json::{Value, json};

use super::{How, Row, Told, hold};

const GPT: &str = "gpt-4o";
const URL: &str = "https://example.com/images/boardwalk.jpg";

/// Cases that have no row, and why.
const LEFT_OUT: &[(&str, &str)] = &[("uploads_multipart", "a file goes to OpenAI in one request")];

#[tokio::test]
async fn openai_is_asked_as_its_library_asks() {
    hold("openai", "openai", "/v1", &rows(), LEFT_OUT).await;
}

fn rows() -> Vec<Row> {
    [texts(), files(), structured(), failures()].into_iter().flatten().collect()
}

/// What most of the recorded answers say.
fn red_square() -> Told {
    Told::Output(json!("A red square."), 775, 9)
}

fn x() -> Value {
    json!({ "prompt": "x" })
}

fn texts() -> Vec<Row> {
    let streamed = json!({
        "content": [{ "text": "What is in this image?" }, { "image": "@red.png" }],
        "options": { "stream": true },
    });
    let reasoning = json!({
        "system": "You are terse.",
        "content": [{ "text": "What?" }, { "image": URL, "detail": "original" }],
        "max_tokens": 1000,
        "options": { "reasoning_effort": "low", "verbosity": "low" },
    });
    let models = vec![(How::Models, Told::Output(json!(["gpt-4o"]), 0, 0))];
    vec![
        Row::one(
            "chat_text_system",
            GPT,
            json!({
                "system": "You are terse.", "prompt": "What is in this image?",
                "temperature": 0.2, "top_p": 0.9, "max_tokens": 300, "seed": 7, "stop": "END",
            }),
            red_square(),
        ),
        Row::one(
            "chat_finish_length",
            GPT,
            json!({ "prompt": "x", "max_tokens": 5 }),
            Told::Fails(
                ErrorClass::Truncated,
                "the answer of model `mine/gpt-4o` was cut at its limit of tokens",
            ),
        ),
        Row::one("chat_stream", GPT, streamed, red_square()),
        Row::one(
            "chat_reasoning_model",
            "gpt-5.4",
            reasoning,
            Told::Output(json!("A red square."), 775, 210),
        )
        .with(json!({ "models": { "gpt-5.4": { "reasoning": true } } })),
        Row { case: "models_list", model: GPT, settings: json!({}), asks: models },
    ]
}

fn files() -> Vec<Row> {
    let several = json!({
        "system": "Compare images.",
        "content": [
            { "text": "Compare these images." },
            { "image": "@red.png" },
            { "image": "@pixel.jpg", "detail": "auto" },
            { "image": URL, "detail": "high" },
        ],
        "detail": "low",
    });
    let interleaved = json!({ "content": [
        { "text": "Before:" }, { "image": "@red.png" },
        { "text": "After:" }, { "image": "@blue.png" }, { "text": "What changed?" },
    ] });
    let documents = json!({
        "documents": ["@tiny.pdf", "https://example.com/a.pdf", { "file_id": "file-TEST0001" }],
        "prompt": "Summarize.",
        // The library leaves `store` to the service, whose default is to keep the answer.
        "options": { "store": null },
    });
    vec![
        Row::one(
            "chat_image_base64",
            GPT,
            json!({ "content": [{ "text": "What is in this image?" }, { "image": "@red.png" }] }),
            red_square(),
        ),
        Row::one("chat_images_multiple", GPT, several, red_square()),
        Row::one("chat_interleaved", GPT, interleaved, red_square()),
        Row::one(
            "chat_pdf_file_data",
            GPT,
            json!({ "document": "@tiny.pdf", "prompt": "Summarize." }),
            red_square(),
        ),
        Row::one("responses_pdf", GPT, documents, red_square()).with(json!({ "api": "responses" })),
    ]
}

/// The schema of the recordings, with this title and description.
fn schema(title: &str, description: Option<&str>) -> Value {
    let mut schema = json!({
        "title": title,
        "type": "object",
        "properties": {
            "label": { "type": "string", "description": "what is shown" },
            "confidence": { "type": "number" },
            "tags": { "type": "array", "items": { "type": "string" } },
        },
        "required": ["label", "confidence", "tags"],
    });
    if let Some(description) = description {
        schema["description"] = json!(description);
    }
    schema
}

fn structured() -> Vec<Row> {
    let square =
        || Told::Output(json!({ "label": "square", "confidence": 0.98, "tags": ["red"] }), 775, 9);
    let classify = json!({
        "content": [{ "text": "Classify." }, { "image": "@red.png" }],
        "schema": schema("classification", Some("one image")),
    });
    let by_responses = json!({
        "content": [{ "text": "Classify." }, { "image": "@red.png", "detail": "auto" }],
        "schema": schema("classification", None),
        // The library leaves `store` to the service, whose default is to keep the answer.
        "options": { "store": null },
    });
    let format = json!({
        "prompt": "Answer in JSON.",
        "options": { "response_format": { "type": "json_object" } },
    });
    vec![
        Row::one("chat_json_schema", GPT, classify, square()),
        Row::one(
            "chat_json_object",
            GPT,
            format,
            Told::Output(json!("{\"label\":\"square\"}"), 775, 9),
        ),
        Row::one(
            "chat_refusal",
            GPT,
            json!({ "prompt": "x", "schema": schema("c", None) }),
            Told::Fails(
                ErrorClass::Refusal,
                "model `mine/gpt-4o` declined: I'm sorry, I can't help with that.",
            ),
        ),
        Row::one("responses_json_schema", GPT, by_responses, square())
            .with(json!({ "api": "responses" })),
    ]
}

fn failures() -> Vec<Row> {
    let fails = |case, class, message| Row::one(case, GPT, x(), Told::Fails(class, message));
    let midway = json!({ "prompt": "x", "options": { "stream": true, "stream_options": null } });
    let limited = Told::Fails(
        ErrorClass::RateLimit,
        "provider `mine`: Rate limit reached for gpt-4o in organization org-test on tokens per \
         min (TPM): Limit 800000, Used 799900, Requested 775. Please try again in 50ms.",
    );
    let again = vec![(How::Generate(x()), limited), (How::Generate(x()), red_square())];
    vec![
        fails(
            "error_400_invalid_image",
            ErrorClass::BadRequest,
            "provider `mine`: You uploaded an unsupported image. Please make sure your image has \
             of one the following formats: ['png', 'jpeg', 'gif', 'webp'].",
        ),
        fails(
            "error_400_max_tokens_unsupported",
            ErrorClass::BadRequest,
            "provider `mine`: Unsupported parameter: 'max_tokens' is not supported with this \
             model. Use 'max_completion_tokens' instead.",
        ),
        fails(
            "error_401_bad_key",
            ErrorClass::Auth,
            "provider `mine`: Incorrect API key provided: sk-test. You can find your API key at \
             https://platform.openai.com/account/api-keys.",
        ),
        fails(
            "error_404_model",
            ErrorClass::NotFound,
            "provider `mine`: The model `gpt-4-vision-preview` has been deprecated",
        ),
        Row::one(
            "error_stream_midway",
            GPT,
            midway,
            Told::Fails(
                ErrorClass::Server,
                "provider `mine`: The server had an error while processing your request. Sorry \
                 about that!",
            ),
        ),
        Row { case: "retry_429_then_200", model: GPT, settings: json!({}), asks: again },
    ]
}
