//! A JSON Schema in the form that OpenAI holds answers to.
//!
//! In strict mode every property must be required and no other is allowed. A property that
//! may be missing therefore may be null instead, unless it has a default, which the model is
//! told; what is null where the user's schema wants nothing is taken out when the answer is
//! read (`generate.rs`). A schema that cannot be said strictly goes as it is and is not held
//! to, and one whose answer is no object goes as words, since neither mode takes it: the
//! answer is checked against the user's schema in every case.

use serde_json::{Map, Value, json};

/// The longest name of a schema.
const LONGEST_NAME: usize = 64;

/// How a schema is sent.
#[derive(Debug, PartialEq)]
pub(super) enum Format {
    /// As a schema.
    Schema {
        /// Its title, made to fit.
        name: String,
        /// What it says of itself.
        description: Option<String>,
        /// What answers are held to.
        schema: Value,
        /// Whether they are.
        strict: bool,
    },
    /// In words that the model reads.
    Told(String),
}

/// The form in which a schema is sent.
pub(super) fn format(of: &Value) -> Format {
    let mut schema = of.clone();
    let Some(root) = schema.as_object_mut().filter(|root| is_object(root)) else {
        return Format::Told(format!(
            "Answer with JSON that fits this JSON Schema, and with nothing else: {of}"
        ));
    };
    root.remove("$schema");
    root.remove("$id");
    let title = root.remove("title");
    let name = name(title.as_ref().and_then(Value::as_str).unwrap_or_default());
    let description = root.remove("description");
    let description = description.and_then(|text| text.as_str().map(str::to_owned));
    let mut writer = Strict { root: &schema, open: Vec::new(), left: MOST };
    let (schema, strict) = match writer.schema(&schema) {
        Some(strict) => (strict, true),
        None => (schema, false),
    };
    Format::Schema { name, description, schema, strict }
}

/// The system text with what the model is told of the schema.
pub(super) fn system(system: Option<&str>, told: Option<String>) -> Option<String> {
    match (system, told) {
        (Some(system), Some(told)) => Some(format!("{system}\n\n{told}")),
        (system, told) => told.or_else(|| system.map(str::to_owned)),
    }
}

/// Whether a schema is one of an object and of nothing else.
fn is_object(schema: &Map<String, Value>) -> bool {
    match schema.get("type") {
        Some(kind) => kind == "object",
        None => schema.contains_key("properties"),
    }
}

fn may_be_object(schema: &Map<String, Value>) -> bool {
    let among = schema.get("type").and_then(Value::as_array);
    is_object(schema) || among.is_some_and(|kinds| kinds.iter().any(|kind| kind == "object"))
}

fn name(title: &str) -> String {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "_-".contains(letter);
    let letters = title.chars().map(|letter| if fits(letter) { letter } else { '_' });
    let name: String = letters.take(LONGEST_NAME).collect();
    if name.is_empty() { "answer".to_owned() } else { name }
}

/// Keywords that strict mode does not take.
const LOOSE: &[&str] =
    &["patternProperties", "if", "then", "else", "not", "dependentRequired", "dependentSchemas"];

/// The most schemas within one that are written; what needs more is not said strictly.
const MOST: usize = 10_000;

/// Writes schemas in their strict form.
struct Strict<'r> {
    root: &'r Value,
    /// References that are being resolved: one of them within itself stays a reference.
    open: Vec<String>,
    /// Schemas that may still be written.
    left: usize,
}

