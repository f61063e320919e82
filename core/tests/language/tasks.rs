//! Tasks: bad files with their exact faults, steps that use one, and what they become.

use std::sync::Arc;

use flow_core::language::{Files, Task, task};
use serde_json::{Value, json};

use crate::support::{actions, check_with, lines_of, workflow};

/// What a workflow with this step says, with a task of its own beside it.
fn faults(step: &str, mine: &str) -> Vec<String> {
    let text = format!("steps:\n  - {{id: a, model: auto, {step}}}\n");
    lines_of(&check_with(text.as_bytes(), &[("tasks/mine.yaml", mine)], &[]))
}

struct One(&'static str);

impl Files for One {
    fn read(&self, path: &str) -> Result<String, String> {
        if path == "tasks/mine.yaml" { Ok(self.0.to_owned()) } else { Err("not there".into()) }
    }
}

fn mine(text: &'static str) -> Arc<Task> {
    let found = task("mine", &actions(), &One(text));
    found.unwrap_or_else(|faults| panic!("{faults}")).expect("it is there")
}

const HEAD: &str = "name: mine\nversion: 1\n";

#[test]
fn each_fault_of_a_task_is_told_where_it_stands() {
    const INPUT: &str = "input: {properties: {q: {type: string}, image: {x-file: true}, \
                         pages: {type: array, items: {type: object, properties: {n: {type: \
                         integer}}, additionalProperties: false}}}}\n";
    let rows: &[(&str, &str, &[&str])] = &[
        ("it is no map", "- a\n", &["1:1 a task is a map, and this is a list"]),
        ("it cannot be parsed", "name: [}\n", &["1:7 mismatched bracket '[' closed by '}'"]),
        (
            "what it must have is missing",
            "summary: Nothing.\n",
            &[
                "1:1 the task has no `name`; `name: mine`",
                "1:1 the task has no `version`; e.g. `version: 1`; it grows with what the answer is",
                "1:1 the task asks nothing; give `content`, or a `prompt`",
            ],
        ),
        (
            "it is named as another",
            "name: other\nversion: 1\nprompt: x\n",
            &["1:7 `other` stands in `mine.yaml`; a task is named as its file"],
        ),
        (
            "a key is misspelt",
            "HEADpromt: x\nprompt: y\n",
            &["3:1 a task has no key `promt`; did you mean `prompt`?"],
        ),
        (
            "a text is no text",
            "HEADprompt: 5\nsystem: [a]\n",
            &[
                "3:9 `prompt` is text, and this is a number; put quotes around it",
                "4:9 `system` is text, and this is a list",
            ],
        ),
        (
            "a template cannot be read",
            "HEADprompt: 'a {{ input. }}'\n",
            &[
                "3:9 `a {{ input. }}` is not an expression: unexpected end of variable block, expected identifier or integer",
            ],
        ),
        (
            "a name is not known in a task",
            "HEADINPUTprompt: '{{ inputs.q }} {{ steps.a.output }} {{ answer.x }}'\n",
            &[
                "4:9 there is no `inputs` in a task; did you mean `input`?",
                "4:9 there is no `steps` in a task; a task knows: input",
                "4:9 there is no `answer` in a task; a task knows: input",
            ],
        ),
        (
            "a key of the input is not there",
            "HEADINPUTprompt: '{{ input.k }}'\n",
            &["4:9 `input` has no `k`; did you mean `q`?"],
        ),
        (
            "an item has no such part",
            "HEADINPUTcontent: [{for_each: input.pages, as: page, text: '{{ page.m }} {{ index }}'}]\n",
            &["4:51 `page` has no `m`; did you mean `n`?"],
        ),
        (
            "the input takes what every task does",
            "HEADinput: {properties: {temperature: {}}, required: [a, 5]}\nprompt: x\n",
            &[
                "3:22 `temperature` is taken; every task takes it",
                "3:51 `input` has no `a`",
                "3:54 an element of `required` is text, and this is a number; put quotes around it",
            ],
        ),
        (
            "the input is no schema",
            "HEADinput: {properties: {a: {type: 5}}}\nprompt: x\n",
            &[
                "3:8 the schema is not a JSON Schema: 5 is not valid under any of the schemas listed in the 'anyOf' keyword; see json-schema.org for what a schema may say",
            ],
        ),
        (
            "one of keys that are not there",
            "HEADINPUTone_of: [q, b]\nprompt: x\n",
            &["4:13 `input` has no `b`"],
        ),
        (
            "parts that are none, or two things",
            "HEADINPUTcontent: [{}, {text: a, image: '{{ input.image }}'}, {immage: b}]\n",
            &[
                "4:11 the part is nothing; it is one of: text, content, image, document, video, audio, file",
                "4:32 a part is one thing, and this is `text` and `image`",
                "4:54 the part is nothing; it is one of: text, content, image, document, video, audio, file",
                "4:55 a part has no key `immage`; did you mean `image`?",
            ],
        ),
        (
            "it needs what no part is, and what nothing is",
            "HEADneeds: [video, pictures]\nprompt: x\n",
            &[
                "3:9 `needs` has `video`, and no part is one",
                "3:16 `pictures` is nothing to need; known are: images, documents, video, audio",
            ],
        ),
        (
            "the answer is no schema",
            "HEADprompt: x\noutput: {type: thing}\n",
            &[
                "4:9 the schema is not a JSON Schema: \"thing\" is not valid under any of the schemas listed in the 'anyOf' keyword; see json-schema.org for what a schema may say",
            ],
        ),
        (
            "what is added stands beside no keys, or in the place of one",
            "HEADprompt: x\nadds: {csv: 'a'}\n",
            &[
                "4:7 `adds` stands beside the keys of the answer; give `output` a schema of an object",
            ],
        ),
        (
            "what is added takes the place of a key, and knows the answer's",
            "HEADprompt: x\noutput: {type: object, properties: {a: {type: string}}, additionalProperties: false}\nadds: {a: b, c: '{{ answer.d }}'}\n",
            &["5:8 the answer has a `a` of its own", "5:17 `answer` has no `d`; did you mean `a`?"],
        ),
        (
            "settings that are none",
            "HEADprompt: x\ntemperature: -1\nmax_tokens: many\ntimeout: soon\n",
            &[
                "4:14 `temperature` is wrong: -1 is less than the minimum of 0",
                "5:13 `max_tokens` is wrong: \"many\" is not of type \"integer\"",
                "6:10 `timeout`: `soon` is not a duration such as `30s`, `5m` or `1h30m`",
            ],
        ),
    ];
    let mut wrong = Vec::new();
    for (name, text, expected) in rows {
        let text = text.replace("HEAD", HEAD).replace("INPUT", INPUT);
        let expected: Vec<_> =
            expected.iter().map(|line| format!("tasks/mine.yaml:{line}")).collect();
        let found = faults("uses: task.mine", &text);
        if found != expected {
            wrong.push(format!("{name}:\n{}", found.join("\n")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_step_is_checked_against_what_the_task_takes() {
    const MINE: &str = "name: mine\nversion: 1\ninput: {properties: {q: {type: string, minLength: 2}, a: {}, b: {}}, required: [q]}\none_of: [a, b]\nprompt: '{{ input.q }}'\n";
    for (step, expected) in [
        ("uses: task.mine, with: {q: yes, a: 1}", &[][..]),
        ("uses: task.mine, with: {q: '{{ run.id }}', a: '{{ run.id }}', b: '{{ run.id }}'}", &[]),
        ("uses: task.mine, with: {q: yes, a: 1, temperature: 0, options: {x: 1}}", &[]),
        (
            "uses: task.mine, with: {q: y, a: 1, c: 2}",
            &[
                "2:53 `q` is wrong: \"y\" is shorter than 2 characters",
                "2:62 `task.mine` takes no `c`; did you mean `a`?",
            ],
        ),
        (
            "uses: task.mine",
            &[
                "2:32 `task.mine` needs `with: { q: … }`",
                "2:32 of `task.mine` exactly one of `a`, `b` is given",
            ],
        ),
        (
            "uses: task.mine, with: {q: yes, a: 1, b: 2}",
            &["2:32 of `task.mine` exactly one of `a`, `b` is given"],
        ),
        (
            "uses: task.mine, with: {q: [1], a: 1, temperature: hot}",
            &[
                "2:53 `q` is wrong: [1] is not of type \"string\"",
                "2:77 `temperature` is wrong: \"hot\" is not of type \"number\"",
            ],
        ),
        (
            "uses: task.captoin, with: {image: x}",
            &[
                "2:32 unknown task `captoin`; did you mean `caption`?; one of your own stands in `tasks/` beside the workflow",
            ],
        ),
        (
            "uses: task.spreadsheet",
            &[
                "2:32 unknown task `spreadsheet`; tasks are: caption; one of your own stands in `tasks/` beside the workflow",
            ],
        ),
        (
            "uses: task.../../secret",
            &[
                "2:32 unknown task `../../secret`; tasks are: caption; one of your own stands in `tasks/` beside the workflow",
            ],
        ),
        ("uses: caption", &["2:32 unknown action `caption`; did you mean `task.caption`?"]),
    ] {
        assert_eq!(faults(step, MINE), expected, "{step}");
    }
    let none =
        lines_of(&check_with(b"steps: [{id: a, uses: task.caption, with: {image: x}}]", &[], &[]));
    assert_eq!(
        none,
        ["1:23 `task.caption` needs a `model`; e.g. `model: auto`, or one under `defaults:`"]
    );
}

#[test]
fn what_a_task_yields_is_known_to_those_behind_it() {
    let behind = |uses: &str, of: &str| {
        let text = format!(
            "steps:\n  - {{id: a, model: auto, {uses}}}\n  - {{id: b, uses: value.set, with: {{value: '{{{{ steps.a.output{of} }}}}'}}}}\n"
        );
        let own = "name: mine\nversion: 1\ninput: {properties: {schema: {x-schema: true}, n: {}}}\nprompt: x\noutput: {type: object, properties: {record: '{{ input.schema }}', n: {minimum: '{{ input.n }}'}}, additionalProperties: false}\nadds: {csv: 'a {{ answer.record }}'}\n";
        let ask = "name: ask\nversion: 1\ninput: {properties: {schema: {x-schema: true}}}\nprompt: x\noutput: '{{ input.schema }}'\n";
        let files = [("tasks/mine.yaml", own), ("tasks/ask.yaml", ask)];
        lines_of(&check_with(text.as_bytes(), &files, &[]))
    };
    let caption = "uses: task.caption, with: {image: x.png}";
    assert_eq!(behind(caption, ".caption"), [""; 0]);
    assert_eq!(
        behind(caption, ".captoin"),
        ["3:44 `steps.a.output` has no `captoin`; did you mean `caption`?"]
    );
    let schema = "with: {n: 1, schema: {type: object, properties: {total: {}}, additionalProperties: false}}";
    let mine = format!("uses: task.mine, {schema}");
    assert_eq!(behind(&mine, ".record.total"), [""; 0]);
    assert_eq!(behind(&mine, ".csv"), [""; 0]);
    assert_eq!(behind(&mine, ".csv.x"), ["3:44 `steps.a.output.csv` is text, and has no `x`"]);
    assert_eq!(
        behind(&mine, ".record.totla"),
        ["3:44 `steps.a.output.record` has no `totla`; did you mean `total`?"]
    );
    let computed = "uses: task.mine, with: {n: 1, schema: '{{ run.id }}'}";
    assert_eq!(behind(computed, ".anything"), [""; 0], "nobody knows the schema yet");
    assert_eq!(behind("uses: task.ask", ".x"), ["3:44 `steps.a.output` is text, and has no `x`"]);
}

#[test]
fn a_file_beside_the_workflow_goes_before_the_task_that_is_built_in() {
    let own = "name: caption\nversion: 7\nprompt: mine\n";
    let text = b"steps: [{id: a, uses: task.caption, model: auto}]";
    let checked = check_with(text, &[("tasks/caption.yaml", own)], &[]);
    assert_eq!(checked.bundle.files["tasks/caption.yaml"], own);
    workflow(checked);
    let built_in = check_with(
        b"steps: [{id: a, uses: task.caption, model: auto, with: {image: x}}]",
        &[],
        &[],
    );
    assert!(
        built_in.bundle.files["tasks/caption.yaml"].starts_with("name: caption\n"),
        "it is kept with the run"
    );
}

#[test]
fn a_task_becomes_a_question_to_a_model() {
    let task = mine(
        "name: mine\nversion: 1\ninput:\n  properties:\n    pages: {type: array}\n    q: {type: string, default: all}\n    note: {type: string}\nsystem: 'You read {{ input.q }}.'\ncontent:\n  - for_each: input.pages\n    as: page\n    content:\n      - text: 'Page {{ index + 1 }}'\n      - when: page.text\n        text: '<{{ page.text }}>'\n      - image: '{{ page.images }}'\n  - when: input.note\n    text: '{{ input.note }}'\nprompt: '{{ input.q }}?'\noutput: {type: object, properties: {n: {const: '{{ input.pages | length }}'}}}\nground: input.pages\ntemperature: 0\nmax_tokens: 50\n",
    );
    let file = json!({ "$artifact": format!("sha256:{}", "0".repeat(64)), "media_type": "image/png", "name": "a", "size": 1 });
    let pages = json!([
        { "text": "{{ input.q }}{% raw %}", "images": [file, null] },
        { "text": null, "images": null },
    ]);
    let request = task.request(&json!({ "pages": pages, "note": null, "max_tokens": 9 })).unwrap();
    assert_eq!(
        request,
        json!({
            "system": "You read all.",
            "content": [
                { "text": "Page 1" }, { "text": "<{{ input.q }}{% raw %}>" }, { "image": file },
                { "text": "Page 2" },
                { "text": "all?" },
            ],
            "schema": { "type": "object", "properties": { "n": { "const": 2 } } },
            "ground": pages,
            "temperature": 0,
            "max_tokens": 9,
        })
    );
    for (given, message) in [
        (
            json!({ "pages": 5 }),
            "the input `pages` of `task.mine` is wrong: 5 is not of type \"array\"",
        ),
        (json!({ "pages": [{ "text": "a" }] }), "task `mine`: `page` has no `images`"),
        (
            json!({ "x": 1 }),
            "the input of `task.mine` is wrong: Additional properties are not allowed ('x' was unexpected)",
        ),
    ] {
        let failure = task.request(&given).unwrap_err();
        assert_eq!(
            (failure.message.as_str(), failure.class.as_str()),
            (message, "input"),
            "{given}"
        );
    }
}

#[test]
fn a_file_is_sent_as_what_it_is() {
    let task = mine(
        "name: mine\nversion: 1\ninput: {properties: {f: {x-file: true}}}\ncontent: [{file: '{{ input.f }}'}]\n",
    );
    let artifact = |media: &str| json!({ "$artifact": format!("sha256:{}", "0".repeat(64)), "media_type": media, "name": "a", "size": 1 });
    for (file, key) in [
        (artifact("image/png"), "image"),
        (artifact("application/pdf"), "document"),
        (artifact("text/plain"), "document"),
        (artifact("video/mp4"), "video"),
        (artifact("audio/mpeg"), "audio"),
        (json!("https://a.example/x.PDF?y=z.png"), "document"),
        (json!("https://a.example/x.mp4"), "video"),
        (json!("https://a.example/x"), "image"),
    ] {
        let request = task.request(&json!({ "f": file })).unwrap();
        assert_eq!(request["content"], json!([{ key: file }]));
    }
    assert_eq!(task.request(&json!({ "f": Value::Null })).unwrap()["content"], json!([]));
}

#[test]
fn every_value_must_stand_on_the_page_only_where_there_are_pages_and_data() {
    const MINE: &str =
        "name: mine\nversion: 1\nprompt: x\ninput: {properties: {p: {}}}\nground: input.p\n";
    for (step, expected) in [
        ("uses: task.mine, require_grounded: true, with: {p: [1]}", &[][..]),
        ("uses: model.generate, require_grounded: true, with: {prompt: x, ground: [1]}", &[]),
        (
            "uses: model.generate, require_grounded: true, with: {prompt: x}",
            &[
                "2:66 `require_grounded` needs pages to look for values on; give pages with words: `with: { ground: … }`",
            ],
        ),
        (
            "uses: task.caption, require_grounded: true, with: {image: x}",
            &[
                "2:64 `require_grounded` needs pages to look for values on; give pages with words: `with: { ground: … }`",
            ],
        ),
        (
            "uses: task.mine, require_grounded: 5",
            &["2:61 `require_grounded` is `true` or `false`, and this is a number"],
        ),
    ] {
        assert_eq!(faults(step, MINE), expected, "{step}");
    }
    let other = b"steps: [{id: a, uses: value.set, with: {value: 1}, require_grounded: true}]";
    assert_eq!(
        lines_of(&check_with(other, &[], &[])),
        ["1:70 `require_grounded` is for steps that ask a model for data"]
    );
}
