//! A run's pages with the places of the values that were read from them, as one page of HTML.
//!
//! Names and values come from documents and models, so that every one is escaped wherever it
//! stands.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flow_core::artifact::ArtifactRef;
use flow_core::ids::InstancePath;
use flow_core::store::{RunRow, StepRow, Store, StoreError};
use serde_json::{Map, Value};

use crate::page::{escaped, framed};
use crate::world::shown;

/// The most pages that are drawn, and the most bytes of their images.
const MOST_PAGES: usize = 200;
const MOST_BYTES: u64 = 64 << 20;

/// The most rows of steps that are read at once.
const AT_ONCE: u32 = 500;

/// The most letters of a value that are shown.
const LONGEST: usize = 300;

/// Draws every step of a run that knows where its values stand; none where no step does.
pub(crate) async fn html(store: &Store, run: &RunRow) -> Result<Option<String>, StoreError> {
    let mut drawing = Drawing { store, pages: 0, bytes: 0, left_out: 0, steps: 0 };
    let mut body = String::new();
    drawing.level(run, None, &mut body).await?;
    if drawing.steps == 0 {
        return Ok(None);
    }
    if drawing.left_out > 0 {
        let left_out = drawing.left_out;
        _ = writeln!(body, "<p class=\"note\">{left_out} more pages are not drawn.</p>");
    }
    let (name, id, status) = (escaped(&run.workflow), run.id.as_str(), run.status);
    let head = format!("<h1>{name}</h1>\n<p class=\"note\">run {id}, {status}</p>\n");
    Ok(Some(framed(&format!("{}: {id}", run.workflow), &(head + &body))))
}

struct Drawing<'s> {
    store: &'s Store,
    pages: usize,
    bytes: u64,
    left_out: usize,
    steps: usize,
}

impl Drawing<'_> {
    /// The steps of a level, and those within each.
    async fn level(
        &mut self,
        run: &RunRow,
        parent: Option<&InstancePath>,
        body: &mut String,
    ) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let page = self.store.steps(&run.id, parent, after, AT_ONCE).await?;
            for row in &page.rows {
                self.step(row, body).await?;
                Box::pin(self.level(run, Some(&row.path), body)).await?;
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn step(&mut self, row: &StepRow, body: &mut String) -> Result<(), StoreError> {
        let Some(grounding) = row.meta.as_ref().and_then(|meta| meta.get("grounding")) else {
            return Ok(());
        };
        let output = match &row.output {
            Some(packed) => self.store.unpack(packed.clone()).await?,
            None => Value::Null,
        };
        self.steps += 1;
        let step = Step { number: self.steps, grounding, output: &output };
        _ = writeln!(
            body,
            "<section>\n<h2>{}</h2>\n<div class=\"sheet\">",
            escaped(&row.path.to_string())
        );
        step.table(body);
        body.push_str("<div class=\"pages\">\n");
        for page in grounding["pages"].as_array().into_iter().flatten() {
            if self.pages >= MOST_PAGES || self.bytes >= MOST_BYTES {
                self.left_out += 1;
                continue;
            }
            self.pages += 1;
            let image = self.image(&page["image"]).await?;
            step.page(page, image.as_deref(), body);
        }
        body.push_str("</div>\n</div>\n</section>\n");
        Ok(())
    }

    /// An image of a page as it can stand in the file; none where there is none.
    async fn image(&mut self, image: &Value) -> Result<Option<String>, StoreError> {
        let Some(image) = ArtifactRef::from_value(image) else { return Ok(None) };
        let media_type @ ("image/png" | "image/jpeg" | "image/webp" | "image/gif") =
            image.media_type.as_str()
        else {
            return Ok(None);
        };
        let bytes = self.store.artifacts().get(&image.hash).await?;
        self.bytes += bytes.len() as u64;
        Ok(Some(format!("data:{media_type};base64,{}", STANDARD.encode(bytes))))
    }
}

