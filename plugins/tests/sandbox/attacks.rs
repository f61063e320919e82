//! Hostile guests, a row of the table a test: each ends in a typed fault, and the host serves
//! the next call.

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use flow_core::action::CallUsage;
use flow_core::error::Failure;
use flow_core::provider::{Answer, Request};
use flow_core::units::Money;
use flow_plugins::{CallFault, Ceiling, Outside};
use serde_json::{Value, json};

use crate::support::{Guest, Place, granted, small};

/// Runs a hostile step within small limits; its fault.
async fn fault_of(guest: &Guest) -> CallFault {
    let place = Place::new().await;
    let plugin = place.load(guest);
    let came = place.run_with(&plugin, &json!({}), &granted(&json!({}), small())).await;
    let fault = came.result.expect_err("an attack does not succeed");
    place.serves_the_next().await;
    fault
}

async fn ceiling_of(guest: &Guest) -> Ceiling {
    match fault_of(guest).await {
        CallFault::Ceiling(ceiling) => ceiling,
        other => panic!("another fault: {other:?}"),
    }
}

async fn trap_of(guest: &Guest) -> String {
    match fault_of(guest).await {
        CallFault::Trap(trap) => trap.what,
        other => panic!("another fault: {other:?}"),
    }
}

#[tokio::test]
async fn an_infinite_loop_ends_at_the_deadline() {
    let fault = fault_of(&Guest::new("(loop $for_ever (br $for_ever)) unreachable")).await;
    assert_eq!(fault.to_string(), "it did not end within 300ms");
    assert_eq!(fault.into_failure("p").class.as_str(), "timeout");
}

#[tokio::test]
async fn a_loop_before_the_first_call_ends_at_the_deadline() {
    let place = Place::new().await;
    // It ends soon where it is only described, and never where it is called: `describe` is
    // asked once, and its answer kept.
    let looping = Guest::says("1").function(
        "(func $start (loop $for_ever (br $for_ever)))
         (start $start)",
    );
    let refused = place.sandbox.load(&looping.component()).unwrap_err();
    assert_eq!(refused.to_string(), "its description cannot be had: it did not end within 5s");
    place.serves_the_next().await;
}

#[tokio::test]
async fn a_slow_call_of_the_host_ends_at_the_deadline() {
    let place = Place::new().await;
    place.http.silent.store(true, Ordering::SeqCst);
    let plugin = place.load(&sending("GET", "https://slow.example.com/"));
    let grant = granted(&json!({ "http": [{ "host": "slow.example.com" }] }), small());
    let fault = place.run_with(&plugin, &json!({}), &grant).await.result.unwrap_err();
    assert_eq!(fault.to_string(), "it did not end within 300ms");
    place.serves_the_next().await;
}

#[tokio::test]
async fn memory_has_an_end() {
    let bomb = Guest::new(
        "(loop $more
           (if (i32.ne (i32.const -1) (memory.grow (i32.const 16))) (then (br $more))))
         unreachable",
    );
    assert_eq!(ceiling_of(&bomb).await, Ceiling::Memory { limit: 4 << 20 });
}

#[tokio::test]
async fn a_gigabyte_from_the_first_is_refused() {
    let place = Place::new().await;
    let refused = place.sandbox.load(&Guest::says("1").memory("16384").component()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "its description cannot be had: it wants more than 268435456 bytes of memory"
    );
    place.serves_the_next().await;
}

#[tokio::test]
async fn all_memories_count_together() {
    let bomb = Guest::new(
        "(drop (memory.grow $other (i32.const 40)))
         (if (i32.eq (i32.const -1) (memory.grow 0 (i32.const 40))) (then unreachable))
         unreachable",
    )
    .function("(memory $other 1)");
    assert_eq!(ceiling_of(&bomb).await, Ceiling::Memory { limit: 4 << 20 });
}

#[tokio::test]
async fn tables_have_an_end() {
    let bomb = Guest::new(
        "(if (i32.eq (i32.const -1) (table.grow $t (ref.null func) (i32.const 1000000)))
           (then unreachable))
         (call $ok (i32.const 8) (i32.const 2))",
    )
    .function("(table $t 1 funcref)");
    assert_eq!(ceiling_of(&bomb).await, Ceiling::Table { limit: 200_000 });
}

