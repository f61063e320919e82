//! A number of bytes as hubs write it.

use std::fmt;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_reads_as_a_hub_writes_it() {
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
