//! The same worlds under the real driver and the real store, with the driver's memory
//! dropped at everything that happens, one history each.
//!
//! An attempt checks from within that it may act: the store is asked, as it stands then.
//! Whatever dies, the next life opens the store anew. At the end the rows must be what the
//! reference says, and the fold of the events.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::sync::Notify;

use super::durable::Durable;
use super::judge::comes;
use super::reference;
use super::worlds::{Act, Does, Plan, World, call, does, plan_at, step, world, world_of};
use crate::action::{Action, ActionRegistry, ActionSpec, Effect, Outcome, StepContext};
use crate::content::ContentHash;
use crate::engine::{
    Answer, Backend, Clock, Embedded, Observer, Program, Progress, Resume, Setup, Submission,
};
use crate::error::{ErrorClass, Failure};
use crate::ids::{InstancePath, RunId};
use crate::state::StepState;
use crate::store::{AttemptStatus, Batch, RunStatus, StepStatus, Store};

/// A clock on which short waits are over at once and long ones never.
struct NoTime;

#[async_trait]
impl Clock for NoTime {
    fn now_ms(&self) -> i64 {
        0
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    async fn sleep(&self, duration: Duration) {
        if duration > Duration::ZERO {
            std::future::pending::<()>().await;
        }
    }
}

/// One life: counts what happens, and dies at the thing of a given number.
struct Scene {
    world: World,
    store: OnceLock<Store>,
    left: AtomicU32,
    death: Notify,
    broken: Mutex<Option<String>>,
}

impl Scene {
    /// Whether the life goes on after one more thing.
    fn goes_on(&self) -> bool {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if left == Ok(1) {
            self.death.notify_one();
        }
        left.is_ok_and(|left| left > 1)
    }

    async fn happens(&self) {
        if !self.goes_on() {
            std::future::pending::<()>().await;
        }
    }

    /// What must be durable when an attempt acts.
    async fn may_act(&self, path: &InstancePath, number: u32, external: bool) -> Option<String> {
        let store = self.store.get()?;
        let run = run_id();
        let state = store.step(&run, path).await.ok()?.as_ref().map(StepState::of_row);
        if let Some(StepState::Succeeded { .. }) = state {
            return Some(format!("2: {path} succeeded, and begins again"));
        }
        let announced =
            matches!(state, Some(StepState::Working { attempt, .. }) if attempt == number);
        let attempts = store.attempts(&run, path).await.ok()?;
        let sent = |number| {
            attempts.iter().any(|row| row.number == number && row.status == AttemptStatus::Sent)
        };
        if external && !(announced && sent(number)) {
            return Some(format!("4: {path} acts, and its attempt {number} is not durable"));
        }
        let steps = &self.world.phases.steps;
        let plan = steps.iter().find(|plan| plan.id == path.as_str())?;
        for before in plan.after.iter().map(|at| InstancePath::from_stored(&steps[*at].id)) {
            let row = store.step(&run, &before).await.ok()?;
            if row.is_none_or(|row| StepState::of_row(&row).is_open()) {
                return Some(format!("1: {path} begins before {before} is durable"));
            }
        }
        None
    }
}

impl Observer for Scene {
    fn progress(&self, _progress: &Progress) {
        self.goes_on();
    }
}

struct Scripted(Arc<Scene>, ActionSpec);

#[async_trait]
impl Action for Scripted {
    fn spec(&self) -> &ActionSpec {
        &self.1
    }

    fn effect(&self, input: &Value) -> Effect {
        if input["external"] == true { Effect::External } else { Effect::Pure }
    }

