//! Keeping secrets out of what is kept.
//!
//! Whatever a provider says passes through here before it reaches a log, an error or the
//! store: each secret that its settings name is replaced, wherever it stands and however it is
//! spelled: as it is, with any of JSON's escapes (also of JSON within JSON), or as in a URL.

/// The shortest text that is taken for a secret: replacing less would garble every answer.
const SHORTEST: usize = 4;

/// The most backslashes that are taken for one escape: JSON five deep.
const DEEPEST: usize = 31;

/// What stands in a secret's place.
const REPLACEMENT: &[u8] = b"[secret]";

/// Replaces secrets.
#[derive(Clone, Default)]
pub(crate) struct Redactor(Vec<String>);

impl Redactor {
    /// Replaces these secrets, the longest first, so that none hides within another.
    pub(crate) fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let mut redactor = Self::default();
        secrets.into_iter().for_each(|secret| redactor.add(secret));
        redactor
    }

    /// Replaces one more secret.
    pub(crate) fn add(&mut self, secret: String) {
        if secret.len() >= SHORTEST && !self.0.contains(&secret) {
            self.0.push(secret);
            self.0.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        }
    }

    /// Whether it knows no secret.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes without the secrets.
    pub(crate) fn bytes(&self, bytes: Vec<u8>) -> Vec<u8> {
        self.0.iter().fold(bytes, |bytes, secret| without(bytes, secret))
    }

    /// The text without the secrets.
    pub(crate) fn text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.bytes(text.as_bytes().to_vec())).into_owned()
    }

    /// Takes a text that comes in pieces.
    pub(crate) fn pieces(&self) -> Pieces<'_> {
        Pieces { redactor: self, held: String::new() }
    }

    /// Where the first secret begins of which the text may hold only the start.
    fn cut_at(&self, text: &str) -> usize {
        let longest = self.0.first().map_or(0, String::len) * (DEEPEST + 6);
        let from = text.floor_char_boundary(text.len().saturating_sub(longest));
        let (bytes, mut past) = (text.as_bytes(), from);
        for (at, _) in text[from..].char_indices().map(|(at, letter)| (from + at, letter)) {
            if at < past {
                continue;
            }
            for secret in &self.0 {
                match spelled(bytes, at, secret) {
                    Spelled::Cut => return at,
                    // More backslashes may follow that belong to its last.
                    Spelled::Till(end) if end == bytes.len() && secret.ends_with('\\') => {
                        return at;
                    }
                    Spelled::Till(end) => past = past.max(end),
                    Spelled::No => {}
                }
            }
        }
        text.len()
    }
}

/// A text that comes in pieces, without secrets, whole ones and those that are cut in two.
pub(crate) struct Pieces<'r> {
    redactor: &'r Redactor,
    held: String,
}

impl Pieces<'_> {
    /// The text that may be told after one more piece.
    pub(crate) fn take(&mut self, piece: &str) -> String {
        self.held.push_str(piece);
        let rest = self.held.split_off(self.redactor.cut_at(&self.held));
        self.redactor.text(&std::mem::replace(&mut self.held, rest))
    }

    /// The text that was held back, when no more comes.
    pub(crate) fn rest(self) -> String {
        self.redactor.text(&self.held)
    }
}

fn without(bytes: Vec<u8>, secret: &str) -> Vec<u8> {
    let Some(first) = secret.bytes().next() else { return bytes };
    let mut kept = Vec::new();
    let (mut from, mut at) = (0, 0);
    while let Some(next) = memchr::memchr3(first, b'\\', b'%', &bytes[at..]) {
        at += next;
        match spelled(&bytes, at, secret) {
            Spelled::Till(end) => {
                kept.extend_from_slice(&bytes[from..at]);
                kept.extend_from_slice(REPLACEMENT);
                (from, at) = (end, end);
            }
            Spelled::No | Spelled::Cut => at += 1,
        }
    }
    if from == 0 {
        return bytes;
    }
    kept.extend_from_slice(&bytes[from..]);
    kept
}

/// Whether a secret begins somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spelled {
    /// It does not.
    No,
    /// What is there may be its start, and nothing follows.
    Cut,
    /// It does, and ends before this.
    Till(usize),
}

/// Reads a secret from `at` on, letter by letter, each in whatever spelling.
fn spelled(bytes: &[u8], at: usize, secret: &str) -> Spelled {
    let mut at = at;
    let mut escaped = false;
    let mut letters = secret.chars().peekable();
    while let Some(letter) = letters.next() {
        if at == bytes.len() {
            return Spelled::Cut;
        }
        if letter == '\\' {
            let mut wanted = 1;
            while letters.next_if_eq(&'\\').is_some() {
                wanted += 1;
            }
            let run = backslashes(&bytes[at..]);
            match () {
                () if run >= wanted => (at, escaped) = (at + run, true),
                () if at + run == bytes.len() => return Spelled::Cut,
                () => return Spelled::No,
            }
            continue;
        }
        match letter_at(bytes, at, letter, escaped) {
            Spelled::Till(end) => (at, escaped) = (end, false),
            other => return other,
        }
    }
    Spelled::Till(at)
}

