//! Who may go next: pure, with the time passed in.
//!
//! Calls wait in a lane for each model, ordered as their steps became ready. The first of a
//! lane goes when the rules of its model, what the service said of it, its pace and the rules
//! of the whole service allow it; nobody in a lane overtakes. Among lanes the one that was
//! served longest ago is looked at first. Where its model keeps it back the others go on;
//! where only the service as a whole does, they wait for it, so that a large call of one
//! model is not starved by small ones of another.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Wait;
use super::pace::Pace;
use super::rules::{Amount, LimitSettings, Rules};
use super::told::{Left, Measure, Told};

/// A call that waits or is on its way.
#[derive(Clone, Debug)]
struct Call {
    model: String,
    order: u64,
    amount: Amount,
    /// Its number among those let go, from 1; none while it waits.
    number: Option<u64>,
    sent: bool,
    /// Whether the service counted it in what it told of its limits.
    counted: bool,
}

/// The calls of a model.
#[derive(Clone, Debug, Default)]
struct Lane {
    rules: Rules,
    pace: Pace,
    /// Until when the service asked to be left alone.
    paused: Duration,
    told: BTreeMap<Measure, Told>,
    waiting: BTreeSet<(u64, u64)>,
    flying: BTreeSet<u64>,
    /// The number of the last call that was let go.
    served: u64,
}

/// The limits of a service.
#[derive(Clone, Debug, Default)]
pub(super) struct Limiter {
    rules: Rules,
    lanes: BTreeMap<String, Lane>,
    calls: BTreeMap<u64, Call>,
    asked: u64,
    let_go: u64,
}

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// This call goes.
    Go(u64),
    /// Nobody goes before this time, or before something happens where there is none.
    Nobody(Option<Duration>),
}

impl Limiter {
    pub(super) fn new(settings: LimitSettings) -> Self {
        Self { rules: Rules::new(settings), ..Self::default() }
    }

    /// A call asks to go; `own` are the limits of its model. Returns its name from now on.
    pub(super) fn ask(
        &mut self,
        model: &str,
        own: LimitSettings,
        order: u64,
        amount: Amount,
    ) -> u64 {
        self.asked += 1;
        let id = self.asked;
        let lane = self.lanes.entry(model.to_owned());
        let lane = lane.or_insert_with(|| Lane { rules: Rules::new(own), ..Lane::default() });
        lane.waiting.insert((order, id));
        let model = model.to_owned();
        let call = Call { model, order, amount, number: None, sent: false, counted: false };
        self.calls.insert(id, call);
        id
    }

    /// Lets the next call go, if one may.
    pub(super) fn next(&mut self, now: Duration) -> Next {
        let mut lanes: Vec<_> = self.lanes.iter_mut().collect();
        lanes.retain(|(_, lane)| !lane.waiting.is_empty());
        lanes.sort_by_key(|(_, lane)| lane.served);
        let mut soonest: Option<Duration> = None;
        let mut note = |wait: Wait| {
            if let Wait::Until(time) = wait {
                soonest = Some(soonest.map_or(time, |soonest| soonest.min(time)));
            }
        };
        for (_, lane) in lanes {
            let Some((order, id)) = lane.waiting.first().copied() else { continue };
            let Some(call) = self.calls.get(&id) else { continue };
            let amount = call.amount;
            match lane.wait(amount, &self.calls, now) {
                Wait::Over => {}
                wait => {
                    note(wait);
                    continue;
                }
            }
            match self.rules.wait(amount, now) {
                Wait::Over => {}
                wait => {
                    note(wait);
                    break;
                }
            }
            self.let_go += 1;
            lane.waiting.remove(&(order, id));
            lane.flying.insert(id);
            lane.served = self.let_go;
            lane.rules.take(id, amount, now);
            lane.pace.take(now);
            self.rules.take(id, amount, now);
            if let Some(call) = self.calls.get_mut(&id) {
                call.number = Some(self.let_go);
            }
            return Next::Go(id);
        }
        Next::Nobody(soonest)
    }

