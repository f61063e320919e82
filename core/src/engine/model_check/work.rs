//! What one instance of an action does in a life: look back, announce, act, say how it ended.

use super::durable::{Broken, Durable};
use super::life::Life;
use super::worlds::{Act, Plan};
use crate::content::ContentHash;
use crate::engine::reuse::{Recalled, recall};
use crate::engine::runner::End;
use crate::engine::scheduler::{Ending, Slot};
use crate::error::{ErrorClass, Failure};
use crate::ids::InstancePath;
use crate::retry;
use crate::state::{Origin, StepEvent, StepState};
use crate::store::{StepRow, StepStatus};

/// An instance at work.
#[derive(Clone, Hash)]
pub(super) struct Runner {
    path: InstancePath,
    /// Identity of what it would run.
    work: ContentHash,
    act: Act,
    external: bool,
    /// Attempts of earlier lives.
    earlier: u32,
    /// The try it is at in this life, from 1.
    tries: u32,
    stage: Stage,
}

/// What a runner says next, if anything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Stage {
    /// It was done before, or a person did it.
    Known { person: bool },
    /// It asked before, or asks about what was lost: then with what it shows.
    Asks { attempt: u32, show: Option<String> },
    /// It fails without an attempt.
    Fails,
    /// It announces an attempt.
    Announces,
    /// It waits until the announcement is durable.
    Announced,
    /// It acts.
    Acts,
    /// It waits before it tries again.
    Waits,
}

impl Stage {
    fn of_end(end: End) -> Result<Self, Broken> {
        match end {
            End::Done(_) => Ok(Self::Known { person: true }),
            End::Asked { attempt, show, .. } => {
                Ok(Self::Asks { attempt, show: show.map(|show| show.to_string()) })
            }
            End::Failed { .. } => Ok(Self::Fails),
            End::Cancelled { .. } | End::Store(_) => {
                Err("3: it was neither stopped nor broken".into())
            }
        }
    }
}

impl Runner {
    /// Begins an instance: looks what earlier lives left of it.
    pub(super) fn new(
        path: InstancePath,
        act: Act,
        plan: &Plan,
        store: &Durable,
        retry_failed: bool,
    ) -> Result<Self, Broken> {
        let row = store.row(&path);
        let asked = row.is_some_and(|row| row.status == StepStatus::Waiting);
        let approval = store.approvals.get(&path).filter(|_| asked);
        let earlier = row.map_or(0, |row| row.attempts);
        let hash = hash_of(&path, plan.version);
        let first = if plan.external { Stage::Announces } else { Stage::Acts };
        let approval = approval.map(AsRef::as_ref);
        let stage = match recall(plan.on_lost, hash, row, approval, retry_failed) {
            Recalled::Done(_) => Stage::Known { person: false },
            Recalled::Ended(end) => Stage::of_end(*end)?,
            Recalled::Nothing => first,
        };
        let acts = matches!(stage, Stage::Announces | Stage::Acts);
        let same = |row: &StepRow| row.hash == Some(hash);
        if acts && row.is_some_and(|row| row.status == StepStatus::Succeeded && same(row)) {
            return Err(format!("2: {path} succeeded, and begins again"));
        }
        let failed = row.is_some_and(|row| row.status == StepStatus::Failed && same(row));
        if acts && failed && !retry_failed {
            return Err(format!("2: {path} failed for good, and begins again in the same run"));
        }
        Ok(Self { path, work: hash, act, external: plan.external, earlier, tries: 1, stage })
    }

    /// Whether it has something to say.
    pub(super) fn may_report(&self) -> bool {
        self.stage != Stage::Announced
    }

    /// Whether a wish to stop may end it where it stands.
    pub(super) fn may_be_cut(&self) -> bool {
        match self.stage {
            // Its input is prepared, and then what earlier lives left is looked at.
            Stage::Known { .. }
            | Stage::Fails
            | Stage::Asks { .. }
            | Stage::Announces
            | Stage::Acts => true,
            Stage::Announced | Stage::Waits => false,
        }
    }

    fn number(&self) -> u32 {
        self.earlier + self.tries
    }

    /// Lets an announced attempt act, which must be durable by now.
    pub(super) fn grant(&mut self, store: &Durable) -> Result<(), Broken> {
        let (path, number) = (&self.path, self.number());
        let state = store.row(path).map(StepState::of_row);
        let durable = state == Some(StepState::Working { attempt: number, hash: self.work });
        let sent = store.attempt(path, number).is_some_and(|row| row.ended.is_none());
        if self.stage != Stage::Announced || !durable || !sent {
            return Err(format!("4: {path} acts, and its attempt {number} is not durable"));
        }
        self.stage = Stage::Acts;
        Ok(())
    }

