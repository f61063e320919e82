//! Grants by intersection, and the words for what is missing.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn capabilities(value: &Value) -> Capabilities {
    Capabilities::read(value, "grant").unwrap()
}

#[test]
fn what_counts_is_asked_for_and_granted() {
    let asked = capabilities(&json!({
        "http": [{ "host": "a.example.com", "methods": ["GET", "POST"],
                   "secret_header": { "Authorization": "Bearer KEY" } },
                 { "host": "b.example.com" }],
        "models": { "names": ["reader", "writer"], "max_calls": 5, "max_cost": "1.00 USD" },
    }));
    let granted = capabilities(&json!({
        "http": [{ "host": "a.example.com", "methods": ["POST", "DELETE"], "private": true,
                   "secret_header": { "authorization": "Bearer KEY", "X-Other": "OTHER" } },
                 { "host": "c.example.com" }],
        "models": { "names": ["reader"], "max_calls": 50, "max_cost": "0.10 USD" },
        "kv": { "max_bytes": "1MiB" },
        "dirs": [{ "path": "rules" }],
    }));
    assert_eq!(
        asked.and(&granted).to_json(),
        json!({
            "http": [{ "host": "a.example.com", "methods": ["POST"],
                       "secret_header": { "authorization": "Bearer KEY" } }],
            "models": { "names": ["reader"], "max_calls": 5, "max_cost": "0.10 USD" },
        })
    );
}

#[test]
fn of_folders_the_inner_one_may_be_read() {
    let folders = |paths: &[&str]| {
        let rules: Vec<_> =
            paths.iter().map(|path| json!({ "path": path, "mode": "ro" })).collect();
        capabilities(&json!({ "dirs": rules }))
    };
    let both = folders(&["./rules", "data"]).and(&folders(&["rules/tax", "data-2", "other"]));
    assert_eq!(both, folders(&["rules/tax"]));
    assert!(!both.is_empty());
}

#[test]
fn what_cannot_be_granted_says_so() {
    for (value, message) in [
        (json!([]), "`grant` is a map"),
        (json!({ "htp": [] }), "`grant` has no key `htp`"),
        (json!({ "dirs": [{ "path": "." }] }), "`path`: `.` is the workflow's whole folder"),
        (json!({ "dirs": [{}] }), "an element of `dirs` has a `path`"),
        (
            json!({ "dirs": [{ "path": "../x" }] }),
            "`path`: `../x` is not within the workflow's folder",
        ),
        (
            json!({ "dirs": [{ "path": "/etc" }] }),
            "`path`: `/etc` is not within the workflow's folder",
        ),
        (
            json!({ "dirs": [{ "path": "a/.flow" }] }),
            "`path`: `a/.flow` is hidden, and cannot be granted",
        ),
        (json!({ "dirs": [{ "path": "a", "mode": "rw" }] }), "`mode` is `ro`"),
        (json!({ "http": {} }), "`http` is a list"),
        (json!({ "http": [{}] }), "an element of `http` has a `host`"),
        (json!({ "http": [{ "host": "a b" }] }), "`host`: `a b` is no host"),
        (json!({ "http": [{ "host": "*.example.com" }] }), "`host`: `*.example.com` is no host"),
        (
            json!({ "http": [{ "host": "a", "methods": ["CONNECT"] }] }),
            "`methods`: `CONNECT` cannot be granted",
        ),
        (json!({ "http": [{ "host": "a", "methods": [] }] }), "`methods` is empty"),
        (
            json!({ "http": [{ "host": "a", "secret_header": { "x": "se-cret!" } }] }),
            "`secret_header`: `x` names a secret, and not its value",
        ),
        (json!({ "models": {} }), "`models` has `names`"),
        (
            json!({ "models": { "names": ["a"], "max_calls": 0 } }),
            "`max_calls` is a whole number from 1 to 1000",
        ),
        (
            json!({ "models": { "names": ["a"], "max_cost": "much" } }),
            "`max_cost`: `much` is not an amount of money such as `0.50 USD`",
        ),
        (json!({ "kv": {} }), "`kv` has `max_bytes`"),
        (
            json!({ "kv": { "max_bytes": "1 EB" } }),
            "`max_bytes`: `1 EB` is not a size such as `10MB` or `1GiB`",
        ),
    ] {
        assert_eq!(
            Capabilities::read(&value, "grant").unwrap_err().to_string(),
            message,
            "{value}"
        );
    }
}

#[test]
fn limits_are_bounded_on_both_sides() {
    let read = |value: Value| Limits::read(&value, Limits::USUAL);
    let limits = read(json!({ "memory": "64MiB", "deadline": "5s" })).unwrap();
    assert_eq!((limits.memory, limits.deadline.as_secs()), (64 << 20, 5));
    assert_eq!((limits.output, limits.log), (Limits::USUAL.output, Limits::USUAL.log));
    for (value, message) in [
        (json!({ "memory": 0 }), "`memory` is more than nothing"),
        (json!({ "memory": "8GiB" }), "`memory` is at most 4294967296 bytes"),
        (json!({ "memory": true }), "`memory` is a size such as `16MiB`"),
        (json!({ "deadline": "0s" }), "`deadline` is more than nothing and at most 3600s"),
        (json!({ "deadline": "2h" }), "`deadline` is more than nothing and at most 3600s"),
        (json!({ "cpu": 1 }), "`limits` has no key `cpu`"),
    ] {
        assert_eq!(read(value).unwrap_err().to_string(), message);
    }
}