    /// The call is announced, and is made ready from now on.
    pub(super) fn begun(&mut self, id: u64, now: Duration) {
        let Some((call, lane)) = found(&mut self.calls, &mut self.lanes, id) else { return };
        lane.rules.begun(id, call.amount, now);
        self.rules.begun(id, call.amount, now);
    }

    /// The call is sent now.
    pub(super) fn sent(&mut self, id: u64, now: Duration) {
        let Some((call, lane)) = found(&mut self.calls, &mut self.lanes, id) else { return };
        call.sent = true;
        lane.rules.sent(id, call.amount, now);
        self.rules.sent(id, call.amount, now);
    }

    /// The answer begins, and says this of the service's limits.
    pub(super) fn answered(&mut self, id: u64, said: &[(Measure, Left)], now: Duration) {
        let Some((call, lane)) = found(&mut self.calls, &mut self.lanes, id) else { return };
        let number = call.number.unwrap_or_default();
        for (measure, left) in said {
            let heard = Told::new(*left, self.let_go, now);
            lane.told.entry(*measure).or_insert(heard).hear(number, heard);
            call.counted = true;
        }
        lane.rules.reached(id, now);
        self.rules.reached(id, now);
    }

    /// The call took so many tokens.
    pub(super) fn used(&mut self, id: u64, amount: Amount) {
        let Some((call, lane)) = found(&mut self.calls, &mut self.lanes, id) else { return };
        call.amount = amount;
        lane.rules.correct(id, amount);
        self.rules.correct(id, amount);
    }

    /// The service refused the call because of too many, where `too_many`, or because it is
    /// busy; `pause` is how long it asked to be left alone.
    pub(super) fn refused(
        &mut self,
        id: u64,
        too_many: bool,
        pause: Option<Duration>,
        now: Duration,
    ) {
        let Some((call, lane)) = found(&mut self.calls, &mut self.lanes, id) else { return };
        if too_many {
            lane.pace.refused(call.number.unwrap_or_default(), self.let_go, now);
        }
        if let Some(pause) = pause {
            lane.paused = lane.paused.max(now + pause);
        }
    }

    /// The call ended, or waits no more.
    pub(super) fn end(&mut self, id: u64, now: Duration) {
        let Some(call) = self.calls.remove(&id) else { return };
        let Some(lane) = self.lanes.get_mut(&call.model) else { return };
        if call.number.is_none() {
            lane.waiting.remove(&(call.order, id));
            return;
        }
        lane.flying.remove(&id);
        lane.rules.end(id, call.sent, now);
        self.rules.end(id, call.sent, now);
        if call.sent && !call.counted {
            for (measure, told) in &mut lane.told {
                told.ended(measure.of(call.amount));
            }
        }
    }
}

fn found<'l>(
    calls: &'l mut BTreeMap<u64, Call>,
    lanes: &'l mut BTreeMap<String, Lane>,
    id: u64,
) -> Option<(&'l mut Call, &'l mut Lane)> {
    let call = calls.get_mut(&id)?;
    let lane = lanes.get_mut(&call.model)?;
    Some((call, lane))
}

impl Lane {
    /// When a call of this model may go, as far as its model decides.
    fn wait(&mut self, amount: Amount, calls: &BTreeMap<u64, Call>, now: Duration) -> Wait {
        let paused = if self.paused <= now { Wait::Over } else { Wait::Until(self.paused) };
        let flying = self.flying.iter().filter_map(|id| calls.get(id));
        let flying: Vec<_> = flying.filter(|call| !call.counted).map(|call| call.amount).collect();
        let told = self.told.iter_mut().map(|(measure, told)| {
            let sum = flying.iter().map(|amount| measure.of(*amount)).sum();
            told.wait(measure.of(amount), (!flying.is_empty()).then_some(sum), now)
        });
        let told = told.max().unwrap_or(Wait::Over);
        paused.max(told).max(self.pace.wait(now)).max(self.rules.wait(amount, now))
    }
}
