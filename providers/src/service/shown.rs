//! Times as the log of a step shows them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A moment, in milliseconds since 1970: `2026-11-25 11:00 UTC`.
pub(super) fn moment(milliseconds: i64) -> String {
    let moment = Timestamp::from_millisecond(milliseconds).unwrap_or_default();
    moment.to_zoned_datetime(TimeZone::UTC).strftime("%F %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_short() {
        assert_eq!(moment(1_795_604_400_000), "2026-11-25 11:00 UTC");
    }
}