#[tokio::test]
async fn handles_have_an_end() {
    let mut guest =
        Guest::new("").importing("artifacts", "create", "(param i32 i32 i32 i32 i32 i32)");
    let media_type = guest.texts.text("text/plain");
    let flood = guest.running(&format!(
        "(loop $more
           (call $create {media_type} (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 128))
           (br_if $more (i32.eqz (i32.load8_u (i32.const 128)))))
         unreachable"
    ));
    assert_eq!(ceiling_of(&flood).await, Ceiling::Handles);
}

#[tokio::test]
async fn an_output_has_an_end() {
    let long = Guest::says(&format!("\"{}\"", "x".repeat(65 << 10))).memory("4");
    assert_eq!(ceiling_of(&long).await, Ceiling::Output { limit: 64 << 10 });
}

#[tokio::test]
async fn a_log_has_an_end() {
    let mut guest = Guest::new("").importing("log", "emit", "(param i32 i32 i32 i32 i32 i32)");
    let (level, message, fields) =
        (guest.texts.text("info"), guest.texts.text("again"), guest.texts.text(""));
    let flood = guest.running(&format!(
        "(loop $more (call $emit {level} {message} {fields}) (br $more)) unreachable"
    ));
    assert_eq!(ceiling_of(&flood).await, Ceiling::Log { limit: 1 << 10 });
}

#[tokio::test]
async fn one_call_of_the_host_brings_so_much_along() {
    let place = Place::new().await;
    let mut guest = Guest::new("").importing("log", "emit", "(param i32 i32 i32 i32 i32 i32)");
    let level = guest.texts.text("info");
    // 33 MiB of zeros, which are text.
    let guest = guest.memory("600").running(&format!(
        "(call $emit {level} (i32.const 0) (i32.const 34603008) (i32.const 8) (i32.const 2))
         unreachable"
    ));
    let fault = place.run(&place.load(&guest), &json!({})).await.result.unwrap_err();
    assert!(matches!(fault, CallFault::Ceiling(Ceiling::Hostcall)), "{fault:?}");
    place.serves_the_next().await;
}

#[tokio::test]
async fn a_guest_that_falls_over_says_how() {
    for (run, what) in [
        ("unreachable", "wasm `unreachable` instruction executed"),
        ("(drop (i32.div_u (i32.const 1) (i32.const 0))) unreachable", "integer divide by zero"),
        ("(drop (i32.load (i32.const -8))) unreachable", "out of bounds memory access"),
        ("(call $deeper) unreachable", "call stack exhausted"),
    ] {
        let guest = Guest::new(run).function("(func $deeper (call $deeper) (call $deeper))");
        assert_eq!(trap_of(&guest).await, what);
    }
}

#[tokio::test]
async fn a_panic_shows_its_message_and_where_it_was() {
    let mut guest = Guest::new("").importing("log", "emit", "(param i32 i32 i32 i32 i32 i32)");
    let (level, fields) = (guest.texts.text("error"), guest.texts.text("{}"));
    let message = guest.texts.text("panicked at src/lib.rs:12:5: no total");
    let guest = guest.function("(func $read_total unreachable)").running(&format!(
        "(call $emit {level} {message} {fields}) (call $read_total) unreachable"
    ));
    let fault = fault_of(&guest).await;
    let failure = fault.into_failure("check");
    assert!(
        failure.message.starts_with(
            "plugin `check`: it stopped with `wasm `unreachable` instruction executed`: \
             panicked at src/lib.rs:12:5: no total (in "
        ),
        "{}",
        failure.message
    );
    assert_eq!(failure.class.as_str(), "plugin");
    assert_eq!(failure.hint.unwrap(), "this is a fault of the plugin: tell its author");
}

#[tokio::test]
async fn a_result_that_lies_outside_of_memory_is_a_trap() {
    for run in [
        "(i32.const -16)",
        "(call $ok (i32.const 8) (i32.const -1))",
        "(call $ok (i32.const -8) (i32.const 64))",
    ] {
        let fault = fault_of(&Guest::new(run)).await;
        assert!(matches!(fault, CallFault::Trap(_)), "{run}: {fault:?}");
    }
}

/// A step that sends a request, and hands on what went wrong with it.
pub(crate) fn sending(method: &str, url: &str) -> Guest {
    sending_with(method, url, &[])
}

