//! Fences around parsers that others wrote.
//!
//! A document comes from anybody, and a parser of its format is large. Each call into
//! one runs on a thread of its own, because only a thread gives all three: a panic ends
//! that thread and not the program; the stack has a size chosen here, so that nesting
//! that is fine on the main thread does not overflow the small stack of a runtime's
//! worker; and the caller can stop waiting. What a thread cannot do is be killed: a
//! parser that overran its time keeps its core until it ends on its own.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::error::Fault;

/// Stack of a parser's thread. Pages are mapped as they are touched, so that the size
/// costs address space only; parsers here limit nesting to a few hundred levels.
const STACK: usize = 64 << 20;

/// Name of a parser's thread. A panic there is an error of the document, and reported so.
pub const PARSER_THREAD: &str = "document-parser";

/// Runs a parser fenced off from the program, for `limit` at most.
///
/// `doing` names the work in the message of the error: "reading the text of page 3".
pub(crate) fn fenced<T, F>(doing: &'static str, limit: Duration, work: F) -> Result<T, Fault>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, Fault> + Send + 'static,
{
    let (done, outcome) = mpsc::sync_channel(1);
    let parser =
        thread::Builder::new().name(PARSER_THREAD.into()).stack_size(STACK).spawn(move || {
            // Nobody listens any more when the time was up.
            let _ = done.send(work());
        });
    if parser.is_err() {
        return Err(Fault::Crashed { doing });
    }
    match outcome.recv_timeout(limit) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => Err(Fault::TimedOut { doing, seconds: limit.as_secs() }),
        // The sender was dropped without a word: the parser panicked.
        Err(RecvTimeoutError::Disconnected) => Err(Fault::Crashed { doing }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_in_a_parser_is_an_error() {
        let outcome: Result<(), Fault> =
            fenced("reading", Duration::from_secs(5), || panic!("a parser's own bug"));
        let error = outcome.expect_err("it panicked").of("a.pdf");
        assert_eq!(error.to_string(), "a.pdf: the reader crashed while reading");
    }

    #[test]
    fn a_parser_that_never_ends_is_left_behind() {
        let (_keep, forever) = mpsc::channel::<()>();
        let outcome: Result<(), Fault> =
            fenced("drawing a page", Duration::from_millis(20), move || {
                let _ = forever.recv();
                Ok(())
            });
        let error = outcome.expect_err("it hangs").of("a.pdf");
        assert_eq!(
            error.to_string(),
            "a.pdf: drawing a page took longer than the 0 seconds allowed"
        );
    }

    #[test]
    fn deep_recursion_fits_the_stack() {
        fn deep(levels: usize) -> usize {
            let frame = std::hint::black_box([levels; 128]);
            if levels == 0 { 0 } else { 1 + deep(frame[7] - 1) }
        }
        let outcome = fenced("reading", Duration::from_secs(5), || Ok(deep(10_000)));
        assert_eq!(outcome, Ok(10_000));
    }
}
