//! Plugins in workflows, by the real binary: checked, run, recorded, kept apart.

#![cfg(feature = "plugins")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;

use serde_json::{Value, json};
use support::{Output, World};

/// A folder with these guests, and a workflow.
fn world(workflow: &str) -> World {
    let world = World::with(workflow);
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/tests/guests");
    for guest in ["sample.wasm", "parrot.wasm"] {
        std::fs::copy(guests.join(guest), world.path(guest)).unwrap();
    }
    world
}

/// A workflow of one step, whose plugin and input are as written.
fn one(plugin: &str, with: &str) -> String {
    format!(
        "plugins:\n  sample: {plugin}\nsteps:\n  - id: a\n    uses: plugin.sample\n    retry: false\n    \
         with: {with}\noutputs:\n  a: \"{{{{ steps.a.output }}}}\"\n"
    )
}

fn checked(workflow: &str) -> Output {
    world(workflow).flow(&["check", "w.yaml"])
}

/// The first line of what `check` says of a workflow, and its hint.
#[track_caller]
fn faults(workflow: &str) -> Vec<String> {
    let output = checked(workflow).exits(2);
    let told = output.stderr.lines().filter(|line| {
        line.contains("error: ") || line.contains("warning: ") || line.contains("hint: ")
    });
    told.map(|line| line.trim().to_owned()).collect()
}

#[test]
fn a_plugin_is_a_step_like_any_other() {
    let world = world(&one("./sample.wasm", "{ do: echo, text: hello }"));
    world.flow(&["check", "w.yaml"]).exits(0);
    let ran = world.flow(&["run", "w.yaml", "--json"]).exits(0).json();
    assert_eq!(ran["outputs"]["a"], json!({ "echo": "hello", "greeting": null }));
    let run = ran["run"].as_str().unwrap();
    let shown = world.flow(&["show", run, "--step", "a", "--json"]).exits(0).json();
    let record = &shown["attempts"][0]["plugin"];
    assert_eq!(record["plugin"], "sample@1.0.0");
    assert_eq!(record["granted"]["may"], json!({}));
    assert!(record["used"]["memory"].as_u64().unwrap() >= 1 << 16, "{record:#}");
    assert_eq!(shown["meta"]["plugin"]["sha256"], record["sha256"]);
    assert_eq!(shown["attempts"][0]["provider"], Value::Null);
    let people = world.flow(&["show", run, "--step", "a"]).exits(0).stdout;
    assert!(people.contains("plugin sample@1.0.0 ("), "{people}");
    assert!(people.contains("granted nothing but to compute"), "{people}");
    let logs = world.flow(&["logs", run]).exits(0).stdout;
    assert!(logs.contains("info: done"), "{logs}");
}

#[test]
fn its_input_is_checked_before_anything_runs() {
    assert_eq!(
        faults(&one("./sample.wasm", "{ do: dance, txet: hello }")),
        [
            "w.yaml:7:17: error: `do` is wrong: \"dance\" is not one of \"echo\", \"sum\" or 6 other candidates",
            "w.yaml:7:24: error: `plugin.sample` takes no `txet`",
            "hint: did you mean `text`?",
        ]
    );
    assert_eq!(
        faults(&one("./sample.wasm", "{ text: hello }")),
        ["w.yaml:5:11: error: `plugin.sample` needs `with: { do: … }`"]
    );
    let behind =
        one("./sample.wasm", "{ do: echo }").replace("steps.a.output", "steps.a.output[0]");
    checked(&behind).exits(0);
}

