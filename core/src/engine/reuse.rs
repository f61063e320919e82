//! Work that need not be done: this run did it, a person answered, or another run knew.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::content::ContentHash;
use crate::engine::agree;
use crate::engine::ledger::lost;
use crate::engine::prepare::Prepared;
use crate::engine::runner::{Done, End, Job, Shared};
use crate::error::{ErrorClass, Failure};
use crate::language::OnLost;
use crate::state::{Origin, StepState};
use crate::store::{ApprovalRow, StepRow, Store, StoreError};

/// What earlier lives of the run left of an instance.
pub(super) enum Recalled<'a> {
    /// It is done, as this row says.
    Done(&'a StepRow),
    /// It ends so, without another attempt.
    Ended(Box<End>),
    /// Nothing that counts: an attempt is made.
    Nothing,
}

/// What a row and its question mean for an instance that would run `hash` now. Pure: this is
/// the rule by which a run recovers.
pub(super) fn recall<'a>(
    on_lost: OnLost,
    hash: ContentHash,
    row: Option<&'a StepRow>,
    approval: Option<&ApprovalRow>,
    retry_failed: bool,
) -> Recalled<'a> {
    let Some(row) = row else { return Recalled::Nothing };
    let end = match StepState::of_row(row) {
        StepState::Succeeded { hash: Some(done), .. } if done == hash => {
            return Recalled::Done(row);
        }
        StepState::Waiting { hash: asked, attempts } if asked == hash => {
            answered(approval, hash, attempts)
        }
        // The run goes on from where it was: what failed in it has failed. Only a run that
        // had ended is taken up in order to try again.
        StepState::Failed { hash: Some(failed), .. } if failed == hash && !retry_failed => {
            Some(failed_before(row, hash))
        }
        // What is idle after an attempt lost it, and its process died before it could act
        // on the loss.
        StepState::Working { attempt, .. } | StepState::Idle { attempts: attempt @ 1.. } => {
            lost_call(on_lost, hash, attempt)
        }
        StepState::Succeeded { .. }
        | StepState::Waiting { .. }
        | StepState::Failed { .. }
        | StepState::Idle { .. }
        | StepState::Open { .. }
        | StepState::Retrying { .. }
        | StepState::Skipped { .. }
        | StepState::Blocked { .. }
        | StepState::Cancelled { .. } => None,
    };
    end.map_or(Recalled::Nothing, |end| Recalled::Ended(Box::new(end)))
}

/// Looks whether the work was done before: in this run, by a person, or in another run.
pub(super) async fn reuse(
    shared: &Shared,
    job: &Job,
    prepared: &Prepared,
) -> Result<Option<End>, StoreError> {
    let store = &shared.workshop.store;
    let (row, approval) = (job.recorded.as_ref(), job.approval.as_ref());
    let on_lost = on_lost(shared, job).await?;
    match recall(on_lost, prepared.hash, row, approval, shared.retry_failed) {
        Recalled::Done(row) => {
            let output = store.unpack(row.output.clone().unwrap_or_default()).await?;
            return Ok(Some(known(prepared.hash, output, None, Origin::Ran, None)));
        }
        Recalled::Ended(end) => return Ok(Some(completed(*end, prepared, store).await?)),
        Recalled::Nothing => {}
    }
    cached(shared, prepared, prepared.hash).await
}

/// What the step cache knows of a question of this work.
pub(super) async fn cached(
    shared: &Shared,
    prepared: &Prepared,
    hash: ContentHash,
) -> Result<Option<End>, StoreError> {
    if !(shared.use_cache && prepared.cacheable) {
        return Ok(None);
    }
    let store = &shared.workshop.store;
    let Some(row) = store.cached(&[hash]).await?.remove(&hash) else {
        return Ok(None);
    };
    // A file of the cached output may be gone; then the work is done again.
    if !shared.workshop.holds_all(&row.output).await {
        return Ok(None);
    }
    let Ok(output) = store.unpack(row.output.clone()).await else {
        return Ok(None);
    };
    if !shared.workshop.holds_all(&output).await {
        return Ok(None);
    }
    store.used_cached(&row, shared.clock.now_ms()).await?;
    Ok(Some(known(hash, output, Some(row.output), Origin::Cache, row.meta)))
}