#[test]
fn a_manifest_cannot_raise_what_the_workflow_leaves_open() {
    let wanted = Limits { memory: 4 << 30, ..Limits::USUAL };
    let nothing = Capabilities::default();
    let silent = Granted::of("p", nothing.clone(), &nothing, wanted, None);
    assert_eq!(silent.limits.memory, Limits::USUAL.memory);
    let allowed = Granted::of("p", nothing.clone(), &nothing, wanted, Some(wanted));
    assert_eq!(allowed.limits.memory, 4 << 30);
}

#[test]
fn a_denial_prints_the_yaml_to_add() {
    let target = Target::of("https://api.example.com/v1").unwrap();
    let nothing = Granted::nothing("parse");
    let denial = Denial::http(&nothing, &target, "POST");
    assert_eq!(denial.to_string(), "plugin `parse` may not send POST to `api.example.com`");
    assert_eq!(
        denial.hint().unwrap(),
        "the plugin does not ask for it: in its plugin.yaml:\n\
         capabilities:\n  http: [{ host: \"api.example.com\", methods: [POST] }]\n\
         and in the workflow:\nplugins:\n  parse:\n    grant:\n      \
         http: [{ host: \"api.example.com\", methods: [POST] }]"
    );
    let asked =
        capabilities(&json!({ "http": [{ "host": "api.example.com", "methods": ["POST"] }] }));
    let asking = Granted { asked, ..nothing };
    assert_eq!(
        Denial::http(&asking, &target, "POST").hint().unwrap(),
        "grant it in the workflow:\nplugins:\n  parse:\n    grant:\n      \
         http: [{ host: \"api.example.com\", methods: [POST] }]"
    );
}

#[test]
fn a_manifest_says_what_is_wrong_with_it() {
    for (text, message) in [
        ("", "a manifest is a map"),
        ("plugin: 1", "a manifest has a map `plugin`"),
        ("plugin: { version: 1.0.0 }", "`plugin` has a `name`"),
        ("plugin: { name: Parse, version: 1.0.0 }", "`Parse` cannot name a plugin"),
        ("plugin: { name: parse }", "`plugin` has a `version`"),
        (
            "plugin: { name: parse, version: 1.0.0, file: ../x.wasm }",
            "`file` is a file beside the manifest",
        ),
        (
            "plugin: { name: parse, version: 1.0.0, sha256: abc }",
            "`sha256` is 64 hexadecimal digits",
        ),
        (
            "plugin: { name: parse, version: 1.0.0 }\ncapabilites: {}",
            "a manifest has no key `capabilites`",
        ),
        (
            "plugin: { name: parse, version: 1.0.0 }\ncapabilities: { kv: {} }",
            "`kv` has `max_bytes`",
        ),
    ] {
        assert_eq!(Manifest::read(text.as_bytes()).unwrap_err().to_string(), message, "{text}");
    }
    let read = Manifest::read(b"plugin: { name: parse, version: 1.0.0 }").unwrap();
    assert_eq!((read.file.as_str(), read.limits), ("parse.wasm", Limits::USUAL));
}

fn rules() -> impl Strategy<Value = Capabilities> {
    let hosts = prop::sample::subsequence(vec!["a", "b", "c"], 0..=3);
    let methods = prop::sample::subsequence(vec!["GET", "POST", "PUT"], 1..=3);
    let rule = (hosts, methods, any::<bool>());
    (rule, prop::option::of(1..100_u64), prop::option::of(1..1000_u64)).prop_map(
        |((hosts, methods, private), calls, bytes)| {
            let mut value = json!({ "http": hosts.iter().map(|host| json!({
                "host": host, "methods": methods, "private": private,
            })).collect::<Vec<_>>() });
            if let Some(calls) = calls {
                value["models"] = json!({ "names": ["m"], "max_calls": calls });
            }
            if let Some(bytes) = bytes {
                value["kv"] = json!({ "max_bytes": bytes });
            }
            capabilities(&value)
        },
    )
}

proptest! {
    #[test]
    fn an_intersection_is_in_both_whichever_way_round(a in rules(), b in rules()) {
        let both = a.and(&b);
        prop_assert_eq!(&both.and(&a), &both);
        prop_assert_eq!(&both.and(&b), &both);
        prop_assert_eq!(b.and(&a).to_json(), both.to_json());
        prop_assert!(a.and(&Capabilities::default()).is_empty());
        prop_assert_eq!(&a.and(&a), &a);
    }
}
