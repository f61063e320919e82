//! Faults of what refers to what: each file, and its exact faults.

use crate::support::{Row, check_rows};

#[test]
fn each_fault_is_told_where_it_stands_and_what_to_do() {
    check_rows(ROWS);
}

const ROWS: &[Row] = &[
    (
        "a step that is needed and is not there",
        "steps: [{id: first, uses: value.set, with: {value: 1}}, {id: b, needs: [frist, zzzzzz, 5], uses: value.set, with: {value: 1}}]",
        &[
            "1:73 there is no step `frist`; did you mean `first`?",
            "1:80 there is no step `zzzzzz`",
            "1:88 an element of `needs` is text, and this is a number; put quotes around it",
        ],
    ),
    (
        "a step that needs itself",
        "steps: [{id: a, needs: a, uses: value.set, with: {value: 1}}]",
        &["1:24 step `a` cannot wait for itself"],
    ),
    (
        "a step that needs one outside its loop",
        "steps: [{id: a, uses: value.set, with: {value: 1}}, {id: l, for_each: 3, steps: [{id: b, needs: a, uses: value.set, with: {value: 1}}]}]",
        &[
            "1:97 step `a` does not stand beside this one; write `needs` at the loop, whose steps wait with it",
        ],
    ),
    (
        "a step that needs one of another block",
        "STEPS
finally: [{id: b, needs: a, uses: value.set, with: {value: 1}}]",
        &[
            "2:26 step `a` does not stand beside this one; leave it out: the steps of `steps` are settled by then",
        ],
    ),
    (
        "two steps with one id",
        "steps: [{id: a, uses: value.set, with: {value: 1}}, {id: l, for_each: 3, steps: [{id: a, uses: value.set, with: {value: 1}}]}]",
        &["1:87 two steps have the id `a`; the first is on line 1"],
    ),
    (
        "steps that wait for each other",
        r#"steps:
  - {id: a, uses: value.set, with: {value: "{{ steps.c.output }}"}}
  - {id: b, uses: value.set, with: {value: "{{ steps.a.output }}"}}
  - {id: c, needs: b, uses: value.set, with: {value: 1}}"#,
        &["2:10 steps wait for each other: a → b → c → a"],
    ),
    (
        "a step that refers to itself",
        r#"steps: [{id: a, uses: value.set, with: {value: "{{ steps.a.output }}"}}]"#,
        &["1:14 step `a` refers to itself"],
    ),
    (
        "a loop whose body refers to the loop",
        r#"steps: [{id: l, for_each: 3, steps: [{id: b, uses: value.set, with: {value: "{{ steps.l.output }}"}}]}]"#,
        &["1:14 step `l` refers to itself"],
    ),
    (
        "a name that is misspelt, and one that nothing has",
        r#"steps: [{id: a, uses: value.set, with: {value: "{{ input.n }} {{ zzzzzzz }}"}}]"#,
        &["1:48 there is no `input`; did you mean `inputs`?", "1:48 there is no `zzzzzzz`"],
    ),
    (
        "an item outside a loop",
        r#"steps: [{id: a, uses: value.set, with: {value: "{{ item }}{{ index }}"}}]"#,
        &[
            "1:48 `item` has a value only within `for_each`",
            "1:48 `index` has a value only within `for_each`",
        ],
    ),
    (
        "a secret in a step",
        r#"steps: [{id: a, uses: value.set, with: {value: "{{ secrets.K }}"}}]"#,
        &["1:48 `secrets` has a value only under `providers:`; a secret never reaches a step"],
    ),
    (
        "an input that there is not",
        r#"inputs: {file: string}
steps: [{id: a, uses: value.set, with: {value: "{{ inputs.fil }}{{ inputs.file }}"}}]"#,
        &["2:48 `inputs` has no `fil`; did you mean `file`?"],
    ),
    (
        "an input where there is none",
        r#"steps: [{id: a, uses: value.set, with: {value: "{{ inputs.zzzzzz }}"}}]"#,
        &["1:48 `inputs` has no `zzzzzz`"],
    ),
    (
        "a step that there is not",
        r#"steps: [{id: pages, uses: value.set, with: {value: 1}}, {id: b, uses: value.set, with: {value: "{{ steps.page.output }}"}}]"#,
        &["1:96 there is no step `page` here; did you mean `pages`?"],
    ),
    (
        "a step inside a loop from outside",
        r#"steps: [{id: l, for_each: 3, steps: [{id: i, uses: value.set, with: {value: 1}}]}, {id: b, uses: value.set, with: {value: "{{ steps.i.output }}"}}]"#,
        &["1:123 there is no step `i` here; it stands inside the loop `l`: use `steps.l.output`"],
    ),
    (
        "all steps as one value",
        r#"steps: [{id: a, uses: value.set, with: {value: "{{ steps | length }}"}}]"#,
        &["1:48 `steps` has no value as a whole; name a step: `steps.ID.output`"],
    ),
    (
        "a field that no step has",
        r#"steps: [{id: a, uses: value.set, with: {value: 1}}, {id: b, uses: value.set, with: {value: "{{ steps.a.ouput }}{{ steps.a.zzzzzz }}{{ steps.a[0] }}"}}]"#,
        &[
            "1:92 a step has no `ouput`; did you mean `output`?",
            "1:92 a step has no `zzzzzz`; it has: output, status, error, meta",
            "1:92 a step has no `[…]`; it has: output, status, error, meta",
        ],
    ),
    (
        "a part that an output has not",
        r#"steps: [{id: p, uses: document.pages, with: {file: x}}, {id: b, uses: value.set, with: {value: "{{ steps.p.output.pagez }}{{ steps.p.output.zzzzzzzz }}"}}]"#,
        &[
            "1:96 `steps.p.output` has no `pagez`; did you mean `pages`?",
            "1:96 `steps.p.output` has no `zzzzzzzz`; it has: pages",
        ],
    ),
    (
        "a part of a list, of text and of a number",
        r#"steps: [{id: p, uses: document.pages, with: {file: x}}, {id: b, uses: value.set, with: {value: ["{{ steps.p.output.pages.number }}", "{{ steps.p.output.pages[0].text.x }}", "{{ steps.p.output.pages[0].number[1] }}"]}}]"#,
        &[
            "1:96 `steps.p.output.pages` is a list, and has no `number`; go over it by `for_each`, or take one: `steps.p.output.pages[0].number`",
            "1:96 `steps.p.output.pages[0].text` is text, and has no `x`",
            "1:96 `steps.p.output.pages[0].number` is a whole number, and has no [1]",
        ],
    ),
    (
        "a part that an item has not",
        r#"steps: [{id: p, uses: document.pages, with: {file: x}}, {id: b, for_each: steps.p.output.pages, as: page, uses: value.set, with: {value: "{{ page.imag }}"}}]"#,
        &["1:138 `page` has no `imag`; did you mean `image`?"],
    ),
    (
        "a status of the run before it has one",
        r#"steps: [{id: a, uses: value.set, with: {value: "{{ run.status }}"}}]"#,
        &["1:48 `run` has no `status`; it has: id, workflow"],
    ),
    (
        "an expression that is none",
        r#"steps: [{id: a, when: "1 +", uses: value.set, with: {value: "{{ a b }}"}}]"#,
        &[
            "1:23 `{{ 1 + }}` is not an expression: unexpected end of variable block",
            "1:61 `{{ a b }}` is not an expression: unexpected identifier, expected end of variable block",
        ],
    ),
    (
        "a text whose expression is never closed",
        r#"steps: [{id: a, uses: value.set, with: {value: "x {{ a"}}]"#,
        &[
            "1:48 `x {{ a` is not an expression: unexpected end of input, expected end of variable block",
        ],
    ),
    (
        "outputs that are a list",
        "STEPS
outputs: [a]",
        &["2:10 `outputs` is a map, and this is a list"],
    ),
    (
        "an output of a step that there is not",
        r#"steps: [{id: pages, uses: value.set, with: {value: 1}}]
outputs: {x: "{{ steps.pagse.output }}"}"#,
        &["2:14 there is no step `pagse` here; did you mean `pages`?"],
    ),
    (
        "a key that stands twice",
        "steps: [{id: a, uses: value.set, with: {value: 1, value: 2}, uses: value.set}]
name: x
name: y",
        &[
            "1:51 key `value` stands here twice; the first is on line 1",
            "1:62 key `uses` stands here twice; the first is on line 1",
            "3:1 key `name` stands here twice; the first is on line 2",
        ],
    ),
    (
        "a file that is not there",
        "steps: [{id: a, uses: model.generate, model: auto, with: {prompt: x, schema: {$file: schemas/none.json}}}]",
        &[
            "1:86 cannot read `schemas/none.json`: there is no such file; paths are relative to the workflow's file",
        ],
    ),
    (
        "a file whose name is a number",
        "steps: [{id: a, uses: value.set, with: {value: {$file: 5}}}]",
        &["1:56 `$file` is text, and this is a number; put quotes around it"],
    ),
    (
        "a workflow that is not there, and one that is not named",
        r#"steps: [{id: a, uses: workflow.run, with: {workflow: none.yaml}}, {id: b, uses: workflow.run}, {id: c, uses: workflow.run, with: {workflow: 5}}, {id: d, uses: workflow.run, model: auto, with: {workflow: "{{ run.id }}.yaml", input: {}}}]"#,
        &[
            "1:54 cannot read `none.yaml`: there is no such file; paths are relative to the workflow's file",
            "1:81 `workflow.run` needs `with: { workflow: FILE }`",
            "1:141 `workflow` is text, and this is a number; put quotes around it",
            "1:181 `workflow.run` asks no model; its steps name the models they ask",
            "1:204 `workflow` cannot be computed; write the path of the file",
            "1:225 `with` has no key `input`; did you mean `inputs`?",
        ],
    ),
];
