//! The scheduler against a naive reading of the rules, over random graphs and endings.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::language::{ForEach, OnError, Policy, Step, Work};
use crate::template::Template;

/// A step as the test describes it: what it waits for, how many instances it has (none for
/// a plain step), and how it or the instances that end badly end.
#[derive(Clone, Debug)]
struct Plan {
    after: Vec<usize>,
    instances: Option<u64>,
    ending: Ending,
}

fn plans(most: usize) -> impl Strategy<Value = Vec<Plan>> {
    let ending = prop_oneof![
        4 => Just(Ending::Done),
        1 => Just(Ending::Skipped),
        1 => Just(Ending::Failed),
    ];
    let step = (
        prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        prop::option::of(0u64..5),
        ending,
    );
    prop::collection::vec(step, 1..most).prop_map(|steps| {
        let plan = |(at, (after, instances, ending)): (usize, (Vec<prop::sample::Index>, _, _))| {
            let mut after: Vec<usize> = match at {
                0 => Vec::new(),
                _ => after.iter().map(|index| index.index(at)).collect(),
            };
            after.sort_unstable();
            after.dedup();
            Plan { after, instances, ending }
        };
        steps.into_iter().enumerate().map(plan).collect()
    })
}

fn step(id: &str, plan: &Plan) -> Step {
    Step {
        id: id.parse().unwrap(),
        name: None,
        after: plan.after.clone(),
        when: None,
        when_per_item: false,
        for_each: plan.instances.map(|_| ForEach {
            items: Template::Literal(Value::Null),
            item_name: "item".into(),
            key: None,
            max_parallel: None,
        }),
        work: Work::Body { block: Arc::default(), collect: None },
        on_error: OnError::Fail,
        policy: Policy::default(),
        output_used: false,
        line: 1,
    }
}

fn workflow(plans: &[Plan]) -> Arc<Workflow> {
    let steps = plans.iter().enumerate().map(|(at, plan)| step(&format!("s{at}"), plan));
    let plain = Plan { after: Vec::new(), instances: None, ending: Ending::Done };
    Arc::new(Workflow {
        name: "test".into(),
        description: None,
        inputs: Vec::new(),
        providers: BTreeMap::new(),
        models: BTreeMap::new(),
        budget: None,
        concurrency: None,
        triggers: Vec::new(),
        keep: None,
        steps: Arc::new(Block::new(steps.collect())),
        on_failure: Arc::new(Block::new(vec![step("alarm", &plain)])),
        finally: Arc::new(Block::new(vec![step("tidy", &plain)])),
        outputs: Vec::new(),
    })
}

/// How every step ends by the rules alone.
fn expected(plans: &[Plan]) -> Vec<Ending> {
    let mut endings: Vec<Ending> = Vec::new();
    for plan in plans {
        let blocked = plan.after.iter().any(|before| endings[*before].blocks());
        let own = match plan.instances {
            // A loop without items cannot fail, and a skip of each item is no skip.
            Some(0) => Ending::Done,
            Some(_) if plan.ending == Ending::Skipped => Ending::Done,
            _ => plan.ending,
        };
        endings.push(if blocked { Ending::Blocked } else { own });
    }
    endings
}

/// What driving a scheduler saw.
#[derive(Default)]
struct Seen {
    endings: BTreeMap<usize, Ending>,
    phases: Vec<String>,
    most_active: u64,
}

/// Drives a scheduler to its end, settling what is active in the order `choices` says.
fn drive(plans: &[Plan], window: u64, choices: &[prop::sample::Index]) -> Result<Seen, String> {
    let workflow = workflow(plans);
    let mut scheduler = Scheduler::new(&workflow, window);
    let mut seen = Seen::default();
    let mut active: Vec<(Slot, Ending)> = Vec::new();
    let mut choices = choices.iter().cycle();
    loop {
        while let Some(begin) = scheduler.next() {
            match begin {
                Begin::Step(slot) => {
                    let block = Arc::clone(scheduler.block(slot.frame).ok_or("no block")?);
                    let step = &block.steps[slot.step];
                    if !Arc::ptr_eq(&block, &workflow.steps) {
                        seen.phases.push(step.id.to_string());
                        active.push((slot, Ending::Done));
                        continue;
                    }
                    for before in &step.after {
                        if !seen.endings.contains_key(before) {
                            return Err(format!(
                                "step {} began before step {before} ended",
                                slot.step
                            ));
                        }
                    }
                    match step.for_each {
                        Some(_) => scheduler.open(slot, None),
                        None => active.push((slot, plans[slot.step].ending)),
                    }
                }
                Begin::Instance(slot) => {
                    let plan = &plans[slot.step];
                    if slot.ordinal >= plan.instances {
                        scheduler.drained(slot);
                        continue;
                    }
                    active.push((slot, plan.ending));
                    let same = active.iter().filter(|(other, _)| {
                        other.ordinal.is_some()
                            && (other.frame, other.step) == (slot.frame, slot.step)
                    });
                    seen.most_active = seen.most_active.max(same.count() as u64);
                }
                Begin::Gather(slot) => {
                    let ending =
                        if scheduler.loop_failed(slot) { Ending::Failed } else { Ending::Done };
                    seen.endings.insert(slot.step, ending);
                    scheduler.settle(slot, ending);
                }
                Begin::Leave { .. } => return Err("nothing was entered".into()),
                Begin::Finish => return Ok(seen),
            }
            for Blocked { slot, .. } in scheduler.take_blocked() {
                seen.endings.insert(slot.step, Ending::Blocked);
            }
        }
        if active.is_empty() {
            return Err("nothing is active and nothing may begin".into());
        }
        let choice = choices.next().ok_or("no choices")?.index(active.len());
        let (slot, ending) = active.swap_remove(choice);
        let block = Arc::clone(scheduler.block(slot.frame).ok_or("no block")?);
        if slot.ordinal.is_none() && Arc::ptr_eq(&block, &workflow.steps) {
            seen.endings.insert(slot.step, ending);
        }
        scheduler.settle(slot, ending);
        for Blocked { slot, .. } in scheduler.take_blocked() {
            seen.endings.insert(slot.step, Ending::Blocked);
        }
    }
}

