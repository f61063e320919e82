//! The schemas of the tasks that are built in, against answers made by hand: a dozen a task, good
//! ones and such as models give that are not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use flow_core::action::ActionRegistry;
use flow_core::language::{Files, task};
use serde_json::Value;

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../workflows"))
}

struct Workflows;

impl Files for Workflows {
    fn read(&self, path: &str) -> Result<String, String> {
        std::fs::read_to_string(folder().join(path)).map_err(|error| error.to_string())
    }
}

/// Names of the files of a folder that end so, without that.
fn names(of: &str, ending: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder().join(of)).unwrap();
    let mut names: Vec<_> = entries
        .filter_map(|entry| {
            entry
                .unwrap()
                .file_name()
                .into_string()
                .unwrap()
                .strip_suffix(ending)
                .map(str::to_owned)
        })
        .collect();
    names.sort();
    names
}

fn cases(name: &str) -> Value {
    serde_json::from_str(&Workflows.read(&format!("tasks/cases/{name}.json")).unwrap()).unwrap()
}

/// The schema that a task asks its answer to fit, for the input of its cases.
fn schema(name: &str) -> Value {
    let task = task(name, &ActionRegistry::default(), &Workflows);
    let task = task.unwrap_or_else(|faults| panic!("{faults}")).expect("a task");
    task.request(&cases(name)["with"]).unwrap()["schema"].clone()
}

/// The answers of a list of changes to the first good one, with what they are.
fn changed(cases: &Value, key: &str) -> Vec<(String, Value)> {
    let rows = cases[key].as_array().unwrap();
    let changed = rows.iter().map(|row| {
        let mut answer = cases["good"][0].clone();
        for (place, value) in row["set"].as_object().into_iter().flatten() {
            let (above, name) = place.rsplit_once('/').unwrap();
            match answer.pointer_mut(above).unwrap() {
                Value::Array(items) => items[name.parse::<usize>().unwrap()] = value.clone(),
                other => other[name] = value.clone(),
            }
        }
        for place in row["remove"].as_array().into_iter().flatten() {
            let (above, name) = place.as_str().unwrap().rsplit_once('/').unwrap();
            match answer.pointer_mut(above).unwrap() {
                Value::Array(items) => drop(items.remove(name.parse().unwrap())),
                other => drop(other.as_object_mut().unwrap().remove(name).unwrap()),
            }
        }
        assert_ne!(answer, cases["good"][0], "{row}");
        (row["why"].as_str().unwrap().to_owned(), answer)
    });
    changed.collect()
}

#[test]
fn every_task_has_a_dozen_answers_and_its_schema_tells_them_apart() {
    let tasks = names("tasks", ".yaml");
    assert_eq!(tasks, names("tasks/cases", ".json"), "each task has its cases");
    let mut wrong = Vec::new();
    let mut counts = BTreeMap::new();
    for name in &tasks {
        let cases = cases(name);
        let schema = schema(name);
        let options = jsonschema::options().should_validate_formats(true);
        let validator = options.build(&schema).unwrap();
        let good = cases["good"].as_array().unwrap().clone();
        let good = good.into_iter().map(|answer| ("as it is".to_owned(), answer));
        let good: Vec<_> = good.chain(changed(&cases, "also_good")).collect();
        let bad = changed(&cases, "bad");
        counts.insert(name.clone(), (good.len(), bad.len()));
        for (why, answer) in &good {
            if let Err(error) = validator.validate(answer) {
                wrong.push(format!("{name}: {why}: at `{}`: {error}", error.instance_path()));
            }
        }
        for (why, answer) in &bad {
            if validator.is_valid(answer) {
                wrong.push(format!("{name}: {why}: fits"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (name, (good, bad)) in counts {
        assert!(good >= 3 && bad >= 7 && good + bad >= 12, "{name}: {good} good, {bad} bad");
    }
}

#[test]
fn every_object_of_a_schema_is_closed_and_requires_what_it_describes() {
    fn check(name: &str, place: &str, schema: &Value) {
        if let Some(properties) = schema["properties"].as_object() {
            let all: Vec<_> = properties.keys().cloned().map(Value::from).collect();
            let mut required = schema["required"].as_array().cloned().unwrap_or_default();
            required.sort_by_key(|key| all.iter().position(|known| known == key));
            assert_eq!(required, all, "{name} at {place}");
            assert_eq!(schema["additionalProperties"], false, "{name} at {place}");
        }
        match schema {
            Value::Object(map) => {
                for (key, part) in map {
                    check(name, &format!("{place}/{key}"), part);
                }
            }
            Value::Array(items) => items.iter().for_each(|part| check(name, place, part)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    for name in names("tasks", ".yaml") {
        check(&name, "", &schema(&name));
    }
}
