//! Faults of steps by themselves: each file, and its exact faults.

use crate::support::{Row, check_rows};

#[test]
fn each_fault_is_told_where_it_stands_and_what_to_do() {
    check_rows(ROWS);
}

const ROWS: &[Row] = &[
    (
        "a policy on what only holds other steps",
        "steps: [{id: a, for_each: 2, retry: false, steps: [{id: b, uses: value.set, with: {value: 1}}]}]",
        &[
            "1:30 `retry` has no effect on a loop's body; set it on the steps in it, or under `defaults:`",
        ],
    ),
    (
        "a step without an id",
        "steps: [{uses: value.set, with: {value: 1}}]",
        &[
            "1:9 the step has no `id`; e.g. `id: pages`",
        ],
    ),
    (
        "a step whose id no expression can spell",
        "steps: [{id: read-pages, uses: value.set, with: {value: 1}}, {id: 1st, uses: value.set, with: {value: 1}}]",
        &[
            "1:14 `read-pages` cannot name a step; an id is letters, digits and `_`: `read_pages`",
            "1:67 `1st` cannot name a step; an id is letters, digits and `_`: `_1st`",
        ],
    ),
    (
        "an id that is a number",
        "steps: [{id: 5, uses: value.set, with: {value: 1}}]",
        &[
            "1:14 `id` is text, and this is a number; put quotes around it",
        ],
    ),
    (
        "a key of a step that is misspelt",
        "steps: [{id: a, uses: value.set, wiht: {value: 1}}]",
        &[
            "1:23 `value.set` needs `with: { value: … }`",
            "1:34 a step has no key `wiht`; did you mean `with`?",
        ],
    ),
    (
        "models that agree on what no model says",
        "steps: [{id: a, uses: value.set, with: {value: 1}, agree: 2}]",
        &[
            "1:59 `agree` is for steps that ask a model for data",
        ],
    ),
    (
        "an action that is misspelt",
        "steps: [{id: a, uses: document.ocrr, with: {image: x}}]",
        &[
            "1:23 unknown action `document.ocrr`; did you mean `document.ocr`?",
        ],
    ),
    (
        "an action that is like no other",
        "steps: [{id: a, uses: spreadsheet}]",
        &[
            "1:23 unknown action `spreadsheet`; actions are: document.ocr, document.pages, model.generate, value.set",
        ],
    ),
    (
        "actions that are not built yet",
        "steps: [{id: a, uses: plugin.x}]",
        &[
            "1:23 this flow was built without plugins; get one with them: build it with the feature `plugins`",
        ],
    ),
    (
        "an action whose name is a list",
        "steps: [{id: a, uses: [value.set]}]",
        &[
            "1:23 `uses` is text, and this is a list",
        ],
    ),
    (
        "a step that does nothing",
        "steps: [{id: a, with: {value: 1}}]",
        &[
            "1:9 step `a` has no `uses`; e.g. `uses: document.pages`",
        ],
    ),
    (
        "a step that does two things",
        "steps: [{id: a, uses: value.set, steps: []}]",
        &[
            "1:23 a step has `uses` or `steps`, not both",
        ],
    ),
    (
        "a body without a loop",
        "steps: [{id: a, steps: [{id: b, uses: value.set, with: {value: 1}}]}]",
        &[
            "1:24 `steps` within a step needs `for_each`; steps outside a loop stand beside each other",
        ],
    ),
    (
        "a loop without steps",
        "steps: [{id: a, for_each: 3, steps: []}]",
        &[
            "1:14 the loop `a` has no steps",
        ],
    ),
    (
        "a loop with keys of an action",
        "steps: [{id: a, for_each: 3, model: auto, with: {}, steps: [{id: b, uses: value.set, with: {value: 1}}]}]",
        &[
            "1:30 `model` needs `uses`",
            "1:43 `with` needs `uses`",
        ],
    ),
    (
        "keys of a loop without a loop",
        "steps: [{id: a, uses: value.set, with: {value: 1}, as: x, key: run.id, max_parallel: 3, collect: 1}]",
        &[
            "1:52 `as` needs `for_each`",
            "1:59 `key` needs `for_each`",
            "1:72 `max_parallel` needs `for_each`",
            "1:89 `collect` needs `steps`; an action's instance yields the action's output",
        ],
    ),
    (
        "an action that collects",
        "steps: [{id: a, for_each: 3, uses: value.set, with: {value: 1}, collect: 1}]",
        &[
            "1:65 `collect` needs `steps`; an action's instance yields the action's output",
        ],
    ),
    (
        "an item whose name is taken, and one that no expression can spell",
        "steps: [{id: a, for_each: 3, as: steps, uses: value.set, with: {value: 1}}, {id: b, for_each: 3, as: a-b, uses: value.set, with: {value: 1}}]",
        &[
            "1:34 `as: steps` would hide `steps`",
            "1:102 `a-b` cannot name an item; use letters, digits and `_`",
        ],
    ),
    (
        "a loop over what cannot be gone over",
        "steps: [{id: a, for_each: true, uses: value.set, with: {value: 1}}, {id: b, for_each: -1, uses: value.set, with: {value: 1}}, {id: c, for_each: {x: 1}, uses: value.set, with: {value: 1}}]",
        &[
            "1:27 `for_each` cannot run over a boolean; it takes a list, a count, or a file of JSON lines",
            "1:87 `for_each` cannot run -1 times; it takes a list, a count, or a file of JSON lines",
            "1:145 `for_each` cannot run over a map; it takes a list, a count, or a file of JSON lines",
        ],
    ),
    (
        "a loop over text that a step yields",
        "steps: [{id: a, uses: value.set, with: {value: text}}, {id: b, for_each: steps.a.output, uses: value.set, with: {value: 1}}]",
        &[
            "1:74 `for_each` cannot run over text; it takes a list, a count, or a file of JSON lines",
        ],
    ),
    (
        "a loop of half an instance at once",
        "steps: [{id: a, for_each: 3, max_parallel: 0.5, uses: value.set, with: {value: 1}}]",
        &[
            "1:44 `max_parallel` is a whole number from 1 on",
        ],
    ),
    (
        "a condition that is a number, and one that is never false",
        r#"steps: [{id: a, when: 5, uses: value.set, with: {value: 1}}, {id: b, when: "{{ run.id }} or {{ run.id }}", uses: value.set, with: {value: 1}}]"#,
        &[
            "1:23 `when` is an expression, and this is a number",
            "1:76 `when` is text, which is never false; write one expression, e.g. `when: inputs.a and inputs.b`",
        ],
    ),
    (
        "an answer to errors that there is not",
        "steps: [{id: a, uses: value.set, with: {value: 1}, on_error: ignore}, {id: b, uses: value.set, with: {value: 1}, on_error: {value: 1, log: true}}]",
        &[
            "1:62 `on_error` is `fail`, `continue` or `{value: …}`",
            "1:124 `on_error` is `fail`, `continue` or `{value: …}`",
        ],
    ),
    (
        "an answer to errors that is computed",
        r#"steps: [{id: a, uses: value.set, with: {value: 1}, on_error: {value: "{{ run.id }}"}}]"#,
        &[
            "1:70 the value of `on_error` cannot be computed; `continue`, and fill in the value in a step behind",
        ],
    ),
    (
        "an input of an action that is misspelt, one that is missing, and one that does not fit",
        "steps: [{id: a, uses: document.pages, with: {fiel: x, dpi: high, mode: slow}}]",
        &[
            "1:23 `document.pages` needs `with: { file: … }`",
            "1:46 `document.pages` takes no `fiel`; did you mean `file`?",
            r#"1:60 `dpi` is wrong: "high" is not of type "integer""#,
            r#"1:72 `mode` is wrong: "slow" is not one of "fast" or "exact""#,
        ],
    ),
    (
        "an input of an action that is like no other",
        "steps: [{id: a, uses: value.set, with: {value: 1, zzzzzzzz: 1}}]",
        &[
            "1:51 `value.set` takes no `zzzzzzzz`; it takes: value",
        ],
    ),
    (
        "an input of an action that is text",
        "steps: [{id: a, uses: value.set, with: text}]",
        &[
            "1:23 `value.set` needs `with: { value: … }`",
            "1:40 `with` is a map, and this is text",
        ],
    ),
    (
        "an input of the wrong type that a step yields",
        r#"steps: [{id: a, uses: value.set, with: {value: text}}, {id: b, uses: document.pages, with: {file: x, dpi: "{{ steps.a.output }}"}}]"#,
        &[
            "1:107 `dpi` takes a whole number, and this is text",
        ],
    ),
    (
        "text where a number is wanted",
        r#"steps: [{id: b, uses: document.pages, with: {file: x, dpi: "{{ run.id }}0"}}]"#,
        &[
            "1:60 `dpi` takes a whole number, and this is text",
        ],
    ),
    (
        "a schema of a model that is none",
        "steps: [{id: a, uses: model.generate, model: auto, with: {prompt: x, schema: {type: strng}}}]",
        &[
            r#"1:78 the schema is not a JSON Schema: "strng" is not valid under any of the schemas listed in the 'anyOf' keyword; see json-schema.org for what a schema may say"#,
        ],
    ),
    (
        "a model for an action that asks none",
        "steps: [{id: a, uses: value.set, model: auto, with: {value: 1}}]",
        &[
            "1:41 `value.set` asks no model",
        ],
    ),
    (
        "an action that asks a model, and none is named",
        "steps: [{id: a, uses: model.generate, with: {prompt: x}}]",
        &[
            "1:23 `model.generate` needs a `model`; e.g. `model: auto`, or one under `defaults:`",
        ],
    ),
    (
        "a model that is misspelt, and one that there is not",
        "models: {reader: auto}
steps: [{id: a, uses: model.generate, model: readr, with: {prompt: x}}, {id: b, uses: model.generate, model: writer, with: {prompt: x}}]",
        &[
            "2:46 there is no model `readr`; did you mean `reader`?",
            "2:110 there is no model `writer`; name it under `models:`, or write `provider/model`",
        ],
    ),
];
