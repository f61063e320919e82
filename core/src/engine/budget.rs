//! What a run may spend: its budget, those of its steps, what is spent and what is set aside.
//!
//! A step is known by where it stands, without the keys of items: `pages/read` is one step,
//! however many pages there are, and another than a `read` of another workflow. What a call
//! may cost is set aside before it is sent, of the run's budget and of its step's, and is
//! free again when the call has ended.

use std::collections::BTreeMap;

use crate::action::Quote;
use crate::error::{ErrorClass, Failure};
use crate::ids::InstancePath;
use crate::language::Budget;
use crate::units::Money;

/// What a step spent and has set aside.
#[derive(Clone, Copy, Debug, Default)]
struct OfStep {
    spent: Money,
    reserved: Money,
}

/// Keeps the budgets of a run.
#[derive(Clone, Debug)]
pub(crate) struct Purse {
    budget: Option<Budget>,
    reserved: Money,
    steps: BTreeMap<String, OfStep>,
}

/// What a budget says to a call.
#[derive(Debug)]
pub(crate) enum Allowance {
    /// It may be sent, with so much set aside.
    Granted(Option<Money>),
    /// It does not fit beside what is set aside, and may when that is free again.
    Later,
    /// It does not fit.
    Refused(Failure),
}

impl Purse {
    pub(crate) fn new(budget: Option<Budget>) -> Self {
        Self { budget, reserved: Money::ZERO, steps: BTreeMap::new() }
    }

    /// Counts what the step at a path spent.
    pub(crate) fn spend(&mut self, path: &InstancePath, cost: Money) {
        if cost != Money::ZERO {
            self.steps.entry(path.without_keys()).or_default().spent += cost;
        }
    }

    /// Sets aside what was granted to the step at a path.
    pub(crate) fn reserve(&mut self, path: &InstancePath, cost: Money) {
        if cost != Money::ZERO {
            self.reserved += cost;
            self.steps.entry(path.without_keys()).or_default().reserved += cost;
        }
    }

    /// Frees what was set aside. What an earlier life of the run set aside is not in here.
    pub(crate) fn free(&mut self, path: &InstancePath, cost: Money) {
        self.reserved = less(self.reserved, cost);
        if let Some(step) = self.steps.get_mut(&path.without_keys()) {
            step.reserved = less(step.reserved, cost);
        }
    }

    /// Whether a call of the step at a path may be sent. `spent` is what the run spent.
    pub(crate) fn allows(
        &self,
        path: &InstancePath,
        of_step: Option<Budget>,
        spent: Money,
        quote: Quote,
    ) -> Allowance {
        let cost = match quote {
            Quote::Free => return Allowance::Granted(None),
            Quote::AtMost(cost) => cost,
            Quote::Unknown => return unknown([self.budget, of_step]),
        };
        let step = self.steps.get(&path.without_keys()).copied().unwrap_or_default();
        let limits = [
            ("run", self.budget, spent, self.reserved),
            ("step", of_step, step.spent, step.reserved),
        ];
        let mut later = false;
        for (whose, budget, spent, reserved) in limits {
            let Some(budget) = budget else { continue };
            if spent + cost > budget.cost {
                return Allowance::Refused(refusal(whose, budget, spent, reserved, cost));
            }
            later |= spent + reserved + cost > budget.cost;
        }
        if later { Allowance::Later } else { Allowance::Granted(Some(cost)) }
    }
}

fn unknown(budgets: [Option<Budget>; 2]) -> Allowance {
    match budgets.into_iter().flatten().find(|budget| !budget.allow_unknown) {
        None => Allowance::Granted(None),
        Some(_) => Allowance::Refused(
            Failure::new(ErrorClass::Budget, "the model's price is unknown, and there is a budget")
                .with_hint("set `budget: {allow_unknown: true}` to call it all the same"),
        ),
    }
}

fn refusal(whose: &str, budget: Budget, spent: Money, reserved: Money, cost: Money) -> Failure {
    let message = format!(
        "the call may cost {cost}, and of the {whose}'s budget of {} {spent} is spent and {reserved} set aside",
        budget.cost
    );
    Failure::new(ErrorClass::Budget, message).with_hint(match whose {
        "run" => "raise it by `--budget` when you resume: nothing that is done is paid again",
        _ => "raise `budget` and resume `--from-file`: nothing that is done is paid again",
    })
}

fn less(from: Money, cost: Money) -> Money {
    Money::from_micros((from.micros() - cost.micros()).max(0))
}
