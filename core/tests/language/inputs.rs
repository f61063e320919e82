//! Giving a workflow its inputs.

use flow_core::language::bind_inputs;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::good;

const TEXT: &str = "
name: w
inputs:
  s: {type: string, enum: [a, b], default: a}
  i: {type: integer, required: false}
  n: {type: number, default: 1.5}
  b: {type: boolean, default: false, description: Yes or no}
  f: {type: file, required: false}
  fs: {type: files, default: []}
  l: {type: array, default: [1]}
  o: {type: object, required: false, schema: {type: object, required: [k]}}
  j: {type: json, required: false}
steps: [{id: a, uses: value.set, with: {value: '{{ inputs }}'}}]
";

fn bind(given: &Value) -> Result<Value, Vec<String>> {
    let bound = bind_inputs(&good(TEXT), given.as_object().unwrap());
    bound.map(Value::Object).map_err(|faults| {
        let line = |fault: &flow_core::language::InputFault| match &fault.hint {
            Some(hint) => format!("{fault}; {hint}"),
            None => fault.to_string(),
        };
        faults.iter().map(line).collect()
    })
}

#[test]
fn what_is_not_given_is_its_default_or_null() {
    let defaults = json!({"s": "a", "i": null, "n": 1.5, "b": false, "f": null, "fs": [], "l": [1], "o": null, "j": null});
    assert_eq!(bind(&json!({})), Ok(defaults));
}

#[test]
fn text_is_read_as_the_type_that_is_wanted() {
    for (name, text, value) in [
        ("s", "b", json!("b")),
        ("i", "-12", json!(-12)),
        ("n", "2e3", json!(2000.0)),
        ("b", "true", json!(true)),
        ("f", "123", json!("123")),
        ("fs", "a.pdf, b.pdf", json!(["a.pdf", "b.pdf"])),
        ("fs", "[\"a,b.pdf\"]", json!(["a,b.pdf"])),
        ("l", "[1, {}]", json!([1, {}])),
        ("o", "{\"k\": 1}", json!({"k": 1})),
        ("j", "null", json!(null)),
        ("j", "plain", json!("plain")),
    ] {
        assert_eq!(bind(&json!({ name: text })).unwrap()[name], value, "{name}={text}");
    }
}

#[test]
fn what_does_not_fit_is_told_by_name_and_value() {
    let required = good(
        "inputs: {n: integer}\nsteps: [{id: a, uses: value.set, with: {value: '{{ inputs.n }}'}}]\n",
    );
    let faults = bind_inputs(&required, &serde_json::Map::new()).unwrap_err();
    assert_eq!(
        (faults[0].to_string(), faults[0].hint.as_deref()),
        ("input `n` is missing".into(), Some("give it by `--input n=…`"))
    );
    for (given, expected) in [
        (json!({"fss": "x"}), &["workflow `w` has no input `fss`; did you mean `fs`?"][..]),
        (
            json!({"zzzzzz": "x"}),
            &["workflow `w` has no input `zzzzzz`; its inputs are: s, i, n, b, f, fs, l, o, j"],
        ),
        (
            json!({"s": "c", "i": "1.5", "n": "x"}),
            &[
                "input `s` must be one of a, b, and `c` is not",
                "input `i` must be a whole number, and `1.5` is not",
                "input `n` must be a number, and `x` is not",
            ],
        ),
        (json!({"s": 5}), &["input `s` must be text, and `5` is not"]),
        (
            json!({"b": "yes"}),
            &["input `b` must be `true` or `false`, and `yes` is not; Yes or no"],
        ),
        (json!({"f": 5}), &["input `f` must be a file, and `5` is not"]),
        (json!({"fs": [5]}), &["input `fs` must be a list of files, and `[5]` is not"]),
        (json!({"l": "x"}), &["input `l` must be a list, and `x` is not"]),
        (json!({"o": "{}"}), &["input `o` does not fit its schema: \"k\" is a required property"]),
        (
            json!({"i": "99999999999999999999"}),
            &["input `i` must be a whole number, and `1e+20` is not"],
        ),
        (
            json!({"i": "x".repeat(100)}),
            &[
                "input `i` must be a whole number, and `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…` is not",
            ],
        ),
    ] {
        assert_eq!(bind(&given).unwrap_err(), expected, "{given}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        "[\\[\\]{}\",:0-9a-z]{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,3}", inner, 0..4)
                .prop_map(|map| map.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn no_value_makes_binding_panic(given in prop::collection::btree_map("s|i|n|b|f|fs|l|o|j|[a-z]{1,3}", any_json(), 0..6)) {
        let workflow = good(TEXT);
        let given: serde_json::Map<_, _> = given.into_iter().collect();
        match bind_inputs(&workflow, &given) {
            Ok(bound) => prop_assert_eq!(bound.len(), workflow.inputs.len()),
            Err(faults) => prop_assert!(!faults.is_empty()),
        }
    }
}
