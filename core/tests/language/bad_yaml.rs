//! Files that are hardly YAML, or meant to harm.

use std::fmt::Write;
use std::time::{Duration, Instant};

use crate::support::{check_text, check_with, lines_of};

/// The faults of bytes that are no workflow.
fn faults(bytes: &[u8]) -> Vec<String> {
    let started = Instant::now();
    let checked = check_with(bytes, &[], &[]);
    assert!(checked.workflow.is_none());
    assert!(checked.diagnostics.has_errors());
    let _ = checked.diagnostics.to_string();
    assert!(started.elapsed() < Duration::from_secs(20), "it took {:?}", started.elapsed());
    lines_of(&checked)
}

#[test]
fn what_is_no_yaml_is_refused_with_its_place() {
    let wrong: Vec<_> = ROWS
        .iter()
        .map(|(bytes, expected)| (bytes, faults(bytes), expected))
        .filter(|(_, found, expected)| found != *expected)
        .map(|(bytes, found, _)| format!("{:?}: {found:#?}", String::from_utf8_lossy(bytes)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const ROWS: &[(&[u8], &[&str])] = &[
    (b"", &["1:1 the file is empty; a workflow has at least `steps:`"]),
    (b" \n\n", &["1:1 the file is empty; a workflow has at least `steps:`"]),
    (b"# nothing but this\n", &["1:1 the file is empty; a workflow has at least `steps:`"]),
    (b"name: x\nb: \xff", &["2:4 the file is not UTF-8: byte 0xff at offset 11; save it as UTF-8"]),
    // A line may end in a carriage return alone, as on old machines.
    (b"name: x\rb: \xff", &["2:4 the file is not UTF-8: byte 0xff at offset 11; save it as UTF-8"]),
    (b"a: [1, 2", &["1:4 unclosed bracket '['"]),
    (b"a: b: c", &["1:5 mapping values are not allowed in this context"]),
    (
        b"steps:\n\t- id: a",
        &[
            "2:2 tabs disallowed within this context (block indentation); indent with spaces, not with tabs",
        ],
    ),
    (b"steps: *nowhere", &["1:8 alias references unknown anchor"]),
    (b"a: 1\n---\nb: 2\n", &["2:1 the file holds several documents"]),
    (b"just text", &["1:1 a workflow is a map, and this is text"]),
    (
        b"name: {{ inputs.x }}",
        &["1:7 a key must be a name, not a list or a map; put quotes around it: \"{{ … }}\""],
    ),
    (
        b"steps:\n  - id: a\n    when: {{ inputs.x }}\n    uses: value.set\n",
        &["3:11 a key must be a name, not a list or a map; put quotes around it: \"{{ … }}\""],
    ),
    (
        b"steps: [{{ x }}]",
        &["1:9 a key must be a name, not a list or a map; put quotes around it: \"{{ … }}\""],
    ),
    (b"? [a, b]\n: c\n", &["1:1 a key must be a name, not a list or a map"]),
    (b"{a: 1}: b\n", &["1:1 a key must be a name, not a list or a map"]),
    (b"a: .nan", &["1:4 a number must be finite, and `.nan` is not"]),
    (b"a: -.inf", &["1:4 a number must be finite, and `-.inf` is not"]),
    (b"steps: 99999999999999999999999999", &["1:8 `steps` is a list, and this is a number"]),
    (b"a: \"\\q\"", &["1:4 while parsing a quoted scalar, found unknown escape character"]),
    (b"a: 'never closed", &["1:4 unclosed quote"]),
    (b"\0", &["1:1 unexpected character: `\\u{0}'"]),
    (b"a: !!binary x", &["1:13 invalid !!binary base64"]),
    (b"a: &a [*a]", &["1:8 an alias stands within what it stands for"]),
];

#[test]
fn a_bomb_of_aliases_ends_at_once() {
    let mut laughs = String::from("a0: &a0 [x, x]\n");
    for n in 1..40 {
        writeln!(laughs, "a{n}: &a{n} [*a{}, *a{}]", n - 1, n - 1).unwrap();
    }
    let found = faults(laughs.as_bytes());
    assert_eq!(found, ["18:12 the file has too many values or aliases"]);
    let wide = format!("a: &a [{}]\nb: [{}]\n", "x, ".repeat(10_000), "*a, ".repeat(900));
    assert_eq!(faults(wide.as_bytes()), ["2:401 the file has too many values or aliases"]);
}

#[test]
fn deep_nesting_ends_at_once() {
    let block = (0..2_000).map(|n| " ".repeat(n) + "a:\n").collect();
    for bomb in
        ["[".repeat(10_000), format!("a: {}", "{a: ".repeat(10_000)), block, "- ".repeat(10_000)]
    {
        let found = faults(bomb.as_bytes());
        assert_eq!(found.len(), 1);
        assert!(found[0].ends_with(" values nest deeper than 64 levels"), "{}", found[0]);
    }
}

#[test]
fn a_file_that_is_too_large_is_not_read() {
    let expected =
        "1:1 the file has 34603008 bytes, and 33554432 are allowed; keep data in files of its own";
    assert_eq!(faults(&vec![b'a'; 33 << 20]), [expected]);
}

#[test]
fn a_huge_scalar_is_told_in_short() {
    for text in [
        format!("name: x\nsteps: {}\n", "a".repeat(20 << 20)),
        format!("steps: [{{id: {}, uses: value.set}}]", "a".repeat(5 << 20)),
        format!("steps: [{{id: a, uses: {}}}]", "a".repeat(5 << 20)),
        format!(
            "steps: [{{id: a, uses: value.set, with: {{value: \"{{{{ steps.{} }}}}\"}}}}]",
            "a".repeat(5 << 20)
        ),
    ] {
        for line in faults(text.as_bytes()) {
            assert!(line.chars().count() < 1_200, "{}", line.len());
        }
    }
}

#[test]
fn deep_expressions_end_at_once() {
    for expression in [
        "(".repeat(50_000),
        format!("inputs{}", ".a".repeat(200_000)),
        format!("inputs{}", "[0]".repeat(200_000)),
        format!("1{}", "+1".repeat(200_000)),
        format!("1{}", "|int".repeat(200_000)),
        "not ".repeat(200_000),
        "-".repeat(200_000),
        format!("1{}", " if 1 else 1".repeat(100_000)),
        format!("x{}", "()".repeat(100_000)),
        format!("1{}", " is defined".repeat(100_000)),
        format!("1{}", " and 1".repeat(100_000)),
        format!("1{}", " == 1".repeat(100_000)),
        format!("1{}", " ~ 1".repeat(100_000)),
        format!("1{}", "**1".repeat(100_000)),
    ] {
        let text = format!(
            "steps: [{{id: a, uses: value.set, with: {{value: \"{{{{ {expression} }}}}\"}}}}, {{}}]"
        );
        faults(text.as_bytes());
    }
    let blocks = "{% if 1 %}".repeat(20_000);
    faults(
        format!("steps: [{{id: a, uses: value.set, with: {{value: \"{blocks}\"}}}}, {{}}]")
            .as_bytes(),
    );
}

#[test]
fn types_that_would_double_from_step_to_step_do_not() {
    let mut text =
        String::from("steps:\n  - {id: s0, uses: value.set, with: {value: {a: 1, b: 2}}}\n");
    for n in 1..60 {
        let before = format!("{{{{ steps.s{}.output }}}}", n - 1);
        let value = format!("{{a: '{before}', b: '{before}'}}");
        writeln!(text, "  - {{id: s{n}, uses: value.set, with: {{value: {value}}}}}").unwrap();
    }
    assert_eq!(lines_of(&check_text(&text)), [""; 0]);
    let nested = format!(
        "steps: [{{id: a, uses: value.set, with: {{value: {}1{}}}}}]",
        "[".repeat(55),
        "]".repeat(55)
    );
    assert_eq!(lines_of(&check_text(&nested)), [""; 0]);
}
