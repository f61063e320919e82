//! What a model is called here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::gguf::{PartName, SUFFIX};

/// The longest name.
const LONGEST: usize = 100;

/// The name of a model in the store: small letters, digits and `.-_`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelName(String);

/// Says that a text is no name of a model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no name for a model: small letters, digits and `.-_`, up to 100 of them")]
pub struct NameError(String);

impl ModelName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name that a file's own name suggests, if it suggests one.
    pub fn of_file(file: &str) -> Option<Self> {
        let stem = match PartName::of(file) {
            Some(part) => part.stem,
            None => file.strip_suffix(SUFFIX).unwrap_or(file).to_owned(),
        };
        let letter = |letter: char| match letter.to_ascii_lowercase() {
            letter if is_letter(letter) => letter,
            _ => '-',
        };
        let name: String = stem.chars().map(letter).take(LONGEST).collect();
        name.trim_matches(|letter: char| !letter.is_ascii_alphanumeric()).parse().ok()
    }
}

fn is_letter(letter: char) -> bool {
    letter.is_ascii_lowercase() || letter.is_ascii_digit() || ".-_".contains(letter)
}

impl FromStr for ModelName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let begins = text.starts_with(|letter: char| letter.is_ascii_alphanumeric());
        // A name with this end would be taken for a path.
        let path = text.ends_with(SUFFIX);
        match begins && !path && text.len() <= LONGEST && text.chars().all(is_letter) {
            true => Ok(Self(text.to_owned())),
            false => Err(NameError(text.to_owned())),
        }
    }
}

impl TryFrom<String> for ModelName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<ModelName> for String {
    fn from(name: ModelName) -> Self {
        name.0
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_lead_out_of_its_folder_or_be_a_path() {
        for text in ["", ".", "..", "-x", "a/b", "a\\b", "A", "a b", "é", "m.gguf", "a:b"] {
            let error = text.parse::<ModelName>().unwrap_err();
            let message = format!(
                "`{text}` is no name for a model: small letters, digits and `.-_`, up to 100 of them"
            );
            assert_eq!(error.to_string(), message);
        }
        assert!("a".repeat(101).parse::<ModelName>().is_err());
        assert_eq!("qwen2.5-vl_3b".parse::<ModelName>().unwrap().as_str(), "qwen2.5-vl_3b");
    }

    #[test]
    fn a_file_suggests_a_name() {
        let of = |file| ModelName::of_file(file).map(String::from);
        assert_eq!(of("Qwen2.5-VL-3B-Q4_K_M.gguf").as_deref(), Some("qwen2.5-vl-3b-q4_k_m"));
        assert_eq!(of("Big Model-00001-of-00002.gguf").as_deref(), Some("big-model"));
        assert_eq!(of("_-.gguf"), None);
    }
}
