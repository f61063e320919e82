//! Steps that can wait for a day go by batches: what is asked, what comes of it, what it costs,
//! and what happens to those that fare badly.

use std::sync::Arc;
use std::time::Duration;

use flow_core::engine::{Clock, SystemClock};
use flow_core::error::ErrorClass;
use flow_core::store::AttemptStatus;
use serde_json::{Value, json};

use crate::batching::{Batching, Manners, Speaks, Wanted};
use crate::running::{Ran, Running};
use crate::server::Answer;

/// A workflow that asks these prompts, each for a day if need be.
fn workflow(service: &Batching, speaks: Speaks, prompts: &[&str], more: &str) -> String {
    let (kind, model, url) = (speaks.kind(), speaks.model(), service.server.url());
    let prompts = json!(prompts);
    format!(
        "
name: slow
providers:
  mine: {{ type: {kind}, base_url: \"{url}\", api_key: A-SECRET-KEY, batch: {{ gather: 50ms, poll: 5ms }} }}
steps:
  - id: ask
    for_each: '{prompts}'
    uses: model.generate
    model: mine/{model}
    deadline: 24h
    timeout: 1ms
    retry: false
    on_error: continue
    with: {{ prompt: \"{{{{ item }}}}\", max_tokens: 200 }}
{more}
outputs: {{ all: \"{{{{ steps.ask.output }}}}\" }}
"
    )
}

async fn ran(service: &Batching, speaks: Speaks, prompts: &[&str], more: &str) -> (Running, Ran) {
    let running = Running::new(&[]).await;
    let ran = running.run(&workflow(service, speaks, prompts, more)).await;
    (running, ran)
}

/// The answers, in the order of the prompts.
fn all(ran: &Ran) -> Value {
    ran.report.run.outputs.as_ref().map_or(Value::Null, |outputs| outputs["all"].clone())
}

/// How the attempt at a prompt ended: its class and message, and what it cost.
async fn end(running: &Running, prompt: &str) -> (Option<ErrorClass>, String, Option<i64>) {
    let attempts = running.attempts(&format!("ask[{prompt}]")).await;
    let last = attempts.last().expect("an attempt");
    assert!(last.batch, "{last:?}");
    let message = last.error.clone().unwrap_or_default();
    (last.error_class, message, last.cost.map(flow_core::units::Money::micros))
}

#[tokio::test]
async fn a_loop_is_one_batch_whose_answers_come_in_any_order_at_half_the_price() {
    for speaks in Speaks::ALL {
        let service = Batching::well(speaks, Manners { looks: 2, expires: false }).await;
        let (running, ran) = ran(&service, speaks, &["one", "two", "three"], "").await;
        assert_eq!(all(&ran), json!(["ONE", "TWO", "THREE"]), "{speaks:?}");
        assert_eq!(service.count(Wanted::Submit), 1);
        assert_eq!(service.count(Wanted::Look), 3);
        assert_eq!(service.count(Wanted::Alone), 0);
        assert_eq!(service.batches()[0].asked.len(), 3);
        // A thousand tokens read and a hundred written.
        let cost = match speaks {
            Speaks::OpenAi => 1750,
            Speaks::Anthropic => 2250,
            Speaks::Gemini => 275,
        };
        assert_eq!(end(&running, "one").await, (None, String::new(), Some(cost)));
        assert_eq!(ran.report.run.cost.micros(), 3 * cost);
        assert!(!ran.report.run.cost_uncertain);
        let id = match speaks {
            Speaks::OpenAi => "batch `batch_0`",
            Speaks::Anthropic => "batch `msgbatch_0`",
            Speaks::Gemini => "batch `batches/0`",
        };
        let told = [
            "joined a batch of `mine`: answers come within 24 h".to_owned(),
            format!("{id} of `mine`: 3 requests"),
        ];
        assert_eq!(ran.log, told);
    }
}

#[tokio::test]
async fn what_fares_badly_in_a_batch_is_told_apart_and_harms_no_other() {
    for speaks in Speaks::ALL {
        let service = Batching::well(speaks, Manners::default()).await;
        let prompts = ["fine", "refused", "missing", "late"];
        let (running, ran) = ran(&service, speaks, &prompts, "").await;
        assert_eq!(all(&ran), json!(["FINE", null, null, null]), "{speaks:?}");
        let said = match speaks {
            Speaks::OpenAi => "provider `mine`: no",
            Speaks::Anthropic => "provider `mine`: invalid_request_error: no",
            Speaks::Gemini => "provider `mine`: INVALID_ARGUMENT: no",
        };
        let (class, message, _) = end(&running, "refused").await;
        assert_eq!((class, message.as_str()), (Some(ErrorClass::BadRequest), said));
        assert_eq!(
            end(&running, "missing").await,
            (
                Some(ErrorClass::Server),
                "provider `mine`: the batch of the request ended without an answer to it".into(),
                None,
            )
        );
        let (class, message, cost) = end(&running, "late").await;
        assert_eq!(class, Some(ErrorClass::Timeout));
        if speaks != Speaks::Gemini {
            let expired = "provider `mine`: the request expired in its batch before it was begun";
            assert_eq!((message.as_str(), cost), (expired, Some(0)));
        }
    }
}

#[tokio::test]
async fn a_batch_whose_time_is_over_says_so_for_each_of_its_requests() {
    for speaks in Speaks::ALL {
        let service = Batching::well(speaks, Manners { looks: 0, expires: true }).await;
        let (running, ran) = ran(&service, speaks, &["one", "two"], "").await;
        assert_eq!(all(&ran), json!([null, null]), "{speaks:?}");
        let expired = "provider `mine`: the request expired in its batch before it was begun";
        let expected = (Some(ErrorClass::Timeout), expired.to_owned(), Some(0));
        assert_eq!(end(&running, "one").await, expected);
        assert!(!ran.report.run.cost_uncertain, "what was not begun is not billed");
    }
}

#[tokio::test]
async fn what_passes_is_waited_out_and_nothing_is_sent_twice() {
    for speaks in Speaks::ALL {
        let service = Batching::start(speaks, Manners::default(), |wanted, number, done| {
            let error = |status, message: &str| {
                Answer::json(status, &json!({ "error": { "message": message } }).to_string())
            };
            match (wanted, number, done) {
                (Wanted::Submit, 0, false) => Some(error(429, "slow down")),
                // The second one arrives, but nobody hears of it.
                (Wanted::Submit, 1, true)
                | (Wanted::Look | Wanted::Results | Wanted::List, 0, false) => {
                    Some(error(500, "oh"))
                }
                _ => None,
            }
        })
        .await;
        let (_, ran) = ran(&service, speaks, &["one", "two"], "").await;
        assert_eq!(all(&ran), json!(["ONE", "TWO"]), "{speaks:?}");
        assert_eq!(service.batches().len(), 1, "{speaks:?}");
        assert_eq!(service.count(Wanted::Submit), 2, "{speaks:?}");
    }
}

#[tokio::test]
async fn a_batch_that_is_refused_fails_all_that_joined_it() {
    for speaks in Speaks::ALL {
        let service = Batching::start(speaks, Manners::default(), |wanted, _, _| {
            let error = json!({ "error": {
                "message": "bad key", "type": "authentication_error", "code": "invalid_api_key", "status": "UNAUTHENTICATED",
            } });
            matches!(wanted, Wanted::Submit).then(|| Answer::json(401, &error.to_string()))
        })
        .await;
        let (running, _) = ran(&service, speaks, &["one", "two"], "").await;
        for prompt in ["one", "two"] {
            let (class, message, cost) = end(&running, prompt).await;
            assert_eq!((class, cost), (Some(ErrorClass::Auth), None), "{message}");
        }
        assert_eq!(service.count(Wanted::Submit), 1);
    }
}

/// The limits of a minute, the timeout of an attempt, and the places of a run are no matter of
/// what waits for a batch.
#[tokio::test]
async fn who_waits_takes_no_place_and_no_turn() {
    let speaks = Speaks::OpenAi;
    let service = Batching::well(speaks, Manners::default()).await;
    let prompts: Vec<String> = (0..50).map(|number| format!("p{number}")).collect();
    let prompts: Vec<&str> = prompts.iter().map(String::as_str).collect();
    let text = workflow(&service, speaks, &prompts, "")
        .replace("batch: {", "concurrency: 1, requests_per_minute: 1, batch: {");
    let running = Running::new(&[]).await;
    let ran = running.run(&format!("{text}concurrency: 1\n")).await;
    assert_eq!(ran.report.failure, None);
    assert_eq!(service.batches().len(), 1);
    assert_eq!(service.batches()[0].asked.len(), 50);
}

#[tokio::test]
async fn a_loop_that_the_file_bounds_has_batches_of_that_size() {
    let speaks = Speaks::Anthropic;
    let service = Batching::well(speaks, Manners::default()).await;
    let text = workflow(&service, speaks, &["a", "b", "c", "d"], "    max_parallel: 2\n");
    let ran = Running::new(&[]).await.run(&text).await;
    assert_eq!(all(&ran), json!(["A", "B", "C", "D"]));
    let sizes: Vec<_> = service.batches().iter().map(|batch| batch.asked.len()).collect();
    assert!(sizes.iter().all(|size| *size <= 2), "{sizes:?}");
}

#[tokio::test]
async fn where_there_are_no_batches_or_they_are_not_wanted_the_usual_way_is_gone() {
    let speaks = Speaks::OpenAi;
    for (settings, deadline, said) in [
        ("batch: false", "24h", None),
        ("batch: true", "23h", None),
        (
            "timeout: 1m",
            "24h",
            Some(
                "provider `mine` is at an address of its own, whose batches want `batch: true`; asked as usual",
            ),
        ),
    ] {
        let service = Batching::well(speaks, Manners::default()).await;
        let text = workflow(&service, speaks, &["one", "two"], "")
            .replace("batch: { gather: 50ms, poll: 5ms }", settings)
            .replace("deadline: 24h", &format!("deadline: {deadline}"))
            .replace("timeout: 1ms", "timeout: 1m");
        let running = Running::new(&[]).await;
        let ran = running.run(&text).await;
        assert_eq!(all(&ran), json!(["ONE", "TWO"]));
        assert_eq!(service.wanted(), [Wanted::Alone; 2]);
        assert_eq!(ran.log, said.into_iter().collect::<Vec<_>>(), "{settings}");
        let attempts = running.attempts("ask[one]").await;
        assert_eq!(attempts[0].cost.map(flow_core::units::Money::micros), Some(3500));
        assert!(!attempts[0].batch);
    }
    let service = Batching::well(speaks, Manners::default()).await;
    let text = workflow(&service, speaks, &["one"], "")
        .replace("type: openai", "type: ollama")
        .replace(", api_key: A-SECRET-KEY, batch: { gather: 50ms, poll: 5ms }", "");
    let ran = Running::new(&[]).await.run(&text).await;
    assert_eq!(ran.log, ["provider `mine` has no batches; asked as usual"]);
}

/// A budget is asked for the price of a batch, and a schema and its repair go by it as well.
#[tokio::test]
async fn a_budget_holds_what_a_batch_costs() {
    let speaks = Speaks::OpenAi;
    let service = Batching::well(speaks, Manners::default()).await;
    // Two hundred tokens to write are 2000 micro-USD, and half of that in a batch.
    let text = workflow(&service, speaks, &["one"], "    budget: 0.0015 USD\n");
    let running = Running::new(&[]).await;
    let ran = running.run(&text).await;
    assert_eq!(all(&ran), json!(["ONE"]));
    let attempts = running.attempts("ask[one]").await;
    assert_eq!(attempts[0].status, AttemptStatus::Succeeded);
    let reserved = attempts[0].reserved.map(flow_core::units::Money::micros);
    assert!(reserved.is_some_and(|reserved| (1000..1500).contains(&reserved)), "{reserved:?}");
}

#[tokio::test]
async fn no_key_is_kept_with_the_answers() {
    let speaks = Speaks::OpenAi;
    let service = Batching::well(speaks, Manners::default()).await;
    let (running, _) = ran(&service, speaks, &["A-SECRET-KEY"], "").await;
    let mut folders = vec![running.folder.path().to_path_buf()];
    let mut looked_at = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.components().any(|part| part.as_os_str() == "artifacts") {
                let text = std::fs::read(&path).expect("a file");
                let text = String::from_utf8_lossy(&text);
                assert!(!text.contains("A-SECRET-KEY"), "{}: {text}", path.display());
                looked_at += 1;
            }
        }
    }
    assert!(looked_at >= 2, "the answers, and the reply of each");
}

/// A clock on which hours go by in a moment.
struct Hasty;

#[async_trait::async_trait]
impl Clock for Hasty {
    fn now_ms(&self) -> i64 {
        SystemClock.now_ms()
    }

    fn elapsed(&self) -> Duration {
        SystemClock.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        let is_long = duration > Duration::from_hours(1);
        SystemClock.sleep(if is_long { Duration::from_millis(500) } else { duration }).await;
    }
}

#[tokio::test]
async fn who_is_not_answered_in_time_fails_and_what_nobody_waits_for_is_cancelled() {
    for speaks in Speaks::ALL {
        let service = Batching::well(speaks, Manners { looks: 100_000, expires: false }).await;
        let mut running = Running::new(&[]).await;
        running.clock = Arc::new(Hasty);
        let ran = running.run(&workflow(&service, speaks, &["one", "two"], "")).await;
        assert_eq!(all(&ran), json!([null, null]), "{speaks:?}");
        let (class, message, cost) = end(&running, "one").await;
        let expected = (Some(ErrorClass::Timeout), "no result within the deadline of 86400s", None);
        assert_eq!((class, message.as_str(), cost), expected);
        assert_eq!(service.count(Wanted::Cancel), 1, "{speaks:?}");
        assert!(service.batches()[0].cancelled);
        assert!(ran.report.run.cost_uncertain, "some of it may have been begun");
    }
}
