//! The page in a real browser: a headless Chromium, driven by `tests/browser/drive.mjs`.
//!
//! Left out, with the reason printed, where there is no Chromium or no `node_modules`
//! (`npm ci --prefix tests/browser`). `FLOW_SHOTS=DIR` keeps the pictures.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use flow_core::ids::{InstancePath, RunId};
use flow_core::store::{AttemptRow, AttemptStatus, Batch, StepRow};
use flow_core::units::Money;
use serde_json::{Value, json};
use support::Server;

/// A run of it asks a person; in the place of models it has values.
const INVOICE: &str = "
name: invoice
description: Read an invoice and return its fields, each with the place it was read from.
inputs:
  note: { type: string, description: What to write beside it }
  file: { type: file, media: [application/pdf, \"image/*\"], description: The invoice, required: false }
  currency: { type: string, enum: [USD, EUR, JPY], default: USD }
  review: { type: boolean, default: true, description: Ask a person before it is booked }
budget: { cost: 0.50 USD }
steps:
  - id: pages
    uses: value.set
    with: { value: \"{{ inputs.note }}\" }
  - id: text
    for_each: 12
    as: page
    max_parallel: 4
    needs: [pages]
    uses: value.set
    with: { value: \"{{ page }}\" }
  - id: fields
    needs: [text]
    uses: value.set
    with: { value: { number: \"42183017\", date: \"2014-08-03\", total: 4.11, account: \"296664039561\", iban: null } }
  - id: totals
    uses: value.set
    with: { value: \"{{ steps.fields.output.total }}\" }
  - id: review
    when: \"{{ inputs.review }}\"
    needs: [totals]
    uses: human.approve
    with: { question: Is the invoice read right?, show: \"{{ steps.fields.output }}\" }
outputs:
  invoice: \"{{ steps.fields.output }}\"
";

const FAULTY: &str = "
name: nightly
steps:
  - id: scan
    uses: file.globb
    with: { pattern: \"in/*.pdf\" }
  - id: report
    uses: file.write
    with: { path: out.json, content: \"{{ steps.skan.output }}\" }
";

const MANY: &str = "
name: archive
description: Ten thousand items in one loop.
steps:
  - id: items
    for_each: 10000
    uses: value.set
    with: { value: \"{{ 100 // (item - 5000) }}\" }
    on_error: continue
  - id: report
    needs: [items]
    uses: value.set
    with: { value: done }
";

/// A workflow of a thousand steps, each behind up to three before it.
fn thousand() -> String {
    let mut text = "name: thousand\nsteps:\n".to_owned();
    for at in 0_usize..1_000 {
        let before = [at.checked_sub(7), at.checked_sub(11)];
        let before = before.into_iter().flatten().filter(|before| (at + before) % 3 != 0);
        let needs: Vec<String> = before.map(|before| format!("step_{before}")).collect();
        text.push_str(&format!(
            "  - id: step_{at}\n    needs: [{}]\n    uses: value.set\n    with: {{ value: {at} }}\n",
            needs.join(", ")
        ));
    }
    text
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The browser; none, with the reason printed, where it is not there.
fn browser() -> Option<&'static str> {
    let places = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
    let chromium = places.into_iter().find(|place| Path::new(place).exists());
    let missing = match chromium {
        None => "no Chromium",
        Some(_) if !root().join("tests/browser/node_modules").exists() => {
            "no tests/browser/node_modules (npm ci --prefix tests/browser)"
        }
        Some(_) if Command::new("node").arg("--version").output().is_err() => "no node",
        Some(found) => return Some(found),
    };
    skip(missing);
    None
}

#[expect(clippy::print_stderr, reason = "a test that is left out says so")]
fn skip(missing: &str) {
    eprintln!("skipped: {missing}");
}

fn path(text: &str) -> InstancePath {
    InstancePath::from_stored(text)
}

/// Writes what models and readers would have written into a run.
async fn furnish(server: &Server, run: &RunId) {
    let store = server.store();
    let picture = std::fs::read(root().join("workflows/samples/scan.png")).unwrap();
    let mut image = store.artifacts().put_bytes(picture, "image/png", "scan-1.png").await.unwrap();
    (image.width, image.height) = (Some(2975), Some(3850));
    let page = json!({ "number": 1, "width": 612.0, "height": 792.0, "image": image.to_value() });
    let read = |edges: [f64; 4], text: &str, sure: f64| json!({ "page": 1, "box": edges, "text": text, "confidence": sure });
    let mut fields: StepRow = store.step(run, &path("fields")).await.unwrap().unwrap();
    fields.meta = Some(json!({ "grounding": {
        "values": {
            "number": read([533.0, 116.0, 573.0, 126.0], "42183017", 0.99),
            "date": read([513.0, 128.0, 573.0, 139.0], "August 3 , 2014", 0.97),
            "total": read([543.0, 143.0, 573.0, 156.0], "$4.11", 0.98),
            "account": read([34.0, 104.0, 144.0, 122.0], "296664039561", 0.93),
        },
        "ungrounded": ["iban"],
        "pages": [page],
    }, "provider": "openai", "model": "gpt-4o", "attempts": 2 }));
    let raw =
        r#"{"id":"chatcmpl-1","choices":[{"message":{"content":"{\"number\": \"42183017\"}"}}]}"#;
    let raw = store.artifacts().put_bytes(raw, "application/json", "reply").await.unwrap();
    let now = server.site.runs.workplace().now();
    let attempt = |number, failed: bool, raw: Option<Value>| AttemptRow {
        run: run.clone(),
        path: path("fields"),
        number,
        status: if failed { AttemptStatus::Failed } else { AttemptStatus::Succeeded },
        provider: Some("openai".into()),
        model: Some("gpt-4o".into()),
        error_class: failed.then_some(flow_core::error::ErrorClass::RateLimit),
        error: failed.then(|| "openai asks to slow down: 30 requests a minute".to_owned()),
        input_tokens: Some(1_834),
        output_tokens: (!failed).then_some(212),
        cost: (!failed).then(|| Money::from_micros(6_705)),
        reserved: None,
        latency_ms: Some(if failed { 212 } else { 3_480 }),
        request_id: Some(format!("req_{number}")),
        raw,
        started: now - 9_000 + i64::from(number) * 4_000,
        ended: Some(now),
        batch: false,
        speed: None,
        plugin: None,
    };
    let attempts = vec![attempt(1, true, None), attempt(2, false, Some(raw.to_value()))];
    let batch = Batch { steps: vec![fields], attempts, ..Batch::default() };
    store.commit(batch).await.unwrap();
}

/// Calls of a month, as rows of a run.
async fn spend(server: &Server, run: &RunId) {
    const DAY: i64 = 86_400_000;
    let models = [
        ("openai", "gpt-4o", 9_100),
        ("anthropic", "claude-sonnet", 7_300),
        ("llama", "qwen2.5-vl-7b", 0),
        ("gemini", "flash", 1_900),
    ];
    let now = server.site.runs.workplace().now();
    let mut attempts = Vec::new();
    for day in 0..30_i64 {
        for (at, (provider, model, price)) in models.into_iter().enumerate() {
            let calls = (day * 7 + at as i64 * 5) % 11;
            attempts.push(AttemptRow {
                run: run.clone(),
                path: path("items"),
                number: (day * 4 + at as i64 + 1) as u32,
                status: AttemptStatus::Succeeded,
                provider: Some(provider.into()),
                model: Some(model.into()),
                error_class: None,
                error: None,
                input_tokens: Some(1_000 * calls as u64),
                output_tokens: Some(90 * calls as u64),
                cost: (day != 3).then(|| Money::from_micros(price * calls * 12)),
                reserved: None,
                latency_ms: Some(900),
                request_id: None,
                raw: None,
                started: now - day * DAY,
                ended: Some(now - day * DAY + 900),
                batch: false,
                speed: None,
                plugin: None,
            });
        }
    }
    server.store().commit(Batch { attempts, ..Batch::default() }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_works_in_a_browser() {
    let Some(chromium) = browser() else { return };
    let (thousand, shots) = (thousand(), std::env::var("FLOW_SHOTS").ok());
    let workflows = [
        ("invoice.yaml", INVOICE),
        ("nightly.yaml", FAULTY),
        ("archive.yaml", MANY),
        ("thousand.yaml", thousand.as_str()),
    ];
    let server = Server::with(&workflows).await;
    let large = server.run("thousand", json!({})).await;
    let many = server.run("archive", json!({})).await;
    let done = server.run("invoice", json!({ "note": "paid", "review": false })).await;
    furnish(&server, &done).await;
    spend(&server, &many).await;
    let asks = server.run("invoice", json!({ "note": "July" })).await;
    furnish(&server, &asks).await;
    let task = json!({
        "address": format!("http://{}", server.address),
        "chromium": chromium,
        "shots": shots,
        // A browser opens no file by a path that leads up.
        "file": root().join("workflows/samples/invoice.pdf").canonicalize().unwrap(),
        "start": "invoice",
        "pages": {
            "runs": "/runs",
            "run": format!("/runs/{asks}"),
            "run-many": format!("/runs/{many}"),
            "step": format!("/runs/{done}/step?at=fields"),
            "items": format!("/runs/{many}/step?at=items&status=failed"),
            "answer": format!("/runs/{asks}/approve?at=review"),
            "form": "/workflows/invoice/start",
            "workflows": "/workflows",
            "source": "/workflows/nightly",
            "schedules": "/schedules",
            "costs": "/costs",
            "plugins": "/plugins",
            "login": "/login",
            "error": "/runs/none",
        },
        "paints": { "thousand": format!("/runs/{large}"), "many": format!("/runs/{many}") },
    });
    let script = root().join("tests/browser/drive.mjs");
    let output = tokio::task::spawn_blocking(move || {
        Command::new("node").arg(script).arg(task.to_string()).output().expect("node")
    });
    let output = output.await.unwrap();
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    let saw: Value = serde_json::from_str(&stdout).expect("one JSON object");
    assert_eq!(saw["chosen"], "invoice.pdf, 150.9 KiB");
    assert_eq!(saw["started"], saw["ended"]);
    assert_eq!(saw["step"], "pages");
    assert_eq!(saw["theme"], json!({ "changed": true, "kept": true }));
    assert_eq!((&saw["moves"], &saw["skip"]), (&json!(true), &json!("skip")));
    assert_eq!(saw["faults"], json!([]), "{saw:#}");
    assert_eq!(saw["console"], json!([]), "{saw:#}");
    tell(&saw["paints"]);
}

#[expect(clippy::print_stderr, reason = "a measurement is told, and not held against a limit")]
fn tell(paints: &Value) {
    eprintln!("paints: {paints:#}");
}
