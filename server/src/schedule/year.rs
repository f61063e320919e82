//! A year of schedules by a clock that is set, over time zones and both changes of the clock.

use std::collections::BTreeMap;

use flow_core::content::ContentHash;
use flow_core::ids::RunId;
use flow_core::language::{Cron, MissedTicks, Overlap};
use flow_core::store::ScheduleRow;
use jiff::Timestamp;
use serde_json::Value;

use super::{Next, Spec, Ticks, decide, known};

fn at(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_millisecond()
}

fn spec(text: &str, zone: &str, catch_up: MissedTicks) -> Spec {
    Spec {
        workflow: "w".into(),
        place: 0,
        definition: ContentHash::of_bytes(text.as_bytes()),
        text: text.into(),
        zone: zone.into(),
        ticks: Ticks::new(&Cron::Expression(text.into()), Some(zone)).unwrap(),
        catch_up,
        overlap: Overlap::Skip,
        jitter: std::time::Duration::from_secs(40),
        inputs: Value::Null,
    }
}

/// Lives through 2026, dead within `down`, and counts how often each run was begun.
fn year(spec: &Spec, down: &[(i64, i64)]) -> BTreeMap<RunId, u32> {
    let (mut now, end) = (at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z"));
    let mut row: ScheduleRow = known(std::slice::from_ref(spec), Vec::new(), now).rows.remove(0);
    // A tick at the very beginning counts.
    row.handled -= 1;
    let mut runs = BTreeMap::new();
    while now < end {
        if let Some((_, up)) = down.iter().find(|(down, up)| (*down..*up).contains(&now)) {
            now = *up;
        }
        match decide(spec, &row, now, false) {
            Next::Wait { until } => {
                // Looked at every hour, and at the tick itself.
                now = until.unwrap_or(i64::MAX).min(now + 3_600_000).max(now + 1);
            }
            Next::GoBack => panic!("the clock goes on"),
            Next::Forget { until, .. } => row.handled = until,
            Next::Queue { until } => row.due = until,
            Next::Cancel => panic!("nothing goes on"),
            Next::Start { tick } => {
                *runs.entry(spec.run_id(tick)).or_default() += 1;
                // Every tenth time the process dies before it has said so.
                if runs.len() % 10 != 0 || runs[&spec.run_id(tick)] > 1 {
                    row.handled = tick;
                }
            }
        }
    }
    runs
}

#[test]
fn a_year_has_the_ticks_that_it_must_have_over_both_changes_of_the_clock() {
    for (text, zone, expected) in [
        // Each day once, also in the nights in which 02:30 is skipped and repeated.
        ("30 2 * * *", "Europe/Berlin", 365),
        ("30 1 * * *", "America/New_York", 365),
        ("30 2 * * *", "America/New_York", 365),
        ("0 2,14 * * *", "Europe/Berlin", 730),
        // As many hours as there are.
        ("0 * * * *", "Europe/Berlin", 8760),
        ("0 * * * *", "America/New_York", 8760),
        ("*/30 * * * *", "Australia/Lord_Howe", 17_520),
        // 104 Saturdays and Sundays, 12 months, 261 days of work.
        ("0 9 * * SAT,SUN", "Europe/Berlin", 104),
        ("0 9 L * *", "Europe/Berlin", 12),
        ("0 9 * * MON-FRI", "America/New_York", 261),
        ("0 9 * * FRI#2", "America/New_York", 12),
    ] {
        let runs = year(&spec(text, zone, MissedTicks::Latest), &[]);
        assert_eq!(runs.len(), expected, "{text} in {zone}");
    }
}

#[test]
fn a_year_with_downtimes_has_the_ticks_that_catch_up_says() {
    // Down over both changes of the clock, and for most of July.
    let down = [
        (at("2026-03-28T12:00:00Z"), at("2026-03-30T12:00:00Z")),
        (at("2026-07-02T12:00:00Z"), at("2026-07-30T12:00:00Z")),
        (at("2026-10-24T12:00:00Z"), at("2026-10-26T12:00:00Z")),
    ];
    for (catch_up, expected) in [
        (MissedTicks::All, 365),
        (MissedTicks::Latest, 365 - 1 - 27 - 1),
        (MissedTicks::None, 365 - 2 - 28 - 2),
    ] {
        let runs = year(&spec("30 2 * * *", "Europe/Berlin", catch_up), &down);
        assert_eq!(runs.len(), expected, "{catch_up:?}");
    }
}
