//! `file.write` and `file.glob`: files of the disk.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::action::{Action, ActionSpec, Effect, Outcome, StepContext};
use crate::artifact;
use crate::error::{ErrorClass, Failure};

/// Writes a file, whole or not at all.
pub(super) struct Write(ActionSpec);

impl Write {
    pub(super) fn new() -> Self {
        Self(ActionSpec {
            name: "file.write",
            version: 1,
            summary: "Writes a file; text as it is, anything else as JSON.",
            effect: Effect::Idempotent,
            cacheable: false,
            takes_model: false,
            input: json!({
                "type": "object",
                "properties": {
                    "path": { "type": "string", "minLength": 1, "description": "Where to write." },
                    "content": { "description": "What to write." },
                    "append": {
                        "type": "boolean",
                        "description": "Add a line instead of replacing the file.",
                    },
                },
                "required": ["path", "content"],
                "additionalProperties": false,
            }),
            output: json!({
                "type": "object",
                "properties": { "path": { "type": "string" }, "size": { "type": "integer" } },
                "additionalProperties": false,
            }),
        })
    }
}

#[async_trait]
impl Action for Write {
    fn spec(&self) -> &ActionSpec {
        &self.0
    }

    /// A line that is added twice stands there twice.
    fn effect(&self, input: &Value) -> Effect {
        if input["append"] == true { Effect::External } else { Effect::Idempotent }
    }

    async fn run(&self, input: Value, context: &StepContext) -> Result<Outcome, Failure> {
        let name = input["path"].as_str().unwrap_or_default().to_owned();
        let path = context.paths.resolve("path", &name)?;
        let append = input["append"] == true;
        let text = match (&input["content"], append) {
            (Value::String(text), false) => text.clone(),
            (Value::String(text), true) => format!("{}\n", text.trim_end_matches('\n')),
            (value, true) => format!("{value}\n"),
            (value, false) => format!("{value:#}\n"),
        };
        let size = text.len();
        let written = tokio::task::spawn_blocking(move || {
            if append { add(&path, text.as_bytes()) } else { replace(&path, text.as_bytes()) }
        });
        written
            .await
            .map_err(|error| Failure::internal(format!("writing `{name}` failed: {error}")))?
            .map_err(|error| {
                Failure::new(ErrorClass::Io, format!("cannot write `{name}`: {error}"))
            })?;
        Ok(Outcome::Done(json!({ "path": name, "size": size })))
    }
}

fn folder_of(path: &Path) -> io::Result<&Path> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    Ok(folder)
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = folder_of(path)?;
    let mut draft = draft_in(folder)?;
    draft.write_all(bytes)?;
    if let Ok(there) = fs::metadata(path) {
        draft.as_file().set_permissions(there.permissions())?;
    }
    draft.as_file().sync_all()?;
    draft.persist(path)?;
    sync(folder)
}

/// Begins a file with the rights that any other would get, not those of a temporary one.
fn draft_in(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

/// Makes the names in a folder durable: a step that is done is not done again.
#[cfg(unix)]
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync(_folder: &Path) -> io::Result<()> {
    Ok(())
}

fn add(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = folder_of(path)?;
    let mut file = File::options().append(true).create(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    sync(folder)
}

/// Finds files by a pattern and takes them in.
pub(super) struct Glob(ActionSpec);

impl Glob {
    pub(super) fn new() -> Self {
        Self(ActionSpec {
            name: "file.glob",
            version: 1,
            summary: "Finds files by a pattern, in order of their paths, and takes them in.",
            effect: Effect::Idempotent,
            cacheable: false,
            takes_model: false,
            input: json!({
                "type": "object",
                "properties": { "pattern": {
                    "type": "string",
                    "minLength": 1,
                    "description": "Path with `*`, `**`, `?` or `[…]`, e.g. `scans/*.pdf`.",
                } },
                "required": ["pattern"],
                "additionalProperties": false,
            }),
            output: json!({ "type": "array", "items": found() }),
        })
    }
}

/// JSON Schema of a file that was found: an artifact with its path.
fn found() -> Value {
    let mut file = artifact::schema();
    file["properties"]["path"] = json!({ "type": "string" });
    file
}

#[async_trait]
impl Action for Glob {
    fn spec(&self) -> &ActionSpec {
        &self.0
    }

    async fn run(&self, input: Value, context: &StepContext) -> Result<Outcome, Failure> {
        let pattern = input["pattern"].as_str().unwrap_or_default().to_owned();
        let folder = context.paths.folder.clone();
        // Only what was written is a pattern, not what the folder happens to be called.
        let whole = match Path::new(&pattern).is_absolute() {
            true => pattern.clone(),
            false => format!("{}/{pattern}", glob::Pattern::escape(&folder.to_string_lossy())),
        };
        let found = tokio::task::spawn_blocking(move || find(&pattern, &whole)).await;
        let found =
            found.map_err(|error| Failure::internal(format!("`file.glob` failed: {error}")))??;
        let mut files = Vec::with_capacity(found.len());
        for path in found {
            if context.cancel.is_cancelled() {
                return Err(Failure::new(ErrorClass::Cancelled, "the run was stopped"));
            }
            let shown = path.strip_prefix(&folder).unwrap_or(&path).to_string_lossy().into_owned();
            let path = context.paths.resolve("pattern", &path.to_string_lossy())?;
            let mut file = context.intake.take(&shown, &path).await?.to_value();
            file["path"] = json!(shown);
            files.push(file);
        }
        Ok(Outcome::Done(Value::Array(files)))
    }
}

fn find(pattern: &str, whole: &str) -> Result<Vec<PathBuf>, Failure> {
    let paths = glob::glob(whole)
        .map_err(|error| Failure::input(format!("`{pattern}` is no pattern: {}", error.msg)))?;
    let mut files = Vec::new();
    for path in paths {
        // Leaving out what cannot be read would look as if it were not there.
        let path = path.map_err(|error| {
            let (folder, why) = (error.path().display(), error.error());
            Failure::new(ErrorClass::Io, format!("`{pattern}`: cannot read `{folder}`: {why}"))
        })?;
        if path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}
