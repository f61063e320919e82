//! Work that need not be done: this run did it, a person answered, or another run knew.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::content::ContentHash;
use crate::engine::prepare::Prepared;
use crate::engine::runner::{Done, End, Job, Shared};
use crate::error::{ErrorClass, Failure};
use crate::language::OnLost;
use crate::state::{Origin, StepState};

/// Looks whether the work was done before: in this run, by a person, or in another run.
pub(super) async fn reuse(
    shared: &Shared,
    job: &Job,
    prepared: &Prepared,
) -> Result<Option<End>, Failure> {
    let store = &shared.workshop.store;
    if let Some(row) = &job.recorded {
        match StepState::of_row(row) {
            StepState::Succeeded { hash: Some(hash), .. } if hash == prepared.hash => {
                let output = store.unpack(row.output.clone().unwrap_or_default()).await?;
                let meta = row.meta.clone();
                return Ok(Some(known(hash, output, None, Origin::Ran, meta)));
            }
            StepState::Waiting { hash, attempts } if hash == prepared.hash => {
                return Ok(answered(job, hash, attempts));
            }
            // What is idle after an attempt lost it, and its process died before it could act
            // on the loss.
            StepState::Working { attempt, .. } | StepState::Idle { attempts: attempt @ 1.. } => {
                if let Some(end) = lost_call(job, prepared, attempt) {
                    return Ok(Some(end));
                }
            }
            _ => {}
        }
    }
    if !(shared.use_cache && prepared.cacheable) {
        return Ok(None);
    }
    let Some(row) = store.cached(&[prepared.hash]).await?.remove(&prepared.hash) else {
        return Ok(None);
    };
    // A file of the cached output may be gone; then the work is done again.
    let Ok(output) = store.unpack(row.output.clone()).await else {
        return Ok(None);
    };
    if !shared.workshop.holds_all(&output) {
        return Ok(None);
    }
    Ok(Some(known(prepared.hash, output, Some(row.output), Origin::Cache, row.meta)))
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

/// What a person's answer makes of an instance that asked.
fn answered(job: &Job, hash: ContentHash, attempts: u32) -> Option<End> {
    let approval = job.approval.as_ref()?;
    let about_loss = approval.show.get("lost_attempt").is_some();
    match approval.approved {
        None => Some(End::Asked { attempt: attempts, hash, show: None }),
        Some(true) if about_loss => None,
        Some(true) => {
            let output = json!({ "approved": true, "comment": approval.comment });
            Some(known(hash, output.clone(), Some(output), Origin::Person, None))
        }
        Some(false) => {
            let comment = approval.comment.as_deref().map(|c| format!(": {c}")).unwrap_or_default();
            let message = format!("a person declined{comment}");
            Some(End::failed(Failure::new(ErrorClass::Refusal, message)))
        }
    }
}

/// What becomes of an instance whose call was in flight when the process died.
fn lost_call(job: &Job, prepared: &Prepared, attempt: u32) -> Option<End> {
    let message =
        format!("attempt {attempt} was in flight when the process died, and may have been paid");
    match job.step().policy.on_lost {
        OnLost::Resend => None,
        OnLost::Fail => Some(End::failed(
            Failure::new(ErrorClass::Connection, message)
                .with_hint("`on_lost: resend` sends it again, `on_lost: ask` asks a person"),
        )),
        OnLost::Ask => {
            let show =
                json!({ "question": "send it again?", "reason": message, "lost_attempt": attempt });
            Some(End::Asked { attempt: attempt + 1, hash: prepared.hash, show: Some(show) })
        }
    }
}
