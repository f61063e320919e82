//! Reading an answer, and what went wrong.

use flow_core::error::ErrorClass;
use serde_json::Value;

use super::wire::{Answer, Tags, Vectors};
use crate::http::{Event, Reply};
use crate::service::{
    Fault, Finish, Listed, Pieces, Tokens, Told, class_of_status, cut_off, fault_of_status, parse,
};

/// Reads an answer that came whole.
pub(super) fn answer(body: &[u8]) -> Result<Told, Fault> {
    let answer: Answer = parse(body)?;
    if let Some(error) = &answer.error {
        return Err(fault(None, said(error)));
    }
    if !answer.done {
        return Err(cut_off());
    }
    let (finish, tokens) = (finish(answer.done_reason.as_deref()), tokens(&answer));
    Ok(Told { text: answer.message.content, finish, tokens, model: answer.model })
}

/// Reads an answer that comes in lines.
#[derive(Default)]
pub(super) struct Lines {
    text: String,
    told: Option<Told>,
}

impl Pieces for Lines {
    fn take(&mut self, event: &Event) -> Result<String, Fault> {
        let line: Answer = parse(event.data.as_bytes())?;
        if let Some(error) = &line.error {
            return Err(fault(None, said(error)));
        }
        self.text.push_str(&line.message.content);
        if line.done {
            let (finish, tokens) = (finish(line.done_reason.as_deref()), tokens(&line));
            let text = String::new();
            self.told = Some(Told { text, finish, tokens, model: line.model });
        }
        Ok(line.message.content)
    }

    fn finish(&mut self) -> Result<Told, Fault> {
        let told = self.told.take().ok_or_else(cut_off)?;
        Ok(Told { text: std::mem::take(&mut self.text), ..told })
    }

    fn tokens(&self) -> Tokens {
        self.told.as_ref().map_or_else(Tokens::default, |told| told.tokens)
    }
}

fn finish(reason: Option<&str>) -> Finish {
    match reason {
        None | Some("stop") => Finish::Stop,
        Some("length") => Finish::Length,
        // `load` and `unload`: the model was moved in or out of memory, and said nothing.
        Some(other) => Finish::Other(other.to_owned()),
    }
}

/// The tokens of an answer that has ended; what is left out is 0.
fn tokens(answer: &Answer) -> Tokens {
    Tokens {
        input: Some(answer.prompt_eval_count.unwrap_or(0)),
        output: Some(answer.eval_count.unwrap_or(0)),
        ..Tokens::default()
    }
}

/// Classifies an answer whose status is no success.
pub(super) fn refusal(reply: &Reply) -> Fault {
    let body = serde_json::from_slice::<Value>(&reply.body).ok();
    match body.as_ref().and_then(|body| body.get("error")) {
        Some(error) => fault(Some(reply.status), said(error)),
        // Whatever answers there may be no Ollama at all.
        None => fault_of_status(reply),
    }
}

/// Classifies an error by what Ollama says, then by the status, which an error within a
/// success does not have.
fn fault(status: Option<u16>, said: String) -> Fault {
    let words = said.to_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
    let may_be_missing = matches!(status, None | Some(404));
    if may_be_missing && words.contains("model") && words.contains("not found") {
        let name = quoted(&said).map(|name| format!("`ollama pull {name}` fetches it"));
        let fault = Fault::new(ErrorClass::NotFound, said);
        return Fault { hint: name, ..fault };
    }
    if has(&["image input", "not support image", "not support vision"]) {
        return Fault::new(ErrorClass::BadRequest, said)
            .with_hint("take a model that sees, e.g. `llava:13b`");
    }
    if has(&["requires more system memory", "out of memory"]) {
        return Fault::new(ErrorClass::BadRequest, said)
            .with_hint("take a smaller model, or a smaller `options: { num_ctx: … }`");
    }
    if has(&["usage limit", "upgrade"]) && status == Some(429) {
        return Fault::new(ErrorClass::Quota, said);
    }
    if has(&["server busy", "maximum pending requests"]) {
        return Fault::new(ErrorClass::Overloaded, said);
    }
    if has(&["context length", "exceeds the available context"]) {
        return Fault::new(ErrorClass::TooLarge, said)
            .with_hint("raise `options: { num_ctx: … }`, or send less");
    }
    let class = status.map_or(ErrorClass::Server, class_of_status);
    Fault::new(class, said)
}

/// The model that a message names.
fn quoted(message: &str) -> Option<&str> {
    let mark = message.find(['"', '\'', '`'])?;
    let rest = &message[mark + 1..];
    let end = rest.find(['"', '\'', '`'])?;
    Some(&rest[..end]).filter(|name| !name.is_empty())
}

/// An error in Ollama's own words; servers that speak like it put them a level deeper.
fn said(error: &Value) -> String {
    match (error.as_str(), error["message"].as_str()) {
        (Some(text), _) | (None, Some(text)) => text.to_owned(),
        (None, None) => error.to_string(),
    }
}

/// Reads the models there are.
pub(super) fn models(body: &[u8]) -> Result<Listed, Fault> {
    let tags: Tags = parse(body)?;
    Ok(Listed { models: tags.models.into_iter().map(|tag| tag.name).collect(), next: None })
}

/// Reads vectors, in the order of the texts.
pub(super) fn vectors(body: &[u8]) -> Result<(Vec<Vec<f32>>, Tokens), Fault> {
    let vectors: Vectors = parse(body)?;
    if let Some(error) = &vectors.error {
        return Err(fault(None, said(error)));
    }
    let input = Some(vectors.prompt_eval_count.unwrap_or(0));
    Ok((vectors.embeddings, Tokens { input, output: Some(0), ..Tokens::default() }))
}
