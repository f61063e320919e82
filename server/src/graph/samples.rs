//! Workflows to draw in tests, built by hand: the checker has tests of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use flow_core::language::{Block, ForEach, OnError, Policy, Step, Work, Workflow};
use flow_core::store::StepStatus;
use flow_core::template::Template;
use serde_json::Value;

fn literal() -> Template {
    Template::Literal(Value::Null)
}

pub(crate) fn workflow(name: &str, steps: Vec<Step>) -> Workflow {
    Workflow {
        name: name.into(),
        description: None,
        inputs: Vec::new(),
        providers: BTreeMap::new(),
        models: BTreeMap::new(),
        budget: None,
        concurrency: None,
        triggers: Vec::new(),
        keep: None,
        steps: Arc::new(Block::new(steps)),
        on_failure: Arc::default(),
        finally: Arc::default(),
        outputs: Vec::new(),
    }
}

fn working(id: &str, work: Work, after: &[usize]) -> Step {
    Step {
        id: id.parse().unwrap(),
        name: None,
        after: after.to_vec(),
        when: None,
        when_per_item: false,
        for_each: None,
        work,
        on_error: OnError::Fail,
        policy: Policy::default(),
        output_used: true,
        line: 1,
    }
}

pub(crate) fn step(id: &str, action: &str, after: &[usize]) -> Step {
    let work = Work::Action {
        name: action.into(),
        with: literal(),
        computed: Vec::new(),
        models: Vec::new(),
        task: None,
        grounded: false,
        agree: None,
        brought: None,
    };
    working(id, work, after)
}

fn body(id: &str, steps: Vec<Step>, after: &[usize]) -> Step {
    let block = Arc::new(Block::new(steps));
    working(id, Work::Body { block, collect: None }, after)
}

fn each(mut step: Step, item_name: &str, max_parallel: Option<usize>) -> Step {
    step.for_each =
        Some(ForEach { items: literal(), item_name: item_name.into(), key: None, max_parallel });
    step
}

fn conditional(mut step: Step) -> Step {
    step.when = Some(literal());
    step
}

/// The example of the README.
pub(crate) fn invoice() -> Workflow {
    let steps = vec![
        step("pages", "document.pages", &[]),
        each(step("text", "document.ocr", &[0]), "page", Some(4)),
        step("fields", "extract.fields", &[1]),
        step("totals", "value.set", &[2]),
        conditional(step("review", "human.approve", &[2, 3])),
    ];
    Workflow {
        description: Some("Read an invoice, each field with the place it was read from.".into()),
        ..workflow("invoice", steps)
    }
}

/// A workflow with everything: a loop in a loop, a sub-workflow, handlers, long edges.
pub(crate) fn night() -> Workflow {
    let lines = vec![
        step("crop", "value.set", &[]),
        step("read", "document.ocr", &[0]),
        step("guess", "model.generate", &[0]),
        step("vote", "value.set", &[1, 2]),
    ];
    let documents = vec![
        step("pages", "document.pages", &[]),
        each(step("read", "document.ocr", &[0]), "page", None),
        each(body("lines", lines, &[1]), "line", Some(2)),
        step("merge", "value.set", &[0, 2]),
    ];
    let invoices = working(
        "invoices",
        Work::Workflow { workflow: Arc::new(invoice()), inputs: literal(), computed: Vec::new() },
        &[0],
    );
    let mut scan = step("scan", "file.glob", &[]);
    scan.name = Some("Find tonight's scans in the archive folder".into());
    let mut mail = step("mail", "file.write", &[1]);
    mail.on_error = OnError::Continue;
    let steps = vec![
        scan,
        each(body("documents", documents, &[0]), "file", Some(8)),
        each(invoices, "file", None),
        step("settings", "value.set", &[]),
        step("report", "file.write", &[0, 1, 2, 3]),
        mail,
        conditional(step("approve", "human.approve", &[4])),
    ];
    Workflow {
        description: Some("Reads a night's scans and writes one report.".into()),
        on_failure: Arc::new(Block::new(vec![step("alarm", "file.write", &[])])),
        finally: Arc::new(Block::new(vec![step("tidy", "file.write", &[])])),
        ..workflow("night", steps)
    }
}

/// Names that mean something to each of the languages drawn in.
pub(crate) fn hostile() -> Workflow {
    let mut first = step("end", "value.set", &[]);
    first.name = Some("\"]; end <script>alert('&#1;')</script> `x` \\ ]]>\n\u{1}\u{ffff}".into());
    let mut second = step("subgraph", "value.set", &[0]);
    second.name = Some("請求書を読み取って各項目の場所も一緒に返すステップ".into());
    workflow("<\"hostile\\\"> & co", vec![first, second])
}

/// A run of `night` that failed half way.
pub(crate) fn status(path: &str) -> Option<StepStatus> {
    match path {
        "scan" | "documents/pages" | "documents/read" | "settings" => Some(StepStatus::Succeeded),
        "documents" | "documents/lines" | "documents/lines/guess" => Some(StepStatus::Running),
        "invoices" | "invoices/fields" => Some(StepStatus::Failed),
        "invoices/review" => Some(StepStatus::Skipped),
        "report" | "approve" => Some(StepStatus::Blocked),
        "mail" => Some(StepStatus::Waiting),
        _ => None,
    }
}

/// Steps that wait for up to three of those shortly before, or now and then for any.
pub(crate) fn random(count: usize) -> Workflow {
    let mut seed = 7_usize;
    let mut next = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let steps = (0..count).map(|index| {
        let mut after: Vec<usize> = Vec::new();
        for _ in 0..next(4).min(index) {
            let far = next(20) == 0;
            after.push(index - 1 - next(if far { index } else { index.min(12) }));
        }
        after.sort_unstable();
        after.dedup();
        step(&format!("step_{index}"), "value.set", &after)
    });
    let steps = steps.collect();
    workflow("random", steps)
}

/// One step, many that wait for it, one that waits for all.
pub(crate) fn fan(count: usize) -> Workflow {
    let mut steps = vec![step("start", "file.glob", &[])];
    steps.extend((1..=count).map(|i| step(&format!("work_{i}"), "document.ocr", &[0])));
    let all: Vec<usize> = (1..=count).collect();
    steps.push(step("gather", "file.write", &all));
    workflow("fan", steps)
}

/// Every step waits for every one before it.
pub(crate) fn dense(count: usize) -> Workflow {
    let all: Vec<usize> = (0..count).collect();
    let steps = (0..count).map(|i| step(&format!("step_{i}"), "value.set", &all[..i]));
    let steps = steps.collect();
    workflow("dense", steps)
}
