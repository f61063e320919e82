//! The graph of a run: boxes and arrows in their places, painted with how the run stands.
//!
//! The places are those of `flow graph`; here they become shapes that a template writes.

use std::collections::HashMap;

use flow_core::language::Workflow;
use flow_core::store::{Counts, StepStatus};
use serde::Serialize;

use super::format::{count, encoded};
use crate::graph::label::cut;
use crate::graph::layout::{Placed, Sheet, Stroke, header_height, layout};
use crate::graph::model::{EdgeKind, Graph, Item, Kind};

/// Space around the picture.
const MARGIN: f64 = 16.0;
/// Columns of text that fit a box, for the title and for the lines below it.
const TITLE_COLUMNS: usize = 22;
const LINE_COLUMNS: usize = 25;
/// Where the bar of a loop stands in its box, and how high it is.
const BAR_INSET: f64 = 22.0;
const BAR_HEIGHT: f64 = 5.0;

/// How the step at a path stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    /// How it stands itself; of a step within a loop, how most of its instances do.
    pub(super) status: Option<StepStatus>,
    /// How its instances stand.
    pub(super) counts: Counts,
    /// The path of the step in the run, where there is one to look at.
    pub(super) path: Option<String>,
}

/// The picture.
#[derive(Serialize)]
pub(super) struct Drawing {
    width: f64,
    height: f64,
    shapes: Vec<Shape>,
    boxes: usize,
}

#[derive(Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
enum Shape {
    Edge { d: String, head: bool, then: bool },
    Box(Box<Card>),
}

/// A step, or what holds steps.
#[derive(Serialize)]
struct Card {
    id: usize,
    frame: bool,
    family: &'static str,
    status: &'static str,
    repeats: bool,
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    href: Option<String>,
    title: String,
    title_y: f64,
    lines: Vec<Line>,
    /// Everything that is to be known, for who reads or points at it.
    label: String,
    bars: Vec<Bar>,
}

#[derive(Serialize)]
struct Line {
    class: &'static str,
    y: f64,
    text: String,
}

/// A part of a loop's bar.
#[derive(Serialize)]
struct Bar {
    status: &'static str,
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

/// Draws a workflow, each step as it stands.
pub(super) fn draw(
    workflow: &Workflow,
    run: &str,
    standings: &HashMap<String, Standing>,
) -> Drawing {
    let graph = Graph::of(workflow, &|path| standings.get(path)?.status);
    let sheet = layout(&graph);
    let mut painter = Painter { run, standings, shapes: Vec::new(), boxes: 0 };
    painter.sheet(&sheet);
    let Painter { shapes, boxes, .. } = painter;
    let around = |size: f64| tenth(size + 2.0 * MARGIN);
    Drawing { width: around(sheet.width), height: around(sheet.height), shapes, boxes }
}

struct Painter<'p> {
    run: &'p str,
    standings: &'p HashMap<String, Standing>,
    shapes: Vec<Shape>,
    boxes: usize,
}

impl Painter<'_> {
    fn sheet(&mut self, sheet: &Sheet<'_>) {
        self.shapes.extend(sheet.strokes.iter().map(edge));
        for placed in &sheet.boxes {
            self.boxes += 1;
            let card = self.card(placed);
            self.shapes.push(Shape::Box(Box::new(card)));
            if let Some(inner) = &placed.inner {
                self.sheet(inner);
            }
        }
    }

    fn card(&self, placed: &Placed<'_>) -> Card {
        let (item, rect) = (placed.item, placed.rect);
        let standing = self.standings.get(&item.path);
        let frame = placed.inner.is_some();
        let (x, y) = (rect.x + MARGIN, rect.y + MARGIN);
        let status = item.status.map_or("none", StepStatus::as_str);
        let room = if frame { ((rect.width - 32.0) / 8.0) as usize } else { TITLE_COLUMNS };
        let counts = standing.map(|standing| &standing.counts).filter(|counts| !counts.is_empty());
        let bars = counts.map_or_else(Vec::new, |counts| {
            let bottom = if frame { header_height(item) } else { rect.height };
            bars(counts, x + BAR_INSET, y + bottom - BAR_HEIGHT - 4.0, rect.width - 2.0 * BAR_INSET)
        });
        let path = standing.and_then(|standing| standing.path.as_deref());
        Card {
            id: item.number,
            frame,
            family: family(&item.kind),
            status,
            repeats: item.repeats,
            x: tenth(x),
            y: tenth(y),
            width: tenth(rect.width),
            height: tenth(rect.height),
            href: path.map(|path| format!("/runs/{}/step?at={}", self.run, encoded(path))),
            title: cut(&item.title, room),
            title_y: tenth(y + if frame { 24.0 } else { 25.0 }),
            lines: lines(item, frame, y, room),
            label: label(item, status, counts),
            bars,
        }
    }
}

