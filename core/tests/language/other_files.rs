//! Files that a workflow refers to: values, schemas and other workflows.

use crate::support::{check_with, lines_of, workflow};

const ASK: &str = "steps: [{id: a, uses: model.generate, model: auto, with: {prompt: x, schema: {$file: s.json}}}]\n";

fn faults(text: &str, files: &[(&str, &str)]) -> Vec<String> {
    lines_of(&check_with(text.as_bytes(), files, &[]))
}

#[test]
fn a_schema_may_stand_in_a_file_of_json_or_yaml() {
    for schema in [
        "{\"type\": \"object\"}",
        "type: object\nproperties:\n  a: {type: string}\n",
    ] {
        assert_eq!(faults(ASK, &[("s.json", schema)]), [""; 0]);
    }
}

#[test]
fn a_file_that_is_no_schema_is_told_where_it_is_named() {
    assert_eq!(faults(ASK, &[]), [""]);
    assert_eq!(faults(ASK, &[("s.json", "{\"type\": 5}")]), [""]);
    assert_eq!(faults(ASK, &[("s.json", "{\"type\": [}")]), [""]);
    assert_eq!(
        faults(
            ASK,
            &[("s.json", "{\"$ref\": \"http://example.com/s.json\"}")]
        ),
        [""]
    );
    let input = "inputs: {o: {type: object, schema: {$file: s.json}}}\nsteps: [{id: a, uses: value.set, with: {value: '{{ inputs.o.x }}'}}]\n";
    let schema =
        "{\"type\": \"object\", \"properties\": {\"y\": {}}, \"additionalProperties\": false}";
    assert_eq!(faults(input, &[("s.json", schema)]), [""]);
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
        ("", &[""]),
        (", inputs: {n: 3, k: 4}", &[""]),
        (", inputs: {n: many}", &[""]),
        (", inputs: [3]", &[""]),
        (", inputs: 'a {{ run.id }}'", &[""]),
    ] {
        assert_eq!(run(with), expected, "{with}");
    }
}

#[test]
fn outputs_of_another_workflow_are_known_by_name() {
    let child = "steps: [{id: s, uses: value.set, with: {value: 1}}]\noutputs: {done: 1}\n";
    let text = "steps: [{id: a, uses: workflow.run, with: {workflow: c.yaml}}]\noutputs: {x: '{{ steps.a.output.dnoe }}', y: '{{ steps.a.output.done.z }}'}\n";
    assert_eq!(faults(text, &[("c.yaml", child)]), [""]);
}

#[test]
fn workflows_that_run_each_other_are_refused() {
    let run = |file: &str| {
        format!("steps: [{{id: a, uses: workflow.run, with: {{workflow: {file}}}}}]\n")
    };
    assert_eq!(faults(&run("w.yaml"), &[]), [""]);
    assert_eq!(faults(&run("b.yaml"), &[("b.yaml", &run("w.yaml"))]), [""]);
    let chain: Vec<_> = (0..20)
        .map(|n| (format!("f{n}"), run(&format!("f{}", n + 1))))
        .collect();
    let files: Vec<_> = chain
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    assert_eq!(faults(&run("f0"), &files), [""]);
}

#[test]
fn one_workflow_may_be_run_by_several_steps() {
    let child = "steps: [{id: s, uses: value.set, with: {value: 1}}]\n";
    let text = "steps: [{id: a, uses: workflow.run, with: {workflow: c.yaml}}, {id: b, for_each: 3, uses: workflow.run, with: {workflow: c.yaml}}]\n";
    workflow(check_with(text.as_bytes(), &[("c.yaml", child)], &[]));
}
