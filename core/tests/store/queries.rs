//! What is asked for is what is answered, in parts of bounded size.

use flow_core::action::Speed;
use flow_core::content::ContentHash;
use flow_core::error::ErrorClass;
use flow_core::ids::{InstancePath, RunId};
use flow_core::store::{
    ApprovalRow, AttemptRow, AttemptStatus, Batch, CacheRow, CostRow, LogFilter, LogRow, RunFilter,
    RunRow, RunStatus, StepRow, StepStatus, Store,
};
use flow_core::units::Money;
use serde_json::{Value, json};

use crate::support::{NOW, bundle, event, instance, path, run_id, run_row, store_with};

#[tokio::test]
async fn every_column_of_every_row_survives() {
    let folder = tempfile::tempdir().unwrap();
    let run = run_id(1);
    let store = store_with(folder.path(), std::slice::from_ref(&run)).await;
    let mut ended = run_row(&run);
    ended.status = RunStatus::Failed;
    ended.outputs = Some(Value::Null);
    ended.error = Some("step `a` failed: \"quoted\"\n\u{1f4a5} \\u0000".into());
    ended.cost = Money::from_micros(-3);
    ended.cost_uncertain = true;
    ended.ended = Some(NOW + 5);
    let mut step = instance(&run, 7);
    step.status = StepStatus::Failed;
    step.output = Some(json!({"n": [1e300, 0.1, i64::MAX, u64::MAX, "\u{0}é\u{2028}"], "": null}));
    step.meta = Some(json!({"model": "m"}));
    step.error_class = Some(ErrorClass::RateLimit);
    step.error = Some("slow down".into());
    step.cached = true;
    let mut bare = instance(&run, 8);
    (bare.parent, bare.ordinal, bare.hash, bare.output) = (None, None, None, None);
    (bare.started, bare.ended) = (None, None);
    let attempt = attempt(&run, 2);
    let approval = ApprovalRow {
        run: run.clone(),
        path: path("ask"),
        show: json!([1]),
        asked: NOW,
        answered: Some(NOW + 1),
        approved: Some(false),
        comment: Some("no".into()),
        output: Some(json!({"a": 1})),
    };
    let cache = CacheRow {
        hash: ContentHash::of_bytes(b"c"),
        output: json!("out"),
        meta: Some(json!(1)),
        run: Some(run.clone()),
        at: NOW,
    };
    let log = LogRow {
        run: run.clone(),
        at: NOW,
        path: Some(path("ask")),
        attempt: Some(1),
        line: "one\ttwo".into(),
    };
    let batch = Batch {
        events: vec![event(&run, 1)],
        runs: vec![ended.clone()],
        costs: Vec::new(),
        steps: vec![step.clone(), bare.clone()],
        attempts: vec![attempt.clone()],
        approvals: vec![approval.clone()],
        cache: vec![cache.clone()],
        logs: vec![log.clone()],
    };
    store.commit(batch).await.unwrap();

    assert_eq!(store.run(&run).await.unwrap(), Some(ended));
    assert_eq!(store.step(&run, &step.path).await.unwrap(), Some(step));
    assert_eq!(store.step(&run, &bare.path).await.unwrap(), Some(bare));
    assert_eq!(store.attempts(&run, &attempt.path).await.unwrap(), [attempt]);
    assert_eq!(store.approvals(&run).await.unwrap(), [approval]);
    assert_eq!(store.cached(&[cache.hash]).await.unwrap()[&cache.hash], cache);
    let logs = store.logs(&run, &LogFilter::default(), 0, 10).await.unwrap();
    assert_eq!(logs.rows, [log]);
    let definition = store.definition(&ContentHash::of_json(&bundle())).await.unwrap();
    assert_eq!(definition, Some(bundle()));
}

