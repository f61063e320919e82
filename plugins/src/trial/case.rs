//! A case: what a plugin is given, and what it should make of it.
//!
//! ```yaml
//! input: { total: 12.5 }
//! config: { tolerance: 0.01 }
//! http:
//!   - request: { method: POST, url: "https://api.example.com/v1" }
//!     response: { status: 200, body: { answer: 42 } }
//! models:
//!   - { model: reader, answer: "12.50" }
//! output: { ok: true }
//! ```
//!
//! In place of `output` stands `error: { code, message }` where the call should fail. A case
//! without both has no answer yet; `--update` writes it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

/// The folder of a plugin's cases.
const FOLDER: &str = "cases";

/// A case as it stands in its file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    #[expect(dead_code, reason = "it is for people who read the file")]
    about: Option<String>,
    #[serde(default)]
    input: Value,
    #[serde(default)]
    config: Value,
    #[serde(default)]
    http: Vec<Exchange>,
    #[serde(default)]
    models: Vec<Reply>,
    output: Option<Value>,
    error: Option<Fails>,
}

/// What a server is asked, and answers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exchange {
    pub(crate) request: Asked,
    pub(crate) response: Answered,
}

/// What a request must be for its answer to be given.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    #[serde(default = "get")]
    pub(crate) method: String,
    pub(crate) url: String,
    /// Not looked at where it is not said.
    pub(crate) body: Option<Value>,
}

/// What a server answers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answered {
    #[serde(default = "ok")]
    pub(crate) status: u16,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// A text as it is, anything else as JSON.
    #[serde(default)]
    pub(crate) body: Value,
}

/// What a model answers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reply {
    pub(crate) model: String,
    /// Text that the question must hold.
    pub(crate) prompt: Option<String>,
    /// A text as it is, anything else as JSON.
    pub(crate) answer: Value,
}

/// How a call should fail.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fails {
    code: Option<String>,
    message: Option<String>,
}

fn get() -> String {
    "GET".into()
}

fn ok() -> u16 {
    200
}

/// What a case expects.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    /// An output.
    Output(Value),
    /// A failure, with a code and a message where they are said.
    Error {
        /// Its code.
        code: Option<String>,
        /// Its message.
        message: Option<String>,
    },
    /// Nobody said.
    Nothing,
}

/// A case of a plugin.
#[derive(Clone, Debug)]
pub struct Case {
    /// The name of its file, without its ending.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// What the plugin is given. Files that it names are relative to the case's folder.
    pub input: Value,
    /// Its settings.
    pub config: Value,
    /// What it should make of it.
    pub expected: Expected,
    pub(crate) http: Vec<Exchange>,
    pub(crate) models: Vec<Reply>,
    text: String,
}

/// Why a case cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// It cannot be read or written.
    #[error("`{}`: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Something in it is wrong.
    #[error("`{}`: {why}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What.
        why: String,
    },
}

/// The cases of a plugin, by their names.
pub fn cases_in(folder: &Path) -> Result<Vec<Case>, CaseError> {
    let folder = folder.join(FOLDER);
    let failed =
        |why: std::io::Error| CaseError::File { path: folder.clone(), why: why.to_string() };
    let mut paths = Vec::new();
    match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
        Ok(entries) => {
            for entry in entries {
                let path = entry.map_err(failed)?.path();
                let end = path.extension().and_then(|end| end.to_str());
                if matches!(end, Some("yaml" | "yml" | "json")) {
                    paths.push(path);
                }
            }
        }
    }
    paths.sort();
    paths.into_iter().map(Case::read).collect()
}

impl Case {
    fn read(path: PathBuf) -> Result<Self, CaseError> {
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => return Err(CaseError::File { path, why: error.to_string() }),
        };
        let written: Written = match serde_saphyr::from_str(&text) {
            Ok(written) => written,
            Err(error) => {
                let why = error.to_string().lines().next().unwrap_or_default().to_owned();
                return Err(CaseError::Wrong { path, why });
            }
        };
        let expected = match (written.output, written.error) {
            (Some(_), Some(_)) => {
                return Err(CaseError::Wrong {
                    path,
                    why: "it has an `output` and an `error`".into(),
                });
            }
            (Some(output), None) => Expected::Output(output),
            (None, Some(Fails { code, message })) => Expected::Error { code, message },
            (None, None) => Expected::Nothing,
        };
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let Written { mut input, config, http, models, .. } = written;
        if input.is_null() {
            input = json!({});
        }
        let name = name.unwrap_or_default();
        Ok(Self { name, path, input, config, expected, http, models, text })
    }

    /// The folder of its files.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    /// Writes what it came to into its file, and leaves the rest of it as it is.
    pub fn update(&self, came: &Expected) -> Result<(), CaseError> {
        let (key, value) = match came {
            Expected::Output(value) => ("output", value.clone()),
            Expected::Error { code, message } => {
                ("error", json!({ "code": code, "message": message }))
            }
            Expected::Nothing => return Ok(()),
        };
        let text = match self.path.extension().is_some_and(|end| end == "json") {
            true => in_json(&self.text, key, value),
            false => in_yaml(&self.text, key, &value),
        };
        std::fs::write(&self.path, text)
            .map_err(|why| CaseError::File { path: self.path.clone(), why: why.to_string() })
    }
}

fn in_json(text: &str, key: &str, value: Value) -> String {
    let mut whole: Value = serde_json::from_str(text).unwrap_or_else(|_| json!({}));
    if let Some(map) = whole.as_object_mut() {
        map.shift_remove("output");
        map.shift_remove("error");
        map.insert(key.to_owned(), value);
    }
    format!("{whole:#}\n")
}

/// JSON is YAML: the value is written as that in the place of what stood there.
fn in_yaml(text: &str, key: &str, value: &Value) -> String {
    let (mut kept, mut inside) = (String::new(), false);
    for line in text.lines() {
        let top =
            line.starts_with(|c: char| !c.is_whitespace() && !matches!(c, '#' | '}' | ']' | '-'));
        if top {
            inside = line.starts_with("output:") || line.starts_with("error:");
        }
        if !inside {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    let value = format!("{value:#}").replace('\n', "\n  ");
    format!("{kept}{key}:\n  {value}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_leaves_the_rest_of_a_case_as_it_is() {
        let text = "# why\ninput: { a: 1 }\noutput:\n  b: 2\n  c: [1]\nconfig: { d: 3 }\n";
        assert_eq!(
            in_yaml(text, "output", &json!({ "b": 3 })),
            "# why\ninput: { a: 1 }\nconfig: { d: 3 }\noutput:\n  {\n    \"b\": 3\n  }\n"
        );
        let again = in_yaml(&in_yaml(text, "output", &json!({ "b": 3 })), "error", &json!({}));
        assert_eq!(again, "# why\ninput: { a: 1 }\nconfig: { d: 3 }\nerror:\n  {}\n");
    }
}
