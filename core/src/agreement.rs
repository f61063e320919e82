//! What the answers of two models are held against each other by.
//!
//! A step with `agree` asks its first model for all, and a second one only for those fields that
//! the first leaves open. Which fields those are, how only they are asked for and whether two
//! values are the same is known to whoever asks models: the engine asks it here, and decides
//! what follows.

use serde_json::Value;

use crate::error::Failure;

/// A field of an answer that nothing confirms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// Its name, a top-level key of the answer.
    pub field: String,
    /// Why it is open, in a few words: `ungrounded`, `unsure`.
    pub why: &'static str,
}

/// Holds answers to the same question against each other.
pub trait Agreement: Send + Sync {
    /// Those of the fields `on` that an answer leaves open. `known` is what was noted beside the
    /// answer (`steps.X.meta`). An error says why the fields can be none of the answer's.
    fn doubts(
        &self,
        input: &Value,
        answer: &Value,
        known: Option<&Value>,
        on: &[String],
    ) -> Result<Vec<Doubt>, Failure>;

    /// The same question, for some fields of the answer alone. Its `schema` is that of an answer
    /// to it.
    fn narrowed(&self, input: &Value, fields: &[String]) -> Value;

    /// Whether two values of a field are the same, in whatever form they are written.
    fn same(&self, one: &Value, other: &Value) -> bool;

    /// What is known beside an answer, once a person has set these fields.
    fn corrected(&self, known: Value, fields: &[String]) -> Value;
}
