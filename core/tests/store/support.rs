//! Rows to write, and a store to write them to.

use std::path::Path;

use flow_core::content::ContentHash;
use flow_core::ids::{InstancePath, RunId};
use flow_core::store::{Batch, EventRow, RunRow, RunStatus, StepRow, StepStatus, Store};
use flow_core::units::Money;
use serde_json::{Value, json};

/// A moment, in milliseconds since 1970: 2026-11-23.
pub(crate) const NOW: i64 = 1_795_392_000_000;

pub(crate) fn run_id(number: u64) -> RunId {
    RunId::from_parts(NOW as u64 + number, number.into())
}

pub(crate) fn bundle() -> Value {
    json!({"workflow": "name: scans"})
}

pub(crate) fn run_row(run: &RunId) -> RunRow {
    RunRow {
        id: run.clone(),
        workflow: "scans".into(),
        definition: ContentHash::of_json(&bundle()),
        status: RunStatus::Running,
        inputs: json!({"file": "a.pdf"}),
        outputs: None,
        error: None,
        cost: Money::ZERO,
        cost_uncertain: false,
        started: NOW,
        ended: None,
    }
}

pub(crate) fn path(text: &str) -> InstancePath {
    InstancePath::from_stored(text)
}

/// An instance of the step `pages`.
pub(crate) fn instance(run: &RunId, ordinal: u64) -> StepRow {
    StepRow {
        run: run.clone(),
        path: path(&format!("pages[{ordinal:016x}]")),
        parent: Some(path("pages")),
        step: "pages".into(),
        ordinal: Some(ordinal),
        status: StepStatus::Succeeded,
        hash: Some(ContentHash::of_bytes(&ordinal.to_le_bytes())),
        output: Some(json!({"text": "page", "number": ordinal})),
        meta: None,
        error_class: None,
        error: None,
        attempts: 1,
        cached: false,
        started: Some(NOW),
        ended: Some(NOW + 1),
    }
}

pub(crate) fn event(run: &RunId, seq: u64) -> EventRow {
    EventRow {
        run: run.clone(),
        seq,
        at: NOW,
        path: Some(path(&format!("pages[{seq:016x}]"))),
        kind: "step_succeeded".into(),
        body: json!({"attempt": 1}),
    }
}

/// A step and its event.
pub(crate) fn turn(run: &RunId, number: u64) -> Batch {
    Batch {
        steps: vec![instance(run, number)],
        events: vec![event(run, number)],
        ..Batch::default()
    }
}

/// Opens a store in which these runs have begun.
pub(crate) async fn store_with(folder: &Path, runs: &[RunId]) -> Store {
    let store = Store::open(folder).await.unwrap();
    let hash = ContentHash::of_json(&bundle());
    store.put_definition(&hash, "scans", &bundle()).await.unwrap();
    let batch = Batch { runs: runs.iter().map(run_row).collect(), ..Batch::default() };
    store.commit(batch).await.unwrap();
    store
}

/// Tells the person who runs the tests.
#[expect(clippy::print_stderr, reason = "whoever runs the tests is to read it")]
pub(crate) fn say(line: &str) {
    eprintln!("{line}");
}
