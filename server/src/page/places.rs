//! Where values stand: the pages that a step read, with a box around each value.

use flow_core::artifact::ArtifactRef;
use serde::Serialize;
use serde_json::{Map, Value};

use super::json::{address, is_image, line};

/// The most pages and values that are drawn.
const PAGES: usize = 60;
const VALUES: usize = 1_000;

/// The most letters of a value that are shown.
const LONGEST: usize = 200;

/// The size of a page, in points, where none is known.
const A4: (f64, f64) = (595.0, 842.0);

/// A step's values and the pages that they stand on.
#[derive(Serialize)]
pub(super) struct Places {
    values: Vec<Found>,
    pages: Vec<Sheet>,
    left_out: usize,
}

/// A value of the answer.
#[derive(Serialize)]
struct Found {
    number: usize,
    path: String,
    value: String,
    text: String,
    page: String,
    confidence: String,
    grounded: bool,
}

/// A page and the boxes on it, in points.
#[derive(Serialize)]
struct Sheet {
    number: String,
    width: f64,
    height: f64,
    image: Option<String>,
    boxes: Vec<Around>,
}

#[derive(Serialize)]
struct Around {
    number: usize,
    label: String,
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

impl Places {
    /// What a step tells of where its values stand; none where it tells nothing.
    pub(super) fn of(meta: Option<&Value>, output: &Value) -> Option<Self> {
        let grounding = meta?.get("grounding")?;
        let evidence = || grounding["values"].as_object().into_iter().flat_map(Map::iter);
        let mut values: Vec<Found> = evidence()
            .take(VALUES)
            .enumerate()
            .map(|(number, (path, evidence))| Found {
                number,
                path: path.clone(),
                value: value_at(output, path),
                text: line(&evidence["text"], LONGEST),
                page: evidence["page"].to_string(),
                confidence: percent(&evidence["confidence"]),
                grounded: true,
            })
            .collect();
        let nowhere = grounding["ungrounded"].as_array().into_iter().flatten();
        for path in nowhere.filter_map(Value::as_str).take(VALUES) {
            values.push(Found {
                number: values.len(),
                path: path.to_owned(),
                value: value_at(output, path),
                text: String::new(),
                page: String::new(),
                confidence: String::new(),
                grounded: false,
            });
        }
        let pages = grounding["pages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let sheet = |page: &Value| Sheet::of(page, evidence().take(VALUES), output);
        Some(Self {
            values,
            pages: pages.iter().take(PAGES).map(sheet).collect(),
            left_out: pages.len().saturating_sub(PAGES),
        })
    }

    /// Pages without a value on them, for who reads them.
    pub(super) fn of_pages<'p>(pages: impl Iterator<Item = &'p Value>) -> Self {
        let sheets = pages.take(PAGES).map(|page| Sheet::of(page, std::iter::empty(), page));
        Self { values: Vec::new(), pages: sheets.collect(), left_out: 0 }
    }

    /// Whether there is nothing to see.
    pub(super) fn is_empty(&self) -> bool {
        self.pages.iter().all(|page| page.image.is_none() && page.boxes.is_empty())
    }
}

impl Sheet {
    fn of<'e>(
        page: &Value,
        evidence: impl Iterator<Item = (&'e String, &'e Value)>,
        output: &Value,
    ) -> Self {
        let size = |key: &str| page[key].as_f64().filter(|size| size.is_finite() && *size > 0.0);
        let image = ArtifactRef::from_value(&page["image"]);
        let here = evidence.enumerate().filter(|(_, (_, found))| found["page"] == page["number"]);
        Self {
            number: page["number"].to_string(),
            width: size("width").unwrap_or(A4.0),
            height: size("height").unwrap_or(A4.1),
            image: image.filter(|image| is_image(&image.media_type)).map(|image| address(&image)),
            boxes: here
                .map(|(number, (path, found))| around(number, path, found, output))
                .collect(),
        }
    }
}

fn around(number: usize, path: &str, found: &Value, output: &Value) -> Around {
    let edge = |at: usize| found["box"][at].as_f64().filter(|e| e.is_finite()).unwrap_or_default();
    let (x, y) = (edge(0), edge(1));
    Around {
        number,
        label: format!("{path}: {}", value_at(output, path)),
        x,
        y,
        width: (edge(2) - x).max(0.0),
        height: (edge(3) - y).max(0.0),
    }
}

/// The value at a place of the answer, such as `lines.0.total`.
fn value_at(output: &Value, path: &str) -> String {
    let pointer = format!("/{}", path.replace('~', "~0").replace('/', "~1").replace('.', "/"));
    let within = |value: &Value| value.pointer(&pointer).map(|value| line(value, LONGEST));
    within(output).or_else(|| within(&output["fields"])).unwrap_or_default()
}

fn percent(share: &Value) -> String {
    share.as_f64().map_or_else(String::new, |share| format!("{:.0} %", share * 100.0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn boxes_stand_on_their_pages_and_what_is_nowhere_is_said_to_be() {
        let meta = json!({ "grounding": {
            "values": { "total": { "page": 2, "box": [10.0, 20.0, 30.0, 25.0], "text": "9", "confidence": 0.5 } },
            "ungrounded": ["iban"],
            "pages": [{ "number": 1, "width": 100.0, "height": 200.0 }, { "number": 2 }],
        } });
        let places =
            Places::of(Some(&meta), &json!({ "fields": { "total": 9, "iban": "x" } })).unwrap();
        assert_eq!(places.pages[0].boxes.len(), 0);
        let found = &places.pages[1].boxes[0];
        assert_eq!((found.x, found.y, found.width, found.height), (10.0, 20.0, 20.0, 5.0));
        assert_eq!(found.label, "total: 9");
        assert_eq!((places.values[1].value.as_str(), places.values[1].grounded), ("x", false));
    }

    #[test]
    fn numbers_that_are_none_draw_nothing_wrong() {
        let meta = json!({ "grounding": {
            "values": { "a": { "page": 1, "box": ["x", -1e300, null] } },
            "pages": [{ "number": 1, "width": -3, "height": "9" }],
        } });
        let places = Places::of(Some(&meta), &Value::Null).unwrap();
        assert_eq!((places.pages[0].width, places.pages[0].height), A4);
        assert!(places.pages[0].boxes[0].width >= 0.0);
    }
}
