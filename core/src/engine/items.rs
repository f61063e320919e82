//! The items of a loop, one at a time.
//!
//! A list is shared, a count is counted, an artifact of JSON lines is read as it is needed:
//! nothing here grows with the number of items but the keys that tell equal ones apart.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;

use serde_json::Value;

use crate::artifact::ArtifactRef;
use crate::engine::identity::Keys;
use crate::error::{ErrorClass, Failure};
use crate::store::Artifacts;

/// The longest line of a file of JSON lines, in bytes.
const LONGEST_LINE: u64 = 16 << 20;

/// The items of a loop.
#[derive(Debug)]
pub(crate) struct Items {
    source: Source,
    keys: Keys,
    next: u64,
}

#[derive(Debug)]
enum Source {
    List(Arc<Value>),
    Count(u64),
    Lines { name: String, lines: BufReader<File> },
}

impl Items {
    /// The items that a value stands for: a list, a count, or an artifact of JSON lines.
    ///
    /// Dropping the future does nothing.
    pub(crate) async fn of(value: Value, artifacts: &Artifacts) -> Result<Self, Failure> {
        let source = match &value {
            Value::Array(_) => Source::List(Arc::new(value)),
            Value::Number(number) => Source::Count(number.as_u64().ok_or_else(|| {
                Failure::input(format!("`for_each` cannot count to {number}"))
                    .with_hint("a count is a whole number from 0 on")
            })?),
            Value::Object(_) => match ArtifactRef::from_value(&value) {
                Some(artifact) => lines(&artifact, artifacts).await?,
                None => return Err(no_items("a map")),
            },
            Value::Null => return Err(no_items("null")),
            Value::Bool(_) => return Err(no_items("a boolean")),
            Value::String(_) => return Err(no_items("text")),
        };
        Ok(Self { source, keys: Keys::default(), next: 0 })
    }

    /// How many items there are; none where only reading them to the end tells.
    pub(crate) fn count(&self) -> Option<u64> {
        match &self.source {
            Source::List(list) => list.as_array().map(|items| items.len() as u64),
            Source::Count(count) => Some(*count),
            Source::Lines { .. } => None,
        }
    }

    /// The next item with its position, or none after the last.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, Arc<Value>)>, Failure> {
        let ordinal = self.next;
        let item = match &mut self.source {
            Source::List(list) => list.get(ordinal as usize).cloned(),
            Source::Count(count) => (ordinal < *count).then(|| Value::from(ordinal)),
            Source::Lines { name, lines } => next_line(name, lines, ordinal)?,
        };
        self.next += 1;
        Ok(item.map(|item| (ordinal, Arc::new(item))))
    }

    /// The identity of an item that `next` gave, given what `key` yields for it.
    pub(crate) fn key(&mut self, item: &Value, key: Option<&Value>) -> String {
        match key {
            Some(key) => self.keys.of_value(key),
            None => self.keys.of_content(item),
        }
    }
}

fn no_items(what: &str) -> Failure {
    Failure::input(format!("`for_each` cannot run over {what}"))
        .with_hint("it takes a list, a count, or a file of JSON lines")
}

async fn lines(artifact: &ArtifactRef, artifacts: &Artifacts) -> Result<Source, Failure> {
    let file = artifacts.open(&artifact.hash).await?;
    Ok(Source::Lines { name: artifact.name.clone(), lines: BufReader::new(file) })
}

fn next_line(
    name: &str,
    lines: &mut BufReader<File>,
    ordinal: u64,
) -> Result<Option<Value>, Failure> {
    let at = || format!("item {} of `{name}`", ordinal + 1);
    loop {
        let mut line = Vec::new();
        let read =
            lines.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line).map_err(|error| {
                Failure::new(ErrorClass::Io, format!("cannot read {}: {error}", at()))
            })?;
        if read == 0 {
            return Ok(None);
        }
        if read as u64 == LONGEST_LINE {
            let message = format!("{} is longer than {LONGEST_LINE} bytes", at());
            return Err(Failure::new(ErrorClass::Limit, message));
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        return serde_json::from_slice(&line).map(Some).map_err(|error| {
            Failure::input(format!("{} is not JSON: {error}", at()))
                .with_hint("a file of items holds one JSON value a line")
        });
    }
}
