//! JSON seen by expressions without being copied.
//!
//! A list or a map becomes a [`Node`]: the shared value and the way into it. Scalars are
//! converted as they are read. What an expression yields is converted back, a node by
//! cloning the part of the JSON it stands for, so that numbers stay as they were.

use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, ValueKind};
use serde_json::{Map, Number, Value};

use super::walk::{DEEPEST, too_deep};

/// The most memory that a computed value may take, in bytes: more than any value that fits a
/// prompt or a file, and less than any machine has.
const LARGEST_VALUE: usize = 256 << 20;

/// What an entry of a map takes besides its key and its value.
const ENTRY: usize = 32;

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

    pub(super) fn json(&self) -> &Value {
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
    Room(LARGEST_VALUE).json_of(value, 0)
}

/// The memory that is left for a value. Fuel does not bound it: an expression shares what it
/// repeats (`[page] * 1000000`), and JSON has a copy for each.
struct Room(usize);

impl Room {
    /// `depth` is how many lists and maps the value is in: more than what reads JSON again
    /// takes would be written and never read.
    fn json_of(&mut self, value: &minijinja::Value, depth: usize) -> Result<Value, String> {
        if depth > DEEPEST {
            return Err(too_deep());
        }
        if let Some(node) = value.downcast_object_ref::<Node>() {
            self.take_all(node.json(), depth)?;
            return Ok(node.json().clone());
        }
        self.take(size_of::<Value>())?;
        match value.kind() {
            ValueKind::Undefined => Err("the value is undefined".into()),
            ValueKind::None => Ok(Value::Null),
            ValueKind::Bool => Ok(Value::Bool(value.is_true())),
            ValueKind::Number => number(value),
            ValueKind::String => {
                let text = value.as_str().unwrap_or_default();
                self.take(text.len())?;
                Ok(text.into())
            }
            ValueKind::Seq | ValueKind::Iterable => {
                let items = value.try_iter().map_err(|error| error.to_string())?;
                items.map(|item| self.json_of(&item, depth + 1)).collect()
            }
            ValueKind::Map => {
                let mut map = Map::new();
                for key in value.try_iter().map_err(|error| error.to_string())? {
                    let item = value.get_item(&key).map_err(|error| error.to_string())?;
                    let (key, item) = (key.to_string(), self.json_of(&item, depth + 1)?);
                    self.take(key.len() + ENTRY)?;
                    map.insert(key, item);
                }
                Ok(Value::Object(map))
            }
            kind => Err(format!("the value is {kind}, which has no form in JSON")),
        }
    }

    fn take(&mut self, bytes: usize) -> Result<(), String> {
        let full = || format!("the value grows beyond {} MiB", LARGEST_VALUE >> 20);
        self.0 = self.0.checked_sub(bytes).ok_or_else(full)?;
        Ok(())
    }

    fn take_all(&mut self, value: &Value, depth: usize) -> Result<(), String> {
        // What is in JSON as it came is as deep as that may be; here it is in something else.
        if depth > DEEPEST {
            return Err(too_deep());
        }
        self.take(size_of::<Value>())?;
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
            Value::String(text) => self.take(text.len()),
            Value::Array(items) => items.iter().try_for_each(|item| self.take_all(item, depth + 1)),
            Value::Object(map) => map.iter().try_for_each(|(key, value)| {
                self.take(key.len() + ENTRY)?;
                self.take_all(value, depth + 1)
            }),
        }
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
