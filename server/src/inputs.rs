//! Inputs of a run that come from a request.
//!
//! A request names no file of this machine: a file is uploaded with it, or is one that was
//! uploaded before, by its hash. What is said of such a file (its type, its size) is not
//! believed but read from its bytes. All else is data, typed by the workflow.

use axum::extract::multipart::{Field, Multipart};
use axum::http::StatusCode;
use flow_core::content::ContentHash;
use flow_core::language::{Input, InputType, Workflow, bind_inputs};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use crate::problem::Problem;
use crate::state::Site;

/// The most bytes of a value that is no file.
const VALUE: usize = 1 << 20;

/// The most parts of a form.
const PARTS: usize = 10_000;

/// How long the next bytes of an upload are waited for.
pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_mins(1);

/// How long the rest of what is refused is read.
pub(crate) const LINGER: std::time::Duration = std::time::Duration::from_secs(5);

/// The JSON Schema of a workflow's inputs, as requests give them.
pub fn schema(workflow: &Workflow) -> Value {
    let properties: Map<String, Value> =
        workflow.inputs.iter().map(|input| (input.name.clone(), of_input(input))).collect();
    let required: Vec<_> =
        workflow.inputs.iter().filter(|input| input.required).map(|input| &input.name).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn of_input(input: &Input) -> Value {
    let file = |media: &[String]| {
        json!({
            "type": "object",
            "description": "A file that was uploaded; or upload it as multipart/form-data.",
            "properties": { "$artifact": { "type": "string", "pattern": "^sha256:[0-9a-f]{64}$" } },
            "required": ["$artifact"],
            "x-media": media,
        })
    };
    let mut schema = match &input.kind {
        InputType::String { choices } if choices.is_empty() => json!({ "type": "string" }),
        InputType::String { choices } => json!({ "type": "string", "enum": choices }),
        InputType::Integer => json!({ "type": "integer" }),
        InputType::Number => json!({ "type": "number" }),
        InputType::Boolean => json!({ "type": "boolean" }),
        InputType::File { media } => file(media),
        InputType::Files { media } => json!({ "type": "array", "items": file(media) }),
        InputType::Array => json!({ "type": "array" }),
        InputType::Json { schema } => match schema {
            Value::Object(_) => schema.clone(),
            _ => json!({}),
        },
    };
    if let Some(description) = &input.description {
        schema["description"] = json!(description);
    }
    // A file by default is the owner's, and lies where requests do not see.
    let is_file = matches!(input.kind, InputType::File { .. } | InputType::Files { .. });
    if let (Some(default), false) = (&input.default, is_file) {
        schema["default"] = default.clone();
    }
    schema
}

/// Binds what a request gave to the workflow's inputs.
pub async fn bound(
    site: &Site,
    workflow: &Workflow,
    mut given: Map<String, Value>,
) -> Result<Map<String, Value>, Problem> {
    for input in &workflow.inputs {
        if !matches!(input.kind, InputType::File { .. } | InputType::Files { .. }) {
            continue;
        }
        match given.get_mut(&input.name) {
            Some(Value::Array(files)) => {
                for file in files {
                    known_file(site, &input.name, file).await?;
                }
            }
            Some(file) => known_file(site, &input.name, file).await?,
            None => {}
        }
    }
    bind_inputs(workflow, &given).map_err(|faults| {
        let details: Vec<_> = faults.iter().map(ToString::to_string).collect();
        // The hints of the command line are none for a request.
        let hints = faults.into_iter().filter_map(|fault| fault.hint);
        let hint = hints.into_iter().find(|hint| !hint.contains("--input"));
        Problem { hint, ..Problem::unfit(details.join("; ")) }
    })
}

/// A file that a request names becomes what it is.
async fn known_file(site: &Site, input: &str, value: &mut Value) -> Result<(), Problem> {
    if value.is_null() {
        return Ok(());
    }
    let Some(hash) = value.get("$artifact").and_then(Value::as_str) else {
        let detail = format!("input `{input}`: a path of this machine is not taken over HTTP");
        let hint = "upload the file as multipart/form-data, or name one that was uploaded by \
                    `{\"$artifact\": \"sha256:…\"}`";
        return Err(Problem::unfit(detail).hint(hint));
    };
    let wrong = |why: String| Problem::unfit(format!("input `{input}`: {why}"));
    let hash: ContentHash =
        hash.parse().map_err(|error: flow_core::content::HashError| wrong(error.to_string()))?;
    let name = value.get("name").and_then(Value::as_str).unwrap_or(input);
    let name = file_name(name);
    let known = site.runs.intake().known(hash, &name).await?;
    let known = known.ok_or_else(|| {
        wrong(format!("there is no file {hash}")).hint("upload it as multipart/form-data")
    })?;
    *value = known.to_value();
    Ok(())
}

/// Reads a form: its files go into the store as they come, in pieces.
pub async fn from_form(
    site: &Site,
    workflow: &Workflow,
    mut form: Multipart,
) -> Result<Map<String, Value>, Problem> {
    let read = parts(site, workflow, &mut form).await;
    if read.is_err() {
        // Who still sends would not hear why: a connection with unread bytes is cut off.
        let rest = async { while let Ok(Some(_)) = form.next_field().await {} };
        let _ = timeout(LINGER, rest).await;
    }
    read
}

async fn parts(
    site: &Site,
    workflow: &Workflow,
    form: &mut Multipart,
) -> Result<Map<String, Value>, Problem> {
    let _upload = site.gate.upload()?;
    let mut given = Map::new();
    let mut left = site.gate.largest;
    for _ in 0..PARTS {
        let next = timeout(PATIENCE, form.next_field()).await.map_err(|_| too_slow())?;
        let Some(field) = next.map_err(|error| broken(&error))? else { return Ok(given) };
        let Some(name) = field.name().map(str::to_owned) else {
            return Err(Problem::bad("a part of the form has no name"));
        };
        let input = workflow.inputs.iter().find(|input| input.name == name);
        let kind = input.map(|input| &input.kind);
        let is_file = matches!(kind, Some(InputType::File { .. } | InputType::Files { .. }));
        if is_file && field.file_name().is_some() {
            let Some(file) = file(site, field, &mut left).await? else { continue };
            if matches!(kind, Some(InputType::Files { .. })) {
                match given.entry(name).or_insert_with(|| json!([])) {
                    Value::Array(files) => files.push(file),
                    _ => return Err(Problem::bad("a list of files is given as files")),
                }
            } else {
                given.insert(name, file);
            }
        } else {
            let text = text(field).await?;
            let value = if is_file { serde_json::from_str(&text).ok() } else { None };
            if !(text.is_empty()
                && kind.is_some_and(|kind| !matches!(kind, InputType::String { .. })))
            {
                given.insert(name, value.unwrap_or(Value::String(text)));
            }
        }
    }
    Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("a form has at most {PARTS} parts")))
}

