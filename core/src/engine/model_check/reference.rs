//! What a world must come to: the rules read off the page, one function a rule.
//!
//! It knows no scheduler, no events, no attempts and no order of endings. What it is given
//! is what each instance comes to by itself; what it yields is every instance that must
//! have a row, with its status, and how the run stands.

use std::collections::BTreeMap;

use super::worlds::{Act, Does, Phases, Plan};
use crate::store::StepStatus;

/// What an instance of an action comes to by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comes {
    /// To an output.
    Output,
    /// To a failure for good.
    Failure,
    /// To nothing: it waits for a person.
    Nothing,
}

/// What a step or an instance counts as to what is around it and behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counts {
    Good,
    Failed,
    Blocked,
    Open,
}

/// What a world comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The status of each instance that is settled, by path.
    pub(super) settled: BTreeMap<String, StepStatus>,
    /// Whether the run fails; none while it waits.
    pub(super) failed: Option<bool>,
}

/// Reads a workflow. `comes` says what the instance at a path comes to by itself.
pub(super) fn outcome(phases: &Phases, comes: &dyn Fn(&str, &Plan, Act) -> Comes) -> Outcome {
    let mut reading = Reading { comes, settled: BTreeMap::new() };
    let failed = match reading.phases(phases, "") {
        Counts::Open => None,
        Counts::Good => Some(false),
        Counts::Failed | Counts::Blocked => Some(true),
    };
    Outcome { settled: reading.settled, failed }
}

struct Reading<'a> {
    comes: &'a dyn Fn(&str, &Plan, Act) -> Comes,
    settled: BTreeMap<String, StepStatus>,
}

impl Reading<'_> {
    fn phases(&mut self, phases: &Phases, within: &str) -> Counts {
        let mut all = self.block(&phases.steps, within);
        if all == Counts::Failed {
            all = both(all, self.block(&phases.on_failure, within));
        }
        if all != Counts::Open {
            all = both(all, self.block(&phases.finally, within));
        }
        all
    }

    fn block(&mut self, plans: &[Plan], within: &str) -> Counts {
        let mut counts = Vec::new();
        for plan in plans {
            let before: Vec<Counts> = plan.after.iter().map(|at| counts[*at]).collect();
            let path = format!("{within}{}", plan.id);
            counts.push(self.step(plan, &path, &before));
        }
        counts.into_iter().fold(Counts::Good, both)
    }

    fn step(&mut self, plan: &Plan, path: &str, before: &[Counts]) -> Counts {
        if before.contains(&Counts::Open) {
            return Counts::Open;
        }
        if before.iter().any(|one| matches!(one, Counts::Failed | Counts::Blocked)) {
            return self.settle(path, StepStatus::Blocked, Counts::Blocked);
        }
        if !plan.holds {
            return self.settle(path, StepStatus::Skipped, Counts::Good);
        }
        match &plan.does {
            Does::Once(act) => self.action(plan, path, *act),
            Does::Runs(phases) => {
                let inner = self.phases(phases, &format!("{path}/"));
                self.holder(plan, path, inner)
            }
            Does::Each(items) => {
                self.items(path, items.len(), &mut |reading, at, path| match items[at] {
                    None => reading.settle(path, StepStatus::Skipped, Counts::Good),
                    Some(act) => reading.action(plan, path, act),
                })
            }
            Does::Bodies(items) => self.items(path, items.len(), &mut |reading, at, path| {
                let inner = reading.block(&items[at], &format!("{path}/"));
                reading.holder(plan, path, inner)
            }),
        }
    }

    /// The items of a loop. One that waits for a person holds up no other.
    fn items(
        &mut self,
        path: &str,
        count: usize,
        item: &mut dyn FnMut(&mut Self, usize, &str) -> Counts,
    ) -> Counts {
        let mut all = Counts::Good;
        for at in 0..count {
            let one = item(self, at, &format!("{path}[{at}]"));
            all = both(all, one);
        }
        match all {
            Counts::Open => Counts::Open,
            Counts::Good => self.settle(path, StepStatus::Succeeded, Counts::Good),
            Counts::Failed | Counts::Blocked => {
                self.settle(path, StepStatus::Failed, Counts::Failed)
            }
        }
    }

    fn action(&mut self, plan: &Plan, path: &str, act: Act) -> Counts {
        match (self.comes)(path, plan, act) {
            Comes::Nothing => Counts::Open,
            Comes::Output => self.settle(path, StepStatus::Succeeded, Counts::Good),
            Comes::Failure => self.failure(plan, path),
        }
    }

    fn holder(&mut self, plan: &Plan, path: &str, inner: Counts) -> Counts {
        match inner {
            Counts::Open => Counts::Open,
            Counts::Good => self.settle(path, StepStatus::Succeeded, Counts::Good),
            Counts::Failed | Counts::Blocked => self.failure(plan, path),
        }
    }

    fn failure(&mut self, plan: &Plan, path: &str) -> Counts {
        let counts = if plan.tolerant { Counts::Good } else { Counts::Failed };
        self.settle(path, StepStatus::Failed, counts)
    }

    fn settle(&mut self, path: &str, status: StepStatus, counts: Counts) -> Counts {
        self.settled.insert(path.to_owned(), status);
        counts
    }
}

/// What two count as together: open while one is, failed once one has.
fn both(one: Counts, other: Counts) -> Counts {
    let either = |what| one == what || other == what;
    if either(Counts::Open) {
        Counts::Open
    } else if either(Counts::Failed) || either(Counts::Blocked) {
        Counts::Failed
    } else {
        Counts::Good
    }
}
