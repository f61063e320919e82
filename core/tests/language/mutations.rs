//! Good files with a few bytes changed: whatever comes of it, it is told and nothing panics.

use proptest::prelude::*;

use crate::support::check_with;

const TEXT: &str = r#"name: invoice
inputs:
  file: { type: file, media: [application/pdf, "image/*"] }
  n: { type: integer, default: 3 }
providers:
  mine: { type: command, command: [python3, "{{ secrets.PROGRAM }}"], price: 0.01 USD }
models: &models
  reader: [mine/qwen, auto]
defaults: { timeout: 5m, retry: { attempts: 4, jitter: 0.2, on: [rate_limit] } }
budget: { cost: 0.50 USD }
triggers: [{ schedule: "0 2 * * *", timezone: Europe/Berlin, inputs: { n: 4, file: scan.pdf } }]
steps:
  - id: pages
    uses: document.pages
    with: { file: "{{ inputs.file }}", dpi: 150 }
  - id: body
    for_each: "{{ steps.pages.output.pages }}"
    as: page
    when: page.number > inputs.n
    collect: '{{ [page, steps.read.output] }}'
    steps:
      - { id: read, uses: document.ocr, with: { image: "{{ page.image }}" } }
  - id: fields
    needs: [body]
    uses: model.generate
    model: reader
    on_error: { value: [1, null] }
    with: { prompt: "{% for b in steps.body.output %}ö {{ b[1].text }}{% endfor %}", schema: { $file: s.json } }
  - { id: sub, uses: workflow.run, with: { workflow: c.yaml, inputs: { x: "{{ steps.fields.output }}" } } }
finally:
  - { id: last, uses: value.set, with: { value: "{{ run.status }}" } }
outputs:
  invoice: "{{ steps.sub.output.y }}"
"#;

const CHILD: &str = "inputs: {x: json}\nsteps: [{id: s, uses: value.set, with: {value: '{{ inputs.x }}'}}]\noutputs: {y: '{{ steps.s.output }}'}\n";

fn survives(bytes: &[u8]) {
    let checked = check_with(bytes, &[("c.yaml", CHILD), ("s.json", "{}")], &[]);
    let shown = checked.diagnostics.to_string();
    assert_eq!(checked.workflow.is_none(), checked.diagnostics.has_errors());
    assert_eq!(shown.is_empty(), checked.diagnostics.is_empty());
}

#[test]
fn the_file_itself_is_good() {
    let checked = check_with(TEXT.as_bytes(), &[("c.yaml", CHILD), ("s.json", "{}")], &[]);
    assert_eq!(checked.diagnostics.to_string(), "");
}

#[test]
fn every_beginning_of_a_file_is_told_or_taken() {
    for end in 0..TEXT.len() {
        survives(&TEXT.as_bytes()[..end]);
    }
}

#[test]
fn a_file_without_any_one_line_is_told_or_taken() {
    let lines: Vec<_> = TEXT.lines().collect();
    for left_out in 0..lines.len() {
        let mut lines = lines.clone();
        lines.remove(left_out);
        survives(lines.join("\n").as_bytes());
    }
}

/// A change: bytes at a place make way for others.
fn edit() -> impl Strategy<Value = (prop::sample::Index, usize, Vec<u8>)> {
    let word = prop::sample::select(vec![
        "{{",
        "}}",
        "[",
        "]",
        "{",
        "}",
        ":",
        "- ",
        "*",
        "&a ",
        "|",
        ">",
        "'",
        "\"",
        "#",
        "\t",
        "\n",
        "\r",
        "!!",
        "---",
        "steps",
        "\u{feff}",
        "😀",
        "999999999999",
        "-1",
        "null",
        "<<: *models",
        "? ",
    ]);
    let bytes = prop_oneof![
        word.prop_map(|word| word.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    (any::<prop::sample::Index>(), 0..12_usize, bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_change_makes_checking_panic(edits in prop::collection::vec(edit(), 1..5)) {
        let mut bytes = TEXT.as_bytes().to_vec();
        for (at, removed, added) in edits {
            let at = at.index(bytes.len() + 1);
            let end = (at + removed).min(bytes.len());
            bytes.splice(at..end, added);
        }
        survives(&bytes);
    }

    #[test]
    fn no_text_makes_checking_panic(text in "(?s).{0,200}") {
        survives(text.as_bytes());
    }
}