/// Takes a file in; none where a browser sent an empty field.
async fn file(site: &Site, mut field: Field<'_>, left: &mut u64) -> Result<Option<Value>, Problem> {
    let given = field.file_name().unwrap_or_default().to_owned();
    let intake = site.runs.intake();
    let mut receiving = intake.receive().await?;
    while let Some(piece) = piece(&mut field).await? {
        let size = piece.len() as u64;
        if size > *left {
            let most = site.gate.largest;
            let detail = format!("the upload is larger than {most} bytes");
            let hint = "`flow serve --max-upload SIZE` takes more";
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail).hint(hint));
        }
        *left -= size;
        receiving.write(&piece).await?;
    }
    if given.is_empty() && receiving.size() == 0 {
        return Ok(None);
    }
    let name = file_name(&given);
    Ok(Some(intake.received(receiving, &name).await?.to_value()))
}

async fn text(mut field: Field<'_>) -> Result<String, Problem> {
    let mut bytes = Vec::new();
    while let Some(piece) = piece(&mut field).await? {
        if bytes.len() + piece.len() > VALUE {
            let detail = format!("a value is larger than {VALUE} bytes");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
        }
        bytes.extend_from_slice(&piece);
    }
    String::from_utf8(bytes).map_err(|_| Problem::bad("a value is not UTF-8"))
}

async fn piece(field: &mut Field<'_>) -> Result<Option<axum::body::Bytes>, Problem> {
    let piece = timeout(PATIENCE, field.chunk()).await.map_err(|_| too_slow())?;
    piece.map_err(|error| broken(&error))
}

fn broken(error: &axum::extract::multipart::MultipartError) -> Problem {
    Problem::new(error.status(), format!("the form cannot be read: {}", error.body_text()))
}

fn too_slow() -> Problem {
    let detail = format!("no more of the upload came within {} s", PATIENCE.as_secs());
    Problem::new(StatusCode::REQUEST_TIMEOUT, detail)
}

/// The last part of a name, as people are shown it: no folders, nothing that is not seen.
fn file_name(given: &str) -> String {
    let own = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let own: String = own.chars().filter(|c| !c.is_control()).take(200).collect();
    if own.is_empty() || own == "." || own == ".." { "file".to_owned() } else { own }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_a_file_leads_nowhere() {
        for (given, name) in [
            ("scan.pdf", "scan.pdf"),
            ("../../etc/passwd", "passwd"),
            ("C:\\temp\\a.png", "a.png"),
            ("..", "file"),
            ("a/", "file"),
            ("a\r\nb\0", "ab"),
        ] {
            assert_eq!(file_name(given), name);
        }
    }
}
