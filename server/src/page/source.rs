//! A workflow's file, with its problems at their lines, and its graph.

use std::collections::{BTreeMap, HashMap};

use axum::extract::{Path, State};
use axum::response::Response;
use flow_core::language::{Diagnostic, Severity};
use serde::Serialize;

use super::dag::{Drawing, draw};
use super::format::{encoded, segment};
use super::render::{Fault, Place, Viewer, page};
use super::start::listed;
use crate::state::Site;

/// The most lines that are shown.
const LINES: usize = 5_000;

#[derive(Serialize)]
struct View {
    name: String,
    file: String,
    description: Option<String>,
    start: Option<String>,
    runs: String,
    unreadable: Option<String>,
    errors: usize,
    graph: Option<Drawing>,
    lines: Vec<Line>,
    more: usize,
    /// Problems in files that this one refers to.
    elsewhere: Vec<Elsewhere>,
}

#[derive(Serialize)]
struct Line {
    number: u32,
    text: String,
    problems: Vec<Problem>,
}

#[derive(Serialize)]
struct Problem {
    severity: &'static str,
    column: u32,
    message: String,
    hint: Option<String>,
}

#[derive(Serialize)]
struct Elsewhere {
    place: String,
    text: String,
    problem: Problem,
}

impl Problem {
    fn of(diagnostic: &Diagnostic) -> Self {
        Self {
            severity: match diagnostic.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            column: diagnostic.column,
            message: diagnostic.message.clone(),
            hint: diagnostic.hint.clone(),
        }
    }
}

/// Shows a workflow.
pub(super) async fn show(
    State(site): State<Site>,
    viewer: Viewer,
    Path(slug): Path<String>,
) -> Result<Response, Fault> {
    let listed = listed(&site, &slug)?;
    let reading = listed.reading.as_ref();
    let checked = reading.ok().map(|reading| &reading.checked);
    let program = reading.ok().and_then(|reading| reading.program.as_ref());
    let workflow = program.map(|program| &program.workflow);
    let name = workflow.map_or_else(|| listed.slug.clone(), |workflow| workflow.name.clone());
    let mut here: BTreeMap<u32, Vec<Problem>> = BTreeMap::new();
    let mut elsewhere = Vec::new();
    let entry = checked.map(|checked| checked.bundle.entry.as_str()).unwrap_or_default();
    for diagnostic in checked.into_iter().flat_map(|checked| checked.diagnostics.iter()) {
        let problem = Problem::of(diagnostic);
        if diagnostic.file == entry {
            here.entry(diagnostic.line).or_default().push(problem);
        } else {
            let place = format!("{}:{}", diagnostic.file, diagnostic.line);
            elsewhere.push(Elsewhere { place, text: diagnostic.text.clone(), problem });
        }
    }
    let text = checked.and_then(|checked| checked.bundle.files.get(entry));
    let all = lines(text.map(String::as_str).unwrap_or_default());
    let more = all.len().saturating_sub(LINES);
    let line = |(number, text): (u32, &str)| Line {
        number,
        text: text.to_owned(),
        problems: here.remove(&number).unwrap_or_default(),
    };
    let address = segment(&listed.slug);
    let view = View {
        file: listed.file.display().to_string(),
        description: workflow.and_then(|workflow| workflow.description.clone()),
        start: workflow.map(|_| format!("/workflows/{address}/start")),
        runs: format!("/runs?workflow={}", encoded(&name)),
        unreadable: reading.err().cloned(),
        errors: checked.map_or(0, |checked| checked.diagnostics.errors()),
        graph: workflow.map(|workflow| draw(workflow, "", &HashMap::new())),
        lines: (1..).zip(all).take(LINES).map(line).collect(),
        more,
        elsewhere,
        name: name.clone(),
    };
    page("source.html", Place::Workflows, &name, &viewer, view)
}

/// The lines of a file as YAML breaks them.
fn lines(text: &str) -> Vec<&str> {
    text.lines().flat_map(|line| line.split('\r')).collect()
}

/// The item of a list that begins at a line, from 1: to where something begins that stands no
/// deeper.
pub(super) fn item_at(text: &str, line: u32) -> String {
    let indent = |text: &str| text.len() - text.trim_start().len();
    let mut rest = lines(text).into_iter().skip((line as usize).saturating_sub(1));
    let Some(first) = rest.next() else { return String::new() };
    let depth = indent(first);
    let inner = rest.take_while(|line| {
        line.trim().is_empty() || indent(line) > depth || line.trim_start().starts_with('#')
    });
    let mut item: Vec<&str> = std::iter::once(first).chain(inner).collect();
    while item
        .last()
        .is_some_and(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
    {
        item.pop();
    }
    let strip = |line: &str| line.get(depth.min(indent(line))..).unwrap_or_default().to_owned();
    item.into_iter().map(strip).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_ends_where_the_next_begins() {
        let text =
            "steps:\n  - id: a\n    with:\n\n      x: 1\n\n  # next\n  - id: b\noutputs: {}\n";
        assert_eq!(item_at(text, 2), "- id: a\n  with:\n\n    x: 1");
        assert_eq!(item_at(text, 8), "- id: b");
        assert_eq!(item_at(text, 99), "");
    }
}
