//! Which schedules of a file are those that are remembered.

use flow_core::content::ContentHash;
use flow_core::store::ScheduleRow;

use super::Spec;

/// What comparing a file's schedules with those that are remembered comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The row of each schedule, in the order of the file.
    pub rows: Vec<ScheduleRow>,
    /// Those of them that are to be written: they are new, or stand elsewhere in the file.
    pub changed: Vec<usize>,
    /// Those that are in the file no more.
    pub gone: Vec<ContentHash>,
}

/// Finds the rows of a workflow's schedules.
///
/// One that says another time than before is another schedule, and begins now: nobody expects
/// ticks of it that were before it was written. It stays paused, though, and does not run beside
/// what it started before.
pub fn known(specs: &[Spec], rows: Vec<ScheduleRow>, now: i64) -> Known {
    let is_in_file = |row: &ScheduleRow| specs.iter().any(|spec| spec.definition == row.definition);
    let (rows, left): (Vec<_>, Vec<_>) = rows.into_iter().partition(is_in_file);
    let mut known = Known::default();
    for (at, spec) in specs.iter().enumerate() {
        let row = match rows.iter().find(|row| row.definition == spec.definition) {
            Some(row) if row.place == spec.place => row.clone(),
            Some(row) => {
                known.changed.push(at);
                ScheduleRow { place: spec.place, ..row.clone() }
            }
            None => {
                known.changed.push(at);
                let before = left.iter().find(|row| row.place == spec.place);
                ScheduleRow {
                    workflow: spec.workflow.clone(),
                    definition: spec.definition,
                    place: spec.place,
                    paused: before.is_some_and(|before| before.paused),
                    seen: now,
                    handled: now,
                    due: now,
                    last_run: before.and_then(|before| before.last_run.clone()),
                    skipped: 0,
                }
            }
        };
        known.rows.push(row);
    }
    known.gone = left.into_iter().map(|row| row.definition).collect();
    known
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use flow_core::language::{Cron, MissedTicks, Overlap};
    use serde_json::Value;

    use super::super::Ticks;
    use super::*;

    fn spec(name: &str, place: u32) -> Spec {
        Spec {
            workflow: "w".into(),
            place,
            definition: ContentHash::of_bytes(name.as_bytes()),
            text: "@every 1h".into(),
            zone: "UTC".into(),
            ticks: Ticks::new(&Cron::Every(Duration::from_hours(1)), None).unwrap(),
            catch_up: MissedTicks::All,
            overlap: Overlap::Skip,
            jitter: Duration::ZERO,
            inputs: Value::Null,
        }
    }

    #[test]
    fn a_schedule_is_known_by_what_it_says_and_one_that_says_another_time_begins_now() {
        let first = known(&[spec("a", 0), spec("b", 1)], Vec::new(), 100);
        assert_eq!((first.changed.as_slice(), first.rows[0].handled), (&[0, 1][..], 100));
        let mut rows = first.rows;
        rows[0].handled = 500;
        rows[1].paused = true;
        // They change places.
        let second = known(&[spec("b", 0), spec("a", 1)], rows.clone(), 1000);
        assert_eq!(second.changed, [0, 1]);
        assert!(second.rows[0].paused && second.rows[1].handled == 500);
        assert_eq!(second.gone, []);
        // Nothing changes.
        let same = known(&[spec("a", 0), spec("b", 1)], rows.clone(), 1000);
        assert_eq!((same.changed.len(), same.gone.len()), (0, 0));
        // The paused one is edited, the other one removed.
        let third = known(&[spec("c", 1)], rows, 1000);
        assert!(third.rows[0].paused && third.rows[0].handled == 1000);
        assert_eq!(third.gone.len(), 2);
    }
}
