//! Places boxes, groups within groups.
//!
//! A group is laid out row by row ([`Rows`]); done, it is a box like any other in the group
//! around it. What holds: boxes of a group never overlap, and an inner box lies within the
//! outer.

use super::model::{EdgeKind, Graph, Group, Item};
use super::rows::Rows;

const NODE_WIDTH: f64 = 208.0;
const TITLE_HEIGHT: f64 = 40.0;
const LINE_HEIGHT: f64 = 16.0;
/// Space between a group's border and what is in it.
const PADDING: f64 = 20.0;

/// A rectangle; `y` grows downwards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rect {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

/// A box with its place, and what is in it. Places count from the page's corner.
#[derive(Debug)]
pub(crate) struct Placed<'a> {
    pub(crate) item: &'a Item,
    pub(crate) rect: Rect,
    pub(crate) inner: Option<Sheet<'a>>,
}

/// A stretch of an arrow, from row to row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stroke {
    /// Where it starts.
    pub(crate) from: (f64, f64),
    /// The heights between which it bends; above and below it runs straight.
    pub(crate) bend: (f64, f64),
    /// Where it ends.
    pub(crate) to: (f64, f64),
    /// Whether it ends at a box, with a head.
    pub(crate) head: bool,
    /// What the arrow says.
    pub(crate) kind: EdgeKind,
}

/// A group with everything in its place.
#[derive(Debug)]
pub(crate) struct Sheet<'a> {
    pub(crate) boxes: Vec<Placed<'a>>,
    pub(crate) strokes: Vec<Stroke>,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

/// Lays the graph out.
pub(crate) fn layout(graph: &Graph) -> Sheet<'_> {
    sheet(&graph.root)
}

/// Height of the header above a group's items.
pub(crate) fn header_height(item: &Item) -> f64 {
    let notes = if item.notes.is_empty() { 0.0 } else { LINE_HEIGHT };
    38.0 + notes
}

impl Sheet<'_> {
    fn shift(&mut self, dx: f64, dy: f64) {
        for placed in &mut self.boxes {
            placed.rect.x += dx;
            placed.rect.y += dy;
            if let Some(inner) = &mut placed.inner {
                inner.shift(dx, dy);
            }
        }
        for stroke in &mut self.strokes {
            stroke.from = (stroke.from.0 + dx, stroke.from.1 + dy);
            stroke.bend = (stroke.bend.0 + dy, stroke.bend.1 + dy);
            stroke.to = (stroke.to.0 + dx, stroke.to.1 + dy);
        }
    }
}

fn sheet(group: &Group) -> Sheet<'_> {
    let mut boxes: Vec<Placed<'_>> = group.items.iter().map(measure).collect();
    let sizes: Vec<_> = boxes.iter().map(|b| (b.rect.width, b.rect.height)).collect();
    let mut rows = Rows::new(group, &sizes);
    rows.order();
    rows.straighten();
    let strokes = rows.strokes();
    for (placed, node) in boxes.iter_mut().zip(&rows.nodes) {
        let (x, y) = (node.x - placed.rect.width / 2.0, rows.top(node));
        placed.rect.x = x;
        placed.rect.y = y;
        if let Some(inner) = &mut placed.inner {
            let free = placed.rect.width - inner.width;
            inner.shift(x + free / 2.0, y + header_height(placed.item));
        }
    }
    let mut sheet = Sheet { boxes, strokes, width: 0.0, height: rows.height() };
    let left = rows.nodes.iter().map(|n| n.x - n.width / 2.0).fold(f64::MAX, f64::min);
    let right = rows.nodes.iter().map(|n| n.x + n.width / 2.0).fold(f64::MIN, f64::max);
    if left < right {
        sheet.width = right - left;
        sheet.shift(-left, 0.0);
    }
    sheet
}

/// Finds the size of a box, its inside laid out first.
fn measure(item: &Item) -> Placed<'_> {
    let inner = item.inner().map(sheet);
    let (width, height) = if let Some(inner) = &inner {
        let width = inner.width.max(NODE_WIDTH) + 2.0 * PADDING;
        (width, inner.height + header_height(item) + PADDING)
    } else {
        let more = item.lines().count() - 1;
        (NODE_WIDTH, TITLE_HEIGHT + LINE_HEIGHT * more as f64)
    };
    Placed { item, rect: Rect { x: 0.0, y: 0.0, width, height }, inner }
}

