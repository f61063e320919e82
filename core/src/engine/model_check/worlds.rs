//! Small workflows, each with what its instances will do.
//!
//! A [`Plan`] is both: the step as a file would say it, and how every attempt of every
//! instance comes out. The workflow that the scheduler sees is built from it; the reference
//! reads the plan alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::error::ErrorClass;
use crate::language::{Block, ForEach, OnError, OnLost, Policy, Retry, Step, Work, Workflow};
use crate::template::Template;

/// How the attempts of an instance come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Act {
    /// Each yields an output.
    Works,
    /// The first fails and may be tried again; those after it yield an output.
    Stumbles,
    /// Each fails and is worth no other.
    Breaks,
    /// Each fails and may be tried again, until the tries are used up.
    Tires,
    /// It asks a person, who will say this.
    Asks(bool),
}

/// What a step does.
#[derive(Clone, Debug)]
pub(super) enum Does {
    /// Runs an action once.
    Once(Act),
    /// Runs an action for each item; none where the item's condition is false.
    Each(Vec<Option<Act>>),
    /// Runs a body for each item, planned for each item.
    Bodies(Vec<Arc<Vec<Plan>>>),
    /// Runs a workflow.
    Runs(Arc<Phases>),
}

/// A step, and what becomes of it.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) id: String,
    pub(super) after: Vec<usize>,
    /// What its condition says.
    pub(super) holds: bool,
    /// Whether `on_error` takes its failures.
    pub(super) tolerant: bool,
    /// Whether its action acts on the outside.
    pub(super) external: bool,
    pub(super) on_lost: OnLost,
    /// What a person says who is asked whether to send a lost call again.
    pub(super) resend: bool,
    pub(super) max_parallel: Option<usize>,
    /// What it is asked to do: another number is other work.
    pub(super) version: u8,
    pub(super) does: Does,
}

/// The three phases of a workflow.
#[derive(Clone, Debug, Default)]
pub(super) struct Phases {
    pub(super) steps: Arc<Vec<Plan>>,
    pub(super) on_failure: Arc<Vec<Plan>>,
    pub(super) finally: Arc<Vec<Plan>>,
}

/// A workflow, and what becomes of its steps.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) phases: Arc<Phases>,
    pub(super) workflow: Arc<Workflow>,
    /// The most instances at work at once.
    pub(super) limit: usize,
    /// What the file may be changed to.
    pub(super) edited: Option<Box<World>>,
}

/// A step that runs an action without effect, behind others.
pub(super) fn step(id: &str, after: &[usize], act: Act) -> Plan {
    does(id, after, Does::Once(act))
}

/// A step that acts on the outside, behind others.
pub(super) fn call(id: &str, after: &[usize], act: Act) -> Plan {
    Plan { external: true, ..step(id, after, act) }
}

/// A step that does something, behind others.
pub(super) fn does(id: &str, after: &[usize], does: Does) -> Plan {
    Plan {
        id: id.to_owned(),
        after: after.to_vec(),
        holds: true,
        tolerant: false,
        external: false,
        on_lost: OnLost::Resend,
        resend: true,
        max_parallel: None,
        version: 0,
        does,
    }
}

/// A world whose workflow has only steps.
pub(super) fn world(steps: Vec<Plan>) -> World {
    world_of(Phases { steps: Arc::new(steps), ..Phases::default() }, 8)
}

/// A world with all phases, and a limit of instances at work.
pub(super) fn world_of(phases: Phases, limit: usize) -> World {
    let phases = Arc::new(phases);
    World { workflow: workflow(&phases), phases, limit, edited: None }
}

/// A world whose file may be changed to that of another.
pub(super) fn edit(world: World, to: World) -> World {
    World { edited: Some(Box::new(to)), ..world }
}

fn workflow(phases: &Phases) -> Arc<Workflow> {
    Arc::new(Workflow {
        name: "world".into(),
        description: None,
        inputs: Vec::new(),
        providers: BTreeMap::new(),
        models: BTreeMap::new(),
        budget: None,
        concurrency: None,
        triggers: Vec::new(),
        keep: None,
        steps: block(&phases.steps),
        on_failure: block(&phases.on_failure),
        finally: block(&phases.finally),
        outputs: Vec::new(),
    })
}

fn block(plans: &[Plan]) -> Arc<Block> {
    Arc::new(Block::new(plans.iter().map(built).collect()))
}

fn built(plan: &Plan) -> Step {
    let count = match &plan.does {
        Does::Once(_) | Does::Runs(_) => 0,
        Does::Each(items) => items.len(),
        Does::Bodies(items) => items.len(),
    };
    let items = Template::Literal((0..count).collect());
    let for_each = || {
        let max_parallel = plan.max_parallel;
        let key = Template::compile("{{ item }}").ok();
        Some(ForEach { items, item_name: "item".into(), key, max_parallel })
    };
    let action = || Work::Action {
        name: "act".into(),
        with: Template::Literal(json!({ "external": plan.external })),
        computed: Vec::new(),
        models: Vec::new(),
        task: None,
        grounded: false,
        agree: None,
        brought: None,
    };
    let (for_each, work) = match &plan.does {
        Does::Once(_) => (None, action()),
        Does::Each(_) => (for_each(), action()),
        Does::Bodies(items) => {
            let block = items.first().map(|plans| block(plans)).unwrap_or_default();
            (for_each(), Work::Body { block, collect: None })
        }
        Does::Runs(phases) => {
            let inputs = Template::Literal(json!({}));
            (None, Work::Workflow { workflow: workflow(phases), inputs, computed: Vec::new() })
        }
    };
    Step {
        id: plan.id.parse().expect("the id is an identifier"),
        name: None,
        after: plan.after.clone(),
        when: Some(Template::Literal(Value::Bool(plan.holds))),
        when_per_item: false,
        for_each,
        work,
        on_error: if plan.tolerant { OnError::Continue } else { OnError::Fail },
        policy: Policy { retry: retry(), on_lost: plan.on_lost, ..Policy::default() },
        output_used: false,
        line: 1,
    }
}

/// Two tries where the failure allows it.
pub(super) fn retry() -> Retry {
    let (initial, max) = (Duration::ZERO, Duration::ZERO);
    Retry { attempts: 2, initial, max, on: vec![ErrorClass::Server], ..Retry::default() }
}

/// The plan of the instance at a path, and what its attempts do.
pub(super) fn plan_at<'a>(phases: &'a Phases, path: &str) -> Option<(&'a Plan, Act)> {
    let all = [&phases.steps, &phases.on_failure, &phases.finally];
    all.into_iter().find_map(|plans| in_plans(plans, path))
}

fn in_plans<'a>(plans: &'a [Plan], path: &str) -> Option<(&'a Plan, Act)> {
    let (first, rest) = path.split_once('/').map_or((path, None), |(a, b)| (a, Some(b)));
    let (id, item) = first.split_once('[').map_or((first, None), |(a, b)| (a, Some(b)));
    let plan = plans.iter().find(|plan| plan.id == id)?;
    let item = item.and_then(|item| item.trim_end_matches(']').parse::<usize>().ok());
    match (&plan.does, item, rest) {
        (Does::Once(act), None, None) => Some((plan, *act)),
        (Does::Each(items), Some(item), None) => Some((plan, (*items.get(item)?)?)),
        (Does::Bodies(items), Some(item), Some(rest)) => in_plans(items.get(item)?, rest),
        (Does::Runs(phases), None, Some(rest)) => plan_at(phases, rest),
        _ => None,
    }
}
