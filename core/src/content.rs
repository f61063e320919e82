//! Content hashes: the identity of values and files.
//!
//! A JSON value is hashed in its canonical form (RFC 8785), so that neither key order nor
//! spelling of a number makes two equal values differ. One thing departs from it: an integer
//! keeps all its digits, where the RFC rounds what is beyond 2^53, and two numbers of an
//! account would be one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// A SHA-256 hash, written `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContentHash([u8; 32]);

/// Says that a text is not a content hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a content hash: `sha256:` and 64 hexadecimal digits")]
pub struct HashError(String);

impl ContentHash {
    /// Hashes bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Hashes the canonical form of a JSON value.
    pub fn of_json(value: &Value) -> Self {
        Self::of_bytes(&canonical(value))
    }

    /// Takes over a finished digest.
    pub fn from_digest(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// Its 32 bytes.
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first byte, by which files are spread over folders.
    pub(crate) fn shard(&self) -> u8 {
        self.0[0]
    }

    /// The 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
        self.0.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
    }
}

/// Writes a JSON value in its canonical form, which is that of RFC 8785 but for one thing.
///
/// The RFC writes each number as the double that is next to it, so that 2^53 and 2^53 + 1 are
/// one text and would be one hash: the paid answer about one account would be given for the
/// other. Integers that fit an `i64` or a `u64` are therefore written as they are, with all
/// their digits. Up to 2^53 this is what the RFC writes.
///
/// Every step is hashed, so that this is worth code of its own; a test holds it against
/// `serde_json_canonicalizer`, which writes the numbers that are no integers.
pub fn canonical(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    write_canonical(value, &mut bytes);
    bytes
}

fn write_canonical(value: &Value, bytes: &mut Vec<u8>) {
    match value {
        Value::Array(items) => {
            bytes.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    bytes.push(b',');
                }
                write_canonical(item, bytes);
            }
            bytes.push(b']');
        }
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            // By UTF-16 code units, which is by bytes where all is ASCII.
            entries.sort_unstable_by(|(a, _), (b, _)| match a.is_ascii() && b.is_ascii() {
                true => a.cmp(b),
                false => a.encode_utf16().cmp(b.encode_utf16()),
            });
            bytes.push(b'{');
            for (at, (key, value)) in entries.into_iter().enumerate() {
                if at > 0 {
                    bytes.push(b',');
                }
                write_plain(key, bytes);
                bytes.push(b':');
                write_canonical(value, bytes);
            }
            bytes.push(b'}');
        }
        Value::Number(number) if number.is_f64() => {
            let form = serde_json_canonicalizer::to_vec(number).expect("a JSON number is finite");
            bytes.extend(form);
        }
        Value::Number(_) | Value::Null | Value::Bool(_) | Value::String(_) => {
            write_plain(value, bytes);
        }
    }
}

