//! What is no plugin is refused with a word that says why.

use std::time::Duration;

use flow_plugins::{CompileCap, LoadError, VERSION, inspect};
use serde_json::json;

use crate::support::{Guest, Place, compiler, component_of};

async fn refused(wasm: &[u8]) -> String {
    let place = Place::new().await;
    let error = place.sandbox.load(wasm).unwrap_err().to_string();
    place.serves_the_next().await;
    error
}

#[tokio::test]
async fn a_file_that_is_no_component_says_what_it_is() {
    let whole = Guest::says("1").component();
    let native =
        wasmtime::Engine::default().precompile_component(b"(component)").unwrap_or_else(|_| {
            let wasm = wat::parse_str("(component)").expect("a component");
            wasmtime::Engine::default().precompile_component(&wasm).expect("native code")
        });
    let core = wat::parse_str("(module)").expect("a module");
    for (wasm, message) in [
        (&b""[..], "it is empty"),
        (b"#!/bin/sh", "it is no WebAssembly"),
        (&native, "it is compiled code, which is never taken from anybody"),
        (&core, "it is a core module, and a plugin is a component"),
    ] {
        assert_eq!(refused(wasm).await, message);
    }
    assert!(refused(&whole[..whole.len() / 2]).await.starts_with("it is damaged: "));
}

#[tokio::test]
async fn a_file_with_a_flipped_bit_is_refused_or_does_what_it_did() {
    let place = Place::new().await;
    let whole = Guest::says("\"well\"").component();
    // Every byte would compile a thousand plugins.
    for at in (8..whole.len()).step_by(whole.len() / 24) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        if let Ok(plugin) = place.sandbox.load(&flipped) {
            // Whatever it says now, it says it in the sandbox.
            let _ = place.run(&plugin, &json!({})).await;
        }
    }
    place.serves_the_next().await;
}

#[tokio::test]
async fn a_wrong_version_prints_both() {
    let core = Guest::says("1").core().replace("@0.1.0", "@0.2.0");
    let other = component_of(&core, "step-plugin", "0.2.0");
    assert_eq!(
        refused(&other).await,
        format!("it is built for flow:plugin@0.2.0, and this flow has flow:plugin@{VERSION}")
    );
}

#[tokio::test]
async fn a_guest_of_a_later_patch_runs() {
    let place = Place::new().await;
    let core = Guest::says("\"later\"").core().replace("@0.1.0", "@0.1.3");
    let later = component_of(&core, "step-plugin", "0.1.3");
    let plugin = place.sandbox.load(&later).expect("0.1.3 is as good as 0.1.0");
    assert_eq!(plugin.interface().version, "0.1.3");
    assert_eq!(place.run(&plugin, &json!({})).await.result.unwrap(), json!("later"));
}