impl Strict<'_> {
    /// The strict form of a schema; none where it has none.
    fn schema(&mut self, schema: &Value) -> Option<Value> {
        self.left = self.left.checked_sub(1)?;
        // `true` allows anything, which cannot be said.
        let schema = schema.as_object()?;
        if schema.len() > 1
            && let Some(Value::String(place)) = schema.get("$ref")
        {
            return self.resolved(schema, place);
        }
        if let Some(Value::Array(schemas)) = schema.get("allOf")
            && let [Value::Object(only)] = schemas.as_slice()
        {
            let mut own = schema.clone();
            own.remove("allOf");
            let mut meant = only.clone();
            meant.extend(own);
            return self.schema(&Value::Object(meant));
        }
        self.plain(schema)
    }

    /// A reference with keywords beside it, which strict mode does not take: what is meant,
    /// with the keywords in it.
    fn resolved(&mut self, schema: &Map<String, Value>, place: &str) -> Option<Value> {
        if self.open.iter().any(|open| open == place) {
            return Some(json!({ "$ref": place }));
        }
        let mut meant = self.root.pointer(place.strip_prefix('#')?)?.as_object()?.clone();
        let own = schema.iter().filter(|(key, _)| *key != "$ref");
        meant.extend(own.map(|(key, value)| (key.clone(), value.clone())));
        self.open.push(place.to_owned());
        let strict = self.schema(&Value::Object(meant));
        self.open.pop();
        strict
    }

    fn plain(&mut self, schema: &Map<String, Value>) -> Option<Value> {
        let closed = matches!(schema.get("additionalProperties"), None | Some(Value::Bool(false)));
        if !closed || LOOSE.iter().any(|keyword| schema.contains_key(*keyword)) {
            return None;
        }
        let mut strict = schema.clone();
        if strict.get("default") == Some(&Value::Null) {
            strict.remove("default");
        }
        for key in ["$defs", "definitions"] {
            if let Some(Value::Object(schemas)) = strict.get_mut(key) {
                self.all(schemas.values_mut())?;
            }
        }
        for key in ["anyOf", "oneOf", "allOf"] {
            if let Some(Value::Array(schemas)) = strict.get_mut(key) {
                self.all(schemas.iter_mut())?;
            }
        }
        // One of several is any of them, which is what strict mode knows.
        if let Some(schemas) = strict.remove("oneOf") {
            strict.insert("anyOf".into(), schemas);
        }
        if let Some(items) = strict.get_mut("items") {
            *items = self.schema(items)?;
        }
        if may_be_object(&strict) {
            self.close(&mut strict)?;
        }
        Some(Value::Object(strict))
    }

    fn all<'s>(&mut self, schemas: impl Iterator<Item = &'s mut Value>) -> Option<()> {
        for schema in schemas {
            *schema = self.schema(schema)?;
        }
        Some(())
    }

    /// Requires every property and allows no other.
    fn close(&mut self, object: &mut Map<String, Value>) -> Option<()> {
        let required = object.get("required").and_then(Value::as_array).cloned();
        let required = required.unwrap_or_default();
        let mut names = Vec::new();
        if let Some(Value::Object(properties)) = object.get_mut("properties") {
            for (name, property) in properties {
                let told = property.get("default").is_some();
                *property = self.schema(property)?;
                if !told && !required.iter().any(|required| required == name) {
                    or_null(property);
                }
                names.push(json!(name));
            }
        }
        object.insert("required".into(), Value::Array(names));
        object.insert("additionalProperties".into(), json!(false));
        Some(())
    }
}