/// Writes what has one form only.
fn write_plain(value: &impl Serialize, bytes: &mut Vec<u8>) {
    serde_json::to_writer(bytes, value).expect("texts and integers serialize");
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for ContentHash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        let error = || HashError(text.into());
        let hex = text.strip_prefix("sha256:").filter(|h| h.len() == 64).ok_or_else(error)?;
        let digit = |byte: u8| char::from(byte).to_digit(16).ok_or_else(error);
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for ContentHash {
    type Error = HashError;

    fn try_from(text: String) -> Result<Self, HashError> {
        text.parse()
    }
}

impl From<ContentHash> for String {
    fn from(hash: ContentHash) -> Self {
        hash.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn anything() -> impl Strategy<Value = Value> {
        let number = prop_oneof![
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-9_007_199_254_740_993_i64..-9_007_199_254_740_989).prop_map(Value::from),
            (9_007_199_254_740_989_u64..9_007_199_254_740_994).prop_map(Value::from),
            prop::num::f64::NORMAL.prop_map(Value::from),
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            number,
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::hash_map("[a-c\u{e9}\u{ffff}\u{10000}]{0,3}", inner, 0..8)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// Whether the RFC keeps all the digits of every integer in it.
    fn is_exact(value: &Value) -> bool {
        const EXACT: u64 = 1 << 53;
        match value {
            Value::Number(number) => {
                let size = number.as_i64().map(i64::unsigned_abs).or_else(|| number.as_u64());
                size.is_none_or(|size| size <= EXACT)
            }
            Value::Array(items) => items.iter().all(is_exact),
            Value::Object(map) => map.values().all(is_exact),
            Value::Null | Value::Bool(_) | Value::String(_) => true,
        }
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_that_of_the_library_but_for_large_integers(value in anything()) {
            let form = canonical(&value);
            if is_exact(&value) {
                prop_assert_eq!(&form, &serde_json_canonicalizer::to_vec(&value).unwrap());
            }
            // What is read back from the form has that form again.
            let again: Value = serde_json::from_slice(&form).unwrap();
            prop_assert_eq!(canonical(&again), form);
        }

        #[test]
        fn an_integer_is_written_with_all_its_digits(a in any::<i64>(), b in any::<u64>()) {
            prop_assert_eq!(canonical(&json!(a)), a.to_string().into_bytes());
            prop_assert_eq!(canonical(&json!(b)), b.to_string().into_bytes());
        }
    }

    #[test]
    fn equal_values_hash_the_same_however_they_are_spelt() {
        let a: Value = serde_json::from_str(r#"{"a": 1.0, "b": [true, "é"]}"#).unwrap();
        let b: Value = serde_json::from_str(r#"{"b":[true,"\u00e9"],"a":1}"#).unwrap();
        assert_eq!(ContentHash::of_json(&a), ContentHash::of_json(&b));
        assert_ne!(ContentHash::of_json(&a), ContentHash::of_json(&json!({"a": 1})));
    }

    #[test]
    fn the_canonical_form_is_that_of_the_rfc() {
        // The example of section 3.2.2, and the order of section 3.2.3.
        let value: Value = serde_json::from_str(
            r#"{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
                "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
                "literals": [null, true, false]}"#,
        )
        .unwrap();
        assert_eq!(
            String::from_utf8(canonical(&value)).unwrap(),
            r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}"#
        );
        let keys =
            json!({"\u{20ac}": 1, "\r": 2, "\u{fb33}": 3, "1": 4, "\u{1f600}": 5, "\u{80}": 6});
        let values: Vec<_> = canonical(&keys).into_iter().filter(u8::is_ascii_digit).collect();
        assert_eq!(values, b"2146153");
    }

    #[test]
    fn whole_numbers_that_a_float_cannot_tell_apart_differ() {
        let hash = |number: u64| ContentHash::of_json(&json!({ "account": number }));
        assert_ne!(hash(9_007_199_254_740_992), hash(9_007_199_254_740_993));
        assert_ne!(hash(u64::MAX), hash(u64::MAX - 1));
        assert_ne!(
            ContentHash::of_json(&json!(i64::MIN)),
            ContentHash::of_json(&json!(i64::MIN + 1))
        );
        assert_eq!(
            ContentHash::of_json(&json!(1e16)),
            ContentHash::of_json(&json!(10_u64.pow(16)))
        );
    }

    #[test]
    fn a_hash_reads_back_and_nothing_else_does() {
        let hash = ContentHash::of_bytes(b"x");
        assert_eq!(hash.to_string().parse::<ContentHash>().unwrap(), hash);
        for pair in ["gg", "+f", " f", "é"] {
            let bad = format!("sha256:{}", pair.repeat(32));
            assert!(bad.parse::<ContentHash>().is_err(), "{bad} was taken");
        }
        for bad in ["", "sha256:", "md5:00"] {
            assert!(bad.parse::<ContentHash>().is_err(), "{bad} was taken");
        }
    }
}
