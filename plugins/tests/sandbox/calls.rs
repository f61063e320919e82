//! Guests that mean it well: each limit obeyed, and what is recorded of a call.

use std::time::Duration;

use flow_plugins::policy::Limits;
use flow_plugins::{CallFault, Kind};
use serde_json::json;

use crate::support::{Guest, Place, granted, say, small};

#[tokio::test]
async fn a_step_is_given_its_input_and_gives_its_output() {
    let place = Place::new().await;
    let plugin = place.load(&Guest::echo());
    assert_eq!((plugin.kind(), plugin.descriptor().name.as_str()), (Kind::Step, "guest"));
    let came = place.run(&plugin, &json!({ "a": [1, "ü"] })).await;
    assert_eq!(came.result.unwrap(), json!({ "a": [1, "ü"] }));
}

#[tokio::test]
async fn what_a_call_used_is_told() {
    let place = Place::new().await;
    let mut guest = Guest::new("").importing("log", "emit", "(param i32 i32 i32 i32 i32 i32)");
    let (level, message) = (guest.texts.text("info"), guest.texts.text("hello"));
    let fields = guest.texts.text("{\"n\":1}");
    let output = guest.texts.text("[1,2]");
    let guest = guest
        .memory("3")
        .running(&format!("(call $emit {level} {message} {fields}) (call $ok {output})"));
    let came = place.run(&place.load(&guest), &json!({})).await;
    assert_eq!(came.result.unwrap(), json!([1, 2]));
    assert_eq!((came.used.memory, came.used.host_calls), (3 << 16, 1));
    assert_eq!((came.used.output, came.used.denied.len()), (5, 0));
    assert!(came.used.log > 10 && came.used.time >= came.used.at_work, "{:?}", came.used);
    assert_eq!(place.lines(), ["info: hello {\"n\":1}"]);
}

#[tokio::test]
async fn a_guest_is_told_its_settings_and_the_time() {
    let place = Place::new().await;
    let mut guest = Guest::new("")
        .importing("config", "get", "(param i32 i32 i32)")
        .importing("clock", "now-ms", "(result i64)")
        .importing("clock", "deadline-left-ms", "(param i32)");
    let key = guest.texts.text("tolerance");
    let guest = guest.running(&format!(
        "(call $get {key} (i32.const 128))
         (if (i32.eqz (i32.load8_u (i32.const 128))) (then unreachable))
         (if (i64.ne (call $now-ms) (i64.const 1700000000000)) (then unreachable))
         (call $deadline-left-ms (i32.const 160))
         (if (i64.gt_u (i64.load (i32.const 168)) (i64.const 30000)) (then unreachable))
         (call $ok (i32.load (i32.const 132)) (i32.load (i32.const 136)))"
    ));
    let came = place.run(&place.load(&guest), &json!({})).await;
    assert_eq!(came.result.unwrap(), json!(0.01));
}

#[tokio::test]
async fn what_a_guest_says_that_went_wrong_is_told_in_its_words() {
    let place = Place::new().await;
    let mut guest = Guest::new("");
    let (code, message) = (guest.texts.text("invalid-input"), guest.texts.text("no total"));
    let guest = guest.running(&format!("(call $err {code} {message})"));
    let fault = place.run(&place.load(&guest), &json!({})).await.result.unwrap_err();
    let failure = fault.into_failure("check");
    assert_eq!(failure.message, "plugin `check`: no total");
    assert_eq!(failure.class.as_str(), "input");
}

