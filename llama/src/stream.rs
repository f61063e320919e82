//! From the bytes of tokens to text that may be told.
//!
//! A letter may be spread over tokens, and a text that ends the answer over several: what
//! could still become either is held back. What is told is never taken back.

/// Text that comes in pieces of bytes.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// Bytes of a letter that is not whole.
    bytes: Vec<u8>,
    /// Text that may be the beginning of a text that ends the answer.
    held: String,
    stops: Vec<String>,
}

/// What a piece adds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// Text that may be told now.
    pub(crate) text: String,
    /// Whether a text that ends the answer has come; nothing after it counts.
    pub(crate) ended: bool,
}

impl Stream {
    /// Text that ends where one of these comes; an empty one never does.
    pub(crate) fn ending_at(stops: Vec<String>) -> Self {
        let stops = stops.into_iter().filter(|stop| !stop.is_empty()).collect();
        Self { stops, ..Self::default() }
    }

    /// Takes the bytes of a token.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Told {
        self.bytes.extend_from_slice(bytes);
        self.decode();
        if let Some(at) = self.stops.iter().filter_map(|stop| self.held.find(stop)).min() {
            self.held.truncate(at);
            return Told { text: std::mem::take(&mut self.held), ended: true };
        }
        let kept = self.stops.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - kept);
        Told { text: std::mem::replace(&mut self.held, rest), ended: false }
    }

    /// What was held back, when nothing more comes. Bytes that are no letter become the sign
    /// for that.
    pub(crate) fn rest(&mut self) -> String {
        let bytes = std::mem::take(&mut self.bytes);
        self.held.push_str(&String::from_utf8_lossy(&bytes));
        std::mem::take(&mut self.held)
    }

    /// Moves the letters that are whole to the text.
    fn decode(&mut self) {
        loop {
            match std::str::from_utf8(&self.bytes) {
                Ok(text) => {
                    self.held.push_str(text);
                    return self.bytes.clear();
                }
                Err(error) => {
                    let (good, bad) = (error.valid_up_to(), error.error_len());
                    self.held.push_str(&String::from_utf8_lossy(&self.bytes[..good]));
                    let Some(bad) = bad else {
                        self.bytes.drain(..good);
                        return;
                    };
                    self.held.push(char::REPLACEMENT_CHARACTER);
                    self.bytes.drain(..good + bad);
                }
            }
        }
    }
}

/// How many bytes at the end of a text begin another one.
fn overlap(text: &str, stop: &str) -> usize {
    let most = text.len().min(stop.len().saturating_sub(1));
    (1..=most)
        .rev()
        .find(|length| stop.is_char_boundary(*length) && text.ends_with(&stop[..*length]))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(pieces: &[&[u8]], stops: &[&str]) -> (Vec<String>, bool) {
        let mut stream = Stream::ending_at(stops.iter().map(|stop| (*stop).to_owned()).collect());
        let mut told = Vec::new();
        for piece in pieces {
            let Told { text, ended } = stream.take(piece);
            told.push(text);
            if ended {
                return (told, true);
            }
        }
        told.push(stream.rest());
        (told, false)
    }

    #[test]
    fn a_letter_that_is_spread_over_tokens_is_told_whole() {
        let (told, _) = all(&[b"gr\xc3", b"\xbc", b"n \xf0\x9f", b"\x8d\x8e"], &[]);
        assert_eq!(told, ["gr", "ü", "n ", "🍎", ""]);
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_such() {
        assert_eq!(all(&[b"a\xffb", b"\xc3"], &[]).0.concat(), "a\u{fffd}b\u{fffd}");
    }

    #[test]
    fn what_may_become_a_stop_is_held_back_and_told_if_it_does_not() {
        assert_eq!(all(&[b"one E", b"N", b"T"], &["END"]).0, ["one ", "", "ENT", ""]);
        assert_eq!(
            all(&[b"one E", b"N", b"D two"], &["END"]),
            (vec!["one ".into(), String::new(), String::new()], true)
        );
        assert_eq!(all(&[b"one\n"], &["\n\n"]).0, ["one", "\n"]);
    }

    #[test]
    fn the_first_of_several_stops_counts() {
        assert_eq!(all(&[b"a;b.c"], &[".", ";"]), (vec!["a".into()], true));
    }

    proptest! {
        /// However a text is cut into tokens, the same is told.
        #[test]
        fn cuts_make_no_difference(text in "[abü🍎E]{0,20}", cuts in prop::collection::vec(0..40_usize, 0..6)) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect();
            let stops = ["üb", "Ea", "🍎🍎"];
            let first = stops.iter().filter_map(|stop| text.find(stop)).min();
            let (told, ended) = all(&pieces, &stops);
            prop_assert_eq!(ended, first.is_some());
            prop_assert_eq!(told.concat(), &text[..first.unwrap_or(text.len())]);
        }
    }
}
