//! Conversations with models, on both sides: what a step asks, and what a provider answers.

use std::collections::BTreeMap;

use flow_core::artifact::ArtifactRef;
use flow_core::provider::{Answer, Media, MediaFile, Message, Part, Request, Role};
use flow_core::units::Money;
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;
use wasmtime::component::Resource;

use super::artifacts::Opened;
use super::{Asked, Guest, error, of_table, told};
use crate::bindings::content::{Body, Part as GuestPart};
use crate::bindings::types::Error;
use crate::bindings::{chat, llm};
use crate::policy::Denial;

impl llm::Host for Guest {
    async fn complete(
        &mut self,
        asked: chat::Request,
    ) -> wasmtime::Result<Result<chat::Response, Error>> {
        self.count()?;
        let most = match self.may_ask(&asked.model) {
            Ok(most) => most,
            Err(error) => return Ok(Err(error)),
        };
        let model = asked.model.clone();
        let request = match self.request(asked).await? {
            Ok(request) => Box::new(request),
            Err(error) => return Ok(Err(error)),
        };
        let (answer, answered) = oneshot::channel();
        // Who called the guest is there as long as the guest is.
        let _ = self.outside.send(Asked::Model { model, request, most, answer });
        let Ok(answer) = answered.await else {
            return Ok(Err(error("internal", "nobody answers")));
        };
        Ok(match answer {
            Ok((Answer { text }, usage)) => {
                self.used.cost = self.used.cost.zip(usage.cost).map(|(all, own)| all + own);
                let body = Body::Text(text);
                let part = GuestPart { media_type: "text/plain".into(), name: None, body };
                let message = chat::Message { role: "assistant".into(), parts: vec![part] };
                let extra = json!({
                    "input_tokens": usage.input_tokens,
                    "output_tokens": usage.output_tokens,
                    "cost": usage.cost.map(Money::usd),
                });
                let finish = usage.finish.unwrap_or_default();
                Ok(chat::Response { message, finish, extra: extra.to_string() })
            }
            Err(failure) => Err(told(&failure)),
        })
    }
}

impl Guest {
    /// Whether a model may be asked once more; what that may cost.
    fn may_ask(&mut self, model: &str) -> Result<Option<Money>, Error> {
        let rule = self.granted.may.models.as_ref().filter(|rule| rule.names.contains(model));
        let Some(rule) = rule else {
            let denial = Denial::model(&self.granted, model);
            return Err(self.deny(denial));
        };
        if self.used.questions >= rule.max_calls {
            let denial = Denial::calls(&self.granted, rule.max_calls);
            return Err(self.deny(denial));
        }
        let spent = self.used.cost.unwrap_or_default();
        let left = |most: Money| Money::from_micros((most.micros() - spent.micros()).max(0));
        let most = rule.max_cost.map(left);
        self.used.questions += 1;
        Ok(most)
    }

    /// The request that a guest makes. Bytes in it become files, as those of a step would.
    async fn request(&mut self, asked: chat::Request) -> wasmtime::Result<Result<Request, Error>> {
        let params: Map<String, Value> = match serde_json::from_str(&asked.params) {
            Ok(params) => params,
            Err(_) if asked.params.trim().is_empty() => Map::new(),
            Err(why) => {
                return Ok(Err(error(
                    "invalid-input",
                    format!("`params` is no JSON object: {why}"),
                )));
            }
        };
        let mut request = match with_params(params) {
            Ok(request) => request,
            Err(error) => return Ok(Err(error)),
        };
        for message in asked.messages {
            let mut parts = Vec::new();
            for part in message.parts {
                parts.push(self.part(part).await?);
            }
            let role = match message.role.as_str() {
                "system" => {
                    let texts = parts.into_iter().filter_map(|part| match part {
                        Part::Text(text) => Some(text),
                        Part::Image(_) | Part::Document(_) | Part::Video(_) | Part::Audio(_) => {
                            None
                        }
                    });
                    request.system = Some(texts.collect::<Vec<_>>().join("\n"));
                    continue;
                }
                "user" => Role::User,
                "assistant" => Role::Assistant,
                other => {
                    let message = format!("`{other}` is no role: system, user or assistant");
                    return Ok(Err(error("unsupported", message)));
                }
            };
            request.messages.push(Message { role, parts });
        }
        Ok(Ok(request))
    }

    async fn part(&mut self, part: GuestPart) -> wasmtime::Result<Part> {
        let artifact = match part.body {
            Body::Text(text) => return Ok(Part::Text(text)),
            Body::Artifact(file) => self.table.get(&file).map_err(of_table)?.artifact.clone(),
            Body::Bytes(bytes) => {
                let name = part.name.unwrap_or_else(|| "part".into());
                let Some(intake) = &self.files.intake else {
                    return Err(wasmtime::Error::msg("there are no files here"));
                };
                let kept = intake.keep(bytes, &name).await;
                let mut kept = kept.map_err(|failure| wasmtime::Error::msg(failure.message))?;
                if kept.media_type == "application/octet-stream" {
                    kept.media_type = part.media_type;
                }
                kept
            }
        };
        let family = artifact.media_type.split('/').next().unwrap_or_default().to_owned();
        let media = Media { file: MediaFile::Artifact(artifact), options: BTreeMap::new() };
        Ok(match family.as_str() {
            "image" => Part::Image(media),
            "video" => Part::Video(media),
            "audio" => Part::Audio(media),
            _ => Part::Document(media),
        })
    }

