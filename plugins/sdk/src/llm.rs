//! Questions to models of the workflow. Needs the grant `models`.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::bindings::base::flow::plugin::chat::{Message, Request};
use crate::bindings::base::flow::plugin::content::{Body, Part};
use crate::bindings::base::flow::plugin::llm;
use crate::{Error, File, Result};

/// A question that is being put together.
#[derive(Debug)]
pub struct Question {
    model: String,
    messages: Vec<Message>,
    params: Value,
}

/// A question to a model, which the workflow calls so.
pub fn ask(model: &str, prompt: &str) -> Question {
    let messages = vec![message("user", text(prompt))];
    Question { model: model.to_owned(), messages, params: json!({}) }
}

impl Question {
    /// With instructions before it.
    #[must_use]
    pub fn system(mut self, instructions: &str) -> Self {
        self.messages.insert(0, message("system", text(instructions)));
        self
    }

    /// With a file of the call behind it.
    #[must_use]
    pub fn file(mut self, file: &File) -> Self {
        // A handle is the call's own; the model is given the bytes.
        if let (Ok(bytes), Some(last)) = (file.bytes(), self.messages.last_mut()) {
            let (media_type, name) = (file.media_type(), Some(file.name()));
            last.parts.push(Part { media_type, name, body: Body::Bytes(bytes) });
        }
        self
    }

    /// With a parameter: `temperature`, `top_p`, `max_tokens`, `stop`, `seed`, `schema`.
    #[must_use]
    pub fn param(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.params[name] = value.into();
        self
    }

    /// Asks it: the text of the answer.
    pub fn text(self) -> Result<String> {
        let params = self.params.to_string();
        let request = Request { model: self.model, messages: self.messages, params };
        let answer = llm::complete(request).map_err(Error::of_host)?;
        Ok(answer.message.parts.into_iter().filter_map(said).collect())
    }

    /// Asks it for data.
    pub fn json<T: DeserializeOwned + schemars::JsonSchema>(self) -> Result<T> {
        let text = self.param("schema", crate::glue::schema_of::<T>()).text()?;
        Ok(serde_json::from_str(&text)?)
    }
}

fn message(role: &str, part: Part) -> Message {
    Message { role: role.to_owned(), parts: vec![part] }
}

fn text(text: &str) -> Part {
    Part { media_type: "text/plain".into(), name: None, body: Body::Text(text.into()) }
}

fn said(part: Part) -> Option<String> {
    match part.body {
        Body::Text(text) => Some(text),
        Body::Bytes(bytes) => String::from_utf8(bytes).ok(),
        Body::Artifact(_) => None,
    }
}
