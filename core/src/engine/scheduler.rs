//! Which step may begin.
//!
//! Pure: it holds statuses and counts, no values, and has no clock, no I/O and no order but
//! the file's. The driver asks for the [`Begin`]s that may happen, does them, and tells how
//! each [`Slot`] ended; the scheduler then knows what may begin next and which loops, bodies
//! and phases closed by it.
//!
//! A *frame* is one life of a namespace of steps: the workflow itself, a sub-workflow, or
//! the body of one loop instance. The workflow and sub-workflows go through three phases
//! (steps, `on_failure`, `finally`); a body has only the first. Frames nest as the file
//! does, and only those under way are held, so that a loop over a million items needs
//! memory for the few it works on.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::language::{Block, Workflow};

/// Names a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FrameId(u64);

impl FrameId {
    /// The frame of the run itself.
    pub const ROOT: Self = Self(0);
}

/// Names a step of a frame's current phase, or one instance of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot {
    /// The frame it stands in.
    pub frame: FrameId,
    /// Index of the step in its block.
    pub step: usize,
    /// Position of the item, for an instance of a `for_each` step.
    pub ordinal: Option<u64>,
}

impl Slot {
    fn whole(self) -> Self {
        Self { ordinal: None, ..self }
    }
}

/// What the driver is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Begin {
    /// All before this step is settled: ask for its condition, then open its items, enter
    /// its block or run it.
    Step(Slot),
    /// The next item of an open loop may begin, if there is one.
    Instance(Slot),
    /// Every item of this loop is settled: gather its output.
    Gather(Slot),
    /// Every step of this frame is settled: collect the output of the slot that holds it.
    Leave {
        /// The frame.
        frame: FrameId,
        /// The slot whose work it is.
        holder: Slot,
    },
    /// The run is settled.
    Finish,
}

/// How a step or an instance ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ending {
    /// It yielded an output; those behind it run. A failure that `on_error` takes is one.
    Done,
    /// Its condition was false; those behind it run.
    Skipped,
    /// It failed; those behind it are blocked.
    Failed,
    /// One before it failed; those behind it are blocked.
    Blocked,
}

impl Ending {
    fn blocks(self) -> bool {
        match self {
            Self::Failed | Self::Blocked => true,
            Self::Done | Self::Skipped => false,
        }
    }
}

/// A step that does not run because one before it failed.
#[derive(Clone, Debug)]
pub struct Blocked {
    /// The step.
    pub slot: Slot,
    /// The block it stands in, which its frame may have left by now.
    pub block: Arc<Block>,
    /// Index of the step in the block that blocks it.
    pub by: usize,
}

/// A phase in the life of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Steps,
    OnFailure,
    Finally,
}

#[derive(Clone, Debug)]
struct Frame {
    /// The slot whose work this frame is; none for the run.
    holder: Option<Slot>,
    /// The later phases, for a workflow.
    after: Option<Arc<Workflow>>,
    phase: Phase,
    block: Arc<Block>,
    nodes: Vec<Node>,
    unsettled: usize,
    failed: bool,
    /// Whether a step of an earlier phase failed.
    failed_before: bool,
}

#[derive(Clone, Debug, Hash)]
enum Node {
    /// So many steps before it are not settled.
    Missing(usize),
    /// It began and is no loop.
    Begun,
    /// It is a loop under way.
    Loop(Loop),
    /// It ended.
    Settled(Ending),
}

/// A loop under way.
#[derive(Clone, Debug, Default, Hash)]
struct Loop {
    /// The item that begins next.
    next: u64,
    /// Items that began and are not settled.
    active: u64,
    /// Those of the active whose work is over.
    released: u64,
    /// Those of the active that wait for a person or a batch, or hold what does.
    waiting: u64,
    /// The most that may be at work.
    window: u64,
    /// Whether the file says so, and means those that wait for a batch as well.
    bounded: bool,
    /// Whether every item has begun.
    drained: bool,
    failed: bool,
}

impl Loop {
    /// Items that hold a place.
    fn at_work(&self) -> u64 {
        self.active - self.released - self.waiting
    }
}

