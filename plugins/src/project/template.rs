//! A new plugin: a folder that builds, passes its case, and can be changed from there.
//!
//! What it needs of flow lies in it: the interface, and for Rust the crate that it is written
//! with. So it builds the same whatever flow there is later.

use std::path::{Path, PathBuf};

use super::Language;
use crate::inspect::VERSION;
use crate::policy::is_plugin_name;

/// A file of a template: its place, and what is in it.
type Entry = (&'static str, &'static [u8]);

macro_rules! files {
    ($($place:literal => $file:literal,)*) => {
        &[$(($place, include_bytes!(concat!("../../", $file)))),*]
    };
}

const SHARED: &[Entry] = files! {
    "plugin.yaml" => "templates/plugin.yaml",
    "cases/two-words.yaml" => "templates/two-words.yaml",
    "wit/flow.wit" => "wit/flow.wit",
};

const RUST: &[Entry] = files! {
    ".gitignore" => "templates/rust/gitignore",
    "Cargo.toml" => "templates/rust/Cargo.toml.in",
    "README.md" => "templates/rust/README.md",
    "src/lib.rs" => "templates/rust/lib.rs",
    "flow-plugin/Cargo.toml" => "sdk/Cargo.toml",
    "flow-plugin/src/bindings.rs" => "sdk/src/bindings.rs",
    "flow-plugin/src/call.rs" => "sdk/src/call.rs",
    "flow-plugin/src/clock.rs" => "sdk/src/clock.rs",
    "flow-plugin/src/config.rs" => "sdk/src/config.rs",
    "flow-plugin/src/error.rs" => "sdk/src/error.rs",
    "flow-plugin/src/file.rs" => "sdk/src/file.rs",
    "flow-plugin/src/glue.rs" => "sdk/src/glue.rs",
    "flow-plugin/src/http.rs" => "sdk/src/http.rs",
    "flow-plugin/src/kv.rs" => "sdk/src/kv.rs",
    "flow-plugin/src/lib.rs" => "sdk/src/lib.rs",
    "flow-plugin/src/llm.rs" => "sdk/src/llm.rs",
    "flow-plugin/src/log.rs" => "sdk/src/log.rs",
    "flow-plugin/src/provide.rs" => "sdk/src/provide.rs",
};

const JAVASCRIPT: &[Entry] = files! {
    ".gitignore" => "templates/js/gitignore",
    "package.json" => "templates/js/package.json",
    "README.md" => "templates/js/README.md",
    "plugin.js" => "templates/js/plugin.js",
};

const PYTHON: &[Entry] = files! {
    ".gitignore" => "templates/python/gitignore",
    "requirements.txt" => "templates/python/requirements.txt",
    "README.md" => "templates/python/README.md",
    "app.py" => "templates/python/app.py",
};

const C: &[Entry] = files! {
    ".gitignore" => "templates/c/gitignore",
    "README.md" => "templates/c/README.md",
    "plugin.c" => "templates/c/plugin.c",
    "bindings/step_plugin.c" => "templates/c/bindings/step_plugin.c",
    "bindings/step_plugin.h" => "templates/c/bindings/step_plugin.h",
    "bindings/step_plugin_component_type.o" => "templates/c/bindings/step_plugin_component_type.o",
};

/// Why a plugin was not begun.
#[derive(Debug, thiserror::Error)]
pub enum NewError {
    /// It cannot be called so.
    #[error("`{0}` cannot name a plugin")]
    Name(String),
    /// There is something.
    #[error("there is already `{}`", .0.display())]
    Exists(PathBuf),
    /// It cannot be written.
    #[error("cannot write `{}`: {why}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
    },
}

impl NewError {
    /// What can be done about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Name(_) => Some("a name is lower-case letters, digits and `-`"),
            Self::Exists(_) => Some("choose another name, or remove it"),
            Self::Write { .. } => None,
        }
    }
}

/// Writes a new plugin into a folder of its name; that folder.
pub fn create(within: &Path, name: &str, language: Language) -> Result<PathBuf, NewError> {
    if !is_plugin_name(name) {
        return Err(NewError::Name(name.to_owned()));
    }
    let folder = within.join(name);
    if folder.exists() {
        return Err(NewError::Exists(folder));
    }
    let own = match language {
        Language::Rust => RUST,
        Language::JavaScript => JAVASCRIPT,
        Language::Python => PYTHON,
        Language::C => C,
    };
    for (place, bytes) in SHARED.iter().chain(own) {
        let path = folder.join(place);
        let failed = |why| NewError::Write { path: path.clone(), why };
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(failed)?;
        }
        std::fs::write(&path, filled(bytes, name)).map_err(failed)?;
    }
    Ok(folder)
}

/// A file with the plugin's name and the interface's version in it.
fn filled(bytes: &[u8], name: &str) -> Vec<u8> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.replace("{{name}}", name).replace("{{api}}", VERSION).into_bytes(),
        Err(_) => bytes.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Manifest;

    #[test]
    fn a_new_plugin_says_what_it_is() {
        for language in [Language::Rust, Language::JavaScript, Language::Python, Language::C] {
            let within = tempfile::tempdir().unwrap();
            let folder = create(within.path(), "my-plugin", language).unwrap();
            assert_eq!(Language::of_folder(&folder), Some(language));
            let manifest = std::fs::read(folder.join("plugin.yaml")).unwrap();
            let manifest = Manifest::read(&manifest).unwrap();
            assert_eq!((manifest.name.as_str(), manifest.version.as_str()), ("my-plugin", "0.1.0"));
            assert!(create(within.path(), "my-plugin", language).is_err());
        }
        let within = tempfile::tempdir().unwrap();
        let told = create(within.path(), "../evil", Language::C).unwrap_err().to_string();
        assert_eq!(told, "`../evil` cannot name a plugin");
    }

    /// Every file of the crate is in the template.
    #[test]
    fn a_new_plugin_in_rust_has_the_whole_crate() {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk/src");
        for entry in std::fs::read_dir(sources).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let place = format!("flow-plugin/src/{name}");
            assert!(RUST.iter().any(|(own, _)| *own == place), "{place}");
        }
    }
}
