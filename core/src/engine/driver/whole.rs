//! Loops that an earlier life of the run finished, and that are kept whole.
//!
//! Going through a million items to find that each is done takes as long as doing them. A
//! loop of the workflow's own steps that ended well therefore keeps a hash in its row, of
//! all that its instances are made from but their inputs: the run's definition and the
//! versions of the actions. When the run is resumed, the loop is kept as it is if the hash
//! is the same and it would see the same values: nothing below the steps before it was
//! written in this life, and none of them is one whose output can change though nothing is
//! written. Such are sub-workflows, whose inputs may be files, loops that lost items or moved
//! them, and loops behind any of these: what they yield is put together, and not stored.
//!
//! No hash is kept, and the loop is gone through item by item, where that would not be
//! enough: where its output is asked for and what a body yields, which is not stored, is in
//! it; where below it a file was taken in by its path, which may have changed on the disk, or
//! a workflow was run, whose inputs may be paths; where something failed, be it that
//! `on_error` took it, since it may be tried again; and where rows of other items are left, or rows at other positions, from before the workflow was
//! edited.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Driver, LoopLife};
use crate::content::ContentHash;
use crate::engine::backend::EngineError;
use crate::engine::scheduler::{FrameId, Slot};
use crate::ids::InstancePath;
use crate::language::{Block, Step, Work};
use crate::store::{StepRow, StepStatus};

/// Outputs read at once.
const PAGE: u32 = 1000;

impl Driver {
    /// The hash to keep with a loop that ended well; none where it cannot be kept whole.
    pub(super) fn hash_of_loop(&self, slot: Slot, life: &LoopLife) -> Option<ContentHash> {
        let step = &self.scheduler.block(slot.frame)?.steps[slot.step];
        let kept = !step.output_used || matches!(step.work, Work::Action { .. });
        let plain = kept && !life.moved && life.recorded.is_spent();
        let own = self.in_own_steps(slot) && !self.look_again.contains(life.path.root());
        (plain && own).then(|| self.hash_of_work())
    }

    /// Whether a loop that an earlier life finished is what it would be again.
    pub(super) fn is_whole(&self, slot: Slot, block: &Block, recorded: Option<&StepRow>) -> bool {
        recorded.is_some_and(|row| {
            row.status == StepStatus::Succeeded
                && self.in_own_steps(slot)
                && row.hash == Some(self.hash_of_work())
                && self.sees_the_same(slot, block)
        })
    }

    /// Notes whether a loop that was gone through may yield something else than before.
    pub(super) fn note_unsure(&mut self, slot: Slot, block: &Block, life: &LoopLife) {
        let same = !life.moved && life.recorded.is_spent() && self.sees_the_same(slot, block);
        if !same && self.in_own_steps(slot) {
            self.unsure.insert(life.path.root().to_owned());
        }
    }

    /// Whether all that a step waits for yields what it did in the last life.
    fn sees_the_same(&self, slot: Slot, block: &Block) -> bool {
        let mut before = block.steps[slot.step].after.iter().map(|at| block.steps[*at].id.as_str());
        before.all(|id| !self.ledger.wrote_below(id) && !self.unsure.contains(id))
    }

    /// The output of a loop that is kept whole: null where no expression asks for it.
    pub(super) async fn whole_output(
        &self,
        step: &Step,
        path: &InstancePath,
    ) -> Result<Arc<Value>, EngineError> {
        if !step.output_used {
            return Ok(Arc::default());
        }
        let (store, run) = (&self.shared.workshop.store, &self.shared.run);
        let (mut outputs, mut after) = (Vec::new(), None);
        loop {
            let page = store.outputs_of(run, path, after, PAGE).await?;
            for packed in page.rows {
                outputs.push(store.unpack(packed).await?);
            }
            after = page.next;
            if after.is_none() {
                return Ok(Arc::new(Value::Array(outputs)));
            }
        }
    }

    /// Whether a slot is one of the workflow's own steps, and not of what runs after them.
    fn in_own_steps(&self, slot: Slot) -> bool {
        let block = self.scheduler.block(FrameId::ROOT);
        slot.frame == FrameId::ROOT
            && block.is_some_and(|block| Arc::ptr_eq(block, &self.workflow.steps))
    }

    fn hash_of_work(&self) -> ContentHash {
        *self.work.get_or_init(|| {
            let specs = self.shared.workshop.actions.specs();
            let actions: Vec<Value> = specs.map(|spec| json!([spec.name, spec.version])).collect();
            let definition = self.ledger.run().definition.hex();
            ContentHash::of_json(&json!({ "definition": definition, "actions": actions }))
        })
    }
}
