//! JSON seen by expressions without being copied.
//!
//! A list or a map becomes a [`Node`]: the shared value and the way into it. Scalars are
//! converted as they are read. What an expression yields is converted back, a node by
//! cloning the part of the JSON it stands for, so that numbers stay as they were.

use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, ValueKind};
use serde_json::{Map, Number, Value};

/// A list or a map within a shared value.
#[derive(Debug)]
pub(super) struct Node {
    root: Arc<Value>,
    way: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Step {
    Key(Box<str>),
    Index(usize),
}

impl Node {
    /// A whole value as an expression sees it.
    pub(super) fn root(value: &Arc<Value>) -> minijinja::Value {
        scalar(value).unwrap_or_else(|| {
            minijinja::Value::from_object(Self { root: Arc::clone(value), way: Vec::new() })
        })
    }

    fn json(&self) -> &Value {
        self.way.iter().fold(self.root.as_ref(), |value, step| match step {
            Step::Key(key) => &value[key.as_ref()],
            Step::Index(index) => &value[*index],
        })
    }

    fn part(&self, step: Step, value: &Value) -> minijinja::Value {
        scalar(value).unwrap_or_else(|| {
            let mut way = self.way.clone();
            way.push(step);
            minijinja::Value::from_object(Self { root: Arc::clone(&self.root), way })
        })
    }
}

impl Object for Node {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        if self.json().is_array() { ObjectRepr::Seq } else { ObjectRepr::Map }
    }

    fn get_value(self: &Arc<Self>, key: &minijinja::Value) -> Option<minijinja::Value> {
        match (self.json(), key.as_str()) {
            (Value::Object(map), Some(key)) => {
                map.get(key).map(|value| self.part(Step::Key(key.into()), value))
            }
            (Value::Array(items), None) => {
                let index = usize::try_from(key.as_i64()?).ok()?;
                items.get(index).map(|value| self.part(Step::Index(index), value))
            }
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match self.json() {
            Value::Array(items) => Enumerator::Seq(items.len()),
            Value::Object(map) => {
                Enumerator::Values(map.keys().map(|key| key.as_str().into()).collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Enumerator::Empty,
        }
    }
}

fn scalar(value: &Value) -> Option<minijinja::Value> {
    Some(match value {
        Value::Null => minijinja::Value::from(()),
        Value::Bool(value) => (*value).into(),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => number.into(),
            (None, Some(number)) => number.into(),
            (None, None) => number.as_f64()?.into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(_) | Value::Object(_) => return None,
    })
}

/// Converts what an expression yielded; an error names what has no form in JSON.
pub(super) fn to_json(value: &minijinja::Value) -> Result<Value, String> {
    if let Some(node) = value.downcast_object_ref::<Node>() {
        return Ok(node.json().clone());
    }
    match value.kind() {
        ValueKind::Undefined => Err("the value is undefined".into()),
        ValueKind::None => Ok(Value::Null),
        ValueKind::Bool => Ok(Value::Bool(value.is_true())),
        ValueKind::Number => number(value),
        ValueKind::String => Ok(value.as_str().map_or(Value::Null, Value::from)),
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value.try_iter().map_err(|error| error.to_string())?;
            items.map(|item| to_json(&item)).collect()
        }
        ValueKind::Map => {
            let mut map = Map::new();
            for key in value.try_iter().map_err(|error| error.to_string())? {
                let item = value.get_item(&key).map_err(|error| error.to_string())?;
                map.insert(key.to_string(), to_json(&item)?);
            }
            Ok(Value::Object(map))
        }
        kind => Err(format!("the value is {kind}, which has no form in JSON")),
    }
}

fn number(value: &minijinja::Value) -> Result<Value, String> {
    if value.is_integer() {
        if let Some(number) = value.as_i64() {
            return Ok(number.into());
        }
        return u64::try_from(value.clone())
            .map(Value::from)
            .map_err(|_| format!("the number {value} is too large"));
    }
    let float = f64::try_from(value.clone()).map_err(|error| error.to_string())?;
    Number::from_f64(float)
        .map(Value::Number)
        .ok_or_else(|| format!("the number is {float}, which has no form in JSON"))
}
