//! Writing a request.

use std::collections::BTreeMap;

use flow_core::error::{ErrorClass, Failure};
use flow_core::provider::Role;
use serde_json::{Map, Value, json};

use super::schema;
use super::wire::{
    Content, EmbedOne, EmbedRequest, GenerationConfig, Part, Request, System, SystemPart,
};
use crate::http::{Attachments, Body};
use crate::service::{Ask, Content as Asked, Place, ReadyFile, overlay};

/// The body of a request.
pub(super) fn body(ask: &Ask<'_>) -> Result<Body, Failure> {
    let request = ask.request;
    refuse_sampling_it_does_not_take(ask)?;
    let mut files = Attachments::new();
    let mut contents = Vec::with_capacity(ask.turns.len());
    for turn in &ask.turns {
        let role = match turn.role {
            Role::User => "user",
            Role::Assistant => "model",
        };
        let parts = turn.parts.iter().map(|asked| part(ask, asked, &mut files));
        contents.push(Content { role, parts: parts.collect::<Result<_, _>>()? });
    }
    let mut schema = request.schema.as_ref();
    if !ask.facts.capabilities.schema
        && let Some((schema, last)) = schema.take().zip(contents.last_mut())
    {
        last.parts.push(json!({ "text": schema::in_words(schema) }));
    }
    let written = Request {
        contents,
        system_instruction: request
            .system
            .as_deref()
            .map(|text| System { parts: [SystemPart { text }] }),
        generation_config: GenerationConfig {
            temperature: request.temperature,
            top_p: request.top_p,
            max_output_tokens: request.max_tokens,
            stop_sequences: &request.stop,
            seed: request.seed,
            media_resolution: request.detail.as_deref().map(resolution),
            response_mime_type: schema.map(|_| "application/json"),
            response_json_schema: schema.map(schema::sent),
        },
    };
    Ok(files.into_body(&ask.with_options(&written)))
}

/// The body of a request for the vectors of texts.
pub(super) fn embed(model: &str, texts: &[String]) -> Body {
    let one = |text: &String| EmbedOne {
        model: full_name(model),
        content: Content { role: "user", parts: vec![json!({ "text": text })] },
    };
    Body::json(&EmbedRequest { requests: texts.iter().map(one).collect() })
}

/// The name of a model as paths have it: with the collection it is in.
pub(super) fn full_name(model: &str) -> String {
    if model.contains('/') { model.to_owned() } else { format!("models/{model}") }
}

fn refuse_sampling_it_does_not_take(ask: &Ask<'_>) -> Result<(), Failure> {
    let (name, model) = (&ask.endpoint.name, &ask.request.model);
    if ask.request.temperature.is_none() || ask.facts.temperature {
        return Ok(());
    }
    let message = format!("model `{name}/{model}` takes no `temperature`");
    Err(Failure::new(ErrorClass::BadRequest, message).with_hint(format!(
        "leave it out, or say `models: {{ \"{model}\": {{ temperature: true }} }}` under \
         `providers: {name}:`"
    )))
}

fn part(ask: &Ask<'_>, asked: &Asked, files: &mut Attachments) -> Result<Value, Failure> {
    let (file, usual) = match asked {
        Asked::Text(text) => return Ok(json!({ "text": text })),
        Asked::Document(file) => (file, Some("application/pdf")),
        // An address of a video (on YouTube, say) seldom tells the type in its name.
        Asked::Video(file) => (file, Some("video/mp4")),
        Asked::Image(file) | Asked::Audio(file) => (file, None),
    };
    refuse_the_wrong_kind(ask, asked, file)?;
    let told = Some(file.media_type.as_str()).filter(|media| !media.is_empty());
    let written = match &file.place {
        Place::Inline(bytes) => Part::InlineData {
            mime_type: file.media_type.clone(),
            data: files.base64(bytes.clone()),
        },
        Place::Url(uri) | Place::Uploaded(uri) => {
            Part::FileData { mime_type: told.or(usual).map(str::to_owned), file_uri: uri.clone() }
        }
    };
    let mut value = serde_json::to_value(written).expect("wire types have string keys only");
    if let Value::Object(fields) = &mut value {
        overlay(fields, &own_fields(&file.options));
    }
    Ok(value)
}

/// An image that is none would be paid for and misread.
fn refuse_the_wrong_kind(ask: &Ask<'_>, asked: &Asked, file: &ReadyFile) -> Result<(), Failure> {
    let what = match asked {
        Asked::Image(_) => "image",
        Asked::Video(_) => "video",
        Asked::Audio(_) => "audio",
        Asked::Text(_) | Asked::Document(_) => return Ok(()),
    };
    let inline = matches!(file.place, Place::Inline(_));
    if !inline || file.media_type.split('/').next() == Some(what) {
        return Ok(());
    }
    let (provider, name, media) = (&ask.endpoint.name, &file.name, &file.media_type);
    let message = format!("provider `{provider}` takes no {what} of type {media}: `{name}`");
    Err(Failure::new(ErrorClass::BadRequest, message))
}

/// The fields of a part in Gemini's words: `detail`, `fps`, `start` and `end` are ours.
fn own_fields(options: &BTreeMap<String, Value>) -> Map<String, Value> {
    let mut fields = Map::new();
    for (key, value) in options {
        let field = match (key.as_str(), value) {
            ("detail", Value::String(detail)) => {
                json!({ "mediaResolution": { "level": resolution(detail) } })
            }
            ("fps", fps) => json!({ "videoMetadata": { "fps": fps } }),
            ("start", start) => json!({ "videoMetadata": { "startOffset": start } }),
            ("end", end) => json!({ "videoMetadata": { "endOffset": end } }),
            (key, value) => json!({ key: value }),
        };
        overlay(&mut fields, field.as_object().expect("it was made one"));
    }
    fields
}

/// How closely media are looked at: `low` stands for `MEDIA_RESOLUTION_LOW`.
fn resolution(detail: &str) -> String {
    let detail = detail.to_ascii_uppercase();
    if detail.starts_with("MEDIA_RESOLUTION_") {
        detail
    } else {
        format!("MEDIA_RESOLUTION_{detail}")
    }
}
