//! Every state against every event: what may happen is a table, and the rest changes nothing.

use crate::content::ContentHash;
use crate::error::Failure;
use crate::state::{Origin, RunEvent, RunState, StepEvent, StepState};
use crate::store::RunStatus;

/// The most attempts of a state here; events speak of up to two more.
const MOST: u32 = 3;

fn hash() -> ContentHash {
    ContentHash::of_bytes(b"x")
}

fn states() -> Vec<(&'static str, StepState)> {
    let mut states = Vec::new();
    for attempts in 0..=MOST {
        states.extend([
            ("idle", StepState::Idle { attempts }),
            ("open", StepState::Open { attempts }),
            ("waiting", StepState::Waiting { attempts, hash: hash() }),
            ("retrying", StepState::Retrying { attempts }),
            ("settled", StepState::Succeeded { attempts, hash: None }),
            ("settled", StepState::Succeeded { attempts, hash: Some(hash()) }),
            ("settled", StepState::Failed { attempts, hash: None }),
            ("settled", StepState::Failed { attempts, hash: Some(hash()) }),
            ("settled", StepState::Skipped { attempts }),
            ("settled", StepState::Blocked { attempts }),
            ("settled", StepState::Cancelled { attempts }),
        ]);
        if attempts > 0 {
            states.push(("working", StepState::Working { attempt: attempts, hash: hash() }));
        }
    }
    states
}

fn events() -> Vec<(&'static str, u32, StepEvent)> {
    let (failure, usage, hash) = (Failure::internal("x"), None, hash());
    let mut events = vec![
        ("close", 0, StepEvent::Opened { count: None }),
        ("close", 0, StepEvent::Skipped),
        ("close", 0, StepEvent::Blocked { by: "x".into() }),
        ("reopen", 0, StepEvent::Reopened),
    ];
    for attempt in 0..=MOST + 2 {
        let failure = failure.clone();
        let failed = failure.clone();
        let usage = usage.clone();
        events.extend([
            ("send", attempt, StepEvent::Sent { attempt, hash, reserved: None }),
            ("end", attempt, StepEvent::AttemptFailed { attempt, failure, usage, retry_in_ms: 0 }),
            ("end", attempt, StepEvent::AttemptAnswered { attempt, hash, usage: None }),
            ("end", attempt, StepEvent::Asked { attempt, hash }),
            ("lose", attempt, StepEvent::Lost { attempt }),
            ("finish", attempt, StepEvent::Cancelled { attempt }),
            (
                "finish",
                attempt,
                StepEvent::Failed {
                    attempt,
                    failure: failed,
                    usage: None,
                    tolerated: false,
                    hash: None,
                },
            ),
            (
                "finish",
                attempt,
                StepEvent::Succeeded { attempt, hash: None, usage: None, origin: Origin::Ran },
            ),
        ]);
    }
    events
}

/// The table, by the names above: `next` is whether the event speaks of the attempt after
/// those made, `same` whether of the one under way, `none` whether of no attempt.
fn legal(state: &str, event: &str, next: bool, same: bool, none: bool) -> bool {
    match (state, event) {
        ("settled", event) => event == "reopen",
        ("working", "reopen") => false,
        (_, "close" | "reopen") => true,
        (_, "finish") if none => true,
        ("idle" | "retrying" | "waiting", "send" | "end" | "finish") => next,
        ("working", "end" | "lose" | "finish") => same,
        _ => false,
    }
}

#[test]
fn model_check_every_state_meets_every_event() {
    let (mut taken, mut refused) = (0, 0);
    for (name, state) in states() {
        for (kind, attempt, event) in events() {
            let before = state.clone();
            let (next, same) = (attempt == state.attempts() + 1, attempt == state.attempts());
            let after = state.apply(&event);
            let should = legal(name, kind, next, same, attempt == 0);
            assert_eq!(after.is_ok(), should, "{state:?} meets {event:?}: {after:?}");
            assert_eq!(state, before);
            match after {
                Ok(after) => {
                    taken += 1;
                    let kept = after.attempts() >= state.attempts();
                    assert!(kept, "{state:?} lost attempts by {event:?}");
                }
                Err(illegal) => {
                    refused += 1;
                    assert_eq!(illegal.event, event.kind());
                }
            }
        }
    }
    assert!(taken > 200 && refused > 1800, "{taken} were taken and {refused} refused");
}

#[test]
fn model_check_every_run_meets_every_event() {
    use RunStatus::{Cancelled, Failed, Interrupted, Running, Succeeded, Waiting};
    let definition = hash();
    let finished = |status| RunEvent::Finished { status, error: None };
    let all = [Running, Waiting, Interrupted, Succeeded, Failed, Cancelled];
    let states = std::iter::once(None).chain(all.map(Some));
    for status in states {
        let state = status.map_or(RunState::NEW, RunState::of_status);
        let running = status == Some(Running);
        let table = [
            (RunEvent::Started { definition }, status.is_none(), Running),
            (RunEvent::Resumed { definition }, status.is_some(), Running),
            (RunEvent::Waiting, running, Waiting),
            (RunEvent::Interrupted, running, Interrupted),
            (finished(Succeeded), running || status == Some(Waiting), Succeeded),
            (finished(Failed), running || status == Some(Waiting), Failed),
            (finished(Cancelled), running || status == Some(Waiting), Cancelled),
        ];
        for (event, may, then) in table {
            let after = state.apply(&event).ok().map(RunState::status);
            assert_eq!(after, may.then_some(Some(then)), "{status:?} meets {event:?}");
        }
    }
}