#[tokio::test]
async fn an_output_that_is_not_what_was_promised_is_refused() {
    let place = Place::new().await;
    let said = r#"{"name":"guest","version":"1","output":{"type":"object","required":["ok"],
        "properties":{"ok":{"type":"boolean"}}}}"#;
    for (output, message) in [
        (
            r#"{"ok":1}"#,
            "its output `ok` is not what it says it yields: 1 is not of type \"boolean\"",
        ),
        ("[]", "its output is not what it says it yields: [] is not of type \"object\""),
        ("{", "its output is no JSON: EOF while parsing an object at line 1 column 1"),
        (r#"{"ok":{"$part":0}}"#, "its output has no part 0"),
    ] {
        let plugin = place.load(&Guest::says(output).describing(said));
        let fault = place.run(&plugin, &json!({})).await.result.unwrap_err();
        assert_eq!(fault.to_string(), message);
    }
    let plugin = place.load(&Guest::says(r#"{"ok":true}"#).describing(said));
    assert_eq!(place.run(&plugin, &json!({})).await.result.unwrap(), json!({ "ok": true }));
}

#[tokio::test]
async fn each_limit_lets_through_what_keeps_to_it() {
    let place = Place::new().await;
    let limits = small();
    let grant = granted(&json!({}), limits);
    // Memory to the last page, an output to the last byte.
    let pages = limits.memory >> 16;
    let full = Guest::says("1").memory(&format!("1 {pages}"));
    let full = full.running(&format!(
        "(if (i32.eq (i32.const -1) (memory.grow (i32.const {}))) (then unreachable))
         (call $ok (i32.const 8) (i32.const 2))",
        pages - 1
    ));
    let came = place.run_with(&place.load(&full), &json!({}), &grant).await;
    assert_eq!((came.result.unwrap(), came.used.memory), (json!({}), limits.memory));

    let quoted = format!("\"{}\"", "x".repeat(limits.output as usize - 2));
    let long = Guest::says(&quoted).memory("4");
    let came = place.run_with(&place.load(&long), &json!({}), &grant).await;
    assert_eq!((came.result.unwrap().as_str().unwrap().len() as u64) + 2, limits.output);
}

#[tokio::test]
async fn a_call_that_is_stopped_ends_at_once() {
    let place = Place::new().await;
    let plugin = place.load(&Guest::new("(loop $for_ever (br $for_ever)) unreachable"));
    let cancel = tokio_util::sync::CancellationToken::new();
    let grant = granted(&json!({}), Limits { deadline: Duration::from_mins(10), ..Limits::USUAL });
    let input = json!({});
    let stop = async {
        // Not before it computes.
        tokio::task::yield_now().await;
        cancel.cancel();
    };
    let call = place.call(&plugin, &input, &grant, &flow_plugins::Alone, cancel.clone());
    let (came, ()) = tokio::join!(call, stop);
    assert!(matches!(came.result, Err(CallFault::Stopped)), "{:?}", came.result);
    place.serves_the_next().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_guests_that_never_end_leave_room_for_a_native_step() {
    let place = Place::new().await;
    let plugin = place.load(&Guest::new("(loop $for_ever (br $for_ever)) unreachable"));
    let cancel = tokio_util::sync::CancellationToken::new();
    let grant = granted(&json!({}), Limits { deadline: Duration::from_mins(10), ..Limits::USUAL });
    let (input, outside) = (json!({}), flow_plugins::Alone);
    let guests = (0..4).map(|_| place.call(&plugin, &input, &grant, &outside, cancel.clone()));
    let guests = futures_join(guests.collect());
    // As many turns as a step of some hundred awaits takes, on the very thread of the guests.
    let native = async {
        let mut turns = 0;
        while turns < 200 {
            tokio::task::yield_now().await;
            turns += 1;
        }
        cancel.cancel();
        turns
    };
    let (came, turns) = tokio::join!(guests, native);
    assert_eq!(turns, 200, "the native step came to its end while four guests computed");
    assert!(came.iter().all(|came| matches!(came.result, Err(CallFault::Stopped))));
    place.serves_the_next().await;
}

async fn futures_join<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut pinned: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<T>> = pinned.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, slot) in pinned.iter_mut().zip(&mut done) {
            if slot.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *slot = Some(value);
            }
        }
        match done.iter().all(Option::is_some) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[tokio::test]
async fn ten_thousand_calls_leave_memory_flat() {
    let place = Place::new().await;
    let plugin = place.load(&Guest::echo());
    let input = json!({ "text": "x".repeat(1_000) });
    let mut after_warm_up = None;
    for call in 0..10_000_u32 {
        place.run(&plugin, &input).await.result.unwrap();
        if call == 1_000 {
            after_warm_up = resident();
        }
    }
    let (Some(before), Some(after)) = (after_warm_up, resident()) else {
        say("skipped: this system does not tell how much memory a process has");
        return;
    };
    let grown = after.saturating_sub(before);
    assert!(grown < 16 << 20, "nine thousand calls left {grown} bytes behind");
}

/// Bytes of this process that are in memory, where the system tells.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib << 10)
}
