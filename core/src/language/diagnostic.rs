//! Faults of a file: each with its place, the line itself, and a hint.

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;

use super::document::Place;

/// The most faults that are listed; a file with more has one cause.
pub(super) const LISTED: usize = 50;

/// The most faults that are kept; of more, only the number.
pub(super) const KEPT: usize = 1_000;

/// The most characters of a line that are shown, and of those before the fault.
const SHOWN: usize = 120;

/// The most characters of a message or a hint: either may quote the file.
const LONGEST: usize = 500;

/// How bad a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The workflow cannot run.
    Error,
    /// It can, and something in it has no effect.
    Warning,
}

/// A fault of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The file, as it was named.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The line itself; of a long one, what stands around the column.
    pub text: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(f, "{}:{}:{}: {severity}: {}", self.file, self.line, self.column, self.message)?;
        if !self.text.trim().is_empty() {
            let indent = (self.column as usize).saturating_sub(1 + cut(self.column));
            writeln!(f, "{:>5} | {}", self.line, self.text.trim_end())?;
            writeln!(f, "      | {:indent$}^", "")?;
        }
        if let Some(hint) = &self.hint {
            writeln!(f, "      hint: {hint}")?;
        }
        Ok(())
    }
}

/// All faults of a file and of those it refers to, in the order of their places.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Diagnostics {
    kept: Vec<Diagnostic>,
    /// Errors that were counted and not kept.
    #[serde(skip)]
    more: usize,
}

impl Diagnostics {
    pub(super) fn sorted(mut kept: Vec<Diagnostic>, more: usize) -> Self {
        kept.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        let mut seen = HashSet::new();
        kept.retain(|f| seen.insert((f.file.clone(), f.line, f.column, f.message.clone())));
        Self { kept, more }
    }

    /// Whether the workflow cannot run.
    pub fn has_errors(&self) -> bool {
        self.errors() > 0
    }

    /// How many errors there are.
    pub fn errors(&self) -> usize {
        let errors = self.iter().filter(|fault| fault.severity == Severity::Error);
        errors.count() + self.more
    }

    /// Every fault; of very many, the first that were found.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.kept.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in self.iter().take(LISTED) {
            write!(f, "{fault}")?;
        }
        match (self.kept.len() + self.more).saturating_sub(LISTED) {
            0 => Ok(()),
            more => writeln!(f, "and {more} more"),
        }
    }
}

/// The text of a file, for showing its lines.
#[derive(Debug)]
pub(super) struct Lines<'t> {
    file: &'t str,
    lines: Vec<&'t str>,
}

impl<'t> Lines<'t> {
    pub(super) fn new(file: &'t str, text: &'t str) -> Self {
        Self { file, lines: lines_of(text).collect() }
    }

    pub(super) fn fault(
        &self,
        severity: Severity,
        place: Place,
        message: String,
        hint: Option<String>,
    ) -> Diagnostic {
        let (line, column) = (place.line.max(1), place.column.max(1));
        Diagnostic {
            severity,
            file: self.file.to_owned(),
            line,
            column,
            message: shortened(message),
            hint: hint.map(shortened),
            text: around(self.line(line), column).to_owned(),
        }
    }

    pub(super) fn line(&self, line: u32) -> &'t str {
        self.lines.get((line as usize).saturating_sub(1)).copied().unwrap_or_default()
    }
}

/// The lines as YAML breaks them: at `\n`, at `\r\n`, and at a `\r` alone.
pub(super) fn lines_of(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

/// How many characters of a line are left out before what is shown of it.
fn cut(column: u32) -> usize {
    (column as usize).saturating_sub(SHOWN)
}

/// The part of a line that is shown.
fn around(line: &str, column: u32) -> &str {
    let part = |from: usize, characters: usize| {
        let rest = &line[from..];
        let end = rest.char_indices().nth(characters);
        end.map_or(line.len(), |(end, _)| from + end)
    };
    let from = match cut(column) {
        // A fault for each of a long line's many values must not walk it each time.
        cut if line.is_ascii() => cut.min(line.len()),
        cut => part(0, cut),
    };
    &line[from..part(from, 2 * SHOWN)]
}

fn shortened(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
    }
    text
}
