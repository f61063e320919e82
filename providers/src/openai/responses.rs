//! The Responses interface: from our words to theirs, and back.
//!
//! Nothing is left at the service: `store` is false unless the user's options say otherwise.

use flow_core::error::{ErrorClass, Failure};
use flow_core::provider::Role;
use reqwest::Method;
use serde_json::Value;

use super::batch::Batches;
use super::files::Files;
use super::responses_wire::{
    Content, Input, Item, OutputContent, Part, Request, Response, Text, TextFormat, Usage,
};
use super::schema::{self, Format};
use super::{cannot, data_url, detail, embeddings, fault, models};
use crate::catalog::ModelFacts;
use crate::http::{Attachments, Call, Event, Reply};
use crate::service::batch::BatchDialect;
use crate::service::{
    self, Ask, Dialect, Endpoint, Fault, FileService, Finish, Framing, Listed, Pieces, Place,
    ReadyFile, Tokens, Told, Turn, cut_off, parse,
};

/// Speaks the Responses interface.
pub(super) struct Responses;

impl Dialect for Responses {
    fn files(&self) -> Option<&dyn FileService> {
        Some(&Files { images: true })
    }

    fn generate(&self, ask: Ask<'_>) -> Result<Call, Failure> {
        let mut files = Attachments::new();
        for (what, set) in
            [("stop texts", !ask.request.stop.is_empty()), ("seed", ask.request.seed.is_some())]
        {
            if set {
                return Err(cannot(&ask, &format!("{what} in the Responses interface"))
                    .with_hint("set `api: chat`"));
            }
        }
        let (text, told) = match ask.request.schema.as_ref().map(schema::format) {
            None => (None, None),
            Some(Format::Schema { name, description, schema, strict }) => {
                let format = TextFormat::JsonSchema { name, description, schema, strict };
                (Some(Text { format }), None)
            }
            Some(Format::Told(words)) => (None, Some(words)),
        };
        let request = Request {
            model: &ask.request.model,
            instructions: schema::system(ask.request.system.as_deref(), told),
            input: input(&ask, &mut files)?,
            max_output_tokens: ask.request.max_tokens,
            temperature: ask.request.temperature,
            top_p: ask.request.top_p,
            text,
            store: false,
            stream: ask.stream.then_some(true),
        };
        let body = files.into_body(&ask.with_options(&request));
        Ok(ask.endpoint.call(Method::POST, "/responses", body))
    }

    fn read(&self, body: &[u8]) -> Result<Told, Fault> {
        told(parse(body)?)
    }

