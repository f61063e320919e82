//! SVG: one file that needs nothing else, for a page, a slide or an image tag.
//!
//! No script, no font, no link. Dark where the reader's system is dark. Every text is
//! escaped and cut to its box; the whole of it is in the tooltip.

use std::fmt::Write;

use super::label::{columns, cut};
use super::layout::{Placed, Rect, Sheet, Stroke, header_height, layout};
use super::model::{EdgeKind, Graph, Kind};

/// Space around the picture.
const MARGIN: f64 = 28.0;
/// Width that the header may take above a narrower picture.
const MIN_WIDTH: f64 = 560.0;
/// Width of a column of the header's two lines.
const NAME_COLUMN: f64 = 11.5;
const ABOUT_COLUMN: f64 = 7.4;
/// Columns of text that fit a box, for the title and for the lines below it.
const TITLE_COLUMNS: usize = 23;
const LINE_COLUMNS: usize = 26;

/// Draws the graph as an SVG page.
pub(crate) fn svg(graph: &Graph) -> String {
    let sheet = layout(graph);
    let header = Header::fit(graph, sheet.width);
    let inner_width = sheet.width.max(header.width);
    let width = inner_width + 2.0 * MARGIN;
    let height = sheet.height + header.height + 2.0 * MARGIN;
    let mut page = Page { text: String::new() };
    page.line(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\">"
    ));
    page.line(format_args!("<title>{}</title>", escape(&graph.name)));
    page.line(format_args!("<style>\n{STYLE}</style>\n{HEAD}"));
    page.line(format_args!("<rect class=\"page\" width=\"100%\" height=\"100%\"/>"));
    page.text_at("name", MARGIN, MARGIN + 18.0, &header.name);
    if let Some(about) = &header.about {
        page.text_at("about", MARGIN, MARGIN + 41.0, about);
    }
    let (left, top) = (MARGIN + (inner_width - sheet.width) / 2.0, MARGIN + header.height);
    page.line(format_args!("<g transform=\"translate({left:.1} {top:.1})\">"));
    page.sheet(&sheet);
    page.line(format_args!("</g>\n</svg>"));
    page.text
}

/// Name and description of the workflow, above the picture.
struct Header {
    name: String,
    about: Option<String>,
    width: f64,
    height: f64,
}

impl Header {
    /// Cuts both to a picture of this width.
    fn fit(graph: &Graph, width: f64) -> Self {
        let room = width.max(MIN_WIDTH);
        let name = cut(&graph.name, (room / NAME_COLUMN) as usize);
        let about = graph.description.as_deref().and_then(|text| text.trim().lines().next());
        let about = about.map(|text| cut(text, (room / ABOUT_COLUMN) as usize));
        let about_width = about.as_deref().map_or(0, columns) as f64 * ABOUT_COLUMN;
        Self {
            width: about_width.max(columns(&name) as f64 * NAME_COLUMN),
            height: if about.is_some() { 66.0 } else { 44.0 },
            name,
            about,
        }
    }
}

struct Page {
    text: String,
}

impl Page {
    fn sheet(&mut self, sheet: &Sheet<'_>) {
        for stroke in &sheet.strokes {
            self.stroke(stroke);
        }
        for placed in &sheet.boxes {
            let status = placed.item.status.map_or("", |status| status.as_str());
            self.line(format_args!("<g class=\"{} {status}\">", class(placed)));
            let lines: Vec<&str> = placed.item.lines().collect();
            self.line(format_args!("<title>{}</title>", escape(&lines.join("\n"))));
            match &placed.inner {
                Some(inner) => self.frame(placed, inner),
                None => self.card(placed),
            }
            self.line(format_args!("</g>"));
        }
    }

    fn card(&mut self, placed: &Placed<'_>) {
        let (rect, item) = (placed.rect, placed.item);
        if item.repeats {
            self.rect("box", Rect { x: rect.x + 5.0, y: rect.y + 5.0, ..rect }, 8.0);
        }
        self.rect("box", rect, 8.0);
        let stripe =
            Rect { x: rect.x + 8.0, y: rect.y + 10.0, width: 4.0, height: rect.height - 20.0 };
        self.rect("stripe", stripe, 2.0);
        let (x, mut y) = (rect.x + 22.0, rect.y + 25.0);
        self.text_at("title", x, y, &cut(&item.title, TITLE_COLUMNS));
        if let Some(line) = item.action() {
            y += 17.0;
            self.text_at("action", x, y, &cut(line, LINE_COLUMNS));
        }
        for line in &item.notes {
            y += 16.0;
            self.text_at("note", x, y, &cut(line, LINE_COLUMNS));
        }
    }

