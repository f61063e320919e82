//! The answers of a batch, kept as one file: a first line of ours, then the service's.
//!
//! A batch holds up to a hundred thousand answers. They are written to the disk as they come,
//! and only where each of them stands is held.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use flow_core::artifact::ArtifactRef;
use flow_core::error::{ErrorClass, Failure};
use flow_core::intake::Intake;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::dialect::{BatchDialect, Became, Named, Rest};
use crate::http::{Incoming, LARGEST_ANSWER};
use crate::redact::Redactor;

/// The media type of what is kept.
const LINES: &str = "application/jsonl";

/// A file that is being written.
pub(super) struct Writing {
    file: NamedTempFile,
    redactor: Redactor,
}

impl Writing {
    pub(super) fn new(rest: Rest, redactor: &Redactor) -> Result<Self, Failure> {
        let file = NamedTempFile::new().map_err(|error| cannot("keep", &error))?;
        let mut writing = Self { file, redactor: redactor.clone() };
        writing.line(json!({ "rest": rest.as_str() }).to_string().as_bytes())?;
        Ok(writing)
    }

    /// Adds a line, without the secrets that are in it.
    pub(super) fn line(&mut self, line: &[u8]) -> Result<(), Failure> {
        let line = self.redactor.bytes(line.to_vec());
        let file = self.file.as_file_mut();
        file.write_all(&line)
            .and_then(|()| file.write_all(b"\n"))
            .map_err(|error| cannot("keep", &error))
    }

    /// Adds the lines of an answer as they come.
    ///
    /// Dropping the future ends the exchange.
    pub(super) async fn lines(&mut self, mut incoming: Incoming) -> Result<(), Failure> {
        let mut held = Vec::new();
        while let Some(bytes) = incoming.next().await {
            held.extend_from_slice(&bytes?);
            let mut begin = 0;
            while let Some(length) = memchr::memchr(b'\n', &held[begin..]) {
                self.line(&held[begin..begin + length])?;
                begin += length + 1;
            }
            held.drain(..begin);
            if held.len() as u64 > LARGEST_ANSWER {
                let provider = &incoming.provider;
                let message =
                    format!("provider `{provider}` answered more than {LARGEST_ANSWER} bytes");
                return Err(Failure::new(ErrorClass::Limit, message));
            }
        }
        if held.is_empty() { Ok(()) } else { self.line(&held) }
    }

    /// Takes the file into the store.
    ///
    /// Dropping the future takes it or not.
    pub(super) async fn keep(mut self, intake: &Intake) -> Result<ArtifactRef, Failure> {
        self.file.flush().map_err(|error| cannot("keep", &error))?;
        Ok(intake.artifacts().put_file(self.file.path(), LINES, "answers.jsonl").await?)
    }
}

/// Answers that are kept, and where each of them stands.
#[derive(Debug)]
pub(super) struct Kept {
    path: PathBuf,
    rest: Rest,
    /// First byte and length of the line of a request, by its number.
    places: HashMap<u32, (u64, usize)>,
}

impl Kept {
    /// Looks where each answer stands.
    ///
    /// Dropping the future does nothing.
    pub(super) async fn open(
        intake: &Intake,
        results: &ArtifactRef,
        batches: &'static dyn BatchDialect,
        named: Named,
    ) -> Result<Self, Failure> {
        let path = intake.artifacts().local_path(&results.hash)?;
        let read = move || Self::read(path, batches, &named);
        let read = tokio::task::spawn_blocking(read).await;
        read.map_err(|error| Failure::internal(format!("reading answers failed: {error}")))?
            .map_err(|error| cannot("read", &error))
    }

    fn read(path: PathBuf, batches: &dyn BatchDialect, named: &Named) -> io::Result<Self> {
        let mut file = BufReader::new(File::open(&path)?);
        let mut kept = Self { path, rest: Rest::Missing, places: HashMap::new() };
        let (mut at, mut line) = (0, Vec::new());
        loop {
            line.clear();
            let length = file.read_until(b'\n', &mut line)?;
            if length == 0 {
                return Ok(kept);
            }
            if at == 0 {
                let head: Value = serde_json::from_slice(&line)?;
                kept.rest = head["rest"].as_str().and_then(Rest::from_word).unwrap_or(kept.rest);
            } else if let Some(line) = batches.line(&line)
                && let Some(number) = named.number_of(&line.id)
            {
                kept.places.insert(number, (at, length));
            }
            at += length as u64;
        }
    }

    /// Whether nothing here is of the batch that was named.
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// What became of a request.
    ///
    /// Dropping the future does nothing.
    pub(super) async fn of(
        &self,
        number: u32,
        batches: &'static dyn BatchDialect,
    ) -> Result<Became, Failure> {
        let Some((at, length)) = self.places.get(&number).copied() else {
            return Ok(Became::Not(self.rest));
        };
        let path = self.path.clone();
        let line = tokio::task::spawn_blocking(move || part(&path, at, length)).await;
        let line = line
            .map_err(|error| Failure::internal(format!("reading answers failed: {error}")))?
            .map_err(|error| cannot("read", &error))?;
        Ok(batches.line(&line).map_or(Became::Not(self.rest), |line| line.became))
    }
}

fn part(path: &Path, at: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = vec![0; length];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn cannot(what: &str, error: &io::Error) -> Failure {
    Failure::new(ErrorClass::Io, format!("cannot {what} the answers of a batch: {error}"))
}
