//! Faults of everything but steps: each file, and its exact faults.

use crate::support::{Row, check_rows};

#[test]
fn each_fault_is_told_where_it_stands_and_what_to_do() {
    check_rows(ROWS);
}

const ROWS: &[Row] = &[
    (
        "a key of a workflow that is misspelt",
        "STEPS
nmae: x",
        &[
            "2:1 a workflow has no key `nmae`; did you mean `name`?",
        ],
    ),
    (
        "a key of a workflow that is like no other",
        "STEPS
zzzzzzzzz: x",
        &[
            "2:1 a workflow has no key `zzzzzzzzz`; known are: flow, name, description, inputs, providers, models, plugins, defaults, budget, concurrency, triggers, keep, steps, on_failure, finally, outputs",
        ],
    ),
    (
        "plugins that are not built in, and a time that is none",
        "STEPS
plugins: {}
keep: long",
        &[
            "2:1 this flow was built without plugins; get one with them: build it with the feature `plugins`",
            "3:7 `keep`: `long` is not a duration such as `30s`, `5m` or `1h30m`",
        ],
    ),
    (
        "a name that is a list",
        "STEPS
name: [1]",
        &[
            "2:7 `name` is text, and this is a list",
        ],
    ),
    (
        "a description that is a number",
        "STEPS
description: 5",
        &[
            "2:14 `description` is text, and this is a number; put quotes around it",
        ],
    ),
    (
        "a version that is not known",
        "flow: 2
STEPS",
        &[
            "1:7 version 2 of the language is not known; write `flow: 1`, or leave it out",
        ],
    ),
    (
        "a workflow that is a list",
        "[1, 2]",
        &[
            "1:1 a workflow is a map, and this is a list",
        ],
    ),
    (
        "a workflow without steps",
        "name: x",
        &[
            "1:1 `steps` is missing; a workflow has at least one step",
        ],
    ),
    (
        "a workflow whose steps are empty",
        "steps: []",
        &[
            "1:8 `steps` is empty; a workflow has at least one step",
        ],
    ),
    (
        "steps that are a map",
        "steps: {a: 1}",
        &[
            "1:8 `steps` is a list, and this is a map",
        ],
    ),
    (
        "a step that is text",
        "steps: [a]",
        &[
            "1:9 a step is a map, and this is text",
        ],
    ),
    (
        "inputs that are a list",
        "STEPS
inputs: [a]",
        &[
            "2:9 `inputs` is a map, and this is a list",
        ],
    ),
    (
        "an input whose name no expression can spell",
        "STEPS
inputs: {a-b: string}",
        &[
            "2:10 `a-b` cannot name an input; use letters, digits and `_`",
        ],
    ),
    (
        "an input without a type",
        "STEPS
inputs: {a: {description: x}}",
        &[
            "2:13 input `a` has no `type`; types are: string, integer, number, boolean, file, files, array, object, json",
        ],
    ),
    (
        "an input of a type that is misspelt",
        "STEPS
inputs: {a: {type: strng}}",
        &[
            "2:20 there is no type `strng`; did you mean `string`?",
        ],
    ),
    (
        "an input of a type that is like no other",
        "STEPS
inputs: {a: wxyz}",
        &[
            "2:13 there is no type `wxyz`; types are: string, integer, number, boolean, file, files, array, object, json",
        ],
    ),
    (
        "an input whose default does not fit",
        r#"inputs: {n: {type: integer, default: many}}
steps: [{id: a, uses: value.set, with: {value: "{{ inputs.n }}"}}]"#,
        &[
            "1:38 the default of input `n` must be a whole number, and `many` is not",
        ],
    ),
    (
        "an input whose default is none of its choices",
        r#"inputs: {n: {type: string, enum: [a, b], default: c}}
steps: [{id: a, uses: value.set, with: {value: "{{ inputs.n }}"}}]"#,
        &[
            "1:51 the default of input `n` must be one of a, b, and `c` is not",
        ],
    ),
    (
        "an input whose schema is none",
        r#"inputs: {n: {type: object, schema: {type: nothing}}}
steps: [{id: a, uses: value.set, with: {value: "{{ inputs.n }}"}}]"#,
        &[
            r#"1:36 the schema is not a JSON Schema: "nothing" is not valid under any of the schemas listed in the 'anyOf' keyword; see json-schema.org for what a schema may say"#,
        ],
    ),
    (
        "an input with keys of another type",
        r#"inputs: {n: {type: integer, media: image/*, enum: [a], schema: {}}}
steps: [{id: a, uses: value.set, with: {value: "{{ inputs.n }}"}}]"#,
        &[
            "1:29 `media` is for an input of type `file` or `files`",
            "1:45 `enum` is for an input of type `string`",
            "1:56 `schema` is for an input of type `object` or `json`",
        ],
    ),
    (
        "an input that nothing refers to",
        "inputs: {n: integer}
STEPS",
        &[
            "1:10 warning input `n` is not used; remove it, or refer to it by `inputs.NAME`",
        ],
    ),
    (
        "media that are a number",
        r#"inputs: {n: {type: file, media: [5]}}
steps: [{id: a, uses: value.set, with: {value: "{{ inputs.n }}"}}]"#,
        &[
            "1:34 an element of `media` is text, and this is a number; put quotes around it",
        ],
    ),
    (
        "a provider of a kind that is misspelt",
        "STEPS
providers: {mine: {type: comand, command: [a]}}",
        &[
            "2:26 there is no kind of provider `comand`; did you mean `command`?",
        ],
    ),
    (
        "a provider of a kind that is like no other",
        "STEPS
providers: {mine: {type: telepathy}}",
        &[
            "2:26 there is no kind of provider `telepathy`; set `type` to one of: command",
        ],
    ),
    (
        "a provider that is text",
        "STEPS
providers: {mine: command}",
        &[
            "2:19 a provider is a map, and this is text",
        ],
    ),
    (
        "a provider that refers to an input",
        r#"STEPS
providers: {mine: {type: command, command: ["{{ inputs.program }}"]}}"#,
        &[
            "2:44 settings of a provider cannot refer to `inputs.program`; only `secrets.NAME` has a value there",
        ],
    ),
    (
        "a program without its command",
        "STEPS
providers: {mine: {type: command, prise: 1 USD}}",
        &[
            "2:19 the provider has no `command`; e.g. `command: [python3, answer.py]`",
            "2:35 a provider of type `command` has no key `prise`; did you mean `price`?",
        ],
    ),
    (
        "a program whose command and price are wrong",
        "STEPS
providers: {mine: {type: command, command: [], price: 5}}",
        &[
            "2:44 `command` is a list: the program and its arguments",
            "2:55 `price`: `5` is not an amount of money such as `0.50 USD`",
        ],
    ),
    (
        "a program with an argument that is a number",
        "STEPS
providers: {mine: {type: command, command: [sleep, 5]}}",
        &[
            "2:52 an element of `command` is text, and this is a number; put quotes around it",
        ],
    ),
    (
        "a provider whose type is a number",
        "STEPS
providers: {mine: {type: 5}}",
        &[
            "2:26 `type` is text, and this is a number; put quotes around it",
        ],
    ),
    (
        "a model of a provider that there is not",
        "STEPS
models: {a: nobody/m}",
        &[
            "2:13 there is no provider `nobody`; name it under `providers:` with its `type`",
        ],
    ),
    (
        "a model that names another",
        "STEPS
models: {a: auto, b: a}",
        &[
            "2:22 there is no model `a`; name it under `models:`, or write `provider/model`",
        ],
    ),
    (
        "a model that names no model",
        "STEPS
providers: {mine: {type: command, command: [a]}}
models: {a: mine/}",
        &[
            "3:13 `mine/` names no model",
        ],
    ),
    (
        "a model of a program without settings",
        "STEPS
models: {a: command/m}",
        &[
            "2:13 provider `command` needs settings; name it under `providers:` with its `command`",
        ],
    ),
    (
        "a model that is a number",
        "STEPS
models: {a: 5}",
        &[
            "2:13 a model is `provider/model`, and this is a number",
        ],
    ),
    (
        "a chain of no model",
        "STEPS
models: {a: []}",
        &[
            "2:13 a chain of models needs at least one",
        ],
    ),
    (
        "a model without provider, one without model, one with a key too many",
        "STEPS
providers: {mine: {type: command, command: [a]}}
models: {a: {model: m}, b: {provider: mine}, c: {provider: mine, model: m, pth: x}}",
        &[
            "3:13 a model has a `provider`",
            "3:28 a model has a `model` or a `path`",
            "3:76 a model has no key `pth`; did you mean `path`?",
        ],
    ),
    (
        "a chain that is too long",
        "STEPS
models: {a: [auto, auto, auto, auto, auto, auto, auto, auto, auto, auto, auto, auto, auto, auto, auto, auto, auto, auto, auto, auto, auto, auto, auto, auto, auto, auto, auto, auto, auto, auto, auto, auto, auto]}",
        &[
            "2:13 a chain has at most 32 models, and this has 33",
        ],
    ),
    (
        "a timeout without a unit",
        "STEPS
defaults: {timeout: 5}",
        &[
            "2:21 `timeout`: `5` is not a duration such as `30s`, `5m` or `1h30m`",
        ],
    ),
    (
        "a timeout that is a list",
        "STEPS
defaults: {timeout: [5]}",
        &[
            "2:21 `timeout`: `a list` is not a duration such as `30s`, `5m` or `1h30m`",
        ],
    ),
    (
        "defaults that are text",
        "STEPS
defaults: none",
        &[
            "2:11 `defaults` is a map, and this is text",
        ],
    ),
    (
        "a default model that there is not",
        "STEPS
defaults: {model: reader}",
        &[
            "2:19 there is no model `reader`; name it under `models:`, or write `provider/model`",
        ],
    ),
    (
        "a retry that is misspelt in every way",
        "STEPS
defaults:
  retry: {attempts: 0, backoff: linear, initial: soon, max: 1, jitter: 2, on: [rate_limt, zzzz, 5], tries: 1}",
        &[
            "3:21 `attempts` is a whole number from 1 on",
            "3:33 `backoff` is one of `exponential`, `constant`",
            "3:50 `initial`: `soon` is not a duration such as `30s`, `5m` or `1h30m`",
            "3:61 `max`: `1` is not a duration such as `30s`, `5m` or `1h30m`",
            "3:72 `jitter` is a number from 0 to 1",
            "3:80 there is no class of errors `rate_limt`; did you mean `rate_limit`?",
            "3:91 there is no class of errors `zzzz`; classes are: rate_limit, quota, overloaded, timeout, connection, server, auth, bad_request, not_found, too_large, refusal, content_filter, truncated, empty, invalid_output, budget, input, io, limit, plugin, cancelled, internal",
            "3:97 a class of errors is text, and this is a number; put quotes around it",
            "3:101 `retry` has no key `tries`; known are: attempts, backoff, initial, max, jitter, on",
        ],
    ),
    (
        "a retry that is text",
        "STEPS
defaults: {retry: never}",
        &[
            "2:19 `retry` is a map, and this is text",
        ],
    ),
    (
        "a word for a lost call that there is not",
        "STEPS
defaults: {on_lost: retry}",
        &[
            "2:21 `on_lost` is one of `resend`, `ask`, `fail`",
        ],
    ),
    (
        "a budget in another currency",
        "STEPS
budget: 1 EUR",
        &[
            "2:9 `budget`: `1 EUR` is not an amount of money such as `0.50 USD`",
        ],
    ),
    (
        "a budget without a cost",
        "STEPS
budget: {allow_unknown: true}",
        &[
            "2:9 `budget` has no `cost`; e.g. `cost: 0.50 USD`",
        ],
    ),
    (
        "a budget with text for a boolean",
        r#"STEPS
budget: {cost: 1 USD, allow_unknown: "yes"}"#,
        &[
            "2:38 `allow_unknown` is `true` or `false`, and this is text",
        ],
    ),
    (
        "a concurrency of nothing",
        "STEPS
concurrency: 0",
        &[
            "2:14 `concurrency` is a whole number from 1 on",
        ],
    ),
    (
        "triggers that are a map",
        "STEPS
triggers: {schedule: 0 2 * * *}",
        &[
            "2:11 `triggers` is a list, and this is a map",
        ],
    ),
    (
        "a trigger that is none",
        "STEPS
triggers: [{every: 5m}, {schedule: }, 5]",
        &[
            "2:12 this is no trigger; a trigger has `schedule`, `watch`, `webhook` or `after`",
            "2:25 this is no trigger; a trigger has `schedule`, `watch`, `webhook` or `after`",
            "2:39 a trigger is a map, and this is a number",
        ],
    ),
    (
        "schedules that never tick",
        r#"STEPS
triggers:
  - schedule: "61 * * * *"
  - schedule: "* * *"
  - schedule: "@every soon"
  - schedule: 5"#,
        &[
            "3:15 `61 * * * *` is no schedule: `61` is no minute (0 to 59); e.g. `0 2 * * *` for two at night",
            "4:15 `* * *` is no schedule: it has 3 fields, and 5 or 6 are needed; e.g. `0 2 * * *` for two at night",
            "5:15 `schedule`: `soon` is not a duration such as `30s`, `5m` or `1h30m`",
            "6:15 `schedule` is text, and this is a number; put quotes around it",
        ],
    ),
    (
        "a schedule whose other keys are wrong",
        r#"STEPS
triggers: [{schedule: "0 2 * * *", timezone: Europe/Berlinn, catch_up: some, overlap: wait, jitter: 5}]"#,
        &[
            "2:46 there is no time zone `Europe/Berlinn`; e.g. `Europe/Berlin`",
            "2:72 `catch_up` is one of `all`, `latest`, `none`",
            "2:87 `overlap` is one of `skip`, `queue`, `cancel`",
            "2:101 `jitter`: `5` is not a duration such as `30s`, `5m` or `1h30m`",
        ],
    ),
    (
        "a schedule that gives inputs that do not fit",
        r#"inputs: {n: integer, file: file}
steps: [{id: a, uses: value.set, with: {value: "{{ [inputs.n, inputs.file] }}"}}]
triggers: [{schedule: "@every 5m", inputs: {n: many, m: 5}}]"#,
        &[
            "3:12 the trigger gives no input `file`; give it under `inputs`, or give the input a `default`",
            "3:48 input `n` must be a whole number, and `many` is not",
            "3:54 there is no input `m`; did you mean `n`?",
        ],
    ),
    (
        "a watch without an input, one with an unknown input, one for a number",
        r#"inputs: {n: integer, file: file}
steps: [{id: a, uses: value.set, with: {value: "{{ [inputs.n, inputs.file] }}"}}]
triggers: [{watch: in/*.pdf}, {watch: in/*.pdf, input: fil, inputs: {n: 1, file: x}}, {watch: "in/[", input: n, inputs: {file: x}}]"#,
        &[
            "3:12 a folder watch names the `input` that takes the file",
            "3:56 there is no input `fil`; did you mean `file`?",
            "3:95 `in/[` is no file pattern: invalid range pattern",
            "3:110 a watched file is for an input of type `file`, and `n` is not",
        ],
    ),
    (
        "a webhook at no path",
        r#"STEPS
triggers: [{webhook: invoices, secret: "{{ secrets.A }}"}]"#,
        &[
            "2:12 `webhook: invoices` must begin with `/`",
        ],
    ),
    (
        "webhooks that anybody may call, with two proofs, and with a secret in the file",
        r#"STEPS
triggers:
  - webhook: /a
  - {webhook: /b, secret: "{{ secrets.A }}", hmac: "{{ secrets.B }}"}
  - {webhook: /c, hmac: topsecret}"#,
        &[
            "3:5 a webhook without a `secret` would start for anybody; add `secret: \"{{ secrets.NAME }}\"`, or `hmac` for signed bodies",
            "4:52 a webhook has a `secret` or an `hmac`, not both",
            "5:25 the secret of a webhook is named, not written down; write it as `\"{{ secrets.NAME }}\"`",
        ],
    ),
    (
        "a webhook for a file, and one whose inputs are not all there and refer to a step",
        r#"inputs: {n: integer, file: file}
steps: [{id: a, uses: value.set, with: {value: "{{ [inputs.n, inputs.file] }}"}}]
triggers: [{webhook: /a, secret: "{{ secrets.A }}", inputs: {file: "{{ steps.a }}"}}]"#,
        &[
            "3:12 the trigger gives no input `n`; give it under `inputs`, or give the input a `default`",
            "3:12 a webhook brings no file, and input `file` is one; give it `required: false`",
            "3:61 the inputs of a trigger cannot refer to `steps.a`; they know: body, headers, query",
        ],
    ),
    (
        "a workflow after itself",
        r"name: loop
steps: [{id: a, uses: value.set, with: {value: 1}}]
triggers: [{after: loop}]",
        &[
            "3:12 `loop` would run after itself without end",
        ],
    ),
    (
        "ticks that are too close",
        r#"STEPS
triggers: [{schedule: "@every 10ms"}]"#,
        &[
            "2:23 `schedule`: ticks are a second apart at least; e.g. `@every 15m`",
        ],
    ),
    (
        "a trigger after an ending that there is not",
        "STEPS
triggers: [{after: other, status: [succeded, zzzzz]}]",
        &[
            "2:35 no run ends as `succeded`; did you mean `succeeded`?",
            "2:35 no run ends as `zzzzz`; a run ends as: succeeded, failed, cancelled",
        ],
    ),
];