#[cfg(test)]
mod tests {
    use flow_core::language::Workflow;

    use super::super::rows::MAX_THREADS;
    use super::*;
    use crate::graph::samples;

    fn every_sheet(workflow: &Workflow, check: &mut dyn FnMut(&Sheet<'_>)) {
        fn walk(sheet: &Sheet<'_>, check: &mut dyn FnMut(&Sheet<'_>)) {
            check(sheet);
            for inner in sheet.boxes.iter().filter_map(|b| b.inner.as_ref()) {
                walk(inner, check);
            }
        }
        let graph = Graph::of(workflow, &|_| None);
        walk(&layout(&graph), check);
    }

    fn workflows() -> Vec<Workflow> {
        vec![
            samples::invoice(),
            samples::night(),
            samples::hostile(),
            samples::fan(100),
            samples::dense(30),
            samples::random(300),
        ]
    }

    fn apart(a: Rect, b: Rect) -> bool {
        let touch = 0.01;
        a.x + a.width <= b.x + touch
            || b.x + b.width <= a.x + touch
            || a.y + a.height <= b.y + touch
            || b.y + b.height <= a.y + touch
    }

    #[test]
    fn boxes_do_not_overlap() {
        for workflow in workflows() {
            every_sheet(&workflow, &mut |sheet| {
                for (index, a) in sheet.boxes.iter().enumerate() {
                    for b in &sheet.boxes[..index] {
                        assert!(apart(a.rect, b.rect), "{:?} {:?}", a.rect, b.rect);
                    }
                }
            });
        }
    }

    #[test]
    fn boxes_lie_within_what_is_around_them() {
        fn check(sheet: &Sheet<'_>, around: Rect) {
            for placed in &sheet.boxes {
                let rect = placed.rect;
                assert!(rect.x >= around.x - 0.01 && rect.y >= around.y - 0.01, "{rect:?}");
                assert!(rect.x + rect.width <= around.x + around.width + 0.01, "{rect:?}");
                assert!(rect.y + rect.height <= around.y + around.height + 0.01, "{rect:?}");
                if let Some(inner) = &placed.inner {
                    check(inner, rect);
                }
            }
        }
        for workflow in workflows() {
            let graph = Graph::of(&workflow, &|_| None);
            let sheet = layout(&graph);
            let (width, height) = (sheet.width, sheet.height);
            check(&sheet, Rect { x: 0.0, y: 0.0, width, height });
        }
    }

    #[test]
    fn a_step_stands_below_all_it_waits_for() {
        for workflow in workflows() {
            let graph = Graph::of(&workflow, &|_| None);
            let sheet = layout(&graph);
            for edge in &graph.root.edges {
                let (from, to) = (sheet.boxes[edge.from].rect, sheet.boxes[edge.to].rect);
                assert!(from.y + from.height < to.y, "{from:?} {to:?}");
            }
        }
    }

    #[test]
    fn the_straight_parts_of_arrows_cross_no_box() {
        for workflow in workflows() {
            every_sheet(&workflow, &mut |sheet| {
                for stroke in &sheet.strokes {
                    let (x, y) = stroke.from;
                    let height = stroke.bend.0 - y;
                    let upright = Rect { x, y, width: 0.0, height };
                    let hit = sheet.boxes.iter().find(|b| !apart(b.rect, upright));
                    assert!(hit.is_none(), "{stroke:?} {:?}", hit.map(|b| b.rect));
                }
            });
        }
    }

    #[test]
    fn a_fan_out_of_hundreds_becomes_a_block() {
        let graph = Graph::of(&samples::fan(500), &|_| None);
        let sheet = layout(&graph);
        assert!(sheet.width < 4_000.0, "{}", sheet.width);
    }

    #[test]
    fn a_graph_too_dense_for_threads_is_still_drawn() {
        let graph = Graph::of(&samples::dense(400), &|_| None);
        let sheet = layout(&graph);
        assert!(sheet.strokes.len() < 400 * 400 + MAX_THREADS);
        assert_eq!(sheet.boxes.len(), 400);
    }
}
