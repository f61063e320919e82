//! Where a model comes from: `hf:ORG/NAME@REVISION:FILE+PROJECTOR`.

use std::fmt;
use std::str::FromStr;

use crate::gguf::{PartName, SUFFIX};

/// What a source begins with.
const SCHEME: &str = "hf:";

/// The revision where none is named.
const USUAL: &str = "main";

/// The longest name or path.
const LONGEST: usize = 200;

/// The files of a model in a repository of a hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// `ORG/NAME`.
    pub repository: String,
    /// A branch, a tag or a commit.
    pub revision: String,
    /// The path of the weights; of their first part where they are split.
    pub weights: String,
    /// The path of the projector.
    pub projector: Option<String>,
}

/// A file in a repository of a hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubFile {
    /// `ORG/NAME`.
    pub repository: String,
    /// A branch, a tag or a commit.
    pub revision: String,
    /// Its path.
    pub path: String,
}

/// Says that a text is no source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` does not say where a model is: {why}")]
pub struct SourceError {
    text: String,
    why: &'static str,
}

impl Source {
    /// Its files: the weights, all parts of them, and the projector.
    pub fn files(&self) -> (Vec<HubFile>, Option<HubFile>) {
        let file = |path: String| HubFile {
            repository: self.repository.clone(),
            revision: self.revision.clone(),
            path,
        };
        let (folder, name) = match self.weights.rfind('/') {
            Some(at) => self.weights.split_at(at + 1),
            None => ("", self.weights.as_str()),
        };
        let weights = match PartName::of(name) {
            Some(part) => part.all().map(|name| file(format!("{folder}{name}"))).collect(),
            None => vec![file(self.weights.clone())],
        };
        (weights, self.projector.clone().map(file))
    }

    /// The same with another projector, a path in the same repository.
    pub fn with_projector(self, path: &str) -> Result<Self, SourceError> {
        match fault_of_path(path) {
            None => Ok(Self { projector: Some(path.to_owned()), ..self }),
            Some(why) => Err(SourceError { text: path.to_owned(), why }),
        }
    }
}

impl HubFile {
    /// The last part of its path.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

impl fmt::Display for HubFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}@{}:{}", self.repository, self.revision, self.path)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { repository, revision, weights, projector } = self;
        write!(f, "{SCHEME}{repository}")?;
        if revision != USUAL {
            write!(f, "@{revision}")?;
        }
        write!(f, ":{weights}")?;
        projector.as_ref().map_or(Ok(()), |projector| write!(f, "+{projector}"))
    }
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let wrong = |why| SourceError { text: text.to_owned(), why };
        let rest = text.strip_prefix(SCHEME);
        let rest = rest.ok_or_else(|| wrong("write it as `hf:ORG/NAME:FILE.gguf`"))?;
        let (place, files) = rest
            .split_once(':')
            .ok_or_else(|| wrong("no file is named: `hf:ORG/NAME:FILE.gguf`"))?;
        let (repository, revision) = place.split_once('@').unwrap_or((place, USUAL));
        let (organisation, name) = repository
            .split_once('/')
            .ok_or_else(|| wrong("a repository is written `ORG/NAME`"))?;
        if !is_plain(organisation) || !is_plain(name) {
            return Err(wrong("a repository is written `ORG/NAME`"));
        }
        if revision.is_empty() || !revision.split('/').all(is_plain) {
            return Err(wrong("the revision behind `@` is none"));
        }
        // A name may hold a plus, but the one behind an end is between two.
        let (weights, projector) = match files.split_once(".gguf+") {
            Some((weights, projector)) => (format!("{weights}{SUFFIX}"), Some(projector)),
            None => (files.to_owned(), None),
        };
        if let Some(why) =
            std::iter::once(weights.as_str()).chain(projector).find_map(fault_of_path)
        {
            return Err(wrong(why));
        }
        let (repository, revision) = (repository.to_owned(), revision.to_owned());
        Ok(Self { repository, revision, weights, projector: projector.map(str::to_owned) })
    }
}

fn fault_of_path(path: &str) -> Option<&'static str> {
    if !path.ends_with(SUFFIX) {
        return Some("a model's file ends with `.gguf`");
    }
    let fine = path.len() <= LONGEST && path.split('/').all(is_name);
    (!fine).then_some("a path holds names between slashes, and nothing else")
}

/// Whether it can be a name within an address as it is.
fn is_plain(name: &str) -> bool {
    let letters =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_');
    is_name(name) && name.chars().all(letters)
}

/// Whether it can be the name of a file, here and elsewhere.
fn is_name(name: &str) -> bool {
    let strange = |letter: char| letter.is_control() || "\\:*?\"<>|%#".contains(letter);
    !matches!(name, "" | "." | "..") && name.len() <= LONGEST && !name.contains(strange)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_reads_back_as_it_was_written() {
        for text in [
            "hf:org/name:model.gguf",
            "hf:org/name@v1.0:folder/model.gguf",
            "hf:org/name@refs/pr/3:model-00001-of-00002.gguf+mmproj-f16.gguf",
            "hf:org/name:model+extra.gguf+mmproj.gguf",
        ] {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
        }
        let source: Source = "hf:org/name@main:m.gguf".parse().unwrap();
        assert_eq!(source.to_string(), "hf:org/name:m.gguf");
    }

    #[test]
    fn all_parts_of_a_split_model_are_its_files() {
        let source: Source =
            "hf:o/n:big/model-00001-of-00002.gguf+big/mmproj.gguf".parse().unwrap();
        let (weights, projector) = source.files();
        let paths: Vec<_> = weights.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["big/model-00001-of-00002.gguf", "big/model-00002-of-00002.gguf"]);
        assert_eq!(projector.unwrap().name(), "mmproj.gguf");
    }

    #[test]
    fn what_is_no_source_is_said() {
        for (text, why) in [
            ("org/name:m.gguf", "write it as `hf:ORG/NAME:FILE.gguf`"),
            ("hf:org/name", "no file is named: `hf:ORG/NAME:FILE.gguf`"),
            ("hf:name:m.gguf", "a repository is written `ORG/NAME`"),
            ("hf:../..:m.gguf", "a repository is written `ORG/NAME`"),
            ("hf:o/n?x=1:m.gguf", "a repository is written `ORG/NAME`"),
            ("hf:o/n/more:m.gguf", "a repository is written `ORG/NAME`"),
            ("hf:o/n@:m.gguf", "the revision behind `@` is none"),
            ("hf:o/n@a/../b:m.gguf", "the revision behind `@` is none"),
            ("hf:o/n:m.bin", "a model's file ends with `.gguf`"),
            ("hf:o/n:m.gguf+p.bin", "a model's file ends with `.gguf`"),
            ("hf:o/n:../m.gguf", "a path holds names between slashes, and nothing else"),
            ("hf:o/n:/m.gguf", "a path holds names between slashes, and nothing else"),
            ("hf:o/n:a\\m.gguf", "a path holds names between slashes, and nothing else"),
        ] {
            let error = text.parse::<Source>().unwrap_err();
            assert_eq!(error.to_string(), format!("`{text}` does not say where a model is: {why}"));
        }
    }
}