/// Reads one letter. `escaped` says that backslashes before it were read as the secret's own,
/// of which the last may be this letter's.
fn letter_at(bytes: &[u8], at: usize, letter: char, escaped: bool) -> Spelled {
    let mut buffer = [0; 4];
    let plain = letter.encode_utf8(&mut buffer).as_bytes();
    let rest = &bytes[at..];
    if rest.starts_with(plain) {
        return Spelled::Till(at + plain.len());
    }
    if rest[0] == b'%' {
        return in_a_url(bytes, at, plain);
    }
    let run = backslashes(rest);
    if run == 0 && !escaped {
        return if plain.starts_with(rest) { Spelled::Cut } else { Spelled::No };
    }
    let short = match letter {
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        '\u{8}' => 'b',
        '\u{c}' => 'f',
        other => other,
    };
    let rest = &rest[run..];
    match rest.first() {
        None => Spelled::Cut,
        Some(first) if letter.is_ascii() && *first == short as u8 => Spelled::Till(at + run + 1),
        Some(b'u') => by_number(bytes, at + run, letter),
        Some(_) => Spelled::No,
    }
}

/// Reads `u00e9`, `u{e9}`, or two such units of UTF-16.
fn by_number(bytes: &[u8], at: usize, letter: char) -> Spelled {
    let mut at = at;
    if bytes.get(at + 1) == Some(&b'{') {
        let spelled = format!("u{{{:x}}}", letter as u32);
        return same(bytes, at, spelled.as_bytes());
    }
    for (number, unit) in letter.encode_utf16(&mut [0; 2]).iter().enumerate() {
        if number > 0 {
            at += backslashes(&bytes[at..]);
        }
        match same(bytes, at, format!("u{unit:04x}").as_bytes()) {
            Spelled::Till(end) => at = end,
            other => return other,
        }
    }
    Spelled::Till(at)
}

fn in_a_url(bytes: &[u8], at: usize, plain: &[u8]) -> Spelled {
    let mut at = at;
    for byte in plain {
        match same(bytes, at, format!("%{byte:02x}").as_bytes()) {
            Spelled::Till(end) => at = end,
            other => return other,
        }
    }
    Spelled::Till(at)
}

/// Compares without regard to capitals.
fn same(bytes: &[u8], at: usize, wanted: &[u8]) -> Spelled {
    let there = &bytes[at..bytes.len().min(at + wanted.len())];
    match wanted[..there.len()].eq_ignore_ascii_case(there) {
        false => Spelled::No,
        true if there.len() < wanted.len() => Spelled::Cut,
        true => Spelled::Till(at + wanted.len()),
    }
}

fn backslashes(bytes: &[u8]) -> usize {
    bytes.iter().take(DEEPEST).take_while(|byte| **byte == b'\\').count()
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor({} secrets)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secret_is_replaced_wherever_it_stands() {
        let redactor = Redactor::new(["key-1".to_owned(), "key-1-long".to_owned(), "a".to_owned()]);
        assert_eq!(redactor.text("a key-1, a key-1-longkey-1"), "a [secret], a [secret][secret]");
        assert_eq!(format!("{redactor:?}"), "Redactor(2 secrets)");
    }

    #[test]
    fn a_secret_is_replaced_however_it_is_spelled() {
        let redactor = Redactor::new(["k\"e/y\\é\n".to_owned()]);
        for spelled in [
            "k\"e/y\\é\n",
            r#"k\"e/y\\é\n"#,
            r#"k\"e\/y\\\u00E9\n"#,
            r"\u006b\u0022e\u002Fy\\\u00e9\u000a",
            r#"k\\\"e/y\\\\é\\n"#,
            r#"k\"e/y\\\u{e9}\n"#,
        ] {
            assert_eq!(redactor.text(&format!("<{spelled}>")), "<[secret]>", "{spelled}");
        }
        assert_eq!(Redactor::new(["a+b=".to_owned()]).text("?k=a%2Bb%3d&"), "?k=[secret]&");
        assert_eq!(redactor.text(r#"k"e/y\\é"#), r#"k"e/y\\é"#);
    }

    proptest! {
        #[test]
        fn no_secret_is_left_in_json_within_json(secret in "\\PC{4,12}|[\"\\\\/\n\té😀a]{4,12}", piece in 1_usize..5) {
            let redactor = Redactor::new([secret.clone()]);
            let inner = json!({ "echo": format!("<{secret}>") });
            let outer = json!([inner.to_string()]).to_string();
            for text in [secret.clone(), inner.to_string(), outer] {
                let told = redactor.text(&text);
                prop_assert!(told.contains("[secret]"), "{}", told);
                prop_assert!(!told.contains(&secret) || "[secret]".contains(&secret), "{}", told);
                let mut pieces = redactor.pieces();
                let letters: Vec<char> = text.chars().collect();
                let mut come: String =
                    letters.chunks(piece).map(|piece| pieces.take(&piece.iter().collect::<String>())).collect();
                come.push_str(&pieces.rest());
                prop_assert_eq!(come, told);
            }
        }
    }

    #[test]
    fn pieces_are_held_back_only_where_a_secret_may_have_begun() {
        let redactor = Redactor::new(["secret-1".to_owned()]);
        let mut pieces = redactor.pieces();
        assert_eq!(pieces.take("It is se"), "It is ");
        assert_eq!(pieces.take("ven, not sec"), "seven, not ");
        assert_eq!(pieces.take("ret-1 or"), "[secret] or");
        assert_eq!(pieces.take(" se"), " ");
        assert_eq!(pieces.rest(), "se");
    }
}
