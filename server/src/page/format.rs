//! Numbers and times as people read them.

use flow_core::units::Money;
use jiff::Timestamp;
use serde::Serialize;

/// A time: for machines, and for people who have no script. The script shows it in their zone.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Moment {
    iso: String,
    text: String,
}

/// A time in milliseconds since 1970.
pub(super) fn moment(millis: i64) -> Moment {
    let Ok(at) = Timestamp::from_millisecond(millis) else {
        return Moment { iso: String::new(), text: millis.to_string() };
    };
    Moment {
        iso: at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        text: at.strftime("%Y-%m-%d %H:%M UTC").to_string(),
    }
}

/// A duration in milliseconds.
pub(super) fn duration(millis: i64) -> String {
    match millis {
        ..1000 => format!("{} ms", millis.max(0)),
        1000..60_000 => format!("{:.1} s", millis as f64 / 1000.0),
        60_000..3_600_000 => format!("{} min {} s", millis / 60_000, millis % 60_000 / 1000),
        _ => format!("{} h {} min", millis / 3_600_000, millis % 3_600_000 / 60_000),
    }
}

/// An amount of money. What may be more, as the price of a call is unknown, says so.
pub(super) fn money(amount: Money, uncertain: bool) -> String {
    match (amount == Money::ZERO, uncertain) {
        (true, true) => "unknown".to_owned(),
        (true, false) => "–".to_owned(),
        (false, true) => format!("{} or more", dollars(amount)),
        (false, false) => dollars(amount),
    }
}

/// Dollars with as many digits as tell something.
pub(super) fn dollars(amount: Money) -> String {
    let usd = amount.usd();
    let digits = match usd.abs() {
        1.0.. => 2,
        0.01.. => 4,
        _ => 6,
    };
    format!("${usd:.digits$}")
}

/// A number of bytes.
pub(super) fn bytes(count: u64) -> String {
    let (mut size, mut unit) = (count as f64, "bytes");
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if size < 1024.0 {
            break;
        }
        (size, unit) = (size / 1024.0, larger);
    }
    if unit == "bytes" { format!("{count} bytes") } else { format!("{size:.1} {unit}") }
}

/// A number with its thousands apart.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A text as it may stand in the query of an address.
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                encoded.push(char::from(byte));
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

/// A text as it may stand between two `/` of an address.
pub(super) fn segment(text: &str) -> String {
    encoded(text).replace('/', "%2F")
}

/// The end of an id, by which people know a run.
pub(super) fn short(id: &str) -> String {
    id[id.len().saturating_sub(8)..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([12, 2048, 5 << 20].map(bytes), ["12 bytes", "2.0 KiB", "5.0 MiB"]);
        assert_eq!(
            [-5, 12, 1500, 65_000, 7_260_000].map(duration),
            ["0 ms", "12 ms", "1.5 s", "1 min 5 s", "2 h 1 min"]
        );
        let money = |micros, uncertain| money(Money::from_micros(micros), uncertain);
        assert_eq!(money(0, true), "unknown");
        assert_eq!(money(0, false), "–");
        assert_eq!(money(1_234_567, false), "$1.23");
        assert_eq!(money(42_000, true), "$0.0420 or more");
    }

    #[test]
    fn what_stands_in_an_address_is_text_only() {
        assert_eq!(encoded("a[b&c]/d\"é"), "a%5Bb%26c%5D/d%22%C3%A9");
        assert_eq!(segment("../a"), "..%2Fa");
    }
}
