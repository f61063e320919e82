//! The folder of a plugin that is being written: how it begins, and how it is built.

mod build;
mod template;
mod tools;
mod wrap;

pub use build::{BuildError, Built, build};
pub use template::{NewError, create};
pub use wrap::{WrapError, component_of};

use std::fmt;
use std::path::Path;

/// What a plugin is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Rust, with the crate `flow-plugin`.
    Rust,
    /// JavaScript, by componentize-qjs.
    JavaScript,
    /// Python, by componentize-py.
    Python,
    /// C, by zig.
    C,
}

impl Language {
    /// The language of a folder; none where it is none of a plugin.
    pub fn of_folder(folder: &Path) -> Option<Self> {
        [
            ("Cargo.toml", Self::Rust),
            ("plugin.js", Self::JavaScript),
            ("app.py", Self::Python),
            ("plugin.c", Self::C),
        ]
        .into_iter()
        .find(|(file, _)| folder.join(file).is_file())
        .map(|(_, language)| language)
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rust => "Rust",
            Self::JavaScript => "JavaScript",
            Self::Python => "Python",
            Self::C => "C",
        })
    }
}
