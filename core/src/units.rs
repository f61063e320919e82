//! Quantities as people write them: durations, sizes, money.
//!
//! Money is kept in whole micro-dollars, so that adding up a night's calls rounds nothing.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Says that a text is not the quantity it was given as.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}")]
pub struct UnitError {
    /// What was expected, with an example.
    what: &'static str,
    text: String,
}

impl UnitError {
    fn new(what: &'static str, text: &str) -> Self {
        Self { what, text: text.into() }
    }
}

/// An amount of money in micro-USD.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Money(i64);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Builds an amount from micro-USD.
    pub fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// The amount in micro-USD.
    pub fn micros(self) -> i64 {
        self.0
    }

    /// The amount in USD, for output.
    pub fn usd(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl Add for Money {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, micros) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        let (whole, rest) = (micros / 1_000_000, micros % 1_000_000);
        let digits = format!("{rest:06}");
        let digits = digits.trim_end_matches('0');
        write!(f, "{sign}{whole}.{digits:0<2} USD")
    }
}

impl FromStr for Money {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let error = || UnitError::new("an amount of money such as `0.50 USD`", text);
        let number = text.strip_suffix("USD").ok_or_else(error)?.trim_end();
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || fraction.len() > 6 || !all_digits(whole) || !all_digits(fraction) {
            return Err(error());
        }
        let whole: i64 = whole.parse().map_err(|_| error())?;
        let micros: i64 = format!("{fraction:0<6}").parse().map_err(|_| error())?;
        whole.checked_mul(1_000_000).and_then(|w| w.checked_add(micros)).map(Self).ok_or_else(error)
    }
}

/// Reads a duration such as `500ms`, `30s`, `5m`, `2h`, `1d` or `1h30m`.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let error = || UnitError::new("a duration such as `30s`, `5m` or `1h30m`", text);
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(error)?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let number: u64 = number.parse().map_err(|_| error())?;
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(error()),
        };
        let part = number.checked_mul(millis).map(Duration::from_millis).ok_or_else(error)?;
        total = total.checked_add(part).ok_or_else(error)?;
        rest = tail;
    }
    if text.is_empty() { Err(error()) } else { Ok(total) }
}

/// A number of bytes, written in decimal units: `4.7 GB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut size, mut unit) = (self.0 as f64, None);
        for next in ["kB", "MB", "GB", "TB"] {
            // What would be rounded to a thousand is one of the next unit.
            if size < 999.5 {
                break;
            }
            (size, unit) = (size / 1000.0, Some(next));
        }
        match unit {
            None if self.0 == 1 => f.write_str("1 byte"),
            None => write!(f, "{} bytes", self.0),
            Some(unit) if size < 9.95 => write!(f, "{size:.1} {unit}"),
            Some(unit) => write!(f, "{size:.0} {unit}"),
        }
    }
}

/// Reads a size in bytes such as `512`, `10KB`, `10MB` or `1GiB`.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let error = || UnitError::new("a size such as `10MB` or `1GiB`", text);
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| error())?;
    let factor: u64 = match unit.trim_start() {
        "" | "B" => 1,
        "KB" | "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(error()),
    };
    number.checked_mul(factor).ok_or_else(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_reads_what_it_writes() {
        for (text, micros) in
            [("0.50 USD", 500_000), ("12.00 USD", 12_000_000), ("0.000001 USD", 1)]
        {
            let money: Money = text.parse().unwrap();
            assert_eq!((money.micros(), money.to_string().as_str()), (micros, text));
        }
    }

    #[test]
    fn a_wrong_quantity_says_what_one_looks_like() {
        assert_eq!(
            "1 EUR".parse::<Money>().unwrap_err().to_string(),
            "`1 EUR` is not an amount of money such as `0.50 USD`"
        );
        assert_eq!(
            parse_duration("5 minutes").unwrap_err().to_string(),
            "`5 minutes` is not a duration such as `30s`, `5m` or `1h30m`"
        );
        assert_eq!(
            parse_size("10 megs").unwrap_err().to_string(),
            "`10 megs` is not a size such as `10MB` or `1GiB`"
        );
    }

    #[test]
    fn durations_add_their_parts() {
        assert_eq!(parse_duration("1h30m").unwrap(), Duration::from_mins(90));
        assert_eq!(parse_duration("250ms").unwrap(), Duration::from_millis(250));
        for bad in ["", "5", "s", "99999999999999999999s", "-5s", "1.5s"] {
            assert!(parse_duration(bad).is_err(), "{bad} was taken");
        }
    }

    #[test]
    fn a_size_is_short() {
        for (bytes, shown) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (999, "999 bytes"),
            (1_500, "1.5 kB"),
            (999_600, "1.0 MB"),
            (105_454_432, "105 MB"),
            (4_683_072_032, "4.7 GB"),
            (45_000_000_000, "45 GB"),
        ] {
            assert_eq!(Size(bytes).to_string(), shown);
        }
    }
}