fn attempt(run: &RunId, number: u32) -> AttemptRow {
    AttemptRow {
        run: run.clone(),
        path: path("read"),
        number,
        status: AttemptStatus::Succeeded,
        provider: Some("openai".into()),
        model: Some("gpt-4o".into()),
        error_class: None,
        error: None,
        input_tokens: Some(1000),
        output_tokens: Some(10),
        cost: Some(Money::from_micros(2500)),
        reserved: Some(Money::from_micros(9000)),
        latency_ms: Some(800),
        request_id: Some("req_1".into()),
        raw: Some(json!({"id": 1})),
        started: NOW,
        ended: Some(NOW + 800),
        batch: false,
        speed: Some(Speed { prompt: Some(41.5), together: 8, ..Speed::default() }),
        plugin: None,
    }
}

#[tokio::test]
async fn a_later_row_replaces_the_earlier_even_in_one_batch() {
    let folder = tempfile::tempdir().unwrap();
    let run = run_id(1);
    let store = store_with(folder.path(), std::slice::from_ref(&run)).await;
    let mut first = instance(&run, 1);
    first.status = StepStatus::Running;
    let batch = Batch { steps: vec![first, instance(&run, 1)], ..Batch::default() };
    store.commit(batch).await.unwrap();
    let page = store.steps(&run, Some(&path("pages")), None, 10).await.unwrap();
    assert_eq!(page.rows, [instance(&run, 1)]);
}

