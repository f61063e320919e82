//! Files that are right, and what they become.

use std::time::Duration;

use flow_core::language::{
    Block, KnownProviders, OnError, OnLost, Proof, ProofKind, Step, Trigger, Work, check_bundle,
};
use flow_core::units::Money;
use serde_json::json;

use crate::support::{KINDS, actions, check_text, check_with, good, workflow};

const INVOICE: &str = r#"
# yaml-language-server: $schema=./flow.schema.json
name: invoice
description: Read an invoice and return its fields, each with the place it was read from.
flow: 1
inputs:
  file: { type: file, media: [application/pdf, "image/*"], description: The invoice }
  review: { type: boolean, default: false, description: Ask a person when the sums do not add up }
providers:
  mine: { type: command, command: [python3, "{{ secrets.PROGRAM }}"], price: 0.01 USD }
models:
  reader: [mine/qwen2.5-vl-7b, auto]
defaults:
  timeout: 5m
  retry: { attempts: 4, backoff: exponential, initial: 1s, max: 60s, jitter: 0.2, on: [rate_limit, overloaded, timeout, connection] }
budget: { cost: 0.50 USD }
steps:
  - id: pages
    uses: document.pages
    with: { file: "{{ inputs.file }}", dpi: 150 }
  - id: text
    for_each: "{{ steps.pages.output.pages }}"
    as: page
    max_parallel: 4
    uses: document.ocr
    with: { image: "{{ page.image }}" }
  - id: fields
    uses: model.generate
    model: reader
    with: { prompt: "Read {{ steps.text.output[0].text }}" }
  - id: review
    when: "{{ inputs.review and not steps.fields.output.ok }}"
    uses: value.set
    with: { value: "{{ steps.fields.output }}" }
outputs:
  invoice: "{{ steps.fields.output }}"
"#;

fn step<'b>(block: &'b Block, id: &str) -> &'b Step {
    let mut steps = block.steps.iter();
    steps.find(|step| step.id.as_str() == id).unwrap()
}

fn body(step: &Step) -> &Block {
    match &step.work {
        Work::Body { block, .. } => block,
        Work::Action { .. } | Work::Workflow { .. } => panic!("no body"),
    }
}

fn computed(step: &Step) -> &[String] {
    match &step.work {
        Work::Action { computed, .. } => computed,
        Work::Body { .. } | Work::Workflow { .. } => panic!("no action"),
    }
}

#[test]
fn the_example_of_the_design_becomes_a_workflow() {
    let workflow = good(INVOICE);
    let steps = &workflow.steps.steps;
    let after: Vec<_> = steps.iter().map(|step| step.after.clone()).collect();
    assert_eq!(after, [vec![], vec![0], vec![1], vec![2]]);
    let used: Vec<_> = steps.iter().map(|step| step.output_used).collect();
    assert_eq!(used, [true, true, true, false]);
    let lines: Vec<_> = steps.iter().map(|step| step.line).collect();
    assert_eq!(lines, [18, 21, 27, 31]);
    assert_eq!(workflow.steps.dependents(0), [1]);
    let each = steps[1].for_each.as_ref().unwrap();
    assert_eq!((each.item_name.as_str(), each.max_parallel), ("page", Some(4)));
    let Work::Action { models, .. } = &steps[2].work else { panic!() };
    let chain: Vec<_> =
        models.iter().map(|model| (model.provider.as_str(), model.model.as_str())).collect();
    assert_eq!(chain, [("mine", "qwen2.5-vl-7b"), ("auto", "auto")]);
    assert_eq!(workflow.budget.unwrap().cost, Money::from_micros(500_000));
    assert_eq!(steps[0].policy.retry.attempts, 4);
    assert!(!steps[3].when_per_item && steps[3].when.is_some());
}

