//! Answers that must be data: what is mended, what is asked once more, and what that costs.

use flow_core::error::ErrorClass;
use flow_core::store::AttemptStatus;
use flow_core::units::Money;
use serde_json::{Value, json};

use crate::running::Running;
use crate::server::{Answer, Server};

/// How a service says a text, three tokens read and two written.
struct Service {
    kind: &'static str,
    path: &'static str,
    says: fn(&str) -> Answer,
    /// Where in a request the conversation stands.
    turns: &'static str,
    /// The conversation of the second question.
    asked_again: fn(wrong: &str, why: &str) -> Value,
}

const SERVICES: [Service; 4] = [
    Service {
        kind: "openai",
        path: "/v1",
        says: |text| {
            let choice = json!({ "message": { "content": text }, "finish_reason": "stop" });
            let usage = json!({ "prompt_tokens": 3, "completion_tokens": 2 });
            Answer::json(200, &json!({ "choices": [choice], "usage": usage }).to_string())
        },
        turns: "messages",
        asked_again: |wrong, why| {
            json!([
                { "role": "user", "content": "The total?" },
                { "role": "assistant", "content": wrong },
                { "role": "user", "content": why },
            ])
        },
    },
    Service {
        kind: "anthropic",
        path: "",
        says: |text| {
            let content = json!([{ "type": "text", "text": text }]);
            let usage = json!({ "input_tokens": 3, "output_tokens": 2 });
            let message = json!({ "type": "message", "role": "assistant", "content": content, "stop_reason": "end_turn", "usage": usage });
            Answer::json(200, &message.to_string())
        },
        turns: "messages",
        asked_again: |wrong, why| {
            json!([
                { "role": "user", "content": [{ "type": "text", "text": "The total?" }] },
                { "role": "assistant", "content": [{ "type": "text", "text": wrong }] },
                { "role": "user", "content": [{ "type": "text", "text": why }] },
            ])
        },
    },
    Service {
        kind: "gemini",
        path: "/v1beta",
        says: |text| {
            let content = json!({ "role": "model", "parts": [{ "text": text }] });
            let usage = json!({ "promptTokenCount": 3, "candidatesTokenCount": 2 });
            let answer = json!({ "candidates": [{ "content": content, "finishReason": "STOP" }], "usageMetadata": usage });
            Answer::json(200, &answer.to_string())
        },
        turns: "contents",
        asked_again: |wrong, why| {
            json!([
                { "role": "user", "parts": [{ "text": "The total?" }] },
                { "role": "model", "parts": [{ "text": wrong }] },
                { "role": "user", "parts": [{ "text": why }] },
            ])
        },
    },
    Service {
        kind: "ollama",
        path: "",
        says: |text| {
            let message = json!({ "role": "assistant", "content": text });
            let answer = json!({ "message": message, "done": true, "done_reason": "stop", "prompt_eval_count": 3, "eval_count": 2 });
            Answer::json(200, &answer.to_string())
        },
        turns: "messages",
        asked_again: |wrong, why| {
            json!([
                { "role": "user", "content": "The total?" },
                { "role": "assistant", "content": wrong },
                { "role": "user", "content": why },
            ])
        },
    },
];

/// A workflow with one step that asks for a total. A token costs 1 USD to read and to write.
fn workflow(service: &Service, url: &str, step: &str) -> String {
    let Service { kind, path, .. } = service;
    let price = "{ input: 1000000, output: 1000000 }";
    format!(
        r#"
name: total
providers:
  mine: {{ type: {kind}, base_url: "{url}{path}", api_key: k-1234, models: {{ "*": {{ price: {price} }} }} }}
steps:
  - id: ask
    uses: model.generate
    {step}
    with:
      prompt: The total?
      schema:
        type: object
        required: [total]
        properties: {{ total: {{ type: number }}, tax: {{ type: number }} }}
outputs: {{ total: "{{{{ steps.ask.output.total }}}}" }}
"#
    )
}

const WRONG: &str = r#"{"total": "4.5", "tax": "1"}"#;
const RIGHT: &str = r#"{"total": 4.5}"#;
const WHY: &str = "the answer does not fit the schema (2 faults): at `/total`: \"4.5\" is not of type \"number\"; at `/tax`: \"1\" is not of type \"number\"";

fn body(server: &Server, number: usize) -> Value {
    serde_json::from_slice(&server.received()[number].body).expect("it is JSON")
}

