//! What the user says to every run: the providers of the settings file, and secrets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flow_core::language::{KnownProviders, user_providers};
use flow_providers::Providers;

use crate::output;
use crate::report::CommandError;
use crate::world::variable;

/// The variable that names the file of settings.
const SETTINGS: &str = "FLOW_CONFIG";

/// The providers there are, as the user's settings say: the file that `FLOW_CONFIG` names, or
/// `flow/config.yaml` among the user's settings if there is one.
pub(crate) fn known_providers() -> Result<KnownProviders, CommandError> {
    let usual = || {
        let home = || variable("HOME").map(|home| PathBuf::from(home).join(".config"));
        let settings = variable("XDG_CONFIG_HOME").map(PathBuf::from).or_else(home)?;
        Some(settings.join("flow/config.yaml"))
    };
    let named = variable(SETTINGS).map(PathBuf::from);
    let none = Providers::known();
    let Some(file) = named.clone().or_else(usual) else { return Ok(none) };
    let bytes = match std::fs::read(&file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => {
            return Ok(none);
        }
        Err(error) => {
            let message = format!("cannot read the settings in `{}`: {error}", file.display());
            let failed = CommandError::invalid(message);
            return Err(match named {
                Some(_) => failed.hint(format!("`{SETTINGS}` names the file")),
                None => failed,
            });
        }
    };
    let name = file.display().to_string();
    let (known, faults) = user_providers(&name, &bytes, none);
    output::note(&faults.to_string());
    if faults.has_errors() {
        return Err(CommandError::invalid(format!("the settings in `{name}` cannot be used")));
    }
    Ok(known)
}

/// The secrets that workflows can name: the environment, and before it a file.
pub(crate) fn secrets(file: Option<&Path>) -> Result<BTreeMap<String, String>, CommandError> {
    // A variable that is no text cannot be a secret that a file names.
    let mut secrets: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let Some(file) = file else { return Ok(secrets) };
    let text = std::fs::read_to_string(file).map_err(|error| {
        CommandError::invalid(format!("cannot read the secrets in `{}`: {error}", file.display()))
    })?;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // The line itself is not shown: it may hold a secret.
        let (name, value) = line.split_once('=').ok_or_else(|| {
            let place = format!("{}:{}", file.display(), number + 1);
            CommandError::invalid(format!("{place}: a secret is written `NAME=VALUE`"))
        })?;
        let value = value.trim();
        let unquoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        secrets.insert(name.trim().to_owned(), unquoted.unwrap_or(value).to_owned());
    }
    Ok(secrets)
}
