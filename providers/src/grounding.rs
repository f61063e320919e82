//! The answer of a model held against the pages that it was read from.
//!
//! Where values stand is told beside the answer, as `steps.X.meta.grounding`; whether all of them
//! must stand somewhere is the step's to say (`require_grounded`).

use flow_core::action::StepContext;
use flow_core::error::{ErrorClass, Failure};
use serde_json::{Value, json};

use crate::documents::{Grounding, Page, ground};

/// The most values that a message names.
const NAMED: usize = 20;

/// The most letters of a value that a message shows.
const LONGEST: usize = 80;

/// Notes where the values of an answer stand on `pages`, or says why that is not good enough.
///
/// Dropping the future leaves the work to end by itself; it is bounded.
pub(crate) async fn hold(
    pages: &Value,
    answer: &Value,
    schema: Option<&Value>,
    context: &StepContext,
) -> Result<(), Failure> {
    let required = context.require_grounded;
    let Some(schema) = schema else {
        let failure = Failure::input("`require_grounded` needs a `schema` of the answer");
        return if required { Err(failure) } else { Ok(()) };
    };
    let read = read(pages)?;
    if required && read.iter().all(|page| page.words.is_empty()) {
        return Err(Failure::input("`require_grounded`: no page has words to look among")
            .with_hint("read the pages before, by `document.text`"));
    }
    let (of, to) = (answer.clone(), schema.clone());
    let found = tokio::task::spawn_blocking(move || ground(&read, &of, &to)).await;
    let found = found.map_err(|error| Failure::internal(format!("grounding failed: {error}")))?;
    let places = json!({
        "values": found.values,
        "ungrounded": found.ungrounded,
        "pages": drawn(pages),
    });
    context.usage.note_meta(json!({ "grounding": places }));
    if required && !found.ungrounded.is_empty() {
        return Err(nowhere(&found, answer));
    }
    Ok(())
}

/// The pages of an input.
fn read(pages: &Value) -> Result<Vec<Page>, Failure> {
    let pages = match pages {
        Value::Array(pages) => pages.clone(),
        one => vec![one.clone()],
    };
    serde_json::from_value(Value::Array(pages)).map_err(|error| {
        Failure::input(format!("`ground` are not pages: {error}"))
            .with_hint("give the output of `document.text`, one a page")
    })
}

/// What is told of pages: as much as drawing them needs.
pub(crate) fn drawn(pages: &Value) -> Value {
    let pages = match pages {
        Value::Array(pages) => pages.as_slice(),
        one => std::slice::from_ref(one),
    };
    let told = |page: &Value| {
        json!({
            "number": page["number"],
            "width": page["width"],
            "height": page["height"],
            "image": page["image"],
        })
    };
    pages.iter().map(told).collect()
}

/// Says which values are nowhere on the pages.
fn nowhere(found: &Grounding, answer: &Value) -> Failure {
    let shown = found.ungrounded.iter().take(NAMED).map(|path| {
        let pointer = format!("/{}", path.replace('.', "/"));
        let value = answer.pointer(&pointer).map(Value::to_string).unwrap_or_default();
        let short: String = value.chars().take(LONGEST).collect();
        format!("`{path}` ({short})")
    });
    let shown: Vec<_> = shown.collect();
    let more = match found.ungrounded.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let message = format!(
        "values that stand nowhere on the pages: {}{more}; what is not on them is null",
        shown.join(", ")
    );
    Failure::new(ErrorClass::InvalidOutput, message)
}
