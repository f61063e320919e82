//! From bytes to a document: everything that can be said without knowing the language.
//!
//! Bounds on size, nesting and aliases stand before anything is built, so that a hostile
//! file costs no more than its length.

use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{DuplicateKeyPolicy, Error, Options};

use super::diagnostic::{Diagnostic, Lines, Severity, lines_of};
use super::document::{Data, Node, Place, Root};

/// The most bytes a file may have.
pub(super) const LARGEST_FILE: usize = 32 << 20;

/// The most levels that values may nest.
const DEEPEST: usize = 64;

/// Reads a file's bytes as text, or says where they are none.
pub(super) fn text<'b>(file: &str, bytes: &'b [u8]) -> Result<&'b str, Box<Diagnostic>> {
    let bare = |message: String, hint: &str, place: Place| {
        let fault = Lines::new(file, "").fault(Severity::Error, place, message, Some(hint.into()));
        Box::new(fault)
    };
    if bytes.len() > LARGEST_FILE {
        let message = format!("the file has {} bytes, and {LARGEST_FILE} are allowed", bytes.len());
        return Err(bare(message, "keep data in files of its own", Place::default()));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let (at, byte) = (error.valid_up_to(), bytes[error.valid_up_to()]);
        let before = String::from_utf8_lossy(&bytes[..at]);
        let line = lines_of(&before).count() as u32;
        let last = lines_of(&before).last().unwrap_or_default();
        let column = last.chars().count() as u32 + 1;
        let message = format!("the file is not UTF-8: byte 0x{byte:02x} at offset {at}");
        bare(message, "save it as UTF-8", Place { line, column })
    })
}

/// Parses the text of a file.
pub(super) fn parse(lines: &Lines<'_>, text: &str) -> Result<Node, Box<Diagnostic>> {
    let fault =
        |place, message: String, hint| Box::new(lines.fault(Severity::Error, place, message, hint));
    let empty = || {
        let hint = Some("a workflow has at least `steps:`".to_owned());
        fault(Place::default(), "the file is empty".into(), hint)
    };
    match serde_saphyr::from_str_with_options::<Root>(text, options()) {
        Ok(Root(node)) if node.data == Data::Null => Err(empty()),
        Ok(Root(node)) => Ok(node),
        Err(error) => {
            let error = error.without_snippet();
            let place = error.location().map_or(Place::default(), |at| Place {
                line: at.line() as u32,
                column: at.column() as u32,
            });
            Err(fault(place, reason(error), hint(lines, place)))
        }
    }
}

fn options() -> Options {
    let budget = serde_saphyr::budget! {
        max_depth: DEEPEST,
        max_nodes: 4_000_000,
        max_events: 12_000_000,
        max_total_scalar_bytes: LARGEST_FILE,
        max_documents: 1,
        max_aliases: 1_000,
        max_anchors: 1_000,
    };
    serde_saphyr::options! {
        budget: budget,
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        with_snippet: false,
        strict_booleans: true,
    }
}

/// What is wrong, in our words where the library's speak of its own settings.
fn reason(error: &Error) -> String {
    match error {
        Error::Budget { breach, .. } => match breach {
            BudgetBreach::Documents { .. } => "the file holds several documents".into(),
            BudgetBreach::Depth { .. } => too_deep(),
            _ => too_much(),
        },
        Error::NonFiniteFloat { value, .. } => {
            format!("a number must be finite, and `{value}` is not")
        }
        Error::RecursiveReferencesRequireWeakTypes { .. } => {
            "an alias stands within what it stands for".into()
        }
        _ => {
            let message = error.to_string();
            let message = message.lines().next().unwrap_or_default();
            let end = message.find(" at line ").unwrap_or(message.len());
            match message[..end].trim_end_matches('.') {
                "recursion limit exceeded" => too_deep(),
                reason
                    if reason.starts_with("budget breached")
                        || reason.starts_with("alias replay limit") =>
                {
                    too_much()
                }
                reason => reason.to_owned(),
            }
        }
    }
}

fn too_much() -> String {
    "the file has too many values or aliases".into()
}

fn too_deep() -> String {
    format!("values nest deeper than {DEEPEST} levels")
}

fn hint(lines: &Lines<'_>, place: Place) -> Option<String> {
    let near = [place.line, place.line.saturating_sub(1)].map(|line| lines.line(line));
    let unquoted = |line: &str| [": {{", "- {{", "[{{"].iter().any(|open| line.contains(open));
    if near.iter().any(|line| unquoted(line)) {
        return Some("put quotes around it: \"{{ … }}\"".into());
    }
    near.iter().any(|line| line.contains('\t')).then(|| "indent with spaces, not with tabs".into())
}
