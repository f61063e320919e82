//! How well a workflow does: its outputs against answers that are known.
//!
//! A case is a file `NAME.json` with the known answers. What it is about stands beside it under
//! the same name, or in the case itself:
//!
//! ```text
//!   cases/a.pdf   cases/a.json   { "total": 119.0, "date": "2026-11-24" }
//!                 cases/b.json   { "inputs": { "text": "…" }, "expect": { "kind": "letter" } }
//! ```
//!
//! Only what a case says is judged: a field that it does not name counts for nothing.

mod case;
mod page;
mod score;

pub(crate) use case::{Case, read};
pub(crate) use page::html;
pub(crate) use score::{Field, Judged, Verdict, judge};

use serde_json::{Value, json};

/// What one model made of one case.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// The case.
    pub(crate) case: String,
    /// Why there is nothing to judge, where the run failed.
    pub(crate) error: Option<String>,
    /// Its fields.
    pub(crate) judged: Vec<Judged>,
    /// What it cost in USD, as far as is known.
    pub(crate) cost: f64,
    /// Whether there is more that is not known.
    pub(crate) cost_uncertain: bool,
    /// How long it took, in milliseconds.
    pub(crate) millis: i64,
}

/// What one model made of all cases.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    /// The model; none where the workflow's own were asked.
    pub(crate) model: Option<String>,
    /// Its outcomes, a case each.
    pub(crate) outcomes: Vec<Outcome>,
}

impl Column {
    /// The model, for people.
    pub(crate) fn name(&self) -> &str {
        self.model.as_deref().unwrap_or("as the workflow says")
    }

    /// The fields with what they come to, in the order in which they were met.
    pub(crate) fn fields(&self) -> Vec<Field> {
        let mut fields: Vec<Field> = Vec::new();
        for judged in self.outcomes.iter().flat_map(|outcome| &outcome.judged) {
            match fields.iter_mut().find(|field| field.name == judged.field) {
                Some(field) => field.count(judged),
                None => {
                    let mut field = Field::new(&judged.field);
                    field.count(judged);
                    fields.push(field);
                }
            }
        }
        fields
    }

    /// All fields together.
    pub(crate) fn total(&self) -> Field {
        let mut total = Field::new("all");
        self.outcomes.iter().flat_map(|o| &o.judged).for_each(|judged| total.count(judged));
        total
    }

    /// What it cost in USD, and whether that is all.
    pub(crate) fn cost(&self) -> (f64, bool) {
        let uncertain = self.outcomes.iter().any(|outcome| outcome.cost_uncertain);
        (self.outcomes.iter().map(|outcome| outcome.cost).sum(), uncertain)
    }

    /// Milliseconds a case, on average.
    pub(crate) fn millis(&self) -> i64 {
        let all: i64 = self.outcomes.iter().map(|outcome| outcome.millis).sum();
        all / (self.outcomes.len().max(1) as i64)
    }

    /// All of it as data.
    pub(crate) fn to_value(&self) -> Value {
        let (cost, cost_uncertain) = self.cost();
        let outcomes = self.outcomes.iter().map(|outcome| {
            json!({
                "case": outcome.case,
                "error": outcome.error,
                "fields": outcome.judged.iter().map(Judged::to_value).collect::<Vec<_>>(),
                "cost": outcome.cost,
                "millis": outcome.millis,
            })
        });
        json!({
            "model": self.model,
            "fields": self.fields().iter().map(Field::to_value).collect::<Vec<_>>(),
            "all": self.total().to_value(),
            "failed": self.outcomes.iter().filter(|o| o.error.is_some()).count(),
            "cost": cost,
            "cost_uncertain": cost_uncertain,
            "millis": self.millis(),
            "cases": outcomes.collect::<Vec<_>>(),
        })
    }
}
