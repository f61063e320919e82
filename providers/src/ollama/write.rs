//! Writing a question.

use flow_core::error::{ErrorClass, Failure};
use flow_core::provider::{Request, Role};
use serde_json::{Map, Value, json};

use super::wire::{Chat, Message};
use crate::http::{Attachments, Body};
use crate::service::{Ask, Content, Place, Turn, overlay};

/// Where an image stands in a text.
const MARKER: &str = "[img]";

/// What stands in place of a marker that the user's own text holds by chance.
const NO_MARKER: &str = "[ img]";

/// Options that Ollama takes within `options`; others stand beside it.
const WITHIN: &[&str] = &[
    "draft_num_predict",
    "embedding_only",
    "f16_kv",
    "frequency_penalty",
    "logits_all",
    "low_vram",
    "main_gpu",
    "min_p",
    "mirostat",
    "mirostat_eta",
    "mirostat_tau",
    "num_batch",
    "num_ctx",
    "num_gpu",
    "num_keep",
    "num_predict",
    "num_thread",
    "numa",
    "penalize_newline",
    "presence_penalty",
    "repeat_last_n",
    "repeat_penalty",
    "seed",
    "stop",
    "temperature",
    "tfs_z",
    "top_k",
    "top_p",
    "typical_p",
    "use_mlock",
    "use_mmap",
    "vocab_only",
];

/// The body of a question for an answer.
pub(super) fn chat(ask: &Ask<'_>) -> Result<Body, Failure> {
    let request = ask.request;
    let mut files = Attachments::new();
    let system = request.system.iter().map(|text| Message {
        role: "system",
        content: text.clone(),
        images: Vec::new(),
    });
    let mut messages: Vec<_> = system.collect();
    for turn in &ask.turns {
        messages.push(message(turn, ask, &mut files)?);
    }
    let chat = Chat {
        model: &request.model,
        messages,
        stream: ask.stream,
        format: request.schema.as_ref(),
        options: options(request),
    };
    let mut body = serde_json::to_value(chat).expect("wire types have string keys only");
    if let Value::Object(fields) = &mut body {
        overlay(fields, &own_options(request));
    }
    Ok(files.into_body(&body))
}

/// What the step set, in Ollama's words.
fn options(request: &Request) -> Map<String, Value> {
    let stop = (!request.stop.is_empty()).then(|| json!(request.stop));
    [
        ("temperature", request.temperature.map(|value| json!(value))),
        ("top_p", request.top_p.map(|value| json!(value))),
        ("num_predict", request.max_tokens.map(|value| json!(value))),
        ("stop", stop),
        ("seed", request.seed.map(|value| json!(value))),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value?)))
    .collect()
}

/// The user's own options, each where it belongs.
fn own_options(request: &Request) -> Map<String, Value> {
    let (mut within, mut beside) = (Map::new(), Map::new());
    for (name, value) in &request.options {
        match (name.as_str(), value) {
            // These are said to flow.
            ("pages" | "stream" | "upload", _) => {}
            ("options", Value::Object(own)) => within.extend(own.clone()),
            (known, value) if WITHIN.contains(&known) => {
                within.insert(name.clone(), value.clone());
            }
            (_, value) => _ = beside.insert(name.clone(), value.clone()),
        }
    }
    if !within.is_empty() {
        beside.insert("options".into(), Value::Object(within));
    }
    beside
}

fn message(turn: &Turn, ask: &Ask<'_>, files: &mut Attachments) -> Result<Message, Failure> {
    let role = match turn.role {
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    let mut images = Vec::new();
    for part in &turn.parts {
        match part {
            Content::Text(_) => {}
            Content::Image(file) => match &file.place {
                Place::Inline(part) => images.push(files.base64(part.clone())),
                Place::Url(_) | Place::Uploaded(_) => return Err(refused(ask, "image by address")),
            },
            Content::Document(_) => return Err(refused(ask, "documents")),
            Content::Video(_) => return Err(refused(ask, "video")),
            Content::Audio(_) => return Err(refused(ask, "sound")),
        }
    }
    Ok(Message { role, content: text(&turn.parts, images.len()), images })
}

fn refused(ask: &Ask<'_>, what: &str) -> Failure {
    let (name, model) = (&ask.endpoint.name, &ask.request.model);
    let message = format!("model `{name}/{model}` takes no {what}: Ollama has no word for it");
    Failure::new(ErrorClass::BadRequest, message).with_hint("send images of it, or its text")
}

/// The text of a turn. Images that all stand before it need no marker: Ollama puts them there.
/// So do those whose places the user marked.
fn text(parts: &[Content], images: usize) -> String {
    let texts = parts.iter().filter_map(|part| match part {
        Content::Text(text) => Some(text.as_str()),
        Content::Image(_) | Content::Document(_) | Content::Video(_) | Content::Audio(_) => None,
    });
    let marked = texts.map(|text| text.matches(MARKER).count()).sum::<usize>();
    let first = parts.iter().take_while(|part| !matches!(part, Content::Text(_))).count();
    let in_front = first == images;
    let keeps_markers = images == 0 || (in_front && (marked == 0 || marked == images));
    let mut whole = String::new();
    let mut after_text = false;
    for part in parts {
        match part {
            Content::Text(text) if keeps_markers => {
                join(&mut whole, text, if after_text { '\n' } else { ' ' });
                after_text = true;
            }
            Content::Text(text) => {
                let plain = text.replace(MARKER, NO_MARKER);
                join(&mut whole, &plain, if after_text { '\n' } else { ' ' });
                after_text = true;
            }
            Content::Image(_) if keeps_markers => {}
            Content::Image(_) => {
                join(&mut whole, MARKER, ' ');
                after_text = false;
            }
            Content::Document(_) | Content::Video(_) | Content::Audio(_) => {}
        }
    }
    whole
}

/// Appends with something between, unless there is space already.
fn join(whole: &mut String, next: &str, between: char) {
    let space = whole.ends_with(char::is_whitespace) || next.starts_with(char::is_whitespace);
    if !whole.is_empty() && !space {
        whole.push(between);
    }
    whole.push_str(next);
}
