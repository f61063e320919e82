//! A walk of every history of small workflows, against a naive reading of the rules.
//!
//! What decides in a run is pure: the scheduler, the state machine, the ledger, the rule of
//! recovery, the rule of retries. Here they are put together as the driver and its runners
//! put them together ([`life`]), over a store that is a value ([`durable`]), and at each
//! point everything that can happen next happens ([`explore`]): any runner at work says its
//! next word, the driver makes a step of its turn, a person answers, somebody stops the run,
//! it is resumed, or its process dies. After every move the invariants are checked, the
//! endings against [`reference`], which shares no code with the engine.
//!
//! 1. No step begins before all it waits for is settled in this life, and durable.
//! 2. What succeeded and is durable never begins again, in any later life. What failed for
//!    good is tried again only when a run that had ended is taken up.
//! 3. An instance ends once in a life, and as the reference says: whatever the order of
//!    endings, and wherever the process died before.
//! 4. An external attempt acts only when its `attempt_sent` is durable. Of one that was in
//!    flight when the process died, the loss is recorded exactly once; numbers of attempts
//!    only grow, no two are in flight at once, and none is when a run rests. A lost call is
//!    sent again only as `on_lost` says.
//! 5. Events are numbered without a gap, each is legal where it stands, and their fold is
//!    what the rows say, after every commit.
//! 6. A step is blocked exactly if one it waits for failed, or was blocked, and `on_error`
//!    did not take the failure. One that was skipped blocks nothing.
//! 7. A run ends exactly when everything is settled, as `failed` exactly if a failure
//!    counts. It is `waiting` exactly when nothing else can go on and somebody was asked.
//! 8. A run that has not ended always has something that can happen next, and no history
//!    goes round: each ends.
//! 9. An event that does not fit a state is a typed error and changes nothing; every pair of
//!    a state and an event is tried.
//!
//! Trouble is a death, a stop, a resume that nothing calls for, a cancel of a run that nobody
//! drives, and in some worlds a file that is changed between two lives.
//!
//! [`driven`] takes a few of the same worlds through the real driver and the real store, whose
//! memory is dropped at each thing that happens. Left out are time, values and the store's own
//! durability: those are tested with real processes that are killed.

mod begin;
mod driven;
mod durable;
mod explore;
mod judge;
mod life;
mod pairs;
mod reference;
mod work;
mod worlds;

use std::sync::Arc;
use std::time::Instant;

use explore::{Walked, walk};
use worlds::{Act, Does, Phases, Plan, World, call, does, edit, step, world, world_of};

use crate::language::OnLost;

const ACTS: [Act; 6] =
    [Act::Works, Act::Stumbles, Act::Breaks, Act::Tires, Act::Asks(true), Act::Asks(false)];

/// A history is walked by recursion, a frame a move.
const STACK: usize = 64 << 20;

const THREADS: usize = 4;

/// Walks all worlds and holds the counts against the least they must be.
#[expect(clippy::print_stderr, reason = "how much was walked is what a reader wants to know")]
fn walk_all(worlds: &[World], trouble: u8, states: u64, histories: u128) {
    let began = Instant::now();
    let share = worlds.len().div_ceil(THREADS).max(1);
    let all = std::thread::scope(|scope| {
        let started = worlds.chunks(share).map(|worlds| {
            let thread = std::thread::Builder::new().stack_size(STACK);
            thread.spawn_scoped(scope, move || walk_some(worlds, trouble)).expect("a thread")
        });
        let started: Vec<_> = started.collect();
        started.into_iter().try_fold(Walked::default(), |all, thread| {
            Ok(all.and(thread.join().expect("the walk does not panic")?))
        })
    });
    let all = all.unwrap_or_else(|broken: String| panic!("{broken}"));
    let (count, took) = (worlds.len(), began.elapsed());
    eprintln!("{count} worlds, {all:?}, {took:.1?}");
    assert!(all.states >= states, "only {} states were walked", all.states);
    assert!(all.histories >= histories, "only {} histories were walked", all.histories);
}

fn walk_some(worlds: &[World], trouble: u8) -> Result<Walked, String> {
    worlds.iter().try_fold(Walked::default(), |all, world| Ok(all.and(walk(world, trouble)?)))
}

fn phases(steps: Vec<Plan>, on_failure: Vec<Plan>, finally: Vec<Plan>) -> Phases {
    let (steps, on_failure, finally) = (Arc::new(steps), Arc::new(on_failure), Arc::new(finally));
    Phases { steps, on_failure, finally }
}

#[test]
fn model_check_chains() {
    let mut worlds = Vec::new();
    for first in ACTS {
        for second in ACTS {
            for tolerant in [false, true] {
                for holds in [false, true] {
                    worlds.push(world(vec![
                        Plan { tolerant, ..call("a", &[], first) },
                        Plan { holds, ..step("b", &[0], second) },
                        call("c", &[1], Act::Works),
                    ]));
                }
            }
        }
    }
    walk_all(&worlds, 2, 170_000, 400_000);
}

#[test]
fn model_check_diamonds() {
    let mut worlds = Vec::new();
    for left in ACTS {
        for right in ACTS {
            for tolerant in [false, true] {
                for limit in [1, 8] {
                    let steps = vec![
                        step("a", &[], Act::Works),
                        Plan { tolerant, ..call("b", &[0], left) },
                        step("c", &[0], right),
                        call("d", &[1, 2], Act::Works),
                    ];
                    worlds.push(world_of(phases(steps, vec![], vec![]), limit));
                }
            }
        }
    }
    walk_all(&worlds, 1, 120_000, 20_000_000);
}