#[tokio::test]
async fn a_wrong_answer_is_asked_for_once_more_with_what_is_wrong_as_an_attempt_of_its_own() {
    for service in &SERVICES {
        let kind = service.kind;
        let server = Server::of(vec![(service.says)(WRONG), (service.says)(RIGHT)]).await;
        let running = Running::new(&[]).await;
        // What the step says of other retries makes no difference.
        let step = "model: mine/large\n    retry: { attempts: 2, on: [server] }";
        let ran = running.run(&workflow(service, &server.url(), step)).await;
        assert_eq!(ran.failure(), "", "{kind}");
        assert_eq!(ran.output("ask"), json!({ "total": 4.5 }), "{kind}");
        assert_eq!(server.received().len(), 2, "{kind}");
        let (mut first, mut second) = (body(&server, 0), body(&server, 1));
        let why = format!(
            "That cannot be used: {WHY}. Answer again with the whole JSON value, put right, and with nothing else."
        );
        assert_eq!(second[service.turns].take(), (service.asked_again)(WRONG, &why), "{kind}");
        first[service.turns].take();
        assert_eq!(first, second, "{kind}: all else is asked as before");
        let attempts = running.attempts("ask").await;
        let told: Vec<_> = attempts
            .iter()
            .map(|row| (row.number, row.status, row.error_class, row.cost))
            .collect();
        let five = "5 USD".parse::<Money>().ok();
        assert_eq!(
            told,
            [
                (1, AttemptStatus::Failed, Some(ErrorClass::InvalidOutput), five),
                (2, AttemptStatus::Succeeded, None, five),
            ],
            "{kind}"
        );
        assert_eq!(attempts[0].error.as_deref(), Some(WHY), "{kind}");
        assert!(attempts.iter().all(|row| row.raw.is_some()), "{kind}");
        assert_eq!(ran.report.run.cost, "10 USD".parse().unwrap(), "{kind}");
    }
}

#[tokio::test]
async fn the_next_model_of_the_chain_is_asked_when_the_second_answer_is_wrong_as_well() {
    let service = &SERVICES[0];
    let answers = [WRONG, "I do not know", RIGHT].map(service.says).to_vec();
    let server = Server::of(answers).await;
    let running = Running::new(&[]).await;
    let step = "model: [mine/small, mine/large]\n    retry: { attempts: 1 }";
    let ran = running.run(&workflow(service, &server.url(), step)).await;
    assert_eq!(ran.output("ask"), json!({ "total": 4.5 }));
    let asked: Vec<_> = (0..3)
        .map(|number| {
            let body = body(&server, number);
            (body["model"].clone(), body["messages"].as_array().map_or(0, Vec::len))
        })
        .collect();
    assert_eq!(asked, [(json!("small"), 1), (json!("small"), 3), (json!("large"), 1)]);
    let attempts = running.attempts("ask").await;
    let told: Vec<_> = attempts.iter().map(|row| (row.model.as_deref(), row.status)).collect();
    assert_eq!(
        told,
        [
            (Some("small"), AttemptStatus::Failed),
            (Some("small"), AttemptStatus::Failed),
            (Some("large"), AttemptStatus::Succeeded),
        ]
    );
    assert_eq!(
        attempts[1].error.as_deref(),
        Some("the answer is not JSON: expected value at line 1 column 1")
    );
}

#[tokio::test]
async fn a_chain_that_ends_with_wrong_answers_fails_the_step_and_not_with_a_wrong_value() {
    let service = &SERVICES[3];
    let server = Server::of([WRONG, WRONG].map(service.says).to_vec()).await;
    let running = Running::new(&[]).await;
    let ran = running.run(&workflow(service, &server.url(), "model: mine/large")).await;
    assert_eq!(ran.failure(), WHY);
    assert_eq!(server.received().len(), 2);
}

#[tokio::test]
async fn a_question_that_was_not_answered_for_another_reason_is_asked_again_as_it_was() {
    let service = &SERVICES[0];
    let busy = Answer::json(500, r#"{"error":{"message":"busy"}}"#);
    let server = Server::of(vec![(service.says)(WRONG), busy, (service.says)(RIGHT)]).await;
    let running = Running::new(&[]).await;
    let step = "model: mine/large\n    retry: { attempts: 2, initial: 1ms, on: [server] }";
    let ran = running.run(&workflow(service, &server.url(), step)).await;
    assert_eq!(ran.output("ask"), json!({ "total": 4.5 }));
    assert_eq!(server.received().len(), 3);
    assert_eq!(body(&server, 1), body(&server, 2));
}

#[tokio::test]
async fn what_is_wrong_only_in_its_form_costs_no_second_question_and_is_logged() {
    let service = &SERVICES[0];
    let fenced = "Here it is:\n```json\n{\"total\": 4.5,}\n```";
    let server = Server::of(vec![(service.says)(fenced)]).await;
    let running = Running::new(&[]).await;
    let ran = running.run(&workflow(service, &server.url(), "model: mine/large")).await;
    assert_eq!(ran.output("ask"), json!({ "total": 4.5 }));
    assert_eq!(server.received().len(), 1);
    assert_eq!(
        ran.log,
        [
            "the answer was mended: taken out of a code fence, commas before a closing bracket left out"
        ]
    );
}
