//! How faults look.

use flow_core::language::Severity;

use crate::support::{check_text, check_with};

#[test]
fn a_fault_shows_its_line_and_what_was_meant() {
    insta::assert_snapshot!(check_text("steps:\n  - id: x\n    uses: document.ocrr\n").diagnostics, @r"
    w.yaml:3:11: error: unknown action `document.ocrr`
        3 |     uses: document.ocrr
          |           ^
          hint: did you mean `document.ocr`?
    ");
}

#[test]
fn all_faults_of_a_file_are_told_together_in_the_order_of_their_places() {
    let text = "\
nmae: x
inputs:
  file: { type: file }
steps:
  - id: pages
    uses: document.pages
    with: { file: a.pdf, dpi: hgih }
    timeout: 5
  - id: text
    uses: document.ocr
    with: { image: '{{ steps.pages.output.pagez }}' }
";
    let diagnostics = check_text(text).diagnostics;
    assert_eq!((diagnostics.errors(), diagnostics.iter().count()), (4, 5));
    insta::assert_snapshot!(diagnostics, @r#"
    w.yaml:1:1: error: a workflow has no key `nmae`
        1 | nmae: x
          | ^
          hint: did you mean `name`?
    w.yaml:3:3: warning: input `file` is not used
        3 |   file: { type: file }
          |   ^
          hint: remove it, or refer to it by `inputs.NAME`
    w.yaml:7:31: error: `dpi` is wrong: "hgih" is not of type "integer"
        7 |     with: { file: a.pdf, dpi: hgih }
          |                               ^
    w.yaml:8:14: error: `timeout`: `5` is not a duration such as `30s`, `5m` or `1h30m`
        8 |     timeout: 5
          |              ^
    w.yaml:11:20: error: `steps.pages.output` has no `pagez`
       11 |     with: { image: '{{ steps.pages.output.pagez }}' }
          |                    ^
          hint: did you mean `pages`?
    "#);
}

#[test]
fn columns_count_characters() {
    let text = "steps: [{id: a, name: 'größe 😀', uses: valu.set, with: {value: 1}}]\n";
    insta::assert_snapshot!(check_text(text).diagnostics, @r#"
    w.yaml:1:40: error: unknown action `valu.set`
        1 | steps: [{id: a, name: 'größe 😀', uses: valu.set, with: {value: 1}}]
          |                                        ^
          hint: did you mean `value.set`?
    "#);
}

#[test]
fn lines_may_end_as_windows_ends_them() {
    let text = "\u{feff}steps:\r\n  - id: a\r\n    uses: valu.set\r\n    with: {value: 1}\r\n";
    insta::assert_snapshot!(check_text(text).diagnostics, @r#"
    w.yaml:3:11: error: unknown action `valu.set`
        3 |     uses: valu.set
          |           ^
          hint: did you mean `value.set`?
    "#);
}

#[test]
fn a_very_long_line_is_shown_in_part() {
    let text = format!(
        "steps: [{{id: a, name: {}, uses: valu.set, with: {{value: 1}}}}] # {}\n",
        "ö".repeat(1_000_000),
        "x".repeat(1_000_000),
    );
    let checked = check_text(&text);
    let fault = checked.diagnostics.iter().next().unwrap();
    assert_eq!((fault.column, fault.message.as_str()), (1_000_031, "unknown action `valu.set`"));
    assert!(fault.text.chars().count() <= 240, "{}", fault.text.len());
    let shown = fault.to_string();
    let lines: Vec<_> = shown.lines().collect();
    let caret = lines[2].chars().count() - 1;
    let pointed: String = lines[1].chars().skip(caret).take(8).collect();
    assert_eq!(pointed, "valu.set");
}

#[test]
fn a_message_quotes_no_more_than_can_be_read() {
    let text = format!("{}: 1\n", "k".repeat(100_000));
    for fault in check_text(&text).diagnostics.iter() {
        assert!(fault.message.chars().count() <= 501, "{}", fault.message.len());
    }
}

#[test]
fn faults_of_another_file_name_it() {
    let text = "steps: [{id: a, uses: workflow.run, with: {workflow: sub/child.yaml}}]\n";
    let child = "steps:\n  - id: s\n    uses: valu.set\n";
    let checked = check_with(text.as_bytes(), &[("sub/child.yaml", child)], &[]);
    insta::assert_snapshot!(checked.diagnostics, @r#"
    sub/child.yaml:3:11: error: unknown action `valu.set`
        3 |     uses: valu.set
          |           ^
          hint: did you mean `value.set`?
    "#);
}

#[test]
fn a_warning_lets_the_workflow_run() {
    let checked =
        check_text("inputs: {a: string}\nsteps: [{id: a, uses: value.set, with: {value: 1}}]\n");
    assert!(checked.workflow.is_some() && !checked.diagnostics.is_empty());
    assert!(checked.diagnostics.iter().all(|fault| fault.severity == Severity::Warning));
    insta::assert_snapshot!(checked.diagnostics, @r#"
    w.yaml:1:10: warning: input `a` is not used
        1 | inputs: {a: string}
          |          ^
          hint: remove it, or refer to it by `inputs.NAME`
    "#);
}

#[test]
fn faults_are_json_for_machines() {
    let diagnostics = check_text("name: x\n").diagnostics;
    insta::assert_snapshot!(serde_json::to_string(&diagnostics).unwrap(), @r#"
    [{"severity":"error","file":"w.yaml","line":1,"column":1,"message":"`steps` is missing","hint":"a workflow has at least one step","text":"name: x"}]
    "#);
}
