//! Mermaid flowcharts, as Markdown pages and code forges show them.

use std::fmt::Write;

use flow_core::store::StepStatus;

use super::label::{LABEL_COLUMNS, cut};
use super::model::{EdgeKind, Graph, Group, Item};

/// Draws the graph as a Mermaid flowchart.
pub(crate) fn mermaid(graph: &Graph) -> String {
    let mut page = Page {
        text: "flowchart TB\n".into(),
        used: Vec::new(),
    };
    page.group(&graph.root, 1);
    page.classes();
    page.text
}

struct Page {
    text: String,
    /// The statuses that were painted.
    used: Vec<StepStatus>,
}

impl Page {
    fn group(&mut self, group: &Group, depth: usize) {
        for item in &group.items {
            match item.inner() {
                Some(inner) => {
                    let title = label(item);
                    self.line(
                        depth,
                        format_args!("subgraph n{}[\"{title}\"]", item.number),
                    );
                    self.group(inner, depth + 1);
                    self.line(depth, format_args!("end"));
                }
                None => self.line(depth, format_args!("n{}{}", item.number, shape(item))),
            }
            if let Some(status) = item.status {
                self.line(depth, format_args!("class n{} {status}", item.number));
                if !self.used.contains(&status) {
                    self.used.push(status);
                }
            }
        }
        for edge in &group.edges {
            let (from, to) = (&group.items[edge.from], &group.items[edge.to]);
            let arrow = match edge.kind {
                EdgeKind::Needs => "-->",
                EdgeKind::Then => "-.->",
            };
            self.line(
                depth,
                format_args!("n{} {arrow} n{}", from.number, to.number),
            );
        }
    }

    fn classes(&mut self) {
        self.used.sort_unstable();
        for status in std::mem::take(&mut self.used) {
            let (fill, stroke) = super::palette::status_colours(status);
            let style = format_args!("fill:{fill},stroke:{stroke},color:#1f2328");
            self.line(1, format_args!("classDef {status} {style}"));
        }
    }

    fn line(&mut self, depth: usize, line: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{:1$}{line}", "", depth * 2).expect("a string takes all text");
    }
}

/// A loop looks like many, a person like a decision, the rest like a step.
fn shape(item: &Item) -> String {
    let label = label(item);
    if item.repeats {
        format!("[[\"{label}\"]]")
    } else if item.action().is_some_and(|a| a.starts_with("human.")) {
        format!("{{{{\"{label}\"}}}}")
    } else {
        format!("[\"{label}\"]")
    }
}

fn label(item: &Item) -> String {
    let lines: Vec<String> = item
        .lines()
        .map(|line| escape(&cut(line, LABEL_COLUMNS)))
        .collect();
    lines.join("<br>")
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
