//! Chat completions: from our words to theirs, and back.

use flow_core::error::Failure;
use flow_core::provider::Role;
use reqwest::Method;

use super::batch::Batches;
use super::files::Files;
use super::pieces::ChatPieces;
use super::schema::{self, Format};
use super::wire::{
    Completion, Content, File, ImageUrl, InputAudio, JsonSchema, Message, Part, Request,
    ResponseFormat, StreamOptions, Usage,
};
use super::{cannot, data_url, detail, embeddings, fault, models};
use crate::catalog::ModelFacts;
use crate::http::{Attachments, Call, Reply};
use crate::service::batch::BatchDialect;
use crate::service::{
    self, Ask, Dialect, Endpoint, Fault, FileService, Finish, Framing, Listed, Pieces, Place,
    ReadyFile, Tokens, Told, Turn, parse,
};

/// Speaks chat completions.
pub(super) struct Chat;

impl Dialect for Chat {
    fn files(&self) -> Option<&dyn FileService> {
        Some(&Files { images: false })
    }

    fn generate(&self, ask: Ask<'_>) -> Result<Call, Failure> {
        let mut files = Attachments::new();
        let format = ask.request.schema.as_ref().map(schema::format);
        let (response_format, told) = match format {
            None => (None, None),
            Some(Format::Schema { name, description, schema, strict }) => {
                let json_schema = JsonSchema { name, description, schema, strict };
                (Some(ResponseFormat::JsonSchema { json_schema }), None)
            }
            Some(Format::Told(words)) => (None, Some(words)),
        };
        let system = schema::system(ask.request.system.as_deref(), told);
        let role = if ask.facts.reasoning { "developer" } else { "system" };
        let system = system.map(|text| Message { role, content: Content::Text(text) });
        let turns = ask.turns.iter().map(|turn| message(turn, &ask, &mut files));
        let turns = turns.collect::<Result<Vec<_>, _>>()?;
        let request = Request {
            model: &ask.request.model,
            messages: system.into_iter().chain(turns).collect(),
            max_tokens: ask.request.max_tokens.filter(|_| !ask.facts.reasoning),
            max_completion_tokens: ask.request.max_tokens.filter(|_| ask.facts.reasoning),
            temperature: ask.request.temperature,
            top_p: ask.request.top_p,
            stop: &ask.request.stop,
            seed: ask.request.seed,
            response_format,
            stream: ask.stream.then_some(true),
            stream_options: ask.stream.then_some(StreamOptions { include_usage: true }),
        };
        let body = files.into_body(&ask.with_options(&request));
        Ok(ask.endpoint.call(Method::POST, "/chat/completions", body))
    }

    fn read(&self, body: &[u8]) -> Result<Told, Fault> {
        let completion: Completion = parse(body)?;
        if let Some(error) = &completion.error {
            return Err(fault::of_error(200, error));
        }
        let tokens = completion.usage.map(tokens).unwrap_or_default();
        let model = completion.model;
        let Some(choice) = completion.choices.into_iter().flatten().next() else {
            return Ok(Told { tokens, model, ..Told::default() });
        };
        let finish = finish(choice.finish_reason.as_deref(), choice.message.refusal);
        Ok(Told { text: choice.message.content.unwrap_or_default(), finish, tokens, model })
    }

    fn pieces(&self) -> (Framing, Box<dyn Pieces>) {
        (Framing::Events, Box::<ChatPieces>::default())
    }

    fn batches(&self) -> Option<&'static dyn BatchDialect> {
        Some(&Batches)
    }

    fn refusal(&self, endpoint: &Endpoint, reply: &Reply) -> Fault {
        fault::of_reply(endpoint, reply)
    }

    fn list(&self, endpoint: &Endpoint, _after: Option<&str>) -> Call {
        models::list(endpoint)
    }

    fn read_list(&self, body: &[u8]) -> Result<Listed, Fault> {
        models::read(body)
    }

    fn embed(
        &self,
        endpoint: &Endpoint,
        model: &str,
        texts: &[String],
        _facts: &ModelFacts,
    ) -> Option<Call> {
        Some(embeddings::ask(endpoint, model, texts))
    }

    fn read_embed(&self, body: &[u8]) -> Result<(Vec<Vec<f32>>, Tokens), Fault> {
        embeddings::read(body)
    }
}

