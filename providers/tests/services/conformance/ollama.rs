//! Ollama's library, version 0.6.3.

use flow_core::error::ErrorClass;
use serde_json::json;

use super::{Row, Told, hold};

const LLAVA: &str = "llava:13b";

/// Cases that have no row, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("generate_images", "a conversation of one turn asks the same of `/api/chat`"),
    ("ps", "what is in the server's memory is its own business"),
    ("pull_stream", "no step fetches models of Ollama; the failure says `ollama pull NAME`"),
    ("show_capabilities", "what a model takes comes from the catalogue, not from a call"),
];

#[tokio::test]
async fn ollama_is_asked_as_its_library_asks() {
    hold("ollama", "ollama", "", &rows(), LEFT_OUT).await;
}

fn rows() -> Vec<Row> {
    let red_square = || Told::Output(json!("A red square."), 590, 9);
    vec![
        Row::one(
            "chat_format_json",
            LLAVA,
            json!({ "prompt": "JSON.", "options": { "format": "json" } }),
            red_square(),
        ),
        Row::one(
            "chat_images",
            LLAVA,
            json!({
                "system": "You are terse.",
                "prompt": "What is in this image?",
                "image": "@red.png",
            }),
            red_square(),
        ),
        Row::one(
            "chat_images_multiple_options",
            LLAVA,
            json!({
                "prompt": "Compare.",
                "images": ["@red.png", "@pixel.jpg", "@blue.png"],
                "temperature": 0.2, "max_tokens": 300, "seed": 7, "top_p": 0.9, "stop": "END",
                "options": { "num_ctx": 8192, "keep_alive": "10m" },
            }),
            red_square(),
        ),
        Row::one(
            "chat_interleaved_img_placeholders",
            LLAVA,
            json!({ "content": [
                { "text": "Before:" }, { "image": "@red.png" },
                { "text": "After:" }, { "image": "@blue.png" },
                { "text": "What changed?" },
            ] }),
            red_square(),
        ),
        Row::one(
            "error_midstream",
            "llava",
            json!({ "prompt": "x", "options": { "stream": true } }),
            Told::Fails(
                ErrorClass::Server,
                "provider `mine`: an error was encountered while running the model",
            ),
        ),
    ]
}
