//! When a schedule ticks: pure, from a text and a time zone to instants.
//!
//! Clocks that are changed for the summer skip local times and repeat others. What is meant
//! for a skipped time ticks once, in the moment in which the clock goes on; what is meant for a
//! repeated time ticks the first time it comes. That holds where the hour is named (`0 2 * * *`,
//! `0 2,14 * * *`, `*/10 2 * * *`). Where it is not (`*/15 * * * *`, `0 */2 * * *`) the schedule
//! goes by the time that passes: nothing is made up for a skipped hour, and a repeated hour
//! ticks both times.
//!
//! `@every` counts from 1970 in UTC: `@every 15m` ticks at the quarters of an hour, whenever
//! the server was started.

use std::str::FromStr;
use std::time::Duration;

use croner::Direction;
use flow_core::language::Cron;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::wall::Wall;

/// A clock is changed by no more than this; the longest change known is one of a day, of a
/// place that went over the date line.
const CHANGE: SignedDuration = SignedDuration::from_hours(26);

/// As many changes of the clock are gone over to find a tick.
const CHANGES: usize = 200;

/// The instants at which a schedule ticks, in milliseconds since 1970.
#[derive(Clone, Debug)]
pub struct Ticks {
    rule: Rule,
    zone: TimeZone,
}

#[derive(Clone, Debug)]
enum Rule {
    /// Every so many milliseconds.
    Every(i64),
    /// At local times; an hour that is named is found again after a change of the clock.
    Local { cron: Box<croner::Cron>, named_hour: bool },
}

/// Why a schedule cannot tick.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicksError {
    /// The expression is none.
    #[error("`{0}` is no schedule: {1}")]
    Expression(String, String),
    /// There is no such time zone on this machine.
    #[error("there is no time zone `{0}`")]
    Zone(String),
}

impl Ticks {
    /// Reads a schedule; UTC where no time zone is named.
    pub fn new(cron: &Cron, zone: Option<&str>) -> Result<Self, TicksError> {
        let zone = match zone {
            Some(name) => TimeZone::get(name).map_err(|_| TicksError::Zone(name.to_owned()))?,
            None => TimeZone::UTC,
        };
        let rule = match cron {
            Cron::Every(distance) => Rule::Every(millis(*distance).max(1)),
            Cron::Expression(text) => {
                let cron = croner::Cron::from_str(text)
                    .map_err(|error| TicksError::Expression(text.clone(), error.to_string()))?;
                let fields: Vec<&str> = text.split_whitespace().collect();
                let hour = fields.len().checked_sub(4).and_then(|at| fields.get(at));
                let named_hour = hour.is_some_and(|hour| !hour.contains('*'));
                Rule::Local { cron: Box::new(cron), named_hour }
            }
        };
        Ok(Self { rule, zone })
    }

    /// The time zone that it goes by.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The first tick behind a time; none where it never ticks any more.
    pub fn next(&self, after: i64) -> Option<i64> {
        self.find(after, Direction::Forward)
    }

    /// The last tick at a time or before it; none where it never ticked.
    pub fn latest(&self, at: i64) -> Option<i64> {
        self.find(at, Direction::Backward)
    }

    fn find(&self, from: i64, direction: Direction) -> Option<i64> {
        let forward = direction == Direction::Forward;
        match &self.rule {
            Rule::Every(distance) => {
                let last = from.div_euclid(*distance) * distance;
                Some(if forward { last.checked_add(*distance)? } else { last })
            }
            Rule::Local { cron, named_hour } => {
                let from = Timestamp::from_millisecond(from).ok()?;
                let found = match named_hour {
                    true => self.find_local(cron, from, direction),
                    false => self.find_passing(cron, from, direction),
                };
                found.map(Timestamp::as_millisecond)
            }
        }
    }

    /// Goes by the time that passes: from one change of the clock to the next it is as if
    /// there was none.
    fn find_passing(
        &self,
        cron: &croner::Cron,
        mut from: Timestamp,
        direction: Direction,
    ) -> Option<Timestamp> {
        let forward = direction == Direction::Forward;
        let mut inclusive = !forward;
        for _ in 0..CHANGES {
            let offset = self.zone.to_offset(from);
            let local = Wall(offset.to_datetime(from));
            let found = local.find(cron, inclusive, direction)?;
            let instant = offset.to_timestamp(found.0).ok()?;
            // A moment more than from, whose own change counts as one before.
            let edge = match direction {
                Direction::Forward => self.zone.following(from).next(),
                Direction::Backward => self.zone.preceding(next_moment(from)?).next(),
            };
            let Some(edge) = edge.map(|edge| edge.timestamp()) else { return Some(instant) };
            if (forward && instant < edge) || (!forward && instant >= edge) {
                return Some(instant);
            }
            inclusive = true;
            from = if forward { edge } else { edge.checked_sub(MOMENT).ok()? };
        }
        None
    }

