//! Writing a request.

use flow_core::error::{ErrorClass, Failure};
use flow_core::provider::Role;
use serde_json::{Value, json};

use super::schema::{Held, held};
use super::wire::{Block, Format, Message, OutputConfig, Request, Source, Tool, ToolChoice};
use crate::http::{Attachments, Body, Source as Bytes};
use crate::service::{Ask, Content, Place, ReadyFile, overlay};

/// What a request asks for at most where neither it nor the catalogue says: the service takes
/// no request without a limit.
const MAX_TOKENS: u64 = 4096;

/// The images that are taken.
pub(super) const IMAGES: &[&str] = &["image/jpeg", "image/png", "image/gif", "image/webp"];

/// The body of a request.
pub(super) fn body(ask: &Ask<'_>) -> Result<Body, Failure> {
    refuse_what_it_has_no_word_for(ask)?;
    let request = ask.request;
    let mut files = Attachments::new();
    let mut written = Request {
        model: &request.model,
        max_tokens: request.max_tokens.or(ask.facts.max_output).unwrap_or(MAX_TOKENS),
        messages: Vec::with_capacity(ask.turns.len()),
        system: request.system.as_deref(),
        temperature: request.temperature,
        top_p: request.top_p,
        stop_sequences: &request.stop,
        output_config: None,
        tools: None,
        tool_choice: None,
        stream: ask.stream,
    };
    for turn in &ask.turns {
        let role = match turn.role {
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        let content = turn.parts.iter().map(|part| block(ask, part, &mut files));
        written.messages.push(Message { role, content: content.collect::<Result<_, _>>()? });
    }
    hold_to_the_schema(&mut written, ask);
    Ok(files.into_body(&ask.with_options(&written)))
}

fn hold_to_the_schema(written: &mut Request<'_>, ask: &Ask<'_>) {
    let Some(schema) = &ask.request.schema else { return };
    match held(schema, ask.facts.capabilities.schema) {
        Held::Format(schema) => {
            written.output_config = Some(OutputConfig { format: Format::JsonSchema { schema } });
        }
        Held::Tool(name, input_schema) => {
            let description = "Takes the answer. Call it once, with the whole answer.";
            written.tools = Some([Tool { name, description, input_schema }]);
            let kind = "tool";
            written.tool_choice = Some(ToolChoice { kind, name, disable_parallel_tool_use: true });
        }
    }
}

fn refuse_what_it_has_no_word_for(ask: &Ask<'_>) -> Result<(), Failure> {
    let (request, name) = (ask.request, &ask.endpoint.name);
    let model = &request.model;
    if request.seed.is_some() {
        return Err(refused(format!("provider `{name}` takes no `seed`"))
            .with_hint("leave it out, or ask another provider"));
    }
    let sampling =
        [("temperature", request.temperature.is_some()), ("top_p", request.top_p.is_some())];
    match sampling.iter().find(|(_, set)| *set && !ask.facts.temperature) {
        Some((key, _)) => Err(refused(format!("model `{name}/{model}` takes no `{key}`"))
            .with_hint(format!(
                "leave it out, or say `models: {{ \"{model}\": {{ temperature: true }} }}` under \
                 `providers: {name}:`"
            ))),
        None => Ok(()),
    }
}

fn block(ask: &Ask<'_>, part: &Content, files: &mut Attachments) -> Result<Value, Failure> {
    let name = &ask.endpoint.name;
    let (block, file) = match part {
        Content::Text(text) => return Ok(json!({ "type": "text", "text": text })),
        Content::Image(file) => (image(name, file, files)?, file),
        Content::Document(file) => (document(name, file, files)?, file),
        Content::Video(_) => return Err(refused(format!("provider `{name}` takes no video"))),
        Content::Audio(_) => return Err(refused(format!("provider `{name}` takes no sound"))),
    };
    let mut value = serde_json::to_value(block).expect("wire types have string keys only");
    if let Value::Object(fields) = &mut value {
        // How closely an image is looked at is a wish that has no word here.
        overlay(fields, file.options.iter().filter(|(key, _)| *key != "detail"));
    }
    Ok(value)
}

fn image(provider: &str, file: &ReadyFile, files: &mut Attachments) -> Result<Block, Failure> {
    if matches!(file.place, Place::Inline(_)) && !IMAGES.contains(&file.media_type.as_str()) {
        let (name, media) = (&file.name, &file.media_type);
        return Err(refused(format!(
            "provider `{provider}` takes no image of type {media}: `{name}`"
        ))
        .with_hint("it takes JPEG, PNG, GIF and WebP"));
    }
    Ok(Block::Image { source: source(file, files) })
}

fn document(provider: &str, file: &ReadyFile, files: &mut Attachments) -> Result<Block, Failure> {
    let Place::Inline(part) = &file.place else {
        return Ok(Block::Document { source: source(file, files), title: None });
    };
    if file.media_type == "application/pdf" {
        return Ok(Block::Document { source: source(file, files), title: None });
    }
    // Text is sent as text, and was read for that.
    if let Bytes::Memory(bytes) = &part.source
        && file.media_type.starts_with("text/")
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        let source = Source::Text { media_type: "text/plain", data: text.to_owned() };
        return Ok(Block::Document { source, title: Some(file.name.clone()) });
    }
    let (name, media) = (&file.name, &file.media_type);
    Err(refused(format!("provider `{provider}` takes no document of type {media}: `{name}`"))
        .with_hint("it takes PDF and text; `document.text` reads others"))
}

fn source(file: &ReadyFile, files: &mut Attachments) -> Source {
    match &file.place {
        Place::Inline(part) => {
            Source::Base64 { media_type: file.media_type.clone(), data: files.base64(part.clone()) }
        }
        Place::Url(url) => Source::Url { url: url.clone() },
        Place::Uploaded(id) => Source::File { file_id: id.clone() },
    }
}

fn refused(message: String) -> Failure {
    Failure::new(ErrorClass::BadRequest, message)
}
