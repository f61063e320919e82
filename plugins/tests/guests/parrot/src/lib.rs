//! A provider whose models say what they are asked: `parrot/loud` in capitals, piece by piece.

wit_bindgen::generate!({ path: "../../../wit", world: "provider-plugin", generate_all });

use exports::flow::plugin::{meta, provider};
use flow::plugin::chat::{Message, Request, Response};
use flow::plugin::content::{Body, Part};
use flow::plugin::progress;
use flow::plugin::types::Error;
use serde_json::json;

struct Parrot;

const DESCRIBE: &str = r#"{
  "name": "parrot",
  "version": "0.3.0",
  "kind": "provider",
  "summary": "Says what it is asked."
}"#;

impl meta::Guest for Parrot {
    fn describe() -> String {
        DESCRIBE.into()
    }
}

impl provider::Guest for Parrot {
    fn complete(context: provider::Context, request: Request) -> Result<Response, Error> {
        let said: String = request
            .messages
            .iter()
            .flat_map(|message| &message.parts)
            .map(|part| match &part.body {
                Body::Text(text) => text.clone(),
                Body::Bytes(bytes) => format!("{} bytes", bytes.len()),
                Body::Artifact(file) => file.name().unwrap_or_default(),
            })
            .collect();
        if said == "later" && context.attempt == 1 {
            return Err(Error {
                code: "unavailable".into(),
                message: "it sleeps".into(),
                retryable: true,
                retry_after_ms: Some(1),
                extra: "{}".into(),
            });
        }
        let text = match request.model.as_str() {
            "loud" => said.to_uppercase(),
            "plain" => said,
            other => {
                return Err(Error {
                    code: "not-found".into(),
                    message: format!("there is no model `{other}`"),
                    retryable: false,
                    retry_after_ms: None,
                    extra: "{}".into(),
                });
            }
        };
        text.split_inclusive(' ').all(|piece| progress::delta(piece));
        let extra = json!({ "input_tokens": 3, "output_tokens": text.len() }).to_string();
        let part = Part { media_type: "text/plain".into(), name: None, body: Body::Text(text) };
        let message = Message { role: "assistant".into(), parts: vec![part] };
        Ok(Response { message, finish: "stop".into(), extra })
    }

    fn models() -> String {
        json!(["plain", "loud"]).to_string()
    }
}

export!(Parrot);
