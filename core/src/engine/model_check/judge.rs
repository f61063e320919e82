//! What must hold after every turn, when the driver returns, and where nothing can happen.

use super::durable::Broken;
use super::explore::Point;
use super::life::Stop;
use super::reference::{self, Comes};
use super::worlds::{Act, Plan, World, plan_at};
use crate::engine::scheduler::Ending;
use crate::ids::InstancePath;
use crate::language::OnLost;
use crate::state::StepState;
use crate::store::{RunStatus, StepStatus};

impl Point {
    /// Takes what was sent again from what is lost, if it may be sent.
    pub(super) fn sent_again(&mut self, world: &World) -> Result<(), Broken> {
        for path in self.lost.clone() {
            let state = self.store.row(&path).map(StepState::of_row);
            let sent = matches!(state, Some(StepState::Working { .. }));
            if !sent || !self.store.nothing_in_flight(&path) {
                continue;
            }
            let (plan, _) = plan_at(&world.phases, path.as_str()).ok_or("no such plan")?;
            let allowed = self.store.approvals.get(&path).and_then(|row| row.approved);
            let may = match plan.on_lost {
                OnLost::Resend => true,
                OnLost::Ask => allowed == Some(true),
                OnLost::Fail => false,
            };
            if !may {
                return Err(format!("4: {path} was lost, and is sent again unasked"));
            }
            self.lost.remove(&path);
        }
        Ok(())
    }

    /// Whether all that ended in this life ended as the reference says.
    pub(super) fn agrees(&self, world: &World) -> Result<(), Broken> {
        let Some(life) = &self.life else { return Ok(()) };
        let lost = &self.lost;
        let expected = reference::outcome(&world.phases, &|path, plan, act| {
            comes(plan, act, lost.contains(&InstancePath::from_stored(path)))
        });
        for (path, ending) in &life.settled {
            let status = expected.settled.get(path.as_str());
            let row = self.store.row(path).map(|row| row.status);
            if *ending == Ending::Blocked && life.turning {
                // It follows from what is durable, and is itself so when the turn is over.
                if status != Some(&StepStatus::Blocked) {
                    return Err(format!("6: {path} is blocked, expected {status:?}"));
                }
                continue;
            }
            if status.copied() != row || !fits(*ending, row) {
                return Err(format!("3: {path} ended as {ending:?}, {row:?}, expected {status:?}"));
            }
        }
        Ok(())
    }

    /// Whether a stop leaves what was durable before this move.
    pub(super) fn undoes_nothing(&self, before: &Self) -> Result<(), Broken> {
        for (path, row) in &before.store.rows {
            let Some(now) = self.store.row(path).filter(|now| now.attempts == row.attempts) else {
                continue;
            };
            let counts = match row.status {
                StepStatus::Succeeded | StepStatus::Waiting => true,
                StepStatus::Failed => self.life.as_ref().is_some_and(|life| !life.retry_failed),
                StepStatus::Running
                | StepStatus::Retrying
                | StepStatus::Skipped
                | StepStatus::Blocked
                | StepStatus::Cancelled => false,
            };
            if counts && now.status == StepStatus::Cancelled {
                return Err(format!("2: {path} was {}, and a stop undid it", row.status));
            }
        }
        Ok(())
    }

    /// What must hold when the driver returns.
    pub(super) fn rested(&self, world: &World) -> Result<(), Broken> {
        let Some(life) = &self.life else { return Ok(()) };
        self.store.at_rest()?;
        let status = self.store.run.status;
        let asked = |path: &str| life.asked.contains(&InstancePath::from_stored(path));
        let lost = |path: &str| self.lost.contains(&InstancePath::from_stored(path));
        let expected = reference::outcome(&world.phases, &|path, plan, act| {
            if asked(path) { Comes::Nothing } else { comes(plan, act, lost(path)) }
        });
        let should = match (life.stop, expected.failed) {
            // What was stopped may have been at its end already.
            (Some(Stop::Interrupt), _) if status == RunStatus::Interrupted => return Ok(()),
            (Some(Stop::Cancel), _) if status == RunStatus::Cancelled => return Ok(()),
            (_, None) => RunStatus::Waiting,
            (_, Some(true)) => RunStatus::Failed,
            (_, Some(false)) => RunStatus::Succeeded,
        };
        if status != should {
            return Err(format!("7: the run is {status}, and should be {should}"));
        }
        let settled = life.settled.keys().map(InstancePath::as_str);
        if !settled.eq(expected.settled.keys().map(String::as_str)) {
            let should = expected.settled.keys();
            return Err(format!("7: settled are {:?}, and should be {should:?}", life.settled));
        }
        Ok(())
    }

    /// What must hold where nothing more can happen.
    pub(super) fn ended(&self) -> Result<(), Broken> {
        match (self.store.run.status, &self.life) {
            (RunStatus::Succeeded | RunStatus::Failed | RunStatus::Cancelled, None) => Ok(()),
            (status, life) => {
                let lives = life.is_some();
                Err(format!("8: nothing can happen, and the run is {status} (alive: {lives})"))
            }
        }
    }
}

/// What an instance comes to by itself once all questions are answered.
pub(super) fn comes(plan: &Plan, act: Act, lost: bool) -> Comes {
    let given_up = match plan.on_lost {
        OnLost::Resend => false,
        OnLost::Fail => true,
        OnLost::Ask => !plan.resend,
    };
    match act {
        _ if lost && given_up => Comes::Failure,
        Act::Works | Act::Stumbles | Act::Asks(true) => Comes::Output,
        Act::Breaks | Act::Tires | Act::Asks(false) => Comes::Failure,
    }
}

fn fits(ending: Ending, status: Option<StepStatus>) -> bool {
    match ending {
        Ending::Done => matches!(status, Some(StepStatus::Succeeded | StepStatus::Failed)),
        Ending::Skipped => status == Some(StepStatus::Skipped),
        Ending::Failed => status == Some(StepStatus::Failed),
        Ending::Blocked => status == Some(StepStatus::Blocked),
    }
}
