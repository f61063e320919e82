//! What an earlier life of the run left of a loop's instances.

use std::collections::HashMap;

use crate::ids::{InstancePath, RunId};
use crate::store::{StepCursor, StepRow, Store, StoreError};

/// Rows read at once.
const PAGE: u32 = 1000;

/// The most rows held whose items did not come yet; beyond it they are read one by one.
const HELD: usize = 4 * PAGE as usize;

/// The rows of a loop's instances, read a page ahead of its items.
///
/// Items come in the order in which they were written as a rule, so that one query serves a
/// thousand of them. Where items were inserted, removed or moved, a row that is not on the
/// pages read so far is looked up by itself: what is found never depends on the order.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    ahead: HashMap<InstancePath, StepRow>,
    after: Option<StepCursor>,
    /// Whether every row was read.
    exhausted: bool,
}

impl Recorded {
    /// Nothing was left.
    pub(super) fn nothing() -> Self {
        Self { exhausted: true, ..Self::default() }
    }

    /// Whether every row was taken.
    pub(super) fn is_spent(&self) -> bool {
        self.exhausted && self.ahead.is_empty()
    }

    /// Takes the row of an instance of the loop at `parent`, if there is one.
    pub(super) async fn take(
        &mut self,
        store: &Store,
        run: &RunId,
        parent: &InstancePath,
        path: &InstancePath,
    ) -> Result<Option<StepRow>, StoreError> {
        if !self.ahead.contains_key(path) && !self.exhausted && self.ahead.len() < HELD {
            let page = store.steps(run, Some(parent), self.after, PAGE).await?;
            self.ahead.extend(page.rows.into_iter().map(|row| (row.path.clone(), row)));
            self.after = page.next;
            self.exhausted = page.next.is_none();
        }
        match self.ahead.remove(path) {
            Some(row) => Ok(Some(row)),
            None if self.exhausted => Ok(None),
            None => store.step(run, path).await,
        }
    }
}