#[test]
fn what_is_wrong_with_a_plugin_is_said_where_it_is_named() {
    let with = "{ do: echo }";
    for (plugin, told) in [
        (
            "./missing.wasm",
            vec![
                "w.yaml:2:11: error: plugin `sample`: cannot read `./missing.wasm`: there is no such file",
            ],
        ),
        (
            "./w.yaml",
            vec![
                "w.yaml:2:11: error: plugin `sample`: `./w.yaml`: a manifest has no key `plugins`",
                "hint: did you mean `plugin`?",
            ],
        ),
        (
            "{ path: ./sample.wasm, grant: { htp: [] } }",
            vec!["w.yaml:2:43: error: `grant` has no key `htp`", "hint: did you mean `http`?"],
        ),
        (
            "{ path: ./sample.wasm, limits: { memory: 1 } , grant: { models: { names: [reader] } } }",
            vec![
                "w.yaml:2:67: error: there is no model `reader`",
                "hint: grant names of `models:`",
            ],
        ),
        (
            "{ path: ./sample.wasm, config: { greting: hi } }",
            vec![
                "w.yaml:2:34: error: the setting is wrong: Additional properties are not allowed ('greting' was unexpected)",
            ],
        ),
        (
            "{ path: ./sample.wasm, config: { greeting: \"{{ inputs.x }}\" } }",
            vec![
                "w.yaml:2:42: error: `config` of a plugin cannot be computed",
                "hint: pass what is computed by `with`",
            ],
        ),
        (
            "{ path: ./sample.wasm, use: a@1 }",
            vec!["w.yaml:2:39: error: a plugin has `path` or `use`, not both"],
        ),
        (
            "{ use: sample@1.0.0 }",
            vec![
                "w.yaml:2:13: error: plugin `sample@1.0.0` is not installed",
                "hint: `flow plugin ls` says which are, `flow plugin install` installs one",
            ],
        ),
        (
            "{}",
            vec![
                "w.yaml:2:11: error: a plugin has a `path`, or a `use`",
                "hint: e.g. `path: ./totals.wasm`",
            ],
        ),
        (
            "./parrot.wasm",
            vec![
                "w.yaml:5:11: error: plugin `sample` is no step",
                "hint: ask it for a model: `model: sample/MODEL`",
            ],
        ),
    ] {
        let told_now = faults(&one(plugin, with));
        let told_now: Vec<_> = told_now.iter().map(|line| strip_folder(line)).collect();
        assert_eq!(told_now, told, "{plugin}");
    }
}

/// A line without the folder of the test.
fn strip_folder(line: &str) -> String {
    let Some(at) = line.find('`').and_then(|_| line.find("/tmp/")) else { return line.to_owned() };
    let end = line[at..].find("/work/").map(|end| at + end + "/work/".len());
    end.map_or_else(|| line.to_owned(), |end| format!("{}{}", &line[..at], &line[end..]))
}

#[test]
fn a_plugin_that_nobody_named_says_how() {
    let workflow = "steps:\n  - id: a\n    uses: plugin.check-totals\n";
    assert_eq!(
        faults(workflow),
        [
            "w.yaml:3:11: error: there is no plugin `check-totals`",
            "hint: name it under `plugins:`, e.g. `plugins: { check-totals: ./check-totals.wasm }`",
        ]
    );
    let unused = "plugins: { sample: ./sample.wasm }\nsteps:\n  - { id: a, uses: value.set, with: { value: 1 } }\n";
    let told = checked(unused).exits(0).stderr;
    assert!(told.contains("warning: plugin `sample` is not used"), "{told}");
}

#[test]
fn settings_and_files_reach_it_and_files_come_back() {
    let world = world(&one("{ path: ./sample.wasm, config: { greeting: hi } }", "{ do: echo }"));
    let ran = world.flow(&["run", "w.yaml", "--json"]).exits(0).json();
    assert_eq!(ran["outputs"]["a"]["greeting"], "hi");

    world.write("data.txt", "abc");
    world.write("w.yaml", &one("./sample.wasm", "{ do: sum, file: data.txt }"));
    let ran = world.flow(&["run", "w.yaml", "--json"]).exits(0).json();
    assert_eq!(ran["outputs"]["a"], json!({ "sum": 294 }));

    world.write("w.yaml", &one("./sample.wasm", "{ do: write, text: made }"));
    let ran = world.flow(&["run", "w.yaml", "--json"]).exits(0).json();
    let file = &ran["outputs"]["a"]["file"];
    assert_eq!((file["name"].as_str(), file["size"].as_u64()), (Some("made.txt"), Some(4)));
}