/// Knows which step may begin.
#[derive(Clone, Debug)]
pub struct Scheduler {
    frames: BTreeMap<FrameId, Frame>,
    next_frame: u64,
    ready: VecDeque<Begin>,
    /// Open loops that still have items to begin, the one opened last at the end.
    loops: Vec<Slot>,
    /// Steps that were blocked, for the driver to record.
    blocked: Vec<Blocked>,
    /// The most instances of one loop at once, where the loop does not say.
    window: u64,
    /// Instances that wait for a person, or that hold what does.
    waiting: BTreeSet<Slot>,
    /// Instances that wait for a batch, or how many below them do.
    aside: BTreeMap<Slot, u64>,
    failed: bool,
}

/// The most instances that wait for a person beside those at work. Each is held until the
/// life ends.
const MOST_WAITING: usize = 4096;

/// The most instances that wait for a batch beside those at work: as many as the largest batch
/// of a service holds, and a bound on the memory they take.
const MOST_ASIDE: usize = 50_000;

impl Scheduler {
    /// Starts at the beginning of a workflow. `window` is the most instances of one loop
    /// under way at once where the loop does not say.
    pub fn new(workflow: &Arc<Workflow>, window: u64) -> Self {
        let mut scheduler = Self {
            frames: BTreeMap::new(),
            next_frame: 0,
            ready: VecDeque::new(),
            loops: Vec::new(),
            blocked: Vec::new(),
            window,
            waiting: BTreeSet::new(),
            aside: BTreeMap::new(),
            failed: false,
        };
        scheduler.open_frame(None, Arc::clone(&workflow.steps), Some(Arc::clone(workflow)));
        scheduler
    }

