//! Gemini's library, version 3.4.0, with the interfaces `v1` and `v1beta`.

use flow_core::error::ErrorClass;
use serde_json::{Value, json};

use super::{How, Row, Told, hold};

const FLASH: &str = "gemini-3.8-flash";

/// Cases that have no row, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("batch_file", "requests go inline and not as a file"),
    ("batch_inline", "see `batches.rs`"),
    ("files_list", "files that were uploaded are kept in a ledger and not asked for"),
    ("models_list", "the library was told to ask for 5 models a page, and we ask for more"),
];

#[tokio::test]
async fn gemini_is_asked_as_its_library_asks() {
    hold("gemini", "gemini", "/v1", &rows(false), LEFT_OUT).await;
}

#[tokio::test]
async fn gemini_beta_is_asked_as_its_library_asks() {
    hold("gemini", "gemini-v1beta", "/v1beta", &rows(true), LEFT_OUT).await;
}

fn rows(beta: bool) -> Vec<Row> {
    [texts(), files(beta), structured(), failures(), vec![vectors()]]
        .into_iter()
        .flatten()
        .collect()
}

/// The recorded answer has one vector for two texts, and so is none.
fn vectors() -> Row {
    let told = Told::Fails(ErrorClass::Server, "provider `mine` made 1 vectors of 2 texts");
    let asks = vec![(How::Embed(json!({ "texts": ["a", "b"] })), told)];
    Row { case: "embed", model: "gemini-embedding-001", settings: json!({}), asks }
}

/// What most of the recorded answers say. Thoughts are billed as what was written.
fn red_square() -> Told {
    Told::Output(json!("A red square."), 264, 156)
}

fn x() -> Value {
    json!({ "prompt": "x" })
}

fn texts() -> Vec<Row> {
    let told = json!({
        "system": "You are terse.", "prompt": "Hello", "temperature": 0.2, "top_p": 0.9,
        "max_tokens": 300, "seed": 7, "stop": "END",
        "options": { "generationConfig": { "topK": 40 } },
    });
    let streamed = json!({
        "content": [{ "image": "@red.png" }, { "text": "What?" }], "options": { "stream": true },
    });
    vec![
        Row::one("text_system", FLASH, told, red_square()),
        Row::one("stream", FLASH, streamed, red_square()),
        Row::one(
            "finish_max_tokens_empty",
            FLASH,
            json!({ "prompt": "x", "max_tokens": 20 }),
            Told::Fails(
                ErrorClass::Truncated,
                "the answer of model `mine/gemini-3.8-flash` was cut at its limit of tokens",
            ),
        ),
        Row::one(
            "finish_safety",
            FLASH,
            x(),
            Told::Fails(
                ErrorClass::ContentFilter,
                "the answer of model `mine/gemini-3.8-flash` was withheld: SAFETY \
                 (HARM_CATEGORY_DANGEROUS_CONTENT HIGH)",
            ),
        ),
    ]
}

fn files(beta: bool) -> Vec<Row> {
    let several = json!({
        "system": "Compare.",
        "content": [
            { "text": "Before:" }, { "image": "@red.png" },
            { "text": "After:" }, { "image": "@pixel.jpg" }, { "text": "What changed?" },
        ],
    });
    let addresses = json!({ "content": [
        { "video": "https://www.youtube.com/watch?v=9hE5-98ZeCg" },
        { "image": "https://example.com/images/boardwalk.jpg" },
        { "text": "Compare." },
    ] });
    let image = match beta {
        true => json!({ "image": "@red.png", "detail": "high" }),
        // A resolution of its own is not in `v1`.
        false => json!({ "image": "@red.png" }),
    };
    let settings = json!({
        "content": [image, { "text": "x" }],
        "detail": "low",
        "options": {
            "generationConfig": { "thinkingConfig": { "thinkingLevel": "LOW" } },
            "safetySettings": [{
                "category": "HARM_CATEGORY_DANGEROUS_CONTENT", "threshold": "BLOCK_ONLY_HIGH",
            }],
        },
    });
    let inline = json!({ "image": "@red.png", "prompt": "What is in this image?" });
    let pdf = json!({ "document": "@tiny.pdf", "prompt": "Summarize." });
    vec![
        Row::one("inline_image", FLASH, inline, red_square()),
        Row::one("images_multiple_interleaved", FLASH, several, red_square()),
        Row::one("pdf_inline", FLASH, pdf, red_square()),
        Row::one("uri_parts", FLASH, addresses, red_square()),
        Row::one("media_resolution_thinking_safety", FLASH, settings, red_square()),
    ]
}