    /// Goes through local times as if no clock was ever changed, and asks of each when it is.
    fn find_local(
        &self,
        cron: &croner::Cron,
        from: Timestamp,
        direction: Direction,
    ) -> Option<Timestamp> {
        let forward = direction == Direction::Forward;
        let mut local = self.zone.to_datetime(from);
        if self.changes_around(from) {
            // Of the times that were before the change, some are still to come.
            let back = if forward { -CHANGE } else { CHANGE };
            local = local.checked_add(back).ok()?;
        }
        let (mut at, mut inclusive) = (Wall(local), true);
        loop {
            at = at.find(cron, inclusive, direction)?;
            inclusive = false;
            let instant = self.instant(at.0)?;
            if (forward && instant > from) || (!forward && instant <= from) {
                return Some(instant);
            }
        }
    }

    fn changes_around(&self, at: Timestamp) -> bool {
        let (Ok(begin), Ok(end)) = (at.checked_sub(CHANGE), at.checked_add(CHANGE)) else {
            return false;
        };
        let mut changes = self.zone.following(begin);
        changes.next().is_some_and(|change| change.timestamp() <= end)
    }

    /// When a local time is: the first time that it is, or when the clock skips it.
    fn instant(&self, local: DateTime) -> Option<Timestamp> {
        let at = |offset: Offset| offset.to_timestamp(local).ok();
        match self.zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => at(offset),
            AmbiguousOffset::Fold { before, .. } => at(before),
            AmbiguousOffset::Gap { before, .. } => {
                // Read by the clock of before, it is a time behind the change.
                let change = self.zone.preceding(next_moment(at(before)?)?).next()?;
                Some(change.timestamp())
            }
        }
    }
}

/// The shortest time there is.
const MOMENT: SignedDuration = SignedDuration::from_nanos(1);