    fn pieces(&self) -> (Framing, Box<dyn Pieces>) {
        (Framing::Events, Box::<ResponsePieces>::default())
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

/// The conversation; one question in one text is written as that text.
fn input(ask: &Ask<'_>, files: &mut Attachments) -> Result<Input, Failure> {
    if let [Turn { role: Role::User, parts }] = ask.turns.as_slice()
        && let [service::Content::Text(text)] = parts.as_slice()
    {
        return Ok(Input::Text(text.clone()));
    }
    let items = ask.turns.iter().map(|turn| item(turn, ask, files));
    Ok(Input::Items(items.collect::<Result<_, _>>()?))
}

fn item(turn: &Turn, ask: &Ask<'_>, files: &mut Attachments) -> Result<Item, Failure> {
    let role = match turn.role {
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    let content = match turn.parts.as_slice() {
        [service::Content::Text(text)] => Content::Text(text.clone()),
        parts => {
            let parts = parts.iter().map(|content| part(content, turn.role, ask, files));
            Content::Parts(parts.collect::<Result<_, _>>()?)
        }
    };
    Ok(Item { role, content })
}

fn part(
    content: &service::Content,
    role: Role,
    ask: &Ask<'_>,
    files: &mut Attachments,
) -> Result<Part, Failure> {
    Ok(match content {
        service::Content::Text(text) => match role {
            Role::User => Part::InputText { text: text.clone() },
            Role::Assistant => Part::OutputText { text: text.clone() },
        },
        service::Content::Image(file) => image(file, ask, files),
        service::Content::Document(file) => document(file, files),
        service::Content::Audio(_) => {
            return Err(
                cannot(ask, "sound in the Responses interface").with_hint("set `api: chat`")
            );
        }
        service::Content::Video(_) => {
            return Err(cannot(ask, "video").with_hint("send images of it"));
        }
    })
}

fn image(file: &ReadyFile, ask: &Ask<'_>, files: &mut Attachments) -> Part {
    let detail = detail(file, ask);
    match &file.place {
        Place::Url(url) => Part::InputImage { image_url: Some(url.clone()), file_id: None, detail },
        Place::Uploaded(id) => {
            Part::InputImage { image_url: None, file_id: Some(id.clone()), detail }
        }
        Place::Inline(_) => {
            Part::InputImage { image_url: data_url(file, files), file_id: None, detail }
        }
    }
}

fn document(file: &ReadyFile, files: &mut Attachments) -> Part {
    let (mut filename, mut file_data, mut file_url, mut file_id) = (None, None, None, None);
    match &file.place {
        Place::Url(url) => file_url = Some(url.clone()),
        Place::Uploaded(id) => file_id = Some(id.clone()),
        Place::Inline(_) => {
            filename = Some(file.name.clone());
            file_data = data_url(file, files);
        }
    }
    Part::InputFile { filename, file_data, file_url, file_id }
}

/// What a response says that came to its end, well or not.
fn told(response: Response) -> Result<Told, Fault> {
    if let Some(error) = response.error.filter(|error| !error.is_null()) {
        return Err(fault::of_error(200, &error));
    }
    let mut told = Told { model: response.model, ..Told::default() };
    told.tokens = response.usage.map(tokens).unwrap_or_default();
    let mut refusal = String::new();
    let said = response.output.into_iter().filter(|output| output.kind == "message");
    for content in said.flat_map(|output| output.content) {
        match content {
            OutputContent::OutputText { text } => told.text.push_str(&text),
            OutputContent::Refusal { refusal: words } => refusal.push_str(&words),
            OutputContent::Other => {}
        }
    }
    let reason = response.incomplete_details.and_then(|details| details.reason);
    told.finish = match (response.status.as_deref(), reason.as_deref()) {
        _ if !refusal.is_empty() => Finish::Refused(refusal),
        (Some("incomplete"), None | Some("max_output_tokens")) => Finish::Length,
        (Some("incomplete"), Some(reason)) => Finish::Filtered(reason.to_owned()),
        (Some(status @ ("failed" | "cancelled")), _) => {
            return Err(Fault::new(ErrorClass::Server, format!("the response {status}")));
        }
        _ => Finish::Stop,
    };
    Ok(told)
}

fn tokens(usage: Usage) -> Tokens {
    let read = usage.input_tokens_details.unwrap_or_default();
    let written = usage.output_tokens_details.unwrap_or_default();
    Tokens {
        input: usage.input_tokens,
        cache_read: read.cached_tokens.unwrap_or_default(),
        cache_write: read.cache_write_tokens.unwrap_or_default(),
        output: usage.output_tokens,
        reasoning: written.reasoning_tokens.unwrap_or_default(),
    }
}

/// Reads the events of a stream. The last holds the whole response.
#[derive(Default)]
struct ResponsePieces {
    told: Option<Result<Told, Fault>>,
    tokens: Tokens,
}

impl Pieces for ResponsePieces {
    fn take(&mut self, event: &Event) -> Result<String, Fault> {
        if event.data == "[DONE]" {
            return Ok(String::new());
        }
        let mut value: Value = parse(event.data.as_bytes())?;
        match value["type"].as_str().unwrap_or(&event.name) {
            "response.output_text.delta" => {
                return Ok(value["delta"].as_str().unwrap_or_default().to_owned());
            }
            "response.completed" | "response.incomplete" | "response.failed" => {
                let response = value["response"].take().to_string();
                let response: Response = parse(response.as_bytes())?;
                self.tokens = response.usage.map(tokens).unwrap_or_default();
                self.told = Some(told(response));
            }
            "error" => {
                let error = if value["error"].is_object() { &value["error"] } else { &value };
                return Err(fault::of_error(200, error));
            }
            _ if value["error"].is_object() => {
                return Err(fault::of_error(200, &value["error"]));
            }
            _ => {}
        }
        Ok(String::new())
    }

    fn finish(&mut self) -> Result<Told, Fault> {
        self.told.take().unwrap_or_else(|| Err(cut_off()))
    }

    fn tokens(&self) -> Tokens {
        self.tokens
    }
}
