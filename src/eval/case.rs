//! Cases: inputs and the answers that are known.

use std::path::Path;

use serde_json::{Map, Value};

use crate::report::CommandError;

/// A case.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Case {
    /// Its name: that of its file, without the ending.
    pub(crate) name: String,
    /// Inputs of the workflow, files as paths.
    pub(crate) inputs: Vec<(String, String)>,
    /// The known answers, by name.
    pub(crate) expect: Map<String, Value>,
}

/// Reads the cases of a folder, in order of their names. `file` is the input that takes the file
/// beside a case, where the workflow has one.
pub(crate) fn read(folder: &Path, file: Option<&str>) -> Result<Vec<Case>, CommandError> {
    let shown = folder.display();
    let cannot = |error: std::io::Error| {
        CommandError::invalid(format!("cannot read the cases in `{shown}`: {error}"))
    };
    let mut names = Vec::new();
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("json") => names.push(path),
            Some(_) if path.is_file() => files.push(path),
            Some(_) | None => {}
        }
    }
    names.sort();
    // Of several files of a name the first counts, e.g. `a.pdf` before `a.png`.
    files.sort();
    let cases = names.iter().map(|path| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let beside = files.iter().find(|f| f.file_stem() == path.file_stem());
        one(name, path, beside.map(std::path::PathBuf::as_path), file)
    });
    let cases = cases.collect::<Result<Vec<_>, _>>()?;
    if cases.is_empty() {
        let hint =
            "a case is `NAME.json` with the known answers, and a file of that name beside it";
        return Err(CommandError::invalid(format!("there are no cases in `{shown}`")).hint(hint));
    }
    Ok(cases)
}

fn one(
    name: String,
    path: &Path,
    beside: Option<&Path>,
    file: Option<&str>,
) -> Result<Case, CommandError> {
    let fault = |why: String| CommandError::invalid(format!("case `{}`: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
    let value: Value =
        serde_json::from_str(&text).map_err(|error| fault(format!("it is no JSON: {error}")))?;
    // Some collections keep the answers of a document in a list of one.
    let value = match value {
        Value::Array(mut items) if items.len() == 1 => items.remove(0),
        other => other,
    };
    let Value::Object(mut known) = value else {
        return Err(fault("the known answers are a map".into()));
    };
    let (given, expect) = match (known.shift_remove("inputs"), known.shift_remove("expect")) {
        (inputs, Some(Value::Object(expect))) => (inputs.unwrap_or_default(), expect),
        (None, None) => (Value::Null, known),
        (_, _) => return Err(fault("`inputs` stands beside `expect`, which is a map".into())),
    };
    let mut inputs: Vec<(String, String)> = given
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| {
            (key.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        })
        .collect();
    if let Some(file) = file
        && !inputs.iter().any(|(key, _)| key == file)
    {
        let Some(beside) = beside else {
            return Err(fault(format!(
                "there is no file of its name beside it for input `{file}`"
            )));
        };
        inputs.push((file.to_owned(), beside.display().to_string()));
    }
    Ok(Case { name, inputs, expect })
}