    /// The next thing that may begin: what is ready in the order it became so, then items
    /// of the loop that was opened last, so that what is begun is finished first.
    #[expect(
        clippy::should_implement_trait,
        reason = "it is no iterator: after `None` more may become ready"
    )]
    pub fn next(&mut self) -> Option<Begin> {
        if let Some(begin) = self.ready.pop_front() {
            return Some(begin);
        }
        let at = self.loops.iter().rposition(|slot| {
            self.open_loop(*slot).is_some_and(|open| open.at_work() < open.window)
        })?;
        let slot = self.loops[at];
        let open = self.open_loop_mut(slot)?;
        let ordinal = open.next;
        open.next += 1;
        open.active += 1;
        Some(Begin::Instance(Slot { ordinal: Some(ordinal), ..slot }))
    }

    /// The steps that were blocked since the last call.
    pub fn take_blocked(&mut self) -> Vec<Blocked> {
        std::mem::take(&mut self.blocked)
    }

    /// The block that a frame is in.
    pub fn block(&self, frame: FrameId) -> Option<&Arc<Block>> {
        self.frames.get(&frame).map(|frame| &frame.block)
    }

    /// The slot whose work a frame is; none for the run.
    pub fn holder(&self, frame: FrameId) -> Option<Slot> {
        self.frames.get(&frame).and_then(|frame| frame.holder)
    }

    /// Whether a step of a frame failed in a phase before the one it is in: what `run.status`
    /// tells, whatever becomes of those that run beside.
    pub fn failed_before(&self, frame: FrameId) -> bool {
        self.frames.get(&frame).is_some_and(|frame| frame.failed_before)
    }

    /// Whether a step of a frame failed, in any phase.
    pub fn frame_failed(&self, frame: FrameId) -> bool {
        self.frames.get(&frame).is_some_and(|frame| frame.failed)
    }

    /// Whether the run failed, once it is settled.
    pub fn failed(&self) -> bool {
        self.failed
    }

    /// Opens the loop of a step. Items begin from the first on.
    pub fn open(&mut self, slot: Slot, max_parallel: Option<usize>) {
        let window = max_parallel.map_or(self.window, |n| n as u64);
        if let Some(node) = self.node_mut(slot) {
            let bounded = max_parallel.is_some();
            *node = Node::Loop(Loop { window, bounded, ..Loop::default() });
            self.loops.push(slot.whole());
        }
    }

    /// Takes back an instance that [`Begin::Instance`] offered: there is no such item, and
    /// so none after it.
    pub fn drained(&mut self, slot: Slot) {
        let whole = slot.whole();
        self.loops.retain(|open| *open != whole);
        if let Some(open) = self.open_loop_mut(whole) {
            open.active -= 1;
            open.drained = true;
        }
        self.close_loop(whole);
    }

    /// Enters the block that a slot holds: the body of a loop instance.
    pub fn enter_body(&mut self, slot: Slot, block: Arc<Block>) -> FrameId {
        self.open_frame(Some(slot), block, None)
    }

    /// Enters the sub-workflow that a slot holds.
    pub fn enter_workflow(&mut self, slot: Slot, workflow: &Arc<Workflow>) -> FrameId {
        self.open_frame(Some(slot), Arc::clone(&workflow.steps), Some(Arc::clone(workflow)))
    }

    /// Tells that the work of an instance is over, though its end does not count yet: another
    /// may be at work in its place.
    pub fn release(&mut self, slot: Slot) {
        if slot.ordinal.is_some()
            && let Some(open) = self.open_loop_mut(slot.whole())
        {
            open.released += 1;
        }
    }

    /// Tells that an instance waits for a person and does not end in this life of the run.
    /// Neither it nor what it stands in is at work: others may be in their places, as long as
    /// not too many wait to be held.
    pub fn wait(&mut self, slot: Slot) {
        let mut at = Some(slot);
        while let Some(slot) = at {
            let held = self.waiting.len() < MOST_WAITING || self.waiting.contains(&slot);
            if slot.ordinal.is_some()
                && held
                && self.waiting.insert(slot)
                && !self.aside.contains_key(&slot)
                && let Some(open) = self.open_loop_mut(slot)
            {
                open.waiting += 1;
            }
            at = self.holder(slot.frame);
        }
    }

    /// Tells that a step or an instance waits for a batch, for hours perhaps. Neither it nor
    /// what it stands in is at work: others may be in their places, unless the file bounds the
    /// loop, as long as not too many are held.
    pub fn stand_aside(&mut self, slot: Slot) {
        let mut at = Some(slot);
        while let Some(slot) = at {
            let below = self.aside.get(&slot).copied();
            let waits = self.waiting.contains(&slot);
            if slot.ordinal.is_some()
                && (below.is_some() || self.aside.len() < MOST_ASIDE)
                && let Some(open) = self.open_loop_mut(slot)
                && !open.bounded
            {
                if below.is_none() && !waits {
                    open.waiting += 1;
                }
                self.aside.insert(slot, below.unwrap_or_default() + 1);
            }
            at = self.holder(slot.frame);
        }
    }

    /// Tells that what stood aside goes on, or has ended: it and what it stands in take their
    /// places again.
    pub fn come_back(&mut self, slot: Slot) {
        let mut at = Some(slot);
        while let Some(slot) = at {
            match self.aside.get_mut(&slot) {
                Some(below) if *below > 1 => *below -= 1,
                Some(_) => {
                    self.aside.remove(&slot);
                    let waits = self.waiting.contains(&slot);
                    if let Some(open) = self.open_loop_mut(slot).filter(|_| !waits) {
                        open.waiting -= 1;
                    }
                }
                None => {}
            }
            at = self.holder(slot.frame);
        }
    }

    /// Tells that a step or an instance ended.
    pub fn settle(&mut self, slot: Slot, ending: Ending) {
        if slot.ordinal.is_none() {
            self.settle_step(slot, ending);
            return;
        }
        let whole = slot.whole();
        if let Some(open) = self.open_loop_mut(whole) {
            open.active -= 1;
            open.released = open.released.saturating_sub(1);
            open.failed |= ending.blocks();
        }
        self.close_loop(whole);
    }

    /// Whether any instance of the loop at `slot` failed.
    pub fn loop_failed(&self, slot: Slot) -> bool {
        self.open_loop(slot.whole()).is_some_and(|open| open.failed)
    }

    fn close_loop(&mut self, slot: Slot) {
        if self.open_loop(slot).is_some_and(|open| open.drained && open.active == 0) {
            self.ready.push_back(Begin::Gather(slot));
        }
    }

    fn open_frame(
        &mut self,
        holder: Option<Slot>,
        block: Arc<Block>,
        after: Option<Arc<Workflow>>,
    ) -> FrameId {
        let id = FrameId(self.next_frame);
        self.next_frame += 1;
        let frame = Frame {
            holder,
            after,
            phase: Phase::Steps,
            block: Arc::default(),
            nodes: Vec::new(),
            unsettled: 0,
            failed: false,
            failed_before: false,
        };
        self.frames.insert(id, frame);
        self.begin_phase(id, Phase::Steps, block);
        id
    }

    fn begin_phase(&mut self, id: FrameId, phase: Phase, block: Arc<Block>) {
        let Some(frame) = self.frames.get_mut(&id) else {
            return;
        };
        frame.phase = phase;
        frame.failed_before = frame.failed;
        frame.unsettled = block.steps.len();
        frame.nodes = block.steps.iter().map(|step| Node::Missing(step.after.len())).collect();
        frame.block = block;
        for (step, node) in frame.nodes.iter_mut().enumerate() {
            if matches!(node, Node::Missing(0)) {
                *node = Node::Begun;
                self.ready.push_back(Begin::Step(Slot { frame: id, step, ordinal: None }));
            }
        }
        if frame.unsettled == 0 {
            self.end_phase(id);
        }
    }

    fn end_phase(&mut self, id: FrameId) {
        let Some(frame) = self.frames.get_mut(&id) else {
            return;
        };
        let next = match (&frame.after, frame.phase) {
            (Some(workflow), Phase::Steps) if frame.failed => {
                Some((Phase::OnFailure, Arc::clone(&workflow.on_failure)))
            }
            (Some(workflow), Phase::Steps | Phase::OnFailure) => {
                Some((Phase::Finally, Arc::clone(&workflow.finally)))
            }
            (Some(_), Phase::Finally) | (None, _) => None,
        };
        match (next, frame.holder) {
            (Some((phase, block)), _) => self.begin_phase(id, phase, block),
            (None, Some(holder)) => self.ready.push_back(Begin::Leave { frame: id, holder }),
            (None, None) => {
                self.failed = frame.failed;
                self.ready.push_back(Begin::Finish);
            }
        }
    }

    /// Forgets a frame that was left.
    pub fn close_frame(&mut self, id: FrameId) {
        self.frames.remove(&id);
    }

    fn settle_step(&mut self, slot: Slot, ending: Ending) {
        let mut settled = VecDeque::from([(slot.step, ending)]);
        let Some(frame) = self.frames.get_mut(&slot.frame) else {
            return;
        };
        while let Some((index, ending)) = settled.pop_front() {
            frame.nodes[index] = Node::Settled(ending);
            frame.unsettled -= 1;
            frame.failed |= ending == Ending::Failed;
            let block = Arc::clone(&frame.block);
            for behind in block.dependents(index) {
                let Node::Missing(missing) = &mut frame.nodes[*behind] else {
                    continue;
                };
                *missing -= 1;
                if *missing > 0 {
                    continue;
                }
                let at = Slot { frame: slot.frame, step: *behind, ordinal: None };
                match blocking(&frame.nodes, &block.steps[*behind].after) {
                    Some(by) => {
                        self.blocked.push(Blocked { slot: at, block: Arc::clone(&block), by });
                        settled.push_back((*behind, Ending::Blocked));
                    }
                    None => {
                        frame.nodes[*behind] = Node::Begun;
                        self.ready.push_back(Begin::Step(at));
                    }
                }
            }
        }
        if frame.unsettled == 0 {
            self.end_phase(slot.frame);
        }
    }

    /// Feeds everything that decides what comes next to a hasher, and the file's blocks not.
    #[cfg(test)]
    pub(in crate::engine) fn fingerprint(&self, into: &mut impl std::hash::Hasher) {
        use std::hash::Hash;
        for (id, frame) in &self.frames {
            (id, frame.holder, frame.phase, &frame.nodes, frame.unsettled).hash(into);
            (frame.failed, frame.failed_before).hash(into);
        }
        (self.next_frame, &self.ready, &self.loops, self.blocked.len(), self.failed).hash(into);
        (&self.waiting, &self.aside).hash(into);
    }

    fn node_mut(&mut self, slot: Slot) -> Option<&mut Node> {
        self.frames.get_mut(&slot.frame)?.nodes.get_mut(slot.step)
    }

    fn open_loop(&self, slot: Slot) -> Option<&Loop> {
        match self.frames.get(&slot.frame)?.nodes.get(slot.step)? {
            Node::Loop(open) => Some(open),
            Node::Missing(_) | Node::Begun | Node::Settled(_) => None,
        }
    }

    fn open_loop_mut(&mut self, slot: Slot) -> Option<&mut Loop> {
        match self.node_mut(slot)? {
            Node::Loop(open) => Some(open),
            Node::Missing(_) | Node::Begun | Node::Settled(_) => None,
        }
    }
}

/// The first of these steps that failed or was itself blocked.
fn blocking(nodes: &[Node], after: &[usize]) -> Option<usize> {
    after.iter().copied().find(|index| match &nodes[*index] {
        Node::Settled(ending) => ending.blocks(),
        Node::Missing(_) | Node::Begun | Node::Loop(_) => false,
    })
}
