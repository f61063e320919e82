//! Sizes and times as the log of a step shows them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A number of bytes: `12.4 MB`.
pub(super) fn bytes(count: u64) -> String {
    let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match units.into_iter().find(|(size, _)| count >= *size) {
        Some((size, unit)) => format!("{:.1} {unit}", count as f64 / size as f64),
        None => format!("{count} bytes"),
    }
}

/// A moment, in milliseconds since 1970: `2026-11-25 11:00 UTC`.
pub(super) fn moment(milliseconds: i64) -> String {
    let moment = Timestamp::from_millisecond(milliseconds).unwrap_or_default();
    moment.to_zoned_datetime(TimeZone::UTC).strftime("%F %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_short() {
        let shown = [0, 999, 1_000, 12_400_000, 1_999_999_999].map(bytes);
        assert_eq!(shown, ["0 bytes", "999 bytes", "1.0 kB", "12.4 MB", "2.0 GB"]);
        assert_eq!(moment(1_795_604_400_000), "2026-11-25 11:00 UTC");
    }
}