#[tokio::test]
async fn instances_come_in_item_order_page_by_page() {
    let folder = tempfile::tempdir().unwrap();
    let run = run_id(1);
    let store = store_with(folder.path(), std::slice::from_ref(&run)).await;
    let batch =
        Batch { steps: (0..25).rev().map(|n| instance(&run, n)).collect(), ..Batch::default() };
    store.commit(batch).await.unwrap();
    let pages = path("pages");
    let (mut ordinals, mut outputs, mut after) = (Vec::new(), Vec::new(), None);
    loop {
        let page = store.steps(&run, Some(&pages), after, 10).await.unwrap();
        let values = store.outputs_of(&run, &pages, after, 10).await.unwrap();
        assert_eq!(values.next, page.next);
        ordinals.extend(page.rows.iter().map(|step| step.ordinal.unwrap()));
        outputs.extend(values.rows.iter().map(|value| value["number"].as_u64().unwrap()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(ordinals, (0..25).collect::<Vec<_>>());
    assert_eq!(outputs, ordinals);
    let counts = store.step_counts(&run, Some(&pages)).await.unwrap();
    assert_eq!(counts, [(StepStatus::Succeeded, 25)].into());
    assert!(store.step_counts(&run, None).await.unwrap().is_empty());

    let wanted = [instance(&run, 3).path, path("pages[none]"), instance(&run, 4).path];
    let found = store.steps_by_path(&run, &wanted).await.unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[&wanted[0]], instance(&run, 3));
}

#[tokio::test]
async fn attempts_and_logs_come_page_by_page() {
    let folder = tempfile::tempdir().unwrap();
    let run = run_id(1);
    let store = store_with(folder.path(), std::slice::from_ref(&run)).await;
    let line = |n: u32| LogRow {
        run: run.clone(),
        at: NOW,
        path: n.is_multiple_of(2).then(|| path("read")),
        attempt: Some(n),
        line: format!("line {n}"),
    };
    let batch = Batch {
        attempts: (1..=5).map(|n| attempt(&run, n)).collect(),
        logs: (1..=5).map(line).collect(),
        ..Batch::default()
    };
    store.commit(batch).await.unwrap();
    let first = store.attempts_of_run(&run, None, 3).await.unwrap();
    let second = store.attempts_of_run(&run, first.next, 3).await.unwrap();
    let numbers: Vec<_> = first.rows.iter().chain(&second.rows).map(|a| a.number).collect();
    assert_eq!((numbers, second.next), (vec![1, 2, 3, 4, 5], None));

    let only = LogFilter { path: Some(path("read")), attempt: None };
    let first = store.logs(&run, &only, 0, 1).await.unwrap();
    let second = store.logs(&run, &only, first.next.unwrap(), 9).await.unwrap();
    assert_eq!(first.rows, [line(2)]);
    assert_eq!(second.rows, [line(4)]);
    let nothing = store.logs(&run, &only, second.next.unwrap(), 9).await.unwrap();
    assert_eq!((nothing.rows, nothing.next), (vec![], None));
    let only = LogFilter { path: None, attempt: Some(3) };
    assert_eq!(store.logs(&run, &only, 0, 9).await.unwrap().rows, [line(3)]);
}

#[tokio::test]
async fn the_last_lines_of_a_log_are_found_and_those_before_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (run, other) = (run_id(1), run_id(2));
    let store = store_with(folder.path(), &[run.clone(), other.clone()]).await;
    let line = |run: &RunId, n: u32| LogRow {
        run: run.clone(),
        at: NOW,
        path: Some(path(if n.is_multiple_of(2) { "even" } else { "odd" })),
        attempt: Some(1),
        line: format!("line {n}"),
    };
    let logs = (1..=10).flat_map(|n| [line(&run, n), line(&other, n)]).collect();
    store.commit(Batch { logs, ..Batch::default() }).await.unwrap();
    let even = path("even");
    let cases: [(Option<&InstancePath>, u32, u64, &[u32]); 5] = [
        (None, 3, 7, &[8, 9, 10]),
        (None, 10, 0, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        (None, 11, 0, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        (Some(&even), 2, 3, &[8, 10]),
        (Some(&even), 0, 5, &[]),
    ];
    for (path, lines, before, expected) in cases {
        let place = store.place_of_last_logs(&run, path, lines).await.unwrap();
        assert_eq!(store.count_logs(&run, path, place).await.unwrap(), before);
        let filter = LogFilter { path: path.cloned(), attempt: None };
        let rows = store.logs(&run, &filter, place, 100).await.unwrap().rows;
        let expected: Vec<_> = expected.iter().map(|n| line(&run, *n)).collect();
        assert_eq!(rows, expected, "{path:?} {lines}");
    }
}

#[tokio::test]
async fn runs_are_listed_latest_first_and_filtered() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with(folder.path(), &[]).await;
    let rows: Vec<_> = (0..6)
        .map(|n| {
            let mut row = run_row(&run_id(n));
            row.started = NOW + n as i64 / 2;
            if n == 3 {
                row.status = RunStatus::Waiting;
                row.workflow = "other".into();
            }
            row
        })
        .collect();
    let batch = Batch { runs: rows, ..Batch::default() };
    store.commit(batch).await.unwrap();
    let list = async |filter: RunFilter| -> Vec<_> {
        let runs = store.runs(&filter).await.unwrap();
        runs.into_iter().map(|run| run.id).collect()
    };
    let ids = |numbers: &[u64]| numbers.iter().copied().map(run_id).collect::<Vec<_>>();
    assert_eq!(list(RunFilter::default()).await, ids(&[5, 4, 3, 2, 1, 0]));
    let page = RunFilter { limit: Some(2), before: Some(run_id(4)), ..RunFilter::default() };
    assert_eq!(list(page).await, ids(&[3, 2]));
    let waiting = RunFilter { status: Some(RunStatus::Waiting), ..RunFilter::default() };
    assert_eq!(list(waiting).await, ids(&[3]));
    let workflow = RunFilter { workflow: Some("scans".into()), ..RunFilter::default() };
    assert_eq!(list(workflow).await, ids(&[5, 4, 2, 1, 0]));
}

#[tokio::test]
async fn a_run_is_found_by_the_begin_or_end_of_its_id() {
    let folder = tempfile::tempdir().unwrap();
    let runs: Vec<_> = (1..=7).map(run_id).collect();
    let store = store_with(folder.path(), &runs).await;
    let file = folder.path().join("flow.db");
    let id = runs[2].as_str();
    for part in [id, &id.to_ascii_uppercase(), &id[20..]] {
        assert_eq!(store.find_run(part).await.unwrap().id, runs[2]);
    }
    let error = store.find_run(&id[..8]).await.unwrap_err();
    let named: Vec<_> = runs[2..].iter().rev().map(RunId::as_str).collect();
    assert_eq!(
        error.to_string(),
        format!("`{}` is the id of several runs: {} and more", &id[..8], named.join(", "))
    );
    assert_eq!(error.hint(), Some("give more of the id"));
    for part in ["zzz", "", "%", "' OR 1=1"] {
        let error = store.find_run(part).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("no run `{}` in {}", part.to_ascii_lowercase(), file.display())
        );
        assert_eq!(error.hint(), Some("`flow runs` lists the runs of the store"));
    }
}

#[tokio::test]
async fn a_wish_to_cancel_stays_until_it_is_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let run = run_id(1);
    let store = store_with(folder.path(), std::slice::from_ref(&run)).await;
    assert!(!store.cancel_requested(&run).await.unwrap());
    store.request_cancel(&run).await.unwrap();
    let batch = Batch { runs: vec![run_row(&run)], ..Batch::default() };
    store.commit(batch).await.unwrap();
    assert!(store.cancel_requested(&run).await.unwrap());
    store.clear_cancel(&run).await.unwrap();
    assert!(!store.cancel_requested(&run).await.unwrap());
    let error = store.request_cancel(&run_id(2)).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("no run `{}` in ", run_id(2))));
}

