//! Words from anywhere on a page, and the fields found among them: each has its evidence.

use std::sync::LazyLock;

use flow_providers::documents::{Extraction, Page, Rect, Word, extract, inconsistencies};
use serde_json::Value;

static INVOICE: LazyLock<Value> = LazyLock::new(|| {
    let text = include_str!("../../../workflows/schemas/invoice.json");
    serde_json::from_str(text).expect("a schema of the repository")
});

/// The bytes are text that stands on a page as it stands in the file: a line a line, a column
/// a column, a form feed before the next page. A first line that is JSON is the schema.
pub(super) fn fields(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    let (schema, text) = match serde_json::from_str::<Value>(first) {
        Ok(schema) if schema.is_object() => (schema, rest),
        Ok(_) | Err(_) => (INVOICE.clone(), &*text),
    };
    let pages: Vec<_> = text.split('\u{c}').zip(1..).map(|(text, n)| page(text, n)).collect();
    match extract(&pages, &schema) {
        Ok(found) => {
            holds(&found, &pages, &schema);
            let said = inconsistencies(&found.fields, &schema);
            assert!(said.is_ok(), "the schema was good a moment ago");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Value::Object(any) = &schema {
        // What is given here need not have been found by the same schema.
        let _ = inconsistencies(any, &INVOICE);
    }
}

fn page(text: &str, number: u32) -> Page {
    let words = text.lines().zip(0_u16..).flat_map(|(line, row)| words_of(line, row)).collect();
    Page { number, width: 595.0, height: 842.0, text: text.to_owned(), words }
}

fn words_of(line: &str, row: u16) -> Vec<Word> {
    let (mut words, mut at) = (Vec::new(), 0_u16);
    for part in line.split(' ') {
        let width = u16::try_from(part.chars().count()).unwrap_or(u16::MAX);
        if !part.is_empty() {
            let (x, y) = (f32::from(at) * 6.0, f32::from(row) * 12.0);
            let rect = Rect::new(x, y, x + f32::from(width) * 6.0, y + 10.0);
            words.push(Word { text: part.to_owned(), rect, confidence: 0.9 });
        }
        at = at.saturating_add(width).saturating_add(1);
    }
    words
}

fn holds(found: &Extraction, pages: &[Page], schema: &Value) {
    let names = schema["properties"].as_object().expect("its fields were read");
    assert!(names.keys().all(|name| found.fields.contains_key(name)), "{found:?}");
    for (name, value) in &found.fields {
        let missing = found.missing.contains(name);
        assert_eq!(value.is_null(), missing, "{name}: {found:?}");
        let below = format!("{name}.");
        let evident = |key: &String| key == name || key.starts_with(&below);
        let empty = value.as_array().is_some_and(Vec::is_empty);
        assert!(missing || empty || found.evidence.keys().any(evident), "{name}: {found:?}");
    }
    for (key, evidence) in &found.evidence {
        assert!((0.0..=1.0).contains(&evidence.confidence), "{key}: {evidence:?}");
        assert!((1..=pages.len()).contains(&(evidence.page as usize)), "{key}: {evidence:?}");
    }
    assert!(serde_json::to_string(found).is_ok(), "it is written as JSON");
}