#[tokio::test]
async fn an_import_that_nobody_is_given_is_named() {
    let component = |import: &str| {
        wat::parse_str(format!(
            "(component
               (import \"{import}\" (func))
               (instance $i)
               (export \"flow:plugin/step@0.1.0\" (instance $i))
               (export \"flow:plugin/meta@0.1.0\" (instance $i)))"
        ))
        .expect("a component")
    };
    for import in ["evil", "wasi:http/outgoing-handler@0.2.0", "flow:plugin/files@0.1.0"] {
        assert_eq!(
            refused(&component(import)).await,
            format!("it imports `{import}`, which no plugin is given")
        );
    }
}

#[tokio::test]
async fn a_component_of_another_world_is_refused() {
    let bare = wat::parse_str("(component)").expect("a component");
    assert_eq!(
        refused(&bare).await,
        "it exports neither `flow:plugin/step` nor `flow:plugin/provider`"
    );
    let silent = "(component (instance $i) (export \"flow:plugin/step@0.1.0\" (instance $i)))";
    let silent = wat::parse_str(silent).expect("a component");
    assert_eq!(refused(&silent).await, "it does not export `flow:plugin/meta`");
    let hollow = "(component (instance $i) (export \"flow:plugin/step@0.1.0\" (instance $i))
        (export \"flow:plugin/meta@0.1.0\" (instance $i)))";
    let hollow = refused(&wat::parse_str(hollow).expect("a component")).await;
    assert!(
        hollow.starts_with(
            "it is built for flow:plugin@0.1.0, this flow has flow:plugin@0.1.0, and they differ: "
        ),
        "{hollow}"
    );
}

#[tokio::test]
async fn many_inner_instances_are_refused() {
    let many = "(core instance (instantiate $m))".repeat(200);
    let many = format!(
        "(component
           (core module $m (table 1 funcref))
           {many}
           (instance $i)
           (export \"flow:plugin/step@0.1.0\" (instance $i))
           (export \"flow:plugin/meta@0.1.0\" (instance $i)))"
    );
    assert_eq!(
        refused(&wat::parse_str(many).expect("a component")).await,
        "it wants more than 100 instances, 16 memories or 100 tables"
    );
}

#[tokio::test]
async fn a_description_that_is_none_is_refused() {
    for (describe, message) in [
        (
            "hello",
            "its description is wrong: it is no JSON object: expected value at line 1 column 1",
        ),
        ("[]", "its description is wrong: it is no JSON object: it is another value"),
        ("{}", "its description is wrong: `name` is missing"),
        (r#"{"name":"a"}"#, "its description is wrong: `version` is missing"),
        (
            r#"{"name":"a","version":"1","kind":"provider"}"#,
            "its description is wrong: `kind` says `provider`, and it exports `step`",
        ),
        (
            r#"{"name":"a","version":"1","input":{"type":"text"}}"#,
            "its description is wrong: `input` is no JSON Schema: \"text\" is not valid under any of the schemas listed in the 'anyOf' keyword",
        ),
        (
            r#"{"name":"a","version":"1","input":{"$ref":"https://evil.example.com/s.json"}}"#,
            "its description is wrong: `input` refers to a schema elsewhere, or nests too deep",
        ),
        (
            r#"{"name":"a","version":"1","capabilities":{"net":true}}"#,
            "its description is wrong: `capabilities` has no key `net`",
        ),
    ] {
        let place = Place::new().await;
        let error = place.sandbox.load(&Guest::says("1").describing(describe).component());
        assert_eq!(error.unwrap_err().to_string(), message, "{describe}");
    }
}

#[tokio::test]
async fn a_compiler_without_time_is_stopped() {
    let mut compiler = compiler();
    compiler.program = "/bin/sh".into();
    compiler.arguments = vec!["-c".into(), "while :; do :; done".into()];
    compiler.cap = CompileCap { time: Duration::from_millis(100), ..CompileCap::USUAL };
    let place = Place::with(compiler).await;
    let error = place.sandbox.load(&Guest::says("1").component()).unwrap_err();
    assert_eq!(error.to_string(), "compiling it took more than 100ms and was stopped");
}

#[tokio::test]
async fn a_plugin_that_takes_too_much_to_compile_is_refused_and_the_host_lives() {
    // One function of a hundred thousand blocks: the compiler holds all of it at once.
    let mut body = String::new();
    for _ in 0..60_000 {
        body.push_str(
            "(if (local.get 0) (then (local.set 0 (i32.mul (local.get 0) (local.get 0)))))",
        );
    }
    let hostile = Guest::says("1").function(&format!("(func (export \"x\") (param i32) {body})"));
    let mut compiler = compiler();
    compiler.cap = CompileCap { memory: 160 << 20, time: Duration::from_mins(1) };
    let place = Place::with(compiler).await;
    let error = place.sandbox.load(&hostile.component()).unwrap_err();
    assert!(
        matches!(&error, LoadError::Compile(flow_plugins::CompileError::Memory { .. })),
        "{error}"
    );
    assert!(
        error.to_string().starts_with("compiling it took more than 167772160 bytes of memory"),
        "{error}"
    );
    place.serves_the_next().await;
}

#[tokio::test]
async fn a_compiled_file_that_was_changed_is_not_run() {
    let place = Place::new().await;
    let wasm = Guest::says("\"well\"").component();
    place.sandbox.load(&wasm).unwrap();
    let native = std::fs::read_dir(place.sandbox.cache_folder()).unwrap();
    let native = native.map(|entry| entry.unwrap().path());
    let natives: Vec<_> =
        native.filter(|path| path.extension().is_some_and(|e| e == "native")).collect();
    assert_eq!(natives.len(), 1);
    let mut bytes = std::fs::read(&natives[0]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&natives[0], &bytes).unwrap();
    // It was forgotten when nobody had it any more, so that it is read again.
    let plugin = place.sandbox.load(&wasm).unwrap();
    assert_eq!(place.run(&plugin, &json!({})).await.result.unwrap(), json!("well"));
    assert_ne!(std::fs::read(&natives[0]).unwrap(), bytes, "it was compiled anew");
}

#[test]
fn what_a_component_imports_is_read_without_compiling_it() {
    let guest = Guest::echo().importing("log", "emit", "(param i32 i32 i32 i32 i32 i32)");
    let guest = guest.running("(call $ok (i32.const 8) (i32.const 2))");
    let interface = inspect(&guest.component()).unwrap();
    assert!(
        interface.imports.iter().any(|import| import == "flow:plugin/log@0.1.0"),
        "{interface:?}"
    );
    assert!(interface.exports.iter().any(|export| export == "flow:plugin/step@0.1.0"));
}