#[test]
fn a_panic_is_told_with_its_message() {
    let world = world(&one("./sample.wasm", "{ do: panic }"));
    let told = world.flow(&["run", "w.yaml"]).exits(1).stderr;
    assert!(
        told.contains("plugin `sample`: it stopped with `wasm `unreachable` instruction executed`: panicked at"),
        "{told}"
    );
    assert!(told.contains("there is no total"), "{told}");
    assert!(told.contains("hint: this is a fault of the plugin: tell its author"), "{told}");
}

#[test]
fn a_plugin_that_does_not_end_is_stopped_at_its_deadline() {
    let plugin = "{ path: ./sample.wasm, limits: { deadline: 200ms } }";
    let world = world(&one(plugin, "{ do: spin }"));
    let told = world.flow(&["run", "w.yaml"]).exits(1).stderr;
    assert!(told.contains("plugin `sample`: it did not end within 200ms"), "{told}");
    assert!(told.contains("hint: raise `deadline` under `limits:` of the plugin"), "{told}");
}

/// A server that answers one request, and what that was.
fn serves(answer: &'static str) -> (u16, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = Vec::new();
        let mut piece = [0; 1024];
        while !asked.windows(4).any(|end| end == b"\r\n\r\n") {
            let read = stream.read(&mut piece).unwrap();
            if read == 0 {
                break;
            }
            asked.extend_from_slice(&piece[..read]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8_lossy(&asked).into_owned()
    });
    (port, served)
}

/// The sample with a manifest that asks for a host.
fn asks_for(world: &World, rule: &str) {
    world.write(
        "plugin.yaml",
        &format!(
            "plugin: {{ name: sample, version: 1.0.0, api: \"flow:plugin@0.1.0\" }}\n\
             capabilities:\n  http: [{rule}]\n  models: {{ names: [\"*\"], max_calls: 3 }}\n  kv: {{ max_bytes: 1KiB }}\n"
        ),
    );
}

