//! Files that a workflow refers to: values, schemas and other workflows.

use crate::support::{check_with, lines_of, workflow};

const ASK: &str = "steps: [{id: a, uses: model.generate, model: auto, with: {prompt: x, schema: {$file: s.json}}}]\n";

fn faults(text: &str, files: &[(&str, &str)]) -> Vec<String> {
    lines_of(&check_with(text.as_bytes(), files, &[]))
}

#[test]
fn a_schema_may_stand_in_a_file_of_json_or_yaml() {
    for schema in ["{\"type\": \"object\"}", "type: object\nproperties:\n  a: {type: string}\n"] {
        assert_eq!(faults(ASK, &[("s.json", schema)]), [""; 0]);
    }
}

#[test]
fn a_file_that_is_no_schema_is_told_where_it_is_named() {
    assert_eq!(
        faults(ASK, &[]),
        [
            "1:86 cannot read `s.json`: there is no such file; paths are relative to the workflow's file"
        ]
    );
    assert_eq!(
        faults(ASK, &[("s.json", "{\"type\": 5}")]),
        [
            "1:78 the schema is not a JSON Schema: 5 is not valid under any of the schemas listed in the 'anyOf' keyword; see json-schema.org for what a schema may say"
        ]
    );
    assert_eq!(
        faults(ASK, &[("s.json", "{\"type\": [}")]),
        ["s.json:1:10 mismatched bracket '[' closed by '}'"]
    );
    let remote = faults(ASK, &[("s.json", "{\"$ref\": \"http://example.com/s.json\"}")]);
    assert!(
        remote[0].starts_with("1:78 the schema is not a JSON Schema: Resource 'http://example.com/s.json' is not present"),
        "nothing is fetched: {remote:?}"
    );
    let input = "inputs: {o: {type: object, schema: {$file: s.json}}}\nsteps: [{id: a, uses: value.set, with: {value: '{{ inputs.o.x }}'}}]\n";
    let schema =
        "{\"type\": \"object\", \"properties\": {\"y\": {}}, \"additionalProperties\": false}";
    assert_eq!(
        faults(input, &[("s.json", schema)]),
        ["2:48 `inputs.o` has no `x`; did you mean `y`?"]
    );
}

#[test]
fn inputs_of_another_workflow_are_checked() {
    let child = "name: child\ninputs: {n: integer, m: {type: string, required: false}}\nsteps: [{id: s, uses: value.set, with: {value: '{{ [inputs.n, inputs.m] }}'}}]\noutputs: {y: '{{ steps.s.output }}'}\n";
    let run = |with: &str| {
        let text = format!(
            "steps:\n  - {{id: a, uses: workflow.run, with: {{workflow: c.yaml{with}}}}}\n"
        );
        faults(&text, &[("c.yaml", child)])
    };
    for (with, expected) in [
        (", inputs: {n: 3}", &[][..]),
        (", inputs: {n: '{{ run.id }}', m: x}", &[]),
        (", inputs: '{{ run }}'", &[]),
        ("", &["2:19 workflow `child` needs input `n`"]),
        (", inputs: {n: 3, k: 4}", &["2:66 workflow `child` has no input `k`; did you mean `m`?"]),
        (", inputs: {n: many}", &["2:66 input `n` must be a whole number, and `many` is not"]),
        (", inputs: [3]", &["2:66 `inputs` is a map"]),
        (", inputs: 'a {{ run.id }}'", &["2:66 `inputs` is a map"]),
    ] {
        assert_eq!(run(with), expected, "{with}");
    }
}

#[test]
fn outputs_of_another_workflow_are_known_by_name() {
    let child = "steps: [{id: s, uses: value.set, with: {value: 1}}]\noutputs: {done: 1}\n";
    let text = "steps: [{id: a, uses: workflow.run, with: {workflow: c.yaml}}]\noutputs: {x: '{{ steps.a.output.dnoe }}', y: '{{ steps.a.output.done.z }}'}\n";
    assert_eq!(
        faults(text, &[("c.yaml", child)]),
        ["2:14 `steps.a.output` has no `dnoe`; did you mean `done`?"]
    );
}

#[test]
fn workflows_that_run_each_other_are_refused() {
    let run = |file: &str| {
        format!("steps: [{{id: a, uses: workflow.run, with: {{workflow: {file}}}}}]\n")
    };
    assert_eq!(faults(&run("w.yaml"), &[]), ["1:54 workflows run each other: w.yaml → w.yaml"]);
    assert_eq!(
        faults(&run("b.yaml"), &[("b.yaml", &run("w.yaml"))]),
        ["b.yaml:1:54 workflows run each other: w.yaml → b.yaml → w.yaml"]
    );
    let chain: Vec<_> = (0..20).map(|n| (format!("f{n}"), run(&format!("f{}", n + 1)))).collect();
    let files: Vec<_> = chain.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    assert_eq!(faults(&run("f0"), &files), ["f7:1:54 workflows nest deeper than 8 levels"]);
}

#[test]
fn one_workflow_may_be_run_by_several_steps() {
    let child = "steps: [{id: s, uses: value.set, with: {value: 1}}]\n";
    let text = "steps: [{id: a, uses: workflow.run, with: {workflow: c.yaml}}, {id: b, for_each: 3, uses: workflow.run, with: {workflow: c.yaml}}]\n";
    workflow(check_with(text.as_bytes(), &[("c.yaml", child)], &[]));
}
