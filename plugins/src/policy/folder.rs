//! Folders of the workflow's that a plugin may read.

use std::path::{Component, Path, PathBuf};

use serde_json::{Value, json};

use super::PolicyFault;
use super::capabilities::{map, text};

/// A folder that may be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderRule {
    /// Where it is, relative to the workflow's folder and within it: `rules/tax`. The guest sees
    /// it under the same name.
    pub path: String,
}

impl FolderRule {
    /// Reads an element of `dirs`. `place` is where it stands, for faults.
    pub(super) fn read(value: &Value, place: &[&str]) -> Result<Self, PolicyFault> {
        let mut path = None;
        for (key, value) in map(value, place, "an element of `dirs`")? {
            match key.as_str() {
                "path" => path = Some(plain(text(value, place, "`path`")?, place)?),
                "mode" if value == "ro" => {}
                "mode" => {
                    return Err(PolicyFault::new(place, "`mode` is `ro`")
                        .hint("what a plugin writes it hands over as an artifact"));
                }
                _ => {
                    let known = ["path", "mode"];
                    return Err(PolicyFault::unknown(place, key, "an element of `dirs`", &known));
                }
            }
        }
        let path =
            path.ok_or_else(|| PolicyFault::new(place, "an element of `dirs` has a `path`"))?;
        Ok(Self { path })
    }

    /// What both allow: the inner one where one lies in the other.
    pub(super) fn and(&self, other: &Self) -> Option<Self> {
        let (own, its) = (Path::new(&self.path), Path::new(&other.path));
        match () {
            () if own.starts_with(its) => Some(self.clone()),
            () if its.starts_with(own) => Some(other.clone()),
            () => None,
        }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({ "path": self.path, "mode": "ro" })
    }

    /// Where it is on this machine. Nothing outside of the workflow's folder is one, whatever a
    /// link of the file system says.
    pub(crate) fn place(&self, workflow: &Path) -> Result<PathBuf, PolicyFault> {
        let fault = |message: String| PolicyFault::new(&["grant", "dirs"], message);
        let whole = |path: &Path| path.canonicalize().ok().filter(|path| path.is_dir());
        let found = whole(workflow).zip(whole(&workflow.join(&self.path)));
        let Some((workflow, place)) = found else {
            return Err(fault(format!("there is no folder `{}`", self.path)));
        };
        match place.starts_with(workflow) {
            true => Ok(place),
            false => Err(fault(format!("`{}` leads out of the workflow's folder", self.path))),
        }
    }
}

/// A path without a way up or out, and without what means nothing.
fn plain(path: &str, place: &[&str]) -> Result<String, PolicyFault> {
    let mut parts = Vec::new();
    for part in Path::new(path).components() {
        match part {
            Component::CurDir => {}
            Component::Normal(part) => parts.push(part.to_string_lossy()),
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                let message = format!("`path`: `{path}` is not within the workflow's folder");
                return Err(PolicyFault::new(place, message).hint("e.g. `./rules`"));
            }
        }
    }
    if parts.is_empty() {
        // A workflow's folder holds its store, and what other runs read.
        let message = format!("`path`: `{path}` is the workflow's whole folder");
        return Err(PolicyFault::new(place, message).hint("grant a folder in it, e.g. `./rules`"));
    }
    if parts.iter().any(|part| part.starts_with('.')) {
        let message = format!("`path`: `{path}` is hidden, and cannot be granted");
        return Err(PolicyFault::new(place, message));
    }
    Ok(parts.join("/"))
}