#[test]
fn a_host_is_asked_that_both_sides_name_and_a_secret_stays_with_flow() {
    let (port, served) = serves("HTTP/1.1 200 OK\r\ncontent-length: 19\r\n\r\nyou said Bearer xyz");
    let rule = format!(
        "{{ host: \"127.0.0.1:{port}\", private: true, secret_header: {{ Authorization: Bearer KEY }} }}"
    );
    let plugin = format!("{{ path: ./sample.wasm, grant: {{ http: [{rule}] }} }}");
    let world =
        world(&one(&plugin, &format!("{{ do: fetch, url: \"http://127.0.0.1:{port}/x\" }}")));
    asks_for(&world, &rule);
    let mut command = world.command(&["run", "w.yaml", "--json"]);
    let ran = support::run(command.env("KEY", "xyz-secret")).exits(0).json();
    let asked = served.join().unwrap();
    assert!(asked.starts_with("GET /x HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("authorization: Bearer xyz-secret"), "{asked}");
    assert_eq!(ran["outputs"]["a"]["got"], "200 you said Bearer xyz");
    let run = ran["run"].as_str().unwrap();
    let shown = world.flow(&["show", run, "--step", "a", "--json"]).exits(0).json();
    assert_eq!(shown["attempts"][0]["plugin"]["used"]["requests"], 1);
}

#[test]
fn a_host_that_was_not_granted_is_not_asked_and_the_yaml_is_printed() {
    let world = world(&one("./sample.wasm", "{ do: fetch, url: \"https://api.example.com/\" }"));
    let told = world.flow(&["run", "w.yaml"]).exits(1).stderr;
    assert!(told.contains("plugin `sample` may not send GET to `api.example.com`"), "{told}");
    for line in [
        "plugins:",
        "  sample:",
        "    grant:",
        "http: [{ host: \"api.example.com\", methods: [GET] }]",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
}

#[test]
fn addresses_of_this_machine_are_refused_unless_the_owner_allows_them() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let rule = format!("{{ host: \"127.0.0.1:{port}\" }}");
    let plugin = format!("{{ path: ./sample.wasm, grant: {{ http: [{rule}] }} }}");
    let world =
        world(&one(&plugin, &format!("{{ do: fetch, url: \"http://127.0.0.1:{port}/\" }}")));
    asks_for(&world, &rule);
    let told = world.flow(&["run", "w.yaml"]).exits(1).stderr;
    assert!(told.contains("`127.0.0.1` is no public address"), "{told}");
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "nobody came");
}

#[test]
fn a_redirect_is_not_followed() {
    let (port, served) = serves(
        "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n",
    );
    let rule = format!("{{ host: \"127.0.0.1:{port}\", private: true }}");
    let plugin = format!("{{ path: ./sample.wasm, grant: {{ http: [{rule}] }} }}");
    let world =
        world(&one(&plugin, &format!("{{ do: fetch, url: \"http://127.0.0.1:{port}/\" }}")));
    asks_for(&world, &rule);
    let ran = world.flow(&["run", "w.yaml", "--json"]).exits(0).json();
    served.join().unwrap();
    assert_eq!(ran["outputs"]["a"]["got"], "302 ");
}

#[test]
fn a_model_is_asked_under_the_runs_budget_and_its_cost_counts() {
    let workflow = "\
budget: 1.00 USD
providers:
  mine: { type: command, command: [./answer.sh], price: 0.05 USD }
models: { reader: mine/m }
plugins:
  sample:
    path: ./sample.wasm
    grant: { models: { names: [reader], max_calls: 1, max_cost: 0.10 USD } }
steps:
  - id: a
    uses: plugin.sample
    with: { do: ask, model: reader, text: hello }
outputs: { a: \"{{ steps.a.output.said }}\" }
";
    let world = world(workflow);
    let ran = world.flow(&["run", "w.yaml", "--json"]).exits(0).json();
    assert_eq!((&ran["outputs"]["a"], &ran["cost"]), (&json!("HELLO"), &json!(0.05)));
    let dear = workflow.replace("0.05 USD", "0.20 USD");
    world.write("w.yaml", &dear);
    let told = world.flow(&["run", "w.yaml", "--no-cache"]).exits(1).stderr;
    assert!(
        told.contains(
            "a question to `mine/m` may cost 0.20 USD, and 0.10 USD is left of `max_cost`"
        ),
        "{told}"
    );
    let poor = workflow.replace("1.00 USD", "0.02 USD");
    world.write("w.yaml", &poor);
    let told = world.flow(&["run", "w.yaml", "--no-cache"]).exits(4).stderr;
    assert!(told.contains("the call may cost 0.10 USD"), "{told}");
}

#[test]
fn what_it_remembers_is_there_in_the_next_run() {
    let plugin = "{ path: ./sample.wasm, grant: { kv: { max_bytes: 64 } } }";
    let world = world(&one(plugin, "{ do: remember, text: first }"));
    let ran = world.flow(&["run", "w.yaml", "--json"]).exits(0).json();
    assert_eq!(ran["outputs"]["a"], json!({ "before": null }));
    let ran = world.flow(&["run", "w.yaml", "--json"]).exits(0).json();
    assert_eq!(ran["outputs"]["a"], json!({ "before": "first" }));
}

#[test]
fn a_pure_plugin_is_cached_and_another_one_is_not_the_same() {
    let world = world(&one("./sample.wasm", "{ do: echo, text: hello }"));
    let cached = |args: &[&str]| {
        let ran = world.flow(args).exits(0).json();
        ran["steps"]["a"]["meta"]["cached"].as_bool().unwrap()
    };
    let run = ["run", "w.yaml", "--json"];
    assert!(!cached(&run));
    assert!(cached(&run));
    world.write(
        "w.yaml",
        &one("{ path: ./sample.wasm, config: { greeting: x } }", "{ do: echo, text: hello }"),
    );
    assert!(!cached(&run), "other settings are another plugin");
    world.write("w.yaml", &one("./sample.wasm", "{ do: echo, text: hello }"));
    assert!(cached(&run));
    // A custom section changes nothing but the bytes.
    let mut wasm = std::fs::read(world.path("sample.wasm")).unwrap();
    wasm.extend_from_slice(&[0, 5, 4, b'n', b'o', b't', b'e']);
    std::fs::write(world.path("sample.wasm"), wasm).unwrap();
    assert!(!cached(&run), "other bytes are another plugin");
}

#[test]
fn a_run_goes_on_with_the_plugin_that_it_began_with() {
    let workflow = "\
plugins: { sample: ./sample.wasm }
steps:
  - { id: ask, uses: human.approve, with: { show: 1 } }
  - { id: a, uses: plugin.sample, needs: ask, with: { do: echo, text: hello } }
outputs: { a: \"{{ steps.a.output.echo }}\" }
";
    let world = world(workflow);
    world.flow(&["run", "w.yaml", "--json"]).exits(3);
    let run = world.only_run();
    std::fs::remove_file(world.path("sample.wasm")).unwrap();
    world.flow(&["approve", &run]).exits(0);
    let ended = world.flow(&["resume", &run, "--json"]).exits(0).json();
    assert_eq!(ended["outputs"]["a"], "hello");
    let told = world.flow(&["resume", &run, "--from-file", "w.yaml"]).exits(2).stderr;
    assert!(told.contains("there is no such file"), "{told}");
}

#[test]
fn a_provider_plugin_is_a_provider_like_any_other() {
    let workflow = "\
plugins: { parrot: ./parrot.wasm }
models: { mine: parrot/loud }
defaults: { retry: { initial: 1ms } }
steps:
  - { id: a, uses: model.generate, model: mine, with: { prompt: \"hello there\" } }
  - { id: again, uses: model.generate, model: parrot/plain, with: { prompt: later } }
  - id: data
    uses: model.generate
    model: parrot/plain
    with:
      prompt: '{\"total\": 12}'
      schema: { type: object, properties: { total: { type: integer } }, required: [total] }
outputs:
  a: \"{{ steps.a.output }}\"
  again: \"{{ steps.again.output }}\"
  total: \"{{ steps.data.output.total }}\"
";
    let world = world(workflow);
    let ran = world.flow(&["run", "w.yaml", "--json"]).exits(0).json();
    assert_eq!(ran["outputs"], json!({ "a": "HELLO THERE", "again": "later", "total": 12 }));
    let run = ran["run"].as_str().unwrap();
    let shown = world.flow(&["show", run, "--step", "again", "--json"]).exits(0).json();
    let attempts = shown["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "it slept once, and was asked again: {shown:#}");
    assert_eq!(attempts[0]["error"]["class"], "overloaded");
    assert_eq!(
        (&attempts[1]["provider"], &attempts[1]["model"]),
        (&json!("parrot"), &json!("plain"))
    );
    assert_eq!(attempts[1]["plugin"]["plugin"], "parrot@0.3.0");
    assert_eq!(attempts[1]["input_tokens"], 3);
}

#[test]
fn a_provider_plugin_may_have_another_name_and_a_price() {
    let workflow = "\
budget: 0.05 USD
plugins: { parrot: ./parrot.wasm }
providers: { mine: { type: plugin, plugin: parrot, price: 0.02 USD } }
steps:
  - { id: a, uses: model.generate, model: mine/loud, with: { prompt: hello } }
outputs: { a: \"{{ steps.a.output }}\" }
";
    let world = world(workflow);
    let ran = world.flow(&["run", "w.yaml", "--json"]).exits(0).json();
    assert_eq!((&ran["outputs"]["a"], &ran["cost"]), (&json!("HELLO"), &json!(0.02)));
    assert_eq!(
        faults(&workflow.replace("plugin: parrot,", "plugin: parot,")),
        [
            "w.yaml:2:12: warning: plugin `parrot` is not used",
            "w.yaml:3:44: error: there is no plugin `parot`",
            "hint: did you mean `parrot`?",
            "w.yaml:5:43: error: there is no provider `mine`",
            "hint: name it under `providers:` with its `type`"
        ]
    );
}

#[test]
fn a_step_that_asks_a_step_for_a_model_is_told() {
    let workflow = "\
plugins: { sample: ./sample.wasm }
steps:
  - { id: a, uses: model.generate, model: sample/loud, with: { prompt: hello } }
";
    assert_eq!(
        faults(workflow),
        [
            "w.yaml:3:43: error: plugin `sample` serves no models",
            "hint: use it as a step: `uses: plugin.sample`"
        ]
    );
}
