//! Short names of models that are known to work, as data: `models.json`, of one date.
//!
//! A name stands for files in a repository of a hub. A size or a hash that nobody could check
//! is null there, and is learnt from the hub when the model is pulled; one that is given is
//! what the files must have. Left out: prices and what a model takes (its files say that),
//! and whatever a user wants: any other file is pulled by its address.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::store::{HubFile, Source};
use flow_core::units::Size;

static TABLE: LazyLock<Catalog> = LazyLock::new(|| {
    serde_json::from_str(include_str!("models.json")).expect("a test reads the table")
});

/// The models that have short names.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    date: String,
    models: BTreeMap<String, Listed>,
}

/// A model with a short name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// What it is good for, in a line.
    pub about: String,
    /// Its repository at the hub: `ORG/NAME`.
    pub repository: String,
    /// The revision of the repository: a commit, where it was checked.
    pub revision: String,
    /// Its weights.
    pub weights: Vec<ListedFile>,
    /// Its projector, where it takes images.
    pub projector: Option<ListedFile>,
    /// The tokens it is given room for where nobody says.
    pub context: u32,
    /// Its licence, where it was checked.
    pub licence: Option<String>,
    /// Where people read about it.
    pub homepage: String,
}

/// A file of a listed model.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListedFile {
    /// Its path in the repository.
    pub file: String,
    /// Its bytes, where they were checked.
    pub size: Option<u64>,
    /// Its SHA-256 in hexadecimal digits, where it was checked.
    pub sha256: Option<String>,
}

impl Catalog {
    /// The one that is built in.
    pub fn built_in() -> &'static Self {
        &TABLE
    }

    /// The day that its facts are of.
    pub fn date(&self) -> &str {
        &self.date
    }

    /// A model by its name.
    pub fn get(&self, name: &str) -> Option<&Listed> {
        self.models.get(name)
    }

    /// Every model and its name.
    pub fn models(&self) -> impl Iterator<Item = (&str, &Listed)> {
        self.models.iter().map(|(name, listed)| (name.as_str(), listed))
    }
}

impl Listed {
    /// All its files.
    pub fn files(&self) -> impl Iterator<Item = &ListedFile> {
        self.weights.iter().chain(&self.projector)
    }

    /// The bytes of all its files, where they are known: also the least of memory it takes.
    pub fn size(&self) -> Option<Size> {
        self.files().map(|file| file.size).sum::<Option<u64>>().map(Size)
    }

    /// Where its files come from.
    pub fn source(&self) -> Source {
        Source {
            repository: self.repository.clone(),
            revision: self.revision.clone(),
            weights: self.weights[0].file.clone(),
            projector: self.projector.as_ref().map(|file| file.file.clone()),
        }
    }

    /// What is known of a file of it.
    pub fn known(&self, file: &HubFile) -> Option<&ListedFile> {
        let of_it = file.repository == self.repository && file.revision == self.revision;
        self.files().find(|listed| of_it && listed.file == file.path)
    }
}

#[cfg(test)]
mod tests {
    use flow_core::content::ContentHash;

    use super::*;
    use crate::gguf::SUFFIX;
    use crate::store::ModelName;

    #[test]
    fn every_listed_model_can_be_asked_for() {
        let catalog = Catalog::built_in();
        assert_eq!(catalog.date(), "2026-11-24");
        assert_eq!(catalog.models().count(), 18);
        for (name, listed) in catalog.models() {
            assert_eq!(name.parse::<ModelName>().unwrap().as_str(), name);
            let source = listed.source();
            assert_eq!(source.to_string().parse::<Source>().unwrap(), source, "{name}");
            assert_eq!(listed.weights.len(), 1, "{name}");
            assert!((2048..=32_768).contains(&listed.context), "{name}");
            assert!(listed.homepage.starts_with("https://"), "{name}");
            for file in listed.files() {
                assert!(file.file.ends_with(SUFFIX), "{name}");
                if let Some(hash) = &file.sha256 {
                    assert!(format!("sha256:{hash}").parse::<ContentHash>().is_ok(), "{name}");
                }
            }
            let pinned = listed.files().any(|file| file.sha256.is_some());
            let commit = listed.revision.len() == 40;
            assert!(pinned || !commit, "{name}: a commit was checked, and no hash");
        }
    }

    #[test]
    fn the_size_of_a_model_is_that_of_its_files_or_unknown() {
        let size = |name| Catalog::built_in().get(name).unwrap().size();
        assert_eq!(size("qwen2.5-vl-7b"), Some(Size(4_683_072_032 + 853_119_712)));
        assert_eq!(size("smollm2-135m"), Some(Size(105_454_432)));
        assert_eq!(size("llava-1.5-7b"), None);
    }
}