#[test]
fn every_key_of_a_step_reaches_it() {
    let workflow = good(
        r#"
concurrency: 3
defaults: {model: auto, deadline: 1h, cache: false, on_lost: ask}
triggers:
  - {schedule: "0 2 * * MON-FRI", timezone: Europe/Berlin, catch_up: all, overlap: queue, jitter: 5m, inputs: {n: 3}}
  - {schedule: "@every 15m", inputs: {n: 1}}
  - {watch: "in/*.pdf", input: file, inputs: {n: 4}, settle: 10s, done: in/done, failed: in/failed}
  - {webhook: /invoices, hmac: "{{ secrets.HOOK }}", delivery: X-GitHub-Delivery, inputs: {n: "{{ body.n }}"}}
  - {after: other, inputs: {n: 1}}
  - {after: other, status: [failed, cancelled], inputs: {n: "{{ run.outputs.n }}"}}
keep: 30d
inputs: {n: integer, file: {type: file, required: false}}
steps:
  - {id: first, uses: value.set, with: {value: "{{ [inputs.n, inputs.file] }}"}}
  - id: all
    name: All of it
    uses: model.generate
    model: [auto, auto]
    with: {prompt: "{{ x.a }}", options: {top_k: 3}}
    needs: [first]
    when: index > 0
    for_each: [{a: one}, {a: two}]
    as: x
    key: x.a
    max_parallel: 2
    on_error: {value: {a: [1, null]}}
    timeout: 30s
    retry: false
    cache: true
    budget: {cost: 0.10 USD, allow_unknown: true}
    deadline: 2h
    on_lost: fail
  - {id: other, uses: model.generate, with: {prompt: x}, retry: {on: [server, server]}}
"#,
    );
    let steps = &workflow.steps.steps;
    let all = &steps[1];
    assert_eq!((all.name.as_deref(), &all.after[..]), (Some("All of it"), &[0][..]));
    assert!(all.when_per_item);
    assert!(all.for_each.as_ref().unwrap().key.is_some());
    assert_eq!(all.on_error, OnError::Value(json!({"a": [1, null]})));
    let policy = &all.policy;
    assert_eq!(
        (policy.timeout, policy.deadline),
        (Some(Duration::from_secs(30)), Some(Duration::from_hours(2)))
    );
    assert_eq!(
        (policy.retry.attempts, policy.cache, policy.on_lost),
        (1, Some(true), OnLost::Fail)
    );
    assert!(policy.budget.unwrap().allow_unknown);
    let other = &steps[2].policy;
    assert_eq!(
        (other.deadline, other.cache, other.on_lost),
        (Some(Duration::from_hours(1)), Some(false), OnLost::Ask)
    );
    assert_eq!(other.retry.on.len(), 1);
    assert_eq!(workflow.triggers.len(), 6);
    assert_eq!(workflow.keep, Some(Duration::from_hours(30 * 24)));
    let Trigger::Watch { settle, done, failed, .. } = &workflow.triggers[2] else { panic!() };
    assert_eq!(*settle, Duration::from_secs(10));
    assert_eq!((done.as_deref(), failed.as_deref()), (Some("in/done"), Some("in/failed")));
    let Trigger::Webhook { path, proof, delivery, inputs } = &workflow.triggers[3] else {
        panic!()
    };
    let header = "x-hub-signature-256".to_owned();
    let signed = Proof { kind: ProofKind::Hmac, secret: "HOOK".into(), header };
    assert_eq!((path.as_str(), proof), ("/invoices", &signed));
    assert_eq!((delivery.as_str(), inputs.is_some()), ("x-github-delivery", true));
    let Trigger::After { status, .. } = &workflow.triggers[4] else { panic!() };
    assert_eq!(status, &["succeeded"]);
    assert_eq!(workflow.concurrency, Some(3));
}

