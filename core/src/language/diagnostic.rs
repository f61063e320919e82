//! Faults of a file: each with its place, the line itself, and a hint.

use std::fmt;

use serde::Serialize;

use super::document::Place;

/// The most faults that are listed; a file with more has one cause.
const LISTED: usize = 50;

/// The most characters of a line that are shown.
const SHOWN: usize = 120;

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
    /// The line itself.
    pub text: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(
            f,
            "{}:{}:{}: {severity}: {}",
            self.file, self.line, self.column, self.message
        )?;
        let from = (self.column as usize).saturating_sub(SHOWN);
        let text: String = self.text.chars().skip(from).take(SHOWN).collect();
        if !text.trim().is_empty() {
            let indent = (self.column as usize).saturating_sub(1 + from);
            writeln!(f, "{:>5} | {}", self.line, text.trim_end())?;
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
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    pub(super) fn sorted(mut all: Vec<Diagnostic>) -> Self {
        all.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        let mut seen = std::collections::HashSet::new();
        all.retain(|fault| seen.insert((fault.line, fault.column, fault.message.clone())));
        Self(all)
    }

    /// Whether the workflow cannot run.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|fault| fault.severity == Severity::Error)
    }

    /// How many errors there are.
    pub fn errors(&self) -> usize {
        self.0
            .iter()
            .filter(|fault| fault.severity == Severity::Error)
            .count()
    }

    /// Every fault.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.0.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in self.0.iter().take(LISTED) {
            write!(f, "{fault}")?;
        }
        match self.0.len().saturating_sub(LISTED) {
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
        Self {
            file,
            lines: text.lines().collect(),
        }
    }

    pub(super) fn fault(
        &self,
        severity: Severity,
        place: Place,
        message: String,
        hint: Option<String>,
    ) -> Diagnostic {
        let line = place.line.max(1);
        let text = self
            .lines
            .get(line as usize - 1)
            .copied()
            .unwrap_or_default();
        Diagnostic {
            severity,
            file: self.file.to_owned(),
            line,
            column: place.column.max(1),
            message,
            hint,
            text: text.to_owned(),
        }
    }

    pub(super) fn line(&self, line: u32) -> &'t str {
        self.lines
            .get((line as usize).saturating_sub(1))
            .copied()
            .unwrap_or_default()
    }
}
