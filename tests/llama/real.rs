//! A small real model: what it says need not be right, but it is always what was asked for.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{real_model, replies};
use crate::support::World;

/// Sentences of which something is to be read.
fn sentences() -> Vec<String> {
    let names = ["Anna", "Bo", "Chen", "Dora", "Emil", "Fatima", "Goro", "Hana", "Ivan", "Jo"];
    let towns =
        ["Oslo", "Kyoto", "Lima", "Cairo", "Bern", "Porto", "Quito", "Riga", "Graz", "Turin"];
    let pairs = names.iter().flat_map(|name| towns.iter().map(move |town| (name, town)));
    pairs
        .enumerate()
        .map(|(at, (name, town))| {
            format!("{name} paid {}.50 euros in {town} for a \"{at}\" ticket.", at + 3)
        })
        .collect()
}

#[test]
fn an_extraction_that_is_bound_to_a_schema_is_valid_json_a_hundred_times_of_a_hundred() {
    let Some(model) = real_model() else { return };
    let world = World::new();
    world.write("sentences.json", &json!(sentences()).to_string());
    let schema = json!({
        "type": "object",
        "properties": {
            "name": { "type": "string", "maxLength": 40 },
            "town": { "type": "string", "maxLength": 40 },
            "amount": { "type": "number" },
            "kind": { "enum": ["ticket", "meal", "other"] },
        },
        "required": ["name", "town", "amount", "kind"],
        "additionalProperties": false,
    });
    let workflow = json!({
        "name": "extract",
        "inputs": { "sentences": { "type": "array" } },
        "models": { "small": { "provider": "llama", "path": model, "options": { "threads": 1, "context": 1024, "parallel": 8 } } },
        "steps": [{
            "id": "read",
            "for_each": "{{ inputs.sentences }}",
            "max_parallel": 8,
            "uses": "model.generate",
            "model": "small",
            "retry": { "attempts": 1 },
            "on_error": "continue",
            "with": {
                "system": "You read facts from a sentence and answer in JSON.",
                "prompt": "{{ item }}",
                "schema": schema,
                "max_tokens": 200,
                "temperature": 0.7,
                "seed": 11,
            },
        }],
        "outputs": { "all": "{{ steps.read.output }}" },
    });
    world.write("w.yaml", &workflow.to_string());
    let sentences = format!("sentences={}", json!(sentences()));
    let run = world.flow(&["run", "w.yaml", "--input", &sentences, "--json"]).exits(0);
    let all = run.json()["outputs"]["all"].as_array().unwrap().clone();
    assert_eq!(all.len(), 100);
    let wrong: Vec<_> = all.iter().filter(|value| !value.is_object()).collect();
    assert!(wrong.is_empty(), "{} of 100 are no JSON of the schema", wrong.len());
    let right =
        all.iter().filter(|value| value["amount"].as_f64().is_some_and(|sum| sum > 0.0)).count();
    assert!(right > 50, "{right} amounts of 100 are above zero: {:#}", Value::Array(all));
}

#[test]
fn it_answers_in_words_and_stops_by_itself() {
    let Some(model) = real_model() else { return };
    let world = World::new();
    let mut steps = String::new();
    for (id, stop) in [("whole", "[]"), ("cut", "[help]")] {
        let _ = writeln!(
            steps,
            "  - {{id: {id}, uses: model.generate, model: small, with: {{prompt: Say hello., max_tokens: 60, temperature: 0, seed: 1, stop: {stop}}}}}"
        );
    }
    world.write(
        "w.yaml",
        &format!(
            "name: w\nmodels: {{small: {{provider: llama, path: {}, options: {{threads: 1, context: 512, parallel: 1}}}}}}\nsteps:\n{steps}outputs: {{whole: \"{{{{ steps.whole.output }}}}\", cut: \"{{{{ steps.cut.output }}}}\"}}\n",
            model.display()
        ),
    );
    let run = world.flow(&["run", "w.yaml", "--json"]).exits(0);
    let outputs = &run.json()["outputs"];
    let whole = outputs["whole"].as_str().unwrap();
    let (before, _) = whole.split_once("help").unwrap_or((whole, ""));
    assert_eq!(outputs["cut"], before, "{whole}");
    assert!(whole.starts_with("Hello") && before.len() < whole.len(), "{whole}");
    let [reply] = replies(&world, &run.run(), "whole").try_into().unwrap();
    assert_eq!(reply["finish"], "stop");
}

#[test]
fn what_repeats_itself_is_stopped() {
    let Some(model) = real_model() else { return };
    let world = World::new();
    world.write(
        "w.yaml",
        &format!(
            "name: w\nmodels: {{small: {{provider: llama, path: {}, options: {{threads: 1, context: 4096, parallel: 1}}}}}}\nsteps:\n  - {{id: ask, uses: model.generate, model: small, retry: {{attempts: 1}}, with: {{prompt: Which colour has the sky?, temperature: 0, seed: 1}}}}\n",
            model.display(),
        ),
    );
    let run = world.flow(&["run", "w.yaml", "--json"]).exits(1);
    let error = &run.json()["steps"]["ask"]["error"];
    assert_eq!(error["class"], "invalid_output", "{error:#}");
    let message = error["message"].as_str().unwrap();
    assert!(message.starts_with("the model repeats itself: it wrote `"), "{message}");
}