fn message(turn: &Turn, ask: &Ask<'_>, files: &mut Attachments) -> Result<Message, Failure> {
    let role = match turn.role {
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    let content = match turn.parts.as_slice() {
        [service::Content::Text(text)] => Content::Text(text.clone()),
        parts => {
            let parts = parts.iter().map(|content| part(content, ask, files));
            Content::Parts(parts.collect::<Result<_, _>>()?)
        }
    };
    Ok(Message { role, content })
}

fn part(
    content: &service::Content,
    ask: &Ask<'_>,
    files: &mut Attachments,
) -> Result<Part, Failure> {
    Ok(match content {
        service::Content::Text(text) => Part::Text { text: text.clone() },
        service::Content::Image(file) => Part::ImageUrl { image_url: image(file, ask, files)? },
        service::Content::Document(file) => Part::File { file: document(file, ask, files)? },
        service::Content::Audio(file) => Part::InputAudio { input_audio: sound(file, ask, files)? },
        service::Content::Video(_) => {
            return Err(cannot(ask, "video").with_hint("send images of it"));
        }
    })
}

fn image(file: &ReadyFile, ask: &Ask<'_>, files: &mut Attachments) -> Result<ImageUrl, Failure> {
    let url = match &file.place {
        Place::Url(url) => Some(url.clone()),
        Place::Inline(_) | Place::Uploaded(_) => data_url(file, files),
    };
    let url = url.ok_or_else(|| {
        cannot(ask, "uploaded image in chat completions").with_hint("set `api: responses`")
    })?;
    Ok(ImageUrl { url, detail: detail(file, ask) })
}

fn document(file: &ReadyFile, ask: &Ask<'_>, files: &mut Attachments) -> Result<File, Failure> {
    match &file.place {
        Place::Inline(_) => Ok(File {
            filename: Some(file.name.clone()),
            file_data: data_url(file, files),
            ..File::default()
        }),
        Place::Uploaded(id) => Ok(File { file_id: Some(id.clone()), ..File::default() }),
        Place::Url(_) => Err(cannot(ask, "document by its URL in chat completions")
            .with_hint("set `api: responses`, or give the file itself")),
    }
}

fn sound(file: &ReadyFile, ask: &Ask<'_>, files: &mut Attachments) -> Result<InputAudio, Failure> {
    let format = match file.media_type.as_str() {
        "audio/wav" | "audio/x-wav" | "audio/vnd.wave" => "wav",
        "audio/mpeg" | "audio/mp3" => "mp3",
        _ => return Err(cannot(ask, "sound but WAV and MP3")),
    };
    match &file.place {
        Place::Inline(part) => Ok(InputAudio { data: files.base64(part.clone()), format }),
        Place::Url(_) | Place::Uploaded(_) => {
            Err(cannot(ask, "sound by its URL").with_hint("give the file itself"))
        }
    }
}

/// Why an answer ended. A refusal says `stop` beside it.
pub(super) fn finish(reason: Option<&str>, refusal: Option<String>) -> Finish {
    if let Some(words) = refusal.filter(|words| !words.is_empty()) {
        return Finish::Refused(words);
    }
    match reason {
        None | Some("stop") => Finish::Stop,
        Some("length") => Finish::Length,
        Some("content_filter") => Finish::Filtered("content_filter".into()),
        Some(other) => Finish::Other(other.into()),
    }
}

pub(super) fn tokens(usage: Usage) -> Tokens {
    let cached = usage.prompt_tokens_details.and_then(|details| details.cached_tokens);
    let reasoned = usage.completion_tokens_details.and_then(|details| details.reasoning_tokens);
    Tokens {
        input: usage.prompt_tokens,
        cache_read: cached.unwrap_or_default(),
        cache_write: 0,
        output: usage.completion_tokens,
        reasoning: reasoned.unwrap_or_default(),
    }
}