proptest! {
    #[test]
    fn every_step_ends_as_the_rules_say_in_whatever_order_work_ends(
        plans in plans(12),
        window in 1u64..4,
        choices in prop::collection::vec(any::<prop::sample::Index>(), 1..40),
    ) {
        let seen = drive(&plans, window, &choices).map_err(TestCaseError::fail)?;
        let expected = expected(&plans);
        for (at, ending) in expected.iter().enumerate() {
            prop_assert_eq!(seen.endings.get(&at), Some(ending), "step {} of {:?}", at, &plans);
        }
        prop_assert!(seen.most_active <= window);
        let failed = expected.contains(&Ending::Failed);
        let phases: &[&str] = if failed { &["alarm", "tidy"] } else { &["tidy"] };
        prop_assert_eq!(seen.phases, phases);
    }
}

#[test]
fn a_long_chain_settles_without_recursion() {
    let plan = |at: usize| Plan {
        after: if at == 0 { Vec::new() } else { vec![at - 1] },
        instances: None,
        ending: if at == 0 { Ending::Failed } else { Ending::Done },
    };
    let plans: Vec<Plan> = (0..100_000).map(plan).collect();
    let mut scheduler = Scheduler::new(&workflow(&plans), 4);
    let Some(Begin::Step(first)) = scheduler.next() else { panic!("the chain does not begin") };
    scheduler.settle(first, Ending::Failed);
    assert_eq!(scheduler.take_blocked().len(), 99_999);
}

/// A scheduler with a loop under way, of which two items may be at work.
fn looping(max_parallel: Option<usize>) -> (Scheduler, Slot) {
    let plan = Plan { after: Vec::new(), instances: Some(10), ending: Ending::Done };
    let mut scheduler = Scheduler::new(&workflow(&[plan]), 2);
    let Some(Begin::Step(slot)) = scheduler.next() else { panic!("the loop does not begin") };
    scheduler.open(slot, max_parallel);
    (scheduler, slot)
}

fn begun(scheduler: &mut Scheduler) -> Vec<Slot> {
    let next = || match scheduler.next() {
        Some(Begin::Instance(slot)) => Some(slot),
        Some(other) => panic!("{other:?} begins"),
        None => None,
    };
    std::iter::from_fn(next).collect()
}

#[test]
fn who_stands_aside_is_in_nobodys_way_until_it_comes_back() {
    let (mut scheduler, _) = looping(None);
    let first = begun(&mut scheduler);
    assert_eq!(first.len(), 2);
    for slot in &first {
        scheduler.stand_aside(*slot);
    }
    let second = begun(&mut scheduler);
    assert_eq!(second.len(), 2);
    scheduler.come_back(first[0]);
    scheduler.settle(second[0], Ending::Done);
    assert_eq!(begun(&mut scheduler), [], "two are at work: one came back");
    // What waits for a person as well is not counted twice.
    scheduler.wait(first[1]);
    scheduler.come_back(first[1]);
    scheduler.settle(second[1], Ending::Done);
    assert_eq!(begun(&mut scheduler).len(), 1);
}

#[test]
fn a_loop_that_the_file_bounds_is_bounded_whoever_stands_aside() {
    let (mut scheduler, _) = looping(Some(2));
    let first = begun(&mut scheduler);
    for slot in &first {
        scheduler.stand_aside(*slot);
    }
    assert_eq!(begun(&mut scheduler), []);
    scheduler.come_back(first[0]);
    scheduler.settle(first[0], Ending::Done);
    assert_eq!(begun(&mut scheduler).len(), 1);
}
