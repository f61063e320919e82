//! What a schedule does next: a pure function of what it says, how far it is, and the time.
//!
//! One step at a time: whoever asks does what is said, moves the schedule on, and asks again
//! until there is nothing to do before a time. So a crash between two steps is nothing special.
//!
//! A tick is *on time* up to a minute after it fires; behind that it was missed, and `catch_up`
//! says what becomes of it. Ticks that came while an earlier run went on and that wait for its
//! end are not missed, however long that takes, and also over a restart.

use flow_core::language::{MissedTicks, Overlap};
use flow_core::store::ScheduleRow;

use super::Spec;

/// A tick that is later than this was missed.
const ON_TIME_MS: i64 = 60_000;

/// As many missed ticks are made up for at most: the latest ones. As many wait at most.
pub(super) const MOST: usize = 1000;

/// What a schedule does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing before this time, as far as time alone decides; for ever where there is none.
    Wait {
        /// In milliseconds since 1970.
        until: Option<i64>,
    },
    /// Ticks up to this time are left out.
    Forget {
        /// The last of them, or a time behind it.
        until: i64,
        /// How many they are, where it matters.
        ticks: u64,
    },
    /// The clock had been ahead: the schedule goes back to now.
    GoBack,
    /// Ticks up to this one wait from now on.
    Queue {
        /// The last of them.
        until: i64,
    },
    /// The earlier run is to be cancelled; the tick waits for its end.
    Cancel,
    /// A tick is run.
    Start {
        /// It.
        tick: i64,
    },
}

/// Says what a schedule does next. `busy` says whether a run that it started goes on.
pub fn decide(spec: &Spec, row: &ScheduleRow, now: i64, busy: bool) -> Next {
    if row.paused {
        return Next::Wait { until: None };
    }
    if row.handled > now {
        return Next::GoBack;
    }
    let Some(first) = spec.ticks.next(row.handled) else {
        return Next::Wait { until: None };
    };
    if spec.fires_at(first) > now {
        return Next::Wait { until: Some(spec.fires_at(first)) };
    }
    let latest = fired(spec, now).filter(|latest| *latest >= first).unwrap_or(first);
    let queued = first <= row.due;
    if !queued && is_late(spec, first, now) {
        // The last tick that was missed; those behind it are on time.
        let last_missed = fired(spec, now - ON_TIME_MS - 1).unwrap_or(first).max(first);
        match spec.catch_up {
            MissedTicks::None => return forget(spec, row, last_missed),
            MissedTicks::Latest if first < latest => return forget(spec, row, latest - 1),
            MissedTicks::Latest => {}
            MissedTicks::All => {
                let oldest = nth_before(spec, last_missed, first);
                return match first < oldest {
                    true => forget(spec, row, oldest - 1),
                    false => Next::Queue { until: last_missed },
                };
            }
        }
    }
    if !busy {
        return Next::Start { tick: first };
    }
    match spec.overlap {
        Overlap::Skip if queued => Next::Wait { until: None },
        Overlap::Skip => forget(spec, row, first),
        Overlap::Queue if latest > row.due => {
            let oldest = nth_before(spec, latest, first);
            match first < oldest {
                true => forget(spec, row, oldest - 1),
                false => Next::Queue { until: latest },
            }
        }
        Overlap::Queue => Next::Wait { until: None },
        Overlap::Cancel if first < latest => forget(spec, row, latest - 1),
        Overlap::Cancel if !queued => Next::Queue { until: first },
        Overlap::Cancel => Next::Cancel,
    }
}

/// The last tick that is to be run by a time.
fn fired(spec: &Spec, now: i64) -> Option<i64> {
    let mut tick = spec.ticks.latest(now)?;
    while spec.fires_at(tick) > now {
        tick = spec.ticks.latest(tick - 1)?;
    }
    Some(tick)
}

