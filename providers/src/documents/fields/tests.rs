//! The reader on pages built in code: many layouts and languages, exact answers.
//!
//! A page is drawn as text, a character 6 points wide and a line 14 points high, so that a
//! test shows the layout that it is about. Double spaces part words by more than a space.

mod layouts;
mod others;
mod traps;

use serde_json::{Value, json};

use super::{Extraction, extract};
use crate::documents::layout::{Page, Rect, Word};

/// The schema of the main job.
fn invoice_schema() -> Value {
    serde_json::from_str(include_str!("../../../../workflows/schemas/invoice.json")).unwrap()
}

/// Pages drawn as text, parted by form feeds.
fn pages(drawing: &str) -> Vec<Page> {
    drawing
        .split('\u{c}')
        .zip(1..)
        .map(|(page, number)| Page {
            number,
            width: 612.0,
            height: 842.0,
            text: page.to_owned(),
            words: page
                .lines()
                .enumerate()
                .flat_map(|(row, line)| words(line, 20.0 + 14.0 * row as f32))
                .collect(),
        })
        .collect()
}

/// Words of a line; an ideograph is twice as wide as a letter.
fn words(line: &str, top: f32) -> Vec<Word> {
    let mut found: Vec<Word> = Vec::new();
    let mut x = 20.0;
    let mut inside = false;
    for c in line.chars() {
        let width = if super::text::is_cjk(c) || c > '\u{ff00}' { 12.0 } else { 6.0 };
        if c == ' ' {
            inside = false;
        } else if inside && let Some(word) = found.last_mut() {
            word.text.push(c);
            word.rect.x1 = x + width;
        } else {
            let rect = Rect::new(x, top, x + width, top + 10.0);
            found.push(Word { text: c.to_string(), rect, confidence: 1.0 });
            inside = true;
        }
        x += width;
    }
    found
}

fn invoice(drawing: &str) -> Extraction {
    extract(&pages(drawing), &invoice_schema()).unwrap()
}

/// Checks the named fields; a table of expectations is one object.
fn assert_fields(name: &str, drawing: &str, expected: &Value) {
    let found = invoice(drawing);
    let wrong: Vec<String> = expected
        .as_object()
        .unwrap()
        .iter()
        .filter(|(field, value)| !same(found.fields.get(*field).unwrap_or(&Value::Null), value))
        .map(|(field, value)| {
            format!("{field}: expected {value}, found {}", json!(found.fields.get(field)))
        })
        .collect();
    assert!(wrong.is_empty(), "{name}:\n  {}", wrong.join("\n  "));
    for (field, value) in &found.fields {
        let known = value.is_null() || value.is_array() || found.evidence.contains_key(field);
        assert!(known, "{name}: {field} has no evidence");
        assert_eq!(
            value.is_null(),
            found.missing.contains(field),
            "{name}: {field} is null and not named, or named and not null"
        );
    }
}

/// Equal as JSON, numbers by value.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            b.iter().all(|(k, v)| a.get(k).is_some_and(|a| same(a, v)))
        }
        _ => a == b,
    }
}
