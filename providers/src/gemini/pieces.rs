//! Putting an answer together from its pieces, each of which looks like an answer.

use super::fault::fault;
use super::read;
use super::wire::Answer;
use crate::http::Event;
use crate::service::{Fault, Finish, Pieces as Reads, Tokens, Told, cut_off, parse};

/// An answer as far as it has come.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    told: Told,
    /// Whether a reason why it ended has come: there is no other sign of the end.
    ended: bool,
}

impl Reads for Pieces {
    fn take(&mut self, event: &Event) -> Result<String, Fault> {
        let piece: Answer = parse(event.data.as_bytes())?;
        if let Some(error) = piece.error {
            return Err(fault(error));
        }
        // Counts are sums so far.
        if let Some(usage) = &piece.usage_metadata {
            self.told.tokens = read::tokens(usage);
        }
        self.told.model = piece.model_version.or(self.told.model.take());
        let Some(candidate) = piece.candidates.into_iter().next() else {
            if let Some(feedback) = piece.prompt_feedback {
                self.end(read::blocked(feedback));
            }
            return Ok(String::new());
        };
        if candidate.finish_reason.is_some() {
            self.end(read::finish(&candidate));
        }
        let text = read::text(&candidate);
        self.told.text.push_str(&text);
        Ok(text)
    }

    fn finish(&mut self) -> Result<Told, Fault> {
        if self.ended { Ok(std::mem::take(&mut self.told)) } else { Err(cut_off()) }
    }

    fn tokens(&self) -> Tokens {
        self.told.tokens
    }
}

impl Pieces {
    fn end(&mut self, finish: Finish) {
        self.told.finish = finish;
        self.ended = true;
    }
}

#[cfg(test)]
mod tests {
    use flow_core::error::ErrorClass;

    use super::*;

    fn taken(pieces: &mut Pieces, data: &str) -> Result<String, Fault> {
        pieces.take(&Event { name: String::new(), data: data.into() })
    }

    #[test]
    fn the_end_is_where_a_reason_came_and_counts_may_follow() {
        let mut pieces = Pieces::default();
        let first =
            r#"{"candidates":[{"content":{"parts":[{"text":"A red"}]}}],"modelVersion":"m"}"#;
        assert_eq!(taken(&mut pieces, first).unwrap(), "A red");
        assert_eq!(pieces.finish().unwrap_err().class, ErrorClass::Connection);
        let last = r#"{"candidates":[{"content":{"parts":[{"text":"."}]},"finishReason":"STOP"}]}"#;
        assert_eq!(taken(&mut pieces, last).unwrap(), ".");
        let counts = r#"{"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2}}"#;
        assert_eq!(taken(&mut pieces, counts).unwrap(), "");
        let told = pieces.finish().unwrap();
        assert_eq!((told.text.as_str(), told.finish), ("A red.", Finish::Stop));
        assert_eq!((told.tokens.input, told.tokens.output), (Some(3), Some(2)));
        assert_eq!(told.model.as_deref(), Some("m"));
    }

    #[test]
    fn a_block_and_an_error_in_the_stream_are_told() {
        let mut pieces = Pieces::default();
        taken(&mut pieces, r#"{"promptFeedback":{"blockReason":"OTHER"}}"#).unwrap();
        let blocked = Finish::Filtered("the prompt was blocked: OTHER".into());
        assert_eq!(pieces.finish().unwrap().finish, blocked);

        let error = r#"{"error":{"code":503,"message":"busy","status":"UNAVAILABLE"}}"#;
        let fault = taken(&mut Pieces::default(), error).unwrap_err();
        assert_eq!(fault.class, ErrorClass::Overloaded);
        assert_eq!(fault.message, "UNAVAILABLE: busy");
    }
}
