//! The tools of other languages: where they are, and what gets those that are missing.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::build::BuildError;

/// A program of the `PATH`, or named by a variable.
pub(super) fn program(variable: Option<&str>, name: &str) -> Option<PathBuf> {
    if let Some(named) = variable.and_then(std::env::var_os).filter(|named| !named.is_empty()) {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// A program in one of these folders, else of the `PATH`.
pub(super) fn program_near(folders: &[PathBuf], name: &str) -> Option<PathBuf> {
    let near = folders.iter().map(|folder| folder.join(name)).find(|file| file.is_file());
    near.or_else(|| program(None, name))
}

/// What is missing, and what gets it.
pub(super) fn missing(what: &str, get: impl Into<String>) -> BuildError {
    BuildError::Missing { what: what.to_owned(), get: get.into() }
}

/// Runs a tool in a folder to its end; what it printed. What it says goes where flow's own
/// words go.
pub(super) fn run<A: AsRef<OsStr>>(
    folder: &Path,
    program: &Path,
    args: &[A],
    variables: &[(&str, OsString)],
) -> Result<Vec<u8>, BuildError> {
    let mut command = Command::new(program);
    command.args(args).current_dir(folder).stdin(Stdio::null()).stderr(Stdio::inherit());
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    let tool = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|why| BuildError::Failed { tool: tool.clone(), why: why.to_string() })?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(BuildError::Failed { tool, why: format!("it ended with {}", output.status) }),
    }
}

/// What a tool prints; none where it cannot be run.
pub(super) fn asked(program: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().ok()?;
    let text = output.status.success().then(|| String::from_utf8(output.stdout).ok())??;
    Some(text.trim().to_owned())
}