/// What becomes of a call that was in flight when its process died. One that is in a batch was
/// not lost with it: it is asked for again, and takes its place in the batch.
async fn on_lost(shared: &Shared, job: &Job) -> Result<OnLost, StoreError> {
    let said = job.step().policy.on_lost;
    if said == OnLost::Resend || job.recorded.as_ref().is_none_or(|row| row.attempts == 0) {
        return Ok(said);
    }
    let attempts = shared.workshop.store.attempts(&shared.run, &job.path).await?;
    Ok(if attempts.last().is_some_and(|last| last.batch) { OnLost::Resend } else { said })
}

/// What a person answered, with what the step computes from an answer.
async fn completed(end: End, prepared: &Prepared, store: &Store) -> Result<End, StoreError> {
    let End::Done(done) = end else { return Ok(end) };
    match prepared.action.completed(done.output.as_ref().clone()) {
        Ok(output) => {
            let packed = Some(store.pack(output.clone()).await?);
            Ok(End::Done(Done { output: Arc::new(output), packed, ..done }))
        }
        Err(failure) => {
            Ok(End::Failed { attempt: None, failure, usage: None, hash: Some(prepared.hash) })
        }
    }
}

fn known(
    hash: ContentHash,
    output: Value,
    packed: Option<Value>,
    origin: Origin,
    meta: Option<Value>,
) -> End {
    let output = Arc::new(output);
    End::Done(Done {
        attempt: None,
        hash,
        output,
        packed,
        usage: None,
        origin,
        cache: false,
        meta,
        by_path: false,
    })
}

/// The failure for good that a row tells of.
fn failed_before(row: &StepRow, hash: ContentHash) -> End {
    let class = row.error_class.unwrap_or(ErrorClass::Internal);
    let failure = Failure::new(class, row.error.clone().unwrap_or_default());
    End::Failed { attempt: None, failure, usage: None, hash: Some(hash) }
}

/// What a person's answer makes of an instance that asked.
fn answered(approval: Option<&ApprovalRow>, hash: ContentHash, attempts: u32) -> Option<End> {
    let approval = approval?;
    let about_loss = approval.show.get("lost_attempt").is_some();
    match approval.approved {
        None => Some(End::Asked { attempt: attempts, hash, show: None }),
        Some(true) if about_loss => None,
        Some(true) => {
            let said = || json!({ "approved": true, "comment": approval.comment });
            let output = approval.output.clone().unwrap_or_else(said);
            let (output, meta) = match agree::settled(&approval.show, &output) {
                Some((whole, meta)) => (whole, Some(meta)),
                None => (output, None),
            };
            Some(known(hash, output.clone(), Some(output), Origin::Person, meta))
        }
        Some(false) => {
            let comment = approval.comment.as_deref().map(|c| format!(": {c}")).unwrap_or_default();
            let message = format!("a person declined{comment}");
            let failure = Failure::new(ErrorClass::Refusal, message);
            Some(End::Failed { attempt: None, failure, usage: None, hash: Some(hash) })
        }
    }
}

/// What becomes of an instance whose call was in flight when the process died.
fn lost_call(on_lost: OnLost, hash: ContentHash, attempt: u32) -> Option<End> {
    let lost = lost(attempt);
    match on_lost {
        OnLost::Resend => None,
        OnLost::Fail => {
            let failure =
                lost.with_hint("`on_lost: resend` sends it again, `on_lost: ask` asks a person");
            Some(End::Failed { attempt: None, failure, usage: None, hash: Some(hash) })
        }
        OnLost::Ask => {
            let show = json!({ "question": "send it again?", "reason": lost.message, "lost_attempt": attempt });
            Some(End::Asked { attempt: attempt.saturating_add(1), hash, show: Some(show) })
        }
    }
}