    fn frame(&mut self, placed: &Placed<'_>, inner: &Sheet<'_>) {
        let (rect, item) = (placed.rect, placed.item);
        if item.repeats {
            self.rect("box", Rect { x: rect.x + 5.0, y: rect.y + 5.0, ..rect }, 12.0);
        }
        self.rect("box", rect, 12.0);
        let room = (rect.width - 32.0) / 8.0;
        let (x, y) = (rect.x + 16.0, rect.y + 24.0);
        self.text_at("title", x, y, &cut(&item.title, room as usize));
        if !item.notes.is_empty() {
            let notes = cut(&item.notes.join(" · "), room as usize);
            self.text_at("note", x, rect.y + header_height(item) - 15.0, &notes);
        }
        self.sheet(inner);
    }

    fn stroke(&mut self, stroke: &Stroke) {
        let ((x0, y0), (x1, y1)) = (stroke.from, stroke.to);
        let (top, bottom) = stroke.bend;
        // The head is drawn beyond the end of the line.
        let end = if stroke.head { y1 - 6.0 } else { y1 };
        let low = bottom.min(end);
        let middle = f64::midpoint(top, low);
        let kind = match stroke.kind {
            EdgeKind::Needs => "edge",
            EdgeKind::Then => "edge then",
        };
        let head = if stroke.head { " marker-end=\"url(#head)\"" } else { "" };
        self.line(format_args!(
            "<path class=\"{kind}\" d=\"M{x0:.1} {y0:.1}V{top:.1}C{x0:.1} {middle:.1} {x1:.1} \
             {middle:.1} {x1:.1} {low:.1}V{end:.1}\"{head}/>"
        ));
    }

    fn rect(&mut self, class: &str, rect: Rect, radius: f64) {
        let Rect { x, y, width, height } = rect;
        self.line(format_args!(
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" \
             height=\"{height:.1}\" rx=\"{radius}\"/>"
        ));
    }