#[test]
fn model_check_skips_in_a_graph() {
    let mut worlds = Vec::new();
    for holds in 0..16u8 {
        for act in [Act::Works, Act::Breaks] {
            let holds = |at: u8| holds & (1 << at) != 0;
            worlds.push(world(vec![
                Plan { holds: holds(0), ..step("a", &[], act) },
                Plan { holds: holds(1), ..step("b", &[], Act::Works) },
                Plan { holds: holds(2), ..call("c", &[0, 1], Act::Stumbles) },
                Plan { holds: holds(3), ..step("d", &[1], act) },
                step("e", &[2, 3], Act::Works),
            ]));
        }
    }
    walk_all(&worlds, 2, 75_000, 40_000_000);
}

#[test]
fn model_check_loops() {
    let mut worlds = Vec::new();
    let items = || ACTS.into_iter().map(Some).chain([None]);
    for first in items() {
        for second in items() {
            for (tolerant, external) in [(false, true), (true, false)] {
                for max_parallel in [Some(1), Some(2)] {
                    let each = Does::Each(vec![first, second, Some(Act::Works)]);
                    worlds.push(world(vec![
                        Plan { tolerant, external, max_parallel, ..does("each", &[], each) },
                        step("then", &[0], Act::Works),
                    ]));
                }
            }
        }
    }
    worlds.push(world(vec![does("none", &[], Does::Each(vec![])), step("b", &[0], Act::Works)]));
    walk_all(&worlds, 1, 270_000, 3_000_000_000);
}

#[test]
fn model_check_bodies() {
    let mut worlds = Vec::new();
    for first in ACTS {
        for second in ACTS {
            for tolerant in [false, true] {
                let body = |act| {
                    let inner = Does::Each(vec![Some(act)]);
                    let steps = vec![does("inner", &[], inner), call("last", &[0], Act::Works)];
                    Arc::new(steps)
                };
                let bodies = Does::Bodies(vec![body(first), body(second)]);
                worlds.push(world(vec![
                    Plan { tolerant, ..does("each", &[], bodies) },
                    step("then", &[0], Act::Works),
                ]));
            }
        }
    }
    walk_all(&worlds, 1, 160_000, 160_000_000);
}

#[test]
fn model_check_phases_and_workflows_in_workflows() {
    let mut worlds = Vec::new();
    for act in ACTS {
        for late in ACTS {
            for tolerant in [false, true] {
                let inner = phases(
                    vec![call("work", &[], act), step("after", &[0], Act::Works)],
                    vec![step("alarm", &[], late)],
                    vec![step("tidy", &[], Act::Works)],
                );
                let steps = vec![
                    Plan { tolerant, ..does("sub", &[], Does::Runs(Arc::new(inner))) },
                    step("b", &[0], Act::Works),
                ];
                let (on_failure, finally) = (vec![step("mail", &[], late)], vec![]);
                worlds.push(world_of(phases(steps, on_failure, finally), 8));
            }
            let steps = vec![step("a", &[], act), call("b", &[], Act::Works)];
            let finally = vec![step("close", &[], late), step("end", &[0], Act::Works)];
            worlds.push(world_of(phases(steps, vec![call("mail", &[], act)], finally), 8));
        }
    }
    walk_all(&worlds, 1, 58_000, 3_000_000);
}

#[test]
fn model_check_lost_calls() {
    let mut worlds = Vec::new();
    for act in [Act::Works, Act::Stumbles] {
        for on_lost in [OnLost::Resend, OnLost::Ask, OnLost::Fail] {
            for resend in [true, false] {
                for tolerant in [false, true] {
                    let policy = |plan| Plan { tolerant, on_lost, resend, ..plan };
                    worlds.push(world(vec![
                        policy(call("a", &[], act)),
                        policy(call("b", &[], Act::Works)),
                        step("c", &[0], Act::Works),
                    ]));
                }
            }
        }
    }
    walk_all(&worlds, 2, 270_000, 3_000_000_000);
}

/// What a step may be changed to: other work, other steps before it, a loop, and nothing.
#[test]
fn model_check_edited_files() {
    let mut worlds = Vec::new();
    for act in [Act::Works, Act::Stumbles, Act::Breaks, Act::Asks(true)] {
        for on_lost in [OnLost::Resend, OnLost::Ask, OnLost::Fail] {
            let first = || Plan { on_lost, ..call("a", &[], act) };
            let from = || world(vec![first(), call("b", &[0], Act::Works)]);
            let each = || Does::Each(vec![Some(Act::Works), Some(act)]);
            let looped = || Plan { external: true, ..does("a", &[], each()) };
            let other = Plan { version: 1, ..first() };
            worlds.extend([
                edit(from(), world(vec![other, call("b", &[0], Act::Works)])),
                edit(from(), world(vec![call("b", &[], Act::Works)])),
                edit(from(), world(vec![call("c", &[], act), Plan { after: vec![0], ..first() }])),
                edit(from(), world(vec![looped(), call("b", &[0], Act::Works)])),
                edit(world(vec![looped(), call("b", &[0], Act::Works)]), from()),
            ]);
        }
    }
    walk_all(&worlds, 2, 170_000, 130_000_000);
}

#[test]
fn two_people_who_decline_are_asked_once_each() {
    let asks = |id| step(id, &[], Act::Asks(false));
    walk_all(&[world(vec![asks("a"), asks("b")])], 0, 10, 2);
}
