//! Looking for a batch at its service, whose submission was cut off before its id was known.
//!
//! A service that keeps our name with a batch tells it apart at once. Of one that does not, a
//! batch of the same size from about the same time that nobody else here knows may be it, and
//! its answers will say.

use flow_core::batches::BatchRecord;
use flow_core::error::Failure;

use super::course::Course;
use super::dialect::{Named, State};

/// Pages of the list that are read at most.
const PAGES: usize = 50;
/// How much earlier, by the clock of the service, a batch may have been made, in milliseconds.
const EARLIER: i64 = 10 * 60_000;
/// How much later: a submission that was waited for and tried again is that late.
const LATER: i64 = 6 * 60 * 60_000;

/// A batch that may be the one.
pub(super) struct Found {
    /// The service's name for it.
    pub(super) id: String,
    /// Whether only its answers can say that it is.
    pub(super) guessed: bool,
}

/// The batches that may be the one, the likeliest first.
///
/// Dropping the future does nothing.
pub(super) async fn find(
    course: &Course,
    named: &Named,
    record: &BatchRecord,
) -> Result<Vec<Found>, Failure> {
    let (mut guesses, mut after) = (Vec::new(), None::<String>);
    for _ in 0..PAGES {
        let reply = course.ask(course.batches.list(&course.endpoint, after.as_deref())).await?;
        let listed = course.batches.read_list(&reply.body);
        let (states, next) = listed.map_err(|fault| course.failure(fault, &reply))?;
        for state in &states {
            if state.nonce.as_ref() == Some(&named.nonce) {
                return Ok(vec![Found { id: state.id.clone(), guessed: false }]);
            }
            if may_be(state, record) && !course.ledger.knows(&state.id).await? {
                guesses.push(Found { id: state.id.clone(), guessed: true });
            }
        }
        let earliest = states.iter().filter_map(|state| state.created).min();
        let is_past = earliest.is_some_and(|earliest| earliest < record.created - EARLIER);
        after = next;
        if after.is_none() || is_past {
            break;
        }
    }
    Ok(guesses)
}

/// Whether a batch without a name may be the one.
fn may_be(state: &State, record: &BatchRecord) -> bool {
    let in_time = state
        .created
        .is_none_or(|at| (record.created - EARLIER..record.created + LATER).contains(&at));
    state.nonce.is_none() && state.items == Some(record.items) && in_time
}
