//! What a plugin may do: pure decisions, made before anything runs.
//!
//! ```text
//! plugin.yaml ── asks ──┐
//!                       ├── and ──▶ Granted ──▶ each host function asks it
//! workflow ──── grants ─┘
//! ```
//!
//! Nothing is allowed that is not in both. What is refused says what to write where.

mod capabilities;
mod denial;
mod folder;
mod host_name;
pub(crate) mod limits;
mod manifest;

pub use capabilities::{Capabilities, HttpRule, KvRule, ModelRule};
pub use denial::Denial;
pub use folder::FolderRule;
pub use host_name::Host;
pub(crate) use host_name::Target;
pub use limits::Limits;
pub(crate) use manifest::is_plugin_name;
pub use manifest::{Manifest, ManifestError};

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// What is wrong with what a manifest or a workflow says of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PolicyFault {
    /// The keys that lead to it.
    pub at: Vec<String>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl PolicyFault {
    pub(crate) fn new(at: &[&str], message: impl Into<String>) -> Self {
        let at = at.iter().map(|part| (*part).to_owned()).collect();
        Self { at, message: message.into(), hint: None }
    }

    pub(crate) fn unknown(at: &[&str], key: &str, what: &str, known: &[&str]) -> Self {
        let what = if what.contains(' ') { what.to_owned() } else { format!("`{what}`") };
        let near = flow_core::language::closest(key, known.iter().copied());
        let hint = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known are: {}", known.join(", ")),
        };
        let at: Vec<&str> = at.iter().copied().chain([key]).collect();
        Self::new(&at, format!("{what} has no key `{key}`")).hint(hint)
    }

    #[must_use]
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// What a plugin may do and use in a workflow: what it asks for and was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The name under which the workflow uses it, for messages.
    pub name: String,
    /// What its manifest asks for.
    pub asked: Capabilities,
    /// What it may do.
    pub may: Capabilities,
    /// How much it may use.
    pub limits: Limits,
    /// The workflow's folder, which the folders that it may read are within.
    pub folder: PathBuf,
}

impl Granted {
    /// Nothing but to compute, within the usual limits.
    pub fn nothing(name: &str) -> Self {
        let (asked, may) = (Capabilities::default(), Capabilities::default());
        let (limits, folder) = (Limits::USUAL, PathBuf::new());
        Self { name: name.to_owned(), asked, may, limits, folder }
    }

    /// What a plugin that asks for this may do where the workflow grants that.
    pub fn of(
        name: &str,
        asked: Capabilities,
        granted: &Capabilities,
        asked_limits: Limits,
        granted_limits: Option<Limits>,
    ) -> Self {
        let may = asked.and(granted);
        // A workflow that says nothing of limits lets a manifest have what is usual, no more.
        let limits = asked_limits.and(granted_limits.unwrap_or(Limits::USUAL));
        Self { name: name.to_owned(), asked, may, limits, folder: PathBuf::new() }
    }

    /// The same in a workflow of this folder.
    #[must_use]
    pub fn within(self, folder: &Path) -> Self {
        Self { folder: folder.to_path_buf(), ..self }
    }

    /// Whether a call acts on the outside.
    pub fn acts_outside(&self) -> bool {
        !self.may.is_empty()
    }

    /// As it is kept with an attempt.
    pub fn to_json(&self) -> Value {
        json!({ "may": self.may.to_json(), "limits": self.limits.to_json() })
    }
}

/// Reads what somebody typed as it would stand in a file: JSON, or YAML.
pub fn read_yaml(text: &str) -> Result<Value, String> {
    let first = |error: serde_saphyr::Error| {
        error.to_string().lines().next().unwrap_or_default().to_owned()
    };
    serde_saphyr::from_str(text).map_err(first)
}

#[cfg(test)]
mod tests;