fn next_moment(at: Timestamp) -> Option<Timestamp> {
    at.checked_add(MOMENT).ok()
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ticks(text: &str, zone: &str) -> Ticks {
        Ticks::new(&Cron::Expression(text.into()), Some(zone)).unwrap()
    }

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    /// The ticks between two times, as UTC.
    fn between(ticks: &Ticks, begin: &str, end: &str) -> Vec<String> {
        let (mut now, end) = (at(begin), at(end));
        let mut found = Vec::new();
        while let Some(tick) = ticks.next(now).filter(|tick| *tick < end) {
            found.push(Timestamp::from_millisecond(tick).unwrap().to_string());
            now = tick;
        }
        // Backwards the same ticks are found.
        let mut back = Vec::new();
        let mut now = end - 1;
        while let Some(tick) = ticks.latest(now).filter(|tick| *tick > at(begin)) {
            back.push(Timestamp::from_millisecond(tick).unwrap().to_string());
            now = tick - 1;
        }
        back.reverse();
        assert_eq!(found, back);
        found
    }

    #[test]
    fn a_skipped_local_time_ticks_once_when_the_clock_goes_on() {
        // In Berlin 2026-03-29 02:00 is 03:00.
        let day = ("2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z");
        for (text, expected) in [
            ("30 2 * * *", vec!["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]),
            (
                "*/20 2 * * *",
                vec![
                    "2026-03-29T01:00:00Z",
                    "2026-03-30T00:00:00Z",
                    "2026-03-30T00:20:00Z",
                    "2026-03-30T00:40:00Z",
                ],
            ),
            (
                "0 2,3 * * *",
                vec!["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z", "2026-03-30T01:00:00Z"],
            ),
        ] {
            assert_eq!(between(&ticks(text, "Europe/Berlin"), day.0, day.1), expected, "{text}");
        }
        let hourly = ticks("30 * * * *", "Europe/Berlin");
        let found = between(&hourly, "2026-03-29T00:00:00Z", "2026-03-29T02:00:00Z");
        assert_eq!(found, ["2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"]);
    }

    #[test]
    fn a_repeated_local_time_ticks_the_first_time() {
        // In New York 2026-11-01 02:00 is 01:00 again.
        let night = ("2026-11-01T04:00:00Z", "2026-11-01T08:00:00Z");
        let nightly = ticks("30 1 * * *", "America/New_York");
        assert_eq!(between(&nightly, night.0, night.1), ["2026-11-01T05:30:00Z"]);
        let hourly = ticks("30 */1 * * *", "America/New_York");
        assert_eq!(
            between(&hourly, night.0, night.1),
            [
                "2026-11-01T04:30:00Z",
                "2026-11-01T05:30:00Z",
                "2026-11-01T06:30:00Z",
                "2026-11-01T07:30:00Z",
            ]
        );
    }

    #[test]
    fn every_counts_from_1970_and_what_never_is_never_ticks() {
        let every = Ticks::new(&Cron::Every(Duration::from_mins(15)), None).unwrap();
        assert_eq!(every.next(at("2026-01-01T10:07:00Z")), Some(at("2026-01-01T10:15:00Z")));
        assert_eq!(every.next(at("2026-01-01T10:15:00Z")), Some(at("2026-01-01T10:30:00Z")));
        assert_eq!(every.latest(at("2026-01-01T10:15:00Z")), Some(at("2026-01-01T10:15:00Z")));
        assert_eq!(ticks("0 0 30 2 *", "UTC").next(0), None);
        let error = Ticks::new(&Cron::Every(Duration::from_mins(1)), Some("Mars")).unwrap_err();
        assert_eq!(error.to_string(), "there is no time zone `Mars`");
    }

    #[test]
    fn a_day_that_a_place_never_had_ticks_when_it_was_left_out() {
        // Samoa went over the date line: there was no 2011-12-30.
        let daily = ticks("0 12 * * *", "Pacific/Apia");
        let found = between(&daily, "2011-12-29T00:00:00Z", "2012-01-01T00:00:00Z");
        assert_eq!(
            found,
            [
                "2011-12-29T22:00:00Z",
                "2011-12-30T10:00:00Z",
                "2011-12-30T22:00:00Z",
                "2011-12-31T22:00:00Z",
            ]
        );
    }

    fn field(low: u32, high: u32) -> impl Strategy<Value = String> {
        let number = low..=high;
        prop_oneof![
            Just("*".to_owned()),
            number.clone().prop_map(|n| n.to_string()),
            (1..=high).prop_map(|step| format!("*/{step}")),
            (number.clone(), number.clone(), 1..=high)
                .prop_map(|(a, b, step)| { format!("{}-{}/{step}", a.min(b), a.max(b)) }),
            (number.clone(), number).prop_map(|(a, b)| format!("{a},{}-{}", a.min(b), a.max(b))),
        ]
    }

    fn day() -> impl Strategy<Value = String> {
        prop_oneof![4 => field(1, 31), 1 => Just("L".to_owned()), 1 => Just("?".to_owned())]
    }

    fn month() -> impl Strategy<Value = String> {
        let names = prop::sample::select(vec!["JAN", "feb", "MAR-NOV", "DEC", "JUL,AUG"]);
        prop_oneof![4 => field(1, 12), 1 => names.prop_map(str::to_owned)]
    }

    fn weekday() -> impl Strategy<Value = String> {
        let names = prop::sample::select(vec!["SUN", "mon-FRI", "SAT,SUN", "FRI#2", "?", "5#5"]);
        prop_oneof![4 => field(0, 7), 1 => names.prop_map(str::to_owned)]
    }

    /// Texts that are nearly expressions.
    fn noise() -> impl Strategy<Value = String> {
        prop::collection::vec("[0-9*/,LW#?A-Z+-]{1,4}", 5..=6).prop_map(|parts| parts.join(" "))
    }

    /// Whether a workflow with this schedule passes its check.
    fn is_taken(text: &str) -> bool {
        struct Nothing;
        impl flow_core::language::Files for Nothing {
            fn read(&self, _path: &str) -> Result<String, String> {
                Err("there is none".into())
            }
        }
        let mut actions = flow_core::action::ActionRegistry::default();
        flow_core::actions::register(&mut actions);
        let environment = flow_core::language::Environment {
            actions: &actions,
            providers: &flow_core::language::KnownProviders::default(),
            files: &Nothing,
            instead: &flow_core::language::Instead::default(),
        };
        let file = format!(
            "steps: [{{id: a, uses: value.set, with: {{value: 1}}}}]\n\
             triggers: [{{schedule: \"{text}\"}}]\n"
        );
        flow_core::language::check("w.yaml", file.as_bytes(), environment).workflow.is_some()
    }

    proptest! {
        #[test]
        fn what_the_check_takes_can_tick(
            text in prop_oneof![
                3 => (field(0, 59), field(0, 23), day(), month(), weekday())
                    .prop_map(|(m, h, d, o, w)| format!("{m} {h} {d} {o} {w}")),
                1 => (field(0, 59), field(0, 59), field(0, 23))
                    .prop_map(|(s, m, h)| format!("{s} {m} {h} * * *")),
                2 => noise(),
            ],
        ) {
            if is_taken(&text) {
                let made = Ticks::new(&Cron::Expression(text.clone()), None);
                prop_assert!(made.is_ok(), "{text}: {:?}", made.err());
            }
        }

        #[test]
        fn ticks_go_forward_and_back_over_every_change(
            minute in field(0, 59), hour in field(0, 23), begin in 0_i64..400,
            zone in prop::sample::select(vec!["Europe/Berlin", "America/New_York",
                "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Casablanca"]),
        ) {
            let ticks = ticks(&format!("{minute} {hour} * * *"), zone);
            let mut now = at("2026-01-01T00:00:00Z") + begin * 86_400_000 + 1234;
            for _ in 0..40 {
                let next = ticks.next(now).unwrap();
                prop_assert!(next > now);
                prop_assert_eq!(ticks.latest(next), Some(next));
                let before = ticks.latest(next - 1).unwrap();
                prop_assert!(before <= now, "{before} lies between {now} and {next}");
                now = next;
            }
        }
    }
}
