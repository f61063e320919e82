//! Putting an answer together from its pieces.

use std::collections::BTreeMap;

use serde_json::Value;

use super::read;
use super::wire::{Answer, Given, Piece, Usage};
use crate::http::Event;
use crate::service::{Fault, Pieces as Reads, Tokens, Told, cut_off, parse};

/// An answer as far as it has come.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    /// What the stream began with; the reason why it ended is added.
    answer: Answer,
    /// The parts by their number. A tool's input is held as text until it is whole.
    parts: BTreeMap<u64, Given>,
    ended: bool,
}

impl Reads for Pieces {
    fn take(&mut self, event: &Event) -> Result<String, Fault> {
        let piece: Piece = parse(event.data.as_bytes())?;
        if let Some(error) = piece.error {
            return Err(read::fault(error, None));
        }
        if let Some(usage) = piece.usage {
            self.count(usage);
        }
        match piece.kind.as_str() {
            "message_start" => self.answer = piece.message.unwrap_or_default(),
            "content_block_start" => {
                let part = piece.content_block.unwrap_or_default();
                let text = part.text.clone();
                self.parts.insert(piece.index, part);
                return Ok(text);
            }
            "content_block_delta" => {
                let part = self.parts.entry(piece.index).or_default();
                let (kind, more) = match piece.delta.kind.as_str() {
                    "text_delta" => ("text", piece.delta.text),
                    "input_json_delta" => ("tool_use", piece.delta.partial_json),
                    // Thoughts, their signatures, citations.
                    _ => return Ok(String::new()),
                };
                // What was heard is part of the answer, whatever was announced.
                if part.kind.is_empty() {
                    kind.clone_into(&mut part.kind);
                }
                part.text.push_str(&more);
                return Ok(more);
            }
            "message_delta" => {
                self.answer.stop_reason = piece.delta.stop_reason;
                self.answer.stop_details = piece.delta.stop_details;
            }
            "message_stop" => self.ended = true,
            // `ping`, `content_block_stop`, and what is yet to be invented.
            _ => {}
        }
        Ok(String::new())
    }

    fn finish(&mut self) -> Result<Told, Fault> {
        if !self.ended {
            return Err(cut_off());
        }
        let mut answer = std::mem::take(&mut self.answer);
        answer.content = std::mem::take(&mut self.parts).into_values().map(whole).collect();
        Ok(read::told(answer))
    }

    fn tokens(&self) -> Tokens {
        read::tokens(&self.answer.usage)
    }
}

impl Pieces {
    /// Takes counts in: each is the sum so far, and one that is left out did not change.
    fn count(&mut self, more: Usage) {
        let usage = &mut self.answer.usage;
        for (count, more) in [
            (&mut usage.input_tokens, more.input_tokens),
            (&mut usage.cache_creation_input_tokens, more.cache_creation_input_tokens),
            (&mut usage.cache_read_input_tokens, more.cache_read_input_tokens),
            (&mut usage.output_tokens, more.output_tokens),
        ] {
            *count = more.or(*count);
        }
        usage.output_tokens_details = more.output_tokens_details.or(usage.output_tokens_details);
    }
}

/// A part that is whole: the input of a tool is read. One that was cut off in the middle stays
/// the text it is, so that it is told and not lost.
fn whole(mut part: Given) -> Given {
    if part.kind == "tool_use" && !part.text.is_empty() {
        match serde_json::from_str(&part.text) {
            Ok(input) => {
                part.input = input;
                part.text.clear();
            }
            Err(_) => part.input = Value::String(part.text.clone()),
        }
    }
    part
}

#[cfg(test)]
mod tests {
    use flow_core::error::ErrorClass;
    use serde_json::json;

    use super::*;
    use crate::service::Finish;

    fn take(pieces: &mut Pieces, data: &Value) -> Result<String, Fault> {
        pieces.take(&Event { name: String::new(), data: data.to_string() })
    }

    fn start() -> Pieces {
        let mut pieces = Pieces::default();
        let usage = json!({ "input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 1 });
        let message = json!({ "model": "m", "content": [], "stop_reason": null, "usage": usage });
        take(&mut pieces, &json!({ "type": "message_start", "message": message })).unwrap();
        pieces
    }

    fn end(pieces: &mut Pieces, reason: &str) -> Told {
        for data in [
            json!({ "type": "content_block_stop", "index": 0 }),
            json!({
                "type": "message_delta", "delta": { "stop_reason": reason },
                "usage": { "output_tokens": 20 },
            }),
            json!({ "type": "message_stop" }),
        ] {
            take(pieces, &data).unwrap();
        }
        pieces.finish().unwrap()
    }

    #[test]
    fn text_is_told_as_it_comes_and_counts_are_the_last() {
        let mut pieces = start();
        let mut told = String::new();
        for data in [
            json!({ "type": "ping" }),
            json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "A" } }),
            json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": " red" } }),
            json!({ "type": "content_block_delta", "index": 1, "delta": { "type": "thinking_delta", "thinking": "…" } }),
            json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": " square" } }),
            json!({ "type": "something_new" }),
        ] {
            told.push_str(&take(&mut pieces, &data).unwrap());
        }
        assert_eq!(told, "A red square");
        let told = end(&mut pieces, "end_turn");
        assert_eq!((told.text.as_str(), told.finish), ("A red square", Finish::Stop));
        let expected =
            Tokens { input: Some(15), cache_read: 5, output: Some(20), ..Tokens::default() };
        assert_eq!(told.tokens, expected);
    }

    fn called(pieces: &[&str], reason: &str) -> Told {
        let mut all = start();
        let block = json!({ "type": "tool_use", "id": "t", "name": "answer_value", "input": {} });
        take(
            &mut all,
            &json!({ "type": "content_block_start", "index": 0, "content_block": block }),
        )
        .unwrap();
        for piece in pieces {
            let delta = json!({ "type": "input_json_delta", "partial_json": piece });
            let data = json!({ "type": "content_block_delta", "index": 0, "delta": delta });
            assert_eq!(take(&mut all, &data).unwrap(), *piece);
        }
        end(&mut all, reason)
    }

    #[test]
    fn the_input_of_a_tool_is_put_together_and_read_at_the_end() {
        let told = called(&["", "{\"value\": [\"sq", "uare\"]}"], "tool_use");
        assert_eq!((told.text.as_str(), told.finish), (r#"["square"]"#, Finish::Stop));
        let told = called(&["{\"value\": [\"sq"], "max_tokens");
        assert_eq!((told.text.as_str(), told.finish), ("{\"value\": [\"sq", Finish::Length));
    }

    #[test]
    fn an_error_in_the_stream_is_one_and_an_early_end_too() {
        let mut pieces = start();
        let error = json!({ "type": "overloaded_error", "message": "Overloaded" });
        let fault = take(&mut pieces, &json!({ "type": "error", "error": error })).unwrap_err();
        assert_eq!(fault.class, ErrorClass::Overloaded);
        assert_eq!(fault.message, "overloaded_error: Overloaded");
        assert_eq!(pieces.tokens().input, Some(15));
        assert_eq!(pieces.finish().unwrap_err().class, ErrorClass::Connection);
    }
}