fn lines(item: &Item, frame: bool, y: f64, room: usize) -> Vec<Line> {
    if frame {
        let y = tenth(y + header_height(item) - 15.0);
        let text = cut(&item.notes.join(" · "), room);
        let notes = (!text.is_empty()).then_some(Line { class: "note", y, text });
        return notes.into_iter().collect();
    }
    let action = item.action().map(|action| ("action", action, 17.0));
    let notes = item.notes.iter().map(|note| ("note", note.as_str(), 16.0));
    let mut at = y + 25.0;
    let place = |(class, text, down): (&'static str, &str, f64)| {
        at += down;
        Line { class, y: tenth(at), text: cut(text, LINE_COLUMNS) }
    };
    action.into_iter().chain(notes).map(place).collect()
}

fn label(item: &Item, status: &str, counts: Option<&Counts>) -> String {
    let mut label = item.lines().collect::<Vec<_>>().join(", ");
    if status != "none" {
        label.push_str(&format!(": {status}"));
    }
    for (status, steps) in counts.into_iter().flatten() {
        label.push_str(&format!(", {} {status}", count(*steps)));
    }
    label
}

/// The counts as parts of one bar; each that is not zero can be seen.
fn bars(counts: &Counts, x: f64, y: f64, width: f64) -> Vec<Bar> {
    const LEAST: f64 = 3.0;
    let all: u64 = counts.values().sum();
    let present = counts.values().filter(|count| **count > 0).count() as f64;
    let rest = (width - LEAST * present).max(0.0);
    let mut at = x;
    let mut part = |(status, count): (&StepStatus, &u64)| {
        let width = LEAST + rest * *count as f64 / all.max(1) as f64;
        let bar = Bar {
            status: status.as_str(),
            x: tenth(at),
            y: tenth(y),
            width: tenth(width),
            height: BAR_HEIGHT,
        };
        at += width;
        bar
    };
    // Done first, then what failed, then what is at work.
    let order = |status: &StepStatus| match status {
        StepStatus::Succeeded => 0,
        StepStatus::Skipped => 1,
        StepStatus::Failed => 2,
        StepStatus::Blocked => 3,
        StepStatus::Cancelled => 4,
        StepStatus::Running => 5,
        StepStatus::Retrying => 6,
        StepStatus::Waiting => 7,
    };
    let mut counts: Vec<_> = counts.iter().filter(|(_, count)| **count > 0).collect();
    counts.sort_by_key(|(status, _)| order(status));
    counts.into_iter().map(&mut part).collect()
}

fn edge(stroke: &Stroke) -> Shape {
    let ((x0, y0), (x1, y1)) = (stroke.from, stroke.to);
    let (x0, x1) = (x0 + MARGIN, x1 + MARGIN);
    let (top, bottom) = (stroke.bend.0 + MARGIN, stroke.bend.1 + MARGIN);
    let (y0, y1) = (y0 + MARGIN, y1 + MARGIN);
    // The head is drawn beyond the end of the line.
    let end = if stroke.head { y1 - 6.0 } else { y1 };
    let low = bottom.min(end);
    let middle = f64::midpoint(top, low);
    let d = format!(
        "M{x0:.1} {y0:.1}V{top:.1}C{x0:.1} {middle:.1} {x1:.1} {middle:.1} {x1:.1} {low:.1}V{end:.1}"
    );
    Shape::Edge { d, head: stroke.head, then: stroke.kind == EdgeKind::Then }
}

