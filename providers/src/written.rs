//! What a model writes, while it writes it: pieces for whoever watches, lines for the log.

use std::sync::{Mutex, PoisonError};

use flow_core::action::LogSink;

/// The longest line of the log, in bytes; a longer one is told in several.
const LONGEST_LINE: usize = 4096;

/// Passes text on as it comes.
pub(crate) struct Written<'a> {
    text: &'a LogSink,
    log: &'a LogSink,
    /// The line that is not full yet.
    line: Mutex<String>,
}

impl<'a> Written<'a> {
    /// Passes pieces to `text` and full lines to `log`.
    pub(crate) fn new(text: &'a LogSink, log: &'a LogSink) -> Self {
        Self { text, log, line: Mutex::default() }
    }

    /// Takes the next piece.
    pub(crate) fn take(&self, piece: &str) {
        (self.text)(piece);
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        for part in piece.split_inclusive('\n') {
            line.push_str(part);
            if part.ends_with('\n') || line.len() >= LONGEST_LINE {
                self.tell(&mut line);
            }
        }
    }

    /// Tells the log what is left.
    pub(crate) fn end(&self) {
        self.tell(&mut self.line.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn tell(&self, line: &mut String) {
        let text = line.trim_end();
        if !text.is_empty() {
            (self.log)(text);
        }
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn noting() -> (LogSink, Arc<Mutex<Vec<String>>>) {
        let notes = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&notes);
        (Arc::new(move |text: &str| kept.lock().unwrap().push(text.to_owned())), notes)
    }

    #[test]
    fn pieces_are_passed_on_at_once_and_lines_when_they_are_full() {
        let ((text, pieces), (log, lines)) = (noting(), noting());
        let written = Written::new(&text, &log);
        for piece in ["one", " line\n\ntwo", "\r\nthr", "ee"] {
            written.take(piece);
        }
        assert_eq!(*lines.lock().unwrap(), ["one line", "two"]);
        written.end();
        assert_eq!(*lines.lock().unwrap(), ["one line", "two", "three"]);
        assert_eq!(pieces.lock().unwrap().concat(), "one line\n\ntwo\r\nthree");
    }

    #[test]
    fn a_line_without_an_end_is_told_in_parts() {
        let ((text, _), (log, lines)) = (noting(), noting());
        let written = Written::new(&text, &log);
        for _ in 0..3 * LONGEST_LINE {
            written.take("x");
        }
        written.end();
        let lengths: Vec<_> = lines.lock().unwrap().iter().map(String::len).collect();
        assert_eq!(lengths, [LONGEST_LINE; 3]);
    }
}