    async fn run(&self, input: Value, context: &StepContext) -> Result<Outcome, Failure> {
        let Self(scene, _) = self;
        scene.happens().await;
        let path = InstancePath::from_stored(&context.path);
        let external = input["external"] == true;
        if let Some(broken) = scene.may_act(&path, context.attempt, external).await {
            *scene.broken.lock().expect("nobody panics") = Some(broken);
        }
        let (_, act) = plan_at(&scene.world.phases, path.as_str()).expect("it is in the world");
        scene.happens().await;
        match act {
            Act::Asks(_) => Ok(Outcome::Wait { show: json!({}) }),
            Act::Breaks => Err(Failure::new(ErrorClass::BadRequest, "it fails")),
            Act::Tires => Err(Failure::new(ErrorClass::Server, "it fails")),
            Act::Stumbles if context.attempt == 1 => Err(Failure::new(ErrorClass::Server, "so")),
            Act::Works | Act::Stumbles => Ok(Outcome::Done(json!(1))),
        }
    }
}

fn run_id() -> RunId {
    RunId::from_parts(1, 1)
}

/// Lives once, and says how the run stands; none where it died. Also says what broke.
async fn live(world: &World, folder: &TempDir, first: bool, dies_at: u32) -> Option<RunStatus> {
    let spec = ActionSpec {
        name: "act",
        version: 1,
        summary: "",
        effect: Effect::External,
        cacheable: false,
        takes_model: false,
        input: json!({}),
        output: json!({}),
    };
    let store = Store::open(folder.path()).await.unwrap();
    let scene = Arc::new(Scene {
        world: world.clone(),
        store: OnceLock::from(store.clone()),
        left: AtomicU32::new(dies_at),
        death: Notify::new(),
        broken: Mutex::new(None),
    });
    let mut actions = ActionRegistry::default();
    actions.add(Arc::new(Scripted(Arc::clone(&scene), spec)));
    let setup = Setup {
        store: store.clone(),
        actions,
        clock: Arc::new(NoTime),
        sniff: |_| None,
        parallel: world.limit,
        use_cache: false,
    };
    let engine = Embedded::new(setup);
    let program = Program {
        workflow: Arc::clone(&world.workflow),
        definition: ContentHash::of_bytes(b"world"),
        bundle: Value::Null,
        folder: folder.path().to_owned(),
    };
    let (id, observer) = (run_id(), Arc::clone(&scene) as Arc<dyn Observer>);
    let mut handle = if first {
        let inputs = Map::new();
        engine.submit(Submission { id, program, inputs, observer }).await.unwrap()
    } else {
        engine.resume(Resume { id, program, observer }).await.unwrap()
    };
    let status = tokio::select! {
        biased;
        () = scene.death.notified() => None,
        report = handle.wait() => Some(report.unwrap().run.status),
    };
    drop(handle);
    assert_eq!(scene.broken.lock().unwrap().take(), None);
    if status == Some(RunStatus::Waiting) {
        answer_all(&engine, world).await;
    }
    store.close().await;
    status
}

async fn answer_all(engine: &Embedded, world: &World) {
    for asked in engine.store().approvals(&run_id()).await.unwrap() {
        if asked.approved.is_none() {
            let (_, act) = plan_at(&world.phases, asked.path.as_str()).unwrap();
            let answer = Answer { approved: act == Act::Asks(true), comment: None, output: None };
            engine.approve(&run_id(), &asked.path, answer).await.unwrap();
        }
    }
}

/// Takes a world to its end through these deaths. Says whether the last of them came.
fn history(world: &World, deaths: &[u32]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let (mut lives, mut died) = (0, 0);
    loop {
        let dies_at = deaths.get(died).copied().unwrap_or(u32::MAX);
        // A runtime a life: what it dropped is gone before the next begins.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let status = runtime.block_on(live(world, &folder, lives == 0, dies_at));
        lives += 1;
        match status {
            None => died += 1,
            Some(RunStatus::Waiting) => {}
            Some(status) => {
                runtime.block_on(ends_well(world, &folder, status));
                return died == deaths.len();
            }
        }
        assert!(lives < 20, "8: the run does not end after {deaths:?}");
    }
}

async fn ends_well(world: &World, folder: &TempDir, status: RunStatus) {
    let store = Store::open(folder.path()).await.unwrap();
    let expected = reference::outcome(&world.phases, &|_, plan, act| comes(plan, act, false));
    let should =
        if expected.failed == Some(true) { RunStatus::Failed } else { RunStatus::Succeeded };
    assert_eq!(status, should);
    let events = store.events(&run_id(), 0, 10_000).await.unwrap();
    let mut steps = Vec::new();
    for path in expected.settled.keys() {
        let path = InstancePath::from_stored(path);
        steps.push(store.step(&run_id(), &path).await.unwrap().expect("it has a row"));
        let attempts = store.attempts(&run_id(), &path).await.unwrap();
        assert!(attempts.iter().all(|row| row.status != AttemptStatus::Sent), "4: {path}");
    }
    let rows = steps.iter().map(|row| (row.path.to_string(), row.status));
    assert_eq!(rows.collect::<std::collections::BTreeMap<_, StepStatus>>(), expected.settled);
    let runs = vec![store.run(&run_id()).await.unwrap().unwrap()];
    let batch = Batch { events, runs, steps, ..Batch::default() };
    Durable::new().commit(batch).unwrap();
    store.close().await;
}

fn worlds() -> Vec<World> {
    let each = Does::Each(vec![Some(Act::Stumbles), Some(Act::Works), Some(Act::Works)]);
    let body = |act| Arc::new(vec![call("x", &[], act), step("y", &[0], Act::Works)]);
    let bodies = Does::Bodies(vec![body(Act::Works), body(Act::Tires)]);
    let diamond = super::phases(
        vec![
            step("a", &[], Act::Works),
            call("b", &[0], Act::Stumbles),
            step("c", &[0], Act::Asks(true)),
            call("d", &[1, 2], Act::Works),
        ],
        vec![],
        vec![call("end", &[], Act::Works)],
    );
    vec![
        world_of(diamond, 8),
        world(vec![
            Plan { external: true, ..does("each", &[], each) },
            Plan { tolerant: true, ..call("bad", &[], Act::Breaks) },
            Plan { holds: false, ..step("no", &[1], Act::Works) },
            call("then", &[0, 1, 2], Act::Works),
        ]),
        world(vec![
            Plan { tolerant: true, ..does("each", &[], bodies) },
            step("then", &[0], Act::Asks(false)),
            call("never", &[1], Act::Works),
        ]),
    ]
}

/// Takes a world through a death at each thing that happens in it, and another after that.
fn histories(world: &World) -> u32 {
    let mut histories = 0;
    for at in 1.. {
        histories += 2;
        history(world, &[at, at / 2 + 1]);
        if !history(world, &[at]) {
            break;
        }
    }
    histories
}

#[test]
#[expect(clippy::print_stderr, reason = "how much was walked is what a reader wants to know")]
fn model_check_of_the_driver_that_dies_at_everything() {
    let histories: u32 = std::thread::scope(|scope| {
        let started = worlds().into_iter().map(|world| scope.spawn(move || histories(&world)));
        let started: Vec<_> = started.collect();
        started.into_iter().map(|thread| thread.join().expect("every history ends well")).sum()
    });
    eprintln!("{histories} histories of the real driver");
    assert!(histories > 120, "only {histories} histories");
}