#[test]
fn loops_in_loops_reach_outwards_and_wait_for_what_their_bodies_need() {
    let workflow = good("
steps:
  - {id: late, uses: value.set, with: {value: 1}}
  - id: outer
    for_each: 2
    as: o
    collect: '{{ [o, steps.inner.output] }}'
    steps:
      - {id: head, uses: value.set, with: {value: '{{ o }}'}}
      - id: inner
        for_each: '{{ [steps.head.output] }}'
        steps:
          - {id: deep, uses: value.set, with: {value: '{{ o }}-{{ item }}-{{ index }}-{{ steps.late.output }}'}}
  - {id: first, uses: value.set, with: {value: '{{ steps.outer.output[0] }}'}}
");
    let steps = &workflow.steps;
    assert_eq!(
        (&step(steps, "outer").after[..], &step(steps, "first").after[..]),
        (&[0][..], &[1][..])
    );
    let outer = body(step(steps, "outer"));
    assert_eq!(step(outer, "inner").after, [0]);
    let inner = body(step(outer, "inner"));
    assert_eq!(step(inner, "deep").after, [0; 0]);
    assert!(step(inner, "deep").output_used, "an instance yields the last step's output");
    assert!(step(outer, "inner").output_used && step(steps, "late").output_used);
    assert!(!step(steps, "first").output_used);
}

#[test]
fn steps_after_the_others_see_them_and_how_the_run_ended() {
    let workflow = good("
steps:
  - {id: a, uses: value.set, with: {value: 1}}
on_failure:
  - {id: tell, uses: value.set, with: {value: '{{ run.error }} {{ steps.a.status }}'}}
finally:
  - {id: last, uses: value.set, with: {value: '{{ run.status }} {{ steps.a.error }} {{ steps.tell.status }}'}}
  - {id: very_last, needs: last, uses: value.set, with: {value: '{{ steps.a.meta.cost }} {{ run.id }}'}}
");
    assert!(!workflow.steps.steps[0].output_used);
    assert_eq!(workflow.on_failure.steps[0].after, [0; 0]);
    assert_eq!(workflow.finally.steps[1].after, [0]);
}

#[test]
fn a_condition_is_asked_for_each_item_only_where_it_speaks_of_one() {
    let workflow = good(
        "
steps:
  - {id: a, uses: value.set, with: {value: 1}}
  - {id: once, for_each: 2, when: steps.a.output == 1, uses: value.set, with: {value: 1}}
  - {id: each, for_each: 2, when: '{{ item > 0 }}', uses: value.set, with: {value: 1}}
  - {id: named, for_each: 2, as: n, when: n > 0, uses: value.set, with: {value: 1}}
  - {id: never, when: false, uses: value.set, with: {value: 1}}
",
    );
    let per_item: Vec<_> = workflow.steps.steps.iter().map(|step| step.when_per_item).collect();
    assert_eq!(per_item, [false, false, true, true, false]);
    assert_eq!(workflow.steps.steps[1].after, [0]);
}

#[test]
fn what_may_be_absent_is_no_fault_where_it_is_asked_for() {
    good("
inputs: {a: {type: object, schema: {type: object, properties: {b: {type: string}}, additionalProperties: false}}}
steps:
  - {id: p, uses: document.pages, with: {file: x.pdf}}
  - id: b
    uses: value.set
    with:
      value:
        - '{{ steps.p.output.nothing | default(1) }}'
        - '{{ steps.p.output.nothing is defined }}'
        - '{{ inputs.a.c is undefined or inputs.a.b }}'
        - '{{ steps.p.output.pages | map(attribute=\"anything\") | list }}'
        - '{% for page in steps.p.output.pages %}{{ page.anything }}{{ loop.index }}{% endfor %}'
        - '{% set x = 1 %}{{ x }}'
        - '{{ range(3) }}'
");
}

#[test]
fn types_are_followed_through_values_loops_and_collections() {
    let found = |value: &str| {
        let checked = check_text(&format!("
inputs: {{o: {{type: object, schema: {{type: object, properties: {{a: {{type: array, items: {{type: integer}}}}}}}}}}}}
steps:
  - {{id: p, uses: document.pages, with: {{file: x.pdf}}}}
  - {{id: copy, uses: value.set, with: {{value: '{{{{ steps.p.output.pages }}}}'}}}}
  - {{id: map, uses: value.set, with: {{value: {{first: '{{{{ steps.copy.output[0] }}}}', rest: [1, 2]}}}}}}
  - {{id: ocr, for_each: steps.copy.output, uses: document.ocr, with: {{image: '{{{{ item.image }}}}'}}}}
  - id: body
    for_each: steps.copy.output
    as: page
    collect: {{n: '{{{{ page.number }}}}', t: '{{{{ steps.read.output.text }}}}'}}
    steps:
      - {{id: read, uses: document.ocr, with: {{image: '{{{{ page.image }}}}'}}}}
  - {{id: count, for_each: 3, uses: value.set, with: {{value: '{{{{ item }}}}'}}}}
  - {{id: probe, uses: value.set, with: {{value: '{{{{ {value} }}}}'}}}}
outputs: {{o: '{{{{ inputs.o }}}}'}}
"));
        checked.diagnostics.iter().next().map_or_else(String::new, |fault| fault.message.clone())
    };
    for (value, fault) in [
        ("steps.copy.output[0].number", ""),
        ("steps.map.output.first.text", ""),
        ("steps.map.output.first.txt", "`steps.map.output.first` has no `txt`"),
        (
            "steps.map.output.rest[0].x",
            "`steps.map.output.rest[0]` is a whole number, and has no `x`",
        ),
        ("steps.ocr.output[0].text", ""),
        ("steps.ocr.output.text", "`steps.ocr.output` is a list, and has no `text`"),
        ("steps.ocr.output[0].box", "`steps.ocr.output[0]` has no `box`"),
        ("steps.body.output[0].t", ""),
        ("steps.body.output[0].x", "`steps.body.output[0]` has no `x`"),
        ("steps.body.output[0].n.x", "`steps.body.output[0].n` is a whole number, and has no `x`"),
        ("steps.count.output[0].x", "`steps.count.output[0]` is a whole number, and has no `x`"),
        ("inputs.o.anything", ""),
        ("inputs.o.a[0].x", "`inputs.o.a[0]` is a whole number, and has no `x`"),
        ("(steps.copy.output | first).anything", ""),
    ] {
        assert_eq!(found(value), fault, "{value}");
    }
}

#[test]
fn a_value_is_computed_where_a_step_or_a_caller_had_a_hand_in_it() {
    let text = "
inputs: {f: string, l: array}
steps:
  - {id: s, uses: value.set, with: {value: x}}
  - {id: literal, uses: document.pages, with: {file: x.pdf}}
  - {id: input, uses: document.pages, with: {file: '{{ inputs.f }}', dpi: 100}}
  - {id: run, uses: document.pages, with: {file: '{{ run.id }}.pdf'}}
  - {id: step, uses: document.pages, with: {file: 'a/{{ steps.s.output }}', dpi: 100}}
  - {id: listed, for_each: inputs.l, uses: document.pages, with: {file: '{{ item }}'}}
  - {id: written, for_each: [a.pdf, b.pdf], uses: document.pages, with: {file: '{{ item }}'}}
  - {id: yielded, for_each: '{{ [steps.s.output] }}', uses: document.pages, with: {file: '{{ item }}'}}
  - id: outer
    for_each: '{{ [steps.s.output] }}'
    as: o
    steps:
      - {id: inner, for_each: inputs.l, as: i, uses: document.pages, with: {file: '{{ i }}'}}
      - {id: around, for_each: inputs.l, as: i, uses: document.pages, with: {file: '{{ o }}'}}
";
    let workflow = good(text);
    let steps = &workflow.steps;
    for (id, keys) in [
        ("literal", &[][..]),
        ("input", &[]),
        ("run", &[]),
        ("step", &["file"]),
        ("listed", &[]),
        ("written", &[]),
        ("yielded", &["file"]),
    ] {
        assert_eq!(computed(step(steps, id)), keys, "{id}");
    }
    let outer = body(step(steps, "outer"));
    assert_eq!(computed(step(outer, "around")), ["file"]);

    let parent = "steps: [{id: sub, uses: workflow.run, with: {workflow: child.yaml, inputs: {f: x, l: []}}}]\n";
    let workflow = self::workflow(check_with(parent.as_bytes(), &[("child.yaml", text)], &[]));
    let Work::Workflow { workflow: child, .. } = &workflow.steps.steps[0].work else { panic!() };
    for id in ["input", "listed"] {
        assert_eq!(computed(step(&child.steps, id)), ["file"], "a caller computes it: {id}");
    }
    assert_eq!(computed(step(&child.steps, "literal")), [""; 0]);
}

#[test]
fn a_bundle_checks_again_to_the_same_definition() {
    let text = "
steps:
  - {id: sub, uses: workflow.run, with: {workflow: child.yaml, inputs: {x: '{{ run.id }}'}}}
  - {id: ask, uses: model.generate, model: auto, with: {prompt: x, schema: {$file: s.json}}}
outputs: {done: '{{ steps.sub.output.y }}'}
";
    let child = "inputs: {x: string}\nsteps: [{id: s, uses: value.set, with: {value: '{{ inputs.x }}'}}]\noutputs: {y: '{{ steps.s.output }}'}\n";
    let checked = check_with(text.as_bytes(), &[("child.yaml", child), ("s.json", "{}")], &[]);
    let bundle = checked.bundle.clone();
    workflow(checked);
    assert_eq!(
        bundle.files.keys().map(String::as_str).collect::<Vec<_>>(),
        ["child.yaml", "s.json", "w.yaml"]
    );
    let providers = KnownProviders { kinds: &KINDS, ..KnownProviders::default() };
    let again = check_bundle(&bundle, &actions(), &providers);
    assert_eq!((&again.bundle, again.bundle.hash()), (&bundle, bundle.hash()));
    assert_eq!(workflow(again).steps.steps.len(), 2);
}