/// Allows null as well.
fn or_null(schema: &mut Value) {
    let nothing = json!({ "type": "null" });
    let Value::Object(map) = schema else { return };
    if map.contains_key("enum") || map.contains_key("const") || map.contains_key("$ref") {
        *schema = json!({ "anyOf": [schema, nothing] });
        return;
    }
    match map.get_mut("type") {
        Some(Value::String(kind)) if kind != "null" => {
            let kind = std::mem::take(kind);
            map.insert("type".into(), json!([kind, "null"]));
        }
        Some(Value::Array(kinds)) if !kinds.contains(&json!("null")) => kinds.push(json!("null")),
        Some(_) => {}
        None => match map.get_mut("anyOf") {
            Some(Value::Array(schemas)) if !schemas.contains(&nothing) => schemas.push(nothing),
            Some(_) => {}
            None => *schema = json!({ "anyOf": [schema, nothing] }),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strict(schema: &Value) -> Value {
        match format(schema) {
            Format::Schema { schema, strict: true, .. } => schema,
            other => panic!("{schema} became {other:?}"),
        }
    }

    #[test]
    fn what_may_be_missing_may_be_null() {
        let schema = json!({
            "type": "object",
            "properties": {
                "a": { "type": "string" },
                "b": { "type": "integer", "minimum": 1 },
                "c": { "enum": ["x", "y"] },
                "d": { "anyOf": [{ "type": "string" }, { "type": "null" }], "default": null },
                "e": { "type": "array", "items": { "type": "object", "properties": {} } },
                "f": { "$ref": "#/$defs/F" },
                "g": { "type": "boolean", "default": true },
            },
            "required": ["a", "e"],
            "$defs": { "F": { "oneOf": [{ "type": "string" }, { "type": "number" }] } },
        });
        let mut empty = json!({ "type": "object", "properties": {}, "required": [] });
        empty["additionalProperties"] = json!(false);
        let expected = json!({
            "type": "object",
            "properties": {
                "a": { "type": "string" },
                "b": { "type": ["integer", "null"], "minimum": 1 },
                "c": { "anyOf": [{ "enum": ["x", "y"] }, { "type": "null" }] },
                "d": { "anyOf": [{ "type": "string" }, { "type": "null" }] },
                "e": { "type": "array", "items": empty },
                "f": { "anyOf": [{ "$ref": "#/$defs/F" }, { "type": "null" }] },
                "g": { "type": "boolean", "default": true },
            },
            "required": ["a", "b", "c", "d", "e", "f", "g"],
            "additionalProperties": false,
            "$defs": { "F": { "anyOf": [{ "type": "string" }, { "type": "number" }] } },
        });
        assert_eq!(strict(&schema), expected);
    }

    #[test]
    fn a_reference_with_keywords_beside_it_is_resolved() {
        let schema = json!({
            "type": "object",
            "properties": { "a": { "$ref": "#/$defs/A", "description": "the first" } },
            "required": ["a"],
            "$defs": { "A": { "type": "string", "description": "any" } },
        });
        let property = strict(&schema)["properties"]["a"].clone();
        assert_eq!(property, json!({ "type": "string", "description": "the first" }));
    }

    #[test]
    fn a_schema_that_holds_itself_ends() {
        let node = json!({ "$ref": "#/$defs/Node", "description": "below" });
        let schema = json!({
            "type": "object",
            "properties": { "top": node },
            "required": ["top"],
            "$defs": { "Node": {
                "type": "object",
                "properties": { "left": node, "right": node },
                "required": ["left", "right"],
            } },
        });
        let top = &strict(&schema)["properties"]["top"];
        assert_eq!(top["description"], json!("below"));
        assert_eq!(top["properties"]["left"], json!({ "$ref": "#/$defs/Node" }));

        // Each is resolved twice in the one before it: a million times in the first.
        let twice = |n: usize| json!({ "$ref": format!("#/$defs/D{n}"), "description": "d" });
        let pair = |n: usize| {
            let properties = json!({ "a": twice(n + 1), "b": twice(n + 1) });
            (format!("D{n}"), json!({ "type": "object", "properties": properties }))
        };
        let mut schemas: Map<_, _> = (0..20).map(pair).collect();
        schemas.insert("D20".into(), json!({ "type": "string" }));
        let schema = json!({ "type": "object", "properties": { "a": twice(0) }, "$defs": schemas });
        assert!(matches!(format(&schema), Format::Schema { strict: false, .. }));
    }

    #[test]
    fn the_title_is_the_name_and_made_to_fit() {
        for (title, expected) in [
            (json!("invoice total €"), "invoice_total__".to_owned()),
            (json!(null), "answer".to_owned()),
            (json!("x".repeat(80)), "x".repeat(64)),
        ] {
            let schema = json!({ "type": "object", "title": title, "description": "what it is" });
            let Format::Schema { name, description, schema, .. } = format(&schema) else {
                panic!("an object can be held to");
            };
            assert_eq!((name, description.as_deref()), (expected, Some("what it is")));
            assert_eq!(
                schema,
                json!({ "type": "object", "required": [], "additionalProperties": false })
            );
        }
    }

    #[test]
    fn what_cannot_be_said_strictly_is_said_as_it_is() {
        let open = json!({ "type": "object", "additionalProperties": { "type": "string" } });
        let deep = json!({ "type": "object", "properties": { "a": open } });
        let loose = json!({ "type": "object", "if": {}, "then": {} });
        for schema in [open, deep, loose] {
            let expected = Format::Schema {
                name: "answer".into(),
                description: None,
                schema: schema.clone(),
                strict: false,
            };
            assert_eq!(format(&schema), expected);
        }
    }

    #[test]
    fn an_answer_that_is_no_object_is_asked_for_in_words() {
        let told = format(&json!({ "type": "array" }));
        let words = "Answer with JSON that fits this JSON Schema, and with nothing else: \
                     {\"type\":\"array\"}";
        assert_eq!(told, Format::Told(words.into()));
        assert_eq!(
            system(Some("Be brief."), Some("So.".into())).as_deref(),
            Some("Be brief.\n\nSo.")
        );
        assert_eq!(system(None, Some("So.".into())).as_deref(), Some("So."));
        assert_eq!(system(Some("Be brief."), None).as_deref(), Some("Be brief."));
    }

    #[test]
    fn the_schemas_of_the_tasks_are_said_strictly() {
        use flow_core::language::{Files, task};

        const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../workflows/");
        struct Workflows;
        impl Files for Workflows {
            fn read(&self, path: &str) -> Result<String, String> {
                std::fs::read_to_string(format!("{FOLDER}{path}")).map_err(|e| e.to_string())
            }
        }
        for entry in std::fs::read_dir(format!("{FOLDER}tasks/cases")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap().replace(".json", "");
            let cases = Workflows.read(&format!("tasks/cases/{name}.json")).unwrap();
            let cases: Value = serde_json::from_str(&cases).unwrap();
            let task = task(&name, &flow_core::action::ActionRegistry::default(), &Workflows);
            let request = task.unwrap().unwrap().request(&cases["with"]).unwrap();
            let strict = strict(&request["schema"]);
            assert_eq!(strict["required"], request["schema"]["required"], "{name}");
        }
    }
}
