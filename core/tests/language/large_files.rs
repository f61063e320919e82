//! Files of a hundred thousand steps, and of as many faults: checking takes time that grows
//! with the file and no faster.

use std::fmt::Write;
use std::time::Instant;

use flow_core::language::Checked;

use crate::support::{check_text, check_with, lines_of, workflow};

const MANY: usize = 100_000;

/// What is written for each number, one after another.
fn each(count: usize, write: impl Fn(usize) -> String) -> String {
    (0..count).map(write).collect::<Vec<_>>().concat()
}

#[expect(clippy::print_stderr, reason = "how long it took is for people to read")]
fn timed(what: &str, text: &str) -> Checked {
    let started = Instant::now();
    let checked = check_text(text);
    eprintln!("{what}: {} bytes checked in {:?}", text.len(), started.elapsed());
    checked
}

fn steps(count: usize, value: impl Fn(usize) -> String) -> String {
    let mut text = String::from("steps:\n");
    for step in 0..count {
        let value = value(step);
        writeln!(text, "  - id: s{step}\n    uses: value.set\n    with: {{ value: {value} }}")
            .unwrap();
    }
    text
}

#[test]
fn a_chain_of_steps_is_right_and_quick() {
    for count in [1_000, MANY] {
        let text = steps(count, |step| match step {
            0 => "0".into(),
            _ => format!("'{{{{ steps.s{}.output }}}}'", step - 1),
        });
        let workflow = workflow(timed(&format!("a chain of {count} steps"), &text));
        let steps = &workflow.steps.steps;
        assert_eq!(steps.len(), count);
        assert_eq!(steps[count - 1].after, [count - 2]);
        assert!(steps[0].output_used && !steps[count - 1].output_used);
    }
}

#[test]
fn steps_beside_each_other_are_right_and_quick() {
    let text = steps(MANY, |step| step.to_string());
    assert_eq!(workflow(timed("independent steps", &text)).steps.steps.len(), MANY);
}

#[test]
fn a_cycle_of_very_many_steps_is_told_in_short() {
    let text = steps(MANY, |step| format!("'{{{{ steps.s{}.output }}}}'", (step + 1) % MANY));
    let checked = timed("a cycle", &text);
    assert_eq!(checked.diagnostics.errors(), 1);
    let fault = checked.diagnostics.iter().next().unwrap();
    assert!(
        fault.message.starts_with("steps wait for each other: s0 → s99999 → "),
        "{}",
        fault.message
    );
    assert!(fault.message.chars().count() <= 501);
}

#[test]
fn very_many_faults_are_counted_and_the_first_are_kept() {
    let unknown_action = steps(MANY, |_| "1".into()).replace("value.set", "valu.set");
    let unknown_step = steps(MANY, |step| format!("'{{{{ steps.t{step}.output }}}}'"));
    let one_line =
        format!("steps: [{}]", "{id: a, uses: valu.set, with: {value: 1}}, ".repeat(20_000));
    let accents =
        format!("steps: [{}]", "{id: a, uses: valü.set, with: {value: 1}}, ".repeat(20_000));
    for (what, text, errors) in [
        ("unknown actions", unknown_action, MANY),
        ("unknown steps", unknown_step, MANY),
        ("faults on one line", one_line, 39_999),
        ("faults on one line with accents", accents, 39_999),
    ] {
        let checked = timed(what, &text);
        assert_eq!(checked.diagnostics.errors(), errors, "{what}");
        assert!(checked.diagnostics.iter().count() <= 1_000, "{what}");
        let shown = checked.diagnostics.to_string();
        assert!(
            shown.ends_with(&format!("and {} more\n", errors - 50)),
            "{}",
            &shown[shown.len() - 60..]
        );
    }
}

#[test]
fn one_text_with_very_many_references_is_quick() {
    let references = each(MANY, |n| format!("{{{{ inputs.a.b{n} }}}}"));
    let text = format!(
        "inputs: {{a: json}}\nsteps: [{{id: a, uses: value.set, with: {{value: \"{references}\"}}}}]\n"
    );
    workflow(timed("references", &text));
}

#[test]
fn a_large_output_that_every_step_asks_for_is_quick() {
    let parts = each(MANY, |n| format!("k{n}: 1, "));
    let mut text =
        format!("steps:\n  - {{id: large, uses: value.set, with: {{value: {{{parts}}}}}}}\n");
    for n in 0..10_000 {
        writeln!(
            text,
            "  - {{id: s{n}, uses: value.set, with: {{value: '{{{{ steps.large.output }}}}'}}}}"
        )
        .unwrap();
    }
    workflow(timed("a large output", &text));
}

#[test]
#[expect(clippy::print_stderr, reason = "how long it took is for people to read")]
fn workflows_that_run_many_workflows_are_checked_once_each() {
    let run = |name: &str| {
        let steps = each(50, |n| {
            format!("  - {{id: s{n}, uses: workflow.run, with: {{workflow: {name}}}}}\n")
        });
        format!("steps:\n{steps}")
    };
    let leaf = "steps: [{id: a, uses: value.set, with: {value: 1}}]\n".to_owned();
    let texts = [run("b"), run("c"), run("d"), run("e"), run("f"), leaf];
    let files: Vec<_> =
        ["a", "b", "c", "d", "e", "f"].into_iter().zip(texts.iter().map(String::as_str)).collect();
    let started = Instant::now();
    workflow(check_with(run("a").as_bytes(), &files, &[]));
    eprintln!("50 to the power of 6 sub-workflows: {:?}", started.elapsed());
}

#[test]
fn what_a_machine_wrote_too_long_is_refused_in_a_word() {
    let sum = format!(
        "steps: [{{id: a, when: \"1{}\", uses: value.set, with: {{value: 1}}}}]",
        " + 1".repeat(1_000)
    );
    let inputs = each(1_001, |n| format!("i{n}: string, "));
    let inputs = format!(
        "inputs: {{{inputs}}}\nsteps: [{{id: a, uses: value.set, with: {{value: \"{{{{ inputs }}}}\"}}}}]"
    );
    for (text, expected) in [
        (sum, "1:23 an expression has more than 2000 words and signs; compute it in several steps"),
        (
            inputs,
            "1:9 a workflow has at most 1000 inputs, and this has 1001; pass many values as one list",
        ),
    ] {
        assert_eq!(lines_of(&check_text(&text)), [expected]);
    }
}
