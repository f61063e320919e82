//! DOT, for Graphviz and what reads its language.

use std::fmt::Write;

use super::label::{LABEL_COLUMNS, cut};
use super::model::{Edge, EdgeKind, Graph, Group, Item};
use super::palette::status_colours;

/// Draws the graph in the DOT language.
pub(crate) fn dot(graph: &Graph) -> String {
    let mut page = Page { text: String::new() };
    page.line(0, format_args!("digraph {} {{", quoted(&graph.name)));
    page.line(1, format_args!("compound=true"));
    page.line(1, format_args!("graph [fontname=\"Helvetica\", style=rounded]"));
    page.line(
        1,
        format_args!(
            "node [fontname=\"Helvetica\", shape=box, style=\"rounded,filled\", fillcolor=white]"
        ),
    );
    page.group(&graph.root, 1);
    page.line(0, format_args!("}}"));
    page.text
}

struct Page {
    text: String,
}

impl Page {
    fn group(&mut self, group: &Group, depth: usize) {
        for item in &group.items {
            match item.inner() {
                Some(inner) => self.cluster(item, inner, depth),
                None => self.node(item, depth),
            }
        }
        for edge in &group.edges {
            self.edge(group, *edge, depth);
        }
    }

    fn cluster(&mut self, item: &Item, inner: &Group, depth: usize) {
        self.line(depth, format_args!("subgraph cluster_n{} {{", item.number));
        self.line(depth + 1, format_args!("label={}", label(item)));
        if let Some((_, stroke)) = item.status.map(status_colours) {
            self.line(depth + 1, format_args!("color=\"{stroke}\""));
        }
        self.group(inner, depth + 1);
        self.line(depth, format_args!("}}"));
    }

    fn node(&mut self, item: &Item, depth: usize) {
        let mut attributes = vec![format!("label={}", label(item))];
        if item.repeats {
            attributes.push("peripheries=2".into());
        }
        if let Some((fill, stroke)) = item.status.map(status_colours) {
            attributes.push(format!("fillcolor=\"{fill}\", color=\"{stroke}\""));
        }
        let attributes = attributes.join(", ");
        self.line(depth, format_args!("n{} [{attributes}]", item.number));
    }

    /// DOT joins nodes only: an arrow at a cluster is tied to a node in it and cut at its
    /// border.
    fn edge(&mut self, group: &Group, edge: Edge, depth: usize) {
        let (from, to) = (&group.items[edge.from], &group.items[edge.to]);
        let mut attributes = Vec::new();
        if from.inner().is_some() {
            attributes.push(format!("ltail=cluster_n{}", from.number));
        }
        if to.inner().is_some() {
            attributes.push(format!("lhead=cluster_n{}", to.number));
        }
        match edge.kind {
            EdgeKind::Needs => {}
            EdgeKind::Then => attributes.push("style=dashed".into()),
        }
        let attributes = if attributes.is_empty() {
            String::new()
        } else {
            format!(" [{}]", attributes.join(", "))
        };
        let (tail, head) = (last_leaf(from).number, first_leaf(to).number);
        self.line(depth, format_args!("n{tail} -> n{head}{attributes}"));
    }

    fn line(&mut self, depth: usize, line: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{:1$}{line}", "", depth * 2).expect("a string takes all text");
    }
}

fn first_leaf(item: &Item) -> &Item {
    item.inner().and_then(|group| group.items.first()).map_or(item, first_leaf)
}

fn last_leaf(item: &Item) -> &Item {
    item.inner().and_then(|group| group.items.last()).map_or(item, last_leaf)
}

fn label(item: &Item) -> String {
    let lines: Vec<String> = item.lines().map(|line| cut(line, LABEL_COLUMNS)).collect();
    quoted(&lines.join("\n"))
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            // Graphviz reads HTML entities in labels.
            '&' => quoted.push_str("&amp;"),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            c if c.is_control() => quoted.push(' '),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::samples;

    #[test]
    fn a_chain_of_steps() {
        let graph = Graph::of(&samples::invoice(), &|_| None);
        insta::assert_snapshot!(dot(&graph));
    }

    #[test]
    fn bodies_sub_workflows_and_handlers_with_a_run_painted_in() {
        let graph = Graph::of(&samples::night(), &samples::status);
        insta::assert_snapshot!(dot(&graph));
    }

    #[test]
    fn labels_cannot_break_out_of_their_quotes() {
        let graph = Graph::of(&samples::hostile(), &|_| None);
        insta::assert_snapshot!(dot(&graph));
    }
}
