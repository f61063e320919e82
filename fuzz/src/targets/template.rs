//! A template: it yields a value or a typed error, the same each time, and no more than fits.

use std::sync::Arc;

use flow_core::content::ContentHash;
use flow_core::template::{Scope, StepView, StepsView, Template, TemplateError};
use serde_json::{Value, json};

/// The most bytes that a value may have as JSON: the memory that is allowed, and each byte of
/// it written as `\u0000`.
const LARGEST: usize = 6 * (256 << 20);

/// A step `s` that succeeded.
#[derive(Debug)]
struct OneStep;

impl StepsView for OneStep {
    fn step(&self, id: &str) -> Option<Arc<StepView>> {
        let output = json!({"text": "Größe", "words": [{"text": "a", "box": [0, 1.5, 2, 3]}]});
        (id == "s").then(|| Arc::new(StepView { output: Arc::new(output), ..StepView::default() }))
    }
}

/// The bytes are a template, then a NUL and `inputs` as JSON, if they are not the usual.
pub(super) fn template(bytes: &[u8]) {
    let (text, inputs) = match bytes.iter().position(|byte| *byte == 0) {
        Some(end) => (&bytes[..end], serde_json::from_slice(&bytes[end + 1..]).ok()),
        None => (bytes, None),
    };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let inputs: Value = inputs.unwrap_or_else(|| {
        json!({"n": 3, "big": u64::MAX, "text": "hi", "list": [1, [2, null]], "map": {"a": 0.5}})
    });
    let scope = Scope::new().with("inputs", Arc::new(inputs)).with_steps(Arc::new(OneStep));
    let template = match Template::compile(text) {
        Ok(template) => template,
        Err(error) => return told(&error),
    };
    if let Some(literal) = template.literal() {
        assert_eq!(literal, text, "a text without an expression is itself");
    }
    assert!(template.references().iter().all(|name| !name.root.is_empty()));
    let first = template.render(&scope);
    match &first {
        Ok(value) => {
            let size = size(value);
            assert!(size <= LARGEST, "a value of {size} bytes");
            if size < 1 << 16 {
                let again: Value = serde_json::from_str(&value.to_string()).expect("it is read");
                assert_eq!(ContentHash::of_json(&again), ContentHash::of_json(value));
                assert_eq!(template.render(&scope), first, "it yields the same each time");
            }
        }
        Err(error) => told(error),
    }
}

/// How many bytes a value has as JSON.
fn size(value: &Value) -> usize {
    let mut size = Size(0);
    serde_json::to_writer(&mut size, value).expect("a value is JSON");
    size.0
}

struct Size(usize);

impl std::io::Write for Size {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn told(error: &TemplateError) {
    assert!(!error.message.trim().is_empty(), "{error:?}");
    assert!(!error.message.contains('\n'), "{error:?}");
}
