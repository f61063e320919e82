//! What the names in an expression stand for.

use std::fmt;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object};
use serde_json::{Value, json};

use super::data::Node;
use super::references::Segment;
use crate::store::StepStatus;

/// What a settled step shows to expressions.
#[derive(Clone, Debug)]
pub struct StepView {
    /// `steps.X.output`; null where there is none.
    pub output: Arc<Value>,
    /// `steps.X.status`.
    pub status: StepStatus,
    /// `steps.X.error`: `class` and `message` of the failure.
    pub error: Option<Arc<Value>>,
    /// `steps.X.meta`.
    pub meta: Arc<Value>,
}

impl Default for StepView {
    fn default() -> Self {
        Self {
            output: Arc::default(),
            status: StepStatus::Succeeded,
            error: None,
            meta: Arc::new(json!({})),
        }
    }
}

impl StepView {
    /// The fields an expression may ask for.
    pub const FIELDS: [&str; 4] = ["output", "status", "error", "meta"];

    fn field(&self, name: &str) -> Option<Arc<Value>> {
        match name {
            "output" => Some(Arc::clone(&self.output)),
            "status" => Some(Arc::new(Value::from(self.status.as_str()))),
            "error" => Some(self.error.clone().unwrap_or_default()),
            "meta" => Some(Arc::clone(&self.meta)),
            _ => None,
        }
    }
}

/// The settled steps that an expression may refer to.
pub trait StepsView: fmt::Debug + Send + Sync {
    /// The step of this id, if it is settled and in reach.
    fn step(&self, id: &str) -> Option<Arc<StepView>>;
}

/// Names and what they stand for. Adding a name makes a new scope and copies nothing.
#[derive(Clone, Debug, Default)]
pub struct Scope(Option<Arc<Layer>>);

#[derive(Debug)]
struct Layer {
    name: String,
    bound: Bound,
    below: Scope,
}

#[derive(Clone, Debug)]
enum Bound {
    Data(Arc<Value>),
    Steps(Arc<dyn StepsView>),
}

impl Scope {
    /// A scope without any name.
    pub fn new() -> Self {
        Self::default()
    }

    /// This scope, and `name` standing for `value`.
    #[must_use]
    pub fn with(&self, name: &str, value: Arc<Value>) -> Self {
        self.bind(name, Bound::Data(value))
    }

    /// This scope, and `steps` standing for these steps.
    #[must_use]
    pub fn with_steps(&self, steps: Arc<dyn StepsView>) -> Self {
        self.bind("steps", Bound::Steps(steps))
    }

    fn bind(&self, name: &str, bound: Bound) -> Self {
        Self(Some(Arc::new(Layer { name: name.into(), bound, below: self.clone() })))
    }

    fn find(&self, name: &str) -> Option<&Bound> {
        let mut scope = self;
        while let Some(layer) = &scope.0 {
            if layer.name == name {
                return Some(&layer.bound);
            }
            scope = &layer.below;
        }
        None
    }

    /// Every name, the newest first.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut scope = self;
        while let Some(layer) = &scope.0 {
            if !names.contains(&layer.name) {
                names.push(layer.name.clone());
            }
            scope = &layer.below;
        }
        names
    }

    /// The value that a root with the first parts behind it stands for, and the parts that
    /// remain to be read from it.
    pub(super) fn resolve<'s>(
        &self,
        root: &str,
        segments: &'s [Segment],
    ) -> Option<(Arc<Value>, &'s [Segment])> {
        match (self.find(root)?, segments) {
            (Bound::Data(value), _) => Some((Arc::clone(value), segments)),
            (Bound::Steps(steps), [Segment::Key(id), Segment::Key(field), rest @ ..]) => {
                Some((steps.step(id)?.field(field)?, rest))
            }
            (Bound::Steps(_), _) => None,
        }
    }

    /// Whether there is a settled step of this id.
    pub(super) fn has_step(&self, id: &str) -> bool {
        matches!(self.find("steps"), Some(Bound::Steps(steps)) if steps.step(id).is_some())
    }
}

impl Object for Scope {
    fn get_value(self: &Arc<Self>, key: &minijinja::Value) -> Option<minijinja::Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<minijinja::Value> {
        Some(match self.find(key)? {
            Bound::Data(value) => Node::root(value),
            Bound::Steps(steps) => minijinja::Value::from_object(Steps(Arc::clone(steps))),
        })
    }
}

/// `steps` in an expression.
#[derive(Debug)]
struct Steps(Arc<dyn StepsView>);

impl Object for Steps {
    fn get_value(self: &Arc<Self>, key: &minijinja::Value) -> Option<minijinja::Value> {
        let view = self.0.step(key.as_str()?)?;
        Some(minijinja::Value::from_object(OneStep(view)))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}

/// `steps.X` in an expression.
#[derive(Debug)]
struct OneStep(Arc<StepView>);

impl Object for OneStep {
    fn get_value(self: &Arc<Self>, key: &minijinja::Value) -> Option<minijinja::Value> {
        self.0.field(key.as_str()?).map(|value| Node::root(&value))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&StepView::FIELDS)
    }
}
