//! The JSON Schema of the language, for editors.
//!
//! Made from the same table of keys that the checker reads, so that neither can know a key
//! that the other does not. It helps while typing; what is right is for the checker to say.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::check::{Bundle, task};
use super::keys::{self, Key};
use super::task::Task;
use crate::action::ActionRegistry;
use crate::error::ErrorClass;

/// The JSON Schema of a workflow file, given the actions there are.
pub fn json_schema(actions: &ActionRegistry) -> Value {
    let step = step(actions);
    let mut workflow = object(keys::WORKFLOW, workflow_key);
    workflow["required"] = json!(["steps"]);
    workflow["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    workflow["title"] = json!("flow workflow");
    workflow["$defs"] = json!({
        "step": step,
        "template": { "description": "A value; `{{ … }}` in a text is computed when the step runs." },
        "duration": { "type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))+$" },
        "money": { "type": "string", "pattern": "^[0-9]+(\\.[0-9]{1,6})? ?USD$" },
        "model": {
            "oneOf": [
                { "type": "string" },
                object(keys::MODEL, |_| json!(true)),
                { "type": "array", "items": { "$ref": "#/$defs/model" }, "minItems": 1 },
            ],
        },
        "budget": { "oneOf": [{ "$ref": "#/$defs/money" }, object(keys::BUDGET, budget_key)] },
        "retry": { "oneOf": [{ "const": false }, object(keys::RETRY, retry_key)] },
        "input": { "oneOf": [{ "enum": keys::INPUT_TYPES }, input()] },
        "trigger": {
            "oneOf": [
                trigger(keys::SCHEDULE),
                trigger(keys::WATCH),
                trigger(keys::WEBHOOK),
                trigger(keys::AFTER),
            ],
        },
    });
    workflow
}

/// A map with these keys and no others, each with its line of description.
fn object(table: &[Key], schema_of: impl Fn(&str) -> Value) -> Value {
    let mut properties = Map::new();
    for (key, description) in table {
        let mut schema = match schema_of(key) {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        schema.insert("description".into(), json!(description));
        properties.insert((*key).into(), Value::Object(schema));
    }
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn map_of(definition: &str) -> Value {
    json!({ "type": "object", "additionalProperties": { "$ref": definition } })
}

fn reference(definition: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{definition}") })
}

fn workflow_key(key: &str) -> Value {
    match key {
        "flow" => json!({ "const": 1 }),
        "name" | "description" => json!({ "type": "string" }),
        "inputs" => map_of("#/$defs/input"),
        "providers" => json!({ "type": "object", "additionalProperties": { "type": "object" } }),
        "models" => map_of("#/$defs/model"),
        "plugins" => json!({
            "type": "object",
            "additionalProperties": {
                "oneOf": [{ "type": "string" }, object(keys::PLUGIN, plugin_key)],
            },
        }),
        "defaults" => object(keys::DEFAULTS, policy_key),
        "budget" => reference("budget"),
        "concurrency" => json!({ "type": "integer", "minimum": 1 }),
        "triggers" => json!({ "type": "array", "items": reference("trigger") }),
        "keep" => reference("duration"),
        "steps" | "on_failure" | "finally" => {
            json!({ "type": "array", "items": reference("step") })
        }
        "outputs" => map_of("#/$defs/template"),
        _ => json!(true),
    }
}

fn plugin_key(key: &str) -> Value {
    match key {
        "path" | "use" => json!({ "type": "string" }),
        _ => json!({ "type": "object" }),
    }
}

fn policy_key(key: &str) -> Value {
    match key {
        "timeout" | "deadline" => reference("duration"),
        "retry" => reference("retry"),
        "cache" | "require_grounded" => json!({ "type": "boolean" }),
        "on_lost" => json!({ "enum": ["resend", "ask", "fail"] }),
        "budget" => reference("budget"),
        "model" => reference("model"),
        _ => json!(true),
    }
}

fn step_key(key: &str) -> Value {
    match key {
        "id" => json!({ "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,63}$" }),
        "name" | "as" => json!({ "type": "string" }),
        "needs" => json!({
            "oneOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }],
        }),
        "when" => json!({ "type": ["string", "boolean"] }),
        "for_each" => json!({ "type": ["string", "array", "integer"] }),
        "max_parallel" => json!({ "type": "integer", "minimum": 1 }),
        "steps" => json!({ "type": "array", "items": reference("step"), "minItems": 1 }),
        "on_error" => json!({
            "oneOf": [
                { "enum": ["fail", "continue"] },
                { "type": "object", "required": ["value"], "properties": { "value": true },
                  "additionalProperties": false },
            ],
        }),
        "with" => json!({ "type": "object" }),
        "agree" => object(keys::AGREE, |key| match key {
            "models" => {
                json!({ "type": "array", "items": reference("model"), "minItems": 2, "maxItems": 2 })
            }
            _ => {
                json!({ "type": "array", "items": { "type": "string" }, "minItems": 1, "uniqueItems": true })
            }
        }),
        _ => policy_key(key),
    }
}

fn step(actions: &ActionRegistry) -> Value {
    let mut step = object(keys::STEP, step_key);
    let mut names: Vec<Value> = actions.specs().map(|spec| json!(spec.name)).collect();
    names.push(json!("workflow.run"));
    let tasks = tasks(actions);
    names.extend(tasks.iter().map(|task| json!(format!("task.{}", task.name))));
    // One of the user's own stands beside the workflow, and an editor does not see it.
    step["properties"]["uses"]["anyOf"] = json!([{ "enum": names }, { "type": "string", "pattern": "^(task|plugin)\\.[A-Za-z0-9_-]+$" }]);
    step["required"] = json!(["id"]);
    step["oneOf"] = json!([{ "required": ["uses"] }, { "required": ["steps", "for_each"] }]);
    let of_actions = actions.specs().map(|spec| with_of(spec.name, spec.summary, &spec.input));
    let of_tasks = tasks
        .iter()
        .map(|task| with_of(&format!("task.{}", task.name), &task.summary, &task.input));
    step["allOf"] = of_actions.chain(of_tasks).collect();
    step
}

/// The tasks that are built in; one that cannot be read is no task.
fn tasks(actions: &ActionRegistry) -> Vec<Arc<Task>> {
    let nothing = Bundle::default();
    let read = |name| task(name, actions, &nothing).ok().flatten();
    actions.tasks().filter_map(read).collect()
}

/// What stands under `with` where this is used.
fn with_of(name: &str, summary: &str, input: &Value) -> Value {
    let keys = input["properties"].as_object();
    let keys = keys.into_iter().flatten().map(|(key, property)| {
        let description = property.get("description");
        let schema = description.map(|text| json!({ "description": text }));
        (key.clone(), schema.unwrap_or(json!(true)))
    });
    json!({
        "if": { "properties": { "uses": { "const": name } }, "required": ["uses"] },
        "then": {
            "description": summary,
            "properties": { "with": {
                "properties": keys.collect::<Map<_, _>>(),
                "required": input.get("required").unwrap_or(&json!([])),
                "additionalProperties": input["additionalProperties"] != false,
            } },
        },
    })
}

fn retry_key(key: &str) -> Value {
    let classes: Vec<_> = ErrorClass::ALL.iter().map(|class| class.as_str()).collect();
    match key {
        "attempts" => json!({ "type": "integer", "minimum": 1 }),
        "backoff" => json!({ "enum": ["exponential", "constant"] }),
        "initial" | "max" => reference("duration"),
        "jitter" => json!({ "type": "number", "minimum": 0, "maximum": 1 }),
        "on" => json!({ "type": "array", "items": { "enum": classes } }),
        _ => json!(true),
    }
}

fn budget_key(key: &str) -> Value {
    match key {
        "cost" => reference("money"),
        _ => json!({ "type": "boolean" }),
    }
}

fn input() -> Value {
    let mut input = object(keys::INPUT, |key| match key {
        "type" => json!({ "enum": keys::INPUT_TYPES }),
        "description" => json!({ "type": "string" }),
        "required" => json!({ "type": "boolean" }),
        "media" | "enum" => json!({
            "oneOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }],
        }),
        _ => json!(true),
    });
    input["required"] = json!(["type"]);
    input
}

fn trigger(table: &[Key]) -> Value {
    let mut trigger = object(table, |key| match key {
        "watch" | "input" | "done" | "failed" | "webhook" | "secret" | "hmac" | "header"
        | "delivery" | "after" | "schedule" | "timezone" => json!({ "type": "string" }),
        "settle" | "jitter" => reference("duration"),
        "inputs" => json!({ "type": "object" }),
        "catch_up" => json!({ "enum": ["all", "latest", "none"] }),
        "overlap" => json!({ "enum": ["skip", "queue", "cancel"] }),
        _ => json!(true),
    });
    trigger["required"] = json!([table[0].0]);
    trigger
}
