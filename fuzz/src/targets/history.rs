//! Any sequence of events, to a step and to a run: each is legal or refused, and what is
//! settled or counted stays so.

use flow_core::content::ContentHash;
use flow_core::error::{ErrorClass, Failure};
use flow_core::state::{Origin, RunEvent, RunState, StepEvent, StepState};
use flow_core::store::RunStatus;
use flow_core::units::Money;

/// Three bytes an event: which, its attempt, and what else it says.
pub(super) fn history(bytes: &[u8]) {
    let (mut step, mut run) = (StepState::NEW, RunState::NEW);
    for event in bytes.chunks_exact(3) {
        let [kind, attempt, rest] = [event[0], event[1], event[2]];
        step = step_event(&step, &one_of_step(kind, attempt.into(), rest));
        run = run_event(run, &one_of_run(kind, rest));
    }
}

fn step_event(state: &StepState, event: &StepEvent) -> StepState {
    reads_back(event);
    let next = match state.apply(event) {
        Ok(next) => next,
        Err(refused) => {
            assert_eq!(refused.event, event.kind());
            return state.clone();
        }
    };
    assert_eq!(state.apply(event).as_ref(), Ok(&next), "the same each time");
    if !state.is_open() {
        assert_eq!(event, &StepEvent::Reopened, "{state:?} was settled");
    }
    assert!(next.attempts() >= state.attempts(), "{state:?} then {next:?}");
    if let StepEvent::Sent { attempt, .. } = event {
        assert_eq!(Some(*attempt), state.attempts().checked_add(1));
    }
    next
}

fn run_event(state: RunState, event: &RunEvent) -> RunState {
    reads_back(event);
    let Ok(next) = state.apply(event) else { return state };
    if state.status().is_some_and(RunStatus::has_ended) {
        assert!(matches!(event, RunEvent::Resumed { .. }), "{state:?} had ended: {event:?}");
    }
    assert!(next.status().is_some(), "an event that fits leaves a status");
    next
}

/// Asserts that an event, written as it is kept, is read as it was.
fn reads_back<T>(event: &T)
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let kept = serde_json::to_string(event).expect("an event is JSON");
    assert_eq!(serde_json::from_str::<T>(&kept).ok().as_ref(), Some(event), "{kept}");
}

fn one_of_step(kind: u8, attempt: u32, rest: u8) -> StepEvent {
    // The numbers at the end of what there is, too.
    let attempt = if attempt == 255 { u32::MAX } else { attempt };
    let hash = ContentHash::of_bytes(&[rest]);
    let maybe = (rest & 1 == 1).then_some(hash);
    match kind % 11 {
        0 => StepEvent::Opened { count: (rest > 9).then_some(rest.into()) },
        1 => {
            let reserved = (rest > 9).then(|| Money::from_micros(i64::from(rest) << 55));
            StepEvent::Sent { attempt, hash, reserved }
        }
        2 => StepEvent::AttemptFailed {
            attempt,
            failure: failure(rest),
            usage: None,
            retry_in_ms: u64::from(rest) << 56,
        },
        3 => StepEvent::Lost { attempt },
        4 => StepEvent::Asked { attempt, hash },
        5 => StepEvent::Succeeded { attempt, hash: maybe, usage: None, origin: origin(rest) },
        6 => StepEvent::Failed {
            attempt,
            failure: failure(rest),
            usage: None,
            tolerated: rest & 2 == 2,
            hash: maybe,
        },
        7 => StepEvent::Skipped,
        8 => StepEvent::Blocked { by: char::from(rest).to_string() },
        9 => StepEvent::Cancelled { attempt },
        10 => StepEvent::AttemptAnswered { attempt, hash, usage: None },
        _ => StepEvent::Reopened,
    }
}

fn one_of_run(kind: u8, rest: u8) -> RunEvent {
    let definition = ContentHash::of_bytes(&[rest]);
    match kind % 7 {
        0 => RunEvent::Started { definition },
        1 | 2 => RunEvent::Resumed { definition },
        3 => RunEvent::Waiting,
        4 => RunEvent::Interrupted,
        _ => {
            let ends = [RunStatus::Succeeded, RunStatus::Failed, RunStatus::Cancelled];
            let status = ends[usize::from(rest) % ends.len()];
            RunEvent::Finished { status, error: (rest > 9).then(|| failure(rest).message) }
        }
    }
}

fn failure(rest: u8) -> Failure {
    let class = ErrorClass::ALL[usize::from(rest) % ErrorClass::ALL.len()];
    let mut failure = Failure::new(class, format!("{}\n\u{1f600}", char::from(rest)));
    failure.retry_after = (rest & 4 == 4).then(|| std::time::Duration::new(u64::MAX, rest.into()));
    failure
}

fn origin(rest: u8) -> Origin {
    match rest % 3 {
        0 => Origin::Ran,
        1 => Origin::Cache,
        _ => Origin::Person,
    }
}
