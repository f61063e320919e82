//! Keeping secrets out of what is kept.
//!
//! Whatever a provider says passes through here before it reaches a log, an error or the
//! store: each secret that its settings name is replaced, wherever it stands.

/// The shortest text that is taken for a secret: replacing less would garble every answer.
const SHORTEST: usize = 4;

/// What stands in a secret's place.
const REPLACEMENT: &[u8] = b"[secret]";

/// Replaces secrets.
#[derive(Clone, Default)]
pub(crate) struct Redactor(Vec<Vec<u8>>);

impl Redactor {
    /// Replaces these secrets, the longest first, so that none hides within another.
    pub(crate) fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let long = |secret: &Vec<u8>| secret.len() >= SHORTEST;
        let mut secrets: Vec<_> =
            secrets.into_iter().map(String::into_bytes).filter(long).collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self(secrets)
    }

    /// Replaces one more secret.
    pub(crate) fn add(&mut self, secret: String) {
        if secret.len() >= SHORTEST {
            self.0.push(secret.into_bytes());
            self.0.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        }
    }

    /// The bytes without the secrets.
    pub(crate) fn bytes(&self, bytes: Vec<u8>) -> Vec<u8> {
        self.0.iter().fold(bytes, |bytes, secret| without(&bytes, secret))
    }

    /// The text without the secrets.
    pub(crate) fn text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.bytes(text.as_bytes().to_vec())).into_owned()
    }
}

fn without(bytes: &[u8], secret: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = memchr::memmem::find(rest, secret) {
        kept.extend_from_slice(&rest[..at]);
        kept.extend_from_slice(REPLACEMENT);
        rest = &rest[at + secret.len()..];
    }
    kept.extend_from_slice(rest);
    kept
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor({} secrets)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_replaced_wherever_it_stands() {
        let redactor = Redactor::new(["key-1".to_owned(), "key-1-long".to_owned(), "a".to_owned()]);
        assert_eq!(redactor.text("a key-1, a key-1-longkey-1"), "a [secret], a [secret][secret]");
        assert_eq!(format!("{redactor:?}"), "Redactor(2 secrets)");
    }
}