    /// A handle of a file, for the guest.
    pub(crate) fn handle(&mut self, artifact: ArtifactRef) -> wasmtime::Result<Resource<Opened>> {
        self.files.known.push(artifact.clone());
        self.table.push(Opened { artifact }).map_err(of_table)
    }
}

/// A request with what `params` say. Unknown ones are refused: what is asked for and not done
/// would be a wrong answer.
fn with_params(params: Map<String, Value>) -> Result<Request, Error> {
    let mut request = Request::default();
    for (key, value) in params {
        match key.as_str() {
            "temperature" => request.temperature = value.as_f64(),
            "top_p" => request.top_p = value.as_f64(),
            "max_tokens" => request.max_tokens = value.as_u64(),
            "seed" => request.seed = value.as_i64(),
            "detail" => request.detail = value.as_str().map(str::to_owned),
            "schema" => request.schema = Some(value).filter(|schema| !schema.is_null()),
            "stop" => {
                request.stop = match value {
                    Value::String(text) => vec![text],
                    Value::Array(texts) => {
                        texts.iter().filter_map(Value::as_str).map(str::to_owned).collect()
                    }
                    _ => Vec::new(),
                }
            }
            "options" => match value {
                Value::Object(options) => request.options = options.into_iter().collect(),
                _ => return Err(error("invalid-input", "`options` is a JSON object")),
            },
            _ => return Err(error("unsupported", format!("`params` has no `{key}`"))),
        }
    }
    Ok(request)
}

/// A request as a provider plugin is given it. Files of it are handles.
pub(crate) fn chat_request(
    guest: &mut Guest,
    request: &Request,
) -> wasmtime::Result<chat::Request> {
    let mut messages = Vec::new();
    if let Some(system) = &request.system {
        messages.push(chat::Message { role: "system".into(), parts: vec![text(system)] });
    }
    for message in &request.messages {
        let role = match message.role {
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        let parts = message.parts.iter().map(|part| guest_part(guest, part));
        let parts = parts.collect::<wasmtime::Result<_>>()?;
        messages.push(chat::Message { role: role.into(), parts });
    }
    let mut params = Map::new();
    let mut set = |key: &str, value: Value| {
        if !value.is_null() {
            params.insert(key.into(), value);
        }
    };
    set("temperature", json!(request.temperature));
    set("top_p", json!(request.top_p));
    set("max_tokens", json!(request.max_tokens));
    set("seed", json!(request.seed));
    set("detail", json!(request.detail));
    set("schema", json!(request.schema));
    if !request.stop.is_empty() {
        set("stop", json!(request.stop));
    }
    if !request.options.is_empty() {
        set("options", json!(request.options));
    }
    let params = Value::Object(params).to_string();
    Ok(chat::Request { model: request.model.clone(), messages, params })
}

fn text(text: &str) -> GuestPart {
    GuestPart { media_type: "text/plain".into(), name: None, body: Body::Text(text.into()) }
}

fn guest_part(guest: &mut Guest, part: &Part) -> wasmtime::Result<GuestPart> {
    let media = match part {
        Part::Text(said) => return Ok(text(said)),
        Part::Image(media) | Part::Document(media) | Part::Video(media) | Part::Audio(media) => {
            media
        }
    };
    Ok(match &media.file {
        MediaFile::Artifact(artifact) => GuestPart {
            media_type: artifact.media_type.clone(),
            name: Some(artifact.name.clone()),
            body: Body::Artifact(guest.handle(artifact.clone())?),
        },
        // The kind of a file elsewhere is not known here; its address says where it is.
        MediaFile::Url(url) => GuestPart {
            media_type: "text/uri-list".into(),
            name: None,
            body: Body::Text(url.clone()),
        },
        MediaFile::Uploaded { id, media_type } => GuestPart {
            media_type: "text/uri-list".into(),
            name: media_type.clone(),
            body: Body::Text(id.clone()),
        },
    })
}

/// The text of what a provider plugin answered.
pub(crate) fn read_answer(response: &chat::Response) -> Option<String> {
    let mut all = String::new();
    for part in &response.message.parts {
        match &part.body {
            Body::Text(text) => all.push_str(text),
            Body::Bytes(bytes) => all.push_str(std::str::from_utf8(bytes).ok()?),
            Body::Artifact(_) => return None,
        }
    }
    Some(all)
}
