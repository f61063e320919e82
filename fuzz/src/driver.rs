//! The driver that needs nothing but a test runner: the corpus, then changes to it.
//!
//! An input that fails is kept as a file and named. Each input lies in that file while it is
//! tried, so that one which ends the process is there too when the process is gone.

use std::fmt;
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::{Mutator, Target, words};

/// Where the changes begin: the same each time, so that a failure is seen again.
const SEED: u64 = 1;

/// What inputs are made of.
#[derive(Clone, Debug, Default)]
pub struct Material {
    /// Inputs that are tried as they are, by name.
    pub corpus: Vec<(String, Vec<u8>)>,
    /// Words that changes put in.
    pub words: Vec<Vec<u8>>,
}

/// How much was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Inputs of the corpus.
    pub corpus: usize,
    /// Changed inputs.
    pub changed: usize,
}

/// An input for which a promise does not hold.
#[derive(Debug)]
pub struct Finding {
    /// Name of the target.
    pub target: &'static str,
    /// The file of the corpus, if it is one as it is.
    pub file: Option<String>,
    /// What the target said.
    pub message: String,
    /// Where the input is kept.
    pub kept: PathBuf,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, file, message, kept } = self;
        let what = file.as_deref().unwrap_or("a changed input");
        write!(f, "{target}: {what}: {message}\nthe input is kept in {}", kept.display())
    }
}

impl Material {
    /// Reads `corpus/TARGET/` and `dictionaries/TARGET.dict` in a folder; files whose name
    /// begins with a dot are about the others.
    pub fn of(target: &Target, folder: &Path) -> io::Result<Self> {
        let mut corpus = Vec::new();
        for entry in fs::read_dir(folder.join("corpus").join(target.name))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') {
                corpus.push((name, fs::read(entry.path())?));
            }
        }
        // A folder is listed in any order.
        corpus.sort();
        let dictionary = folder.join("dictionaries").join(format!("{}.dict", target.name));
        let words = words(&fs::read_to_string(&dictionary)?)
            .map_err(|line| io::Error::other(format!("{}: {line}", dictionary.display())))?;
        Ok(Self { corpus, words })
    }
}

/// Tries a target on all its corpus, then on changes to it.
///
/// `keep` is the folder where the input that failed is left.
pub fn drive(
    target: &Target,
    material: &Material,
    keep: &Path,
) -> io::Result<Result<Seen, Finding>> {
    fs::create_dir_all(keep)?;
    let kept = keep.join(target.name);
    for (name, bytes) in &material.corpus {
        fs::write(&kept, bytes)?;
        if let Err(message) = attempt(target, bytes) {
            let file = Some(name.clone());
            return Ok(Err(Finding { target: target.name, file, message, kept }));
        }
    }
    let corpus: Vec<_> = material.corpus.iter().map(|(_, bytes)| bytes.clone()).collect();
    let mut mutator = Mutator::new(&corpus, &material.words, SEED);
    for _ in 0..target.rounds {
        let bytes = mutator.input();
        fs::write(&kept, &bytes)?;
        if let Err(message) = attempt(target, &bytes) {
            return Ok(Err(Finding { target: target.name, file: None, message, kept }));
        }
    }
    fs::remove_file(&kept)?;
    Ok(Ok(Seen { corpus: corpus.len(), changed: target.rounds as usize }))
}

fn attempt(target: &Target, bytes: &[u8]) -> Result<(), String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.check)(bytes)));
    outcome.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        text.unwrap_or("a panic without words").to_owned()
    })
}
