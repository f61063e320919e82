//! Mermaid flowcharts, as Markdown pages and code forges show them.

use std::collections::BTreeMap;
use std::fmt::Write;

use flow_core::store::StepStatus;

use super::label::{LABEL_COLUMNS, cut};
use super::model::{EdgeKind, Graph, Group, Item};
use super::palette::status_colours;

/// Draws the graph as a Mermaid flowchart.
pub(crate) fn mermaid(graph: &Graph) -> String {
    let mut page = Page { text: "flowchart TB\n".into(), painted: BTreeMap::new() };
    page.group(&graph.root, 1);
    page.classes();
    page.text
}

struct Page {
    text: String,
    /// Names of the boxes of each status.
    painted: BTreeMap<StepStatus, Vec<String>>,
}

impl Page {
    fn group(&mut self, group: &Group, depth: usize) {
        for item in &group.items {
            let number = item.number;
            if let Some(inner) = item.inner() {
                self.line(depth, format_args!("subgraph n{number}[\"{}\"]", label(item, " · ")));
                self.line(depth + 1, format_args!("direction TB"));
                self.group(inner, depth + 1);
                self.line(depth, format_args!("end"));
            } else {
                self.line(depth, format_args!("n{number}{}", shape(item)));
            }
            if let Some(status) = item.status {
                self.painted.entry(status).or_default().push(format!("n{number}"));
            }
        }
        for edge in &group.edges {
            let (from, to) = (&group.items[edge.from], &group.items[edge.to]);
            let arrow = match edge.kind {
                EdgeKind::Needs => "-->",
                EdgeKind::Then => "-.->",
            };
            self.line(depth, format_args!("n{} {arrow} n{}", from.number, to.number));
        }
    }

    fn classes(&mut self) {
        for (status, names) in std::mem::take(&mut self.painted) {
            let (fill, stroke) = status_colours(status);
            let style = format_args!("fill:{fill},stroke:{stroke},color:#1f2328");
            self.line(1, format_args!("classDef {status} {style}"));
            self.line(1, format_args!("class {} {status}", names.join(",")));
        }
    }

    fn line(&mut self, depth: usize, line: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{:1$}{line}", "", depth * 2).expect("a string takes all text");
    }
}

/// A loop looks like many, a person like a decision, the rest like a step.
fn shape(item: &Item) -> String {
    let label = label(item, "<br>");
    if item.repeats {
        format!("[[\"{label}\"]]")
    } else if item.action().is_some_and(|a| a.starts_with("human.")) {
        format!("{{{{\"{label}\"}}}}")
    } else {
        format!("[\"{label}\"]")
    }
}

fn label(item: &Item, between: &str) -> String {
    let lines: Vec<String> = item.lines().map(|line| escape(&cut(line, LABEL_COLUMNS))).collect();
    lines.join(between)
}

/// Mermaid reads HTML in labels, and `#` as the start of an entity.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => escaped.push_str("#quot;"),
            '#' => escaped.push_str("#35;"),
            '&' => escaped.push_str("#amp;"),
            '<' => escaped.push_str("#lt;"),
            '>' => escaped.push_str("#gt;"),
            '`' => escaped.push_str("#96;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::samples;

    #[test]
    fn a_chain_of_steps() {
        let graph = Graph::of(&samples::invoice(), &|_| None);
        insta::assert_snapshot!(mermaid(&graph));
    }

    #[test]
    fn bodies_sub_workflows_and_handlers_with_a_run_painted_in() {
        let graph = Graph::of(&samples::night(), &samples::status);
        insta::assert_snapshot!(mermaid(&graph));
    }

    #[test]
    fn labels_cannot_break_out_of_their_quotes() {
        let graph = Graph::of(&samples::hostile(), &|_| None);
        insta::assert_snapshot!(mermaid(&graph));
    }
}
