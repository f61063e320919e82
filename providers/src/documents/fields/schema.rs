//! What a schema asks for: its properties as fields with a kind, a concept and labels.
//!
//! `x-kind` names a kind (`amount`, `number`, `date`, `currency`, `party`, `address`,
//! `identifier`, `text`, `boolean`, `table`) or a concept of the dictionary (`vendor`,
//! `due_date`, `order_number`, …). Without it the property's name and title decide, then its
//! `type` and `format`. A property that names no concept is looked for by its own name.

use regex::Regex;
use serde_json::{Map, Value};

use super::FieldsError;
use super::labels::{ConceptId, Dictionary, Kind};

/// A value that a schema asks for.
pub(super) struct Field {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Concept whose labels lead to it; a concept of its own where the dictionary has none.
    pub(super) concept: ConceptId,
    /// Name of the dictionary's concept.
    pub(super) role: Option<&'static str>,
    /// Labels that the schema adds.
    pub(super) labels: Vec<String>,
    pub(super) form: Form,
    pub(super) choices: Vec<Value>,
    pub(super) pattern: Option<Regex>,
    /// Columns of a table.
    pub(super) columns: Vec<Field>,
}

/// The JSON type in which a value is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    Number,
    Integer,
    Boolean,
    Rows,
}

/// Reads the properties of a schema.
pub(super) fn fields(schema: &Value) -> Result<Vec<Field>, FieldsError> {
    let mut next = Dictionary::get().len();
    read(schema, false, &mut next)
}

fn read(schema: &Value, column: bool, next: &mut u16) -> Result<Vec<Field>, FieldsError> {
    let properties =
        schema.get("properties").and_then(Value::as_object).ok_or(FieldsError::NoProperties)?;
    properties.iter().map(|(name, spec)| field(name, spec, column, next)).collect()
}

fn field(name: &str, spec: &Value, column: bool, next: &mut u16) -> Result<Field, FieldsError> {
    let Some(object) = spec.as_object() else {
        return Err(FieldsError::NotASchema { name: name.to_owned() });
    };
    let dictionary = Dictionary::get();
    let form = form(object);
    let asked = object.get("x-kind").and_then(Value::as_str);
    let kind = asked.and_then(kind_named);
    let concept = match asked {
        Some(word) if kind.is_none() => Some(dictionary.concept(word).ok_or_else(|| {
            FieldsError::UnknownKind { name: name.to_owned(), kind: word.to_owned() }
        })?),
        _ => [Some(name), object.get("title").and_then(Value::as_str)]
            .into_iter()
            .flatten()
            .find_map(|n| dictionary.asked_by(n, column))
            .filter(|c| fits(c.kind, form) && kind.is_none_or(|k| k == c.kind)),
    };
    let labels = labels(name, object, concept.is_some());
    let columns = match form {
        Form::Rows => read(&object["items"], true, next)?,
        _ => Vec::new(),
    };
    let id = concept.map_or_else(
        || {
            *next = next.saturating_add(1);
            ConceptId(next.saturating_sub(1))
        },
        |c| c.id,
    );
    Ok(Field {
        kind: kind.or(concept.map(|c| c.kind)).unwrap_or_else(|| guess(name, object, form)),
        concept: id,
        role: concept.map(|c| c.name.as_str()),
        labels,
        form,
        choices: object.get("enum").and_then(Value::as_array).cloned().unwrap_or_default(),
        pattern: pattern(name, object)?,
        columns,
        name: name.to_owned(),
    })
}

fn form(spec: &Map<String, Value>) -> Form {
    let types: Vec<&str> = match spec.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let rows = spec.get("items").is_some_and(|i| i.get("properties").is_some());
    if types.contains(&"array") && rows {
        Form::Rows
    } else if types.contains(&"string") {
        Form::Text
    } else if types.contains(&"number") {
        Form::Number
    } else if types.contains(&"integer") {
        Form::Integer
    } else if types.contains(&"boolean") {
        Form::Boolean
    } else {
        Form::Text
    }
}

fn fits(kind: Kind, form: Form) -> bool {
    match form {
        Form::Text => true,
        Form::Number | Form::Integer => {
            matches!(kind, Kind::Amount | Kind::Number | Kind::Identifier)
        }
        Form::Boolean | Form::Rows => false,
    }
}

fn kind_named(word: &str) -> Option<Kind> {
    serde_json::from_value(Value::String(word.to_owned())).ok()
}

fn guess(name: &str, spec: &Map<String, Value>, form: Form) -> Kind {
    let format = spec.get("format").and_then(Value::as_str);
    let name = name.to_lowercase();
    let ends = |ends: &[&str]| ends.iter().any(|e| name.ends_with(e));
    match form {
        Form::Number | Form::Integer => Kind::Number,
        Form::Boolean => Kind::Boolean,
        Form::Rows => Kind::Table,
        Form::Text
            if matches!(format, Some("date" | "date-time"))
                || ends(&["date"])
                || name.starts_with("date_") =>
        {
            Kind::Date
        }
        Form::Text if ends(&["number", "_no", "_id", "_nr", "code"]) || name == "id" => {
            Kind::Identifier
        }
        Form::Text => Kind::Text,
    }
}

fn labels(name: &str, spec: &Map<String, Value>, known: bool) -> Vec<String> {
    let extra = spec.get("x-labels").and_then(Value::as_array);
    let mut labels: Vec<String> =
        extra.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    if !known {
        labels.push(name.to_owned());
        labels.extend(spec.get("title").and_then(Value::as_str).map(str::to_owned));
    }
    labels
}

fn pattern(name: &str, spec: &Map<String, Value>) -> Result<Option<Regex>, FieldsError> {
    let Some(pattern) = spec.get("pattern").and_then(Value::as_str) else {
        return Ok(None);
    };
    Regex::new(pattern).map(Some).map_err(|source| FieldsError::Pattern {
        name: name.to_owned(),
        pattern: pattern.to_owned(),
        source: Box::new(source),
    })
}
