//! The names of a cassette's files.
//!
//! An exchange is `NUMBER-KIND-WHAT-HASH.json`, so that files sort in the order in which they
//! were asked and say what they are. Only a name that begins with a number and a dash counts:
//! a page about the cassette may lie beside them.

use std::path::{Path, PathBuf};

use super::{Asked, TapeError};

/// The most letters of a name that say what is asked.
const SAID: usize = 60;

/// Digits of the hash that are shown.
const SHOWN: usize = 8;

/// How the name of a file ends that is being written.
pub(super) const PARTIAL: &str = ".partial";

/// The name of the file of an exchange.
pub(super) fn name(number: u64, asked: &Asked) -> String {
    let path = match asked.url.split_once("://") {
        Some((_, rest)) => rest.split(['?', '#']).next().unwrap_or_default(),
        None => asked.url.split('?').next().unwrap_or_default(),
    };
    let words = format!("{}-{path}", asked.kind).to_lowercase();
    let words = words.split(|letter: char| !letter.is_ascii_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    let mut said = words.join("-");
    said.truncate(SAID);
    let hash = asked.identity().hex();
    format!("{number:04}-{}-{}.json", said.trim_end_matches('-'), &hash[..SHOWN])
}

/// The files of exchanges in a folder, in the order of their numbers; none where it is missing.
pub(super) fn exchanges(folder: &Path) -> Result<Vec<(u64, PathBuf)>, TapeError> {
    let failed = |source| TapeError::Io { path: folder.to_path_buf(), source };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if let Some(number) = number(&path) {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found)
}

fn number(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.strip_suffix(".json")?;
    name.split_once('-')?.0.parse().ok()
}

/// A file's name, for messages.
pub(super) fn shown(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(kind: &str, url: &str) -> Asked {
        Asked {
            kind: kind.into(),
            provider: "mine".into(),
            method: "POST".into(),
            url: url.into(),
            headers: std::collections::BTreeMap::new(),
            body: serde_json::Value::Null,
        }
    }

    #[test]
    fn a_name_says_what_is_asked_of_whom() {
        for (number, asked, said) in [
            (1, asked("openai", "/chat/completions"), "0001-openai-chat-completions-"),
            (
                12_345,
                asked("gemini", "/models/g-2.5:generate?alt=sse"),
                "12345-gemini-models-g-2-5-generate-",
            ),
            (2, asked("fetch", "https://host.org/a/red.png?x=1"), "0002-fetch-host-org-a-red-png-"),
            (3, asked("command", "ü"), "0003-command-"),
        ] {
            let name = name(number, &asked);
            let rest = name.strip_prefix(said).and_then(|rest| rest.strip_suffix(".json"));
            assert!(rest.is_some_and(|hash| hash.len() == SHOWN), "{name}");
        }
        let long = name(1, &asked("openai", &format!("/{}", "x-".repeat(99))));
        assert!(long.len() < 80, "{long}");
    }

    #[test]
    fn only_files_that_begin_with_a_number_count_in_the_order_of_their_numbers() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["10-a.json", "9-b.json", "README.md", "a-1.json", ".0011-x.json.partial"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let found = exchanges(folder.path()).unwrap();
        let found: Vec<_> = found.iter().map(|(number, path)| (*number, shown(path))).collect();
        assert_eq!(found, [(9, "9-b.json".to_owned()), (10, "10-a.json".to_owned())]);
        assert_eq!(exchanges(&folder.path().join("none")).unwrap(), []);
    }
}
