//! Walks every history of a world: each possible next thing at each point, depth first.
//!
//! States that were met before are not walked again; the number of histories is counted over
//! the graph of states. What a history may spend on trouble (crashes, stops, resumes that
//! nothing calls for) is limited, so that every history ends.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::durable::{Broken, Durable};
use super::life::{Life, Stop};
use super::worlds::{Act, World, plan_at};
use crate::engine::scheduler::Slot;
use crate::ids::InstancePath;
use crate::state::StepState;
use crate::store::RunStatus;

/// The most moves of a history. The longest that ends has less than half of them.
const LONGEST: usize = 400;

/// What can happen next.
#[derive(Clone, Debug)]
enum Move {
    /// The driver goes on with its turn.
    Turn,
    /// A runner says the next thing it has to say.
    Report(Slot),
    /// A runner that was told to stop stops where it stands.
    Cut(Slot),
    /// The process dies.
    Crash,
    /// Somebody wants the run to stop.
    Stop(Stop),
    /// A person answers.
    Answer(InstancePath),
    /// The run is taken up.
    Resume,
    /// Somebody cancels a run that nobody drives.
    Cancel,
    /// The file is changed before the run is taken up with it.
    Edit,
}

/// A point in a history.
#[derive(Clone)]
pub(super) struct Point {
    pub(super) store: Durable,
    pub(super) life: Option<Life>,
    /// Calls that were in flight when a process died and that nobody has sent again.
    pub(super) lost: BTreeSet<InstancePath>,
    /// Whether somebody has a reason to take the run up: a person has answered, or the file
    /// was changed.
    answered: bool,
    /// Whether the file was changed.
    edited: bool,
    /// How much trouble may still come.
    trouble: u8,
}

/// What a walk saw.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Walked {
    pub(super) states: u64,
    pub(super) moves: u64,
    /// From the start to a point where nothing more can happen.
    pub(super) histories: u128,
}

impl Walked {
    /// What two walks saw together.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            states: self.states + other.states,
            moves: self.moves + other.moves,
            histories: self.histories.saturating_add(other.histories),
        }
    }
}

/// Walks every history of a world with at most so much trouble. The error names the
/// invariant that broke, and the history that broke it.
pub(super) fn walk(world: &World, trouble: u8) -> Result<Walked, Broken> {
    let mut walk = Walk { world, known: HashMap::new(), path: Vec::new(), moves: 0 };
    let lost = BTreeSet::new();
    let (store, life, answered, edited) = (Durable::new(), None, false, false);
    let point = Point { store, life, lost, answered, edited, trouble };
    let histories = walk
        .from(&point)
        .map_err(|broken| format!("{broken}\nafter {:?}\nin {:#?}", walk.path, world.phases))?;
    Ok(Walked { states: walk.known.len() as u64, moves: walk.moves, histories })
}

struct Walk<'a> {
    world: &'a World,
    /// The histories that lead on from a state; none while it is being walked.
    known: HashMap<u64, Option<u128>>,
    path: Vec<Move>,
    moves: u64,
}

impl Walk<'_> {
    fn from(&mut self, point: &Point) -> Result<u128, Broken> {
        let mut hasher = DefaultHasher::new();
        (&point.store, &point.life, &point.lost).hash(&mut hasher);
        (point.answered, point.edited, point.trouble).hash(&mut hasher);
        let key = hasher.finish();
        match self.known.get(&key) {
            Some(Some(histories)) => return Ok(*histories),
            Some(None) => return Err("8: a history goes round".into()),
            None => self.known.insert(key, None),
        };
        if self.path.len() > LONGEST {
            return Err(format!("8: a history does not end in {LONGEST} moves"));
        }
        let moves = point.moves(self.world);
        if moves.is_empty() {
            point.ended()?;
        }
        let mut histories = u128::from(moves.is_empty());
        for next in moves {
            self.moves += 1;
            self.path.push(next.clone());
            let after = point.after(self.world, &next)?;
            histories = histories.saturating_add(self.from(&after)?);
            self.path.pop();
        }
        self.known.insert(key, Some(histories));
        Ok(histories)
    }
}

