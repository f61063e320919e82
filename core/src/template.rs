//! Templates: values of a workflow that are computed when a step runs.
//!
//! One expression language (minijinja, strict). A string that is wholly one `{{ … }}`
//! keeps the type of its value; any other string with `{{ … }}` in it becomes text. What a
//! template yields is data and never rendered again. Fuel and size are limited; there is
//! no include, no clock, no environment.

use std::sync::Arc;

use serde_json::{Map, Value};

/// A compiled value: literals as they are, strings with expressions to be rendered.
#[derive(Clone, Debug)]
pub enum Template {
    /// A value without any expression in it.
    Literal(Value),
    /// One expression that keeps its type.
    Expression(Arc<Expression>),
    /// Text with expressions in it.
    Text(Arc<Expression>),
    /// A list with at least one computed element.
    List(Vec<Template>),
    /// A map with at least one computed value.
    Map(Vec<(String, Template)>),
}

/// A compiled expression or text, with the names it refers to.
#[derive(Debug)]
pub struct Expression {
    source: String,
}

/// What an expression may refer to: `inputs`, `steps`, the item, `index`, `run`.
///
/// Built by the engine for each scope; looking a name up copies nothing.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Values by root name.
    pub names: Map<String, Value>,
}
