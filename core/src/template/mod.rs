//! Templates: values of a workflow that are computed when a step runs.
//!
//! One expression language (minijinja, strict). A string that is wholly one `{{ … }}`
//! keeps the type of its value; any other string with `{{ … }}` in it becomes text. What a
//! template yields is data and never rendered again. Fuel and size are limited; there is
//! no include, no clock, no environment.
//!
//! [`Template`] is a value with expressions in it, [`Expression`] one of them with the
//! names it refers to, [`Scope`] what those names stand for.

mod data;
mod environment;
mod expression;
mod guard;
mod references;
mod scope;
mod walk;

use std::sync::Arc;

use minijinja::machinery::{Token, tokenize};
use serde_json::{Map, Value};

pub use expression::{Expression, TemplateError};
pub use references::{Reference, Segment};
pub use scope::{Scope, StepView, StepsView};

/// The most words and signs that one expression may have.
const LONGEST: usize = 2_000;

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

impl Template {
    /// Compiles one string: a literal where there is no expression in it.
    pub fn compile(text: &str) -> Result<Self, TemplateError> {
        if !text.contains("{{") && !text.contains("{%") && !text.contains("{#") {
            return Ok(Self::Literal(Value::String(text.into())));
        }
        short_enough(text)?;
        match sole_expression(text) {
            Some(inner) => Ok(Self::Expression(Arc::new(Expression::compile(inner)?))),
            None => Ok(Self::Text(Arc::new(Expression::compile_text(text)?))),
        }
    }

    /// Builds a list, which is a literal if all its elements are.
    pub fn list(items: Vec<Self>) -> Self {
        if items.iter().all(|item| item.literal().is_some()) {
            return Self::Literal(items.into_iter().filter_map(Self::into_literal).collect());
        }
        Self::List(items)
    }

    /// Builds a map, which is a literal if all its values are.
    pub fn map(entries: Vec<(String, Self)>) -> Self {
        if entries.iter().all(|(_, value)| value.literal().is_some()) {
            let literal = |(key, value): (String, Self)| Some((key, value.into_literal()?));
            return Self::Literal(Value::Object(entries.into_iter().filter_map(literal).collect()));
        }
        Self::Map(entries)
    }

    /// The value, where nothing in it is computed.
    pub fn literal(&self) -> Option<&Value> {
        match self {
            Self::Literal(value) => Some(value),
            Self::Expression(_) | Self::Text(_) | Self::List(_) | Self::Map(_) => None,
        }
    }

    fn into_literal(self) -> Option<Value> {
        match self {
            Self::Literal(value) => Some(value),
            Self::Expression(_) | Self::Text(_) | Self::List(_) | Self::Map(_) => None,
        }
    }

    /// Computes the value. `scope` says what the names in it stand for.
    pub fn render(&self, scope: &Scope) -> Result<Value, TemplateError> {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Expression(expression) => expression.evaluate(scope),
            Self::Text(expression) => expression.render(scope).map(Value::String),
            Self::List(items) => items.iter().map(|item| item.render(scope)).collect(),
            Self::Map(entries) => {
                let mut map = Map::with_capacity(entries.len());
                for (key, value) in entries {
                    map.insert(key.clone(), value.render(scope)?);
                }
                Ok(Value::Object(map))
            }
        }
    }

    /// Calls `visit` with every expression in it.
    pub fn for_each_expression<'a>(&'a self, visit: &mut dyn FnMut(&'a Expression)) {
        match self {
            Self::Literal(_) => {}
            Self::Expression(expression) | Self::Text(expression) => visit(expression),
            Self::List(items) => items.iter().for_each(|item| item.for_each_expression(visit)),
            Self::Map(entries) => {
                for (_, value) in entries {
                    value.for_each_expression(visit);
                }
            }
        }
    }

    /// Every name it refers to.
    pub fn references(&self) -> Vec<&Reference> {
        let mut all = Vec::new();
        self.for_each_expression(&mut |expression| all.extend(expression.references()));
        all
    }

    /// The value as it is written, with the source in place of what is computed.
    pub fn source(&self) -> Value {
        match self {
            Self::Literal(value) => value.clone(),
            Self::Expression(expression) => {
                Value::from(format!("{{{{ {} }}}}", expression.source()))
            }
            Self::Text(text) => Value::from(text.source()),
            Self::List(items) => items.iter().map(Self::source).collect(),
            Self::Map(entries) => {
                entries.iter().map(|(key, value)| (key.clone(), value.source())).collect()
            }
        }
    }

    /// The value with null in place of what is computed.
    pub fn skeleton(&self) -> Value {
        match self {
            Self::Literal(value) => value.clone(),
            Self::Expression(_) | Self::Text(_) => Value::Null,
            Self::List(items) => items.iter().map(Self::skeleton).collect(),
            Self::Map(entries) => {
                entries.iter().map(|(key, value)| (key.clone(), value.skeleton())).collect()
            }
        }
    }
}

/// Whether a value counts as true in a condition.
pub(crate) fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(holds) => *holds,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// Refuses an expression whose tree may be deeper than the stack that walks it.
fn short_enough(text: &str) -> Result<(), TemplateError> {
    let mut words = 0;
    for token in tokenize(text, false, environment::syntax()) {
        match token {
            Ok((Token::TemplateData(_) | Token::VariableStart | Token::BlockStart, _)) => words = 0,
            Ok(_) => words += 1,
            // What is wrong here is for the parser to say, which comes no further.
            Err(_) => break,
        }
        if words > LONGEST {
            return Err(TemplateError {
                message: format!("an expression has more than {LONGEST} words and signs"),
                hint: Some("compute it in several steps".into()),
            });
        }
    }
    Ok(())
}

/// What stands between the braces, where the text is nothing but one `{{ … }}`.
fn sole_expression(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    // `{{ a }} and {{ b }}` also begins and ends with braces: it is one expression only if
    // what is between them reads as one.
    let trimmed = inner.strip_prefix('-').unwrap_or(inner);
    let trimmed = trimmed.strip_suffix('-').unwrap_or(trimmed);
    minijinja::machinery::parse_expr(trimmed).is_ok().then_some(trimmed)
}