impl Point {
    /// The world as the file is now.
    fn current<'w>(&self, world: &'w World) -> &'w World {
        world.edited.as_deref().filter(|_| self.edited).unwrap_or(world)
    }

    fn moves(&self, world: &World) -> Vec<Move> {
        let mut moves = Vec::new();
        let troubled = self.trouble > 0;
        let Some(life) = &self.life else {
            if self.may_resume() {
                moves.push(Move::Resume);
            }
            let begun = self.store.seq > 0;
            if troubled && begun && !self.store.run.status.has_ended() {
                moves.push(Move::Cancel);
            }
            if troubled && begun && !self.edited && world.edited.is_some() {
                moves.push(Move::Edit);
            }
            moves.extend(self.unanswered(world).map(Move::Answer));
            return moves;
        };
        if life.turning {
            moves.push(Move::Turn);
        } else {
            let stopping = life.stop.is_some();
            for (slot, runner) in &life.runners {
                if runner.may_report() {
                    moves.push(Move::Report(*slot));
                }
                if stopping && runner.may_be_cut() {
                    moves.push(Move::Cut(*slot));
                }
            }
            if life.heard {
                moves.push(Move::Turn);
            }
            if troubled && !stopping {
                moves.extend([Move::Stop(Stop::Interrupt), Move::Stop(Stop::Cancel)]);
            }
            moves.extend(self.unanswered(world).map(Move::Answer));
        }
        if troubled {
            moves.push(Move::Crash);
        }
        moves
    }

    fn unanswered(&self, world: &World) -> impl Iterator<Item = InstancePath> {
        let phases = &self.current(world).phases;
        let asked = self.store.approvals.iter().filter(|(_, row)| row.approved.is_none());
        let asks = |path: &InstancePath| plan_at(phases, path.as_str()).is_some();
        asked.map(|(path, _)| path.clone()).filter(move |path| asks(path))
    }

    /// Whether somebody would take the run up: because it was cut short, because a question
    /// was answered, or just so while there may be trouble.
    fn may_resume(&self) -> bool {
        match self.store.run.status {
            RunStatus::Running | RunStatus::Interrupted => true,
            RunStatus::Waiting => self.answered || self.trouble > 0,
            RunStatus::Succeeded | RunStatus::Failed | RunStatus::Cancelled => self.trouble > 0,
        }
    }

    fn after(&self, world: &World, next: &Move) -> Result<Self, Broken> {
        let mut point = self.clone();
        let world = self.current(world);
        match next {
            Move::Crash => {
                point.trouble -= 1;
                point.life = None;
                point.store.died();
                for (path, row) in &point.store.rows {
                    if let StepState::Working { .. } = StepState::of_row(row) {
                        point.lost.insert(path.clone());
                    }
                }
            }
            Move::Resume => point.resume(world)?,
            Move::Cancel => {
                point.trouble -= 1;
                super::life::cancel(&mut point.store)?;
                point.store.at_rest()?;
            }
            Move::Edit => {
                point.trouble -= 1;
                (point.edited, point.answered) = (true, true);
                point.forget_other_work(world);
            }
            Move::Answer(path) => point.answer(world, path)?,
            Move::Turn | Move::Report(_) | Move::Cut(_) | Move::Stop(_) => {
                point.live(world, next)?;
                point.undoes_nothing(self)?;
            }
        }
        Ok(point)
    }

    /// What was asked or given up about a lost call says nothing of other work in its place.
    fn forget_other_work(&mut self, before: &World) {
        let now = self.current(before);
        let version = |world: &World, path: &InstancePath| {
            plan_at(&world.phases, path.as_str()).map(|(plan, _)| plan.version)
        };
        let rows = &self.store.rows;
        self.lost.retain(|path| {
            let state = rows.get(path).map(|row| StepState::of_row(row));
            let decided =
                matches!(state, Some(StepState::Waiting { .. } | StepState::Failed { .. }));
            !decided || version(before, path) == version(now, path)
        });
    }

    fn resume(&mut self, world: &World) -> Result<(), Broken> {
        let called_for = match self.store.run.status {
            RunStatus::Running | RunStatus::Interrupted => true,
            RunStatus::Waiting => self.answered,
            RunStatus::Succeeded | RunStatus::Failed | RunStatus::Cancelled => false,
        };
        self.trouble -= u8::from(!called_for);
        self.answered = false;
        // What was given up stays so until the run has ended and is taken up again.
        let (rows, ended) = (&self.store.rows, self.store.run.status.has_ended());
        self.lost.retain(|path| {
            rows.get(path).map(|row| StepState::of_row(row)).is_some_and(|state| {
                state.is_open() || (!ended && matches!(state, StepState::Failed { .. }))
            })
        });
        self.life = Some(Life::start(world, &mut self.store)?);
        Ok(())
    }

    fn answer(&mut self, world: &World, path: &InstancePath) -> Result<(), Broken> {
        let approval = self.store.approvals.get_mut(path).ok_or("nobody asked")?;
        let (plan, act) =
            plan_at(&world.phases, path.as_str()).ok_or("the world is not built so")?;
        let approval = Arc::make_mut(approval);
        let about_loss = approval.show.get("lost_attempt").is_some();
        let yes = if about_loss { plan.resend } else { act == Act::Asks(true) };
        approval.approved = Some(yes);
        self.answered = true;
        Ok(())
    }

    fn live(&mut self, world: &World, next: &Move) -> Result<(), Broken> {
        let life = self.life.as_mut().ok_or("nobody drives the run")?;
        match next {
            Move::Stop(stop) => {
                self.trouble -= 1;
                life.stop = Some(*stop);
                return Ok(());
            }
            Move::Report(slot) => return life.report(*slot, false),
            Move::Cut(slot) => return life.report(*slot, true),
            Move::Turn
            | Move::Crash
            | Move::Answer(_)
            | Move::Resume
            | Move::Cancel
            | Move::Edit => {}
        }
        life.turning = true;
        life.turn(&mut self.store)?;
        self.sent_again(world)?;
        self.agrees(world)?;
        if self.life.as_ref().is_some_and(|life| life.over) {
            self.rested(world)?;
            self.life = None;
        }
        Ok(())
    }
}