fn is_late(spec: &Spec, tick: i64, now: i64) -> bool {
    now - spec.fires_at(tick) > ON_TIME_MS
}

/// The tick with [`MOST`] from it to `last`, or `first` where there are fewer.
fn nth_before(spec: &Spec, last: i64, first: i64) -> i64 {
    let mut tick = last;
    for _ in 1..MOST {
        if tick <= first {
            return first;
        }
        match spec.ticks.latest(tick - 1) {
            Some(before) => tick = before,
            None => return first,
        }
    }
    tick.max(first)
}

fn forget(spec: &Spec, row: &ScheduleRow, until: i64) -> Next {
    let mut ticks = 0;
    let mut at = row.handled;
    // More are not told apart.
    while ticks < MOST as u64
        && let Some(next) = spec.ticks.next(at).filter(|next| *next <= until)
    {
        ticks += 1;
        at = next;
    }
    Next::Forget { until, ticks }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use flow_core::content::ContentHash;
    use flow_core::language::Cron;
    use serde_json::Value;

    use super::super::Ticks;
    use super::*;

    const MINUTE: i64 = 60_000;
    const HOUR: i64 = 60 * MINUTE;

    fn spec(catch_up: MissedTicks, overlap: Overlap) -> Spec {
        let cron = Cron::Every(Duration::from_hours(1));
        Spec {
            workflow: "w".into(),
            place: 0,
            definition: ContentHash::of_bytes(b"x"),
            text: "@every 1h".into(),
            zone: "UTC".into(),
            ticks: Ticks::new(&cron, None).unwrap(),
            catch_up,
            overlap,
            jitter: Duration::ZERO,
            inputs: Value::Null,
        }
    }

    fn row(handled: i64) -> ScheduleRow {
        ScheduleRow {
            workflow: "w".into(),
            definition: ContentHash::of_bytes(b"x"),
            place: 0,
            paused: false,
            seen: 0,
            handled,
            due: handled,
            last_run: None,
            skipped: 0,
        }
    }

    /// The ticks that are run until there is nothing to do, each ending before the next.
    fn run_at_once(spec: &Spec, row: &mut ScheduleRow, now: i64) -> Vec<i64> {
        let mut ran = Vec::new();
        loop {
            match decide(spec, row, now, false) {
                Next::Wait { .. } => return ran,
                Next::Forget { until, ticks } => {
                    row.handled = until;
                    row.skipped += ticks;
                }
                Next::GoBack => (row.handled, row.due) = (now, now),
                Next::Queue { until } => row.due = until,
                Next::Cancel => panic!("nothing is to be cancelled"),
                Next::Start { tick } => {
                    ran.push(tick);
                    row.handled = tick;
                }
            }
        }
    }

    #[test]
    fn after_a_downtime_all_the_latest_or_no_tick_is_made_up_for() {
        let now = 100 * HOUR + 30 * MINUTE;
        for (catch_up, expected, skipped) in [
            (MissedTicks::All, (91..=100).map(|hour| hour * HOUR).collect(), 0),
            (MissedTicks::Latest, vec![100 * HOUR], 9),
            (MissedTicks::None, vec![], 10),
        ] {
            let (spec, mut row) = (spec(catch_up, Overlap::Skip), row(90 * HOUR));
            assert_eq!(run_at_once(&spec, &mut row, now), expected);
            assert_eq!(row.skipped, skipped);
            assert_eq!(run_at_once(&spec, &mut row, now), [0; 0]);
        }
    }

    #[test]
    fn a_tick_within_a_minute_is_on_time_whatever_is_made_up_for() {
        for catch_up in [MissedTicks::All, MissedTicks::Latest, MissedTicks::None] {
            let (spec, mut row) = (spec(catch_up, Overlap::Skip), row(90 * HOUR));
            let now = 91 * HOUR + MINUTE;
            assert_eq!(run_at_once(&spec, &mut row, now), [91 * HOUR]);
        }
    }

    #[test]
    fn no_more_than_a_thousand_are_made_up_for() {
        let (spec, mut row) = (spec(MissedTicks::All, Overlap::Skip), row(0));
        let now = 5000 * HOUR + 30 * MINUTE;
        let ran = run_at_once(&spec, &mut row, now);
        assert_eq!((ran.len(), ran[0], ran[999]), (MOST, 4001 * HOUR, 5000 * HOUR));
    }

    #[test]
    fn while_a_run_goes_on_ticks_are_left_out_or_wait_or_end_it() {
        let now = 11 * HOUR + 1000;
        let skip = spec(MissedTicks::Latest, Overlap::Skip);
        let left = Next::Forget { until: 11 * HOUR, ticks: 1 };
        assert_eq!(decide(&skip, &row(10 * HOUR), now, true), left);

        let queue = spec(MissedTicks::None, Overlap::Queue);
        let mut waiting = row(10 * HOUR);
        assert_eq!(decide(&queue, &waiting, now, true), Next::Queue { until: 11 * HOUR });
        waiting.due = 11 * HOUR;
        assert_eq!(decide(&queue, &waiting, now, true), Next::Wait { until: None });
        // It waits however long that takes, and those that come meanwhile wait behind it.
        let later = 13 * HOUR + 1;
        assert_eq!(decide(&queue, &waiting, later, true), Next::Queue { until: 13 * HOUR });
        waiting.due = 13 * HOUR;
        let much_later = 13 * HOUR + 30 * MINUTE;
        let ran = run_at_once(&queue, &mut waiting, much_later);
        assert_eq!(ran, [11 * HOUR, 12 * HOUR, 13 * HOUR]);

        let cancel = spec(MissedTicks::None, Overlap::Cancel);
        let mut waiting = row(10 * HOUR);
        assert_eq!(decide(&cancel, &waiting, now, true), Next::Queue { until: 11 * HOUR });
        waiting.due = 11 * HOUR;
        assert_eq!(decide(&cancel, &waiting, now, true), Next::Cancel);
        assert_eq!(decide(&cancel, &waiting, now, false), Next::Start { tick: 11 * HOUR });
    }

    #[test]
    fn what_is_paused_waits_and_a_clock_that_was_ahead_stops_nothing() {
        let spec = spec(MissedTicks::All, Overlap::Skip);
        let mut ahead = row(1_000_000 * HOUR);
        ahead.paused = true;
        assert_eq!(decide(&spec, &ahead, 10 * HOUR, false), Next::Wait { until: None });
        ahead.paused = false;
        assert_eq!(decide(&spec, &ahead, 10 * HOUR, false), Next::GoBack);
        assert_eq!(run_at_once(&spec, &mut ahead, 10 * HOUR), [0; 0]);
        assert_eq!(run_at_once(&spec, &mut ahead, 11 * HOUR), [11 * HOUR]);
    }

    #[test]
    fn jitter_is_of_the_tick_and_within_its_bound() {
        let jitter = Duration::from_mins(10);
        let spec = Spec { jitter, ..spec(MissedTicks::None, Overlap::Skip) };
        let delays: Vec<i64> =
            (0..100).map(|hour| spec.fires_at(hour * HOUR) - hour * HOUR).collect();
        assert!(delays.iter().all(|delay| (0..600_000).contains(delay)), "{delays:?}");
        assert!(delays.iter().max() > Some(&300_000) && delays.iter().min() < Some(&300_000));
        let again: Vec<i64> =
            (0..100).map(|hour| spec.fires_at(hour * HOUR) - hour * HOUR).collect();
        assert_eq!(delays, again);
        let mut row = row(10 * HOUR);
        let fires = spec.fires_at(11 * HOUR);
        assert_eq!(run_at_once(&spec, &mut row, fires - 1), [0; 0]);
        assert_eq!(run_at_once(&spec, &mut row, fires), [11 * HOUR]);
    }
}