    fn text_at(&mut self, class: &str, x: f64, y: f64, text: &str) {
        let text = escape(text);
        self.line(format_args!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{line}").expect("a string takes all text");
    }
}

/// The family of its action, which gives a box its colour.
fn class(placed: &Placed<'_>) -> &'static str {
    match &placed.item.kind {
        Kind::Section(_) => "section",
        Kind::Group(_) => "group",
        Kind::Action(action) => match action.split('.').next().unwrap_or_default() {
            "document" => "step document",
            "model" | "task" | "extract" => "step model",
            "human" => "step human",
            "plugin" => "step plugin",
            _ => "step plain",
        },
    }
}

/// Makes text safe within an element or an attribute. A character that XML knows no way to
/// write becomes U+FFFD.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\t' | '\n' => escaped.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

const HEAD: &str = "<defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"1\" refY=\"4\" \
markerWidth=\"7\" markerHeight=\"7\" orient=\"90\"><path class=\"head\" \
d=\"M0 0.5 8 4 0 7.5z\"/></marker></defs>";

const STYLE: &str = "\
svg { --page: #fff; --card: #fff; --frame: #f6f8fa; --line: #d1d9e0; --ink: #1f2328;
  --soft: #59636e; --edge: #818b98; --document: #0969da; --model: #8250df; --human: #bf8700;
  --plugin: #1b7c83; --plain: #818b98; --good: #1a7f37; --good-fill: #dafbe1; --bad: #cf222e;
  --bad-fill: #ffebe9; --busy: #0969da; --busy-fill: #ddf4ff; --wait: #9a6700;
  --wait-fill: #fff8c5 }
@media (prefers-color-scheme: dark) {
  svg { --page: #0d1117; --card: #161b22; --frame: #11161d; --line: #3d444d; --ink: #f0f6fc;
    --soft: #9198a1; --edge: #656c76; --document: #4493f8; --model: #ab7df8; --human: #d29922;
    --plugin: #39c5cf; --plain: #656c76; --good: #3fb950; --good-fill: #12261e;
    --bad: #f85149; --bad-fill: #2c1418; --busy: #4493f8; --busy-fill: #10233d;
    --wait: #d29922; --wait-fill: #272115 }
}
text { font-family: system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif;
  fill: var(--ink) }
.page { fill: var(--page) }
.name { font-size: 20px; font-weight: 600 }
.about { font-size: 13px; fill: var(--soft) }
.title { font-size: 13px; font-weight: 600 }
.action { font: 11px ui-monospace, SFMono-Regular, Menlo, 'DejaVu Sans Mono', monospace;
  fill: var(--soft) }
.note { font-size: 11px; fill: var(--soft) }
.box { fill: var(--card); stroke: var(--line); stroke-width: 1.2 }
.group > .box, .section > .box { fill: var(--frame) }
.section > .box { stroke-dasharray: 5 4 }
.document > .stripe { fill: var(--document) }
.model > .stripe { fill: var(--model) }
.human > .stripe { fill: var(--human) }
.plugin > .stripe { fill: var(--plugin) }
.plain > .stripe { fill: var(--plain) }
.edge { fill: none; stroke: var(--edge); stroke-width: 1.4 }
.then { stroke-dasharray: 5 4 }
.head { fill: var(--edge) }
.succeeded > .box { stroke: var(--good) }
.failed > .box { stroke: var(--bad) }
.running > .box, .retrying > .box { stroke: var(--busy) }
.waiting > .box { stroke: var(--wait) }
.step.succeeded > .box { fill: var(--good-fill) }
.step.failed > .box { fill: var(--bad-fill) }
.step.running > .box, .step.retrying > .box { fill: var(--busy-fill) }
.step.waiting > .box { fill: var(--wait-fill) }
.skipped > .box, .blocked > .box, .cancelled > .box { stroke-dasharray: 3 3 }
.skipped > text, .blocked > text, .cancelled > text { opacity: .6 }
";

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::graph::samples;

    fn draw(workflow: &flow_core::language::Workflow) -> String {
        svg(&Graph::of(workflow, &|_| None))
    }

    #[test]
    fn the_page_is_well_formed_whatever_the_names() {
        for workflow in [samples::invoice(), samples::night(), samples::hostile()] {
            assert_well_formed(&draw(&workflow));
        }
    }

    #[test]
    fn nothing_in_the_page_runs_or_loads() {
        let page = draw(&samples::hostile());
        for word in ["<script", "href", "@import", "<foreignObject", " on"] {
            let tags = page.split('<').filter_map(|part| part.split_once('>'));
            let mut tags = tags.map(|(tag, _)| format!("<{tag}"));
            assert!(!tags.any(|tag| tag.contains(word)), "{word}");
        }
    }

    #[test]
    fn an_empty_workflow_is_a_page_with_its_name() {
        let page = draw(&samples::workflow("nothing", Vec::new()));
        assert_well_formed(&page);
        assert!(page.contains(">nothing</text>"));
    }

    #[test]
    fn a_long_header_is_cut_to_the_page() {
        let mut long = samples::invoice();
        long.name = "name ".repeat(10_000);
        long.description = Some("about ".repeat(10_000) + "\nmore");
        let page = draw(&long);
        assert_well_formed(&page);
        let width = page.split("width=\"").nth(1).unwrap().split('"').next().unwrap();
        assert!(width.parse::<f64>().unwrap() < MIN_WIDTH + 2.0 * MARGIN + 1.0, "{width}");
    }

    #[test]
    fn a_run_is_painted_in() {
        let page = svg(&Graph::of(&samples::night(), &samples::status));
        assert!(page.contains("class=\"step document succeeded\""), "{page}");
        assert!(page.contains("class=\"group failed\""));
    }

    #[test]
    fn a_thousand_steps_take_moments() {
        let started = Instant::now();
        let page = draw(&samples::random(1_000));
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        assert_well_formed(&page);
    }

    /// Checks tags, attributes and entities; enough XML for what is written here.
    fn assert_well_formed(page: &str) {
        let mut open: Vec<&str> = Vec::new();
        let mut rest = page;
        while let Some(start) = rest.find('<') {
            assert_text(&rest[..start]);
            let end = start + rest[start..].find('>').expect("every tag ends");
            let tag = &rest[start + 1..end];
            assert!(!tag.contains('<'), "<{tag}>");
            assert_eq!(tag.matches('"').count() % 2, 0, "<{tag}>");
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name));
            } else if !tag.ends_with('/') {
                open.push(tag.split(' ').next().expect("a tag has a name"));
            }
            rest = &rest[end + 1..];
        }
        assert!(open.is_empty() && rest.trim().is_empty(), "{open:?} {rest}");
    }

    fn assert_text(text: &str) {
        assert!(!text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')), "{text}");
        for entity in text.split('&').skip(1) {
            let known = ["amp;", "lt;", "gt;", "quot;"];
            assert!(known.iter().any(|name| entity.starts_with(name)), "&{entity}");
        }
    }
}