/// The same with header fields.
pub(crate) fn sending_with(method: &str, url: &str, headers: &[(&str, &str)]) -> Guest {
    let mut guest = Guest::new("").importing(
        "http",
        "send",
        "(param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i64 i32 i32 i32)",
    );
    let mut list = Vec::new();
    for (name, value) in headers {
        for text in [name, value] {
            list.extend((guest.texts.at(text.as_bytes()) as u32).to_le_bytes());
            list.extend((text.len() as u32).to_le_bytes());
        }
    }
    let (method, url) = (guest.texts.text(method), guest.texts.text(url));
    let list = guest.texts.at(&list);
    let count = headers.len();
    let none =
        "(i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i64.const 0)";
    guest.running(&format!(
        "(call $send {method} {url} (i32.const {list}) (i32.const {count}) {none}
           (i32.const 8) (i32.const 2) (i32.const 256))
         (if (i32.load8_u (i32.const 256))
           (then (return (call $err
             (i32.load (i32.const 264)) (i32.load (i32.const 268))
             (i32.load (i32.const 272)) (i32.load (i32.const 276))))))
         (call $ok (i32.const 8) (i32.const 2))"
    ))
}

/// A step that asks a model, and hands on what went wrong with that.
pub(crate) fn asking(model: &str) -> Guest {
    let mut guest =
        Guest::new("").importing("llm", "complete", "(param i32 i32 i32 i32 i32 i32 i32)");
    let (model, params) = (guest.texts.text(model), guest.texts.text("{}"));
    let said = "how much?";
    let text = guest.texts.at(said.as_bytes()) as u32;
    let role = guest.texts.at(b"user") as u32;
    let mut part = Vec::new();
    // media-type, name (none), body (text).
    for word in [text, 0, 0, 0, 0, 0, text, said.len() as u32] {
        part.extend(word.to_le_bytes());
    }
    let part = guest.texts.at(&part) as u32;
    let mut message = Vec::new();
    for word in [role, 4, part, 1] {
        message.extend(word.to_le_bytes());
    }
    let message = guest.texts.at(&message);
    guest.running(&format!(
        "(call $complete {model} (i32.const {message}) (i32.const 1) {params} (i32.const 256))
         (if (i32.load8_u (i32.const 256))
           (then (return (call $err
             (i32.load (i32.const 264)) (i32.load (i32.const 268))
             (i32.load (i32.const 272)) (i32.load (i32.const 276))))))
         (call $ok (i32.const 8) (i32.const 2))"
    ))
}

/// A model that is the very plugin that asks it.
struct Mirror<'p> {
    place: &'p Place,
    plugin: std::sync::Arc<flow_plugins::Plugin>,
    asked: std::sync::atomic::AtomicU32,
}

#[async_trait]
impl Outside for Mirror<'_> {
    async fn ask(
        &self,
        _model: &str,
        _request: Request,
        _most: Option<Money>,
    ) -> Result<(Answer, CallUsage), Failure> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let grant = granted(&json!({ "models": { "names": ["mirror"] } }), small());
        let input: Value = json!({});
        let again = Box::pin(self.place.run_outside(&self.plugin, &input, &grant, self)).await;
        match again.result {
            Ok(_) => Ok((Answer { text: "yes".into() }, CallUsage::default())),
            Err(fault) => Err(fault.into_failure("mirror")),
        }
    }

    fn delta(&self, _text: &str) -> bool {
        true
    }
}

#[tokio::test]
async fn plugins_that_call_themselves_through_a_model_come_to_an_end() {
    let place = Place::new().await;
    let plugin = place.load(&asking("mirror"));
    let asked = std::sync::atomic::AtomicU32::new(0);
    let mirror = Mirror { place: &place, plugin: std::sync::Arc::clone(&plugin), asked };
    let grant = granted(&json!({ "models": { "names": ["mirror"] } }), small());
    let came = place.run_outside(&plugin, &json!({}), &grant, &mirror).await;
    let fault = came.result.unwrap_err();
    assert_eq!(
        fault.to_string(),
        "plugin `mirror`: plugin `mirror`: plugin `mirror`: \
         it wants plugins that call each other more than 3 deep"
    );
    assert_eq!(mirror.asked.load(Ordering::SeqCst), 3);
    place.serves_the_next().await;
}