    /// How this attempt fails, if it does.
    fn failure(&self) -> Option<Failure> {
        let class = match self.act {
            Act::Works | Act::Asks(_) => return None,
            Act::Stumbles if self.number() > 1 => return None,
            Act::Stumbles | Act::Tires => ErrorClass::Server,
            Act::Breaks => ErrorClass::BadRequest,
        };
        Some(Failure::new(class, "it fails"))
    }
}

impl Life {
    /// Takes the next thing that a runner says; `cut`, that it was stopped.
    pub(super) fn report(&mut self, slot: Slot, cut: bool) -> Result<(), Broken> {
        self.heard = true;
        let mut runner = self.runners.remove(&slot).ok_or("8: nobody is at work there")?;
        let (path, hash) = (runner.path.clone(), runner.work);
        if runner.stage == Stage::Waits {
            let next = if runner.external { Stage::Announces } else { Stage::Acts };
            runner.stage = next;
            if self.stop.is_some() {
                return self.cancelled(slot, 0);
            }
        }
        match &runner.stage {
            Stage::Known { .. } | Stage::Fails | Stage::Asks { .. } if cut => {
                self.cancelled(slot, 0)
            }
            Stage::Announced => Err(format!("4: {path} speaks before it may act")),
            Stage::Known { person } => {
                let origin = if *person { Origin::Person } else { Origin::Ran };
                self.done(slot, path, hash, 0, origin)
            }
            Stage::Fails => self.fail(slot, path, 0, Some(hash)),
            Stage::Asks { attempt, show } => {
                let show = show.as_deref().map(|show| serde_json::from_str(show).expect("JSON"));
                self.ask(slot, path, hash, *attempt, show)
            }
            Stage::Announces if cut => self.cancelled(slot, 0),
            Stage::Announces => {
                let attempt = runner.number();
                self.step_event(slot, &StepEvent::Sent { attempt, hash, reserved: None }, None)?;
                self.grant(slot);
                runner.stage = Stage::Announced;
                self.runners.insert(slot, runner);
                Ok(())
            }
            Stage::Acts if cut => self.cancelled(slot, runner.number()),
            Stage::Acts | Stage::Waits => self.acted(slot, runner),
        }
    }

    /// Takes what an attempt came to.
    fn acted(&mut self, slot: Slot, mut runner: Runner) -> Result<(), Broken> {
        let (path, hash, attempt) = (runner.path.clone(), runner.work, runner.number());
        let failure = runner.failure();
        if !runner.external && (failure.is_some() || !matches!(runner.act, Act::Asks(_))) {
            self.ledger.attempt_started(slot, attempt, None, 0, false);
        }
        let Some(failure) = failure else {
            return match runner.act {
                Act::Asks(_) => self.ask(slot, path, hash, attempt, Some(serde_json::json!({}))),
                _ => self.done(slot, path, hash, attempt, Origin::Ran),
            };
        };
        if self.stop.is_some() {
            return self.cancelled(slot, attempt);
        }
        if retry::next_wait(&super::worlds::retry(), runner.tries, &failure, 0.5).is_none() {
            return self.fail(slot, path, attempt, Some(hash));
        }
        let event = StepEvent::AttemptFailed { attempt, failure, usage: None, retry_in_ms: 0 };
        self.step_event(slot, &event, None)?;
        runner.tries += 1;
        runner.stage = Stage::Waits;
        self.runners.insert(slot, runner);
        Ok(())
    }

    fn done(
        &mut self,
        slot: Slot,
        path: InstancePath,
        hash: ContentHash,
        attempt: u32,
        origin: Origin,
    ) -> Result<(), Broken> {
        let hash = Some(hash);
        let event = StepEvent::Succeeded { attempt, hash, usage: None, origin };
        self.step_event(slot, &event, None)?;
        self.conclude(slot, path, Ending::Done);
        Ok(())
    }

    fn ask(
        &mut self,
        slot: Slot,
        path: InstancePath,
        hash: ContentHash,
        attempt: u32,
        show: Option<serde_json::Value>,
    ) -> Result<(), Broken> {
        if show.is_some() {
            self.step_event(slot, &StepEvent::Asked { attempt, hash }, show)?;
        }
        self.scheduler.wait(slot);
        self.asked.insert(path);
        Ok(())
    }

    fn cancelled(&mut self, slot: Slot, attempt: u32) -> Result<(), Broken> {
        if attempt == 0 {
            let cut = self.ledger.cut_off(slot, self.retry_failed, 0);
            return cut.map_err(|error| format!("9: {error}"));
        }
        self.step_event(slot, &StepEvent::Cancelled { attempt }, None)
    }
}

/// Identity of what an instance would run: the same in every life in which the file says so.
fn hash_of(path: &InstancePath, version: u8) -> ContentHash {
    ContentHash::of_bytes(format!("{path} {version}").as_bytes())
}
