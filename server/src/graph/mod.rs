//! Draws a workflow: as Mermaid for Markdown, as DOT for Graphviz, as SVG for everybody.
//!
//! A checked workflow becomes a `Graph` first, so that the three agree on what is drawn:
//! steps, the boxes of loop bodies and sub-workflows, and what waits for what. How a run
//! stands can be painted in. The text of expressions is left out: a picture that quotes
//! them is read by nobody.

mod dot;
pub(crate) mod label;
pub(crate) mod layout;
mod mermaid;
pub(crate) mod model;
mod palette;
mod rows;
mod svg;

#[cfg(test)]
pub(crate) mod samples;

use flow_core::language::Workflow;
use flow_core::store::StepStatus;

use model::Graph;

/// A language to draw in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A Mermaid flowchart, for Markdown.
    Mermaid,
    /// Graphviz.
    Dot,
    /// A picture that needs nothing else.
    Svg,
}

/// Draws a workflow.
///
/// `status` says how the step at a path without keys (`pages/read`) stands in the run to
/// paint in; where there is no run, it answers none.
pub fn draw(
    workflow: &Workflow,
    format: Format,
    status: &dyn Fn(&str) -> Option<StepStatus>,
) -> String {
    let graph = Graph::of(workflow, status);
    match format {
        Format::Mermaid => mermaid::mermaid(&graph),
        Format::Dot => dot::dot(&graph),
        Format::Svg => svg::svg(&graph),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_is_what_it_says() {
        let start = |format| draw(&samples::invoice(), format, &|_| None)[..9].to_owned();
        assert_eq!(start(Format::Mermaid), "flowchart");
        assert_eq!(start(Format::Dot), "digraph \"");
        assert_eq!(start(Format::Svg), "<svg xmln");
    }
}