fn structured() -> Vec<Row> {
    let schema = json!({
        "type": "object",
        "properties": {
            "label": { "type": "string", "description": "what is shown" },
            "confidence": { "type": "number" },
            "tags": { "type": "array", "items": { "type": "string" } },
        },
        "required": ["label", "confidence", "tags"],
        "additionalProperties": false,
    });
    let colour = json!({
        "responseMimeType": "text/x.enum",
        "responseSchema": { "type": "STRING", "enum": ["RED", "BLUE"] },
    });
    let item = json!({
        "responseMimeType": "application/json",
        "responseSchema": {
            "type": "OBJECT",
            "title": "Item",
            "properties": {
                "label": { "type": "STRING", "title": "Label", "description": "what is shown" },
                "confidence": { "type": "NUMBER", "title": "Confidence" },
                "tags": { "type": "ARRAY", "title": "Tags", "items": { "type": "STRING" } },
                "note": { "type": "STRING", "title": "Note", "nullable": true },
            },
            "required": ["label", "confidence", "tags"],
            "propertyOrdering": ["label", "confidence", "tags", "note"],
        },
    });
    let asks = |prompt: &str, config: &Value| {
        json!({
            "image": "@red.png", "prompt": prompt, "options": { "generationConfig": config },
        })
    };
    vec![
        Row::one(
            "response_json_schema",
            FLASH,
            json!({ "image": "@red.png", "prompt": "Classify.", "schema": schema }),
            Told::Output(
                json!({ "label": "square", "confidence": 0.98, "tags": ["red"] }),
                264,
                156,
            ),
        ),
        Row::one(
            "response_enum",
            FLASH,
            asks("Colour?", &colour),
            Told::Output(json!("RED"), 264, 156),
        ),
        Row::one(
            "response_schema_pydantic",
            FLASH,
            asks("Classify.", &item),
            Told::Output(
                json!(r#"{"label":"square","confidence":0.98,"tags":["red"],"note":null}"#),
                264,
                156,
            ),
        ),
    ]
}

fn failures() -> Vec<Row> {
    let fails = |case, class, message: &str| {
        let message = format!("provider `mine`: {message}");
        Row::one(case, FLASH, x(), Told::fails(class, &message))
    };
    let busy = Told::Fails(
        ErrorClass::Overloaded,
        "provider `mine`: UNAVAILABLE: The model is overloaded. Please try again later.",
    );
    let again = vec![(How::Generate(x()), busy), (How::Generate(x()), red_square())];
    vec![
        fails(
            "error_400_bad_key",
            ErrorClass::Auth,
            "INVALID_ARGUMENT: API key not valid. Please pass a valid API key.",
        ),
        fails(
            "error_403",
            ErrorClass::NotFound,
            "PERMISSION_DENIED: You do not have permission to access the File abc-123 or it may \
             not exist.",
        ),
        fails(
            "error_429_quota",
            ErrorClass::RateLimit,
            "RESOURCE_EXHAUSTED: You exceeded your current quota, please check your plan and \
             billing details.",
        ),
        fails("error_500", ErrorClass::Server, "INTERNAL: An internal error has occurred."),
        Row { case: "retry_503_then_200", model: FLASH, settings: json!({}), asks: again },
    ]
}
