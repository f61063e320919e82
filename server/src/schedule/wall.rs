//! A clock on the wall that is never changed, as cron expressions are asked about it.

use std::cmp::Ordering;

use croner::errors::CronError;
use croner::{CivilDateTime, Cron, CronDateTime, Direction, Resolution, Weekday};
use jiff::ToSpan;
use jiff::civil::DateTime;

/// A local time, to the second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wall(pub(super) DateTime);

impl Wall {
    /// The next time that an expression names, or the last one; none where there is none.
    pub(super) fn find(self, cron: &Cron, inclusive: bool, direction: Direction) -> Option<Self> {
        let found = match direction {
            Direction::Forward => {
                // A part of a second belongs to the second that is over.
                let over = self.0.subsec_nanosecond() > 0;
                cron.find_next_occurrence(&self, inclusive && !over)
            }
            Direction::Backward => cron.find_previous_occurrence(&self, inclusive),
        };
        found.ok()
    }
}

impl CronDateTime for Wall {
    fn to_civil(&self) -> CivilDateTime {
        let part = |number: i8| u32::from(number.unsigned_abs());
        CivilDateTime::from_ymd_hms_opt(
            self.0.year().into(),
            part(self.0.month()),
            part(self.0.day()),
            part(self.0.hour()),
            part(self.0.minute()),
            part(self.0.second()),
        )
        .expect("a time of one calendar is one of the other")
    }

    fn civil_weekday(&self) -> Weekday {
        Weekday::from_days_from_sunday(
            self.0.weekday().to_sunday_zero_offset().unsigned_abs().into(),
        )
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let year = i16::try_from(civil.year()).map_err(|_| CronError::InvalidDate)?;
        let part = |number: u32| i8::try_from(number).unwrap_or(i8::MAX);
        DateTime::new(
            year,
            part(civil.month()),
            part(civil.day()),
            part(civil.hour()),
            part(civil.minute()),
            part(civil.second()),
            0,
        )
        .map(|time| Resolution::Single(Self(time)))
        .map_err(|_| CronError::InvalidDate)
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        self.0.checked_add(seconds.seconds()).ok().map(Self)
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}