/// The family of its action, which gives a box its colour.
fn family(kind: &Kind) -> &'static str {
    match kind {
        Kind::Section(_) => "section",
        Kind::Group(_) => "group",
        Kind::Action(action) => match action.split('.').next().unwrap_or_default() {
            "document" | "image" | "video" => "document",
            "model" | "task" | "extract" => "model",
            "human" => "human",
            "plugin" => "plugin",
            _ => "plain",
        },
    }
}

fn tenth(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::graph::samples;

    fn cards(drawing: &Drawing) -> Vec<&Card> {
        let card = |shape: &'_ Shape| matches!(shape, Shape::Box(_));
        let boxes = drawing.shapes.iter().filter(|shape| card(shape));
        boxes
            .map(|shape| match shape {
                Shape::Box(card) => &**card,
                Shape::Edge { .. } => unreachable!("they were left out"),
            })
            .collect()
    }

    /// A workflow of steps that each wait for some of those before.
    fn workflow(after: &[Vec<usize>]) -> Workflow {
        let step = |(index, after): (usize, &Vec<usize>)| {
            let mut after: Vec<usize> =
                after.iter().filter(|_| index > 0).map(|at| at % index.max(1)).collect();
            after.sort_unstable();
            after.dedup();
            samples::step(&format!("s{index}"), "value.set", &after)
        };
        samples::workflow("any", after.iter().enumerate().map(step).collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_two_boxes_overlap_and_every_arrow_goes_down(
            after in prop::collection::vec(prop::collection::vec(0_usize..80, 0..4), 1..60)
        ) {
            let drawing = draw(&workflow(&after), "r", &HashMap::new());
            let cards = cards(&drawing);
            prop_assert_eq!(cards.len(), after.len());
            for (at, a) in cards.iter().enumerate() {
                prop_assert!(a.x >= 0.0 && a.x + a.width <= drawing.width);
                prop_assert!(a.y >= 0.0 && a.y + a.height <= drawing.height);
                for b in &cards[..at] {
                    let apart = a.x + a.width <= b.x + 0.2
                        || b.x + b.width <= a.x + 0.2
                        || a.y + a.height <= b.y + 0.2
                        || b.y + b.height <= a.y + 0.2;
                    prop_assert!(apart, "{} and {}", a.title, b.title);
                }
            }
            for shape in &drawing.shapes {
                let Shape::Edge { d, .. } = shape else { continue };
                let (from, to) = ends(d);
                prop_assert!(from < to, "{d}");
            }
        }

        #[test]
        fn a_bar_is_as_wide_as_its_box_and_shows_what_is_rare(
            failed in 0_u64..5, running in 0_u64..100, done in 1_u64..1_000_000
        ) {
            let counts = Counts::from([
                (StepStatus::Succeeded, done),
                (StepStatus::Failed, failed),
                (StepStatus::Running, running),
            ]);
            let bars = bars(&counts, 10.0, 0.0, 160.0);
            let present = [done, failed, running].iter().filter(|count| **count > 0).count();
            prop_assert_eq!(bars.len(), present);
            prop_assert!(bars.iter().all(|bar| bar.width >= 3.0));
            let last = bars.last().unwrap();
            prop_assert!((last.x + last.width - 170.0).abs() < 0.5);
        }
    }

    /// The heights at which a path starts and ends.
    fn ends(d: &str) -> (f64, f64) {
        let start = d[1..].split(['V', ' ']).nth(1).unwrap().parse().unwrap();
        (start, d.rsplit('V').next().unwrap().parse().unwrap())
    }

    #[test]
    fn a_step_leads_to_where_it_is_looked_at() {
        let standing = Standing {
            status: Some(StepStatus::Running),
            counts: Counts::from([(StepStatus::Succeeded, 9_998), (StepStatus::Failed, 2)]),
            path: Some("te\"xt".to_owned()),
        };
        let standings = HashMap::from([("text".to_owned(), standing)]);
        let drawing = draw(&samples::invoice(), "r1", &standings);
        let text = cards(&drawing).into_iter().find(|card| card.title == "text").unwrap();
        assert_eq!(text.href.as_deref(), Some("/runs/r1/step?at=te%22xt"));
        assert_eq!(
            text.label,
            "text, document.ocr, each page, 4 at once: running, 9,998 succeeded, 2 failed"
        );
        assert_eq!(text.bars.len(), 2);
    }
}