#[tokio::test]
async fn open_questions_are_those_that_somebody_still_waits_for() {
    let folder = tempfile::tempdir().unwrap();
    let run = run_id(1);
    let store = store_with(folder.path(), std::slice::from_ref(&run)).await;
    let question = |name: &str, answered| ApprovalRow {
        run: run.clone(),
        path: path(name),
        show: json!(null),
        asked: NOW,
        answered,
        approved: answered.map(|_| true),
        comment: None,
        output: None,
    };
    let step = |name: &str, status| StepRow { path: path(name), status, ..instance(&run, 1) };
    let (waiting, done) = (StepStatus::Waiting, StepStatus::Succeeded);
    let batch = Batch {
        steps: vec![step("a", waiting), step("b", waiting), step("c", done)],
        approvals: vec![question("a", Some(NOW)), question("b", None), question("c", None)],
        ..Batch::default()
    };
    store.commit(batch).await.unwrap();
    assert_eq!(store.open_approvals(&run).await.unwrap(), [question("b", None)]);
    assert_eq!(store.approvals(&run).await.unwrap().len(), 3);

    let ended = store.run(&run).await.unwrap().unwrap();
    let ended = RunRow { status: RunStatus::Cancelled, ..ended };
    store.commit(Batch { runs: vec![ended], ..Batch::default() }).await.unwrap();
    assert_eq!(store.open_approvals(&run).await.unwrap(), []);
}

#[tokio::test]
async fn text_with_a_nul_in_it_is_not_cut() {
    let folder = tempfile::tempdir().unwrap();
    let run = run_id(1);
    let store: Store = store_with(folder.path(), std::slice::from_ref(&run)).await;
    let mut step = instance(&run, 1);
    step.path = path("pages[a\u{0}b]");
    step.error = Some("x\u{0}y".into());
    let batch = Batch { steps: vec![step.clone()], ..Batch::default() };
    store.commit(batch).await.unwrap();
    assert_eq!(store.step(&run, &step.path).await.unwrap(), Some(step));
}

/// What a run spends is booked often, and its values may be large.
#[tokio::test]
async fn a_cost_is_booked_and_leaves_the_rest_of_the_run_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let runs = [run_id(1), run_id(2)];
    let store = store_with(folder.path(), &runs).await;
    let (run, cost) = (runs[0].clone(), Money::from_micros(1_500_000));
    let costs = vec![CostRow { run: run.clone(), cost, uncertain: true }];
    store.commit(Batch { costs, ..Batch::default() }).await.unwrap();
    let booked = RunRow { cost, cost_uncertain: true, ..run_row(&run) };
    assert_eq!(store.run(&run).await.unwrap(), Some(booked));
    assert_eq!(store.run(&runs[1]).await.unwrap(), Some(run_row(&runs[1])));
}