/// A step that knows where its values stand.
struct Step<'s> {
    /// Tells the anchors of steps apart.
    number: usize,
    grounding: &'s Value,
    output: &'s Value,
}

impl Step<'_> {
    fn values(&self) -> impl Iterator<Item = (usize, &String, &Value)> {
        let values = self.grounding["values"].as_object().into_iter().flat_map(Map::iter);
        values.enumerate().map(|(at, (path, evidence))| (at, path, evidence))
    }

    /// The value at a place of the answer.
    fn value(&self, path: &str) -> String {
        let pointer = format!("/{}", path.replace('~', "~0").replace('/', "~1").replace('.', "/"));
        let within = |value: &Value| value.pointer(&pointer).map(|value| shown(value, LONGEST));
        within(self.output).or_else(|| within(&self.output["fields"])).unwrap_or_default()
    }

    fn table(&self, body: &mut String) {
        body.push_str("<table>\n<tr><th>value of</th><th>value</th><th>on the page</th><th>page</th><th>sure</th></tr>\n");
        let number = self.number;
        for (at, path, evidence) in self.values() {
            let page = &evidence["page"];
            let sure = evidence["confidence"].as_f64().unwrap_or_default() * 100.0;
            let text = evidence["text"].as_str().unwrap_or_default();
            _ = writeln!(
                body,
                "<tr id=\"r{number}-{at}\"><td><a href=\"#b{number}-{at}\">{}</a></td><td>{}</td>\
                 <td>{}</td><td>{}</td><td>{sure:.0}&nbsp;%</td></tr>",
                escaped(path),
                escaped(&self.value(path)),
                escaped(&text.chars().take(LONGEST).collect::<String>()),
                escaped(&page.to_string()),
            );
        }
        for path in self.grounding["ungrounded"].as_array().into_iter().flatten() {
            let path = path.as_str().unwrap_or_default();
            _ = writeln!(
                body,
                "<tr class=\"ungrounded\"><td>{}</td><td>{}</td><td colspan=\"3\">ungrounded</td></tr>",
                escaped(path),
                escaped(&self.value(path)),
            );
        }
        body.push_str("</table>\n");
    }

    fn page(&self, page: &Value, image: Option<&str>, body: &mut String) {
        let size = |key: &str| page[key].as_f64().filter(|size| size.is_finite() && *size > 0.0);
        let (width, height) = (size("width").unwrap_or(595.0), size("height").unwrap_or(842.0));
        let number = self.number;
        _ = writeln!(
            body,
            "<figure>\n<figcaption>page {}</figcaption>\n<svg viewBox=\"0 0 {width:.2} {height:.2}\" role=\"img\">\n\
             <rect class=\"paper\" width=\"{width:.2}\" height=\"{height:.2}\"/>",
            escaped(&page["number"].to_string()),
        );
        if let Some(image) = image {
            _ = writeln!(
                body,
                "<image href=\"{image}\" width=\"{width:.2}\" height=\"{height:.2}\" preserveAspectRatio=\"none\"/>"
            );
        }
        for (at, path, evidence) in self.values().filter(|(.., e)| e["page"] == page["number"]) {
            let edge = |at: usize| evidence["box"][at].as_f64().unwrap_or_default();
            let (x, y) = (edge(0), edge(1));
            let (wide, high) = ((edge(2) - x).max(0.0), (edge(3) - y).max(0.0));
            _ = writeln!(
                body,
                "<a href=\"#r{number}-{at}\"><rect id=\"b{number}-{at}\" class=\"box\" x=\"{x:.2}\" y=\"{y:.2}\" \
                 width=\"{wide:.2}\" height=\"{high:.2}\"><title>{}: {}</title></rect></a>",
                escaped(path),
                escaped(&self.value(path)),
            );
        }
        body.push_str("</svg>\n</figure>\n");
    }
}
