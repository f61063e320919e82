//! Chat completions that come in pieces.

use super::chat::{finish, tokens};
use super::fault;
use super::wire::Completion;
use crate::http::Event;
use crate::service::{Fault, Pieces, Tokens, Told, cut_off, parse};

/// Reads the chunks of a stream.
///
/// The last word is `[DONE]`; some servers leave it out, and then the reason for the end of
/// the answer is enough.
#[derive(Default)]
pub(super) struct ChatPieces {
    told: Told,
    refusal: String,
    reason: Option<String>,
    done: bool,
}

impl Pieces for ChatPieces {
    fn take(&mut self, event: &Event) -> Result<String, Fault> {
        if event.data == "[DONE]" {
            self.done = true;
            return Ok(String::new());
        }
        let chunk: Completion = parse(event.data.as_bytes())?;
        if let Some(error) = &chunk.error {
            return Err(fault::of_error(200, error));
        }
        if let Some(usage) = chunk.usage {
            self.told.tokens = tokens(usage);
        }
        if chunk.model.is_some() {
            self.told.model = chunk.model;
        }
        let Some(choice) = chunk.choices.into_iter().flatten().next() else {
            return Ok(String::new());
        };
        if choice.finish_reason.is_some() {
            self.reason = choice.finish_reason;
        }
        self.refusal.extend(choice.message.refusal);
        let added = choice.message.content.unwrap_or_default();
        self.told.text.push_str(&added);
        Ok(added)
    }

    fn finish(&mut self) -> Result<Told, Fault> {
        if !self.done && self.reason.is_none() {
            return Err(cut_off());
        }
        let refusal = std::mem::take(&mut self.refusal);
        self.told.finish = finish(self.reason.as_deref(), Some(refusal));
        Ok(std::mem::take(&mut self.told))
    }

    fn tokens(&self) -> Tokens {
        self.told.tokens
    }
}
