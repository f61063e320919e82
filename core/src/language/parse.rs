//! From bytes to a document: everything that can be said without knowing the language.
//!
//! Bounds on size, nesting and aliases stand before anything is built, so that a hostile
//! file costs no more than its length.

use serde_saphyr::{DuplicateKeyPolicy, Options};

use super::diagnostic::{Diagnostic, Lines, Severity};
use super::document::{Node, Place, Root};

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
        let message = format!(
            "the file has {} bytes, and {LARGEST_FILE} are allowed",
            bytes.len()
        );
        return Err(bare(
            message,
            "keep data in files of its own",
            Place::default(),
        ));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let (at, byte) = (error.valid_up_to(), bytes[error.valid_up_to()]);
        let line = bytes[..at].split(|b| *b == b'\n').count() as u32;
        let message = format!("the file is not UTF-8: byte 0x{byte:02x} at offset {at}");
        bare(message, "save it as UTF-8", Place { line, column: 1 })
    })
}

/// Parses the text of a file.
pub(super) fn parse(lines: &Lines<'_>, text: &str) -> Result<Node, Box<Diagnostic>> {
    let fault =
        |place, message: String, hint| Box::new(lines.fault(Severity::Error, place, message, hint));
    if text.trim().is_empty() {
        let hint = Some("a workflow has at least `steps:`".to_owned());
        return Err(fault(Place::default(), "the file is empty".into(), hint));
    }
    match serde_saphyr::from_str_with_options::<Root>(text, options()) {
        Ok(Root(node)) => Ok(node),
        Err(error) => {
            let error = error.without_snippet();
            let place = error.location().map_or(Place::default(), |at| Place {
                line: at.line() as u32,
                column: at.column() as u32,
            });
            Err(fault(place, reason(&error.to_string()), hint(lines, place)))
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

/// The library's sentence, without the place that we say ourselves.
fn reason(message: &str) -> String {
    let message = message.lines().next().unwrap_or_default();
    let end = message.find(" at line ").unwrap_or(message.len());
    message[..end].trim_end_matches('.').to_owned()
}

fn hint(lines: &Lines<'_>, place: Place) -> Option<String> {
    let near = [place.line, place.line.saturating_sub(1)].map(|line| lines.line(line));
    let unquoted = |line: &str| line.contains(": {{") || line.contains("- {{");
    if near.iter().any(|line| unquoted(line)) {
        return Some("put quotes around it: \"{{ … }}\"".into());
    }
    near.iter()
        .any(|line| line.contains('\t'))
        .then(|| "indent with spaces, not with tabs".into())
}
